import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import criteria, matching_net, models
from jaxmeta.types import Batch

KEY = jax.random.key(0)


def test_against_numpy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 3)).astype(np.float32), np.array([0, 1, 2, 0, 1, 2, 2])
    queries = rng.normal(size=(4, 3)).astype(np.float32)
    cosines = queries @ x.T / np.linalg.norm(queries, axis=1)[:, None] / np.linalg.norm(x, axis=1)
    attention = np.exp(cosines / 0.1)
    attention /= attention.sum(1, keepdims=True)
    chances = np.stack([attention[:, y == k].sum(1) for k in range(3)], axis=1)
    learner = matching_net(models.flat(), criteria.cross_entropy, num_ways=3)
    meta_params = learner.init(KEY)
    logits = learner.predict(meta_params, learner.adapt(meta_params, Batch(x, jnp.array(y)), KEY), queries)
    np.testing.assert_allclose(logits, np.log(chances), rtol=1e-4, atol=1e-5)


def test_an_embedding_of_zero_has_a_finite_gradient():
    learner = matching_net(models.flat(), criteria.cross_entropy, num_ways=2)
    meta_params = learner.init(KEY)

    def loss(x):
        adapted = learner.adapt(meta_params, Batch(x, jnp.arange(2)), KEY)
        return learner.predict(meta_params, adapted, x)[0, 0]

    value, gradient = jax.jit(jax.value_and_grad(loss))(jnp.array([[0.0, 0.0], [1.0, 0.0]]))
    np.testing.assert_allclose(value, np.log(0.5), rtol=1e-6)
    assert np.isfinite(gradient).all()


@pytest.mark.fault(promised="the same as of embeddings of size 1: a cosine has no unit")
@pytest.mark.parametrize("size", [1e-20, 1e-5, 1e20])
def test_embeddings_of_another_size(size):
    learner, x = matching_net(models.flat(), criteria.cross_entropy, num_ways=2), jax.random.normal(KEY, (5, 3))
    meta_params = learner.init(KEY)

    def logits(x):
        adapted = learner.adapt(meta_params, Batch(x[:2], jnp.arange(2)), KEY)
        return learner.predict(meta_params, adapted, x[2:])

    np.testing.assert_allclose(logits(size * x), logits(x), rtol=1e-4, atol=1e-5)
