"""Environments, rollouts and what is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import registry

import jaxmeta
from jaxmeta import control, criteria, models, tasks, training, tree
from jaxmeta.types import Episode

KEY = jax.random.key(0)
MADE = {
    "navigation": control.navigation,
    "arm": control.arm,
    "pendulum": control.pendulum,
    "cartpole": control.cartpole,
    "grid": control.grid,
    "chain": control.chain,
}


def env_of(name, num=3, seed=0, **options):
    return MADE[name](num_shots=num, num_queries=num, **options)(jax.random.key(seed)).support


def uniform(env):
    """A policy that knows nothing."""
    size = env.rules.num_actions
    if env.rules.space == "discrete":
        return lambda inputs, mask=None: jnp.zeros((len(inputs), size))
    return lambda inputs, mask=None: control.Gaussian(jnp.zeros((len(inputs), size)), jnp.zeros((len(inputs), size)))


def always(env, action):
    """A policy that does one thing."""
    size = env.rules.num_actions
    if env.rules.space == "discrete":
        return lambda inputs, mask=None: jnp.tile(100.0 * jax.nn.one_hot(action, size), (len(inputs), 1))
    mean = jnp.asarray(action, float)
    return lambda inputs, mask=None: control.Gaussian(
        jnp.tile(mean, (len(inputs), 1)), jnp.full((len(inputs), size), -20.0)
    )


@functools.cache
def rolled(name):
    return jax.jit(lambda key: control.rollout(uniform(env_of(name)), env_of(name), key))(KEY)


@pytest.mark.parametrize("name", MADE)
@pytest.mark.product(name=("navigation", "cartpole"))
def test_a_rollout_is_data(name):
    env, found = env_of(name), rolled(name)
    shape = (3, env.rules.horizon)
    assert found.observations.shape == (*shape, env.rules.num_observations)
    for leaf in (found.log_probabilities, found.rewards, found.advantages, found.weights):
        assert leaf.shape == shape
    assert tree.all_finite(found)
    assert (found.actions.dtype == jnp.int32) == (env.rules.space == "discrete")
    again = criteria.rescored(uniform(env), found)
    np.testing.assert_allclose(again, found.log_probabilities, rtol=1e-5, atol=1e-5)
    # Once a trajectory is done it stays so, and counts no more.
    assert np.all(np.diff(np.asarray(found.weights), axis=1) <= 0)
    assert np.all(np.asarray(found.rewards)[np.asarray(found.weights) == 0] == 0)


def test_trajectories_have_no_gradient():
    env = env_of("navigation", horizon=4)

    def total(shift):
        policy = lambda inputs, mask=None: control.Gaussian(inputs + shift[None], jnp.zeros_like(inputs))  # noqa: E731
        found = control.rollout(policy, env, KEY)
        return sum(leaf.sum() for leaf in jax.tree.leaves(found)), criteria.rescored(policy, found).sum()

    jacobian = jax.jit(jax.jacrev(total))(jnp.zeros(2))
    assert not jacobian[0].any()
    assert jacobian[1].any()


def test_navigation_walks_as_far_as_it_may():
    env = env_of("navigation", horizon=3)
    found = control.rollout(always(env, [5.0, -0.5]), env, KEY)
    np.testing.assert_allclose(found.observations[0, :, 0], [0, 0.1, 0.2], atol=1e-6)
    np.testing.assert_allclose(found.observations[0, :, 1], [0, -0.05, -0.1], atol=1e-6)
    place, goal = np.array([0.1, -0.05]), np.asarray(env.parameters)
    np.testing.assert_allclose(found.rewards[0, 0], -np.square(place - goal).sum(), rtol=1e-5)


def test_navigation_ends_at_the_goal():
    env = control.Environment(jnp.array([0.2, 0.0]), env_of("navigation", horizon=5).rules, 1)
    found = control.rollout(always(env, [1.0, 0.0]), env, KEY)
    np.testing.assert_array_equal(found.weights, [[1, 1, 0, 0, 0]])
    np.testing.assert_allclose(found.observations[0, 2:, 0], 0.2, atol=1e-6)


def test_bodies_turn_other_joints():
    speeds = {}
    for body in control.BODIES:
        env = env_of("arm", 1, horizon=2, body=body)
        speeds[body] = np.asarray(control.rollout(always(env, [1.0, 0.0]), env, KEY).observations[0, 1, 4:6])
    np.testing.assert_allclose(speeds["same"], [0.4, 0], atol=1e-6)
    np.testing.assert_allclose(speeds["crossed"], [0.4, 0.2], atol=1e-6)
    np.testing.assert_allclose(speeds["swapped"], [0, 0.4], atol=1e-6)
    assert 0 < speeds["long"][0] < 0.4
    places = control.arm_places(env_of("arm").parameters, jnp.array([jnp.pi / 2, 0.0]))
    np.testing.assert_allclose(places, [[0, 0.5], [0, 1]], atol=1e-6)


def test_a_pole_that_is_pushed_one_way_falls():
    env = env_of("cartpole", 1)
    found = control.rollout(always(env, 1), env, KEY)
    assert 5 < float(control.episode_return(found)) < 20


def test_a_pendulum_that_hangs_costs_most():
    env = env_of("pendulum", 1, horizon=1)
    step = env.rules.step
    state = env.rules.reset(env.parameters, KEY)
    hanging, upright = state._replace(angle=jnp.pi, speed=0.0), state._replace(angle=0.0, speed=0.0)
    rewards = [float(step(env.parameters, each, jnp.zeros(1), KEY)[1]) for each in (hanging, upright)]
    np.testing.assert_allclose(rewards, [-(np.pi**2) / 10, 0], atol=1e-5)


def test_walls_stop_and_the_goal_ends():
    grid = control.Grid(jnp.zeros((5, 5), bool).at[2, 3].set(True), jnp.array([0, 2], jnp.int32))
    env = control.Environment(grid, env_of("grid", horizon=4).rules, 1)
    cells = lambda action: control.rollout(always(env, action), env, KEY)  # noqa: E731
    right, up = cells(3), cells(0)
    np.testing.assert_array_equal(jnp.argmax(right.observations[0], axis=-1), [12] * 4)
    np.testing.assert_allclose(up.rewards[0], [-0.1, 1, 0, 0], rtol=1e-6)


def test_advantages_are_the_discounted_sums():
    rng = np.random.default_rng(0)
    rewards, values = rng.normal(size=(2, 5)), rng.normal(size=(2, 5))
    weights = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], float)
    rewards = rewards * weights
    found = control.advantages(*map(jnp.asarray, (rewards, values, weights)), discount=0.9, trace=0.8)
    here = values * weights
    for row in range(2):
        total = 0.0
        for time in reversed(range(5)):
            after = here[row, time + 1] if time < 4 else 0.0
            total = rewards[row, time] + 0.9 * after - here[row, time] + 0.9 * 0.8 * total
            np.testing.assert_allclose(found[row, time], total, rtol=1e-4, atol=1e-5)
    whole = control.advantages(*map(jnp.asarray, (rewards, values, weights)), discount=0.9, trace=1.0)
    np.testing.assert_allclose(whole, control.discounted(jnp.asarray(rewards), 0.9) - here, rtol=1e-4, atol=1e-5)


def test_the_baseline_fits_what_is_linear_in_time():
    with jax.enable_x64(True):
        seen = jax.random.normal(KEY, (4, 10, 2), jnp.float64)
        returns = 3.0 + seen[..., 0] - 2 * jnp.square(seen[..., 1]) + jnp.arange(10.0)[None] / 10
        weights = jnp.ones((4, 10)).at[0, 5:].set(0)
        found = control.linear_baseline(seen, returns, weights)
        np.testing.assert_allclose(found, returns, atol=0.05)
        junk = control.linear_baseline(seen, jnp.where(weights > 0, returns, 1e3), weights)
        np.testing.assert_allclose(junk, found, atol=1e-9)


def test_normalised_advantages_count_what_counts():
    advantages, weights = jnp.array([[1.0, 3.0, 1e6]]), jnp.array([[1.0, 1.0, 0.0]])
    np.testing.assert_allclose(criteria.normalised(advantages, weights)[0, :2], [-1, 1], rtol=1e-5)


def test_divergences_are_those_of_samples():
    old = control.Gaussian(jnp.array([[0.3, -1.0]]), jnp.array([[0.1, -0.4]]))
    new = control.Gaussian(jnp.array([[0.0, -0.5]]), jnp.array([[0.3, 0.0]]))
    logits = [jnp.array([[0.2, 1.0, -1.0]]), jnp.array([[0.0, 0.0, 2.0]])]
    for before, after in ((old, new), logits):
        many = jax.tree.map(lambda leaf: jnp.tile(leaf, (200_000, 1)), (before, after))
        actions = control.sample(many[0], KEY)
        gaps = control.log_probability(many[0], actions) - control.log_probability(many[1], actions)
        np.testing.assert_allclose(control.divergence(before, after), [gaps.mean()], rtol=0.02)
        assert float(control.divergence(before, before)[0]) == pytest.approx(0, abs=1e-6)


def test_what_is_refused():
    env = env_of("navigation", horizon=3)
    with pytest.raises(ValueError, match=r"navigation: horizon: expected a whole number of at least 1, got 0"):
        control.navigation(num_shots=1, num_queries=1, horizon=0)
    none = control.Environment(env.parameters, env.rules._replace(horizon=0), 1)
    with pytest.raises(ValueError, match=r"horizon: expected .* at least 1, got 0; a trajectory of no step"):
        control.rollout(uniform(env), none, KEY)
    with pytest.raises(TypeError, match=r"policy: expected Gaussian\(mean, log_std\).*without a log-std; use models"):
        control.rollout(lambda inputs, mask=None: inputs, env, KEY)
    grid = env_of("grid", horizon=3)
    with pytest.raises(TypeError, match=r"grid, policy: expected logits \[n, 4\], got a Gaussian"):
        control.rollout(lambda inputs, mask=None: control.Gaussian(inputs, inputs), grid, KEY)
    with pytest.raises(ValueError, match=r"expected Gaussian\(mean, log_std\) of \[n, 2\], got an array of shape"):
        control.rollout(lambda inputs, mask=None: control.Gaussian(inputs[:, :1], inputs[:, :1]), env, KEY)
    policy = models.gaussian_policy(3, 2, hidden=(4,))
    params = policy.init(KEY)
    with pytest.raises(ValueError, match=r"policy: expected one that takes observations \[n, 2\], got"):
        control.rollout(lambda inputs, mask=None: policy.apply(params, inputs), env, KEY)
    with pytest.raises(ValueError, match=r"arm: body: expected one of same, crossed, swapped, long, got 'short'"):
        control.arm(num_shots=1, num_queries=1, body="short")
    with pytest.raises(TypeError, match=r"policy_gradient: expected an Environment, got Batch"):
        criteria.policy_gradient()(uniform(env), jaxmeta.Batch(jnp.ones(1), jnp.ones(1)), KEY)
    with pytest.raises(TypeError, match=r"surrogate: expected Trajectories, got Environment"):
        criteria.surrogate()(uniform(env), env, KEY)
    for make, told in {lambda: criteria.clipped(1.5): "between 0 and 1",
                       lambda: models.gaussian_policy(2, 2, initial_std=0.0): "a positive number"}.items():  # fmt: skip
        with pytest.raises(ValueError, match=told):
            make()


def test_physics_that_break_are_named_with_the_step():
    def step(parameters, state, action, key):
        state = state + 1
        return state, jnp.where(state > 2, jnp.nan, 1.0), jnp.zeros((), bool)

    reset, observe = (lambda parameters, key: jnp.zeros(())), (lambda parameters, state: state[None])
    rules = control.Rules("count", reset, step, observe, 1, 1, "continuous", 5)
    env = control.Environment((), rules, 2)
    with pytest.raises(FloatingPointError, match=r"count: expected finite physics, got NaN or infinity at step 3"):
        control.rollout(uniform(env), env, KEY)
    found = jax.jit(lambda: control.rollout(uniform(env), env, KEY))()
    assert control.first_broken(found.observations, found.rewards) == 3


@pytest.mark.parametrize("name", registry.ACTING)
@pytest.mark.product(name=("context_policy",))
def test_learners_for_policies(name):
    """The protocol of `test_learner_protocol.py`, on an environment."""
    learner, sample = registry.ACTING[name](), control.chain(num_shots=4, num_queries=4)
    episodes, keys = tasks.episodes(sample, KEY, jnp.arange(3)), jax.random.split(KEY, 3)
    trainer, traced = jaxmeta.meta_trainer(learner, optax.adam(1e-2)), []

    @jax.jit
    def compute(meta_params):
        gradient = jax.grad(lambda params: learner.loss(params, tree_first(episodes), keys[0])[0])(meta_params)
        together = jax.vmap(learner.loss, (None, 0, 0))(meta_params, episodes, keys)
        alone = jax.lax.map(lambda given: learner.loss(meta_params, *given), (episodes, keys))
        return gradient, together, alone

    meta_params = learner.init(KEY)
    gradient, together, alone = compute(meta_params)
    assert set(together[1]) == {"loss", "return", "reward", "log_likelihood"}
    assert tree.norm(gradient) > 1e-4
    assert all(np.any(leaf) for leaf in jax.tree.leaves(gradient))
    for ours, theirs in zip(*map(jax.tree.leaves, (together, alone)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)

    @jax.jit
    def update(state, episodes, key):
        traced.append(1)
        return trainer.update(state, episodes, key)

    state, _ = update(trainer.init(KEY), episodes, KEY)
    update(state, episodes, keys[1])
    assert len(traced) == 1


def tree_first(episodes):
    return jax.tree.map(lambda leaf: leaf[0], episodes)


def test_a_learner_for_policies_says_what_it_needs():
    learner = jaxmeta.e_maml(models.mlp(1, 1, hidden=(4,)), criteria.squared_error, optax.sgd(0.1), num_steps=1)
    episode = tasks.sinusoid(num_shots=2, num_queries=2)(KEY)
    with pytest.raises(ValueError, match=r"e_maml: criterion: expected metrics reward and log_likelihood, got no "):
        jax.eval_shape(learner.loss, learner.init(KEY), episode, KEY)
    context = registry.ACTING["context_policy"]()
    with pytest.raises(TypeError, match=r"context_policy: support: expected an Environment, got Batch"):
        jax.eval_shape(context.loss, context.init(KEY), episode, KEY)
    with pytest.raises(ValueError, match=r"e_maml: exploration: expected a number of at least 0, got -1"):
        jaxmeta.e_maml(models.mlp(1, 1), criteria.squared_error, optax.sgd(0.1), num_steps=1, exploration=-1)


def build(criterion, **options):
    return jaxmeta.maml(registry.small_policy(), criterion, optax.sgd(0.5), **options)


@pytest.mark.long
def test_maml_learns_to_adapt_in_a_chain():
    """Exact expectations, so that what is asserted is no matter of luck: after a step it gains more than before."""
    score = criteria.policy_gradient(criteria.loaded_dice, collect=control.enumerated)
    learner, sample = build(score, num_steps=1), control.chain(num_shots=1, num_queries=1)
    trainer = jaxmeta.meta_trainer(learner, optax.adam(3e-2))
    run = jax.jit(training.many_updates(trainer, num_tasks=8, num_updates=60))
    held_out, keys = tasks.episodes(sample, jax.random.key(9), jnp.arange(16)), jax.random.split(KEY, 16)
    returns = jax.jit(lambda params: jax.vmap(learner.loss, (None, 0, 0))(params, held_out, keys)[1]["return"].mean())
    state = trainer.init(KEY)
    before = returns(state.meta_params)
    state, _ = run(state, sample, jax.random.key(2))
    assert float(returns(state.meta_params)) > float(before) + 0.2


@pytest.mark.long
def test_ppo_of_one_epoch_is_the_step_on_what_was_collected():
    sample = control.chain(num_shots=6, num_queries=6)
    episodes = tasks.episodes(sample, KEY, jnp.arange(2))
    ppo = jaxmeta.ppo_trainer(build, optax.sgd(0.1), num_steps=2, num_epochs=1)
    outer = criteria.surrogate(scale=criteria.normalised)
    stored = build(criteria.surrogate(), num_steps=2, outer_criterion=outer, select=jaxmeta.policy_trainers.of_step)
    gather = jaxmeta.policy_trainers.collected(build, 2)

    @jax.jit
    def both(state):
        collect_key, epoch_key = jax.random.split(KEY)
        met = jax.vmap(gather, (None, 0, 0))(state.meta_params, episodes, jax.random.split(collect_key, 2))
        plain = jaxmeta.meta_trainer(stored, optax.sgd(0.1))
        wanted = plain.update(state, met, epoch_key)[0].meta_params
        return ppo.update(state, episodes, KEY), wanted

    (state, metrics), wanted = both(ppo.init(KEY))
    assert int(state.step) == 1
    assert set(metrics) >= {"return", "gradient_norm"}
    for ours, theirs in zip(*map(jax.tree.leaves, (state.meta_params, wanted)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.long
def test_a_trust_region_is_kept_and_its_step_gains():
    sample, bound = control.chain(num_shots=12, num_queries=12), 0.02
    trainer = jaxmeta.trust_region_trainer(build, num_steps=1, most_divergence=bound)
    outer = criteria.surrogate(scale=criteria.normalised)
    stored = build(criteria.surrogate(), num_steps=1, outer_criterion=outer, select=jaxmeta.policy_trainers.of_step)
    gather = jaxmeta.policy_trainers.collected(build, 1)
    episodes, keys = tasks.episodes(sample, KEY, jnp.arange(3)), jax.random.split(KEY, 3)

    @jax.jit
    def compute(state):
        new, metrics = trainer.update(state, episodes, KEY)
        met = jax.vmap(gather, (None, 0, 0))(state.meta_params, episodes, keys)
        losses = [jax.vmap(stored.loss, (None, 0, 0))(each.meta_params, met, keys)[0].mean() for each in (state, new)]
        return new, metrics, losses

    state = trainer.init(KEY)
    new, metrics, (before, after) = compute(state)
    assert 0 < float(metrics["step_size"]) <= 1
    assert 0.2 * bound < float(metrics["divergence"]) <= bound
    assert float(after) < float(before)
    assert int(new.step) == 1
    with pytest.raises(ValueError, match=r"most_divergence: expected a positive number, got 0"):
        jaxmeta.trust_region_trainer(build, num_steps=1, most_divergence=0.0)


@pytest.mark.long
def test_stored_trajectories_audit_as_exact():
    """What is sampled is no function of theta; once it is stored, the gradient is the loss's own."""
    sample = control.chain(num_shots=3, num_queries=3)
    gather = jaxmeta.policy_trainers.collected(build, 1)
    episodes, keys = tasks.episodes(sample, KEY, jnp.arange(2)), jax.random.split(KEY, 2)
    stored = build(criteria.surrogate(), num_steps=1, select=jaxmeta.policy_trainers.of_step)
    met = jax.jit(jax.vmap(gather, (None, 0, 0)))(stored.init(KEY), episodes, keys)
    report = jaxmeta.audit(stored, met, KEY, criterion=criteria.surrogate())
    assert {check.name: check.found for check in report.checks}["gradient"] == "exact"
    assert report.broken == ()


@pytest.mark.long
def test_fresh_trajectories_audit_as_a_surrogate():
    episodes = tasks.episodes(control.chain(num_shots=3, num_queries=3), KEY, jnp.arange(2))
    live = build(criteria.policy_gradient(), num_steps=1)
    found = jaxmeta.audit(live, Episode(*episodes), KEY, promises={"gradient": "surrogate"})
    assert found.broken == ()
