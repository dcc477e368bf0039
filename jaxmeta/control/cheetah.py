"""A cheetah that runs, simulated by MuJoCo's own engine in JAX; wants the extra mjx."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta.control.environment import Rules, Step, episodes_of
from jaxmeta.tasks.sampling import Sample
from jaxmeta.types import Array

FRAMES = 5  # steps of physics in which an action is held, 0.01 s each
EFFORT = 0.05  # what the square of an action costs
MOST_SPEED = 2.0
ITERATIONS, SEARCHES = 4, 8  # of the contact solver, whose defaults are for a CPU that steps one body at a time
NUM_OBSERVATIONS, NUM_ACTIONS = 17, 6


class Cheetah(NamedTuple):
    """What a task hides."""

    goal: Array
    """1 or -1 where the direction is to be found out, else the speed in metres a second, in [0, 2)."""


class _State(NamedTuple):
    positions: Array
    """[9] the first is how far it has come"""
    speeds: Array
    """[9]"""
    warm: Array
    """[9] accelerations, from which the solver starts"""


def cheetah_direction(*, num_shots: int, num_queries: int, horizon: int = 200) -> Sample:
    """Half a cheetah that is to run forwards or backwards; which, its rewards tell.

    Observed are all positions but the distance and all speeds, 17 numbers; the reward of a step is the speed in the
    hidden direction, less 0.05 times the square of the 6 torques, which are cut to [-1, 1].

    Args:
      num_shots, num_queries: trajectories of a rollout to adapt and to judge by.
      horizon: steps of a trajectory.

    Raises:
      ImportError: if MuJoCo's engine is missing: pip install 'jaxmeta[mjx]'.

    References:
      Finn et al., Model-Agnostic Meta-Learning, 2017, section 5.3. The body is gymnasium's HalfCheetah.
    """
    return episodes_of(_rules("cheetah:direction", horizon), _direction, num_shots=num_shots, num_queries=num_queries)


def cheetah_velocity(*, num_shots: int, num_queries: int, horizon: int = 200) -> Sample:
    """Half a cheetah that is to run at a hidden speed in [0, 2): the reward is less by the distance from it.

    Args, errors and source are those of `cheetah_direction`.
    """
    return episodes_of(_rules("cheetah:velocity", horizon), _velocity, num_shots=num_shots, num_queries=num_queries)


def _direction(key: Array) -> Cheetah:
    return Cheetah(jnp.where(jax.random.bernoulli(key), 1.0, -1.0))


def _velocity(key: Array) -> Cheetah:
    return Cheetah(jax.random.uniform(key, (), float, 0.0, MOST_SPEED))


@functools.cache
def _engine() -> tuple[Any, Any, float]:
    """(mujoco.mjx, the model on the device, seconds of a step)."""
    missing = [name for name in ("mujoco", "mujoco.mjx", "gymnasium") if not _is_there(name)]
    if missing:
        raise ImportError(f"a cheetah needs {', '.join(missing)}: pip install 'jaxmeta[mjx]'")
    mujoco, mjx = map(importlib.import_module, ("mujoco", "mujoco.mjx"))
    model = mujoco.MjModel.from_xml_path(str(_body()))
    model.opt.iterations, model.opt.ls_iterations = ITERATIONS, SEARCHES
    with jax.ensure_compile_time_eval():  # whoever asks may be tracing
        return mjx, mjx.put_model(model), FRAMES * model.opt.timestep


def _body() -> pathlib.Path:
    """gymnasium's file of the cheetah; gymnasium itself is not imported."""
    found = importlib.util.find_spec("gymnasium")
    assert found is not None
    assert found.origin is not None
    return pathlib.Path(found.origin).parent / "envs" / "mujoco" / "assets" / "half_cheetah.xml"


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:  # of the package that it would be in
        return False


def _reset(task: Cheetah, key: Array) -> _State:
    del task
    position_key, speed_key = jax.random.split(key)
    model = _engine()[1]
    positions = jnp.asarray(model.qpos0) + jax.random.uniform(position_key, (model.nq,), float, -0.1, 0.1)
    return _State(positions, 0.1 * jax.random.normal(speed_key, (model.nv,)), jnp.zeros(model.nv))


def _moved(state: _State, action: Array) -> tuple[_State, Array, Array]:
    """(the next state, the mean speed on the way, what the action costs)"""
    mjx, model, seconds = _engine()
    torques = jnp.clip(action, -1, 1)
    with jax.numpy_rank_promotion("allow"):  # the engine's own code promotes
        start = mjx.make_data(model)
        start = start.replace(qpos=state.positions, qvel=state.speeds, qacc_warmstart=state.warm, ctrl=torques)
        end = jax.lax.fori_loop(0, FRAMES, lambda _, data: mjx.step(model, data), start)
    speed = (end.qpos[0] - state.positions[0]) / seconds
    return _State(end.qpos, end.qvel, end.qacc_warmstart), speed, EFFORT * jnp.square(torques).sum()


def _towards(task: Cheetah, state: _State, action: Array, key: Array) -> tuple[_State, Array, Array]:
    del key
    new, speed, cost = _moved(state, action)
    return new, task.goal * speed - cost, jnp.zeros((), bool)


def _at_speed(task: Cheetah, state: _State, action: Array, key: Array) -> tuple[_State, Array, Array]:
    del key
    new, speed, cost = _moved(state, action)
    return new, -jnp.abs(speed - task.goal) - cost, jnp.zeros((), bool)


_STEPS: dict[str, Step] = {"cheetah:direction": _towards, "cheetah:velocity": _at_speed}


def _observe(task: Cheetah, state: _State) -> Array:
    del task
    return jnp.concatenate([state.positions[1:], state.speeds])


@functools.cache
def _rules(name: str, horizon: int) -> Rules:
    _engine()
    return Rules(name, _reset, _STEPS[name], _observe, NUM_OBSERVATIONS, NUM_ACTIONS, "continuous", horizon)
