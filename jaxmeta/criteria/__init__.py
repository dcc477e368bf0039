"""Criteria: how a predictor is scored on data."""

from jaxmeta.criteria.classification import cross_entropy, relation_score, silence_absent
from jaxmeta.criteria.prognosis import area_under_curve, calibration_error, prognosis
from jaxmeta.criteria.regression import squared_error

__all__ = [
    "area_under_curve", "calibration_error", "cross_entropy", "prognosis", "relation_score", "silence_absent",
    "squared_error",
]  # fmt: skip
