"""Two methods on the same episodes, and many comparisons at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jaxmeta import checks
from jaxmeta.statistics import arrays
from jaxmeta.statistics.intervals import Interval, bootstrap_interval


class Paired(NamedTuple):
    """How a first method compares with a second on the same tasks; higher scores are better."""

    difference: Interval  # the mean of first - second, and its bootstrap interval
    p_value: float  # Wilcoxon's signed-rank test, two-sided: are the differences symmetric about 0?
    won: int  # tasks where the first scored higher
    lost: int
    tied: int


def paired(first: Any, second: Any, *, level: float = 0.95, num_resamples: int = 10_000, seed: int = 0) -> Paired:
    """Compares two methods task by task: on the same episodes the spread of the tasks' difficulty cancels.

    Tied tasks speak for neither method, so each side gets half of their ranks (Demsar, section 3.1.3). Equal
    differences share a rank. The p-value is exact up to 50 tasks, with ties up to 13, and normal beyond
    (scipy.stats.wilcoxon).
    Differences closer to one another (or to 0) than 1e-5 of the median score count as equal, so that the rounding of
    float32 or of a results file makes no ranks.

    Args:
      first: [num_tasks], at least 2; higher is better (negate losses).
      second: [num_tasks], of the same tasks in the same order.
      level: the confidence of the interval, in (0, 1).
      num_resamples: of the bootstrap, at least 100.
      seed: of the bootstrap.

    Raises:
      ValueError: if the scores differ in number, are too few, not [num_tasks] or not finite, or a setting is out of
        its range.

    References:
      Wilcoxon, Individual Comparisons by Ranking Methods, 1945.
      Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, 2006.

    Example:
      >>> from jaxmeta import statistics
      >>> result = statistics.paired([0.8, 0.7, 0.9, 0.8, 0.6], [0.6, 0.6, 0.9, 0.7, 0.7])
      >>> print(f"{result.difference.mean:.2f}, p = {result.p_value:.2f}", result.won, result.lost, result.tied)
      0.06, p = 0.50 3 1 1
    """
    differences, steps = _steps(first, second)
    return Paired(
        difference=bootstrap_interval(differences, level=level, num_resamples=num_resamples, seed=seed),
        p_value=_signed_rank(steps),
        won=int(np.sum(steps > 0)),
        lost=int(np.sum(steps < 0)),
        tied=int(np.sum(steps == 0)),
    )


def signed_rank(first: Any, second: Any) -> float:
    """The p-value of `paired` alone, at a hundredth of the time: no interval is drawn."""
    return _signed_rank(_steps(first, second)[1])


def _steps(first: Any, second: Any) -> tuple[np.ndarray, np.ndarray]:
    """The differences, and their order with signs."""
    first = arrays.finite("paired: first", first, tasks=2)
    second = arrays.finite("paired: second", second, tasks=2)
    if first.shape != second.shape:
        checks.fail("paired: second", f"{first.size} scores, as many as first has", second.size)
    differences = first - second
    near = 1e-5 * float(np.median(np.maximum(np.abs(first), np.abs(second))))
    return differences, _signed_levels(differences, near)


def _signed_rank(steps: np.ndarray) -> float:
    from scipy import stats

    # scipy 1.14 would fall back to the normal approximation here: all signs of up to 13 ranks are few enough to try.
    every_sign = steps.size <= 13 and (0 in steps or np.unique(np.abs(steps)).size < steps.size)
    method: Any = stats.PermutationMethod() if every_sign else "auto"
    outcome: Any = stats.wilcoxon(steps, zero_method="zsplit", method=method)
    return float(outcome.pvalue)


def _signed_levels(differences: np.ndarray, tolerance: float) -> np.ndarray:
    """The order of |differences| as whole numbers with their signs: equal ones alike, 0 where they are nearly 0.

    What is equal is as near as the tolerance to the least of its level: many that are close together, each near the
    next, are no level of their own.
    """
    order = np.argsort(np.abs(differences), kind="stable")
    ascending = np.abs(differences[order])
    steps, start = np.zeros_like(ascending), int(np.searchsorted(ascending, tolerance, side="right"))
    while start < ascending.size:
        steps[start] = 1
        start = int(np.searchsorted(ascending, ascending[start] + tolerance, side="right"))
    levels = np.empty_like(differences)
    levels[order] = np.cumsum(steps) * np.sign(differences[order])
    return levels


def holm(p_values: Any) -> np.ndarray:
    """p-values adjusted for their number by Holm's step-down procedure.

    With p_(1) <= ... <= p_(m) the adjusted p_(i) is the largest of min(1, (m - j + 1) p_(j)) over j <= i. To reject
    where an adjusted p-value is at most alpha keeps the chance of even one false rejection below alpha, however the
    tests depend on one another.

    Args:
      p_values: [num_tests], at least 1, each in [0, 1].

    Returns:
      Adjusted p-values [num_tests], in the order given.

    Raises:
      ValueError: if there is none, or one is not in [0, 1].

    References:
      Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979.

    Example:
      >>> from jaxmeta import statistics
      >>> print(statistics.holm([0.04, 0.01, 0.03]))
      [0.06 0.03 0.06]
    """
    p_values = arrays.finite("holm: p_values", p_values, tests=1)
    if p_values.min() < 0 or p_values.max() > 1:
        checks.fail("holm: p_values", "numbers from 0 to 1", f"numbers from {p_values.min()} to {p_values.max()}")
    order = np.argsort(p_values)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p_values[order] * np.arange(p_values.size, 0, -1)))
    return adjusted
