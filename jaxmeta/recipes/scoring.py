"""The criteria by name: what a recipe minimises, and what is reported of it."""

from __future__ import annotations

from typing import NamedTuple

from jaxmeta import criteria
from jaxmeta.types import Criterion


def metric_sign(metric: str) -> int:
    """1 where a higher score is better, else -1."""
    return 1 if metric in ("accuracy", "return") else -1


class Scoring(NamedTuple):
    """A criterion and the metric by which methods are compared."""

    criterion: Criterion
    metric: str
    has_classes: bool
    """Whether targets are labels; a network then has an output for each class, else for each value."""
    outer: Criterion | None = None
    """What scores the query set in training, if another."""

    @property
    def sign(self) -> int:
        """1 where a higher metric is better, else -1."""
        return metric_sign(self.metric)

    @property
    def acts(self) -> bool:
        """Whether it rolls policies out, in control."""
        return self.metric == "return"


_OUTER = criteria.policy_gradient(scale=criteria.normalised)

SCORINGS = {
    "cross_entropy": Scoring(criteria.cross_entropy, "accuracy", True),
    "prognosis": Scoring(criteria.prognosis, "accuracy", True),
    "relation_score": Scoring(criteria.relation_score, "accuracy", True),
    "squared_error": Scoring(criteria.squared_error, "loss", False),
    "policy_gradient": Scoring(criteria.policy_gradient(), "return", False, _OUTER),
    "policy_gradient_dice": Scoring(criteria.policy_gradient(criteria.loaded_dice), "return", False, _OUTER),
}
