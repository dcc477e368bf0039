"""What policy gradients leave out, against expectations over all trajectories of a small decision process."""

import functools
import itertools

import jax
import jax.numpy as jnp
import optax
import pytest

from jaxmeta import control, criteria, e_maml, inner, maml, models, tree
from jaxmeta.types import Episode

RATE, HORIZON = 0.7, 3
MODES = {"mixed_mode": inner.mixed_mode, "nested": inner.nested}


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def policy():
    def init(key):
        first, last = jax.random.split(key)
        return {
            "w": jax.random.normal(first, (3, 4), jnp.float64),
            "v": jax.random.normal(last, (4, 2), jnp.float64),
        }

    return models.from_functions(init, lambda params, inputs: jnp.tanh(inputs @ params["w"]) @ params["v"])


def task(horizon=HORIZON):
    return control.chain(num_shots=1, num_queries=1, horizon=horizon)(jax.random.key(3)).support


def theta():
    return policy().init(jax.random.key(4))


def predictor(params):
    return lambda inputs, mask=None: policy().apply(params, inputs)


def expected(params, env, discount=1.0):
    """The mean reward of a step, by a walk over every sequence of actions that shares nothing with the library's."""
    rewards, total = env.parameters.rewards, 0.0
    rows = jax.nn.log_softmax(policy().apply(params, jnp.eye(len(rewards))))
    for actions in itertools.product(range(2), repeat=env.rules.horizon):
        state, likelihood, gained = 0, 0.0, 0.0
        for time, action in enumerate(actions):
            likelihood += rows[state, action]
            gained += discount**time * rewards[state, action]
            state = 0 if action == 1 else min(state + 1, len(rewards) - 1)
        total += jnp.exp(likelihood) * gained
    return total / env.rules.horizon


def relative(found, wanted):
    return float(tree.norm(jax.tree.map(jnp.subtract, found, wanted)) / tree.norm(wanted))


def by_state(observations, returns, weights):
    """A baseline that knows the state."""
    del returns, weights
    return observations @ jnp.array([0.3, -0.5, 1.0])


@pytest.mark.parametrize(("discount", "baseline"), [(1.0, control.no_baseline), (0.8, by_state)])
def test_loaded_dice_has_the_first_and_second_derivative_of_the_return(discount, baseline):
    env, collect = task(), functools.partial(control.enumerated, discount=discount, baseline=baseline)
    score = criteria.policy_gradient(criteria.loaded_dice, collect=collect)
    direction = jax.tree.map(jnp.cos, theta())

    def derivatives(function):
        gradient = jax.grad(function)
        return jax.jit(lambda params: (gradient(params), jax.jvp(gradient, (params,), (direction,))[1]))(theta())

    found = derivatives(lambda params: -score(predictor(params), env, jax.random.key(0))[0])
    wanted = derivatives(lambda params: expected(params, env, discount))
    assert relative(found[0], wanted[0]) < 1e-10
    assert relative(found[1], wanted[1]) < 1e-10


@functools.cache
def exact_meta_gradient(num_steps):
    env = task()

    def after(params):
        for _ in range(num_steps):
            slope = jax.grad(expected)(params, env)
            params = jax.tree.map(lambda leaf, change: leaf + RATE * change, params, slope)
        return -expected(params, env)

    return jax.jit(jax.grad(after))(theta())


def meta_gradient(form, num_steps, gradient=inner.mixed_mode):
    score = criteria.policy_gradient(form, collect=control.enumerated)
    learner = maml(policy(), score, optax.sgd(RATE), num_steps=num_steps, gradient=gradient)
    episode = Episode(task(), task())
    return jax.jit(jax.grad(lambda params: learner.loss(params, episode, jax.random.key(0))[0]))(theta())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("num_steps", [1, 2, 3])
@pytest.mark.product(mode=("mixed_mode",))
def test_the_meta_gradient_with_loaded_dice_is_exact(num_steps, mode):
    assert relative(meta_gradient(criteria.loaded_dice, num_steps, MODES[mode]), exact_meta_gradient(num_steps)) < 1e-10


def test_the_other_forms_leave_out_what_they_say():
    bias = {
        form: relative(meta_gradient(form, 1), exact_meta_gradient(1))
        for form in (criteria.ratio, criteria.log_probability)
    }
    assert 0.05 < bias[criteria.ratio] < 0.5
    assert 0.1 < bias[criteria.log_probability] < 1
    assert bias[criteria.ratio] < bias[criteria.log_probability]


@pytest.mark.long
def test_at_horizon_one_the_ratio_is_exact():
    env = task(horizon=1)
    derivatives = lambda function: jax.jit(jax.hessian(lambda w: function(theta() | {"w": w})))(theta()["w"])  # noqa: E731
    for form, exact in {criteria.ratio: True, criteria.log_probability: False}.items():
        score = criteria.policy_gradient(form, collect=control.enumerated)
        found = derivatives(lambda params, score=score: -score(predictor(params), env, jax.random.key(0))[0])
        assert (relative(found, derivatives(lambda params: expected(params, env))) < 1e-10) is exact


@pytest.mark.parametrize(("horizon", "num_steps"), [(3, 1), (2, 2)])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.product(mode=("mixed_mode",), num_steps=(1,))
def test_e_maml_adds_the_gradient_of_what_is_sampled(horizon, num_steps, mode):
    """Adaptation is to one trajectory a step; over all of them, weighted, the gradient is that of the expectation."""
    env, key = task(horizon), jax.random.key(0)
    every = control.enumerated(predictor(theta()), env, key)
    choices = jnp.array(list(itertools.product(range(2**horizon), repeat=num_steps)))
    stored = criteria.surrogate(criteria.log_probability)
    judge = criteria.policy_gradient(collect=control.enumerated)

    def chosen(rows):
        """Trajectories [num_steps, 1, horizon] of weight 1, whose rewards are what follows, without a baseline."""
        picked = jax.tree.map(lambda leaf: leaf[rows][:, None], every)
        return picked._replace(weights=jnp.ones_like(picked.weights))

    def after(params, rows):
        """The log-likelihood of a choice of trajectories, and what the return is once they are adapted to."""
        likelihood = 0.0
        for row in range(num_steps):
            own = jax.tree.map(lambda leaf, row=row: leaf[row], chosen(rows))
            likelihood += criteria.rescored(predictor(params), own).sum()
            slope = jax.grad(lambda params, own=own: stored(predictor(params), own, key)[0])(params)
            params = jax.tree.map(lambda leaf, change: leaf - RATE * change, params, slope)
        return likelihood, expected(params, env)

    def objective(params):
        likelihoods, returns = jax.vmap(lambda rows: after(params, rows))(choices)
        return -(jnp.exp(likelihoods) * returns).sum()

    def estimate(make):
        learner = make(
            policy(), stored, optax.sgd(RATE), num_steps=num_steps, outer_criterion=judge,
            gradient=MODES[mode], select=lambda data, key, step: jax.tree.map(lambda leaf: leaf[step], data),
        )  # fmt: skip

        def mean(params):
            weights = jax.lax.stop_gradient(jnp.exp(jax.vmap(lambda rows: after(params, rows)[0])(choices)))
            losses = jax.vmap(lambda rows: learner.loss(params, Episode(chosen(rows), env), key)[0])(choices)
            return weights @ losses

        return jax.jit(jax.grad(mean))(theta())

    wanted = jax.jit(jax.grad(objective))(theta())
    assert relative(estimate(e_maml), wanted) < 1e-10
    assert relative(estimate(maml), wanted) > 0.05
