"""What a training is made of, and the presets."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

import tyro

LearnerName = Literal["maml", "fomaml", "protonet"]
CriterionName = Literal["cross_entropy", "squared_error"]
NormName = Literal["batch", "support", "task", "instance", "layer", "group", "none"]


@dataclasses.dataclass(frozen=True)
class Train:
    """Meta-trains a learner, evaluates it on tasks never seen, and writes a run folder."""

    learner: LearnerName = "maml"
    """The algorithm."""
    domain: str = "omniglot"
    """A name that `jaxmeta domains` lists; a folder of class folders or an npz of pictures; or sinusoid or an npz of
    tasks, inputs [tasks, n, d] and targets [tasks, n, m] (squared_error)."""
    criterion: CriterionName = "cross_entropy"
    """The loss: cross_entropy of labels, squared_error of values."""
    norm: NormName = "batch"
    """Normalisation of the convolutional network."""
    num_filters: int = 64
    """Channels of the convolutional network."""
    hidden: tuple[int, ...] = (40, 40)
    """Widths of the multi-layer perceptron, which takes inputs that are no pictures."""
    picture: tuple[int, int, int] = (28, 28, 1)
    """Height, width and channels (1 grey, 3 RGB) that every picture is brought to."""
    ways: int = 5
    """Classes per evaluated task."""
    shots: int = 1
    """Support examples per class (per task in regression)."""
    queries: int = 15
    """Query examples per class (per task in regression) in evaluation."""
    train_ways: int = 5
    """Classes per training task; only metric learners may differ here."""
    train_queries: int = 1
    """Query examples per class in training."""
    steps: int = 2000
    """Meta-training steps."""
    tasks_per_step: int = 32
    """Tasks per meta-training step."""
    learning_rate: float = 1e-3
    """Adam's rate in the outer loop."""
    schedule: Literal["constant", "cosine"] = "constant"
    """How the outer rate changes over the steps."""
    inner_learning_rate: float = 0.4
    """The rate of gradient descent on the support set."""
    inner_steps: int = 1
    """Adaptation steps in training."""
    inner_steps_test: int = 3
    """Adaptation steps in evaluation."""
    num_tasks: int = 600
    """Evaluated tasks."""
    validation_tasks: int = 100
    """Tasks that choose the checkpoint; their classes are neither training nor test classes."""
    seed: int = 0
    """Seed of everything random."""
    data_dir: str | None = None
    """Where the data sets lie; JAXMETA_DATA is the default."""
    out: str | None = None
    """The run folder; runs/PRESET is the default."""
    force: bool = False
    """Write into a folder that holds something."""


@dataclasses.dataclass(frozen=True)
class Embedded:
    """Meta-trains ProtoNet and MAML on strokes; evaluates on unseen strokes and scikit-learn's digits. No download."""

    num_tasks: int = 200
    """Evaluated tasks per domain and shot."""
    protonet_steps: int = 1300
    """Meta-training steps of ProtoNet."""
    maml_steps: int = 150
    """Meta-training steps of MAML."""
    seed: int = 0
    """Seed of everything random."""
    out: str | None = None
    """The run folder; runs/embedded is the default."""
    force: bool = False
    """Write into a folder that holds something."""


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Evaluates a run on tasks never seen, beside raw inputs and the untrained network."""

    run: Annotated[str, tyro.conf.Positional]
    """A run folder."""
    domain: str | None = None
    """Another domain: a name that `jaxmeta domains` lists, or a path."""
    norm: NormName | None = None
    """Another normalisation over the same parameters."""
    ways: int | None = None
    """Classes per task."""
    shots: int | None = None
    """Support examples per class."""
    queries: int | None = None
    """Query examples per class."""
    inner_steps: int | None = None
    """Adaptation steps."""
    num_tasks: int = 600
    """Evaluated tasks."""
    seed: int = 1
    """Seed of the tasks."""
    data_dir: str | None = None
    """Where the data sets lie; JAXMETA_DATA is the default."""
    out: str | None = None
    """Folder for results.json; RUN/evaluation is the default."""
    force: bool = False
    """Write into a folder that holds something."""


@dataclasses.dataclass(frozen=True)
class Adapt:
    """Adapts a run once to labelled examples of your own and predicts others."""

    run: Annotated[str, tyro.conf.Positional]
    """A run folder."""
    support: str
    """Labelled examples: a folder of class folders of pictures, an npz, or a csv of numbers with a target column."""
    inputs: str
    """What to predict: a picture, a folder of pictures, an npz or a csv."""
    out: str = "predictions.csv"
    """The file to write."""
    polarity: Literal["ink", "as_is", "invert"] = "ink"
    """Pictures: ink turns dark strokes on light paper into what the run was trained on, bright on dark."""
    inner_steps: int | None = None
    """Adaptation steps; the run's own for evaluation is the default."""
    seed: int = 0
    """Seed of whatever is random in adaptation."""
    force: bool = False
    """Overwrite the file."""


@dataclasses.dataclass(frozen=True)
class Domains:
    """Lists the domains that can be evaluated, with their classes and sizes."""


@dataclasses.dataclass(frozen=True)
class Audit:
    """Audits a learner of your own: exact or first order, severed, transductive, leaking. It runs the code it names."""

    learner: Annotated[str, tyro.conf.Positional]
    """MODULE:NAME, importable from the current directory: a MetaLearner, a pair (learner, sampler), or a function that
    returns one of them; if it takes num_steps, memory is measured too. Importing it runs it: name no code you do not
    trust."""
    domain: Literal["sinusoid", "strokes", "tabular"] = "sinusoid"
    """The tasks, unless a sampler comes with the learner."""
    ways: int = 3
    """Classes per task."""
    shots: int = 2
    """Support examples per class (per task in regression)."""
    queries: int = 2
    """Query examples per class (per task in regression)."""
    features: int = 8
    """Columns of the domain tabular."""
    promise: tuple[str, ...] = ()
    """CHECK=WORD, any number of them, such as gradient=first_order queries=transductive; WORD none: no promise."""
    json: str | None = None
    """A file for the findings."""
    seed: int = 0
    """Seed of everything random."""
    force: bool = False
    """Overwrite the file."""


_SINUSOID: dict[str, Any] = {
    "domain": "sinusoid",
    "criterion": "squared_error",
    "shots": 10,
    "queries": 100,
    "train_queries": 10,
    "inner_learning_rate": 0.01,
    "validation_tasks": 200,
}
_PROTONET: dict[str, Any] = {
    "learner": "protonet",
    "train_ways": 20,
    "train_queries": 5,
    "tasks_per_step": 1,
    "steps": 6000,
    "schedule": "cosine",
}
_STROKES_MAML: dict[str, Any] = {"domain": "strokes", "norm": "support", "steps": 1000, "inner_steps_test": 5}
PRESETS: dict[str, Train | Embedded] = {
    "embedded": Embedded(),
    "maml-sinusoid": Train(**_SINUSOID, steps=20_000, tasks_per_step=25, inner_steps_test=10),
    "maml-regression": Train(
        **_SINUSOID, hidden=(64, 64), steps=10_000, tasks_per_step=32, inner_steps=5, inner_steps_test=5
    ),
    # One query a class in test too, as in the paper's code; it matters to norm "batch", whose moments are the queries'.
    "maml-omniglot-5w1s": Train(queries=1),
    "protonet-omniglot-5w1s": Train(**_PROTONET, norm="layer"),
    "maml-strokes": Train(**_STROKES_MAML),
    "protonet-strokes": Train(**{**_PROTONET, "steps": 3000}, domain="strokes", norm="layer"),
}
