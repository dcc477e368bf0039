import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import registry

from jaxmeta import baselines, criteria, datasets, meta_trainer, models, tasks
from jaxmeta.types import Batch, Episode

KEY = jax.random.key(0)
SIZES = {"num_features": 2, "num_classes": 4, "num_ways": 3}
SUPPORT = Batch(jnp.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 1.0]]), jnp.array([0, 1, 0, 1]))
QUERIES = jnp.array([[2.0, 1.0], [0.5, 1.0]])


def adapted(learner, meta_params, support=SUPPORT):
    return jax.jit(learner.adapt)(meta_params, support, KEY)


def test_simple_shot_by_hand():
    encoder = models.flat()
    learner = baselines.simple_shot(encoder, criteria.cross_entropy, **SIZES)
    source = jnp.array([[0.0, 0.0], [2.0, 2.0]])
    meta_params = baselines.with_population(encoder, learner.init(KEY), source)
    np.testing.assert_array_equal(meta_params.population.centre, [1, 1])
    # Without the centre: (0, -1), (-1, 1), (2, -1), (-1, 0); of length one: (0, -1), (-a, a), (2b, -b), (-1, 0).
    a, b = 0.5**0.5, 0.2**0.5
    prototypes = np.array([[b, (-1 - b) / 2], [(-a - 1) / 2, a / 2], [0, 0]])
    known = adapted(learner, meta_params)
    np.testing.assert_allclose(known.prototypes, prototypes, atol=1e-6)
    logits = learner.predict(meta_params, known, QUERIES)
    expected = -np.square(np.array([[1.0, 0.0], [-1.0, 0.0]])[:, None] - prototypes).sum(2)
    np.testing.assert_allclose(logits[:, :2], expected[:, :2], atol=1e-6)
    assert (jax.nn.softmax(logits)[:, 2] == 0).all()


def test_linear_probe_is_multinomial_regression_by_gradient_descent():
    learner = baselines.linear_probe(models.flat(), criteria.cross_entropy, optax.sgd(0.5), **SIZES, num_steps=3)
    meta_params = learner.init(KEY)
    weights, bias = np.zeros((2, 2)), np.zeros(2)
    inputs, chosen = np.array(SUPPORT.inputs), np.eye(2)[SUPPORT.targets]
    for _ in range(3):
        chances = np.array(jax.nn.softmax(inputs @ weights + bias))
        weights, bias = weights - 0.5 * inputs.T @ (chances - chosen) / 4, bias - 0.5 * (chances - chosen).mean(0)
    known = adapted(learner, meta_params)
    np.testing.assert_allclose(known.head[0][:, :2], weights, atol=1e-6)
    np.testing.assert_allclose(known.head[1][:2], bias, atol=1e-6)


def test_baseline_plus_plus_starts_from_mean_embeddings_and_scores_cosines():
    learner = baselines.baseline_plus_plus(
        models.flat(), criteria.cross_entropy, optax.sgd(0.1), **SIZES, num_steps=0, scale=4.0
    )
    meta_params = learner.init(KEY)
    logits = learner.predict(meta_params, adapted(learner, meta_params), QUERIES)
    np.testing.assert_allclose(logits[:, :2], 4 * QUERIES / np.linalg.norm(QUERIES, axis=1, keepdims=True), rtol=1e-5)


def test_fine_tuning_equals_a_loop_under_the_sources_statistics():
    encoder, sizes = registry.linen("support", None), {**SIZES, "num_features": 8}
    learner = baselines.fine_tune(encoder, criteria.cross_entropy, optax.sgd(1.0), **sizes, num_steps=4)
    pictures = jax.random.uniform(KEY, (40, *registry.PICTURE))
    support = Batch(pictures[:6] + 0.5, jnp.arange(6) % 3)

    @jax.jit
    def compute():
        meta_params = baselines.with_population(encoder, learner.init(KEY), pictures)
        context = meta_params.population.context
        params = meta_params.encoder, (jnp.zeros((8, 3)), jnp.zeros(3))

        def logits(params, inputs):
            encoded, (weights, bias) = params
            return encoder.apply(encoded, inputs, None, context) @ weights + bias[None]

        def loss(params):
            return optax.softmax_cross_entropy_with_integer_labels(
                logits(params, support.inputs), support.targets
            ).mean()

        for _ in range(4):
            params = jax.tree.map(lambda leaf, slope: leaf - slope, params, jax.grad(loss)(params))
        known = learner.adapt(meta_params, support, KEY)
        return logits(params, pictures[6:]), learner.predict(meta_params, known, pictures[6:]), context, known.context

    by_hand, ours, context, kept = compute()
    np.testing.assert_allclose(ours, by_hand, atol=1e-5)
    assert np.abs(by_hand).max() > 0.1
    chex.assert_trees_all_equal(context, kept)


@pytest.mark.parametrize("name", registry.BASELINES)
def test_the_population_makes_a_prediction_independent_of_the_support_sets_moments(name):
    encoder, learner = registry.linen("support", None), registry.case(name).learner
    pictures = jax.random.uniform(KEY, (40, *registry.PICTURE))
    support = Batch(pictures[:6], jnp.arange(6) % 3)

    @jax.jit
    def contexts(meta_params):
        with_source = baselines.with_population(encoder, meta_params, pictures)
        return learner.adapt(meta_params, support, KEY).context, learner.adapt(with_source, support, KEY).context

    meta_params = learner.init(KEY)
    moments = encoder.context(meta_params.encoder, Batch(pictures, None))
    own, source = map(jax.tree.leaves, contexts(meta_params))
    for one, other, moment in zip(own, source, jax.tree.leaves(moments), strict=True):
        assert np.abs(one - other).max() > 1e-4
        np.testing.assert_allclose(other, moment, rtol=1e-5, atol=1e-6)


def test_labelled_batches():
    labels = np.repeat(np.arange(3), [2, 3, 4])
    inputs = np.stack([labels * 50, np.arange(9)], 1).astype(np.uint8)
    sample = tasks.labelled_batches(datasets.from_labels(inputs, labels, name="numbered"), batch_size=5)
    episodes = jax.jit(lambda: tasks.episodes(sample, KEY, jnp.arange(400)))()
    assert episodes.support == ()
    found = np.rint(255 * np.array(episodes.query.inputs))
    np.testing.assert_array_equal(found[..., 0], 50 * episodes.query.targets)
    assert all(len(set(batch[:, 1])) == 5 for batch in found)
    counts = np.bincount(found[..., 1].astype(int).ravel(), minlength=9)
    assert np.abs(counts / 400 - 5 / 9).max() < 0.1
    with pytest.raises(ValueError, match="batch_size"):
        tasks.labelled_batches(datasets.from_labels(inputs, labels, name="numbered"), batch_size=10)


def test_pretrained_then_meta_trained_then_fine_tuned():
    """The pipeline of Hu et al. is composition: the encoder's params pass from one learner to the next."""
    pretraining = registry.case("fine_tune").learner
    prototypes = registry.case("protonet").learner
    tuned = registry.case("proto_maml").learner
    sample = tasks.few_shot(registry.pictures(), num_ways=3, num_shots=2, num_queries=2)

    @jax.jit
    def compute():
        encoder = pretraining.init(KEY).encoder
        trainer = meta_trainer(prototypes._replace(init=lambda key: encoder), optax.adam(1e-3))
        state, _ = trainer.update(trainer.init(KEY), tasks.episodes(sample, KEY, jnp.arange(2)), KEY)
        episode = sample(KEY)
        adapted = tuned.adapt(state.meta_params, episode.support, KEY)
        return tuned.predict(state.meta_params, adapted, episode.query.inputs)

    assert compute().shape == (6, 3)


def test_wrong_use():
    for name in ("fine_tune", "linear_probe"):
        make = functools.partial(getattr(baselines, name), models.flat(), criteria.cross_entropy, optax.sgd(0.1))
        for wrong in ({"num_ways": 1}, {"num_classes": 1}, {"num_features": 0}, {"num_steps": -1}):
            with pytest.raises(ValueError, match=next(iter(wrong))):
                make(**{**SIZES, "num_steps": 1, **wrong})
    with pytest.raises(ValueError, match="scale"):
        baselines.baseline_plus_plus(
            models.flat(), criteria.cross_entropy, optax.sgd(0.1), **SIZES, num_steps=1, scale=0.0
        )
    wide = baselines.fine_tune(models.flat(), criteria.cross_entropy, optax.sgd(0.1), **SIZES, num_steps=1)
    with pytest.raises(ValueError, match="as num_features says"):
        wide.adapt(wide.init(KEY), Batch(jnp.ones((4, 3)), SUPPORT.targets), KEY)
    with pytest.raises(ValueError, match="as num_features says"):
        wide.loss(wide.init(KEY), Episode((), Batch(jnp.ones((4, 3)), SUPPORT.targets)), KEY)
