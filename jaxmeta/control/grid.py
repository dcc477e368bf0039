"""A small grid world whose walls, goal and compass are new in every task."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta.control.environment import Rules, episodes_of
from jaxmeta.tasks.sampling import Sample
from jaxmeta.types import Array

SIZE, NUM_WALLS = 5, 4
_MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))


class Grid(NamedTuple):
    """What a task hides."""

    walls: Array
    """[SIZE, SIZE] bool"""
    goal: Array
    """[2] int32"""


def grid(*, num_shots: int, num_queries: int, horizon: int = 20) -> Sample:
    """A walk from the middle of a 5 x 5 grid to a goal at its rim; a step costs 0.1, the goal gives 1 and ends it.

    Four cells are walls, which stop a move, as the rim does. Observed is the own cell, one of 25.

    Args:
      num_shots, num_queries: trajectories of a rollout to adapt and to judge by.
      horizon: steps of a trajectory.
    """
    return episodes_of(_rules(horizon), _draw, num_shots=num_shots, num_queries=num_queries)


def _draw(key: Array) -> Grid:
    goal_key, wall_key = jax.random.split(key)
    cells = jnp.stack(jnp.meshgrid(jnp.arange(SIZE), jnp.arange(SIZE), indexing="ij"), axis=-1).reshape(-1, 2)
    rim = ((cells == 0) | (cells == SIZE - 1)).any(axis=1)
    goal = jax.random.categorical(goal_key, jnp.where(rim, 0.0, -jnp.inf))
    middle = SIZE * SIZE // 2
    order = jax.random.uniform(wall_key, (SIZE * SIZE,)).at[jnp.array([middle])].set(2.0).at[goal].set(2.0)
    walls = jnp.zeros(SIZE * SIZE, bool).at[jnp.argsort(order)[:NUM_WALLS]].set(True)
    return Grid(walls.reshape(SIZE, SIZE), cells[goal].astype(jnp.int32))


def _reset(task: Grid, key: Array) -> Array:
    del key
    return jnp.full_like(task.goal, SIZE // 2)


def _step(task: Grid, cell: Array, action: Array, key: Array) -> tuple[Array, Array, Array]:
    del key
    wanted = jnp.clip(cell + jnp.array(_MOVES, jnp.int32)[action], 0, SIZE - 1)
    cell = jnp.where(task.walls[wanted[0], wanted[1]], cell, wanted)
    there = (cell == task.goal).all()
    return cell, jnp.where(there, 1.0, -0.1).astype(float), there


def _observe(task: Grid, cell: Array) -> Array:
    del task
    return jax.nn.one_hot(SIZE * cell[0] + cell[1], SIZE * SIZE, dtype=float)


@functools.cache
def _rules(horizon: int) -> Rules:
    return Rules("grid", _reset, _step, _observe, SIZE * SIZE, len(_MOVES), "discrete", horizon)
