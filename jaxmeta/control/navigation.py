"""Point navigation: the first control domain of the MAML paper."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from jaxmeta.control.environment import Rules, episodes_of
from jaxmeta.tasks.sampling import Sample
from jaxmeta.types import Array

STEP = 0.1
NEAR = 0.01


def navigation(*, num_shots: int, num_queries: int, horizon: int = 100) -> Sample:
    """A point walks from the origin to a goal in the square [-0.5, 0.5]^2 that it is not told.

    An action is in units of the longest step, 0.1 along each axis, to which it is clipped; the reward is the negative
    squared distance to the goal, and within 0.01 of it the trajectory ends.

    Args:
      num_shots, num_queries: trajectories of a rollout to adapt and to judge by.
      horizon: steps of a trajectory.

    References:
      Finn et al., 2017, section 5.3 and its code, `point_env_randgoal.py`. There an action is a velocity of at most
      0.1, which makes a network's outputs tiny.
    """
    return episodes_of(_rules(horizon), _draw, num_shots=num_shots, num_queries=num_queries)


def _draw(key: Array) -> Array:
    return jax.random.uniform(key, (2,), float, -0.5, 0.5)


def _reset(goal: Array, key: Array) -> Array:
    del key
    return jnp.zeros_like(goal)


def _step(goal: Array, place: Array, action: Array, key: Array) -> tuple[Array, Array, Array]:
    del key
    place = place + STEP * jnp.clip(action, -1, 1)
    return place, -jnp.square(place - goal).sum(), jnp.abs(place - goal).max() < NEAR


def _observe(goal: Array, place: Array) -> Array:
    del goal
    return place


@functools.cache
def _rules(horizon: int) -> Rules:
    return Rules("navigation", _reset, _step, _observe, 2, 2, "continuous", horizon)
