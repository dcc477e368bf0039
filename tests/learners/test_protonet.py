import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import criteria, models, protonet
from jaxmeta.types import Batch, Episode

KEY = jax.random.key(0)


def test_against_numpy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 3)).astype(np.float32), np.array([0, 1, 2, 0, 1, 2, 2])
    queries, targets = rng.normal(size=(4, 3)).astype(np.float32), np.array([0, 1, 2, 0])
    prototypes = np.stack([x[y == k].mean(0) for k in range(3)])
    logits = -((queries[:, None] - prototypes) ** 2).sum(-1)
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(4), targets]
    learner = protonet(models.flat(), criteria.cross_entropy, num_ways=3)
    adapted = learner.adapt({}, Batch(jnp.array(x), jnp.array(y)), KEY)
    np.testing.assert_allclose(adapted.prototypes, prototypes, rtol=1e-5)
    np.testing.assert_allclose(learner.predict({}, adapted, queries), logits, rtol=1e-5)
    episode = Episode(Batch(jnp.array(x), jnp.array(y)), Batch(jnp.array(queries), jnp.array(targets)))
    loss, metrics = learner.loss({}, episode, KEY)
    np.testing.assert_allclose(loss, losses.mean(), rtol=1e-5)
    assert metrics["accuracy"] == np.mean(logits.argmax(1) == targets)


def test_order_of_support_permutation_of_labels_and_absent_classes():
    rng = np.random.default_rng(1)
    x, y = jnp.array(rng.normal(size=(6, 3))), jnp.array([0, 0, 1, 1, 2, 2])
    queries = jnp.array(rng.normal(size=(5, 3)))
    learner = protonet(models.flat(), criteria.cross_entropy, num_ways=4)

    def logits(x, y):
        return learner.predict({}, learner.adapt({}, Batch(x, y), KEY), queries)

    order = rng.permutation(6)
    np.testing.assert_allclose(logits(x, y), logits(x[order], y[order]), rtol=1e-5)
    permutation = jnp.array([2, 0, 1, 3])
    np.testing.assert_allclose(logits(x, permutation[y])[:, permutation], logits(x, y), rtol=1e-5)
    assert (jax.nn.softmax(logits(x, y))[:, 3] == 0).all()


def test_a_query_alone_does_not_get_its_class_for_free():
    classes = jnp.ones((1, 3), bool)
    batch = Batch(jnp.zeros((1, 2)), jnp.array([1]), classes=classes)
    _, metrics = criteria.cross_entropy(lambda x, mask=None: jnp.array([[2.0, 1.0, 0.0]]), batch, KEY)
    assert metrics["accuracy"] == 0
    absent = batch._replace(classes=jnp.array([[False, True, True]]))
    loss, metrics = criteria.cross_entropy(lambda x, mask=None: jnp.array([[2.0, 1.0, 0.0]]), absent, KEY)
    assert metrics["accuracy"] == 1
    np.testing.assert_allclose(loss, np.log1p(np.exp(-1)), rtol=1e-6)


def test_wrong_use():
    with pytest.raises(ValueError, match="num_ways"):
        protonet(models.flat(), criteria.cross_entropy, num_ways=1)
