"""`jaxmeta train PRESET`."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from jaxmeta import baselines, checks, datasets, evaluation, tasks, training
from jaxmeta.cli import build, devices, progress, scoring, seeds, session, sources
from jaxmeta.cli.config import Train
from jaxmeta.runs import processes, results, save_params, table, write_json
from jaxmeta.types import PyTree

SELECT_SEED, TEST_SEED = 1_000_003, 1_000_033
POPULATION = 1024  # pictures of the source whose moments a pre-trained network keeps
ON_DIVERGENCE = {"stop": training.stop_at_divergence, "skip": training.skip_divergence}


def check(config: Train) -> None:
    """Raises ValueError for numbers that cannot be."""
    for name, low in (
        ("ways", 2), ("shots", 1), ("queries", 1), ("train_ways", 2), ("train_shots", 0), ("train_queries", 1),
        ("steps", 0), ("tasks_per_step", 1), ("inner_batch_size", 0), ("inner_steps", 0), ("inner_steps_test", 0),
        ("num_context_params", 1), ("num_classes", 0), ("batch_size", 1),
        ("num_tasks", 2), ("validation_tasks", 2), ("num_filters", 1), ("seed", 0),
        ("seeds", 1),
    ):  # fmt: skip
        checks.integer(f"--{name.replace('_', '-')}", getattr(config, name), low)
    for name in ("learning_rate", "inner_learning_rate", "regularization"):
        if not 0 < getattr(config, name) < float("inf"):
            checks.fail(f"--{name.replace('_', '-')}", "a positive number", getattr(config, name))
    checks.integer("--num-features", config.num_features, 0, 65_536)
    if not 0 <= config.clip < float("inf"):
        checks.fail("--clip", "a number of at least 0", config.clip)
    datasets.check_form(datasets.Form(*config.picture))
    if config.learner == "from_scratch" and config.steps:
        checks.fail("--steps", "0, since from_scratch learns nothing before a task", config.steps)
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
    return {name: value for name, value in content.items() if name not in ("data_dir", "out", "force", "distributed")}


class Source(NamedTuple):
    """What a config trains on."""

    sample: tasks.Sample
    validation: tasks.Sample
    """Tasks of classes that are neither training nor test classes."""
    checksums: dict[str, str]
    pictures: Callable[[int], jax.Array] | None
    """seed -> [n, height, width, channels] of which a pre-trained network takes its statistics; None for others."""


def source(config: Train) -> tuple[Train, Source]:
    """Opens the training domain; returns the config with the sizes that its data alone can tell."""
    config = dataclasses.replace(config, num_features=config.num_features or sources.columns(config))
    if build.is_pretrained(config):
        return _labelled_source(config)
    domain = sources.domain(
        config, "train", ways=config.train_ways, shots=config.train_shots or config.shots, queries=config.train_queries
    )
    validation = _validation(config)
    return config, Source(domain.sample, validation.sample, domain.checksums | validation.checksums, None)


def _labelled_source(config: Train) -> tuple[Train, Source]:
    examples = sources.labelled(config, "train")
    config = dataclasses.replace(config, num_classes=config.num_classes or len(examples.class_names))
    if config.num_classes != len(examples.class_names):
        checks.fail("--num-classes", f"the {len(examples.class_names)} of --domain, or 0", config.num_classes)
    many = tasks.labelled_batches(examples, batch_size=min(POPULATION, len(examples.inputs)))
    sample = tasks.labelled_batches(examples, batch_size=config.batch_size)
    pictures, validation = lambda seed: many(jax.random.key(seed)).query.inputs, _validation(config)
    return config, Source(sample, validation.sample, examples.checksums | validation.checksums, pictures)


def _validation(config: Train) -> sources.Domain:
    return sources.domain(config, "validation", ways=config.ways, shots=config.shots, queries=config.queries)


def fit(
    config: Train, given: Source, runs: Mapping[int, session.Run], label: str, *, start: PyTree | None = None
) -> dict[int, PyTree]:
    """Meta-trains from the last checkpoints on, chooses by validation classes of the source, writes the params.

    Args:
      config: as `source` returned it, with its Source.
      given: what to train on.
      runs: the open run of each seed.
      label: names the training to people.
      start: meta_params to begin with; None: the learner's own.

    Returns:
      The meta_params of each seed.
    """
    shape = build.shape(config, given.validation)
    learner = build.training_learner(config, shape)
    tester = build.learner(config, shape, ways=config.ways, inner_steps=config.inner_steps_test)
    if start is not None:
        learner = learner._replace(init=lambda key: start)

    def finisher(seed: int) -> Callable[[PyTree], PyTree]:
        if given.pictures is None:
            return lambda meta_params: meta_params
        network, pictures = build.network(config, shape), given.pictures(seed)
        return lambda meta_params: baselines.with_population(network, meta_params, pictures)

    finish = {seed: finisher(seed) for seed in runs}

    def validator(seed: int) -> Callable[[PyTree], dict[str, float]]:
        select_on = scoring.draw(given.validation, SELECT_SEED + seed, config.validation_tasks)

        def validate(meta_params: PyTree) -> dict[str, float]:
            scores = evaluation.evaluate(
                tester, build.criterion(config), finish[seed](meta_params), select_on, jax.random.key(seed),
                columns={"joint": evaluation.as_is}, mesh=devices.mesh(config.validation_tasks),
            )  # fmt: skip
            return {name: float(np.mean(values)) for name, values in scores["joint"].items()}

        return validate

    metric, sign = build.metric(config), 1 if build.higher_is_better(config) else -1
    mesh = devices.mesh(config.tasks_per_step)
    learned = progress.meta_train(
        training.meta_trainer(learner, outer_optimizer(config), mesh=mesh),
        given.sample,
        [
            progress.Seed(
                jax.random.key(seed), run, label if len(runs) == 1 else f"{label}, seed {seed}", validator(seed)
            )
            for seed, run in runs.items()
        ],
        num_tasks=config.tasks_per_step,
        steps=config.steps,
        name=config.learner,
        mesh=mesh,
        on_divergence=ON_DIVERGENCE[config.on_divergence],
        better=lambda new, best: sign * new[metric] > sign * best[metric],
    )
    found = {seed: finish[seed](meta_params) for seed, meta_params in zip(runs, learned, strict=True)}
    for seed, meta_params in found.items():
        save_params(runs[seed].folder, meta_params)
    return found


def run(config: Train, preset: str, opened: session.Opener = session.begin) -> int:
    """Trains and evaluates; `opened` makes the run's folder or goes on with it."""
    check(config)
    devices.check_divide("--tasks-per-step", config.tasks_per_step)
    with contextlib.ExitStack() as held:
        with processes.alike():
            config, given = source(config)
            sizes: dict[str, Any] = {"ways": config.ways, "shots": config.shots, "queries": config.queries}
            test = scoring.test(config, seed=TEST_SEED + config.seed, num_tasks=config.num_tasks, seen=None, **sizes)
            data = given.checksums | test.checksums
            run = held.enter_context(opened(config, preset, recorded(config), data))
            runs = held.enter_context(seeds.runs_of(run, preset))
        rows = {}
        for seed, meta_params in fit(config, given, runs, preset).items():
            own = dataclasses.replace(config, seed=seed, seeds=1)
            drawn = test if seed == config.seed else scoring.redrawn(test, TEST_SEED + seed)
            rows[seed] = [
                *scoring.raw_rows(own, drawn),
                *scoring.learner_rows(own, meta_params, drawn, inner_steps=config.inner_steps_test),
            ]
            print(table(rows[seed]) if len(runs) == 1 else f"seed {seed}\n{table(rows[seed])}\n")
            content = results.document(rows[seed], seed=seed, checksums=data)
            path = write_json(runs[seed].folder / "results.json", content)
        if len(runs) > 1:
            path = seeds.write(run.folder, rows, data)
        print(f"results: {path}")
    return 0
