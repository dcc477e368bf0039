import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxmeta import criteria, inner, models, proto_maml, protonet
from jaxmeta.types import Batch, Episode

KEY = jax.random.key(0)


def learner_with(num_steps, **given):
    encoder = models.mlp(3, 4, hidden=(5,), activation=jnp.tanh)
    return proto_maml(encoder, criteria.cross_entropy, optax.sgd(0.1), num_ways=3, num_steps=num_steps, **given)


def episode():
    x = jax.random.normal(KEY, (9, 3))
    return Episode(Batch(x[:5], jnp.array([0, 1, 0, 1, 1])), Batch(x[5:], jnp.array([0, 1, 1, 0])))


def test_without_steps_it_is_a_prototypical_network():
    """The logits differ by ||f(x)||^2, which is the same for all classes; an absent class stays so."""
    encoder = models.mlp(3, 4, hidden=(5,), activation=jnp.tanh)
    reference = protonet(encoder, criteria.cross_entropy, num_ways=3)
    learner, meta_params = learner_with(0), encoder.init(KEY)
    support, query = episode()

    @jax.jit
    def outputs(meta_params):
        def logits(learner):
            return learner.predict(meta_params, learner.adapt(meta_params, support, KEY), query.inputs)[:, :2]

        losses = [one.loss(meta_params, episode(), KEY)[0] for one in (learner, reference)]
        return logits(learner), logits(reference), encoder.apply(meta_params, query.inputs), losses

    ours, theirs, embeddings, losses = outputs(meta_params)
    np.testing.assert_allclose(ours - jnp.square(embeddings).sum(axis=1, keepdims=True), theirs, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_steps_adapt_encoder_and_head_and_lower_the_support_loss():
    meta_params = learner_with(0).init(KEY)
    support = episode().support

    def loss(num_steps):
        learner = learner_with(num_steps)

        @jax.jit
        def both(meta_params):
            adapted = learner.adapt(meta_params, support, KEY)
            return learner.loss(meta_params, Episode(support, support), KEY)[0], adapted.network

        return both(meta_params)

    (before, start), (after, end) = loss(0), loss(5)
    assert after < 0.9 * before
    assert all(np.abs(a - b).max() > 1e-4 for a, b in zip(jax.tree.leaves(start), jax.tree.leaves(end), strict=True))
    np.testing.assert_array_equal(start.weights[:, 2], end.weights[:, 2])


def test_first_order_is_another_gradient():
    """The gradient through the prototypes stays, that through the inner gradient goes."""
    meta_params = learner_with(0).init(KEY)
    exact, first = (
        jax.flatten_util.ravel_pytree(
            jax.jit(jax.grad(lambda p, one=one: one.loss(p, episode(), KEY)[0]))(meta_params)
        )[0]
        for one in (learner_with(2), learner_with(2, gradient=inner.first_order))
    )
    assert np.linalg.norm(first) > 0
    assert np.linalg.norm(exact - first) > 0.01 * np.linalg.norm(exact)
