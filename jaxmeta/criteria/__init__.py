"""Criteria: how a predictor is scored on data."""

from jaxmeta.criteria.classification import choice, cross_entropy, relation_score, silence_absent
from jaxmeta.criteria.gaussian import Gaussian, from_outputs, gaussian_likelihood
from jaxmeta.criteria.mentions import Tagging, span_f1
from jaxmeta.criteria.prognosis import area_under_curve, calibration_error, prognosis
from jaxmeta.criteria.regression import squared_error
from jaxmeta.criteria.strings import edit_distance, error_rates, transduction
from jaxmeta.criteria.trajectories import (
    Form,
    as_they_are,
    clipped,
    loaded_dice,
    log_probability,
    normalised,
    policy_gradient,
    ratio,
    rescored,
    surrogate,
)

__all__ = [
    "Form",
    "Gaussian",
    "Tagging",
    "area_under_curve",
    "as_they_are",
    "calibration_error",
    "choice",
    "clipped",
    "cross_entropy",
    "edit_distance",
    "error_rates",
    "from_outputs",
    "gaussian_likelihood",
    "loaded_dice",
    "log_probability",
    "normalised",
    "policy_gradient",
    "prognosis",
    "ratio",
    "relation_score",
    "rescored",
    "silence_absent",
    "span_f1",
    "squared_error",
    "surrogate",
    "transduction",
]
