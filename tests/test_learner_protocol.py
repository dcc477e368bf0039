import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import registry

from jaxmeta import criteria, evaluate, evaluation, inner, meta_trainer, tasks, tree
from jaxmeta.models import NORMS
from jaxmeta.types import Batch, Episode

PAIRS = [(name, model) for name in registry.LEARNERS for model in registry.MODELS]
PAIRS += [(name, "linen") for name in registry.BASELINES]
# Every norm is met in three learners. Of a norm a learner sees no more than whether outputs hang on the batch, on a
# context or on neither: the others meet one of each sort, with an nnx module two.
SORTS = {"linen": ("batch", "support", "task", "layer"), "nnx": ("batch", "support")}
NORMED = [
    (name, model, norm)
    for name, model in PAIRS
    for norm in NORMS
    if name in ("maml", "protonet", "relation_net") or norm in SORTS[model]
]
KEY = jax.random.key(0)


@functools.cache
def drawn():
    """Four episodes, the same for all cases: rendering takes long to compile."""
    sample = tasks.strokes(num_ways=registry.WAYS, num_shots=2, num_queries=2, size=registry.SIZE)
    return tasks.drawn(sample, KEY, jnp.arange(4))


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
@pytest.mark.product(model=("linen",))
def test_loss_and_gradient(name, model):
    case = registry.case(name, model)
    learner = case.learner
    meta_params = learner.init(KEY)
    episodes, keys = case.training(drawn()), jax.random.split(KEY, 4)

    @jax.jit
    def compute(meta_params):
        result, gradient = jax.value_and_grad(learner.loss, has_aux=True)(meta_params, first(episodes), keys[0])
        together = jax.vmap(learner.loss, (None, 0, 0))(meta_params, episodes, keys)[0]
        alone = jax.lax.map(lambda given: learner.loss(meta_params, *given)[0], (episodes, keys))
        return result, gradient, together, alone

    (loss, metrics), gradient, together, alone = compute(meta_params)
    assert loss.shape == ()
    assert np.isfinite(loss)
    assert set(metrics) == {"loss", "accuracy"} | ({"inner_residual", "cg_residual"} if name == "imaml" else set())
    assert jax.tree.structure(gradient) == jax.tree.structure(meta_params)
    assert tree.norm(gradient) > 1e-3
    np.testing.assert_allclose(together, alone, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(together[0], loss, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(("name", "model"), PAIRS)
@pytest.mark.product(name=("maml", "protonet", "reptile", "r2d2"), model=("linen",))
def test_training_lowers_the_loss_without_compiling_twice(name, model):
    case = registry.case(name, model)
    trainer = meta_trainer(case.learner, optax.adam(1e-2))
    episodes = case.training(drawn())
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


def padded(batch, extra):
    """The batch with rows of junk that its mask hides."""

    def pad(leaf, value):
        return jnp.concatenate([leaf, jnp.full((extra, *leaf.shape[1:]), value, leaf.dtype)])

    mask = jnp.arange(len(batch.targets) + extra) < len(batch.targets)
    return Batch(pad(batch.inputs, 0.7), pad(batch.targets, 0), mask, pad(batch.classes, True))


@pytest.mark.parametrize(("name", "model", "norm"), NORMED)
@pytest.mark.product(name=("maml", "protonet", "relation_net"), norm=("batch", "layer", "task"), model=("linen",))
def test_single_equals_joint_for_every_norm_but_batch_and_padding_changes_nothing(name, model, norm):
    learner = registry.case(name, model, norm).learner
    meta_params = learner.init(KEY)
    episode = first(drawn())
    support, query = padded(episode.support, 5), padded(episode.query, 3)

    @jax.jit
    def outputs(meta_params):
        adapted = learner.adapt(meta_params, episode.support, KEY)
        joint = learner.predict(meta_params, adapted, episode.query.inputs)
        adapted = learner.adapt(meta_params, support, KEY)
        masked = learner.predict(meta_params, adapted, query.inputs, query.mask)[: len(joint)]
        return joint, masked, evaluation.single(learner).predict(meta_params, adapted, episode.query.inputs)

    joint, masked, alone = outputs(meta_params)
    bound = registry.ROUNDING.get(name, 3e-6) * max(1, np.abs(joint).max())
    assert np.abs(joint - masked).max() < bound
    gap = np.abs(joint - alone).max()
    assert gap > 1e-3 if norm == "batch" or name in registry.TRANSDUCTIVE else gap < bound


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["maml", "protonet"])
@pytest.mark.product(norm=("batch", "task"))
def test_padding_changes_no_gradient(name, norm):
    learner = registry.case(name, "linen", norm).learner
    episode = first(drawn())
    wide = Episode(padded(episode.support, 5), padded(episode.query, 3))
    grad = jax.value_and_grad(lambda *given: learner.loss(*given)[0])
    both = jax.jit(lambda meta_params: (grad(meta_params, episode, KEY), grad(meta_params, wide, KEY)))
    (plain, gradient), (masked, masked_gradient) = both(learner.init(KEY))
    np.testing.assert_allclose(masked, plain, rtol=1e-5)
    gap = tree.norm(jax.tree.map(jnp.subtract, gradient, masked_gradient))
    assert gap <= 1e-4 * tree.norm(gradient)


@pytest.mark.parametrize("name", sorted(registry.WITH_STEPS))
@pytest.mark.product(name=("maml", "reptile", "cavia"))
def test_learners_with_inner_steps_take_the_same_options_which_act(name):
    used = set()

    def doubled(predictor, data, key):
        used.add("outer_criterion")
        loss, metrics = criteria.cross_entropy(predictor, data, key)
        return 2 * loss, metrics

    def gradient(loss):
        used.add("gradient")
        return inner.nested(loss)

    def scan(*given):
        used.add("scan")
        return jax.lax.scan(*given)

    def whole(support, key, step):
        used.add("select")
        assert isinstance(support, Batch)
        return support

    given = {"outer_criterion": doubled, "gradient": gradient, "scan": scan, "select": whole}
    lacking = registry.LACKING.get(name, set())
    for option in lacking:
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{option}'"):
            registry.case(name, **{option: given[option]})
    taken = {option: given[option] for option in given.keys() - lacking}
    case, same = registry.case(name), registry.case(name, **taken).learner
    fewer = registry.case(name, select=inner.minibatch(3)).learner
    episode, meta_params = first(drawn()), case.learner.init(KEY)

    @jax.jit
    def compute(meta_params):
        def outputs(learner):
            return learner.predict(meta_params, learner.adapt(meta_params, episode.support, KEY), episode.query.inputs)

        losses = [learner.loss(meta_params, case.training(episode), KEY)[0] for learner in (case.learner, same)]
        return losses, *map(outputs, (case.learner, same, fewer))

    (loss, other), plain, found, drawn_rows = compute(meta_params)
    assert used == taken.keys()
    np.testing.assert_allclose(found, plain, rtol=1e-5, atol=1e-6)
    assert np.abs(drawn_rows - plain).max() > 1e-3
    np.testing.assert_allclose(other, loss if "outer_criterion" in lacking else 2 * loss, rtol=1e-5)


@pytest.mark.parametrize("name", ["maml", "protonet"])
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
