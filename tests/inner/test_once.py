"""What does without the params of the steps is computed once: counted in the program, and compared in float64."""

import math

import jax
import jax.extend
import jax.numpy as jnp
import optax
import pytest
import registry
from proofs import KEY, assert_close, double

from jaxmeta import criteria, inner, learners, models
from jaxmeta.types import Batch, Episode


def at_every_step(data, key, step):
    """A `select` that selects all: steps whose data might differ compute everything."""
    del key, step
    return data


def operations(program):
    """Multiplications of all matmuls and convolutions, loops counted out."""
    total = 0
    for equation in program.eqns:
        shapes = [var.aval.shape for var in (*equation.invars, *equation.outvars)]
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            total += math.prod(shapes[2]) * math.prod(shapes[0][axis] for axis in contracted)
        elif equation.primitive.name == "conv_general_dilated":
            features = equation.params["dimension_numbers"].rhs_spec[0]
            total += math.prod(shapes[2]) * math.prod(shapes[1]) // shapes[1][features]
        inside = [operations(each) for each in jax.extend.core.jaxprs_in_params(equation.params)]
        chosen = min(inside, default=0) if equation.primitive.name == "cond" else sum(inside)
        total += chosen * equation.params.get("length", 1)
    return total


def task(num_queries=6, size=registry.SIZE, num_ways=registry.WAYS):
    inputs = jax.random.uniform(jax.random.key(1), (6 + num_queries, size, size, 1), float)
    targets = jnp.arange(6 + num_queries) % num_ways
    return Episode(Batch(inputs[:6], targets[:6]), Batch(inputs[6:], targets[6:]))


def slope(learner, episode):
    return jax.value_and_grad(lambda params: learner.loss(params, episode, KEY)[0])


@pytest.mark.parametrize("gradient", [inner.mixed_mode, inner.nested, inner.first_order])
@pytest.mark.product(gradient=(inner.mixed_mode,))
def test_a_body_that_steps_leave_alone_costs_the_same_at_1_and_5_steps(gradient):
    model = models.conv4((16, 16, 1), 3, num_filters=4)

    def cost(num_steps, select=None):
        learner = learners.anil(
            model, criteria.cross_entropy, optax.sgd(0.1), num_steps=num_steps, gradient=gradient, select=select
        )
        program = jax.make_jaxpr(slope(learner, task(2, 16)))(jax.eval_shape(learner.init, KEY))
        return operations(program.jaxpr)

    body = 6 * 9 * 4 * (8 * 8 + 4 * 4 * 4 + 2 * 2 * 4 + 4)  # of the support set, forward
    assert cost(5) - cost(1) < 0.1 * body
    if gradient is not inner.first_order:  # whose loss at each step nothing reads
        assert cost(5, at_every_step) - cost(5) > 4 * body


def frozen(num_outputs):
    """A frozen layer, an adapted one and a head."""
    layer = jax.random.normal(KEY, (registry.SIZE**2, 5), float)

    def init(key):
        return {"b": jnp.full(5, 0.1), "v": jax.random.normal(key, (5, num_outputs), float)}

    def apply(frozen, params, inputs, mask=None, context=()):
        return jnp.tanh(inputs.reshape(len(inputs), -1) @ frozen + params["b"][None]) @ params["v"]

    return models.FrozenModel(layer, init, apply)


@jax.jit
def _jitted(params, inputs):
    hidden = jnp.tanh(inputs.reshape(len(inputs), -1) @ params["w"])
    return jax.nn.relu(hidden - hidden.mean(axis=0, keepdims=True)) @ params["v"]


def jitted(num_outputs):
    shapes = {"w": (registry.SIZE**2, 5), "v": (5, num_outputs)}
    draw = lambda key: {name: jax.random.normal(key, shape, float) for name, shape in shapes.items()}  # noqa: E731
    return models.from_functions(draw, _jitted)


def over_frozen(make):
    return learners.over_frozen(make, frozen(registry.WAYS))


def film(norm="batch"):
    return models.film_conv4((16, 16, 1), registry.WAYS, num_context_params=2, num_filters=2, norm=norm)


SCORED, STEPS = criteria.cross_entropy, {"num_steps": 3}
SGD = optax.sgd(0.1, momentum=0.5)
CASES = {
    "anil": lambda **o: learners.anil(registry.linen("batch", registry.WAYS), SCORED, SGD, **STEPS, **o),
    "anil support": lambda **o: learners.anil(registry.linen("support", registry.WAYS), SCORED, SGD, **STEPS, **o),
    "anil task": lambda **o: learners.anil(registry.linen("task", registry.WAYS), SCORED, SGD, **STEPS, **o),
    "anil nnx": lambda **o: learners.anil(
        registry.nnx_model("batch", registry.WAYS), SCORED, SGD, head="head", **STEPS, **o
    ),
    "anil nested": lambda **o: CASES["anil"](gradient=inner.nested, **o),
    "anil first order": lambda **o: CASES["anil"](gradient=inner.first_order, **o),
    "anil checkpointed": lambda **o: CASES["anil"](scan=inner.checkpointed_scan, **o),
    "jitted": lambda **o: learners.anil(jitted(registry.WAYS), SCORED, SGD, head="v", **STEPS, **o),
    "partial": lambda **o: learners.partial_maml(
        registry.linen("batch", registry.WAYS), SCORED, SGD, adapts=lambda path: path[-8:] != "0/kernel", **STEPS, **o
    ),
    "maml over frozen": lambda **o: over_frozen(lambda model: learners.maml(model, SCORED, SGD, **STEPS, **o)),
    "meta_sgd over frozen": lambda **o: over_frozen(
        lambda model: learners.meta_sgd(model, SCORED, initial_learning_rate=0.1, **STEPS, **o)
    ),
    "maml_plus_plus over frozen": lambda **o: over_frozen(
        lambda model: learners.maml_plus_plus(model, SCORED, initial_learning_rate=0.1, **STEPS, **o)
    ),
    "imaml over frozen": lambda **o: over_frozen(
        lambda model: learners.imaml(
            model, SCORED, optax.sgd(0.1), regularization=2.0, num_cg_steps=40, cg_tolerance=0.0, **STEPS, **o
        )
    ),
    "cavia": lambda **o: learners.cavia(
        film(), SCORED, SGD, num_context_params=2, condition=models.beside, **STEPS, **o
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.product(name=("jitted", "maml over frozen"))
def test_values_and_meta_gradients_are_those_of_steps_that_compute_everything(name):
    with jax.enable_x64(True):
        episode = double(task(size=16 if name == "cavia" else registry.SIZE))
        both = [slope(CASES[name](**options), episode) for options in ({}, {"select": at_every_step})]
        params = double(CASES[name]().init(KEY))
        once, always = (operations(jax.make_jaxpr(each)(params).jaxpr) for each in both)
        assert once < always or name == "anil first order"  # which reads no loss of a step
        found, expected = jax.jit(lambda params: [each(params) for each in both])(params)
        assert_close(found, expected)


def test_what_depends_on_the_key_is_computed_at_every_step():
    def loss(params, data, key):
        still, noisy = data @ data.T, (data + jax.random.normal(key, data.shape)) @ data.T
        return (still * noisy).mean() * jnp.sum((params - 1) ** 2), {"noisy": noisy.mean(), "still": still.mean()}

    data = jnp.arange(6.0).reshape(2, 3)
    solves = [inner.unroll(loss, optax.sgd(0.01), 3, select=select) for select in (None, at_every_step)]
    found, expected = jax.jit(lambda data: [solve(jnp.zeros(2), data, KEY) for solve in solves])(data)
    assert_close(found, expected, rtol=1e-5)
    assert len(set(found[1].metrics["noisy"].tolist())) == 3


@pytest.mark.long
def test_tasks_side_by_side_and_in_turn_share_a_body():
    learner = CASES["anil"]()
    params, episodes = learner.init(KEY), jax.tree.map(lambda leaf: jnp.stack([leaf, leaf[::-1]]), task())
    one = lambda episode: slope(learner, episode)(params)  # noqa: E731
    found, expected = jax.jit(lambda episodes: (jax.vmap(one)(episodes), jax.lax.map(one, episodes)))(episodes)
    assert_close(found, expected, rtol=1e-4, atol=1e-6)
