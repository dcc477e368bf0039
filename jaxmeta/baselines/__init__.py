"""What meta-learning must beat, as MetaLearners."""

from jaxmeta.baselines.baseline_plus_plus import baseline_plus_plus
from jaxmeta.baselines.classical import (
    gradient_boosting,
    majority_class,
    nearest_neighbours,
    random_forest,
    standardized_centroid,
    tuned_logistic_regression,
)
from jaxmeta.baselines.fine_tune import fine_tune, linear_probe
from jaxmeta.baselines.from_scratch import from_scratch
from jaxmeta.baselines.linear import logistic_regression, ridge_regression
from jaxmeta.baselines.oracle import exact_gaussian_process
from jaxmeta.baselines.pretrained import Population, Pretrained, with_population
from jaxmeta.baselines.raw import (
    cosine_centroid,
    nearest_centroid,
    nearest_example,
    nearest_neighbour,
    support_moments,
)
from jaxmeta.baselines.simple_shot import simple_shot

__all__ = [
    "Population",
    "Pretrained",
    "baseline_plus_plus",
    "cosine_centroid",
    "exact_gaussian_process",
    "fine_tune",
    "from_scratch",
    "gradient_boosting",
    "linear_probe",
    "logistic_regression",
    "majority_class",
    "nearest_centroid",
    "nearest_example",
    "nearest_neighbour",
    "nearest_neighbours",
    "random_forest",
    "ridge_regression",
    "simple_shot",
    "standardized_centroid",
    "support_moments",
    "tuned_logistic_regression",
    "with_population",
]
