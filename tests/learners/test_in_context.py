import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta import criteria, evaluation, learners, models, tasks, training
from jaxmeta.types import Batch, Episode

KEY = jax.random.key(0)
WAYS, COLUMNS = 3, 4


@functools.cache
def learner():
    network = models.table_network(num_ways=WAYS, width=8, num_layers=1, num_heads=2)
    return learners.in_context(network, criteria.prognosis, num_ways=WAYS)


def sampler(**sizes):
    return tasks.causal_tables(
        **{"num_features": COLUMNS, "num_ways": WAYS, "num_support": 9, "num_queries": 5} | sizes
    )


@functools.cache
def params():
    """Where nothing is 0, as it is after training."""
    made = jax.jit(learner().init)(KEY)
    return jax.tree.map(lambda leaf: leaf + 0.3 * jax.random.normal(KEY, leaf.shape), made)


@functools.cache
def episode() -> Episode:
    return jax.jit(sampler())(jax.random.key(3))


@functools.cache
def program():
    def answer(params, support, inputs):
        return learner().predict(params, learner().adapt(params, support, KEY), inputs)

    return jax.jit(answer)


def answer(support, inputs):
    return np.asarray(program()(params(), support, inputs))


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        for made in (params, episode, program, learner):
            made.cache_clear()
        yield
    for made in (params, episode, program, learner):
        made.cache_clear()


@pytest.mark.long
def test_of_all_promises_none_is_broken():
    with jax.enable_x64(False):
        episodes = tasks.drawn(sampler(num_support=8, num_queries=4), KEY, jnp.arange(2))
        report = jaxmeta.audit(learner(), episodes, KEY, criterion=criteria.prognosis)
    assert report.broken == (), str(report)
    found = {check.name: check.found for check in report.checks}
    assert found["queries"] == "inductive"
    assert found["padding"] == "ignored"
    assert found["support_order"] == "ignored"


@pytest.mark.long
def test_the_order_of_columns_is_nothing():
    support, query = episode()
    order = jnp.array([2, 0, 3, 1])
    plain = answer(support, query.inputs)
    turned = answer(support._replace(inputs=support.inputs[:, order]), query.inputs[:, order])
    np.testing.assert_allclose(turned, plain, atol=1e-12)
    assert np.abs(answer(support, query.inputs[:, order]) - plain).max() > 1e-3  # of queries alone it is much


@pytest.mark.long
def test_columns_of_padding_are_nothing():
    support, query = episode()
    wide = lambda batch: jnp.pad(batch.inputs, ((0, 0), (0, 3), (0, 0)))  # noqa: E731
    padded = answer(support._replace(inputs=wide(support)), wide(query))
    np.testing.assert_allclose(padded, answer(support, query.inputs), atol=1e-12)


@pytest.mark.long
def test_units_are_nothing():
    support, query = episode()
    is_number = (support.inputs[..., 2:3].max(axis=0) == 1)[None]
    there = lambda inputs: inputs[..., 1:2]  # noqa: E731
    other = lambda inputs: jnp.where(  # noqa: E731
        is_number & (jnp.arange(3) == 0)[None, None], (1000 * inputs - 7) * there(inputs), inputs
    )
    moved = answer(support._replace(inputs=other(support.inputs)), other(query.inputs))
    np.testing.assert_allclose(moved, answer(support, query.inputs), atol=1e-9)


def test_a_missing_cell_is_not_a_zero():
    support, query = episode()
    real = int(jnp.argmax(support.inputs[..., 2].max(axis=0)))
    zero = query.inputs.at[:, real, 0].set(support.inputs[:, real, 0].mean()).at[:, real, 1].set(1)
    missing = zero.at[:, real, :2].set(0)
    assert np.abs(answer(support, zero) - answer(support, missing)).max() > 1e-3


def test_the_names_of_categories_are_nothing():
    support, query = episode()
    made = lambda inputs, code: inputs.at[:, 0].set(  # noqa: E731
        jnp.stack([code(jnp.arange(len(inputs)) % 3), jnp.ones(len(inputs)), jnp.full(len(inputs), 2.0)], axis=-1)
    )
    names = [lambda codes: codes * 1.0, lambda codes: (codes + 1) % 3 * 5.0]
    first, second = (
        answer(support._replace(inputs=made(support.inputs, code)), made(query.inputs, code)) for code in names
    )
    np.testing.assert_allclose(second, first, atol=1e-12)


def test_the_classes_of_the_support_set_are_what_is_learned_from():
    support, query = episode()
    others = support._replace(targets=jnp.roll(support.targets, 1))
    assert np.abs(answer(others, query.inputs) - answer(support, query.inputs)).max() > 1e-3


@pytest.mark.long
def test_a_query_alone_gets_the_same_answer_to_rounding():
    episodes = tasks.episodes(sampler(), KEY, jnp.arange(2))
    found = evaluation.evaluate(learner(), criteria.prognosis, params(), episodes, KEY)
    for name, values in found["joint"].items():
        np.testing.assert_allclose(found["single"][name], values, atol=1e-12)


def test_a_class_without_examples_gets_no_probability():
    support, query = episode()
    one = support._replace(targets=jnp.zeros_like(support.targets))
    shares = jax.nn.softmax(answer(one, query.inputs))
    np.testing.assert_allclose(shares[:, 0], 1)


def test_more_classes_than_the_network_has_are_refused():
    network = models.table_network(num_ways=2, width=8, num_layers=1, num_heads=2)
    made = learners.in_context(network, criteria.prognosis, num_ways=3)

    def answer():  # of which nothing is computed
        weights = made.init(KEY)
        return made.predict(weights, made.adapt(weights, episode().support, KEY), episode().query.inputs)

    with pytest.raises(ValueError, match="at most the network's 2 classes, got 3"):
        jax.eval_shape(answer)


def test_a_table_of_plain_numbers_is_refused_with_a_hint():
    support, _ = episode()
    with pytest.raises(ValueError, match=r"tasks\.cells makes them"):
        learner().adapt(params(), support._replace(inputs=support.inputs[..., 0]), KEY)


def test_equiangular_codes_are_equally_far():
    codes = np.asarray(models.equiangular(5))
    np.testing.assert_allclose(codes @ codes.T, np.where(np.eye(5) > 0, 1, -1 / 4), atol=1e-12)


@pytest.mark.long
def test_training_on_the_prior_helps_on_other_tables_of_it():
    with jax.enable_x64(False):
        network = models.table_network(num_ways=2, width=16, num_layers=1, num_heads=2)
        made = learners.in_context(network, criteria.prognosis, num_ways=2)
        sample = sampler(num_ways=2, num_support=20, num_queries=10)
        trainer = jaxmeta.meta_trainer(made, optax.adam(3e-3))
        fitted = jaxmeta.runs.fit(trainer, sample, KEY, num_tasks=16, num_steps=300)
        episodes = tasks.drawn(sample, jax.random.key(9), jnp.arange(200))
        losses = [
            evaluation.evaluate(made, criteria.prognosis, each, episodes, KEY)["joint"]["loss"].mean()
            for each in (made.init(KEY), fitted.meta_params)
        ]
    assert losses[1] < losses[0] - 0.01


@pytest.mark.long
def test_features_that_are_alike_and_many_are_told_apart():
    """Pretrained features share most of what they are, and have thousands of numbers: a reader must see the rest."""
    dim, num_ways, key = 2000, 3, jax.random.key(0)

    def sample(key):
        mean_key, *keys = jax.random.split(key, 3)
        means = jax.random.normal(mean_key, (num_ways, dim))

        def batch(key, number):
            targets = jnp.tile(jnp.arange(num_ways), number)
            inputs = 0.02 * (5.0 + means[targets] + 0.5 * jax.random.normal(key, (num_ways * number, dim)))
            return Batch(inputs, targets)

        return Episode(batch(keys[0], 1), batch(keys[1], 4))

    encoder = models.from_functions(lambda key: (), lambda params, inputs: inputs)
    model = models.caml(encoder, jax.ShapeDtypeStruct((1, dim), "float32"), num_ways=5, width=16, num_heads=2)
    learner = jaxmeta.in_context(model, criteria.cross_entropy, num_ways=num_ways)
    trainer = jaxmeta.meta_trainer(learner, optax.adam(1e-3))
    run = jax.jit(training.many_updates(trainer, num_tasks=4, num_updates=200))
    _, metrics = run(trainer.init(key), jax.tree_util.Partial(sample), key)
    assert metrics["accuracy"][-10:].mean() > 0.6  # 1/3 by chance, where it stayed
