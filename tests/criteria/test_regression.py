import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import baselines, criteria
from jaxmeta.types import Batch

KEY = jax.random.key(0)


def test_padded_rows_do_not_count():
    """Neither in the loss nor in its gradient, and it does not matter what stands in them."""
    rng = np.random.default_rng(0)
    inputs, targets = rng.normal(size=(5, 2)).astype(np.float32), rng.normal(size=(5, 3)).astype(np.float32)
    mask = jnp.array([True, True, False, True, False])
    weights = jnp.asarray(rng.normal(size=(2, 3)), jnp.float32)
    junk = np.where(mask[:, None], targets, 1e4)
    fit = jax.grad(lambda w, batch: criteria.squared_error(lambda x, mask=None: x @ w, batch, KEY), has_aux=True)
    kept = np.flatnonzero(mask)
    gradient, metrics = fit(weights, Batch(jnp.asarray(inputs), jnp.asarray(junk), mask))
    expected, plain = fit(weights, Batch(jnp.asarray(inputs[kept]), jnp.asarray(targets[kept])))
    np.testing.assert_allclose(metrics["loss"], plain["loss"], rtol=1e-6)
    np.testing.assert_allclose(plain["loss"], np.square(inputs[kept] @ weights - targets[kept]).mean(), rtol=1e-5)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


def test_a_padded_neighbour_is_none():
    support = Batch(jnp.array([[0.0], [5.0], [1.0]]), jnp.array([[1.0], [2.0], [3.0]]), jnp.array([True, True, False]))
    learner = baselines.nearest_neighbour(criteria.squared_error)
    np.testing.assert_array_equal(
        learner.predict({}, learner.adapt({}, support, KEY), jnp.array([[1.0], [4.0]])), [[1.0], [2.0]]
    )


def test_shapes_that_would_broadcast():
    with pytest.raises(ValueError, match="the targets' shape"):
        criteria.squared_error(lambda x, mask=None: x[:, 0], Batch(jnp.ones((3, 2)), jnp.ones((3, 1))), KEY)


@pytest.mark.parametrize("answer", [lambda x: (x, x), lambda x: x.astype(int), lambda x: {"mean": x}])
@pytest.mark.fault(promised="one line that says what is scored")
def test_predictions_that_are_no_floats(answer):
    with pytest.raises(ValueError, match=r"expected one array of floats as predictions, got (tuple|int32|dict); wrap"):
        criteria.squared_error(lambda x, mask=None: answer(x), Batch(jnp.ones((3, 1)), jnp.ones((3, 1))), KEY)


def test_a_neighbour_of_what_is_not_a_number():
    support = Batch(jnp.array([[0.0], [5.0]]), jnp.array([[1.0], [2.0]]))
    learner = baselines.nearest_neighbour(criteria.squared_error)
    found = learner.predict({}, learner.adapt({}, support, KEY), jnp.array([[jnp.nan], [4.0]]))
    np.testing.assert_array_equal(found, [[jnp.nan], [2.0]])
