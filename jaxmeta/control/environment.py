"""The seam to environments: a few pure functions, the hidden parameters of a task, and tasks of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

import jax

from jaxmeta import checks
from jaxmeta.tasks.sampling import Sample
from jaxmeta.types import Array, Episode, PyTree

_STATIC = {"static": True}  # no data: environments that differ in it are two programs


class Reset(Protocol):
    def __call__(self, parameters: PyTree, key: Array, /) -> PyTree: ...


class Step(Protocol):
    def __call__(self, parameters: PyTree, state: PyTree, action: Array, key: Array, /) -> tuple: ...


class Observe(Protocol):
    def __call__(self, parameters: PyTree, state: PyTree, /) -> Array: ...


class Rules(NamedTuple):
    """What all tasks of an environment share. Functions of ONE trajectory; a rollout maps them."""

    name: str
    """For errors and pictures."""
    reset: Reset
    """(parameters, key) -> state, any pytree of arrays"""
    step: Step
    """(parameters, state, action, key) -> (state, reward [], done [] bool)"""
    observe: Observe
    """(parameters, state) -> [num_observations]; what a task hides, it leaves out"""
    num_observations: int
    num_actions: int
    """Size of a continuous action, or how many discrete ones there are."""
    space: Literal["continuous", "discrete"]
    horizon: int
    """Steps of a trajectory; one that is done earlier waits for the others."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Environment:
    """One task: rules with its own hidden parameters, and how many trajectories a rollout has of it."""

    parameters: PyTree
    """The leaves: a goal, masses, lengths."""
    rules: Rules = dataclasses.field(metadata=_STATIC)
    num_trajectories: int = dataclasses.field(metadata=_STATIC)


def episodes_of(rules: Rules, draw: Callable[[Array], PyTree], *, num_shots: int, num_queries: int) -> Sample:
    """Tasks of an environment: the support is what is rolled out to adapt, the query what is rolled out to judge.

    Args:
      rules: of all tasks; made once, since other functions are another program.
      draw: (key) -> parameters of a task.
      num_shots: trajectories of a rollout for adaptation, one rollout a step.
      num_queries: trajectories that judge the adapted policy.

    Returns:
      sample: key -> Episode(Environment, Environment).

    Raises:
      ValueError: if the horizon or a number of trajectories is not at least 1.
    """
    checks.integer(f"{rules.name}: horizon", rules.horizon, 1)
    num_shots = checks.integer(f"{rules.name}: num_shots", num_shots, 1)
    return _Tasks(rules, draw, num_shots, checks.integer(f"{rules.name}: num_queries", num_queries, 1))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Tasks:
    rules: Rules = dataclasses.field(metadata=_STATIC)
    draw: Callable[[Array], PyTree] = dataclasses.field(metadata=_STATIC)
    num_shots: int = dataclasses.field(metadata=_STATIC)
    num_queries: int = dataclasses.field(metadata=_STATIC)

    def __call__(self, key: Array) -> Episode:
        parameters = self.draw(key)
        support = Environment(parameters, self.rules, self.num_shots)
        return Episode(support, Environment(parameters, self.rules, self.num_queries))
