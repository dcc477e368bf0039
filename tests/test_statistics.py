"""Against published tables, numbers worked by hand, and simulations of what an interval promises."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxmeta import statistics

# Demsar 2006, Table 6: AUC of C4.5, C4.5+m, C4.5+cf and C4.5+m+cf on 14 data sets; the first two are his Table 2.
DEMSAR = np.array([
    [.763, .599, .954, .628, .882, .936, .661, .583, .775, 1.0, .940, .619, .972, .957],
    [.768, .591, .971, .661, .888, .931, .668, .583, .838, 1.0, .962, .666, .981, .978],
    [.771, .590, .968, .654, .886, .916, .609, .563, .866, 1.0, .965, .614, .9751, .946],
    [.798, .569, .967, .657, .898, .931, .685, .625, .875, 1.0, .962, .669, .975, .970],
]).T  # fmt: skip
# Hollander and Wolfe 1973, page 140, as in R's friedman.test: 22 players run to first base in 3 ways.
ROUNDING_TIMES = np.array([
    5.40, 5.50, 5.55, 5.85, 5.70, 5.75, 5.20, 5.60, 5.50, 5.55, 5.50, 5.40, 5.90, 5.85, 5.70, 5.45, 5.55, 5.60,
    5.40, 5.40, 5.35, 5.45, 5.50, 5.35, 5.25, 5.15, 5.00, 5.85, 5.80, 5.70, 5.25, 5.20, 5.10, 5.65, 5.55, 5.45,
    5.60, 5.35, 5.45, 5.05, 5.00, 4.95, 5.50, 5.50, 5.40, 5.45, 5.55, 5.50, 5.55, 5.55, 5.35, 5.45, 5.50, 5.55,
    5.50, 5.45, 5.25, 5.65, 5.60, 5.40, 5.70, 5.65, 5.55, 6.30, 6.30, 6.25,
]).reshape(22, 3)  # fmt: skip
# Zar, Biostatistical Analysis, example 12.6: no ties.
ZAR = np.array([
    [7.0, 9.9, 8.5, 5.1, 10.3], [5.3, 5.7, 4.7, 3.5, 7.7], [4.9, 7.6, 5.5, 2.8, 8.4], [8.8, 8.9, 8.1, 3.3, 9.1],
]).T  # fmt: skip


def test_mean_interval():
    interval = statistics.mean_interval([1.0, 2.0, 3.0])
    half = 4.302653 / math.sqrt(3)  # t of 2 degrees of freedom
    np.testing.assert_allclose(interval, (2, 2 - half, 2 + half), rtol=1e-6)
    assert statistics.mean_interval([0.1, 0.1, 0.1]) == (pytest.approx(0.1),) * 3
    assert statistics.mean_interval([1.0, 2.0, 3.0], level=0.5).high == pytest.approx(2 + 0.816497 / math.sqrt(3))


def test_bootstrap_interval_is_bca():
    scores = np.random.default_rng(0).beta(8, 1, 40)
    interval = statistics.bootstrap_interval(scores, num_resamples=50_000)
    # Efron's formulas: the bias from the draws, the acceleration from the skew (the jackknife of a mean).
    rng, n, mean = np.random.default_rng(1), len(scores), scores.mean()
    draws = scores[rng.integers(0, n, (50_000, n))].mean(1)
    bias = stats.norm.ppf((draws < mean).mean())
    acceleration = np.sum((scores - mean) ** 3) / (6 * np.sum((scores - mean) ** 2) ** 1.5)
    ends = bias + stats.norm.ppf([0.025, 0.975])
    low, high = np.quantile(draws, stats.norm.cdf(bias + ends / (1 - acceleration * ends)))
    error = scores.std() / math.sqrt(n)
    np.testing.assert_allclose(interval, (mean, low, high), atol=0.05 * error)
    plain = np.quantile(draws, [0.025, 0.975])
    assert plain[0] - interval.low > 0.1 * error  # the percentiles would not have passed
    assert interval.mean - interval.low > 1.1 * (interval.high - interval.mean)


def test_bootstrap_interval_draws():
    scores = np.random.default_rng(0).normal(0.6, 0.1, 2000)
    interval = statistics.bootstrap_interval(scores, num_resamples=1000, seed=3)
    assert interval == statistics.bootstrap_interval(scores, num_resamples=1000, seed=3)
    assert interval != statistics.bootstrap_interval(scores, num_resamples=1000, seed=4)
    whole = stats.bootstrap(  # all in one batch
        (scores - scores.mean(),), np.mean, n_resamples=1000, random_state=np.random.default_rng(3)
    ).confidence_interval
    np.testing.assert_allclose(interval[1:], scores.mean() + np.array(whole), rtol=1e-12)
    # 3 standard errors of the 2.5% quantile of 1000 normal draws are 0.25 of their standard deviation.
    np.testing.assert_allclose(interval, statistics.mean_interval(scores), atol=0.25 * 0.1 / math.sqrt(2000))
    narrow = statistics.bootstrap_interval(scores, level=0.5, num_resamples=1000, seed=3)
    assert interval.low < narrow.low < narrow.mean < narrow.high < interval.high


@pytest.mark.parametrize(
    "scores",
    [[0.1] * 7, [0.0, 0.0], [1 / 3, 1 / 3 + 1e-16, 1 / 3], np.arange(9) / 75 - np.arange(1, 10) / 75, [1e-200] * 3],
)
def test_bootstrap_interval_of_constant_scores(scores):
    interval = statistics.bootstrap_interval(scores)
    assert interval.low == interval.mean == interval.high == np.mean(scores)


@pytest.mark.parametrize("scores", [[0.0, 1.0], [0.0] * 59 + [1.0], [1e6, 1e6 + 1e-3, 1e6], [1e-9, 2e-9, 0.0]])
def test_bootstrap_interval_is_finite(scores):
    interval = statistics.bootstrap_interval(scores, num_resamples=1000)
    assert min(scores) <= interval.low < interval.mean < interval.high <= max(scores)


def test_seed_spread_by_hand():
    scores = [[0.0, 2.0], [2.0, 4.0]]
    # Seed and task means are 1 and 3, each of variance 2; nothing is left. t is 12.7062 and 4.302653 at 1 and 2.
    crossed = statistics.crossed_seeds(scores)
    np.testing.assert_allclose(crossed[:4], (2, math.sqrt(2), math.sqrt(2), math.sqrt(2)))
    np.testing.assert_allclose(crossed.these_seeds, (2, 2 - 12.7062, 2 + 12.7062), rtol=1e-5)
    np.testing.assert_allclose(crossed.new_seeds.high - 2, 4.302653 * math.sqrt(2 / 2 + 2 / 2), rtol=1e-5)
    # The variance within each seed is 2, so tasks alone give seed means a variance of 1 and leave 1 to the seeds.
    nested = statistics.nested_seeds(scores)
    np.testing.assert_allclose(nested[:4], (2, math.sqrt(2), 1, math.sqrt(2)))
    np.testing.assert_allclose(nested.these_seeds.high - 2, 4.302653 * math.sqrt(2 / 4), rtol=1e-5)
    np.testing.assert_allclose(nested.new_seeds, (2, 2 - 12.7062, 2 + 12.7062), rtol=1e-5)


@pytest.mark.parametrize("design", [statistics.crossed_seeds, statistics.nested_seeds])
def test_seed_spread_without_seeds(design):
    constant = design(np.full((3, 4), 0.25))
    assert constant == (0.25, 0, 0, 0, (0.25, 0.25, 0.25), (0.25, 0.25, 0.25))
    alike = design([[0.1, 0.5, 0.9]] * 3)  # a seed that changes nothing
    assert alike.seed_std < 1e-12
    assert alike.seed_effect < 1e-12
    assert alike.task_std == pytest.approx(0.4)


def _covered(interval, truth=0.0):
    return interval.low <= truth <= interval.high


def test_seed_spread_keeps_its_promise():
    """95% of intervals hold the mean that each is about; the one for other seeds would not do."""
    rng = np.random.default_rng(0)
    num_trials, num_seeds, num_tasks = 400, 4, 50
    hits = {"crossed, new": 0, "crossed, these": 0, "crossed, these for new": 0, "nested, new": 0, "nested, these": 0}
    effects = []
    for _ in range(num_trials):
        seeds = 0.3 * rng.normal(size=(num_seeds, 1))
        tasks = rng.normal(size=num_tasks)
        rest = 0.7 * rng.normal(size=(num_seeds, num_tasks))
        crossed = statistics.crossed_seeds(seeds + tasks + rest)
        nested = statistics.nested_seeds(seeds + 1.2 * rng.normal(size=(num_seeds, num_tasks)))
        effects.append([crossed.seed_effect**2, crossed.seed_std**2, nested.seed_effect**2, nested.seed_std**2])
        hits["crossed, new"] += _covered(crossed.new_seeds)
        hits["crossed, these"] += _covered(crossed.these_seeds, seeds.mean())
        hits["crossed, these for new"] += _covered(crossed.these_seeds)
        hits["nested, new"] += _covered(nested.new_seeds)
        hits["nested, these"] += _covered(nested.these_seeds, seeds.mean())
    rates = {name: count / num_trials for name, count in hits.items()}
    assert rates.pop("crossed, these for new") < 0.9
    assert all(0.925 < rate < 0.985 for rate in rates.values()), rates
    effect, spread, nested_effect, nested_spread = np.mean(effects, 0)
    np.testing.assert_allclose([effect, nested_effect], 0.09, rtol=0.12)
    np.testing.assert_allclose([spread, nested_spread], [0.09 + 0.49 / 50, 0.09 + 1.44 / 50], rtol=0.12)


def test_paired_on_published_differences():
    # Demsar 2006, section 3.1.3: ranks 93 against 12 of 14 data sets, two of them tied, as is a pair of differences.
    result = statistics.paired(DEMSAR[:, 1], DEMSAR[:, 0])
    assert (result.won, result.lost, result.tied) == (10, 2, 2)
    variance = (14 * 15 * 29 - (2**3 - 2) / 2 - (2**3 - 2) / 2) / 24
    assert result.p_value == pytest.approx(2 * stats.norm.sf((93 - 52.5) / math.sqrt(variance)))
    assert result.difference == statistics.bootstrap_interval(DEMSAR[:, 1] - DEMSAR[:, 0])
    # Wilcoxon 1945, Darwin's corn: the negative ranks of 15 sum to 24, exact two-sided p = 0.0413.
    corn = np.array([6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75], np.float64)
    assert statistics.paired(corn, np.zeros(15)).p_value == pytest.approx(0.0413, abs=5e-5)


def test_paired_by_hand():
    everywhere = statistics.paired([0.2, 0.4, 0.6, 0.8, 1.0], [0.1, 0.2, 0.3, 0.4, 0.5])
    assert everywhere.p_value == pytest.approx(2 / 2**5)
    assert everywhere[2:] == (5, 0, 0)
    # Ranks 5, 3, 3 and half of 1 for the first: 4 of the 16 signs of (5, 3, 3, 3) reach as far, 4 the other way.
    ties = statistics.paired([0.8, 0.7, 0.9, 0.8, 0.6], [0.6, 0.6, 0.9, 0.7, 0.7])
    assert ties.p_value == pytest.approx(0.5)
    swapped = statistics.paired([0.6, 0.6, 0.9, 0.7, 0.7], [0.8, 0.7, 0.9, 0.8, 0.6])
    assert (swapped.p_value, swapped.won, swapped.lost) == (ties.p_value, ties.lost, ties.won)


@pytest.mark.parametrize("num_tasks", [2, 10, 600])
def test_paired_of_equal_scores(num_tasks):
    scores = np.linspace(0, 1, num_tasks)
    result = statistics.paired(scores, scores)
    assert result == ((0, 0, 0), 1, 0, 0, num_tasks)
    assert statistics.paired(np.zeros(num_tasks), np.zeros(num_tasks)).p_value == 1


def test_paired_does_not_rank_rounding():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 151, (2, 60))
    exact = statistics.paired(first, second)
    for noisy in (np.float32, lambda scores: np.round(scores, 6), lambda scores: 7e-5 * scores):
        result = statistics.paired(noisy(first / 150), noisy(second / 150))
        assert result[1:] == exact[1:]
    assert stats.wilcoxon(np.float32(first / 150) - np.float32(second / 150)).pvalue != exact.p_value


def test_paired_of_many_differences_each_near_the_next():
    rng = np.random.default_rng(0)
    second = rng.uniform(0.7, 0.9, 5000)
    result = statistics.paired(second + rng.normal(2e-5, 1e-4, 5000), second, num_resamples=100)
    assert result.tied < 1000
    assert result.p_value < 1e-20


def test_holm():
    # Demsar 2006, section 3.2.2: against C4.5 the p-values are .016, .019, .607; at 0.05 the first two are rejected.
    ranks = statistics.average_ranks(DEMSAR)
    p_values = 2 * stats.norm.sf(np.abs(ranks[0] - ranks[[3, 1, 2]]) / math.sqrt(4 * 5 / (6 * 14)))
    np.testing.assert_allclose(p_values, [0.016, 0.019, 0.607], atol=2e-3)
    np.testing.assert_array_equal(statistics.holm(p_values) <= 0.05, [True, True, False])
    np.testing.assert_allclose(statistics.holm([0.607, 0.016, 0.019]), [0.607, 3 * 0.016, 3 * 0.016])
    # Worked: 4 x 0.01, 3 x 0.02, 2 x 0.02 (not below 0.06), 1 x 0.9; and nothing above 1.
    np.testing.assert_allclose(statistics.holm([0.9, 0.02, 0.01, 0.02]), [0.9, 0.06, 0.04, 0.06])
    np.testing.assert_allclose(statistics.holm([0.6, 0.7]), [1, 1])
    np.testing.assert_allclose(statistics.holm([0.2]), [0.2])


def test_average_ranks():
    np.testing.assert_allclose(statistics.average_ranks(DEMSAR), [3.143, 2.000, 2.893, 1.964], atol=5e-4)
    np.testing.assert_allclose(statistics.average_ranks([[0.1, 0.9, 0.1]]), [2.5, 1, 2.5])


def test_friedman_on_published_tables():
    result = statistics.friedman(DEMSAR)
    # Demsar's 9.28 and 3.69 leave out the ties: three pairs and one foursome, each t^3 - t of 14 (4^3 - 4).
    ranks = statistics.average_ranks(DEMSAR)
    plain = 12 * 14 / (4 * 5) * (np.sum(ranks**2) - 4 * 5**2 / 4)
    assert plain == pytest.approx(9.28, abs=5e-3)
    assert 13 * plain / (14 * 3 - plain) == pytest.approx(3.69, abs=5e-3)
    assert result.chi_square == pytest.approx(plain / (1 - (3 * 6 + 60) / (14 * 60)))
    assert result.chi_square == pytest.approx(10.2283, abs=1e-4)  # R
    assert result.f == pytest.approx(13 * 10.2283 / (42 - 10.2283), abs=1e-3)
    assert 0.01 < result.p_value < result.chi_square_p_value < 0.05
    rounding = statistics.friedman(ROUNDING_TIMES)
    assert rounding.chi_square == pytest.approx(11.143, abs=5e-4)  # R
    assert rounding.chi_square_p_value == pytest.approx(0.003805, abs=5e-7)
    zar = statistics.friedman(ZAR)
    assert zar.chi_square == pytest.approx(10.68)
    assert zar.f == pytest.approx(4 * 10.68 / (5 * 3 - 10.68))
    assert zar.p_value == pytest.approx(stats.f.sf(zar.f, 3, 12))


def test_friedman_is_the_analysis_of_variance_of_ranks():
    ranks = stats.rankdata(DEMSAR, axis=1)
    methods = 14 * np.sum((ranks.mean(0) - 2.5) ** 2) / 3
    rest = np.sum((ranks - ranks.mean(0)) ** 2) / (3 * 13)
    assert statistics.friedman(DEMSAR).f == pytest.approx(methods / rest)


def test_friedman_where_domains_agree():
    alike = statistics.friedman([[0.1, 0.2, 0.3], [0.5, 0.6, 0.9]])
    assert alike == (pytest.approx(4), pytest.approx(stats.chi2.sf(4, 2)), math.inf, pytest.approx(1 / 6))
    halves = statistics.friedman([[0.1, 0.1, 0.3]] * 3)  # two share a rank: 3 rankings are possible
    assert halves.p_value == pytest.approx(1 / 9)
    assert statistics.friedman(np.full((5, 4), 0.5)) == (0, 1, 0, 1)


def test_nemenyi_on_published_tables():
    # Demsar 2006, Table 5(a).
    table = {0.95: [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164],
             0.90: [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920]}  # fmt: skip
    for level, quantiles in table.items():
        for num_methods, quantile in enumerate(quantiles, 2):
            scores = np.arange(2 * num_methods).reshape(2, num_methods)
            error = math.sqrt(num_methods * (num_methods + 1) / 12)
            found = statistics.nemenyi(scores, level=level).critical_difference / error
            assert found == pytest.approx(quantile, abs=1.1e-3)
    result = statistics.nemenyi(DEMSAR)
    assert result.critical_difference == pytest.approx(1.25, abs=5e-3)
    assert statistics.nemenyi(DEMSAR, level=0.9).critical_difference == pytest.approx(1.12, abs=5e-3)
    np.testing.assert_array_equal(result.ranks, statistics.average_ranks(DEMSAR))
    np.testing.assert_array_equal(result.p_values, result.p_values.T)
    np.testing.assert_array_equal(np.diag(result.p_values), 1)
    assert 0.05 < result.p_values[0, 3] < 0.10  # the ranks differ by 1.179: between the two critical differences
    assert result.p_values[0, 3] == result.p_values[np.triu_indices(4, 1)].min()


def test_nemenyi_p_value_at_the_critical_difference():
    two = statistics.nemenyi([[0.1, 0.2]] * 6)  # the range of two normals: a two-sided z-test
    assert two.p_values[0, 1] == pytest.approx(2 * stats.norm.sf(1 / math.sqrt(2 * 3 / (6 * 6))), rel=1e-6)
    edge = statistics.nemenyi(DEMSAR, level=1 - statistics.nemenyi(DEMSAR).p_values[0, 3])
    assert edge.critical_difference == pytest.approx(edge.ranks[0] - edge.ranks[3], rel=1e-6)
    assert statistics.nemenyi(np.full((5, 4), 0.5)).p_values.min() == 1
    assert 0 <= statistics.nemenyi([np.arange(10)] * 200).p_values.min() < 1e-6


TASKS = [0.1, 0.2, 0.4]
TABLE = [[0.1, 0.2, 0.3], [0.3, 0.1, 0.2]]
OVER_TASKS = [
    statistics.mean_interval,
    statistics.bootstrap_interval,
    lambda scores, **settings: statistics.paired(scores, TASKS, **settings),
    lambda scores, **settings: statistics.paired(TASKS, scores, **settings),
]
OVER_TABLES = [
    statistics.crossed_seeds,
    statistics.nested_seeds,
    statistics.average_ranks,
    statistics.friedman,
    statistics.nemenyi,
]


@pytest.mark.parametrize("scores", [[0.1], 0.1, [], TABLE, "abc", None, [0.1, math.nan, 0.2], [0.1, math.inf, 0.2]])
@pytest.mark.fault(promised="a ValueError that says what was expected and what came")
def test_scores_over_tasks_must_be_usable(scores):
    for function in OVER_TASKS:
        with pytest.raises(ValueError, match=r"^\w+: (scores|first|second): expected .* got "):
            function(scores)


@pytest.mark.fault(promised="a ValueError that says what was expected and what came")
def test_scores_that_are_traced():
    with pytest.raises(ValueError, match=r"expected numbers .* got .* traced array") as raised:
        jax.jit(statistics.mean_interval)(jnp.ones(3))
    assert str(raised.value).endswith("with shape float32[3]")


@pytest.mark.parametrize(
    "scores", [TASKS, [[0.1], [0.2]], [[[0.1, 0.2]]], [[0.1, 0.2], [0.3]], [[1, 2, 3], [1, 2, math.nan]]]
)
@pytest.mark.fault(promised="a ValueError that says what was expected and what came")
def test_scores_in_tables_must_be_usable(scores):
    for function in OVER_TABLES:
        with pytest.raises(ValueError, match=r"^\w+: scores: expected .* got "):
            function(scores)


@pytest.mark.fault(promised="a ValueError that says what was expected and what came")
def test_settings_must_be_usable():
    with pytest.raises(ValueError, match="paired: second: expected 3 scores, as many as first has, got 2"):
        statistics.paired(TASKS, [0.1, 0.2])
    for level in (0, 1, 1.5, math.nan, "0.95"):
        for function, scores in [(function, TASKS) for function in OVER_TASKS] + [
            (function, TABLE) for function in (statistics.crossed_seeds, statistics.nested_seeds, statistics.nemenyi)
        ]:
            with pytest.raises(ValueError, match="level: expected a number between 0 and 1"):
                function(scores, level=level)
    with pytest.raises(ValueError, match="num_resamples: expected a whole number of at least 100, got 10"):
        statistics.bootstrap_interval(TASKS, num_resamples=10)
    with pytest.raises(ValueError, match="seed: expected a whole number of at least 0"):
        statistics.bootstrap_interval(TASKS, seed=-1)
    with pytest.raises(ValueError, match=r"friedman: scores: expected .* 3 methods, got shape \(2, 2\)"):
        statistics.friedman([[0.1, 0.2], [0.3, 0.4]])
    for p_values in ([], [0.1, 1.1], [-0.1], [math.nan], [[0.1]]):
        with pytest.raises(ValueError, match="holm: p_values: expected"):
            statistics.holm(p_values)
