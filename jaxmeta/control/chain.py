"""A decision process so small that all of its trajectories can be written down: expectations without sampling."""

from __future__ import annotations

import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.control import distributions
from jaxmeta.control.environment import Environment, Rules, episodes_of
from jaxmeta.control.trajectories import Baseline, Trajectories, advantages, discounted, no_baseline
from jaxmeta.tasks.sampling import Sample
from jaxmeta.types import Array, Predictor

NUM_STATES, NUM_ACTIONS = 3, 2


class Chain(NamedTuple):
    """What a task hides."""

    rewards: Array
    """[NUM_STATES, NUM_ACTIONS]"""


def chain(*, num_shots: int, num_queries: int, horizon: int = 3) -> Sample:
    """Three states and two actions: one steps on, the other goes back to the start; rewards are a task's own.

    Args:
      num_shots, num_queries: trajectories of a rollout to adapt and to judge by; `enumerated` looks at neither.
      horizon: steps of a trajectory.
    """
    return episodes_of(_rules(horizon), _draw, num_shots=num_shots, num_queries=num_queries)


def _draw(key: Array) -> Chain:
    return Chain(jax.random.normal(key, (NUM_STATES, NUM_ACTIONS), float))


def _reset(task: Chain, key: Array) -> Array:
    del task, key
    return jnp.zeros((), jnp.int32)


def _step(task: Chain, state: Array, action: Array, key: Array) -> tuple[Array, Array, Array]:
    del key
    after = jnp.where(action == 1, 0, jnp.minimum(state + 1, NUM_STATES - 1)).astype(jnp.int32)
    return after, task.rewards[state, action], jnp.zeros((), bool)


def _observe(task: Chain, state: Array) -> Array:
    del task
    return jax.nn.one_hot(state, NUM_STATES, dtype=float)


@functools.cache
def _rules(horizon: int) -> Rules:
    return Rules("chain", _reset, _step, _observe, NUM_STATES, NUM_ACTIONS, "discrete", horizon)


def enumerated(
    predictor: Predictor, env: Environment, key: Array, *, discount: float = 1.0, baseline: Baseline = no_baseline
) -> Trajectories:
    """In the place of `rollout`: every trajectory that there can be, with its probability for a weight.

    A weight is the probability times their number, so that a mean over trajectories is the expectation; and times
    discount^t, which turns advantages from step t on into those of the discounted return.

    Args:
      predictor: the policy; trajectories are weighted by it, without a gradient.
      env: of deterministic rules without an early end, discrete actions and few of them.
      key: not used.
      discount: of later rewards.
      baseline: as in `rollout`.
    """
    del key
    rules, task = env.rules, env.parameters
    options = jnp.asarray(list(itertools.product(range(rules.num_actions), repeat=rules.horizon)), jnp.int32)
    blank = jax.random.key(0)

    def one(actions: Array) -> tuple[Array, Array]:
        def step(state: Array, action: Array) -> tuple[Array, tuple[Array, Array]]:
            new, reward, _ = rules.step(task, state, action, blank)
            return new, (rules.observe(task, state), reward)

        return jax.lax.scan(step, rules.reset(task, blank), actions)[1]

    seen, rewards = jax.vmap(one)(options)
    rows = seen.reshape(-1, seen.shape[-1])
    said = distributions.log_probability(predictor(rows), options.ravel()).reshape(options.shape)
    decay = discount ** np.arange(rules.horizon)
    weights = len(options) * jnp.exp(said.sum(axis=1, keepdims=True)) * jnp.asarray(decay, said.dtype)[None]
    values = baseline(seen, discounted(rewards, discount), weights)
    gained = advantages(rewards, values, weights, discount=discount, trace=1.0)
    return jax.lax.stop_gradient(Trajectories(seen, options, said, rewards, gained, weights))
