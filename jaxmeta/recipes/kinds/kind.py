"""What a kind of data has to say of itself, and the small records in which it says it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from jaxmeta import checks, datasets, evaluation, floats, tasks
from jaxmeta.models import FrozenModel
from jaxmeta.recipes.kinds.answers import Answers, of_inputs
from jaxmeta.recipes.kinds.facts import Facts
from jaxmeta.recipes.kinds.frames import Frame
from jaxmeta.recipes.kinds.seen import Seen
from jaxmeta.recipes.kinds.shown import Shown
from jaxmeta.recipes.recipe import Network, Task
from jaxmeta.recipes.scoring import SCORINGS
from jaxmeta.types import Batch, MetaLearner, Model, PyTree


class Shape(NamedTuple):
    """What a network takes and gives."""

    inputs: tuple[int, ...]
    """(height, width, channels) of pictures or (d,) of vectors."""
    outputs: int
    """Ways of a classification, values of a regression, actions of a policy."""
    space: str = ""
    """Of a policy: "continuous" or "discrete"."""


class Sizes(NamedTuple):
    """The size of a task."""

    ways: int
    shots: int
    """Support examples per class, per task in regression."""
    queries: int
    """Query examples per class, per task in regression; 0: there are not enough examples for these shots."""


class Place(NamedTuple):
    """Where the examples of one domain are looked for, and what of them counts as known."""

    part: str
    """A name or a path."""
    split: str
    """"train", "validation" or "test"."""
    data_dir: str | None = None
    seen: Seen | None = None
    """What was trained on: the test takes all of a user's set that is not of it. None: everything may have been."""


class Domain(NamedTuple):
    """A sampler of one domain's tasks, and what is recorded of it."""

    sample: tasks.Sample
    split: str
    checksums: dict[str, str]
    known: Seen = Seen()
    """Of a split that is trained on or chosen by: what it shows."""
    facts: tuple[Facts, ...] = ()
    """What was read."""


class Oracle(NamedTuple):
    """The best possible answer, of who knows what a task was made of."""

    learner: MetaLearner
    told: Callable[[tasks.Sample], tasks.Sample]
    """A domain's sampler -> the same episodes, key for key, whose inputs [n, d + k] have what is known of the task, the
    same in every row, behind their own d numbers."""


class Given(NamedTuple):
    """What a person gave to adapt to and to predict."""

    support: Batch
    names: list[str]
    """Of the inputs."""
    inputs: np.ndarray
    class_names: tuple[str, ...]
    """() of a regression."""
    scale: tuple[float, float] = (0.0, 1.0)
    """Mean and deviation of the values, which the network does not see."""
    frame: Frame = Frame()
    """What brings other inputs to the same form."""
    facts: tuple[Facts, ...] = ()
    """What was read."""
    form: Callable[[tasks.Sample], tasks.Sample] = lambda sample: sample
    """What brings a part of the support set to the form that it would have had alone."""


class Own(NamedTuple):
    """Files of a person's own."""

    support: str
    inputs: str
    target_column: str | None
    polarity: str
    data_dir: str | None
    columns: tuple[str, ...] = ()
    text_column: str = ""
    """Of a file of texts."""


def no_names(inputs: Any) -> NoReturn:
    """The `is_name` of kinds whose examples say nothing of what a class is called."""
    got = f"inputs of shape {inputs.shape}"
    checks.fail("`learner` named_protonet", "texts, with `knowledge` names", got)


def batch_shape(task: Task, support: Batch) -> Shape:
    """The shape of the network that a support set of examples asks for."""
    has_classes = SCORINGS[task.criterion].has_classes
    return Shape(support.inputs.shape[1:], task.ways if has_classes else support.targets.shape[-1])


def values(frame: Frame, outputs: np.ndarray) -> tuple[list[str], str]:
    """Values as people read them."""
    del frame
    said = [" ".join(map(floats.text, row)) for row in outputs]
    low, high = floats.ends(float(outputs.min()), float(outputs.max()))
    return said, f"{len(said)} predicted: from {low} to {high}"


class Kind(NamedTuple):
    """A kind of data; a new one is one file beside this and one row in `KINDS`."""

    name: str
    fits: Callable[[Task, Place], bool]
    """Whether a domain's examples are of this kind; asked in the order of `KINDS`."""
    complete: Callable[[Task, Sequence[Place]], Task]
    """The task with the sizes that its domains alone can tell."""
    open: Callable[[Task, Place, Sizes], Domain]
    """Raises ValueError or DataError if the domain cannot give such tasks in the task's form."""
    across: Callable[[Task, Place, Place, Sizes], Domain]
    """(task, of the support, of the queries, sizes): tasks that ask about examples of another domain."""
    labelled: Callable[[Task, Place], datasets.Examples]
    """A split with all its classes, as supervised training wants it; raises ValueError where there is none."""
    augmented: Callable[[Task, tasks.Sample], tasks.Sample]
    """A sampler of `labelled_batches` over it, changed at random as the task asks."""
    class_sizes: Callable[[Task, Place], np.ndarray | None]
    """[C] examples of each class, of a table of values its rows; None where there is no end of them."""
    shape: Callable[[Task], Shape | None]
    """What the network takes and gives, or None where only the data can tell."""
    network: Callable[[Network, Shape, int | None, int], Model]
    """(options, shape, outputs or None for features, context parameters) -> Model."""
    reader: Callable[[Network, Shape], Model]
    """The network of an in-context learner, whose context is a support set as read."""
    maps: Callable[[Network, Shape], Model]
    """The encoder whose feature maps a relation module compares."""
    relation: Callable[[Network, tuple[int, ...]], Model]
    """(options, shape of a map) -> the module that compares two maps."""
    condition: Callable[..., Any]
    """(inputs, context parameters) -> what the network of a learner with context parameters takes."""
    has_norm: bool
    """Whether its networks have a norm, which tables of results then name."""
    pretrains: bool
    """Whether `labelled` has what supervised pre-training wants."""
    base: Callable[[Task, str], str]
    """(task, learner) -> the preset whose settings serve where nobody gives others."""
    floors: Callable[[Task, int], dict[str, MetaLearner]]
    """(task, ways) -> how far raw inputs alone go."""
    read: Callable[[Task, Own, int], Given]
    """(task, files, ways of the head or 0 for any) -> what is adapted to and predicted."""
    read_inputs: Callable[[Task, Own, Frame], tuple[list[str], np.ndarray]]
    """(task, files, frame of a support set) -> the names of inputs, and these as `read` would have given them."""
    shown: Callable[[Task, Place, Sizes], Shown]
    """How the episodes of `open` look to people; raises as `open` does."""
    frozen: Callable[[Task, int | None], FrozenModel] | None = None
    """(task, outputs or None for features) -> a network of which a part is given, instead of `network`."""
    oracles: Callable[[Task], Mapping[str, Oracle]] = lambda task: {}
    """(task) -> the best possible answers, where these are known of its domain."""
    drawn_shape: Callable[[Task, PyTree], Shape] = batch_shape
    """(task, the shapes of a support set) -> what the network takes and gives"""
    columns: Mapping[str, evaluation.Column] = evaluation.COLUMNS
    """How queries are asked, all of a task together or each alone."""
    tested_steps: Callable[[int, int], Sequence[int]] = lambda fewest, steps: (steps,)
    """(fewest that the learner can take, adaptation steps in test) -> of which numbers of them there are scores"""
    is_name: Callable[[Any], Any] = no_names
    """Inputs [n, ...] -> [n] bool, the rows of a support set that say what a class is called."""
    written: Callable[[Frame, np.ndarray], tuple[list[str], str]] = values
    """(frame of a support set, outputs of what has no classes) -> a text for each, and a line on them all."""
    always: tuple[str, ...] = ()
    """Classes that each task has beside its ways, and before them, such as that of no mention."""
    answers: Callable[[Sequence[str], Sequence[str], np.ndarray], Answers] = of_inputs
    """(names of inputs, classes, outputs of what has classes) -> what is told of them, a line for each thing."""
