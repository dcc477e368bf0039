"""Statistics: what per-task scores allow one to say."""

from jaxmeta.statistics.comparisons import Paired, holm, paired
from jaxmeta.statistics.intervals import Interval, bootstrap_interval, mean_interval
from jaxmeta.statistics.ranks import Friedman, Nemenyi, average_ranks, friedman, nemenyi
from jaxmeta.statistics.seeds import SeedSpread, crossed_seeds, nested_seeds

__all__ = [
    "Friedman",
    "Interval",
    "Nemenyi",
    "Paired",
    "SeedSpread",
    "average_ranks",
    "bootstrap_interval",
    "crossed_seeds",
    "friedman",
    "holm",
    "mean_interval",
    "nemenyi",
    "nested_seeds",
    "paired",
]
