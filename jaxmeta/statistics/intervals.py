"""Intervals of a mean over tasks."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from jaxmeta import checks
from jaxmeta.statistics import arrays


class Interval(NamedTuple):
    """A mean with its interval."""

    mean: float
    low: float
    high: float


def student_interval(mean: float, variance: float, freedom: float, level: float) -> Interval:
    """mean +- t sqrt(variance): `variance` is that of the mean, estimated with `freedom` degrees of freedom."""
    from scipy import stats

    # Without variance the degrees of freedom are 0 / 0 where they are estimated.
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * math.sqrt(variance) if variance > 0 else 0.0
    return Interval(float(mean), float(mean) - half, float(mean) + half)


def mean_interval(scores: Any, *, level: float = 0.95) -> Interval:
    """The mean of per-task scores and its confidence interval over tasks, by Student's t.

    Give differences of two methods on the same episodes to get a paired interval.

    Args:
      scores: [num_tasks], at least 2.
      level: the confidence, in (0, 1).

    Raises:
      ValueError: if scores are too few, not [num_tasks] or not finite, or level is not in (0, 1).

    Example:
      >>> from jaxmeta import statistics
      >>> interval = statistics.mean_interval([0.4, 0.6, 0.5, 0.7])
      >>> print(f"{interval.mean:.2f} {interval.low:.2f} {interval.high:.2f}")
      0.55 0.34 0.76
    """
    scores = arrays.finite("mean_interval: scores", scores, tasks=2)
    level = arrays.confidence("mean_interval: level", level)
    return student_interval(scores.mean(), scores.var(ddof=1) / scores.size, scores.size - 1, level)


def bootstrap_interval(scores: Any, *, level: float = 0.95, num_resamples: int = 10_000, seed: int = 0) -> Interval:
    """The mean of per-task scores and its bootstrap interval over tasks: no normal distribution is assumed.

    The interval is the bias-corrected and accelerated one (BCa): accuracies near 1 and losses are skewed, and
    BCa moves both ends with the skew, an order more accurate in the number of tasks than the plain percentiles.
    Below some 10 tasks every bootstrap interval is too short: prefer `mean_interval`.

    Args:
      scores: [num_tasks], at least 2.
      level: the confidence, in (0, 1).
      num_resamples: how many times the tasks are drawn anew, at least 100.
      seed: of the draws; the same seed gives the same interval.

    Raises:
      ValueError: if scores are too few, not [num_tasks] or not finite, or a setting is out of its range.

    References:
      Efron, Better Bootstrap Confidence Intervals, 1987.

    Example:
      >>> from jaxmeta import statistics
      >>> interval = statistics.bootstrap_interval([0.9, 1.0, 1.0, 0.6, 1.0, 0.9, 1.0, 0.8])
      >>> print(f"{interval.mean:.2f} {interval.low:.2f} {interval.high:.2f}")
      0.90 0.76 0.96
    """
    from scipy import stats

    scores = arrays.finite("bootstrap_interval: scores", scores, tasks=2)
    level = arrays.confidence("bootstrap_interval: level", level)
    num_resamples = checks.integer("bootstrap_interval: num_resamples", num_resamples, 100)
    rng = np.random.default_rng(checks.integer("bootstrap_interval: seed", seed, 0))
    mean = scores.mean()
    # The acceleration of constant scores is 0 / 0, and of scores that differ by rounding alone it is noise.
    if scores.std() <= 1e-12 * np.abs(scores).max():
        return Interval(float(mean), float(mean), float(mean))
    # The jackknife of small differences between large scores would cancel: resample what is left without the mean.
    drawn = stats.bootstrap(
        (scores - mean,),
        np.mean,
        n_resamples=num_resamples,
        batch=max(1, 2**20 // scores.size),  # memory alone: the draws are the same in any batch
        confidence_level=level,
        method="BCa",
        random_state=rng,  # pyright: ignore[reportCallIssue]  # `rng` only since scipy 1.15
    )
    return Interval(float(mean), *(float(mean + end) for end in drawn.confidence_interval))
