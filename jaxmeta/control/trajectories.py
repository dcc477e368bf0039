"""Trajectories: what a rollout brings home, with its returns, baselines and advantages."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp

from jaxmeta import inner
from jaxmeta.types import Array, PyTree

RIDGE = 1e-4  # relative to the features' mean square, so that a baseline of few rows is one


class Trajectories(NamedTuple):
    """Trajectories of one task, all of one length; the rows of a support set are trajectories."""

    observations: Array
    """[n, horizon, num_observations] before each action"""
    actions: Array
    """[n, horizon, num_actions], or [n, horizon] int32"""
    log_probabilities: Array
    """[n, horizon] of the actions under the policy that took them"""
    rewards: Array
    """[n, horizon]"""
    advantages: Array
    """[n, horizon] as they came; whoever scores them may normalise"""
    weights: Array
    """[n, horizon] 1 for a step that counts, 0 once the trajectory is done; or how much it counts"""
    states: PyTree = ()
    """leaves [n, horizon, ...], for pictures"""


class Baseline(Protocol):
    def __call__(self, observations: Array, returns: Array, weights: Array, /) -> Array: ...


def no_baseline(observations: Array, returns: Array, weights: Array) -> Array:
    """Zero everywhere: the exact expectations of an enumerated environment need no lower variance."""
    del observations, weights
    return jnp.zeros_like(returns)


def linear_baseline(observations: Array, returns: Array, weights: Array) -> Array:
    """[n, horizon] a ridge regression of the returns on observations, their squares and time up to its cube.

    It is fitted to the very trajectories that it is then held against, as in the papers' code.

    References:
      Duan et al., Benchmarking Deep Reinforcement Learning for Continuous Control, 2016, supplement, section 2.
    """
    num, horizon = returns.shape
    time = jnp.broadcast_to((jnp.arange(horizon) / horizon).astype(returns.dtype), (num, horizon))
    powers = jnp.stack([time**power for power in range(4)], axis=-1)
    seen = jnp.clip(observations, -10, 10)
    features = jnp.concatenate([seen, jnp.square(seen), powers], axis=-1).reshape(num * horizon, -1)
    weighted = features * weights.reshape(-1, 1)
    square = features.T @ weighted
    scale = RIDGE * jnp.trace(square) / len(square) + 1e-6
    # By products alone: LAPACK's small systems of many tasks can wait for each other.
    inverse = inner.regularized_inverse(square[None], scale[None])[0]
    return (features @ (inverse @ (weighted.T @ returns.ravel()))).reshape(num, horizon)


def discounted(rewards: Array, discount: float | Array) -> Array:
    """[n, horizon] of each step what follows it, later rewards for less: sum over k of discount^k r[t + k]."""

    def add(after: Array, now: Array) -> tuple[Array, Array]:
        total = now + discount * after
        return total, total

    return jax.lax.scan(add, jnp.zeros_like(rewards[:, 0]), rewards.T, reverse=True)[1].T


def advantages(rewards: Array, values: Array, weights: Array, *, discount: float, trace: float) -> Array:
    """[n, horizon] generalised advantages: discounted sums of r + discount V[t + 1] - V, by discount * trace.

    Args:
      rewards: [n, horizon], 0 once a trajectory is done.
      values: [n, horizon] a baseline; behind the last step and behind the end there is nothing to come.
      weights: [n, horizon] 0 once a trajectory is done.
      discount: of later rewards, in [0, 1].
      trace: lambda in [0, 1]; 1: returns less the baseline, without bias.

    References:
      Schulman et al., High-Dimensional Continuous Control Using Generalized Advantage Estimation, 2016, equation 16.
    """
    here = values * (weights > 0)
    after = jnp.concatenate([here[:, 1:], jnp.zeros_like(here[:, :1])], axis=1)
    return discounted(rewards + discount * after - here, discount * trace)


def episode_return(trajectories: Trajectories) -> Array:
    """[] the mean over trajectories of the sum of their rewards, without a discount."""
    return (trajectories.weights * trajectories.rewards).sum(axis=1).mean()
