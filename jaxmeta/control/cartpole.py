"""A pole on a cart, of hidden masses and length."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta.control.environment import Rules, episodes_of
from jaxmeta.tasks.sampling import Sample
from jaxmeta.types import Array

TIME_STEP, GRAVITY, CART_MASS, WIDTH = 0.02, 9.8, 1.0, 2.4
MOST_ANGLE = 12 * 3.141592653589793 / 180


class CartPole(NamedTuple):
    """What a task hides."""

    pole_mass: Array
    half_length: Array
    push: Array
    """The force of action 1; negative where the motor is turned around."""


def cartpole(*, num_shots: int, num_queries: int, horizon: int = 100) -> Sample:
    """The cart and pole of OpenAI Gym with two actions, hidden mass, length and force, half of them turned around.

    A step that the pole stands gives 1; below 12 degrees of leaning and 2.4 of way the trajectory goes on.

    Args:
      num_shots, num_queries: trajectories of a rollout to adapt and to judge by.
      horizon: steps of a trajectory.

    References:
      Barto et al., Neuronlike Adaptive Elements That Can Solve Difficult Learning Control Problems, 1983;
      Brockman et al., OpenAI Gym, 2016, `CartPole-v1`.
    """
    return episodes_of(_rules(horizon), _draw, num_shots=num_shots, num_queries=num_queries)


def _draw(key: Array) -> CartPole:
    mass_key, length_key, push_key, sign_key = jax.random.split(key, 4)
    mass = jax.random.uniform(mass_key, (), float, 0.05, 0.5)
    length = jax.random.uniform(length_key, (), float, 0.3, 1.0)
    push = jax.random.uniform(push_key, (), float, 7.5, 12.5)
    return CartPole(mass, length, push * jnp.where(jax.random.bernoulli(sign_key), 1.0, -1.0))


def _reset(task: CartPole, key: Array) -> Array:
    del task
    return jax.random.uniform(key, (4,), float, -0.05, 0.05)


def _step(task: CartPole, state: Array, action: Array, key: Array) -> tuple[Array, Array, Array]:
    del key
    _, speed, angle, turning = state
    force = jnp.where(action == 1, task.push, -task.push)
    sine, cosine = jnp.sin(angle), jnp.cos(angle)
    total, moment = CART_MASS + task.pole_mass, task.pole_mass * task.half_length
    pushed = (force + moment * jnp.square(turning) * sine) / total
    inertia = task.half_length * (4 / 3 - task.pole_mass * jnp.square(cosine) / total)
    turned = (GRAVITY * sine - cosine * pushed) / inertia
    moved = pushed - moment * turned * cosine / total
    state = state + TIME_STEP * jnp.stack([speed, moved, turning, turned])
    done = (jnp.abs(state[0]) > WIDTH) | (jnp.abs(state[2]) > MOST_ANGLE)
    return state, jnp.ones((), state.dtype), done


def _observe(task: CartPole, state: Array) -> Array:
    del task
    return state * jnp.array([1.0, 1.0, 5.0, 1.0])


@functools.cache
def _rules(horizon: int) -> Rules:
    return Rules("cartpole", _reset, _step, _observe, 4, 2, "discrete", horizon)
