"""What the commands take."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

import tyro

LearnerName = Literal[
    "maml", "fomaml", "reptile", "meta_sgd", "anil", "boil", "maml_plus_plus", "imaml", "cavia", "learned_optimizer",
    "proto_maml", "protonet", "matching_net", "relation_net", "r2d2",
    "fine_tune", "linear_probe", "baseline_plus_plus", "simple_shot", "from_scratch",
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
    num_classes: int = 0
    """Baselines that are pre-trained: classes to tell apart; 0: as many as --domain has."""
    batch_size: int = 64
    """Baselines that are pre-trained: examples of a training step."""
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
    inner_optimizer: Literal["sgd", "momentum", "adam"] = "sgd"
    """What makes the adaptation steps; momentum: sgd with 0.9 of it; adam: without momentum, as Reptile has it."""
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
    seeds: int = 1
    """Trainings, of this seed and those after it, in one program; each has a run folder seed-N of its own."""
    data_dir: str | None = None
    """Where the data sets lie; JAXMETA_DATA is the default."""
    out: str | None = None
    """The run folder; runs/PRESET is the default."""
    force: bool = False
    """Write into a folder that holds something."""
    distributed: bool = False
    """This is one of several processes, such as one on each host, that share the tasks; the first writes and prints."""


@dataclasses.dataclass(frozen=True)
class Resume:
    """Goes on with a broken run, to the bits of an unbroken one; all but where the data lies is the run's own."""

    resume: str
    """A run folder."""
    domain: str | None = None
    """The run's own data, if it was trained on paths: no file records them."""
    data_dir: str | None = None
    """Where the data sets lie; JAXMETA_DATA is the default."""
    distributed: bool = False
    """This is one of several processes that share the tasks; all must see the run folder."""


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
    distributed: bool = False
    """This is one of several processes that share the tasks; all must see the run folder."""


MethodName = Literal[LearnerName, "pmf"]


@dataclasses.dataclass(frozen=True)
class Transfer:
    """Meta-trains on sources, adapts to tasks of targets, and compares all methods on the same tasks."""

    sources: tuple[str, ...] = ("strokes",)
    """Domains to train on, each by itself; several with commas between them are one source."""
    targets: tuple[str, ...] = ("digits", "digits_moved")
    """Domains to adapt to; of one that is also a source, classes that training did not see."""
    learners: tuple[MethodName, ...] = ("protonet", "maml", "fine_tune", "simple_shot", "from_scratch")
    """Learners and baselines; pmf: pre-trained, then meta-trained as protonet, then fine-tuned on the support set."""
    runs: tuple[str, ...] = ()
    """Run folders of `jaxmeta train` that take part as they are."""
    ways: int = 5
    """Classes per task; a target with fewer has tasks of all its classes."""
    shots: tuple[int, ...] = (1, 5)
    """Support examples per class."""
    queries: int = 15
    """Query examples per class; a target that has fewer left gives what it has."""
    num_tasks: Annotated[int, tyro.conf.arg(aliases=["--episodes"])] = 0
    """Tasks for each target and number of shots; 0: 200 on CPU, 600 on an accelerator."""
    effort: float = 1.0
    """Meta-training steps, as a multiple of each method's own."""
    fine_tune_steps: int = 50
    """Full-batch steps of the baselines that train on the support set; their rate is tuned on the source's validation
    classes."""
    tune_tasks: int = 40
    """Tasks for each rate and number of shots of that tuning."""
    norm: NormName | None = None
    """One normalisation for all; by default each method's own."""
    num_filters: int = 64
    """Channels of the convolutional network."""
    downsampling: Literal["stride", "max_pool"] = "stride"
    """How the convolutional network halves a picture."""
    picture: tuple[int, int, int] = (28, 28, 1)
    """Height, width and channels (1 grey, 3 RGB) that every picture is brought to."""
    polarity: PolarityName = "as_is"
    """ink: a set with a bright border is inverted, so that glyphs are bright on dark; invert: every set is."""
    in_domain: bool = True
    """Whether a target that is among a source's domains is evaluated from that source."""
    seed: int = 0
    """Seed of everything random."""
    data_dir: str | None = None
    """Where the data sets lie; JAXMETA_DATA is the default."""
    out: str | None = None
    """The folder; runs/transfer-PRESET is the default."""
    resume: bool = False
    """Go on with what the folder holds of the same transfer."""
    force: bool = False
    """Write into a folder that holds something, and start over."""


@dataclasses.dataclass(frozen=True)
class Adapt:
    """Adapts a run once to labelled examples of your own and predicts others."""

    run: Annotated[str, tyro.conf.Positional]
    """A run folder."""
    support: str
    """Labelled examples: a folder of class folders of pictures, an npz, tfds:NAME, or a csv of numbers with a target
    column."""
    inputs: str
    """What to predict: a picture, a folder of pictures, an npz, tfds:NAME or a csv, whose columns go by the names that
    the header of a labelled csv gives them, in any order and among others."""
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
