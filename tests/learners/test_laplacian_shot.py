"""LaplacianShot beside its updates written as loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import Batch, audit, criteria, evaluation, learners, models, protonet, tasks

KEY = jax.random.key(0)
RNG = np.random.default_rng(1)
LABELS = np.arange(6) % 3
SUPPORT = Batch(jnp.asarray(RNG.normal(size=(6, 4)) + 2 * np.eye(3, 4)[LABELS], jnp.float32), jnp.asarray(LABELS))
QUERIES = RNG.normal(size=(9, 4)).astype(np.float32)


def by_hand(distances, queries, count, weight):
    near = np.zeros((len(queries), len(queries)))
    for row in range(len(queries)):
        others = [other for other in range(len(queries)) if other != row]
        others.sort(key=lambda other: np.square(queries[row] - queries[other]).sum())
        for other in others[:count]:
            near[row, other] = near[other, row] = 1
    logits = -distances
    for _ in range(20):
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        logits = np.array([sum(near[i, j] * shares[j] for j in range(len(queries))) for i in range(len(queries))])
        logits = weight * logits - distances
    return logits


@pytest.mark.parametrize(("count", "weight"), [(2, 0.7), (20, 1.3)])
def test_the_updates_by_hand(count, weight):
    learner = learners.laplacian_shot(
        models.flat(), criteria.cross_entropy, num_ways=3, num_neighbours=count, weight=weight
    )
    adapted = learner.adapt({}, SUPPORT, KEY)
    distances = np.square(QUERIES[:, None] - np.asarray(adapted.prototypes)[None]).sum(axis=-1)
    found = learner.predict({}, adapted, QUERIES)
    np.testing.assert_allclose(found, by_hand(distances, QUERIES, count, weight), rtol=1e-4, atol=1e-4)


def test_a_query_alone_is_classified_by_prototypes():
    options = {"num_ways": 3}
    learner = learners.laplacian_shot(models.flat(), criteria.cross_entropy, **options)
    plain = protonet(models.flat(), criteria.cross_entropy, **options)
    adapted = learner.adapt({}, SUPPORT, KEY)
    alone = evaluation.single(learner).predict({}, adapted, QUERIES)
    np.testing.assert_allclose(alone, plain.predict({}, adapted, QUERIES), rtol=1e-5)
    assert np.abs(learner.predict({}, adapted, QUERIES) - alone).max() > 0.1


def test_the_audit_calls_it_transductive():
    sample = tasks.strokes(num_ways=3, num_shots=2, num_queries=2, size=8)
    learner = learners.laplacian_shot(models.mlp(64, 6, hidden=()), criteria.cross_entropy, num_ways=3)
    found = audit(learner, sample, KEY, promises={"queries": "transductive", "gradient": None})
    said = {check.name: check for check in found.checks}
    assert (said["queries"].found, said["queries"].verdict) == ("transductive", "kept")
    assert said["padding"].found == "ignored"


@pytest.mark.parametrize(("name", "value"), [("weight", 0.0), ("weight", float("inf")), ("num_neighbours", 0)])
def test_what_cannot_be(name, value):
    with pytest.raises(ValueError, match=f"laplacian_shot: {name}"):
        learners.laplacian_shot(models.flat(), criteria.cross_entropy, num_ways=3, **{name: value})
