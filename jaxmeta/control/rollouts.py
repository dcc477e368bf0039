"""`rollout`: a policy acts in an environment, all trajectories in lockstep, in one scan."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxmeta import checks
from jaxmeta.control import distributions
from jaxmeta.control.environment import Environment
from jaxmeta.control.trajectories import Baseline, Trajectories, advantages, discounted, linear_baseline
from jaxmeta.types import Array, Predictor, PyTree


def rollout(
    predictor: Predictor,
    env: Environment,
    key: Array,
    *,
    discount: float = 0.99,
    trace: float = 1.0,
    baseline: Baseline = linear_baseline,
) -> Trajectories:
    """Trajectories of a policy, as data: nothing in them has a gradient.

    Args:
      predictor: observations [n, num_observations] -> Gaussian(mean, log_std) or logits.
      env: the task; what it hides, the policy does not see.
      key: the same key, the same trajectories.
      discount: of later rewards in the advantages.
      trace: lambda of the generalised advantages; 1 has no bias.
      baseline: (observations, returns, weights) -> what of the returns is no merit of an action.

    Returns:
      Trajectories [env.num_trajectories, horizon, ...].

    Raises:
      ValueError: if the horizon is 0 or the observations do not fit the policy.
      TypeError: if the policy has no log-std for continuous actions.
      FloatingPointError: outside of `jit`, if physics end in NaN or infinity; it names the step. Inside, rewards from
        that step on are what it came to, and a training says that it diverged.
    """
    rules = env.rules
    checks.integer(f"{rules.name}: horizon", rules.horizon, 1, hint="a trajectory of no step tells nothing")
    acts = _checked(predictor, env)
    reset_key, step_key = jax.random.split(key)
    # Physics are long and not smooth: no derivative enters them.
    num, hidden = env.num_trajectories, jax.lax.stop_gradient(env.parameters)
    state = jax.vmap(rules.reset, (None, 0))(hidden, jax.random.split(reset_key, num))
    observe = jax.vmap(rules.observe, (None, 0))
    step = jax.vmap(rules.step, (None, 0, 0, 0))

    def one(carry: tuple[PyTree, Array], index: Array) -> tuple[tuple[PyTree, Array], tuple]:
        state, alive = carry
        action_key, noise_key = jax.random.split(jax.random.fold_in(step_key, index))
        seen = observe(hidden, state)
        outputs = acts(seen)
        actions = jax.lax.stop_gradient(distributions.sample(outputs, action_key))
        said = distributions.log_probability(outputs, actions)
        new, rewards, done = step(hidden, state, actions, jax.random.split(noise_key, num))
        # One that is done stands still: what it would run into counts for nothing and may be no number.
        kept = jax.tree.map(lambda old, new: jnp.where(_like(alive, new), new, old), state, new)
        counts = alive.astype(rewards.dtype)
        return (kept, alive & ~done), (seen, actions, said, jnp.where(alive, rewards, 0), counts, state)

    _, found = jax.lax.scan(one, (state, jnp.ones(num, bool)), jnp.arange(rules.horizon))
    seen, actions, said, rewards, weights, states = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), found)
    _check_finite(rules.name, seen, rewards)
    values = baseline(seen, discounted(rewards, discount), weights)
    gained = advantages(rewards, values, weights, discount=discount, trace=trace)
    return jax.lax.stop_gradient(Trajectories(seen, actions, said, rewards, gained, weights, states))


def _like(alive: Array, leaf: Array) -> Array:
    return alive.reshape(-1, *(1,) * (leaf.ndim - 1))


def _checked(predictor: Predictor, env: Environment):
    """The policy without a gradient, once it is known to take the observations and to give actions."""
    rules = env.rules
    like = jax.ShapeDtypeStruct((env.num_trajectories, rules.num_observations), jnp.result_type(float))
    try:
        outputs = jax.eval_shape(predictor, like)
    except Exception as error:  # each library of networks has its own for a layer of another width
        lines = str(error).splitlines() or [type(error).__name__]
        what, wanted = f"{rules.name}, policy", f"one that takes observations [n, {rules.num_observations}]"
        raise ValueError(checks.line(f"{what}: expected {wanted}, got {checks.shown(lines[0])}")) from error
    distributions.check(rules.name, outputs, rules.num_actions, rules.space)
    return lambda seen: jax.lax.stop_gradient(predictor(seen))


def _check_finite(name: str, seen: Array, rewards: Array) -> None:
    """Raises FloatingPointError, with the step, if what is known by now is not finite."""
    if isinstance(seen, Tracer) or isinstance(rewards, Tracer):
        return
    step = first_broken(seen, rewards)
    if step is not None:
        wanted, hint = "finite physics", "look at the parameters of the task, or take a smaller time step"
        checks.fail(name, wanted, f"NaN or infinity at step {step}", hint, FloatingPointError)


def first_broken(observations: Array, rewards: Array) -> int | None:
    """The first step of any trajectory at which an observation or a reward is not finite, from 1; None: none is."""
    bad = ~(np.isfinite(rewards) & np.isfinite(observations).all(axis=-1))
    return int(bad.any(axis=0).argmax()) + 1 if bad.any() else None
