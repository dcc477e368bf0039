"""The criteria by name: what a recipe minimises, and what is reported of it."""

from __future__ import annotations

from typing import NamedTuple

from jaxmeta import criteria
from jaxmeta.types import Criterion


class Scoring(NamedTuple):
    """A criterion and the metric by which methods are compared."""

    criterion: Criterion
    metric: str
    has_classes: bool
    """Whether targets are labels; a network then has an output for each class, else for each value."""

    @property
    def sign(self) -> int:
        """1 where a higher metric is better, else -1."""
        return 1 if self.metric == "accuracy" else -1


SCORINGS = {
    "cross_entropy": Scoring(criteria.cross_entropy, "accuracy", True),
    "prognosis": Scoring(criteria.prognosis, "accuracy", True),
    "relation_score": Scoring(criteria.relation_score, "accuracy", True),
    "squared_error": Scoring(criteria.squared_error, "loss", False),
}
