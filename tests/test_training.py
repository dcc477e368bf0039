import contextlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import registry

from jaxmeta import MetaLearner, criteria, evaluate, imaml, maml, meta_trainer, models, reptile, tasks, training

KEY = jax.random.key(0)


def small():
    learner = maml(models.mlp(1, 1, hidden=(8,)), criteria.squared_error, optax.sgd(0.01), num_steps=1)
    return learner, tasks.sinusoid(num_shots=5, num_queries=5)


def draw_six(sample):
    return tasks.drawn(sample, KEY, np.arange(6))


@pytest.mark.parametrize("chunk", [1, 2, 6])
def test_chunks_accumulate_to_the_unchunked_gradient(chunk):
    learner, sample = small()
    episodes = draw_six(sample)
    results = []
    for size in (6, chunk):
        trainer = meta_trainer(learner, optax.sgd(1.0), tasks_per_chunk=size)
        results.append(jax.jit(trainer.update)(trainer.init(KEY), episodes, KEY))
    (whole, metrics), (parts, part_metrics) = results
    chex.assert_trees_all_close(whole, parts, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(metrics["loss"], part_metrics["loss"], rtol=1e-5)


@pytest.mark.parametrize(("chunk", "message"), [(4, "divisor of the 6 tasks, got 4"), (0, "of at least 1, got 0")])
def test_a_chunk_that_does_not_divide_is_refused(chunk, message):
    learner, sample = small()
    trainer, episodes = meta_trainer(learner, optax.sgd(1.0), tasks_per_chunk=chunk), draw_six(sample)
    state = trainer.init(KEY)
    with pytest.raises(ValueError, match=message):
        trainer.update(state, episodes, KEY)
    with pytest.raises(ValueError, match=message):
        evaluate(learner, criteria.squared_error, state.meta_params, episodes, KEY, tasks_per_chunk=chunk)


def test_the_fastest_chunk_is_one_of_those_that_memory_suffices_for():
    learner, sample = small()
    episodes, made = draw_six(sample), []

    def trainer_of(chunk):
        made.append(chunk)
        trainer = meta_trainer(learner, optax.sgd(1.0), tasks_per_chunk=chunk)
        return trainer if chunk < 6 else trainer._replace(update=exhausted)

    def exhausted(state, episodes, key):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    assert training.fastest_chunk(trainer_of, episodes, (6, 2, 3), KEY) in (2, 3)
    assert made == [6, 2, 3]
    with pytest.raises(ValueError, match="one that memory suffices for, got 6"):
        training.fastest_chunk(trainer_of, episodes, (6,), KEY)
    with pytest.raises(ValueError, match="divisor of the 6 tasks"):
        training.fastest_chunk(trainer_of, episodes, (4,), KEY)


def test_updates_are_the_same_however_they_are_split_over_calls():
    learner, sample = small()
    trainer = meta_trainer(learner, optax.adam(1e-2))
    updates, traced = training.many_updates(trainer, num_tasks=3, num_updates=6), []
    run = jax.jit(lambda *given: traced.append(1) or updates(*given))
    results = []
    for counts in ((6,), (2, 2, 2), (1, 4, 1), (6,)):
        state, losses = trainer.init(KEY), []
        for count in counts:
            state, metrics = run(state, sample, KEY, count)
            losses.append(metrics["loss"][:count])
            assert not metrics["loss"][count:].any()
        results.append((state, np.concatenate(losses)))
    for result in results[1:]:
        chex.assert_trees_all_equal(results[0], result)
    assert len(traced) == 1
    whole, _ = jax.jit(training.many_updates(trainer, num_tasks=3, num_updates=6))(trainer.init(KEY), sample, KEY)
    chex.assert_trees_all_close(whole, results[0][0], rtol=1e-6)


@pytest.mark.parametrize("broken", ["loss", "params"])
@pytest.mark.fault(promised="the update is refused and the state stays")
def test_an_update_that_is_not_finite_is_refused(broken):
    """Update s adds s; that of step 2 is broken."""

    def update(state, episodes, key):
        bad = jnp.where(state.step == 2, jnp.nan, 0.0)
        added = state.step + (bad if broken == "params" else 0)
        new = training.MetaState(state.meta_params + added, (), state.step + 1)
        return new, {"loss": jnp.ones(()) + (bad if broken == "loss" else 0)}

    trainer = training.MetaTrainer(lambda key: training.MetaState(jnp.zeros(2), (), jnp.zeros((), jnp.int32)), update)
    for policy, step, params, finite in (
        (training.stop_at_divergence, 2, 0 + 1, [True, True, False, False, False]),
        (training.skip_divergence, 5, 0 + 1 + 3 + 4, [True, True, False, True, True]),
    ):
        run = training.many_updates(policy(trainer), num_tasks=1, num_updates=5)
        state, metrics = jax.jit(run)(trainer.init(KEY), tasks.sinusoid(num_shots=1, num_queries=1), KEY)
        assert (state.step, state.meta_params.tolist()) == (step, [params, params])
        assert metrics["finite"].tolist() == finite
        assert np.isfinite(metrics["loss"]).tolist() == (finite if broken == "loss" else [True] * 5)


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.chain(optax.adam(1e-2), optax.contrib.reduce_on_plateau()),
        optax.polyak_sgd(1e-2),
        optax.contrib.momo(1e-2),
    ],
    ids=["plateau", "polyak", "momo"],
)
def test_an_outer_optimizer_is_given_the_loss(optimizer):
    learner, sample = small()
    trainer = meta_trainer(learner, optimizer, tasks_per_chunk=1)
    run = jax.jit(training.many_updates(trainer, num_tasks=2, num_updates=3))
    state, metrics = run(trainer.init(KEY), sample, KEY)
    assert np.isfinite(metrics["loss"]).all()
    assert state.step == 3


def test_value_and_grad_are_the_objectives_own():
    """Not the metric's: Reptile's objective is a distance, its metric the support loss."""
    learner = reptile(models.mlp(1, 1, hidden=(8,)), criteria.squared_error, optax.sgd(0.01), num_steps=2)

    def update(gradients, state, params=None, *, value, grad):
        return jax.tree.map(jnp.zeros_like, gradients), (value, jax.tree.map(jnp.subtract, gradients, grad))

    episodes = draw_six(small()[1])
    found = meta_trainer(learner, optax.GradientTransformationExtraArgs(lambda params: (), update))
    state, _ = jax.jit(found.update)(found.init(KEY), episodes, KEY)
    losses = jax.vmap(learner.loss, (None, 0, 0))(state.meta_params, episodes, jax.random.split(KEY, 6))[0]
    np.testing.assert_allclose(state.optimizer_state[0], losses.mean(), rtol=1e-5)
    assert not any(leaf.any() for leaf in jax.tree.leaves(state.optimizer_state[1]))


@pytest.mark.fault(promised="one line that says what is missing")
@pytest.mark.long
def test_an_outer_optimizer_that_needs_more():
    learner, sample = small()
    trainer = meta_trainer(learner, optax.lbfgs())
    with pytest.raises(TypeError, match=r"outer_optimizer: expected .*value and grad, got .*needs 'value_fn'"):
        trainer.update(trainer.init(KEY), draw_six(sample), KEY)
    with pytest.raises(TypeError, match="expected an Optax transformation"):
        meta_trainer(learner, optax.linear_schedule(1, 0, 3))


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        (optax.masked(optax.adam(0.1), lambda p: jax.tree.map(lambda leaf: leaf.ndim > 1, p)), r"at .*bias.*passes on"),
        (optax.partition({1: optax.identity(), 2: optax.sgd(0.1)}, lambda p: jax.tree.map(jnp.ndim, p)), r"at .*bias"),
        (optax.scale_by_adam(), "no learning rate"),
        (optax.clip_by_global_norm(1.0), "no learning rate"),
        (optax.MultiSteps(optax.scale(0.999), 1).gradient_transformation(), "no learning rate"),
        (optax.sgd(-1e-3), "wrong sign"),
    ],
)
@pytest.mark.fault(promised="refused: it would go up the gradient")
def test_an_outer_optimizer_that_passes_gradients_on(optimizer, words):
    with pytest.raises(ValueError, match=f"outer_optimizer: expected updates that go down the gradient, .*{words}"):
        jax.eval_shape(meta_trainer(small()[0], optimizer).init, KEY)


def test_outer_optimizers_of_every_form_begin():
    frozen = optax.partition({1: optax.set_to_zero(), 2: optax.adam(0.1)}, lambda p: jax.tree.map(jnp.ndim, p))
    decayed = optax.inject_hyperparams(optax.adamw)(learning_rate=optax.linear_schedule(0.0, 0.1, 5))
    for optimizer in (
        frozen,
        decayed,
        optax.apply_if_finite(optax.sgd(0.1), 3),
        optax.contrib.prodigy(),
        optax.lion(0.1),
    ):
        jax.eval_shape(meta_trainer(small()[0], optimizer).init, KEY)


def of_params(made):
    """A learner of the given params, which it squares."""
    square = lambda params, episode, key: (sum(map(jnp.sum, jax.tree.leaves(params))) ** 2, {})  # noqa: E731
    return MetaLearner(lambda key: made, None, None, square)


@pytest.mark.fault(promised="one line that names the leaf, or what the optimizer wants")
def test_meta_params_that_have_no_real_gradient():
    for value, got in ((1j, "complex64 at .*'w'"), (1, "int32 at .*'w'")):
        with pytest.raises(TypeError, match=f"meta_params: expected leaves of real floats, got {got}"):
            meta_trainer(of_params({"w": value}), optax.sgd(0.1)).init(KEY)
        trainer = meta_trainer(of_params({"w": 1.0}), optax.sgd(0.1))
        state = trainer.init(KEY)._replace(meta_params={"w": jnp.asarray(value)})
        with pytest.raises(TypeError, match=f"meta_params: expected leaves of real floats, got {got}"):
            trainer.update(state, jnp.zeros(2), KEY)
    for value in (jnp.tanh, "tanh"):  # as Equinox modules have them
        with pytest.raises(TypeError, match=r"leaves of real floats, got tanh at .*'w'.*eqx\.partition"):
            meta_trainer(of_params({"w": value}), optax.sgd(0.1)).init(KEY)
    trainer = meta_trainer(of_params({"w": 1.0}), optax.lookahead(optax.sgd(0.1), 2, 0.5))
    with pytest.raises(TypeError, match=r"outer_optimizer: expected .* got one that reads params\.fast"):
        trainer.update(trainer.init(KEY), jnp.zeros(2), KEY)


def test_a_number_of_pythons_is_a_meta_parameter():
    trainer = meta_trainer(of_params({"w": 1.0}), optax.sgd(0.25))
    state, _ = jax.jit(trainer.update)(trainer.init(KEY), jnp.zeros(2), KEY)
    np.testing.assert_allclose(state.meta_params["w"], 0.5)


RESULTS = {
    "an array of shape": lambda loss: loss,
    "a loss of shape": lambda loss: (loss[None], {"loss": loss}),
    "a loss of int32": lambda loss: (loss.astype(int), {"loss": loss}),
    "array of shape .* and an array": lambda loss: (loss, loss),
    "NoneType|None": lambda loss: (loss, None),
    "str for name": lambda loss: (loss, {"loss": loss, "name": "mine"}),
}


@pytest.mark.parametrize("got", RESULTS)
@pytest.mark.fault(promised="one line that says what a criterion returns")
def test_a_criterion_that_returns_something_else(got):
    def wrong(predictor, batch, key):
        return RESULTS[got](criteria.squared_error(predictor, batch, key)[0])

    learner, sample = small()
    episodes, model = draw_six(sample), models.mlp(1, 1, hidden=(8,))
    meta_params = learner.init(KEY)
    makers = (
        lambda: maml(model, wrong, optax.sgd(0.1), num_steps=1),
        lambda: maml(model, criteria.squared_error, optax.sgd(0.1), num_steps=1, outer_criterion=wrong),
        lambda: imaml(model, wrong, optax.sgd(0.1), num_steps=1, regularization=1.0),
        lambda: reptile(model, wrong, optax.sgd(0.1), num_steps=1),
    )
    calls = [lambda: evaluate(learner, wrong, meta_params, episodes, KEY)]
    calls += [lambda make=make: update(meta_trainer(make(), optax.sgd(0.1))) for make in makers]
    for call in calls:
        with pytest.raises((TypeError, ValueError), match=f"criterion: expected a scalar loss.*, got .*{got}") as found:
            call()
        assert "Tracer" not in str(found.value)
        assert len(str(found.value).splitlines()) == 1


def update(trainer):
    return trainer.update(trainer.init(KEY), draw_six(small()[1]), KEY)


@contextlib.contextmanager
def compilations():
    """Counts the programs that XLA compiles, whatever asks for them."""
    names, on = [], [True]

    def listen(event, seconds, **facts):
        if on and event == "/jax/core/compile/backend_compile_duration":
            names.append(facts)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield names
    on.clear()


@pytest.mark.parametrize("num_devices", [0, 2])
def test_nothing_compiles_after_the_first_call_and_the_state_is_donated(num_devices):
    if num_devices > jax.device_count():
        pytest.skip("there is one device")
    mesh = jax.make_mesh((2,), ("tasks",), axis_types=(jax.sharding.AxisType.Auto,)) if num_devices else None
    learner, sample = small()
    trainer = meta_trainer(learner, optax.adam(1e-2), mesh=mesh)
    update = jax.jit(trainer.update, donate_argnums=0)
    run = training.many_updates(trainer, num_tasks=2, num_updates=2, mesh=mesh)
    run = jax.jit(run, donate_argnums=0)
    draw = jax.jit(lambda key: tasks.episodes(sample, key, np.arange(2)))
    state = trainer.init(KEY)
    keys = [jax.random.key(seed) for seed in range(3)]

    def round_trip(state, key):
        before = jax.tree.leaves(state)
        state, _ = update(state, draw(key), key)
        assert all(leaf.is_deleted() for leaf in before)
        state, _ = run(state, sample, key)
        return state, evaluate(learner, criteria.squared_error, state.meta_params, draw(key), key, mesh=mesh)

    with compilations() as first:
        state, _ = round_trip(state, keys[0])
    assert first
    with compilations() as later:
        for key in keys[1:]:
            state, _ = round_trip(state, key)
    assert not later


def test_seeds_are_a_vmap_of_update():
    learner, sample = small()
    trainer = meta_trainer(learner, optax.adam(1e-2), tasks_per_chunk=2)
    run = training.many_updates(trainer, num_tasks=4, num_updates=3)
    seeds = jax.random.split(KEY, 3)

    @jax.jit
    def train(key):
        init_key, train_key = jax.random.split(key)
        return run(trainer.init(init_key), sample, train_key)

    together, metrics = jax.jit(jax.vmap(train))(seeds)
    assert metrics["loss"].shape == (3, 3)
    for index, key in enumerate(seeds):
        alone = train(key)
        found = jax.tree.map(lambda leaf, index=index: leaf[index], (together, metrics))
        chex.assert_trees_all_close(found, alone, rtol=2e-5, atol=1e-6)
    assert len({float(loss) for loss in metrics["loss"][:, -1]}) == 3


def test_a_grid_of_inner_rates_is_a_vmap_over_learners():
    def train(rate):
        learner = maml(models.mlp(1, 1, hidden=(8,)), criteria.squared_error, optax.sgd(rate), num_steps=2)
        trainer = meta_trainer(learner, optax.adam(1e-2))
        return training.many_updates(trainer, num_tasks=4, num_updates=3)(trainer.init(KEY), small()[1], KEY)

    rates = jnp.array([0.003, 0.03])
    together = jax.jit(jax.vmap(train))(rates)
    for index, rate in enumerate(rates.tolist()):
        found = jax.tree.map(lambda leaf, index=index: leaf[index], together)
        alone = jax.jit(train, static_argnums=0)(rate)
        chex.assert_trees_all_close(found, alone, rtol=2e-5, atol=1e-6)
    assert together[1]["loss"][0, -1] != together[1]["loss"][1, -1]


def test_the_registry_names_every_learner():
    from jaxmeta import learners

    # anil and boil are partial_maml's learners; the weights are an argument of maml_plus_plus; the next three take any;
    # the others are of values, and have tests of their own.
    others = {"partial_maml", "annealed_step_weights", "over_frozen", "tuned", "whole", "cnp", "anp", "tnp", "dkt"}
    assert set(registry.LEARNERS | registry.ACTING) == set(learners.__all__) - others


def test_an_update_in_chunks_traces_a_task_once():
    traced = []

    def loss(params, episode, key):
        traced.append(1)
        return jnp.square(params - episode).sum(), {}

    learner = MetaLearner(lambda key: jnp.zeros(()), None, None, loss)
    trainer = meta_trainer(learner, optax.sgd(0.25), tasks_per_chunk=2)
    state, metrics = jax.jit(trainer.update)(trainer.init(KEY), jnp.array([1.0, 2.0, 3.0, 6.0]), KEY)
    assert len(traced) == 1
    np.testing.assert_allclose(state.meta_params, 1.5)  # half of the way to the mean
    np.testing.assert_allclose(metrics["gradient_norm"], 6.0)
