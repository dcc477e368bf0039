import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from proofs import KEY, assert_close, assert_exact, episode, meta_gradient, network

from jaxmeta import criteria, fomaml, inner, maml, models, tree
from jaxmeta.types import Batch, Episode, Model


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


OPTIMIZERS = {
    "sgd": lambda: optax.sgd(0.3),
    "momentum": lambda: optax.sgd(0.2, momentum=0.9),
    "adam": lambda: optax.adam(0.1, eps_root=1e-10),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("num_steps", [1, 3])
def test_meta_gradient_against_finite_differences(optimizer, num_steps):
    learner = maml(network(), criteria.cross_entropy, OPTIMIZERS[optimizer](), num_steps=num_steps)
    assert_exact(learner, learner.init(KEY))


def test_against_a_loop_by_hand():
    model = network()
    support, query = episode()

    def loss_at(params, batch):
        return criteria.cross_entropy(lambda x, mask=None: model.apply(params, x), batch, KEY)[0]

    def by_hand(params):
        for _ in range(3):
            gradient = jax.grad(loss_at)(params, support)
            params = jax.tree.map(lambda p, g: p - 0.3 * g, params, gradient)
        return loss_at(params, query)

    learner = maml(model, criteria.cross_entropy, optax.sgd(0.3), num_steps=3)
    params = learner.init(KEY)
    assert_close(meta_gradient(learner, params), jax.jit(jax.grad(by_hand))(params))


def test_closed_form_on_a_quadratic():
    hessian = jnp.array([[2.0, 0.5], [0.5, 1.0]])

    def criterion(predictor, target, key):
        gap = predictor(jnp.zeros((1,))) - target
        loss = 0.5 * gap @ hessian @ gap
        return loss, {"loss": loss}

    model = Model(lambda key: jnp.array([1.0, -2.0]), lambda params, x, mask=None, context=(): params)
    learner = maml(model, criterion, optax.sgd(0.1), num_steps=4)
    params, target, wanted = learner.init(KEY), jnp.array([0.3, 0.4]), jnp.array([-1.0, 0.2])
    shrink = jnp.linalg.matrix_power(jnp.eye(2) - 0.1 * hessian, 4)
    adapted = target + shrink @ (params - target)
    gradient = jax.grad(lambda params: learner.loss(params, Episode(target, wanted), KEY)[0])(params)
    np.testing.assert_allclose(gradient, shrink @ hessian @ (adapted - wanted), rtol=1e-12)


def test_zero_steps_is_the_query_gradient_and_first_order_is_the_one_at_the_adapted_params():
    model, (support, query) = network(), episode()
    query_gradient = jax.grad(lambda p: criteria.cross_entropy(lambda x, mask=None: model.apply(p, x), query, KEY)[0])
    none = maml(model, criteria.cross_entropy, optax.sgd(0.3), num_steps=0)
    first = fomaml(model, criteria.cross_entropy, optax.sgd(0.3), num_steps=2)
    second = maml(model, criteria.cross_entropy, optax.sgd(0.3), num_steps=2)
    params = none.init(KEY)
    assert_close(meta_gradient(none, params), query_gradient(params))
    adapted = first.adapt(params, support, KEY).params
    assert_close(adapted, second.adapt(params, support, KEY).params)
    assert_close(meta_gradient(first, params), query_gradient(adapted))
    gap = jax.tree.map(jnp.subtract, meta_gradient(first, params), meta_gradient(second, params))
    assert tree.norm(gap) > 0.05 * tree.norm(meta_gradient(second, params))


def test_an_optimizer_without_derivative_at_zero_is_refused_only_when_differentiated():
    optimizer = optax.adam(0.1)
    learner = maml(network(), criteria.cross_entropy, optimizer, num_steps=1)
    params = learner.init(KEY)
    assert np.isfinite(learner.loss(params, episode(), KEY)[0])
    with pytest.raises(ValueError, match="eps_root"):
        meta_gradient(learner, params)
    meta_gradient(fomaml(network(), criteria.cross_entropy, optimizer, num_steps=1), params)


ZEROS = {
    "adaptive clipping": optax.chain(optax.adaptive_grad_clip(0.01), optax.sgd(0.1)),
    "factored": optax.adafactor(0.1),
    "block clipping": optax.chain(optax.clip_by_block_rms(1.0), optax.sgd(0.1)),
    "trust ratio": optax.lamb(0.1),
}


@pytest.mark.parametrize("name", ZEROS)
@pytest.mark.fault(promised="refused, where biases start from zero")
def test_an_optimizer_without_derivative_where_params_are_zero(name):
    learner = maml(models.mlp(2, 3, hidden=(4,)), criteria.cross_entropy, ZEROS[name], num_steps=1)
    with pytest.raises(
        ValueError, match="expected a finite derivative of its update where gradients or params are zero"
    ):
        jax.grad(learner.loss, has_aux=True)(learner.init(KEY), labelled(), KEY)


FINITE = {
    "global clipping": optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1)),
    "decay where masked": optax.chain(
        optax.masked(optax.add_decayed_weights(0.1), lambda p: is_matrix(p)), optax.sgd(0.1)
    ),
    "some frozen": optax.partition({"a": optax.sgd(0.1), "b": optax.set_to_zero()}, lambda p: named(p)),
    "two rates": optax.partition({"a": optax.sgd(0.1), "b": optax.sgd(0.01)}, lambda p: named(p)),
    "plateau": optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau()),
    "noise": optax.chain(optax.sgd(0.1), optax.add_noise(0.1, 0.5, 0)),
}


def is_matrix(params):
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def named(params):
    return jax.tree.map(lambda leaf: "a" if leaf.ndim > 1 else "b", params)


def labelled():
    batch = Batch(jax.random.normal(KEY, (6, 2)), jnp.arange(6) % 3)
    return Episode(batch, batch)


@pytest.mark.parametrize("name", FINITE)
def test_an_optimizer_with_a_derivative(name):
    learner = maml(models.mlp(2, 3, hidden=(4,)), criteria.cross_entropy, FINITE[name], num_steps=2)
    gradient, _ = jax.jit(jax.grad(learner.loss, has_aux=True))(learner.init(KEY), labelled(), KEY)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


PASSING = {
    "masked": optax.masked(optax.sgd(0.1), is_matrix),
    "clipped before": optax.chain(optax.clip_by_global_norm(1.0), optax.masked(optax.sgd(0.1), is_matrix)),
    "clipped after": optax.chain(optax.masked(optax.sgd(0.1), is_matrix), optax.clip(1.0)),
    "a rate for some": optax.chain(optax.scale_by_adam(eps_root=1e-10), optax.masked(optax.scale(-0.1), is_matrix)),
    "identity": optax.partition({"a": optax.sgd(0.1), "b": optax.identity()}, named),
}


@pytest.mark.parametrize("name", PASSING)
@pytest.mark.fault(promised="refused, with what adapts a part")
def test_gradients_that_are_passed_on(name):
    learner = maml(models.mlp(2, 3, hidden=(4,)), criteria.cross_entropy, PASSING[name], num_steps=1)
    with pytest.raises(ValueError, match=r"the gradient itself at .*bias.*partial_maml"):
        learner.adapt(learner.init(KEY), labelled().support, KEY)


@pytest.mark.parametrize(
    "optimizer",
    [optax.scale_by_adam(eps_root=1e-10), optax.clip_by_global_norm(1.0), optax.identity(), optax.trace(0.9)],
)
@pytest.mark.fault(promised="refused: without a rate it would go up the gradient")
def test_optimizers_without_a_rate(optimizer):
    learner = maml(models.mlp(2, 3, hidden=(4,)), criteria.cross_entropy, optimizer, num_steps=1)
    with pytest.raises(ValueError, match=r"inner optimizer: expected updates that go down .* it has no learning rate"):
        learner.adapt(learner.init(KEY), labelled().support, KEY)


def stepped(optimizer, num_steps, start=1.0):
    """Where the steps down the square of the params lead."""
    loss = lambda params, data, key: (sum(1.0 * jnp.sum(jnp.abs(leaf) ** 2) for leaf in jax.tree.leaves(params)), {})  # noqa: E731
    return inner.unroll(loss, optimizer, num_steps)(start, (), KEY)[0]


UP = {
    "negative rate": optax.sgd(-0.05),
    "tiny": optax.adam(-1e-7),
    "no minus": optax.chain(optax.clip(1.0), optax.scale(0.05)),
    "schedule": optax.scale_by_schedule(optax.constant_schedule(0.05)),
    "noise": optax.chain(optax.sgd(-0.05), optax.add_noise(0.1, 0.5, 0)),
}


@pytest.mark.parametrize("name", UP)
@pytest.mark.fault(promised="refused: it goes up the gradient, however slowly")
def test_optimizers_that_go_up(name):
    with pytest.raises(ValueError, match=r"expected updates that go down the gradient, got .* at .*wrong sign"):
        stepped(UP[name], 1)


@pytest.mark.parametrize(
    "optimizer",
    [optax.sgd(0.0), optax.MultiSteps(optax.sgd(0.1), 3), optax.sgd(optax.linear_schedule(0, 0.1, 100))],
    ids=["rate 0", "waits", "warm-up"],
)
@pytest.mark.fault(promised="refused if no step of all moves anything")
def test_optimizers_that_never_move(optimizer):
    with pytest.raises(ValueError, match="moves params within 1 steps, got none"):
        stepped(optimizer, 1)


@pytest.mark.parametrize(
    "optimizer", [optax.MultiSteps(optax.sgd(0.1), 3), optax.sgd(optax.linear_schedule(0, 0.1, 9))]
)
def test_optimizers_that_move_at_last(optimizer):
    assert stepped(optimizer, 3) < 1


ADVERSARY = optax.chain(optax.contrib.normalize(), optax.sgd(0.05))
DOWN = {
    "first up on purpose": optax.contrib.sam(optax.sgd(0.1), ADVERSARY),
    "decay": optax.adamw(1e-3, eps_root=1e-10, weight_decay=1.0),
    "large noise": optax.chain(optax.sgd(1e-6), optax.add_noise(1.0, 0.5, 0)),
    "two rates": FINITE["two rates"],
    "schedule-free": optax.contrib.schedule_free_sgd(0.1, warmup_steps=3),
    "mechanic": optax.contrib.mechanize(optax.sgd(0.1)),
}


@pytest.mark.parametrize("name", DOWN)
def test_optimizers_that_go_down_in_the_end(name):
    stepped(DOWN[name], 2, {"matrix": jnp.ones((2, 3)), "vector": jnp.ones(2)})


@pytest.mark.fault(promised="one line that names the leaf")
def test_params_that_have_no_real_gradient():
    for dtype, words in ((complex, "complex128 at .*'w'.*two leaves"), (int, "int64 at .*'w'.*make it floats")):
        with pytest.raises(TypeError, match=f"params: expected leaves of real floats, got {words}"):
            stepped(optax.sgd(0.1), 1, {"w": jnp.ones(2, dtype)})


@pytest.mark.fault(promised="one line that says what it wants")
def test_an_optimizer_with_params_of_its_own():
    with pytest.raises(TypeError, match=r"expected an optimizer of any params, got one that reads params\.fast"):
        stepped(optax.lookahead(optax.sgd(0.1), 2, 0.5), 1, {"w": jnp.ones(2)})


def old_noise(size):
    """Noise by a key of the old kind."""

    def update(gradients, state, params=None):
        key, now = jax.random.split(state["key"])
        noise = lambda leaf: leaf + size * jax.random.normal(now, leaf.shape, leaf.dtype)  # noqa: E731
        return jax.tree.map(noise, gradients), {"key": key}

    return optax.GradientTransformation(lambda params: {"key": jax.random.PRNGKey(0)}, update)


@pytest.mark.parametrize(
    "optimizer",
    [FINITE["noise"], optax.noisy_sgd(0.1, key=0), optax.chain(optax.sgd(0.1), old_noise(0.1))],
    ids=["add_noise", "noisy_sgd", "old key"],
)
def test_every_task_has_its_own_noise(optimizer):
    learner = maml(models.mlp(2, 3, hidden=(4,)), criteria.cross_entropy, optimizer, num_steps=1)
    params, keys = learner.init(KEY), jax.random.split(KEY, 2)
    adapt = jax.jit(jax.vmap(lambda key: learner.adapt(params, labelled().support, key).params))
    first, second = (adapt(each) for each in (keys, keys))
    for leaf, again in zip(*map(jax.tree.leaves, (first, second)), strict=True):
        np.testing.assert_array_equal(leaf, again)
        assert (leaf[0] != leaf[1]).all()


@pytest.mark.fault(promised="refused: all tasks would have the same noise")
def test_noise_of_a_key_that_is_closed_over():
    def update(gradients, count, params=None):
        key = jax.random.fold_in(jax.random.key(0), count)
        return jax.tree.map(lambda leaf: -leaf + jax.random.normal(key, leaf.shape), gradients), count + 1

    optimizer = optax.GradientTransformation(lambda params: jnp.zeros((), jnp.int32), update)
    learner = maml(models.mlp(2, 3, hidden=(4,)), criteria.cross_entropy, optimizer, num_steps=1)
    with pytest.raises(ValueError, match="keeps its random key in its state"):
        learner.adapt(learner.init(KEY), labelled().support, KEY)


@pytest.mark.fault(promised="one line that says what is missing")
def test_an_inner_optimizer_that_needs_more():
    learner = maml(models.mlp(2, 3, hidden=(4,)), criteria.cross_entropy, optax.lbfgs(), num_steps=1)
    with pytest.raises(TypeError, match=r"inner optimizer: expected .*value and grad, got .*needs 'value_fn'"):
        learner.adapt(learner.init(KEY), labelled().support, KEY)


def test_the_slots_of_unroll():
    loss = lambda params, data, key: (jnp.sum((params - data) ** 2), {"gap": jnp.abs(params - data).sum()})  # noqa: E731
    solve = inner.unroll(
        loss,
        optax.sgd(0.5),
        3,
        select=lambda data, key, step: data[step],
        observe=lambda params: params,
    )
    params, trace = solve(jnp.zeros(1), jnp.array([[1.0], [2.0], [3.0]]), KEY)
    np.testing.assert_allclose(trace.observed[:, 0], [1, 2, 3])
    np.testing.assert_allclose(trace.loss, [1, 1, 1])
    np.testing.assert_allclose(trace.metrics["gap"], [1, 1, 1])
    np.testing.assert_allclose(params, [3])
    with pytest.raises(ValueError, match="num_steps"):
        inner.unroll(loss, optax.sgd(0.5), -1)


def test_wrong_output_size_and_shapes_are_named():
    batch = Batch(jnp.ones((4, 2)), jnp.arange(4) % 2, classes=jnp.ones((4, 2), bool))
    learner = maml(models.mlp(2, 5), criteria.cross_entropy, optax.sgd(0.1), num_steps=1)
    with pytest.raises(ValueError, match="2 classes, got 5"):
        learner.loss(learner.init(KEY), Episode(batch, batch), KEY)
    values = Batch(jnp.ones((4, 2)), jnp.ones(4))
    learner = maml(models.mlp(2, 1), criteria.squared_error, optax.sgd(0.1), num_steps=1)
    with pytest.raises(ValueError, match=r"\(4,\), got \(4, 1\)"):
        learner.loss(learner.init(KEY), Episode(values, values), KEY)


def test_trying_the_inner_optimizer_takes_a_handful_of_programs():
    """Of operations one by one it took eight for each leaf's shape, and more time than the trace itself."""
    programs = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **about: programs.append(event) if event.endswith("backend_compile_duration") else None
    )
    learner = maml(models.mlp(3, 7, hidden=(11, 13)), criteria.squared_error, optax.sgd(0.017), num_steps=2)
    shapes = jax.eval_shape(lambda: (learner.init(jax.random.key(0)), Batch(jnp.zeros((2, 3)), jnp.zeros((2, 7)))))
    programs.clear()
    jax.eval_shape(lambda params, support: learner.adapt(params, support, jax.random.key(0)), *shapes)
    assert 0 < len(programs) <= 5
