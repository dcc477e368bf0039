"""Criteria: how a predictor is scored on data."""

from jaxmeta.criteria.classification import cross_entropy, relation_score, silence_absent
from jaxmeta.criteria.mentions import span_f1
from jaxmeta.criteria.regression import squared_error
from jaxmeta.criteria.strings import edit_distance, error_rates, transduction

__all__ = [
    "cross_entropy",
    "edit_distance",
    "error_rates",
    "relation_score",
    "silence_absent",
    "span_f1",
    "squared_error",
    "transduction",
]
