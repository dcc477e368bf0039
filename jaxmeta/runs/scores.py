"""The rows of every table: raw inputs, the untrained network, and what was learned, on the same episodes."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta import evaluation, memory, meshes, recipes, tasks, tree
from jaxmeta.recipes import Recipe, Shape
from jaxmeta.runs.results import report_row
from jaxmeta.types import Episode, MetaLearner, PyTree

Row = dict[str, Any]


class Oracle(NamedTuple):
    """A best possible answer, and the tasks with what it is told of them."""

    learner: MetaLearner
    told: tasks.Sample
    episodes: Episode


class Test(NamedTuple):
    """The tasks on which methods meet, and what is recorded of them."""

    episodes: Episode
    facts: dict[str, Any]
    """domain, split, ways, shots, queries"""
    checksums: dict[str, str]
    shape: Shape
    sample: tasks.Sample
    read: tuple[recipes.Facts, ...] = ()
    """What is to be said of their data."""
    oracles: Mapping[str, Oracle] = types.MappingProxyType({})
    """The best possible answers, where they are known."""


def draw(sample: tasks.Sample, seed: int, num_tasks: int) -> Episode:
    """The episodes of a seed, or MemoryError if they are more than the memory holds."""
    key, what = jax.random.key(seed), f"{num_tasks:,} tasks"
    memory.check(what, num_tasks * memory.size(jax.eval_shape(sample, key)))
    return tasks.drawn(sample, key, jnp.arange(num_tasks))


def drawn(
    recipe: Recipe,
    *,
    seed: int,
    num_tasks: int,
    ways: int,
    shots: int,
    queries: int,
    seen: recipes.Seen | None,
    query_domain: str = "",
    data_dir: str | None = None,
) -> Test:
    """Draws the test tasks of a recipe's domain; `seen` is what was trained on, if it is known."""
    task = recipe.task
    sizes = {"ways": ways, "shots": shots, "queries": queries}
    options: dict[str, Any] = {"query_domain": query_domain, "seen": seen, "data_dir": data_dir}
    domain = recipes.domains.open(task.domain, "test", task=task, **sizes, **options)
    shown = recipes.short(task.domain)
    facts = {
        "domain": f"{shown} to {recipes.short(query_domain)}" if query_domain else shown,
        "split": domain.split,
        "ways": ways if recipe.scoring.has_classes else 0,
        "shots": shots,
        "queries": queries,
    }
    episodes, shape = draw(domain.sample, seed, num_tasks), recipes.shape(recipe, domain.sample)
    known = {} if query_domain else oracles(recipe, domain.sample, seed, num_tasks)
    return Test(episodes, facts, domain.checksums, shape, domain.sample, domain.facts, known)


def oracles(recipe: Recipe, sample: tasks.Sample, seed: int, num_tasks: int) -> dict[str, Oracle]:
    """The best possible answers to a domain's tasks, where they are known."""
    found = {name: (each.learner, each.told(sample)) for name, each in recipes.oracles(recipe).items()}
    return {name: Oracle(learner, told, draw(told, seed, num_tasks)) for name, (learner, told) in found.items()}


def redrawn(test: Test, seed: int) -> Test:
    """As many tasks of another seed."""
    count = tree.leading_axis(test.episodes)
    known = {name: each._replace(episodes=draw(each.told, seed, count)) for name, each in test.oracles.items()}
    return test._replace(episodes=draw(test.sample, seed, count), oracles=known)


def chunk(recipe: Recipe, num_tasks: int) -> int | None:
    """The tasks that a device computes side by side, as the recipe asks and their number allows; None: as may be."""
    wanted, own = recipe.budget.tasks_per_chunk, meshes.own_tasks(num_tasks, meshes.most(num_tasks))
    return max(size for size in range(1, min(wanted, own) + 1) if own % size == 0) if wanted else None


def row(
    recipe: Recipe, method: str, learner: MetaLearner, meta_params: PyTree, test: Test, *, trained: int = 0, tested: int
) -> Row:
    """One row; `trained` and `tested` are its inner steps in training and in test."""
    num_tasks, kind = tree.leading_axis(test.episodes), recipes.kind(recipe.task)
    scores = evaluation.evaluate(
        learner, recipe.scoring.judge, meta_params, test.episodes, jax.random.key(recipe.seed),
        columns=kind.columns, mesh=meshes.most(num_tasks), tasks_per_chunk=chunk(recipe, num_tasks),
    )  # fmt: skip
    facts = {
        **test.facts,
        "inner_steps_train": trained,
        "inner_steps_test": tested,
        "norm": recipe.network.norm if kind.has_norm else None,
    }
    scoring = recipe.scoring
    return report_row(jax.device_get(scores), scoring.metric, beside=scoring.beside, method=method, **facts)


def floor_rows(recipe: Recipe, test: Test) -> list[Row]:
    """What raw inputs alone reach: zero is not chance."""
    ways = test.facts["ways"]
    return [floor_row(recipe, name, test, ways=ways) for name in (*recipes.floors(recipe, ways), *test.oracles)]


def floor_row(recipe: Recipe, method: str, test: Test, *, ways: int) -> Row:
    """One of them, or the best possible answer; `ways` is what is told apart."""
    if method in test.oracles:
        learner, _, episodes = test.oracles[method]
        test = test._replace(episodes=episodes)
    else:
        learner = recipes.floors(recipe, ways)[method]
    return row(recipe, method, learner, learner.init(jax.random.key(recipe.seed)), test, tested=0) | {"norm": None}


def trained_row(
    recipe: Recipe, meta_params: PyTree, test: Test, *, inner_steps: int, ways: int = 0, method: str = ""
) -> Row:
    """What was learned.

    Args:
      recipe: what was learned, as it is tested.
      meta_params: the learned ones.
      test: the tasks.
      inner_steps: adaptation steps in test.
      ways: what a learner without a head tells apart; 0: the test's ways.
      method: what the row is called; by default the learner's name.
    """
    learner = recipes.learner(recipe, test.shape, ways=ways or test.facts["ways"], inner_steps=inner_steps)
    steps = {
        "trained": recipes.steps(recipe, recipe.adaptation.inner_steps),
        "tested": recipes.steps(recipe, inner_steps),
    }
    return row(recipe, method or recipe.adaptation.learner, learner, meta_params, test, **steps)


def untrained_rows(recipe: Recipe, test: Test, *, inner_steps: int, ways: int = 0, method: str = "") -> list[Row]:
    """The untrained network, adapted alike; no row if there is nothing to train."""
    learner = recipes.learner(recipe, test.shape, ways=ways or test.facts["ways"], inner_steps=inner_steps)
    untrained, name = recipes.initial(recipe, learner), f"{method or recipe.adaptation.learner}, untrained"
    if not jax.tree.leaves(untrained):
        return []
    return [row(recipe, name, learner, untrained, test, tested=recipes.steps(recipe, inner_steps))]
