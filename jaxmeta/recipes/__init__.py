"""What is learned and how: recipes, the kinds of data, the table of learners; knows no command."""

from jaxmeta.recipes import domains
from jaxmeta.recipes.building import (
    check,
    floors,
    initial,
    inner_optimizer,
    learner,
    learner_at,
    network,
    outer_optimizer,
    shape,
    steps,
    training_learner,
)
from jaxmeta.recipes.domains import complete, kind
from jaxmeta.recipes.kinds import KINDS, Domain, Frame, Given, Kind, Own, Place, Seen, Shape, Shown, Sizes, encoder
from jaxmeta.recipes.kinds.facts import Facts, line
from jaxmeta.recipes.learners import ENTRIES, Entry
from jaxmeta.recipes.names import CONTROL, is_builtin, parts, short
from jaxmeta.recipes.presets import PRESETS, get
from jaxmeta.recipes.recipe import Adaptation, Budget, Network, Outer, Recipe, Task
from jaxmeta.recipes.scoring import SCORINGS, Scoring

__all__ = [
    "CONTROL", "ENTRIES", "KINDS", "PRESETS", "SCORINGS", "Adaptation", "Budget", "Domain", "Entry", "Facts", "Frame",
    "Given", "Kind", "Network", "Outer", "Own", "Place", "Recipe", "Scoring", "Seen", "Shape", "Shown", "Sizes", "Task",
    "check",
    "complete", "domains", "encoder", "floors", "get", "initial", "inner_optimizer", "is_builtin", "kind", "learner",
    "learner_at", "line", "network", "outer_optimizer", "parts", "shape", "short", "steps", "training_learner",
]  # fmt: skip
