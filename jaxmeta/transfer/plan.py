"""What a transfer compares, and on which tasks."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import jax

from jaxmeta import checks, recipes
from jaxmeta.recipes import ENTRIES, Place, Recipe, Task, fields
from jaxmeta.recipes.recipe import AdaptersName, AugmentName, DownsamplingName, NormName, PolarityName

_LEARNERS = {name: name for name in ENTRIES} | {
    "pmf": "proto_maml",
    "frozen_ridge": "ridge_classifier",
    "frozen_tuned": "tuned_protonet",
}
"""{method: its learner}"""
if TYPE_CHECKING:
    MethodName = str
else:
    MethodName = Literal[tuple(_LEARNERS)]


@dataclasses.dataclass(frozen=True)
class Plan:
    """Sources, targets and methods, and the one form in which they meet."""

    sources: tuple[str, ...] = ("strokes",)
    """Domains to train on, each by itself; several with commas between them are one source."""
    targets: tuple[str, ...] = ("digits", "digits_moved")
    """Domains to adapt to; of one that is also a source, classes that training did not see."""
    learners: tuple[MethodName, ...] = ("protonet", "maml", "fine_tune", "simple_shot", "from_scratch")
    """Learners and baselines; pmf: pre-trained, then meta-trained as protonet, then fine-tuned on the support set;
    frozen_ridge: a ridge classifier of features as they come, which nothing trains; frozen_tuned: likewise, once the
    adapters were trained on the support set."""
    runs: tuple[str, ...] = ()
    """Run folders of `jaxmeta train` that take part as they are."""
    encoder: str = ""
    """A pretrained encoder, whose features take the place of pictures: efficientnet_lite0, or the path of a
    checkpoint."""
    adapters: AdaptersName = "none"
    """What may change in the encoder's last layers: tsa, film, lora, all; none: its features serve."""
    criterion: Literal["cross_entropy", "squared_error", "gaussian_likelihood", "policy_gradient", "mentions"] = (
        "cross_entropy"
    )
    """The loss: cross_entropy of labels, squared_error of values, gaussian_likelihood of values with a deviation,
    policy_gradient of returns in control, mentions of words with tags."""
    ways: int = 5
    """Classes per task; a target with fewer has tasks of all its classes."""
    shots: tuple[int, ...] = (1, 5)
    """Support examples per class, per task in regression."""
    queries: int = 15
    """Query examples per class, per task in regression; a target that has fewer left gives what it has."""
    num_tasks: int = 0
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
    downsampling: DownsamplingName = "stride"
    """How the convolutional network halves a picture."""
    picture: tuple[int, int, int] = (28, 28, 1)
    """Height, width and channels (1 grey, 3 RGB) that every picture is brought to."""
    polarity: PolarityName = "as_is"
    """ink: a set with a bright border is inverted, so that glyphs are bright on dark; invert: every set is."""
    augment: AugmentName = "none"
    """affine: training pictures are turned by up to 20 degrees, scaled by exp(+-0.2) and moved by up to a seventh."""
    tasks_per_step: int = 0
    """Tasks per meta-training step, which devices share; 0: each method's own. As many fewer steps are made."""
    batch_size: int = 64
    """Pre-training: examples of a task of a step."""
    learning_rate: float = 0.0
    """The outer optimizer's rate; 0: each method's own."""
    in_domain: bool = True
    """Whether a target that is among a source's domains is evaluated from that source."""
    seed: int = 0
    """Seed of everything random."""

    @property
    def scoring(self) -> recipes.Scoring:
        """The criterion, and what is reported of it."""
        return recipes.SCORINGS[self.criterion]

    def meets(self, source: str, target: str) -> bool:
        """Whether a source is evaluated on a target."""
        return self.in_domain or target not in recipes.parts(source)

    def met(self) -> dict[str, list[str]]:
        """{source: the targets on which it is evaluated}"""
        return {source: [target for target in self.targets if self.meets(source, target)] for source in self.sources}

    def recorded(self) -> dict[str, Any]:
        """The plan as it is written down: without directories, which are the user's own."""
        content = dataclasses.asdict(self)
        for name in ("sources", "targets", "runs"):
            content[name] = [recipes.short(each) for each in content[name]]
        content["encoder"] = recipes.short(self.encoder)
        return json.loads(json.dumps(content))


class Setting(NamedTuple):
    """A plan whose data were looked at."""

    plan: Plan
    task: Task
    """The one form in which all domains meet; its domain is any."""
    data_dir: str | None

    @property
    def kind(self) -> recipes.Kind:
        return recipes.kind(self.task)

    @property
    def shape(self) -> recipes.Shape:
        """What networks take and give."""
        known = self.kind.shape(self.task)
        return known or self._drawn_shape()

    def _drawn_shape(self) -> recipes.Shape:
        domain = self.plan.sources[0] if self.plan.sources else self.plan.targets[0]
        opened = recipes.domains.open(domain, "test", task=self.task, data_dir=self.data_dir)
        return recipes.shape(Recipe(task=self.task), opened.sample)


_BOTH = "`sources` and `targets`"
_LOWEST = {"ways": 2, "queries": 1, "num_tasks": 0, "fine_tune_steps": 0, "tune_tasks": 2, "num_filters": 1,
           "tasks_per_step": 0, "batch_size": 1, "shots": 1}  # fmt: skip


def _plain(plan: Plan) -> Plan:
    """The plan with tuples, where one name or one number stands as well, and with Python's own whole numbers, as JSON
    has no others."""
    return fields.plain(dataclasses.replace(plan, seed=checks.seed("`seed`", plan.seed)), _LOWEST)


def _place(domain: str) -> str:
    """What is one wherever its parts lead to one: a path may be written in several ways, and a link lead to it."""
    return ",".join(part if recipes.is_builtin(part) else os.path.realpath(part) for part in recipes.parts(domain))


def checked(plan: Plan) -> Plan:
    """The plan with its number of tasks; raises ValueError for what cannot be."""
    plan = _plain(plan)
    if plan.num_tasks == 1:
        checks.fail("`num_tasks`", "at least 2, for an interval", 1)
    if not 0 < plan.effort < float("inf"):
        checks.fail("`effort`", "a positive number", plan.effort)
    if not 0 <= plan.learning_rate < float("inf"):
        checks.fail("`learning_rate`", "a number of at least 0", plan.learning_rate)
    for name in ("targets", "shots"):
        if not getattr(plan, name):
            checks.fail(f"`{name}`", "at least one", "none")
    if not (plan.sources and plan.learners) and not plan.runs:
        checks.fail("`sources` and `learners`", "at least one each, or `runs`", "none")
    for name in plan.learners:
        checks.choice("`learners`", name, _LEARNERS)
    places: dict[str, Callable[[Any], Any]] = {"sources": _place, "targets": _place, "runs": os.path.realpath}
    for name in ("sources", "targets", "learners", "shots", "runs"):
        given = getattr(plan, name)
        if len(set(map(places.get(name, str), given))) < len(given):
            checks.fail(f"`{name}`", "each once", " ".join(map(str, given)))
    for target in plan.targets:
        if len(recipes.parts(target)) > 1:
            checks.fail("`targets`", "one domain each, with spaces between them", repr(target))
    for name in ("sources", "targets"):
        for part in (part for domain in getattr(plan, name) for part in recipes.parts(domain)):
            if not (recipes.is_builtin(part) or os.path.exists(part)):
                checks.fail(f"`{name}`", "names that `jaxmeta domains` lists, or paths", repr(part))
            if name == "sources":
                recipes.domains.check_trainable("`sources`", part, plan.criterion)
    number = 200 if jax.default_backend() == "cpu" else 600
    plan = dataclasses.replace(plan, num_tasks=plan.num_tasks or number)
    # One without the other trains nothing: the runs that are given stand alone.
    return plan if plan.sources and plan.learners else dataclasses.replace(plan, sources=(), learners=())


def setting(plan: Plan, data_dir: str | None) -> Setting:
    """Looks at all domains of a checked plan, which must be of one kind.

    Raises:
      ValueError: if they are not, or a method does not fit their kind.
    """
    form = Task(encoder=plan.encoder, adapters=plan.adapters, criterion=plan.criterion, picture=plan.picture,
                polarity=plan.polarity, ways=plan.ways, train_ways=plan.ways, shots=min(plan.shots))  # fmt: skip
    names = [part for domain in (*plan.sources, *plan.targets) for part in recipes.parts(domain)]
    found = recipes.domains.joined(form, [Place(part, "train", data_dir) for part in names], _BOTH)
    kind = recipes.kind(found)
    found = dataclasses.replace(found, longest=recipes.get(kind.base(found, "maml")).task.longest)
    for name in plan.learners:
        entry = ENTRIES[_LEARNERS[name]]
        pretrained = entry.is_pretrained or name == "pmf"
        if (pretrained and not kind.pretrains) or (entry.network == "maps" and not kind.has_norm):
            checks.fail("`learners`", f"methods that fit {kind.name}, such as maml or from_scratch", name)
        if not entry.has_head and not plan.scoring.has_classes:
            checks.fail("`learners`", f"methods with a head, for `criterion` {plan.criterion}", name)
        if entry.has_scale and plan.criterion != "gaussian_likelihood":
            checks.fail("`criterion`", f"gaussian_likelihood, for `learners` {name}", plan.criterion)
    return Setting(plan, found, data_dir)


_ALL_DOMAINS = ("digits", "mnist", "fashion_mnist", "emoji_styles", "caltech101", "ucmerced", "bccd_cells")
# Emoji are trained on in two styles and told apart in the two others, which nothing has seen.
_PHOTO_SOURCES = "caltech101,fonts,omniglot,emoji_styles:noto+twemoji"
_PHOTO_TARGETS = ("ucmerced", "bccd_cells", "fashion_mnist", "mnist", "emoji_styles:fluent3d+openmoji")

PLANS: dict[str, Plan] = {
    "quick": Plan(
        # The rate was chosen on validation classes of the sources, steps and batches so that all train as long,
        # within three minutes; augmentation has digits_moved's ranges.
        sources=("drawn_strokes,fonts",), learners=("cross_transformer", "linear_probe", "simple_shot"), queries=10,
        num_filters=32, augment="affine", learning_rate=4e-3, effort=0.7, tasks_per_step=2, batch_size=120,
    ),
    "shared": Plan(
        sources=("omniglot,fonts",), targets=_ALL_DOMAINS,
        learners=(
            "protonet", "maml", "r2d2", "proto_maml", "pmf",
            "from_scratch", "fine_tune", "linear_probe", "baseline_plus_plus", "simple_shot",
        ),
        effort=1.5,
    ),
    "leave-one-out": Plan(
        sources=(
            "omniglot,fonts,emoji_styles", "omniglot,fonts,caltech101", "omniglot,emoji_styles,caltech101",
            "fonts,emoji_styles,caltech101", "omniglot", "fonts", "emoji_styles", "caltech101",
        ),
        targets=("omniglot", "fonts", "emoji_styles", "caltech101"), learners=("protonet", "simple_shot"),
        in_domain=False, effort=0.6,
    ),
    "photos": Plan(
        sources=(_PHOTO_SOURCES,), targets=_PHOTO_TARGETS, encoder="efficientnet_lite0",
        learners=("frozen_ridge", "ridge_classifier", "protonet", "r2d2"), queries=10, num_tasks=600,
    ),
    # One that learns by reading beside two metric learners, over the same features and from the same sources.
    "in-context": Plan(
        sources=(_PHOTO_SOURCES,), targets=_PHOTO_TARGETS, encoder="efficientnet_lite0",
        learners=("in_context", "protonet", "r2d2"), queries=10, num_tasks=600,
    ),
    "bscd-fsl": Plan(
        sources=("mini_imagenet",), targets=("crop_disease", "eurosat", "isic", "chestx"), shots=(5, 20, 50),
        num_tasks=600, picture=(84, 84, 3), downsampling="max_pool", fine_tune_steps=100,
        learners=("protonet", "maml", "relation_net", "fine_tune", "linear_probe", "simple_shot"),
    ),
}  # fmt: skip
