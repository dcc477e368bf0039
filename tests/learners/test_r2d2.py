import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import criteria, inner, models, r2d2
from jaxmeta.types import Batch

KEY = jax.random.key(0)


@pytest.mark.parametrize(("rows", "dim"), [(9, 4), (4, 9), (5, 5)])
def test_both_sides_of_the_identity_against_numpy(rows, dim):
    rng = np.random.default_rng(0)
    x, y, z = rng.normal(size=(rows, dim)), rng.normal(size=(rows, 2)), rng.normal(size=(3, dim))
    wanted = np.linalg.solve(x.T @ x + 0.3 * np.eye(dim), x.T @ y)
    with jax.enable_x64(True):
        np.testing.assert_allclose(inner.ridge(jnp.array(x), jnp.array(y), 0.3), wanted, rtol=1e-10)
    # The same in a task: one-hot labels, then the learned scale and bias.
    labels = np.arange(rows) % 3
    learner = r2d2(models.flat(), criteria.cross_entropy, num_ways=3)
    meta_params = learner.init(KEY)._replace(
        log_ridge=jnp.log(0.3), scale=jnp.array(2.0), bias=jnp.array(-1.0)
    )  # fmt: skip
    weights = np.linalg.solve(x.T @ x + 0.3 * np.eye(dim), x.T @ np.eye(3)[labels])
    adapted = learner.adapt(meta_params, Batch(jnp.array(x, jnp.float32), jnp.array(labels)), KEY)
    logits = learner.predict(meta_params, adapted, jnp.array(z, jnp.float32))
    np.testing.assert_allclose(logits, 2 * z @ weights - 1, rtol=1e-3, atol=1e-4)


def test_the_smaller_system_is_the_one_that_is_solved():
    def solved(rows, dim):
        text = str(jax.make_jaxpr(lambda x, y: inner.ridge(x, y, 1.0))(jnp.ones((rows, dim)), jnp.ones((rows, 2))))
        (line,) = [line for line in text.splitlines() if "= cholesky" in line]
        return line

    assert "f32[3,3]" in solved(3, 20)
    assert "f32[3,3]" in solved(20, 3)
