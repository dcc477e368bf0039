import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import registry
from proofs import KEY, double, episode, network

from jaxmeta import criteria, inner, learners, memory, models, tasks, tree
from jaxmeta.types import Batch, Episode


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def gap(found, expected):
    """The norm of the difference relative to that of what is expected, which must not be zero."""
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    assert tree.norm(expected) > 1e-6
    return tree.norm(jax.tree.map(jnp.subtract, found, expected)) / tree.norm(expected)


TAKES_GRADIENT = [
    name
    for name in registry.LEARNERS
    if name in registry.WITH_STEPS and "gradient" not in registry.LACKING.get(name, ())
]


def test_mixed_mode_is_the_default_wherever_a_gradient_is_taken():
    functions = [inner.unroll, *(getattr(learners, name) for name in learners.__all__)]
    defaults = [inspect.signature(function).parameters.get("gradient") for function in functions]
    defaults = [parameter.default for parameter in defaults if parameter is not None]
    # anil and boil pass it to partial_maml; e_maml takes it, too.
    assert len(defaults) == 1 + len(TAKES_GRADIENT) - 2 + 1 + 1
    assert set(defaults) == {inner.mixed_mode}


@pytest.mark.parametrize("name", TAKES_GRADIENT)
@pytest.mark.product(name=("maml", "meta_sgd"))
def test_every_learners_meta_gradient_is_nesteds(name):
    inputs = jax.random.normal(jax.random.key(1), (12, *registry.PICTURE))
    task = Episode(*(Batch(inputs[rows], jnp.arange(6) % registry.WAYS) for rows in (slice(6), slice(6, 12))))

    @jax.jit
    def gradients(key):
        cases = [registry.case(name, gradient=gradient).learner for gradient in (inner.mixed_mode, inner.nested)]
        params = double(cases[0].init(key))
        return [jax.grad(lambda params, case=case: case.loss(params, task, key)[0])(params) for case in cases]

    assert gap(*gradients(KEY)) < 1e-12


@functools.cache
def everything(gradient, over_tasks, scan=jax.lax.scan):
    """The gradient of a meta-loss of (theta, key) whose inner loss reads all that there is to read."""
    apply = network().apply

    def meta_loss(theta, key):
        noise_key, count = jax.random.fold_in(key, 7), jnp.asarray(theta["scale"] > 0, jnp.int32)

        def loss(params, batch, key):
            noise = 0.1 * jax.random.normal(key, batch.inputs.shape)
            value, metrics = criteria.cross_entropy(lambda x, mask=None: apply(params, x + noise), batch, key)
            # Closed over: a meta-parameter, an integer and a key.
            value += (
                theta["scale"] * count * jnp.square(params["w"]).sum() + jax.random.normal(noise_key) * params["b"][0]
            )
            return value, {**metrics, "rows": jnp.asarray(len(batch.targets)), "size": jnp.square(params["b"]).sum()}

        def update(gradients, momentum, steered, value):
            momentum = jax.tree.map(lambda old, new: 0.9 * old + new, momentum, gradients)
            return jax.tree.map(lambda rate, old: -rate * old * jnp.tanh(value), steered.by, momentum), momentum

        optimizer = inner.steer(lambda steered: jax.tree.map(jnp.zeros_like, steered.params), update)
        solve = inner.unroll(inner.steered(loss), optimizer, 3, gradient=gradient, scan=scan)

        def one(given):
            shift, key = given
            support, query = episode()
            support = support._replace(inputs=support.inputs * shift)
            (params, _), trace = solve(inner.Steered(theta["params"], theta["rates"]), support, key)
            value = criteria.cross_entropy(lambda x, mask=None: apply(params, x), query, key)[0]
            return value + 0.3 * trace.loss.sum() + 0.7 * trace.metrics["size"].sum()

        return over_tasks(one, (theta["shifts"], jax.random.split(key, 2))).mean()

    return jax.grad(meta_loss)


def in_turn(one, given):
    return jax.lax.map(one, given)


def side_by_side(one, given):
    return jax.vmap(one)(given)


def theta():
    params = network().init(KEY)
    rates = jax.tree.map(lambda leaf: jnp.full_like(leaf, 0.2), params)
    return {"params": params, "rates": rates, "scale": jnp.asarray(0.02), "shifts": jnp.array([0.8, 1.1])}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, leaf in expected.items():
        assert gap(found[name], leaf) < 1e-12, name


@pytest.mark.long
def test_a_loss_may_read_anything_under_vmap_and_scan():
    expected = jax.jit(everything(inner.nested, side_by_side))(theta(), KEY)
    assert_same(jax.jit(everything(inner.mixed_mode, side_by_side))(theta(), KEY), expected)
    assert_same(jax.jit(everything(inner.mixed_mode, in_turn, inner.checkpointed_scan))(theta(), KEY), expected)


@pytest.mark.long
def test_hessian_vector_products_of_the_meta_loss():
    along = jax.tree.map(jnp.cos, theta())

    def forward_over_reverse(slope, theta):
        return jax.jvp(lambda theta: slope(theta, KEY), (theta,), (along,))[1]

    def reverse_over_reverse(slope, theta):
        return jax.vjp(lambda theta: slope(theta, KEY), theta)[1](along)[0]

    expected, *found = [
        jax.jit(functools.partial(product, everything(gradient, in_turn)))(theta())
        for product, gradient in [
            (forward_over_reverse, inner.nested),
            (forward_over_reverse, inner.mixed_mode),
            (reverse_over_reverse, inner.mixed_mode),
        ]
    ]
    for other in found:
        assert_same(other, expected)


def marked(backward):
    """The identity with another backward pass, which itself has a derivative of both modes."""
    function = jax.custom_vjp(lambda x: x)
    function.defvjp(lambda x: (x, ()), lambda _, g: (backward(g),))
    return function


@pytest.mark.parametrize("rule", [lambda g: -g, lambda g: jnp.clip(g, -1e-2, 1e-2)], ids=["reversal", "clip"])
def test_check_gradient_finds_rules_that_are_no_derivatives(rule):
    (support, _), params = episode(), network().init(KEY)

    def loss(identity, params, data, key):
        outputs = lambda x, mask=None: identity(jnp.tanh(x @ params["w"] + params["b"][None])) @ params["v"]  # noqa: E731
        return criteria.cross_entropy(outputs, data, key)

    assert inner.check_gradient(functools.partial(loss, marked(lambda g: g)), params, support, KEY) < 1e-12
    with pytest.raises(ValueError, match=r"inner\.nested"):
        inner.check_gradient(functools.partial(loss, marked(rule)), params, support, KEY)


@pytest.mark.fault(promised="a warning that names the rule, which may be no derivative")
def test_a_custom_rule_in_a_learners_model_is_warned_of():
    outputs = models.mlp(1, 1, hidden=(2,))
    turned = models.from_functions(outputs.init, lambda params, x: marked(jnp.negative)(outputs.apply(params, x)))
    batch = Batch(jnp.ones((2, 1)), jnp.ones((2, 1)))
    learner = learners.maml(turned, criteria.squared_error, optax.sgd(0.1), num_steps=1)
    with pytest.warns(UserWarning, match=r"custom_vjp of test_gradient\.<lambda> for a true derivative"):
        jax.grad(lambda params: learner.loss(params, Episode(batch, batch), KEY)[0])(learner.init(KEY))


def test_a_loss_without_forward_mode_is_told_to_use_nested():
    @jax.custom_vjp
    def square(x):
        return x * x

    square.defvjp(lambda x: (square(x), x), lambda x, g: (2 * x * g,))

    def slope(gradient):
        solve = inner.unroll(lambda p, d, key: (square(p) ** 2 * d, {}), optax.sgd(0.1), 1, gradient=gradient)
        return jax.grad(lambda p: solve(p, 3.0, KEY)[0])(2.0)

    assert jnp.allclose(slope(inner.nested), 1 - 0.1 * 3 * 12 * 4)
    raised = pytest.raises(TypeError, match=r"custom_vjp.*use gradient=inner\.nested")
    with raised, pytest.warns(UserWarning, match="mixed_mode takes the custom_vjp of test_gradient"):
        slope(inner.mixed_mode)


def test_cotangents_have_the_dtype_of_what_they_belong_to():
    def slope(params, data):
        loss = lambda params, data, key: (jnp.sum(jnp.square(params * data)), {})  # noqa: E731
        return jnp.sum(inner.unroll(loss, optax.sgd(0.1), 2)(params, data, KEY)[0] ** 2)

    found = jax.jit(jax.grad(slope, (0, 1)))(jnp.ones(2, jnp.bfloat16), jnp.ones(2, jnp.float32))
    assert [leaf.dtype for leaf in found] == [jnp.bfloat16, jnp.float32]


def test_convolutions_pooling_and_norms_have_true_rules():
    def loss(params, data, key):
        def outputs(x, mask=None):
            x, _ = models.normalization.standardize(
                "batch", models.convolution.convolve(x, params["kernel"]), mask, None, (), 1, 1e-5, jnp.ones(2)
            )
            return models.convolution.max_pool(jax.nn.relu(x)).reshape(len(x), -1) @ params["head"]

        return criteria.cross_entropy(outputs, data, key)

    keys = jax.random.split(KEY, 3)
    params = {"kernel": jax.random.normal(keys[0], (3, 3, 1, 2)), "head": jax.random.normal(keys[1], (8, 3))}
    support = Batch(jax.random.normal(keys[2], (6, 4, 4, 1)), jnp.arange(6) % 3)
    assert inner.check_gradient(loss, params, support, KEY) < 1e-12


@pytest.mark.parametrize("scan", [inner.checkpointed_scan, inner.adaptive_scan, "off the CPU"])
@pytest.mark.parametrize("length", [0, 1, 5, 11, 12])
def test_what_runs_the_steps_is_a_scan(scan, length, monkeypatch):
    if scan == "off the CPU":
        monkeypatch.setattr(memory, "on_cpu", lambda: False)
        scan = inner.adaptive_scan

    def body(carry, x):
        carry = jnp.sin(carry * x["a"]) + x["b"][0]
        return carry, {"carry": carry, "twice": jnp.stack([carry, carry])}

    xs = {"a": jnp.linspace(0.5, 1.5, length), "b": jnp.ones((length, 2))}

    @functools.partial(jax.jit, static_argnums=0)
    def results(scan):
        def total(init, xs):
            carry, ys = scan(body, init, xs)
            return carry + sum(leaf.sum() for leaf in jax.tree.leaves(ys)), (carry, ys)

        return jax.grad(total, (0, 1), has_aux=True)(1.0, xs)

    for found, expected in zip(*(jax.tree.leaves(results(s)) for s in (scan, jax.lax.scan)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_few_steps_are_the_program_that_they_were():
    body, xs = lambda carry, x: (jnp.sin(carry * x), carry), jnp.arange(5.0)
    ours, plain = (
        jax.make_jaxpr(lambda xs, scan=scan: scan(body, 1.0, xs))(xs) for scan in (inner.adaptive_scan, jax.lax.scan)
    )
    assert str(ours) == str(plain)


def test_memory_by_steps():
    def temporary(num_steps, **options):
        learner = learners.maml(
            models.mlp(4, 3, hidden=(64, 64)), criteria.cross_entropy, optax.sgd(0.1), num_steps=num_steps, **options
        )
        sample = tasks.tabular(num_features=4, num_ways=3, num_shots=2, num_queries=2)
        task, params = jax.eval_shape(sample, KEY), jax.eval_shape(learner.init, KEY)
        compiled = jax.jit(jax.grad(learner.loss, has_aux=True)).lower(params, task, KEY).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporary(49) < 0.5 * temporary(49, scan=jax.lax.scan)


@pytest.mark.long
def test_memory_hardly_grows_with_steps_unasked():
    with jax.enable_x64(False):
        model, task = (
            models.conv4((28, 28, 1), 5),
            jax.eval_shape(tasks.strokes(num_ways=5, num_shots=1, num_queries=15), KEY),
        )

        def temporary(num_steps):
            learner = learners.maml(model, criteria.cross_entropy, optax.sgd(0.4), num_steps=num_steps)
            params = jax.eval_shape(learner.init, KEY)
            compiled = jax.jit(jax.grad(learner.loss, has_aux=True)).lower(params, task, KEY).compile()
            return compiled.memory_analysis().temp_size_in_bytes

        one = temporary(1)
        assert max(temporary(10), temporary(11), temporary(50)) < 1.2 * one


def batched_matmuls(program):
    """How many matmuls a program has whose both factors differ from task to task."""
    own = [each for each in program.eqns if each.primitive.name == "dot_general"]
    inside = [batched_matmuls(each) for eqn in program.eqns for each in jax.extend.core.jaxprs_in_params(eqn.params)]
    return sum(bool(each.params["dimension_numbers"][1][0]) for each in own) + sum(inside)


@pytest.mark.parametrize("num_steps", [1, 3])
@pytest.mark.product(num_steps=(1,))
def test_the_first_step_of_tasks_side_by_side_shares_its_params(num_steps, monkeypatch):
    monkeypatch.setattr(memory, "on_cpu", lambda: False)
    episodes = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf[::-1]]), episode())
    params = network().init(KEY)

    def gradient(**options):
        learner = learners.maml(network(), criteria.cross_entropy, optax.sgd(0.1), num_steps=num_steps, **options)
        loss = lambda params: jax.vmap(lambda task: learner.loss(params, task, KEY)[0])(episodes).mean()  # noqa: E731
        return jax.grad(loss)

    ours, scanned = gradient(), gradient(scan=jax.lax.scan)
    if num_steps == 1:
        assert batched_matmuls(jax.make_jaxpr(ours)(params)) < batched_matmuls(jax.make_jaxpr(scanned)(params))
    found, expected = jax.jit(lambda params: (ours(params), scanned(params)))(params)
    assert gap(found, expected) < 1e-13
