import jax
import jax.numpy as jnp
import numpy as np
import optax
import proofs
import pytest

from jaxmeta import cavia, criteria, evaluation, maml, models
from jaxmeta.types import Batch, Episode, Model

KEY = jax.random.key(0)


def network(width):
    """A smooth network, so that finite differences have digits."""

    def init(key):
        keys = jax.random.split(key, 2)
        return {"w": jax.random.normal(keys[0], (width, 6)), "v": jax.random.normal(keys[1], (6, 3))}

    return Model(init, lambda params, x, mask=None, context=(): jnp.tanh(x @ params["w"]) @ params["v"])


def episode():
    x = jax.random.normal(jax.random.key(1), (14, 2))
    return Episode(Batch(x[:6], jnp.arange(6) % 3), Batch(x[6:], jnp.arange(8) % 3))


def test_meta_gradient_against_finite_differences():
    with jax.enable_x64(True):
        learner = cavia(network(5), criteria.cross_entropy, optax.sgd(0.5), num_steps=3, num_context_params=3)
        exact = proofs.check_gradient(lambda params: learner.loss(params, episode(), KEY)[0], learner.init(KEY))
        # The context's weights have a gradient through the steps alone: it starts from 0.
        assert (exact != 0).all()


def test_against_maml_on_the_bias_of_the_first_layer():
    """For an mlp, context parameters are a bias that is adapted through fixed weights."""
    with jax.enable_x64(True):
        base, condition = network(2), jax.random.normal(jax.random.key(2), (3, 6))
        params = base.init(KEY)
        wide = params | {"w": jnp.concatenate([params["w"], condition])}
        learner = cavia(network(5), criteria.cross_entropy, optax.sgd(0.5), num_steps=2, num_context_params=3)
        adapted = jax.jit(learner.adapt)(wide, episode().support, KEY)

        def shifted(phi, x, mask=None, context=()):
            return jnp.tanh(x @ params["w"] + (phi @ condition)[None]) @ params["v"]

        reference = maml(
            Model(lambda key: jnp.zeros(3), shifted), criteria.cross_entropy, optax.sgd(0.5), num_steps=2
        )  # fmt: skip
        wanted = jax.jit(reference.adapt)(jnp.zeros(3), episode().support, KEY).params
        np.testing.assert_allclose(adapted.context_params, wanted, rtol=1e-10)
        assert np.abs(wanted).max() > 0.01


def test_conditions():
    vector = jnp.array([5.0, 6.0])
    np.testing.assert_array_equal(models.concatenate(jnp.ones((2, 1)), vector), [[1, 5, 6], [1, 5, 6]])
    channels = models.concatenate(jnp.ones((2, 3, 4, 1)), vector)
    np.testing.assert_array_equal(channels, jnp.broadcast_to(jnp.array([1.0, 5.0, 6.0]), (2, 3, 4, 3)))
    inputs, vectors = models.beside(jnp.ones((3, 4)), vector)
    np.testing.assert_array_equal(vectors, jnp.broadcast_to(vector, (3, 2)))
    assert inputs.shape == (3, 4)


def test_film_by_hand():
    film, x, vector = models.FiLM(), jnp.arange(12.0).reshape(1, 2, 2, 3), jnp.array([[1.0, 2.0]])
    params = film.init(KEY, x, vector)
    np.testing.assert_array_equal(film.apply(params, x, 0 * vector), x)
    kernel = params["params"]["Dense_0"]["kernel"]
    scale, shift = jnp.split(vector[0] @ kernel, 2)
    np.testing.assert_allclose(
        film.apply(params, x, vector), x * (1 + scale)[None, None, None] + shift[None, None, None], rtol=1e-5
    )


def test_a_convolutional_network_adapts_behind_its_norms_with_queries_alone_and_padding():
    model = models.film_conv4((4, 4, 1), 2, num_context_params=3, num_filters=2, norm="task")
    learner = cavia(
        model, criteria.cross_entropy, optax.sgd(0.5), num_steps=1, num_context_params=3, condition=models.beside
    )
    x, y = jax.random.uniform(KEY, (4, 4, 4, 1)), jnp.array([0, 1, 1, 0])
    meta_params = learner.init(KEY)

    @jax.jit
    def outputs(junk):
        support = Batch(jnp.concatenate([x, junk]), jnp.concatenate([y, y[:2]]), jnp.arange(6) < 4)
        adapted = learner.adapt(meta_params, support, KEY)
        alone = evaluation.single(learner).predict(meta_params, adapted, x)
        return adapted.context_params, learner.predict(meta_params, adapted, x), alone

    context_params, joint, alone = outputs(jnp.zeros((2, 4, 4, 1)))
    assert np.abs(context_params).max() > 1e-3
    np.testing.assert_allclose(alone, joint, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs(9 + x[:2])[1], joint, rtol=1e-4, atol=1e-5)


def test_wrong_use():
    with pytest.raises(ValueError, match="num_context_params: expected a whole number of at least 1, got 0"):
        cavia(network(2), criteria.cross_entropy, optax.sgd(0.1), num_steps=1, num_context_params=0)
    with pytest.raises(ValueError, match="film_conv4: num_context_params"):
        models.film_conv4((8, 8, 1), 2, num_context_params=0)
