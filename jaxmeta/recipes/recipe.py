"""What is learned and how: frozen records of plain values, equal where trainings are equal."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

from jaxmeta import checks
from jaxmeta.recipes import fields
from jaxmeta.recipes.learners import ENTRIES, Entry
from jaxmeta.recipes.scoring import SCORINGS, Scoring

if TYPE_CHECKING:
    LearnerName = CriterionName = str
else:  # the names of the tables, each written once
    LearnerName, CriterionName = Literal[tuple(ENTRIES)], Literal[tuple(SCORINGS)]
PolarityName = Literal["as_is", "ink", "invert"]
NormName = Literal["batch", "support", "task", "instance", "layer", "group", "none"]
DownsamplingName = Literal["stride", "max_pool"]
AdaptersName = Literal["none", "tsa", "film", "lora", "all"]
AugmentName = Literal["none", "affine", "rename"]


@dataclasses.dataclass(frozen=True)
class Adaptation:
    """The algorithm and its inner loop."""

    learner: LearnerName = "maml"
    """The algorithm."""
    inner_optimizer: Literal["sgd", "momentum", "adam", "descent"] = "sgd"
    """What makes the adaptation steps; momentum: sgd with 0.9 of it; adam: without momentum, as Reptile has it;
    descent: finds its rate and takes back what led up, for imaml."""
    inner_learning_rate: float = 0.4
    """Its rate; where rates are learned, what they start from."""
    inner_state: Literal["fresh", "carried"] = "fresh"
    """reptile: what adam remembers when a task begins; carried: what the tasks before left, as in its authors' code."""
    inner_batch_size: int = 0
    """reptile: support examples of an adaptation step in training; 0: all."""
    regularization: float = 1.0
    """imaml: how strongly adaptation is held to the initialisation."""
    inner_tolerance: float = 0.0
    """imaml: adaptation ends once its objective's gradient is this part of what it was; 0: after all steps."""
    cg_steps: int = 5
    """imaml: at most so many conjugate-gradient steps for the meta-gradient."""
    num_context_params: int = 50
    """cavia, context_policy: how many parameters are a task's own."""
    exploration: float = 1.0
    """e_maml: how much the gradient through what is sampled for adaptation counts."""
    inner_steps: int = 1
    """Adaptation steps in training."""
    inner_steps_test: int = 3
    """Adaptation steps in evaluation."""


@dataclasses.dataclass(frozen=True)
class Network:
    """The network, whose inputs and outputs the tasks decide."""

    norm: NormName = "batch"
    """Normalisation of the convolutional network."""
    num_filters: int = 64
    """Channels of the convolutional network."""
    downsampling: DownsamplingName = "stride"
    """How the convolutional network halves a picture."""
    hidden: tuple[int, ...] = (40, 40)
    """Widths of the multi-layer perceptron, which takes inputs that are no pictures."""
    width: int = 32
    """in_context, tnp: numbers in a token; `num_heads` divides it."""
    num_layers: int = 3
    """in_context, tnp: layers of attention."""
    num_heads: int = 2
    """in_context, anp, tnp: heads of attention."""


@dataclasses.dataclass(frozen=True)
class Task:
    """The tasks, in training and in evaluation."""

    domain: str = "omniglot"
    """Names that `jaxmeta domains` lists, tfds:NAME, or paths, with commas between several: a folder of class folders,
    an npz, or a csv; for squared_error and gaussian_likelihood sinusoid, gaussian_process:rbf, :matern52 or :periodic,
    tabular, diabetes, a csv, or an npz of tasks, inputs [tasks, n, d] and targets [tasks, n, m]; for policy_gradient
    navigation, pendulum, cartpole, grid, arm or one of its bodies, such as arm:crossed; for transduction
    g2p:LANGUAGE, or a tsv of strings and what they become; for mentions crossner:DOMAIN, xsid:LANGUAGE, or a CoNLL file
    of words and their tags."""
    kind: str = ""
    """features, adapted, texts, tokens, strings, control, pictures, tables, cells (tables for in_context) or functions;
    by default what a look at the domain says."""
    target_column: str = ""
    """The target of a csv, by name or number from 1; else the column called label, target, class or y, or the last if
    that alone can be it."""
    text_column: str = ""
    """The texts of a csv or of JSON lines, by name or number from 1; else the column called text, sentence, query ..,
    or the one of the longest texts."""
    knowledge: Literal["none", "names"] = "none"
    """names: what the classes of texts are called is a row of the support set, beside their examples."""
    columns: tuple[str, ...] = ()
    """The features of a csv, by name or number; else all columns but those that number or name the rows."""
    train_classes: tuple[str, ...] = ()
    """Classes of a set of your own to train on, or a text file that has one a line; all: every class, of which some
    examples are kept for validation and test; else a half of the classes."""
    validation_classes: tuple[str, ...] = ()
    """Classes to choose by, likewise; else a quarter."""
    test_classes: tuple[str, ...] = ()
    """Classes to test on, likewise; all: every class, whether it was trained on or not; else what nothing was trained
    on."""
    min_examples: int = 0
    """Classes of a set of your own with fewer examples are left out."""
    encoder: str = ""
    """A pretrained encoder, whose features take the place of pictures: efficientnet_lite0, or the path of a
    checkpoint; or of texts, all_minilm_l6_v2 or the path of a folder with a tokenizer."""
    adapters: AdaptersName = "none"
    """What may change in the encoder's last layers; the first ones' maps are computed once. tsa: residual 1 x 1
    convolutions; film: norms alone; lora: dense layers, of a ViT; all: every weight; none: its features serve."""
    criterion: CriterionName = "cross_entropy"
    """The loss: cross_entropy or relation_score (squared error on a sigmoid) of labels, squared_error of values,
    gaussian_likelihood of values with a deviation each; policy_gradient of returns in control, policy_gradient_dice
    with every order of it exact; transduction of strings that become strings; mentions of words with tags, by
    cross-entropy, with a score of F1."""
    picture: tuple[int, int, int] = (28, 28, 1)
    """Height, width and channels (1 grey, 3 RGB) that every picture is brought to."""
    polarity: PolarityName = "as_is"
    """ink: a set with a bright border is inverted, so that glyphs are bright on dark; invert: every set is."""
    augment: AugmentName = "none"
    """affine: training pictures are turned by up to 20 degrees, scaled by exp(+-0.2) and moved by up to a seventh;
    rename: in half of the training tasks of strings some letters stand for one another."""
    num_features: int = 0
    """Columns that every table is brought to, with zeros; 0: as many as the widest table of the domain has."""
    longest: int = 16
    """Letters and symbols of the longest strings; longer ones are left out. Words of the longest tagged sentences;
    longer ones are read in pieces."""
    ways: int = 5
    """Classes per evaluated task; of words with tags the types, beside which a task has O."""
    shots: int = 1
    """Support examples per class (per task in regression); of words with tags the mentions of a type, at least."""
    queries: int = 15
    """Query examples per class (per task in regression; of words with tags sentences) in evaluation."""
    train_ways: int = 5
    """Classes per training task; only metric learners may differ here."""
    train_shots: int = 0
    """Support examples per class in training; 0: as many as in evaluation. Of gaussian_process the most,
    and 3 the fewest."""
    train_queries: int = 1
    """Query examples per class in training."""
    num_classes: int = 0
    """Baselines that are pre-trained: classes to tell apart; 0: as many as the domain has."""


@dataclasses.dataclass(frozen=True)
class Outer:
    """The outer loop."""

    outer_optimizer: Literal["adam", "sgd"] = "adam"
    """What makes the meta-training steps."""
    learning_rate: float = 1e-3
    """The outer optimizer's rate."""
    schedule: Literal["constant", "cosine", "linear", "halving"] = "constant"
    """How the outer rate changes over the steps; halving: by a half every 2,000 steps."""
    clip: float = 0.0
    """The largest entry of the outer gradient, beyond which it is cut; 0: any."""
    clip_norm: float = 0.0
    """The largest norm of the whole outer gradient, beyond which it is shortened and keeps its direction; 0: any."""
    on_divergence: Literal["stop", "skip"] = "stop"
    """What becomes of an update that is not finite: it stops the training, or is left out."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """How much of everything."""

    steps: int = 2000
    """Meta-training steps."""
    tasks_per_step: int = 32
    """Tasks per meta-training step."""
    tasks_per_chunk: int = 0
    """Tasks that a device computes side by side; 0: what is fastest and fits its memory."""
    batch_size: int = 64
    """Baselines that are pre-trained: examples of a training step."""
    num_tasks: int = 600
    """Evaluated tasks."""
    validation_tasks: int = 100
    """Tasks that choose the checkpoint; their classes are neither training nor test classes."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What is learned and how. Names of fields are distinct over all parts, so that one name says where it stands.

    Example:
      >>> from jaxmeta import recipes
      >>> recipe = recipes.get("protonet-strokes").replace(seed=3, norm="support")
      >>> recipe.network.norm, recipe.flat()["train_ways"]
      ('support', 20)
    """

    adaptation: Adaptation = Adaptation()
    network: Network = Network()
    task: Task = Task()
    outer: Outer = Outer()
    budget: Budget = Budget()
    seed: int = 0
    """Seed of everything random."""

    def replace(self, **changes: Any) -> Recipe:
        """The recipe with other values for some fields of its parts, each by its own name; all are made plain.

        Raises:
          TypeError: if there is no such field, or a value is of another kind.
          ValueError: if it is none of a field's choices.
        """
        own = {name: changes.pop(name) for name in [field.name for field in _FIELDS] if name in changes}
        for name in _PARTS:
            inside = [field.name for field in dataclasses.fields(getattr(self, name)) if field.name in changes]
            if inside:
                part = own.get(name, getattr(self, name))
                own[name] = dataclasses.replace(part, **{field: changes.pop(field) for field in inside})
        if changes:
            checks.fail("recipe", f"fields among {', '.join(self.flat())}", ", ".join(changes), error=TypeError)
        return fields.plain(dataclasses.replace(self, **own))

    def flat(self) -> dict[str, Any]:
        """The fields of all parts beside each other: what is written down, and what `replace` takes."""
        content = dataclasses.asdict(self)
        return {name: value for part in _PARTS for name, value in content[part].items()} | {"seed": self.seed}

    @property
    def entry(self) -> Entry:
        """The learner's row in the table of learners."""
        return ENTRIES[self.adaptation.learner]

    @property
    def scoring(self) -> Scoring:
        """The criterion's row in the table of criteria."""
        return SCORINGS[self.task.criterion]


_FIELDS = dataclasses.fields(Recipe)
_PARTS = tuple(field.name for field in _FIELDS if field.name != "seed")
