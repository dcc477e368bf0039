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
    oracles,
    outer_optimizer,
    shape,
    steps,
    training_learner,
)
from jaxmeta.recipes.domains import complete, kind
from jaxmeta.recipes.kinds import (
    KINDS,
    Domain,
    Frame,
    Given,
    Kind,
    Oracle,
    Own,
    Place,
    Seen,
    Shape,
    Shown,
    Sizes,
    encoder,
)
from jaxmeta.recipes.kinds.facts import Facts, line
from jaxmeta.recipes.learners import ENTRIES, Entry
from jaxmeta.recipes.names import CONTROL, PROCESSES, is_builtin, parts, short
from jaxmeta.recipes.presets import PRESETS, get
from jaxmeta.recipes.recipe import Adaptation, Budget, Network, Outer, Recipe, Task
from jaxmeta.recipes.scoring import ORACLE, SCORINGS, Scoring

__all__ = [
    "CONTROL", "ENTRIES", "KINDS", "ORACLE", "PRESETS", "PROCESSES", "SCORINGS", "Adaptation", "Budget", "Domain",
    "Entry", "Facts", "Frame", "Given", "Kind", "Network", "Oracle", "Outer", "Own", "Place", "Recipe", "Scoring",
    "Seen", "Shape", "Shown", "Sizes", "Task",
    "check",
    "complete", "domains", "encoder", "floors", "get", "initial", "inner_optimizer", "is_builtin", "kind", "learner",
    "learner_at", "line", "network", "oracles", "outer_optimizer", "parts", "shape", "short", "steps",
    "training_learner",
]  # fmt: skip
