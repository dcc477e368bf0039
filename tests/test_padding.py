"""Padded episodes are computed as if nothing were padded."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import registry

from jaxmeta import criteria, evaluate, tasks
from jaxmeta.types import Batch, Episode

KEY = jax.random.key(0)
NUM_EPISODES = 60


@functools.cache
def drawn():
    """Episodes of 2 or 3 ways and 1 to 3 shots, at most 5 in all: a handful of shapes once the padding is gone."""
    limits = {"max_ways": registry.WAYS, "max_shots": 3, "num_queries": 2, "min_ways": 2, "max_support": 5}
    sample = tasks.variable(registry.pictures(), **limits)
    return jax.device_get(tasks.drawn(sample, KEY, jnp.arange(NUM_EPISODES)))


def without_padding(batch):
    """The real rows alone; which classes a task has stays known, since a network's head has a fixed size."""
    kept = jax.tree.map(lambda leaf: leaf[batch.mask], batch)
    return kept._replace(mask=None)


def junk(batch):
    """What stands in padded rows must not matter."""
    rows = batch.mask.reshape(-1, *(1,) * (batch.inputs.ndim - 1))
    return batch._replace(inputs=np.where(rows, batch.inputs, 7), targets=np.where(batch.mask, batch.targets, 1))


def double(tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64 if leaf.dtype == np.float32 else leaf.dtype), tree)


@pytest.mark.parametrize("name", registry.LEARNERS)
@pytest.mark.product(name=("protonet",))
def test_variable_episodes_padded_and_not(name):
    learner = registry.case(name, "nnx", "support").learner
    meta_params = jax.device_get(learner.init(KEY))

    @jax.jit
    def compute(meta_params, episodes):
        def one(episode):
            adapted = learner.adapt(meta_params, episode.support, KEY)
            logits = learner.predict(meta_params, adapted, episode.query.inputs, episode.query.mask)
            gradient = jax.grad(lambda given: learner.loss(given, episode, KEY)[0])(meta_params)
            return logits, jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(gradient)])

        return jax.vmap(one)(episodes)

    groups = {}
    for index in range(NUM_EPISODES):
        episode = jax.tree.map(lambda leaf: leaf[index], drawn())  # noqa: B023
        plain = Episode(*map(without_padding, episode))
        groups.setdefault((len(plain.support.targets), len(plain.query.targets)), []).append((index, plain))
    assert len(groups) >= 4
    assert {queries for _, queries in groups} == {4, 6}

    # Double precision, so that what is compared is the mathematics and not the order of summation.
    with jax.enable_x64(True):
        stack = lambda episodes: double(jax.tree.map(lambda *leaves: np.stack(leaves), *episodes))  # noqa: E731
        wide = [Episode(*map(junk, jax.tree.map(lambda leaf, i=i: leaf[i], drawn()))) for i in range(NUM_EPISODES)]
        logits, gradients = jax.device_get(compute(double(meta_params), stack(wide)))
        masks = drawn().query.mask
        for members in groups.values():
            plain_logits, plain_gradients = jax.device_get(
                compute(double(meta_params), stack([episode for _, episode in members]))
            )
            for place, (index, _) in enumerate(members):
                np.testing.assert_allclose(logits[index][masks[index]], plain_logits[place], rtol=1e-5, atol=1e-5)
                norm = np.linalg.norm(plain_gradients[place])
                assert norm > 0
                assert np.linalg.norm(gradients[index] - plain_gradients[place]) <= 1e-5 * norm


@pytest.mark.fault(promised="NaN as its score, the others' as they are")
def test_a_task_without_a_real_query():
    learner = registry.case("protonet").learner
    inputs = jax.random.normal(KEY, (2, 6, *registry.PICTURE))
    batch = Batch(inputs, jnp.tile(jnp.arange(6) % registry.WAYS, (2, 1)))
    mask = jnp.array([[True] * 6, [False] * 6])
    given = learner.init(jax.random.key(1)), jax.random.key(2)
    score = lambda query: evaluate(learner, criteria.cross_entropy, given[0], Episode(batch, query), given[1])  # noqa: E731
    found, real = score(batch._replace(mask=mask)), score(batch)
    for column, metrics in found.items():
        for name, values in metrics.items():
            np.testing.assert_allclose(values[0], real[column][name][0], rtol=1e-6)
            assert jnp.isnan(values[1])
