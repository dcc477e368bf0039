import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import criteria, evaluation, models, relation_net
from jaxmeta.types import Batch, Episode, Model

KEY = jax.random.key(0)


def pictures():
    """Maps themselves: an encoder that changes nothing."""
    return Model(lambda key: {}, lambda params, x, mask=None, context=(): x)


def test_against_numpy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 2, 2, 3)).astype(np.float32), np.array([0, 1, 1, 0, 1])
    queries, targets = rng.normal(size=(3, 2, 2, 3)).astype(np.float32), np.array([1, 0, 1])
    weights = rng.normal(size=(2, 2, 6)).astype(np.float32)
    relation = Model(
        lambda key: jnp.array(weights),
        lambda w, pairs, mask=None, context=(): jnp.einsum("nhwc,hwc->n", pairs, w)[:, None],
    )
    sums = [x[y == k].sum(0) for k in range(2)]
    scores = np.array([[(weights * np.concatenate([q, s], axis=-1)).sum() for s in sums] for q in queries])
    errors = (1 / (1 + np.exp(-scores)) - np.eye(2)[targets]) ** 2
    learner = relation_net(pictures(), relation, criteria.relation_score, num_ways=2)
    meta_params = learner.init(KEY)
    episode = Episode(Batch(x, jnp.array(y)), Batch(jnp.array(queries), jnp.array(targets)))
    adapted = learner.adapt(meta_params, episode.support, KEY)
    np.testing.assert_allclose(learner.predict(meta_params, adapted, queries), scores, rtol=1e-4, atol=1e-5)
    loss, metrics = learner.loss(meta_params, episode, KEY)
    np.testing.assert_allclose(loss, errors.mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["accuracy"], (scores.argmax(1) == targets).mean())


def test_relation_score_counts_real_rows_and_present_classes():
    scores = jnp.array([[2.0, -1.0, 5.0], [0.0, 1.0, 9.0], [4.0, 4.0, 4.0]])
    classes = jnp.broadcast_to(jnp.array([True, True, False]), (3, 3))
    batch = Batch(jnp.zeros((3, 1)), jnp.array([0, 0, 2]), jnp.array([True, True, False]), classes)
    loss, metrics = criteria.relation_score(lambda x, mask=None: scores, batch, KEY)
    sigmoid = lambda s: 1 / (1 + np.exp(-s))  # noqa: E731
    wanted = [(sigmoid(2) - 1) ** 2, sigmoid(-1) ** 2, (sigmoid(0) - 1) ** 2, sigmoid(1) ** 2]
    np.testing.assert_allclose(loss, np.mean(wanted), rtol=1e-6)
    assert metrics["accuracy"] == 0.5
    with pytest.raises(TypeError, match="relation_score: expected integer targets"):
        criteria.relation_score(lambda x, mask=None: scores, batch._replace(targets=jnp.ones(3)), KEY)


@pytest.mark.long
def test_published_networks_with_queries_alone_and_padding():
    """All norms are in the protocol tests; here are the convolutions, two shots and an absent class."""
    encoder = models.conv4_maps((8, 8, 1), num_filters=2, norm="task")
    relation = models.relation_module((2, 2, 2), num_filters=2, norm="task")
    learner = relation_net(encoder, relation, criteria.cross_entropy, num_ways=3)
    x = jax.random.uniform(KEY, (4, 8, 8, 1))
    meta_params = learner.init(KEY)

    @jax.jit
    def outputs(junk):
        support = Batch(jnp.concatenate([x, junk]), jnp.array([0, 1, 1, 0, 2, 0]), jnp.arange(6) < 4)
        adapted = learner.adapt(meta_params, support, KEY)
        joint = learner.predict(meta_params, adapted, support.inputs, support.mask)[:4]
        return joint, evaluation.single(learner).predict(meta_params, adapted, x)

    joint, alone = outputs(jnp.zeros((2, 8, 8, 1)))
    assert (jax.nn.softmax(joint)[:, 2] == 0).all()
    assert np.ptp(joint[:, :2]) > 1e-2
    np.testing.assert_allclose(alone[:, :2], joint[:, :2], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs(9 + x[:2])[0][:, :2], joint[:, :2], rtol=1e-4, atol=1e-5)


def test_the_relations_context_is_the_moments_of_its_pairs():
    """Which are those of every support example with every class that is there."""
    seen = {}

    def context(params, pairs):
        seen.update(pairs._asdict())
        return pairs.inputs.mean()

    relation = Model(
        lambda key: {}, lambda params, pairs, mask=None, context=(): pairs.mean((1, 2, 3), keepdims=False)[:, None]
    )._replace(context=context)
    learner = relation_net(pictures(), relation, criteria.cross_entropy, num_ways=3)
    x = jnp.arange(3.0)[:, None, None, None] * jnp.ones((3, 1, 1, 1))
    adapted = learner.adapt(
        learner.init(KEY), Batch(x, jnp.array([0, 2, 0]), jnp.array([True, True, False])), KEY
    )  # fmt: skip
    # Class sums are 0, none and 1; the last example is padding.
    np.testing.assert_array_equal(
        seen["inputs"].reshape(3, 3, 2)[:2], [[[0, 0], [0, 0], [0, 1]], [[1, 0], [1, 0], [1, 1]]]
    )
    np.testing.assert_array_equal(seen["mask"].reshape(3, 3), [[1, 0, 1], [1, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(seen["targets"].reshape(3, 3), [[1, 0, 0], [0, 0, 1], [0, 0, 0]])
    assert adapted.relation_context.shape == ()


def test_wrong_use():
    encoder = models.conv4_maps((8, 8, 1), num_filters=4, norm="none")
    support = Batch(jnp.ones((2, 8, 8, 1)), jnp.arange(2))

    def adapt(encoder, relation):
        learner = relation_net(encoder, relation, criteria.relation_score, num_ways=2)
        return jax.eval_shape(lambda: learner.adapt(learner.init(KEY), support, KEY))

    adapt(encoder, models.relation_module((2, 2, 4), norm="none"))
    with pytest.raises(ValueError, match=r"expected a module that maps pairs \[4, 2, 2, 8\] .* its depth is twice"):
        adapt(encoder, models.relation_module((2, 2, 8), norm="none"))
    with pytest.raises(ValueError, match=r"to scores \[4, 1\], got outputs \(4, 3\)"):
        adapt(encoder, models.conv4((2, 2, 8), 3, norm="none"))
    with pytest.raises(ValueError, match=r"feature maps \[n, h, w, c\], got shape \(2, 4\)"):
        adapt(models.conv4((8, 8, 1), None, num_filters=4, norm="none"), models.relation_module((2, 2, 4)))
    with pytest.raises(ValueError, match="num_ways"):
        relation_net(encoder, encoder, criteria.relation_score, num_ways=1)
