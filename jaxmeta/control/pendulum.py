"""A pendulum to be swung up, of hidden mass and length."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta.control.environment import Rules, episodes_of
from jaxmeta.tasks.sampling import Sample
from jaxmeta.types import Array

TIME_STEP, GRAVITY, MOST_TORQUE, MOST_SPEED = 0.05, 10.0, 2.0, 8.0


class Pendulum(NamedTuple):
    """What a task hides."""

    mass: Array
    length: Array
    gain: Array
    """What the motor makes of an action; negative where it turns the other way."""


class _State(NamedTuple):
    angle: Array
    """[] 0 is upright"""
    speed: Array


def pendulum(*, num_shots: int, num_queries: int, horizon: int = 100) -> Sample:
    """The pendulum of OpenAI Gym with hidden mass and length in [0.5, 1.5] and a motor that may be turned around.

    Observed are cosine, sine and speed; the reward is -(angle^2 + 0.1 speed^2 + 0.001 torque^2) / 10.

    Args:
      num_shots, num_queries: trajectories of a rollout to adapt and to judge by.
      horizon: steps of a trajectory.

    References:
      Brockman et al., OpenAI Gym, 2016, `Pendulum-v1`.
    """
    return episodes_of(_rules(horizon), _draw, num_shots=num_shots, num_queries=num_queries)


def _draw(key: Array) -> Pendulum:
    mass_key, length_key, sign_key = jax.random.split(key, 3)
    mass, length = (jax.random.uniform(each, (), float, 0.5, 1.5) for each in (mass_key, length_key))
    return Pendulum(mass, length, MOST_TORQUE * jnp.where(jax.random.bernoulli(sign_key), 1.0, -1.0))


def _reset(task: Pendulum, key: Array) -> _State:
    del task
    angle, speed = jax.random.uniform(key, (2,), float, -1, 1)
    return _State(jnp.pi * angle, speed)


def _step(task: Pendulum, state: _State, action: Array, key: Array) -> tuple[_State, Array, Array]:
    del key
    torque = task.gain * jnp.clip(action[0], -1, 1)
    angle = jnp.mod(state.angle + jnp.pi, 2 * jnp.pi) - jnp.pi
    reward = -(jnp.square(angle) + 0.1 * jnp.square(state.speed) + 0.001 * jnp.square(torque)) / 10
    inertia = task.mass * jnp.square(task.length)
    pull = 1.5 * GRAVITY / task.length * jnp.sin(state.angle) + 3 * torque / inertia
    speed = jnp.clip(state.speed + TIME_STEP * pull, -MOST_SPEED, MOST_SPEED)
    return _State(state.angle + TIME_STEP * speed, speed), reward, jnp.zeros((), bool)


def _observe(task: Pendulum, state: _State) -> Array:
    del task
    return jnp.stack([jnp.cos(state.angle), jnp.sin(state.angle), state.speed / MOST_SPEED])


@functools.cache
def _rules(horizon: int) -> Rules:
    return Rules("pendulum", _reset, _step, _observe, 3, 1, "continuous", horizon)
