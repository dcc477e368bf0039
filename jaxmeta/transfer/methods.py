"""What the rows of a transfer are called, how they are trained, and how they are tested."""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxmeta import recipes
from jaxmeta.recipes import ENTRIES, Recipe
from jaxmeta.transfer.plan import Setting

RATES = (0.001, 0.003, 0.01, 0.03, 0.1)


class Training(NamedTuple):
    """A training that one or several methods share."""

    recipe: Recipe
    start: str | None = None
    """The training whose encoder it begins with."""


class Method(NamedTuple):
    """A learner or a baseline in test."""

    family: str
    """"learner" or "baseline"."""
    training: str | None
    """None: it has nothing to train."""
    test: dict[str, Any]
    """How its recipe differs from the training's."""
    tuned: bool = False
    """Whether the rate of its steps in test is chosen on validation classes of the source."""
    fine_tunes: bool = False
    """Whether it takes the transfer's fine-tuning steps in test, not its own."""


_PRETRAINED = Recipe().replace(
    learner="fine_tune", norm="support", steps=4000, tasks_per_step=1, schedule="cosine", inner_optimizer="momentum",
    inner_learning_rate=0.01,
)  # fmt: skip
_TRAININGS = {
    "pretrained": Training(_PRETRAINED),
    "pretrained_cosine": Training(_PRETRAINED.replace(learner="baseline_plus_plus")),
    "pretrained_layer": Training(_PRETRAINED.replace(norm="layer")),
    "pmf": Training(
        recipes.get("protonet-strokes").replace(
            learner="proto_maml", inner_steps=0, inner_optimizer="momentum", inner_learning_rate=0.01,
            learning_rate=5e-4,
        ),
        start="pretrained_layer",
    ),
}  # fmt: skip
_METHODS = {
    "fine_tune": Method("baseline", "pretrained", {}, tuned=True, fine_tunes=True),
    "linear_probe": Method("baseline", "pretrained", {"learner": "linear_probe"}, tuned=True, fine_tunes=True),
    "simple_shot": Method("baseline", "pretrained", {"learner": "simple_shot"}),
    "baseline_plus_plus": Method("baseline", "pretrained_cosine", {}, tuned=True, fine_tunes=True),
    "from_scratch": Method(
        "baseline", None, {"learner": "from_scratch", "norm": "support", "inner_optimizer": "momentum"},
        tuned=True, fine_tunes=True,
    ),
    "frozen_ridge": Method("baseline", None, {"learner": "ridge_classifier"}),
    "frozen_tuned": Method(
        "baseline", None, {"learner": "tuned_protonet", "inner_optimizer": "momentum"}, tuned=True, fine_tunes=True
    ),
    "pmf": Method("learner", "pmf", {}, tuned=True, fine_tunes=True),
    # It starts from prototypes, whose gradient grows with the features: a rate that fits one shot diverges at five.
    "proto_maml": Method("learner", "proto_maml", {}, tuned=True),
}  # fmt: skip


def method(name: str) -> Method:
    """Other learners are tested as they are trained."""
    return _METHODS.get(name) or Method("learner", name, {})


def family(name: str) -> str:
    """Whether a learner of this name, as a run has it, is a "learner" or a "baseline"."""
    return "baseline" if ENTRIES[name].is_pretrained or name == "from_scratch" else "learner"


def training(name: str, setting: Setting, source: str) -> Training:
    """A training as a transfer asks for it: its own steps and norm, the transfer's network, tasks and source."""
    made = _TRAININGS.get(name)
    if made is None:
        base = recipes.get(setting.kind.base(setting.task, name))
        made = Training(base if base.adaptation.learner == name else base.replace(learner=name))
    return made._replace(recipe=_asked(made.recipe, setting, source))


def tested(found: Method, trained: Recipe | None, setting: Setting, source: str) -> Recipe:
    """The recipe of a method in test, from that of its training."""
    plan = setting.plan
    recipe = (trained or _asked(Recipe(), setting, source)).replace(**found.test)
    steps = plan.fine_tune_steps if found.fine_tunes else recipe.adaptation.inner_steps_test
    return recipe.replace(inner_steps_test=steps, norm=plan.norm or recipe.network.norm)


def plain(setting: Setting, domain: str) -> Recipe:
    """A domain in the transfer's form, under an encoder whose features depend on nothing but an example."""
    learner = "protonet" if setting.plan.scoring.has_classes else "maml"
    return _asked(Recipe().replace(learner=learner), setting, domain).replace(norm="layer")


def _asked(recipe: Recipe, setting: Setting, source: str) -> Recipe:
    plan, form = setting.plan, setting.task
    same: dict[str, Any] = {
        name: getattr(plan, name) for name in ("ways", "num_filters", "downsampling", "polarity", "seed")
    }
    same |= {
        name: getattr(form, name) for name in ("kind", "num_features", "encoder", "adapters", "picture", "longest")
    }
    if recipe.task.criterion != "relation_score":
        same["criterion"] = plan.criterion
    # Of types of mentions a source may have no more than a target.
    if recipe.entry.has_head or setting.kind.always:
        same["train_ways"] = plan.ways
    rate = plan.learning_rate or recipe.outer.learning_rate
    together = plan.tasks_per_step or recipe.budget.tasks_per_step
    steps = recipe.budget.steps * plan.effort * recipe.budget.tasks_per_step / together
    return recipe.replace(
        **same, domain=source, augment=plan.augment, shots=min(plan.shots), norm=plan.norm or recipe.network.norm,
        steps=max(1, round(steps / 10)) * 10, tasks_per_step=together, batch_size=plan.batch_size, learning_rate=rate,
        queries=min(plan.queries, 5),
    )  # fmt: skip
