import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import criteria, models, named_protonet, protonet, recipes, tasks
from jaxmeta.datasets import from_labels
from jaxmeta.types import Batch

WAYS, KEY = 3, jax.random.key(0)


def is_name(inputs):
    return inputs[:, -1] > 0.5


ENCODER = models.from_functions(lambda key: jnp.ones(4), lambda params, inputs: inputs[:, :4] * params[None])


def learner():
    return named_protonet(ENCODER, criteria.cross_entropy, num_ways=WAYS, is_name=is_name)


def support(shots, names=(0, 1, 2), seed=0):
    """Rows of five numbers, the last of which says that they are names."""
    counts = [shots] * WAYS if isinstance(shots, int) else shots
    targets = np.concatenate([np.repeat(np.arange(WAYS), counts), names]).astype(np.int32)
    rows = np.random.default_rng(seed).normal(size=(len(targets), 5)).astype(np.float32)
    rows[:, 4] = np.arange(len(targets)) >= sum(counts)
    return Batch(jnp.asarray(rows), jnp.asarray(targets))


def prototypes(batch, weight=0.0, growth=0.0):
    own = learner()
    params = own.init(KEY)._replace(weight=jnp.asarray(weight), growth=jnp.asarray(growth))
    return np.asarray(own.adapt(params, batch, KEY).prototypes)


def test_a_name_is_worth_one_example_at_first():
    batch = support(4)
    means = [np.asarray(batch.inputs)[np.asarray(batch.targets) == way, :4].mean(axis=0) for way in range(WAYS)]
    np.testing.assert_allclose(prototypes(batch), means, rtol=1e-5)


def test_the_mixture_is_the_formula():
    batch, weight, growth = support([1, 2, 5]), 0.7, -0.4
    rows, targets = np.asarray(batch.inputs)[:, :4], np.asarray(batch.targets)
    for way, shots in enumerate((1, 2, 5)):
        worth, power = np.exp(weight), shots ** np.exp(growth)
        shown, named = rows[:8][targets[:8] == way].mean(axis=0), rows[8 + way]
        wanted = (worth * named + power * shown) / (worth + power)
        np.testing.assert_allclose(prototypes(batch, weight, growth)[way], wanted, rtol=1e-5)


def test_without_names_it_is_protonet_and_without_examples_names_alone():
    plain = protonet(ENCODER, criteria.cross_entropy, num_ways=WAYS)
    batch = support(3, names=())
    wanted = plain.adapt(jnp.ones(4), batch, KEY).prototypes
    np.testing.assert_allclose(prototypes(batch, 0.7, -0.3), wanted, rtol=1e-6)
    batch = support([2, 0, 2])
    np.testing.assert_allclose(prototypes(batch, 1.5)[1], batch.inputs[5, :4], rtol=1e-6)
    assert bool(learner().adapt(learner().init(KEY), support([2, 0, 2], names=(0, 2)), KEY).present[1]) is False


def test_what_a_name_is_worth_is_learned():
    """Names that are noise lose weight, names that are right gain it."""

    def slope(noise):
        def loss(weight, key):
            rows = jnp.eye(3, 4)[jnp.arange(WAYS)]
            shot_key, name_key, query_key = jax.random.split(key, 3)
            shown = rows + 0.5 * jax.random.normal(shot_key, rows.shape)
            named = rows + noise * jax.random.normal(name_key, rows.shape)
            flag = jnp.repeat(jnp.array([0.0, 1.0]), WAYS)[:, None]
            inputs = jnp.concatenate([jnp.concatenate([shown, named]), flag], axis=1)
            batch = Batch(inputs, jnp.tile(jnp.arange(WAYS), 2))
            queries = rows + 0.5 * jax.random.normal(query_key, rows.shape)
            query = Batch(jnp.concatenate([queries, jnp.zeros((WAYS, 1))], axis=1), jnp.arange(WAYS))
            own = learner()
            params = own.init(key)._replace(weight=weight)
            adapted = own.adapt(params, batch, key)
            predict = lambda inputs, mask=None: own.predict(params, adapted, inputs, mask)  # noqa: E731
            return criteria.cross_entropy(predict, query, key)[0]

        keys = jax.random.split(KEY, 500)
        return float(jax.vmap(jax.grad(loss), in_axes=(None, 0))(jnp.zeros(()), keys).mean())

    assert slope(0.0) < 0 < slope(3.0)


def test_tasks_have_the_names_of_their_classes():
    rows = np.arange(24, dtype=np.float32).reshape(12, 2)
    examples = from_labels(rows, np.repeat(np.arange(4), 3), name="rows")
    both = examples._replace(inputs={"inputs": rows, "class": np.repeat(np.arange(4, dtype=np.int32), 3)})
    called = -np.arange(8, dtype=np.float32).reshape(4, 2)
    options = {"num_ways": 3, "num_shots": 2, "num_queries": 1}
    plain = tasks.few_shot(examples, **options)(KEY)
    episode = tasks.with_names(tasks.few_shot(both, **options), called, num_ways=3)(KEY)
    np.testing.assert_array_equal(episode.support.inputs[:6], plain.support.inputs)
    np.testing.assert_array_equal(episode.query.inputs, plain.query.inputs)
    classes = np.asarray(plain.support.inputs[::2, 0]).astype(int) // 6
    np.testing.assert_array_equal(episode.support.inputs[6:], called[classes])
    np.testing.assert_array_equal(episode.support.targets[6:], [0, 1, 2])


def test_it_wants_names():
    with pytest.raises(ValueError, match="`knowledge`: expected names"):
        recipes.check(recipes.get("protonet-intents").replace(learner="named_protonet"))
    with pytest.raises(ValueError, match="`knowledge`: expected none for pictures"):
        recipes.complete(recipes.get("protonet-strokes").replace(knowledge="names").task)
    with pytest.raises(ValueError, match="named_protonet: num_ways"):
        named_protonet(ENCODER, criteria.cross_entropy, num_ways=1, is_name=is_name)
    with pytest.raises(ValueError, match="expected texts"):
        recipes.KINDS["pictures"].is_name(jnp.ones((2, 3)))
