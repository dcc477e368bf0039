"""`jaxmeta train PRESET`."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
import optax

from jaxmeta import checks, datasets, evaluation, training
from jaxmeta.cli import build, progress, scoring, session, sources
from jaxmeta.cli.config import Train
from jaxmeta.runs import results, save_params, table, write_json
from jaxmeta.types import PyTree

SELECT_SEED, TEST_SEED = 1_000_003, 1_000_033
ON_DIVERGENCE = {"stop": training.stop_at_divergence, "skip": training.skip_divergence}


def check(config: Train) -> None:
    """Raises ValueError for numbers that cannot be."""
    for name, low in (
        ("ways", 2), ("shots", 1), ("queries", 1), ("train_ways", 2), ("train_shots", 0), ("train_queries", 1),
        ("steps", 0), ("tasks_per_step", 1), ("inner_batch_size", 0), ("inner_steps", 0), ("inner_steps_test", 0),
        ("num_context_params", 1), ("num_tasks", 2), ("validation_tasks", 2), ("num_filters", 1), ("seed", 0),
    ):  # fmt: skip
        checks.integer(f"--{name.replace('_', '-')}", getattr(config, name), low)
    for name in ("learning_rate", "inner_learning_rate", "regularization"):
        if not 0 < getattr(config, name) < float("inf"):
            checks.fail(f"--{name.replace('_', '-')}", "a positive number", getattr(config, name))
    checks.integer("--num-features", config.num_features, 0, 65_536)
    if not 0 <= config.clip < float("inf"):
        checks.fail("--clip", "a number of at least 0", config.clip)
    datasets.check_form(datasets.Form(*config.picture))
    if not build.has_head(config) and build.is_regression(config):
        checks.fail("--learner", "one with a head for --criterion squared_error, such as maml", config.learner)
    if build.has_head(config) and not build.is_regression(config) and config.train_ways != config.ways:
        checks.fail("--train-ways", f"the {config.ways} of --ways (the head has one output a class)", config.train_ways)


def outer_optimizer(config: Train) -> optax.GradientTransformation:
    """What makes the meta-training steps of a config."""
    rate, steps = config.learning_rate, max(config.steps, 1)
    schedule = {
        "constant": lambda: rate,
        "cosine": lambda: optax.cosine_decay_schedule(rate, steps),
        "linear": lambda: optax.linear_schedule(rate, 0, steps),
        "halving": lambda: optax.exponential_decay(rate, 2000, 0.5, staircase=True),
    }[config.schedule]()
    optimizer = {"adam": optax.adam, "sgd": optax.sgd}[config.outer_optimizer](schedule)
    return optax.chain(optax.clip(config.clip), optimizer) if config.clip else optimizer


def recorded(config: Train) -> dict:
    """The config as it is written down: without directories, which are the user's own."""
    content = dataclasses.asdict(config) | {"domain": sources.name(config.domain)}
    return {name: value for name, value in content.items() if name not in ("data_dir", "out", "force")}


def run(config: Train, preset: str, opened: session.Opener = session.begin) -> int:
    """Trains and evaluates; `opened` makes the run's folder or goes on with it."""
    check(config)
    config = dataclasses.replace(config, num_features=config.num_features or sources.columns(config))
    domain = sources.domain(
        config, "train", ways=config.train_ways, shots=config.train_shots or config.shots, queries=config.train_queries
    )
    sizes: dict[str, Any] = {"ways": config.ways, "shots": config.shots, "queries": config.queries}
    validation = sources.domain(config, "validation", **sizes)
    test = scoring.test(config, seed=TEST_SEED + config.seed, num_tasks=config.num_tasks, seen=None, **sizes)
    select_on = scoring.draw(validation.sample, SELECT_SEED + config.seed, config.validation_tasks)
    learner = build.training_learner(config, test.shape)
    tester = build.learner(config, test.shape, ways=test.facts["ways"], inner_steps=config.inner_steps_test)

    def validate(meta_params: PyTree) -> dict[str, float]:
        scores = evaluation.evaluate(
            tester, build.criterion(config), meta_params, select_on, jax.random.key(config.seed),
            columns={"joint": evaluation.as_is},
        )  # fmt: skip
        return {name: float(np.mean(values)) for name, values in scores["joint"].items()}

    metric, sign = build.metric(config), 1 if build.higher_is_better(config) else -1
    data = domain.checksums | validation.checksums | test.checksums
    with opened(config, preset, recorded(config), data) as run:
        meta_params = progress.meta_train(
            training.meta_trainer(learner, outer_optimizer(config)),
            domain.sample,
            num_tasks=config.tasks_per_step,
            steps=config.steps,
            key=jax.random.key(config.seed),
            run=run,
            name=config.learner,
            label=preset,
            on_divergence=ON_DIVERGENCE[config.on_divergence],
            validate=validate,
            better=lambda new, best: sign * new[metric] > sign * best[metric],
        )
        save_params(run.folder, meta_params)
        rows = [
            *scoring.raw_rows(config, test),
            *scoring.learner_rows(config, meta_params, test, inner_steps=config.inner_steps_test),
        ]
        print(table(rows))
        content = results.document(rows, seed=config.seed, checksums=domain.checksums | test.checksums)
        print(f"results: {write_json(run.folder / 'results.json', content)}")
    return 0
