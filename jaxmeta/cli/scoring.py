"""The rows of every table: raw inputs, the untrained network, and what was learned, on the same episodes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxmeta import evaluation, tasks
from jaxmeta.cli import build
from jaxmeta.cli.config import Train
from jaxmeta.runs import report_row
from jaxmeta.types import Episode, MetaLearner, PyTree


def draw(sample: tasks.Sample, seed: int, num_tasks: int) -> Episode:
    """The test episodes of a seed."""
    return jax.jit(lambda key: tasks.episodes(sample, key, jnp.arange(num_tasks)))(jax.random.key(seed))


def score(
    config: Train, method: str, learner: MetaLearner, meta_params: PyTree, episodes: Episode, **facts: Any
) -> dict[str, Any]:
    """One row."""
    scores = evaluation.evaluate(learner, build.criterion(config), meta_params, episodes, jax.random.key(config.seed))
    return report_row(jax.device_get(scores), build.metric(config), method=method, **facts)


def widths(episodes: Episode) -> tuple[int, int]:
    """Input and output size of a regression task."""
    return episodes.support.inputs.shape[-1], episodes.support.targets.shape[-1]


def standard_rows(
    config: Train,
    meta_params: PyTree,
    domain: build.Domain,
    episodes: Episode,
    *,
    ways: int,
    shots: int,
    queries: int,
    inner_steps: int,
    domain_name: str,
) -> list[dict[str, Any]]:
    """Raw inputs, the untrained network and the meta-trained one."""
    size = widths(episodes) if build.is_regression(config) else (1, 1)
    learner = build.learner(config, ways=ways, inner_steps=inner_steps, widths=size)
    facts: dict[str, Any] = {
        "domain": domain_name,
        "split": domain.split,
        "ways": 0 if domain.regression else ways,
        "shots": shots,
        "queries": queries,
    }
    own = facts | {
        "inner_steps_train": build.steps(config, config.inner_steps),
        "inner_steps_test": build.steps(config, inner_steps),
        "norm": None if domain.regression else config.norm,
    }
    none = facts | {"inner_steps_train": 0, "inner_steps_test": 0, "norm": None}
    raw_name, raw = build.raw_inputs(config, ways)
    untrained = learner.init(jax.random.split(jax.random.key(config.seed))[0])
    return [
        score(config, raw_name, raw, {}, episodes, **none),
        score(config, f"{config.learner}, untrained", learner, untrained, episodes, **own),
        score(config, config.learner, learner, meta_params, episodes, **own),
    ]
