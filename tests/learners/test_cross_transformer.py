import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import criteria, cross_transformer, evaluation, models
from jaxmeta.types import Batch, Model

KEY = jax.random.key(0)


def pictures():
    """Maps themselves: an encoder that changes nothing."""
    return Model(lambda key: {}, lambda params, x, mask=None, context=(): x)


def by_hand(meta_params, x, y, queries, num_ways):
    """Section 3.2 as it is written: a softmax over all places of a class, place by place of the query."""
    keys, values = np.asarray(meta_params.keys, np.float64), np.asarray(meta_params.values, np.float64)
    logits = np.full((len(queries), num_ways), -np.inf)
    for m, query in enumerate(queries):
        places = query.reshape(-1, query.shape[-1])
        for k in set(y):
            own = x[y == k].reshape(-1, x.shape[-1])
            distances = []
            for place in places:
                scores = (place @ keys) @ (own @ keys).T / np.sqrt(keys.shape[1])
                attention = np.exp(scores - scores.max())
                prototype = attention / attention.sum() @ (own @ values)
                distances.append(np.square(prototype - place @ values).sum())
            logits[m, k] = -np.mean(distances)
    return logits


@pytest.mark.parametrize("dim", [None, 5])
def test_against_numpy(dim):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 2, 3, 4)), np.array([2, 0, 2, 2, 0])
    queries = rng.normal(size=(3, 2, 3, 4))
    learner = cross_transformer(pictures(), criteria.cross_entropy, num_ways=4, num_channels=4, dim=dim)
    meta_params = learner.init(KEY)
    assert meta_params.keys.shape == meta_params.values.shape == (4, dim or 2)
    padded = jnp.concatenate([jnp.full((1, 2, 3, 4), 7.0), jnp.array(x)])
    support = Batch(padded, jnp.array([1, *y]), jnp.arange(6) > 0)
    adapted = learner.adapt(meta_params, support, KEY)
    found = learner.predict(meta_params, adapted, jnp.array(queries))
    wanted = by_hand(meta_params, x, y, queries, 4)
    np.testing.assert_allclose(found[:, [0, 2]], wanted[:, [0, 2]], rtol=1e-4, atol=1e-5)
    assert (jax.nn.softmax(found)[:, [1, 3]] == 0).all()  # what is padding, and what is not there at all


def test_one_example_far_from_another_of_its_class_leaves_no_nan():
    """Keys of large maps: the attention of a class is on one example, and the others' is 0 to rounding."""
    x = jnp.array([1.0, 40.0, -40.0])[:, None, None, None] * jax.random.normal(KEY, (3, 2, 2, 4))
    learner = cross_transformer(pictures(), criteria.cross_entropy, num_ways=3, num_channels=4)
    meta_params = learner.init(KEY)

    def loss(x):
        support = Batch(x, jnp.array([0, 0, 1]), jnp.array([True, True, True]))
        adapted = learner.adapt(meta_params, support, KEY)
        return jax.nn.log_softmax(learner.predict(meta_params, adapted, x))[:, 0].sum()

    assert jnp.isfinite(jax.jit(jax.grad(loss))(x)).all()


def test_what_is_moved_is_found():
    """A pattern at another place is as near as where it was, which no comparison place by place can say."""
    pattern, other = jnp.eye(8).reshape(2, 1, 2, 2, 8)
    canvas = lambda pattern, row: jnp.zeros((1, 6, 6, 8)).at[:, row : row + 2, 1:3].set(pattern)  # noqa: E731
    learner = cross_transformer(pictures(), criteria.cross_entropy, num_ways=2, num_channels=8, dim=8)
    sharp = learner.init(KEY)._replace(keys=20 * jnp.eye(8), values=jnp.eye(8))
    support = Batch(jnp.concatenate([canvas(pattern, 0), canvas(other, 0)]), jnp.arange(2))
    adapted = learner.adapt(sharp, support, KEY)
    logits = jnp.concatenate([learner.predict(sharp, adapted, canvas(pattern, row)) for row in (0, 4)])
    np.testing.assert_allclose(logits[0], logits[1], rtol=1e-5)
    assert (logits[:, 0] > logits[:, 1] + 0.05).all()


@pytest.mark.long
def test_published_network_with_queries_alone():
    encoder = models.conv4_maps((8, 8, 1), num_filters=4, norm="task")
    learner = cross_transformer(encoder, criteria.cross_entropy, num_ways=3, num_channels=4)
    meta_params, x = learner.init(KEY), jax.random.uniform(KEY, (4, 8, 8, 1))

    @jax.jit
    def outputs():
        adapted = learner.adapt(meta_params, Batch(x, jnp.array([0, 1, 1, 0])), KEY)
        return learner.predict(meta_params, adapted, x), evaluation.single(learner).predict(meta_params, adapted, x)

    joint, alone = outputs()
    assert np.ptp(joint[:, :2]) > 1e-2
    np.testing.assert_allclose(alone[:, :2], joint[:, :2], rtol=1e-4, atol=1e-5)


def test_wrong_use():
    support = Batch(jnp.ones((2, 8, 8, 1)), jnp.arange(2))

    def adapt(encoder, num_channels):
        learner = cross_transformer(encoder, criteria.cross_entropy, num_ways=2, num_channels=num_channels)
        return jax.eval_shape(lambda: learner.adapt(learner.init(KEY), support, KEY))

    maps = models.conv4_maps((8, 8, 1), num_filters=4, norm="none")
    assert adapt(maps, 4).keys.shape == (2, 4, 2)
    with pytest.raises(ValueError, match="cross_transformer: encoder: expected maps of 3 channels, got 4"):
        adapt(maps, 3)
    with pytest.raises(ValueError, match=r"feature maps \[n, h, w, c\], got shape \(2, 4\)"):
        adapt(models.conv4((8, 8, 1), None, num_filters=4, norm="none"), 4)
    for wrong in ({"num_ways": 1}, {"num_channels": 0}, {"dim": 0}):
        with pytest.raises(ValueError, match=f"cross_transformer: {next(iter(wrong))}"):
            cross_transformer(maps, criteria.cross_entropy, **{"num_ways": 2, "num_channels": 4} | wrong)
