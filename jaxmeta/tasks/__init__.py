"""Task distributions: key -> Episode, pure and jittable."""

from jaxmeta.tasks.across import across
from jaxmeta.tasks.finite import few_shot, from_arrays
from jaxmeta.tasks.sampling import Sample, distinct, episodes
from jaxmeta.tasks.sinusoid import sinusoid
from jaxmeta.tasks.strokes import strokes

__all__ = ["Sample", "across", "distinct", "episodes", "few_shot", "from_arrays", "sinusoid", "strokes"]
