"""What the commands take."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

import tyro

LearnerName = Literal[
    "maml", "fomaml", "reptile", "meta_sgd", "anil", "boil", "maml_plus_plus", "imaml", "cavia", "learned_optimizer",
    "proto_maml", "protonet", "matching_net", "relation_net", "r2d2",
]  # fmt: skip
CriterionName = Literal["cross_entropy", "relation_score", "squared_error"]
PolarityName = Literal["as_is", "ink", "invert"]
NormName = Literal["batch", "support", "task", "instance", "layer", "group", "none"]


@dataclasses.dataclass(frozen=True)
class Train:
    """Meta-trains a learner, evaluates it on tasks never seen, and writes a run folder."""

    learner: LearnerName = "maml"
    """The algorithm."""
    domain: str = "omniglot"
    """Names that `jaxmeta domains` lists, tfds:NAME, or paths, with commas between several: a folder of class folders,
    an npz, or a csv; for squared_error sinusoid, tabular, diabetes, a csv, or an npz of tasks, inputs [tasks, n, d] and
    targets [tasks, n, m]."""
    target_column: str = ""
    """The target of a csv, by name or number from 1; else the column called label, target, class or y, or the last."""
    criterion: CriterionName = "cross_entropy"
    """The loss: cross_entropy or relation_score (squared error on a sigmoid) of labels, squared_error of values."""
    norm: NormName = "batch"
    """Normalisation of the convolutional network."""
    num_filters: int = 64
    """Channels of the convolutional network."""
    downsampling: Literal["stride", "max_pool"] = "stride"
    """How the convolutional network halves a picture."""
    hidden: tuple[int, ...] = (40, 40)
    """Widths of the multi-layer perceptron, which takes inputs that are no pictures."""
    picture: tuple[int, int, int] = (28, 28, 1)
    """Height, width and channels (1 grey, 3 RGB) that every picture is brought to."""
    polarity: PolarityName = "as_is"
    """ink: a set with a bright border is inverted, so that glyphs are bright on dark; invert: every set is."""
    num_features: int = 0
    """Columns that every table is brought to, with zeros; 0: as many as the widest table of --domain has."""
    ways: int = 5
    """Classes per evaluated task."""
    shots: int = 1
    """Support examples per class (per task in regression)."""
    queries: int = 15
    """Query examples per class (per task in regression) in evaluation."""
    train_ways: int = 5
    """Classes per training task; only metric learners may differ here."""
    train_shots: int = 0
    """Support examples per class in training; 0: as many as in evaluation."""
    train_queries: int = 1
    """Query examples per class in training."""
    steps: int = 2000
    """Meta-training steps."""
    tasks_per_step: int = 32
    """Tasks per meta-training step."""
    outer_optimizer: Literal["adam", "sgd"] = "adam"
    """What makes the meta-training steps."""
    learning_rate: float = 1e-3
    """The outer optimizer's rate."""
    schedule: Literal["constant", "cosine", "linear", "halving"] = "constant"
    """How the outer rate changes over the steps; halving: by a half every 2,000 steps."""
    clip: float = 0.0
    """The largest entry of the outer gradient, beyond which it is cut; 0: any."""
    on_divergence: Literal["stop", "skip"] = "stop"
    """What becomes of an update that is not finite: it stops the training, or is left out."""
    inner_optimizer: Literal["sgd", "adam"] = "sgd"
    """What makes the adaptation steps; adam: without momentum, as Reptile has it."""
    inner_learning_rate: float = 0.4
    """Its rate; where rates are learned, what they start from."""
    inner_batch_size: int = 0
    """reptile: support examples of an adaptation step in training; 0: all."""
    regularization: float = 1.0
    """imaml: how strongly adaptation is held to the initialisation."""
    num_context_params: int = 50
    """cavia: how many parameters are a task's own."""
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
class Resume:
    """Goes on with a broken run, to the bits of an unbroken one; all but where the data lies is the run's own."""

    resume: str
    """A run folder."""
    domain: str | None = None
    """The run's own data, if it was trained on paths: no file records them."""
    data_dir: str | None = None
    """Where the data sets lie; JAXMETA_DATA is the default."""


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Evaluates a run on tasks never seen, beside raw inputs and the untrained network."""

    run: Annotated[str, tyro.conf.Positional]
    """A run folder."""
    domain: str | None = None
    """Another domain: a name that `jaxmeta domains` lists, tfds:NAME, or a path; what nothing was trained on is taken
    whole."""
    target_column: str = ""
    """The target of a csv, by name or number from 1; else the column called label, target, class or y, or the last."""
    polarity: PolarityName | None = None
    """Pictures: ink turns dark strokes on light paper into bright on dark; the run's own is the default."""
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
    """Labelled examples: a folder of class folders of pictures, an npz, tfds:NAME, or a csv of numbers with a target
    column."""
    inputs: str
    """What to predict: a picture, a folder of pictures, an npz, tfds:NAME or a csv."""
    target_column: str = ""
    """The target of a csv, by name or number from 1; else the column called label, target, class or y, or the last."""
    out: str = "predictions.csv"
    """The file to write."""
    polarity: PolarityName = "ink"
    """Pictures: ink turns dark strokes on light paper into what the run was trained on, bright on dark."""
    inner_steps: int | None = None
    """Adaptation steps; the run's own for evaluation is the default."""
    seed: int = 0
    """Seed of whatever is random in adaptation."""
    data_dir: str | None = None
    """Where prepared tensorflow-datasets lie; JAXMETA_DATA is the default."""
    force: bool = False
    """Overwrite the file."""


@dataclasses.dataclass(frozen=True)
class Domains:
    """Lists the domains by field, with their classes and sizes: embedded, found on this disk, and others to get."""

    data_dir: str | None = None
    """Where the data sets lie; JAXMETA_DATA is the default."""


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
