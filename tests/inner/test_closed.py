import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import criteria, inner, learners, models, tasks

KEY = jax.random.key(0)


@pytest.mark.parametrize("penalty", [1e-3, 10.0])
def test_the_inverse_by_products_is_lapacks_with_its_derivative(penalty):
    with jax.enable_x64(True):
        factors = jax.random.normal(KEY, (2, 6, 4), float)
        matrices, penalties = factors @ factors.swapaxes(1, 2), jnp.array([penalty, 2 * penalty])
        exact = lambda matrices, penalties: jnp.linalg.inv(  # noqa: E731
            matrices + penalties[:, None, None] * jnp.eye(6)[None]
        )
        given = (matrices, penalties), (jnp.ones((2, 6, 6)), jnp.ones(2))
        for found, wanted in zip(jax.jvp(inner.regularized_inverse, *given), jax.jvp(exact, *given), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=1e-7)
        gradient = lambda inverse: jax.grad(lambda penalties: inverse(matrices, penalties).sum())(penalties)  # noqa: E731
        np.testing.assert_allclose(gradient(inner.regularized_inverse), gradient(exact), rtol=1e-6)


@pytest.mark.fault(promised="the regression, as near as single precision has it")
@pytest.mark.parametrize("size", [1.0, 3e3, 1e6])
def test_a_row_that_comes_twice_among_large_features(size):
    x = np.abs(np.random.default_rng(0).normal(size=(5, 64)))
    x[1] = x[0]
    x, y = (x * size).astype(np.float32), np.eye(5, dtype=np.float32)
    exact = x.astype(float) @ (x.T.astype(float) @ np.linalg.solve(x.astype(float) @ x.T + np.eye(5), y))
    found = x @ np.asarray(inner.ridge(jnp.asarray(x), jnp.asarray(y), 1.0))
    np.testing.assert_allclose(found, exact, atol=0.1)
    if size == 1:
        np.testing.assert_allclose(found, exact, atol=1e-4)


@pytest.mark.fault(promised="solved in single precision, which LAPACK begins with, and given back in half")
@pytest.mark.parametrize("make", [learners.r2d2, learners.ridge_classifier], ids=["r2d2", "ridge_classifier"])
def test_regressions_in_half_precision(make):
    def half(tree):
        shorter = lambda leaf: leaf.astype(jnp.bfloat16) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf  # noqa: E731
        return jax.tree.map(shorter, tree)

    learner = make(models.mlp(4, 5), criteria.cross_entropy, num_ways=2)
    episode = tasks.tabular(num_features=4, num_ways=2, num_shots=5, num_queries=5)(KEY)
    meta_params = learner.init(KEY)
    rough, exact = (learner.loss(each(meta_params), each(episode), KEY)[0] for each in (half, lambda tree: tree))
    assert rough.dtype == jnp.bfloat16
    np.testing.assert_allclose(rough.astype(float), exact, rtol=0.1)
