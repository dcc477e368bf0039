"""The rows of every table: raw inputs, the untrained network, and what was learned, on the same episodes."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta import evaluation, memory, tasks, tree
from jaxmeta.cli import build, devices, sources
from jaxmeta.cli.config import Train
from jaxmeta.runs import report_row
from jaxmeta.types import Episode, MetaLearner, PyTree


class Test(NamedTuple):
    """The tasks on which methods meet, and what is recorded of them."""

    episodes: Episode
    facts: dict[str, Any]
    """domain, split, ways, shots, queries"""
    checksums: dict[str, str]
    shape: build.Shape
    sample: tasks.Sample


def draw(sample: tasks.Sample, seed: int, num_tasks: int) -> Episode:
    """The episodes of a seed, or MemoryError if they are more than the memory holds."""
    key, what = jax.random.key(seed), f"{num_tasks:,} tasks"
    memory.check(what, num_tasks * memory.size(jax.eval_shape(sample, key)))
    return memory.checked(what, jax.jit(lambda key: tasks.episodes(sample, key, jnp.arange(num_tasks))), key)


def test(
    config: Train, *, seed: int, num_tasks: int, ways: int, shots: int, queries: int, seen: frozenset[str] | None
) -> Test:
    """Draws the test tasks of a config's domain; `seen` are the checksums of what was trained on, if they are known."""
    domain = sources.domain(config, "test", ways=ways, shots=shots, queries=queries, seen=seen)
    facts = {
        "domain": sources.name(config.domain),
        "split": domain.split,
        "ways": 0 if build.is_regression(config) else ways,
        "shots": shots,
        "queries": queries,
    }
    episodes = draw(domain.sample, seed, num_tasks)
    return Test(episodes, facts, domain.checksums, build.shape(config, domain.sample), domain.sample)


def redrawn(test: Test, seed: int) -> Test:
    """As many tasks of another seed."""
    return test._replace(episodes=draw(test.sample, seed, tree.leading_axis(test.episodes)))


def row(
    config: Train, method: str, learner: MetaLearner, meta_params: PyTree, test: Test, *, trained: int = 0, tested: int
) -> dict[str, Any]:
    """One row; `trained` and `tested` are its inner steps in training and in test."""
    scores = evaluation.evaluate(
        learner, build.criterion(config), meta_params, test.episodes, jax.random.key(config.seed),
        mesh=devices.mesh(tree.leading_axis(test.episodes)),
    )  # fmt: skip
    facts = {
        **test.facts,
        "inner_steps_train": trained,
        "inner_steps_test": tested,
        "norm": config.norm if build.is_picture(test.shape) else None,
    }
    return report_row(jax.device_get(scores), build.metric(config), method=method, **facts)


def raw_rows(config: Train, test: Test) -> list[dict[str, Any]]:
    """What raw inputs alone reach: zero is not chance."""
    methods = build.raw_inputs(config, test.shape, test.facts["ways"])
    return [row(config, method, learner, {}, test, tested=0) | {"norm": None} for method, learner in methods.items()]


def learner_rows(config: Train, meta_params: PyTree, test: Test, *, inner_steps: int) -> list[dict[str, Any]]:
    """The untrained network, if there is anything to train, and the trained one, adapted alike."""
    learner = build.learner(config, test.shape, ways=test.facts["ways"], inner_steps=inner_steps)
    untrained = learner.init(jax.random.split(jax.random.key(config.seed))[0])
    steps = {"trained": build.steps(config, config.inner_steps), "tested": build.steps(config, inner_steps)}
    trained = row(config, config.learner, learner, meta_params, test, **steps)
    if not jax.tree.leaves(untrained):
        return [trained]
    return [row(config, f"{config.learner}, untrained", learner, untrained, test, **steps | {"trained": 0}), trained]
