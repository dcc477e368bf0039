import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
import pytest
import registry

from jaxmeta import chunks, criteria, maml, models, tree
from jaxmeta.types import Batch, Episode

KEY = jax.random.key(0)
PICTURE = (16, 16, 1)


def drawn(num_examples, picture=PICTURE):
    """A pattern for each of three classes, and noise."""
    targets, (pattern_key, noise_key) = jnp.tile(jnp.arange(num_examples // 2) % 3, 2), jax.random.split(KEY)
    noise = jax.random.uniform(noise_key, (num_examples, *picture))
    inputs, half = jax.random.uniform(pattern_key, (3, *picture))[targets] + 0.3 * noise, num_examples // 2
    return Episode(Batch(inputs[:half], targets[:half]), Batch(inputs[half:], targets[half:]))


def distance(found, wanted):
    """Of two trees, relative to the norm of the second."""
    return float(tree.norm(jax.tree.map(jnp.subtract, found, wanted)) / tree.norm(wanted))


def all_float32(*trees):
    leaves = [leaf for leaf in jax.tree.leaves(trees) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("norm", "most"), [("batch", 2), ("batch, smooth", 0.1), ("support", 2), ("layer", 0.1), ("none", 0.1)]
)
@pytest.mark.long
def test_the_error_of_bfloat16(norm, most, monkeypatch):
    if "smooth" in norm:  # it is units of a ReLU that change sides which cost so much
        norm = norm.partition(",")[0]
        monkeypatch.setattr(nn, "relu", nn.softplus)
    exact, episode = models.conv4(PICTURE, 3, num_filters=8, norm=norm), drawn(24)
    params = exact.init(KEY)

    def measured(model):
        learner = maml(model, criteria.cross_entropy, optax.sgd(0.1), num_steps=2)
        context = model.context(params, episode.support)
        outputs = model.apply(params, episode.query.inputs, None, context)
        return outputs, jax.grad(lambda params: learner.loss(params, episode, KEY)[0])(params), context

    rough = models.in_precision(exact, jnp.bfloat16)
    found, wanted = (jax.jit(functools.partial(measured, model))() for model in (rough, exact))
    assert all_float32(found)
    assert 1e-4 < distance(found[0], wanted[0]) < 0.03
    assert 1e-4 < distance(found[1], wanted[1]) < most
    if norm == "support":
        assert distance(found[2], wanted[2]) < 0.01


@pytest.mark.parametrize("name", ["protonet", "relation_net", "r2d2", "meta_sgd"])
@pytest.mark.product(name=("protonet",))
def test_learners_keep_float32(name):
    def build(*arguments):
        return models.in_precision(registry.linen("support", *arguments), jnp.bfloat16)

    learner, episode = registry.LEARNERS[name](build), drawn(12, registry.PICTURE)
    meta_params = learner.init(KEY)
    (loss, metrics), gradient = jax.jit(jax.value_and_grad(learner.loss, has_aux=True))(meta_params, episode, KEY)
    assert all_float32(loss, metrics, gradient, learner.adapt(meta_params, episode.support, KEY))
    assert jnp.isfinite(tree.norm(gradient))
    assert tree.norm(gradient) > 0


def test_float32_is_the_network_itself():
    model, inputs = models.conv4(PICTURE, 3, num_filters=4), drawn(6).query.inputs
    params, same = model.init(KEY), models.in_precision(model, jnp.float32)
    assert (same.apply(params, inputs) == model.apply(params, inputs)).all()


def test_what_is_no_floating_number_enters_as_it_is():
    entered = []

    def apply(params, inputs, mask, context):
        entered.extend(str(leaf.dtype) for leaf in (*params, *inputs, mask, context))
        return inputs[1], inputs[0]

    made = models.from_functions(lambda key: (jnp.ones(2), jnp.arange(2)), apply)
    model, inputs = models.in_precision(made, jnp.bfloat16), (jnp.full((2, 1), 0.1), jnp.arange(2))
    ids, values = model.apply(model.init(KEY), inputs, jnp.array([True, False]), jnp.ones(()))
    # The last call's: before it the mask is tried, with inputs of its own.
    assert entered[-6:] == ["bfloat16", "int32", "bfloat16", "int32", "bool", "float32"]
    assert (ids.dtype, values.dtype) == (jnp.int32, jnp.float32)
    with pytest.raises(ValueError, match="floating type, such as bfloat16, got int32"):
        models.in_precision(made, jnp.int32)


def test_moments_are_taken_in_float32():
    """257 is 256 in bfloat16, and sums of more than a few entries stand still."""
    x = (200 + jax.random.normal(KEY, (64, 5, 5, 2))).astype(jnp.bfloat16)
    moments = models.Norm("support").init(KEY, x)["context"]["moments"]
    assert moments.variance.dtype == jnp.float32
    assert jnp.abs(moments.mean - x.astype(jnp.float32).mean((0, 1, 2))).max() < 1e-3


@pytest.mark.fault(promised="the sum, as all at once has it")
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_many_chunks_of_half_precision_add_up(dtype):
    found = chunks.sum_over_chunks(lambda rows: rows.sum(axis=0), jnp.ones((2000, 3), dtype), 1)
    assert found.dtype == dtype
    assert jnp.allclose(found.astype(float), 2000, rtol=1e-2)


@pytest.mark.parametrize(("dtype", "value"), [(jnp.float16, 300), (jnp.bfloat16, 256), (jnp.int8, 100)])
def test_a_norm_does_not_overflow_where_its_leaves_do_not(dtype, value):
    assert float(tree.norm({"a": jnp.full(4, value, dtype)})) == 2 * value
