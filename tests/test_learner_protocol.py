import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import registry

from jaxmeta import evaluate, meta_trainer, tasks, tree
from jaxmeta.models import NORMS
from jaxmeta.types import Batch, Episode

PAIRS = [(name, model) for name in registry.LEARNERS for model in registry.MODELS]
KEY = jax.random.key(0)


@functools.cache
def drawn():
    """Four episodes, the same for all cases: rendering takes long to compile."""
    sample = tasks.strokes(num_ways=registry.WAYS, num_shots=2, num_queries=2, size=registry.SIZE)
    return jax.jit(lambda: tasks.episodes(sample, KEY, jnp.arange(4)))()


def first(episodes):
    return jax.tree.map(lambda leaf: leaf[0], episodes)


def arguments(function):
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize(("name", "model"), PAIRS)
def test_signatures(name, model):
    learner = registry.case(name, model).learner
    assert arguments(learner.init) == ["key"]
    assert arguments(learner.adapt) == ["meta_params", "support", "key"]
    assert arguments(learner.predict) == ["meta_params", "adapted", "inputs", "mask"]
    assert arguments(learner.loss) == ["meta_params", "episode", "key"]


@pytest.mark.parametrize(("name", "model"), PAIRS)
def test_loss_and_gradient(name, model):
    case = registry.case(name, model)
    meta_params = case.learner.init(KEY)
    episodes = drawn()
    grad = jax.value_and_grad(case.learner.loss, has_aux=True)
    (loss, metrics), gradient = jax.jit(grad)(meta_params, first(episodes), KEY)
    assert loss.shape == ()
    assert np.isfinite(loss)
    assert set(metrics) == {"loss", "accuracy"}
    assert jax.tree.structure(gradient) == jax.tree.structure(meta_params)
    assert tree.norm(gradient) > 1e-3
    keys = jax.random.split(KEY, 4)
    together = jax.jit(jax.vmap(case.learner.loss, (None, 0, 0)))(meta_params, episodes, keys)[0]
    one = jax.jit(case.learner.loss)
    alone = [one(meta_params, jax.tree.map(lambda leaf, i=i: leaf[i], episodes), keys[i])[0] for i in range(4)]
    np.testing.assert_allclose(together, alone, rtol=2e-5)


@pytest.mark.parametrize(("name", "model"), PAIRS)
def test_training_lowers_the_loss_without_compiling_twice(name, model):
    case = registry.case(name, model)
    trainer = meta_trainer(case.learner, optax.adam(1e-2))
    episodes = drawn()
    compiled = []

    @jax.jit
    def update(state, episodes, key):
        compiled.append(1)
        return trainer.update(state, episodes, key)

    state = trainer.init(KEY)
    losses = []
    for _ in range(60):
        state, metrics = update(state, episodes, KEY)
        losses.append(float(metrics["loss"]))
    assert losses[-1] < 0.8 * losses[0]
    assert len(compiled) == 1
    assert int(state.step) == 60


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("model", registry.MODELS)
@pytest.mark.parametrize("name", ["maml", "protonet"])
def test_single_equals_joint_for_every_norm_but_batch(name, model, norm):
    if model == "linen" and norm == "instance":
        pytest.skip("8 x 8 pictures end as one pixel, whose instance moments are itself")
    case = registry.case(name, model, norm)
    meta_params = case.learner.init(KEY)
    episode = first(drawn())

    def both(meta_params):
        adapted = case.learner.adapt(meta_params, episode.support, KEY)
        joint = case.learner.predict(meta_params, adapted, episode.query.inputs)
        return joint, jax.lax.map(
            lambda row: case.learner.predict(meta_params, adapted, row[None])[0], episode.query.inputs
        )

    joint, alone = jax.jit(both)(meta_params)
    gap = np.abs(joint - alone).max()
    assert gap > 1e-3 if norm == "batch" else gap < 3e-6 * max(1, np.abs(joint).max())


def padded(batch, extra, num_ways):
    """The batch with rows of junk that its mask hides, and one class more than there is."""

    def pad(leaf, value):
        return jnp.concatenate([leaf, jnp.full((extra, *leaf.shape[1:]), value, leaf.dtype)])

    rows = len(batch.targets) + extra
    mask = jnp.arange(rows) < len(batch.targets)
    return Batch(pad(batch.inputs, 0.7), pad(batch.targets, 0), mask, jnp.ones((rows, num_ways), bool))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("model", registry.MODELS)
@pytest.mark.parametrize("name", ["maml", "protonet"])
def test_padding_changes_nothing(name, model, norm):
    case = registry.case(name, model, norm)
    meta_params = case.learner.init(KEY)
    episode = first(drawn())
    wide = Episode(padded(episode.support, 5, registry.WAYS), padded(episode.query, 3, registry.WAYS))
    grad = jax.jit(jax.value_and_grad(lambda *given: case.learner.loss(*given)[0]))
    (plain, gradient), (masked, masked_gradient) = grad(meta_params, episode, KEY), grad(meta_params, wide, KEY)
    np.testing.assert_allclose(masked, plain, rtol=1e-5)
    gap = tree.norm(jax.tree.map(jnp.subtract, gradient, masked_gradient))
    assert gap <= 1e-4 * tree.norm(gradient)


@pytest.mark.parametrize("name", registry.LEARNERS)
def test_evaluate_gives_every_tasks_score(name):
    case = registry.case(name)
    meta_params = case.learner.init(KEY)
    episodes = drawn()
    scores = evaluate(case.learner, case.criterion, meta_params, episodes, KEY)
    assert set(scores) == {"joint", "single"}
    assert scores["joint"]["accuracy"].shape == (4,)
    chunked = evaluate(case.learner, case.criterion, meta_params, episodes, KEY, tasks_per_chunk=2)
    np.testing.assert_allclose(scores["joint"]["loss"], chunked["joint"]["loss"], rtol=1e-5)
    np.testing.assert_allclose(scores["single"]["loss"], scores["joint"]["loss"], rtol=1e-5)
