"""The criteria by name: what a recipe minimises, and what is reported of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from jaxmeta import criteria
from jaxmeta.types import Criterion

ORACLE = "exact posterior"
"""The row of the best possible answer where it is known: of all floors the one that is none."""


def metric_sign(metric: str) -> int:
    """1 where a higher score is better, else -1."""
    return 1 if metric in ("accuracy", "return", "log_likelihood", "span_f1") else -1


class Scoring(NamedTuple):
    """A criterion and the metric by which methods are compared."""

    criterion: Criterion
    metric: str
    has_classes: bool
    """Whether targets are labels; a network then has an output for each class, else for each value."""
    beside: tuple[str, ...] = ()
    """Metrics that are told beside it."""
    outer: Criterion | None = None
    """What scores the query set in training, if another."""
    asks: Criterion | None = None
    """What validation and test ask instead of the criterion, such as for what is said where none of it is shown."""
    chooses: str = ""
    """The metric that says which parameters of a training are kept, if another."""

    @property
    def judge(self) -> Criterion:
        """By which validation and test go."""
        return self.asks or self.criterion

    @property
    def sign(self) -> int:
        """1 where a higher metric is better, else -1."""
        return metric_sign(self.metric)

    def better(self, new: Mapping[str, float], best: Mapping[str, float]) -> bool:
        """Whether the metrics of a validation are better than the best before."""
        metric = self.chooses or self.metric
        return metric_sign(metric) * new[metric] > metric_sign(metric) * best[metric]

    @property
    def acts(self) -> bool:
        """Whether it rolls policies out, in control."""
        return self.metric == "return"

    @property
    def has_scale(self) -> bool:
        """Whether predictions are `criteria.Gaussian`, a mean and a scale for each value."""
        return self.metric == "log_likelihood"


_OUTER = criteria.policy_gradient(scale=criteria.normalised)

SCORINGS = {
    "cross_entropy": Scoring(criteria.cross_entropy, "accuracy", True),
    "prognosis": Scoring(
        criteria.prognosis, "accuracy", True, ("area_under_curve", "calibration_error"), chooses="loss"
    ),
    "relation_score": Scoring(criteria.relation_score, "accuracy", True),
    "squared_error": Scoring(criteria.squared_error, "loss", False),
    "gaussian_likelihood": Scoring(criteria.gaussian_likelihood, "log_likelihood", False, ("squared_error",)),
    "policy_gradient": Scoring(criteria.policy_gradient(), "return", False, outer=_OUTER),
    "policy_gradient_dice": Scoring(criteria.policy_gradient(criteria.loaded_dice), "return", False, outer=_OUTER),
    "mentions": Scoring(criteria.span_f1, "span_f1", True, ("span_precision", "span_recall")),
    "transduction": Scoring(criteria.transduction, "phoneme_error_rate", False, asks=criteria.error_rates),
}
