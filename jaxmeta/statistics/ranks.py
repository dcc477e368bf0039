"""Many methods over many domains: ranks, whose sizes mean the same in an easy domain and a hard one."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from jaxmeta.statistics import arrays


class Friedman(NamedTuple):
    """Do the methods differ at all?"""

    chi_square: float  # Friedman's statistic, corrected for ties
    chi_square_p_value: float  # num_methods - 1 degrees of freedom
    f: float  # Iman and Davenport's statistic
    p_value: float  # of f: the one to report


class Nemenyi(NamedTuple):
    """Which methods differ?"""

    ranks: np.ndarray  # [num_methods], average ranks over domains
    critical_difference: float  # average ranks that differ by more differ significantly
    p_values: np.ndarray  # [num_methods, num_methods], adjusted for the number of pairs; 1 on the diagonal


def average_ranks(scores: Any) -> np.ndarray:
    """The rank of each method, averaged over domains: 1 is the best, equal scores share the mean of their ranks.

    Args:
      scores: [num_domains, num_methods], at least 1 and 2; higher is better (negate losses).

    Returns:
      Average ranks [num_methods], in [1, num_methods].

    Raises:
      ValueError: if scores are too few, not [num_domains, num_methods] or not finite.

    Example:
      >>> from jaxmeta import statistics
      >>> print(statistics.average_ranks([[0.9, 0.7, 0.8], [0.6, 0.5, 0.5]]))
      [1.   2.75 2.25]
    """
    return _ranks(arrays.finite("average_ranks: scores", scores, domains=1, methods=2)).mean(0)


def friedman(scores: Any) -> Friedman:
    """Friedman's test that all methods rank alike over domains, with Iman and Davenport's better approximation.

    With N domains, k methods and chi_square as scipy.stats.friedmanchisquare has it,
    f = (N - 1) chi_square / (N (k - 1) - chi_square) follows F with k - 1 and (k - 1) (N - 1) degrees of freedom; it is
    the analysis of variance of the ranks. Demsar's formulas leave out the correction for ties, so on scores with ties
    his statistics are smaller. Where all domains rank the methods alike, f is infinite and its p-value the exact
    chance of that: (1 / k!)^(N - 1) without ties.

    Args:
      scores: [num_domains, num_methods], at least 2 and 3 (for two methods see `paired`); higher is better.

    Raises:
      ValueError: if scores are too few, not [num_domains, num_methods] or not finite.

    References:
      Iman and Davenport, Approximations of the Critical Region of the Friedman Statistic, 1980.
      Conover, Practical Nonparametric Statistics, 1999, section 5.8.
      Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, 2006, section 3.2.2.

    Example:
      >>> from jaxmeta import statistics
      >>> result = statistics.friedman([[0.9, 0.7, 0.8], [0.6, 0.4, 0.5], [0.8, 0.6, 0.5], [0.9, 0.5, 0.7]])
      >>> print(f"{result.chi_square:.2f} {result.chi_square_p_value:.3f} {result.f:.2f} {result.p_value:.4f}")
      6.50 0.039 13.00 0.0066
    """
    from scipy import stats

    scores = arrays.finite("friedman: scores", scores, domains=2, methods=3)
    num_domains, num_methods = scores.shape
    ranks = _ranks(scores)
    if np.ptp(ranks) == 0:  # all methods are tied in all domains
        return Friedman(0.0, 1.0, 0.0, 1.0)
    chi_square, chi_square_p_value = (float(value) for value in stats.friedmanchisquare(*scores.T))
    if (ranks == ranks[0]).all():
        ties = np.unique(ranks[0], return_counts=True)[1].tolist()
        chance = math.prod(map(math.factorial, ties)) / math.factorial(num_methods)
        return Friedman(chi_square, chi_square_p_value, math.inf, chance ** (num_domains - 1))
    between = num_methods - 1
    f = (num_domains - 1) * chi_square / (num_domains * between - chi_square)
    return Friedman(chi_square, chi_square_p_value, f, float(stats.f.sf(f, between, between * (num_domains - 1))))


def nemenyi(scores: Any, *, level: float = 0.95) -> Nemenyi:
    """Nemenyi's test of all pairs of methods, for after `friedman` found that they differ.

    With N domains and k methods, average ranks that differ by more than q sqrt(k (k + 1) / (6 N)) differ at the level
    given, for all pairs together; q is the quantile of the range of k standard normals, over sqrt(2).

    Args:
      scores: [num_domains, num_methods], at least 2 and 2; higher is better (negate losses).
      level: the confidence, in (0, 1); 0.95 is a significance level of 0.05.

    Raises:
      ValueError: if scores are too few, not [num_domains, num_methods] or not finite, or level is not in (0, 1).

    References:
      Nemenyi, Distribution-free Multiple Comparisons, 1963.
      Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, 2006, section 3.2.2.

    Example:
      >>> from jaxmeta import statistics
      >>> result = statistics.nemenyi([[0.9, 0.7, 0.8], [0.6, 0.4, 0.5], [0.8, 0.6, 0.5], [0.9, 0.5, 0.7]])
      >>> print(f"{result.critical_difference:.2f} {result.p_values[0, 1]:.3f}")
      1.66 0.036
    """
    from scipy import stats

    scores = arrays.finite("nemenyi: scores", scores, domains=2, methods=2)
    level = arrays.confidence("nemenyi: level", level)
    num_domains, num_methods = scores.shape
    ranks = _ranks(scores).mean(0)
    # One standard error of a difference is sqrt(2) of those in which the studentized range counts.
    error = math.sqrt(num_methods * (num_methods + 1) / (12 * num_domains))
    first, second = np.triu_indices(num_methods, 1)
    p_values = np.ones((num_methods, num_methods))
    p_values[first, second] = stats.studentized_range.sf(
        np.abs(ranks[first] - ranks[second]) / error, num_methods, np.inf
    ).clip(0, 1)
    p_values[second, first] = p_values[first, second]
    return Nemenyi(ranks, error * float(stats.studentized_range.ppf(level, num_methods, np.inf)), p_values)


def _ranks(scores: np.ndarray) -> np.ndarray:
    """[num_domains, num_methods], 1 is the best of its row."""
    from scipy import stats

    return stats.rankdata(-scores, axis=1)
