import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import criteria
from jaxmeta.types import Batch

KEY = jax.random.key(0)


def test_the_area_counts_pairs():
    # Of class 1 the shares are .9, .4 and .4, of class 0 .8, .4: 3 wins of 6, and 2 ties count half.
    shares = jnp.array([0.9, 0.4, 0.4, 0.8, 0.4])
    targets = jnp.array([1, 1, 1, 0, 0])
    area = criteria.area_under_curve(jnp.stack([1 - shares, shares], axis=1), targets)
    np.testing.assert_allclose(area, (2 + 0.5 + 0.5) / 6, rtol=1e-6)


def test_the_area_is_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(0)
    shares = generator.dirichlet(np.ones(3), 60).round(1)
    targets = generator.integers(0, 3, 60)
    expected = np.mean([metrics.roc_auc_score(targets == index, shares[:, index]) for index in range(3)])
    np.testing.assert_allclose(
        criteria.area_under_curve(jnp.asarray(shares), jnp.asarray(targets)), expected, rtol=1e-5
    )


def test_of_one_class_nothing_is_told_apart():
    assert criteria.area_under_curve(jnp.eye(2)[jnp.zeros(3, int)], jnp.zeros(3, jnp.int32)) == 0.5


def test_calibration_by_hand():
    # Said .95 twice, right once; said .65, right: (2 * .45 + .35) / 3.
    shares = jnp.array([[0.95, 0.05], [0.95, 0.05], [0.35, 0.65]])
    error = criteria.calibration_error(shares, jnp.array([0, 1, 1]))
    np.testing.assert_allclose(error, (2 * 0.45 + 0.35) / 3, rtol=1e-5)


def test_padding_counts_nowhere():
    logits = jax.random.normal(KEY, (6, 2))
    batch = Batch(jnp.zeros((6, 1)), jnp.array([0, 1, 0, 1, 1, 0]), jnp.arange(6) < 4)
    plain = Batch(batch.inputs[:4], batch.targets[:4])
    masked = criteria.prognosis(lambda inputs, mask=None: logits, batch, KEY)[1]
    short = criteria.prognosis(lambda inputs, mask=None: logits[:4], plain, KEY)[1]
    assert set(masked) == {"loss", "accuracy", "area_under_curve", "calibration_error"}
    for name, value in short.items():
        np.testing.assert_allclose(masked[name], value, rtol=1e-6)


def test_what_is_not_finite_is_told():
    batch = Batch(jnp.zeros((2, 1)), jnp.array([0, 1]))
    metrics = criteria.prognosis(lambda inputs, mask=None: jnp.full((2, 2), jnp.nan), batch, KEY)[1]
    assert all(np.isnan(value) for value in metrics.values())


@pytest.mark.fault(promised="the area of the logits' gaps, whose shares are all 1")
def test_the_area_of_a_predictor_that_is_sure():
    gaps = jnp.array([30.0, 40.0, 50.0, 60.0])
    logits, batch = jnp.stack([-gaps, gaps], axis=1), Batch(jnp.zeros((4, 1)), jnp.array([0, 1, 0, 1]))
    assert len(np.unique(jax.nn.softmax(logits)[:, 1])) == 1
    metrics = criteria.prognosis(lambda inputs, mask=None: logits, batch, KEY)[1]
    np.testing.assert_allclose(metrics["area_under_curve"], 3 / 4)


@pytest.mark.fault(promised="as without the padding")
@pytest.mark.parametrize("junk", [np.nan, np.inf])
def test_padding_that_is_not_finite(junk):
    batch = Batch(jnp.zeros((4, 1)), jnp.array([0, 1, 0, 1]), jnp.arange(4) < 3)
    scores = lambda fill: criteria.prognosis(  # noqa: E731
        lambda inputs, mask=None: jnp.array([[1.0, 0], [0, 1], [0, 2], [fill, 0]]), batch, KEY
    )[1]
    for name, value in scores(0.0).items():
        np.testing.assert_array_equal(scores(junk)[name], value)


@pytest.mark.fault(promised="what it is in single precision, but for the rounding of the numbers")
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_counts_pairs(dtype):
    logits = jax.random.normal(KEY, (600, 2)).astype(dtype)
    batch = Batch(jnp.zeros((600, 1)), jnp.arange(600) % 2)
    half, single = (
        criteria.prognosis(lambda inputs, mask=None, own=own: own, batch, KEY)[1]
        for own in (logits, logits.astype(jnp.float32))
    )
    for name in ("area_under_curve", "calibration_error"):
        np.testing.assert_allclose(half[name], single[name], atol=2e-2)
