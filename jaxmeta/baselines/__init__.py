"""What meta-learning must beat, as MetaLearners."""

from jaxmeta.baselines.from_scratch import from_scratch
from jaxmeta.baselines.linear import logistic_regression, ridge_regression
from jaxmeta.baselines.raw import nearest_centroid, nearest_neighbour

__all__ = ["from_scratch", "logistic_regression", "nearest_centroid", "nearest_neighbour", "ridge_regression"]
