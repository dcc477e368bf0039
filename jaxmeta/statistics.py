"""What per-task scores allow one to say."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jaxmeta import checks


class Interval(NamedTuple):
    """A mean with its interval."""

    mean: float
    low: float
    high: float


def mean_interval(scores: Any, *, level: float = 0.95) -> Interval:
    """The mean of per-task scores and its confidence interval over tasks, by Student's t.

    Give differences of two methods on the same episodes to get a paired interval.

    Args:
      scores: [num_tasks], at least 2.
      level: the confidence, in (0, 1).

    Example:
      >>> from jaxmeta import statistics
      >>> interval = statistics.mean_interval([0.4, 0.6, 0.5, 0.7])
      >>> print(f"{interval.mean:.2f} {interval.low:.2f} {interval.high:.2f}")
      0.55 0.34 0.76
    """
    from scipy import stats

    scores = np.asarray(scores, np.float64)
    if scores.ndim != 1 or scores.size < 2:
        checks.fail("mean_interval: scores", "at least 2 scores, [num_tasks]", f"shape {scores.shape}")
    if not 0 < level < 1:
        checks.fail("mean_interval: level", "a number between 0 and 1", level)
    half = stats.t.ppf((1 + level) / 2, scores.size - 1) * scores.std(ddof=1) / np.sqrt(scores.size)
    return Interval(float(scores.mean()), float(scores.mean() - half), float(scores.mean() + half))
