"""What meta-learning must beat, as MetaLearners."""

from jaxmeta.baselines.from_scratch import from_scratch
from jaxmeta.baselines.raw import nearest_centroid, nearest_neighbour

__all__ = ["from_scratch", "nearest_centroid", "nearest_neighbour"]
