"""A planar arm of two links whose target is hidden, with bodies that differ."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.control.environment import Rules, episodes_of
from jaxmeta.tasks.sampling import Sample
from jaxmeta.types import Array

TIME_STEP, DAMPING = 0.1, 1.0


class Arm(NamedTuple):
    """What a task hides."""

    target: Array
    """[2] where the hand is to be"""
    coupling: Array
    """[2, 2] from motors to torques of the joints"""
    lengths: Array
    """[2] of the links"""


class _State(NamedTuple):
    angles: Array
    speeds: Array


_BODIES: dict[str, tuple[list[list[float]], list[float]]] = {
    "same": ([[1.0, 0.0], [0.0, 1.0]], [0.5, 0.5]),
    "crossed": ([[1.0, 0.5], [0.5, 1.0]], [0.5, 0.5]),
    "swapped": ([[0.0, 1.0], [1.0, 0.0]], [0.5, 0.5]),
    "long": ([[1.0, 0.0], [0.0, 1.0]], [0.75, 0.65]),
}
BODIES = tuple(_BODIES)


def arm(*, num_shots: int, num_queries: int, body: str = "same", horizon: int = 50) -> Sample:
    """The hand of a two-link arm looks for a target, drawn within its reach, that it is not told.

    Torques turn two damped joints from rest; observed are sines, cosines and speeds of the joints and the hand's place.
    The reward is the negative squared distance of the hand from the target, and a little for large torques.

    Args:
      num_shots, num_queries: trajectories of a rollout to adapt and to judge by.
      body: "same": each motor turns its own joint, links of 0.5; "crossed": each turns the other's half as much, too;
        "swapped": each turns the other's alone; "long": links of 0.75 and 0.65.
      horizon: steps of a trajectory.

    Raises:
      ValueError: if there is no such body.
    """
    checks.choice("arm: body", body, BODIES)
    return episodes_of(_rules(horizon), _draws(body), num_shots=num_shots, num_queries=num_queries)


@functools.cache
def _draws(body: str):
    coupling, lengths = _BODIES[body]

    def draw(key: Array) -> Arm:
        radius_key, angle_key = jax.random.split(key)
        reach = sum(lengths)
        radius = reach * jnp.sqrt(jax.random.uniform(radius_key, (), float, 0.25, 0.9))
        angle = jax.random.uniform(angle_key, (), float, -jnp.pi / 2, jnp.pi / 2)
        target = radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
        return Arm(target, jnp.asarray(coupling, float), jnp.asarray(lengths, float))

    return draw


def places(task: Arm, angles: Array) -> Array:
    """[2, 2] where the elbow and the hand are; the second angle is relative to the first."""
    turned = jnp.cumsum(angles)
    links = task.lengths[:, None] * jnp.stack([jnp.cos(turned), jnp.sin(turned)], axis=-1)
    return jnp.cumsum(links, axis=0)


def _reset(task: Arm, key: Array) -> _State:
    angles = jnp.array([0.0, 0.5]) + 0.05 * jax.random.normal(key, (2,))
    return _State(angles, jnp.zeros_like(task.lengths))


def _step(task: Arm, state: _State, action: Array, key: Array) -> tuple[_State, Array, Array]:
    del key
    torques = task.coupling @ jnp.clip(action, -1, 1)
    # A longer link is heavier to turn.
    speeds = state.speeds + TIME_STEP * (4 * torques / (2 * task.lengths) - DAMPING * state.speeds)
    angles = state.angles + TIME_STEP * speeds
    gap = jnp.square(places(task, angles)[1] - task.target).sum()
    return _State(angles, speeds), -gap - 0.001 * jnp.square(action).sum(), jnp.zeros((), bool)


def _observe(task: Arm, state: _State) -> Array:
    return jnp.concatenate([jnp.sin(state.angles), jnp.cos(state.angles), state.speeds, places(task, state.angles)[1]])


@functools.cache
def _rules(horizon: int) -> Rules:
    return Rules("arm", _reset, _step, _observe, 8, 2, "continuous", horizon)
