"""`jaxmeta train` without a preset: from strokes to real digits, nothing to download."""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np
import optax

from jaxmeta import baselines, checks, statistics, training
from jaxmeta.cli import build, progress, scoring, session, sources
from jaxmeta.cli.config import Embedded, Train
from jaxmeta.cli.train import TEST_SEED
from jaxmeta.runs import results, save_params, table, write_json
from jaxmeta.types import MetaLearner, PyTree

PROTONET = Train(
    learner="protonet", domain="strokes", norm="layer", train_ways=20, train_queries=5, tasks_per_step=1,
    learning_rate=2e-3, num_filters=48,
)  # fmt: skip
MAML = Train(
    learner="maml", domain="strokes", norm="support", train_queries=5, tasks_per_step=8, num_filters=32,
)  # fmt: skip
SHAPE = build.Shape(MAML.picture, MAML.ways)
SCRATCH_STEPS = MAML.inner_steps_test
SHOTS, QUERIES = (1, 5), 10
DOMAINS = ("strokes", "digits", "digits_moved")


def run(config: Embedded, opened: session.Opener = session.begin) -> int:
    """Trains and evaluates; `opened` makes the run's folder or goes on with it."""
    checks.integer("--num-tasks", config.num_tasks, 2)
    for name in ("protonet_steps", "maml_steps", "seed"):
        checks.integer(f"--{name.replace('_', '-')}", getattr(config, name), 0)
    tests = {
        name: scoring.test(
            dataclasses.replace(PROTONET, domain=name), seed=TEST_SEED + config.seed, num_tasks=config.num_tasks,
            ways=MAML.ways, shots=max(SHOTS), queries=QUERIES, seen=None,
        ) for name in DOMAINS
    }  # fmt: skip
    checksums = {f"{name}: {file}": value for name, test in tests.items() for file, value in test.checksums.items()}
    with opened(config, "embedded", _recorded(config), checksums) as run:
        learned = {}
        for made, steps in ((PROTONET, config.protonet_steps), (MAML, config.maml_steps)):
            made = dataclasses.replace(made, steps=steps, seed=config.seed)
            domain = sources.domain(made, "train", ways=made.train_ways, shots=1, queries=made.train_queries)
            learner = build.training_learner(made, SHAPE)
            rate = optax.cosine_decay_schedule(made.learning_rate, max(steps, 1))
            learned[made] = progress.meta_train(
                training.meta_trainer(learner, optax.adam(rate)), domain.sample, num_tasks=made.tasks_per_step,
                steps=steps, key=jax.random.key(config.seed), run=run, name=made.learner,
                label=f"{made.learner} on strokes",
            )  # fmt: skip
        save_params(run.folder, {made.learner: params for made, params in learned.items()})
        rows = [
            row for test in tests.values() for shots in SHOTS for row in _rows(learned, scoring.with_shots(test, shots))
        ]
        print(table(rows))
        for name in DOMAINS[1:]:
            print(_verdict([row for row in rows if (row["domain"], row["shots"]) == (name, 1)]))
        content = results.document(rows, seed=config.seed, checksums=checksums)
        print(f"results: {write_json(run.folder / 'results.json', content)}")
    return 0


@functools.cache
def _scratch() -> MetaLearner:
    """MAML's network, initialised anew and trained on the support set alone."""
    optimizer = optax.sgd(MAML.inner_learning_rate)
    return baselines.from_scratch(build.network(MAML, SHAPE), build.criterion(MAML), optimizer, num_steps=SCRATCH_STEPS)


def _recorded(config: Embedded) -> dict:
    return {name: value for name, value in dataclasses.asdict(config).items() if name not in ("out", "force")}


def _rows(learned: dict[Train, PyTree], test: scoring.Test) -> list[dict]:
    (protonet, protonet_params), (maml, maml_params) = learned.items()
    return [
        *scoring.raw_rows(protonet, test),
        scoring.row(maml, "from scratch", _scratch(), {}, test, tested=SCRATCH_STEPS),
        *scoring.learner_rows(protonet, protonet_params, test, inner_steps=0),
        *scoring.learner_rows(maml, maml_params, test, inner_steps=maml.inner_steps_test),
    ]


def _verdict(rows: list[dict]) -> str:
    """Says what meta-learning added to raw pixels, on the same tasks."""
    raw, *others = rows
    best = max((row for row in others if row["method"] in ("protonet", "maml")), key=lambda row: row["single"]["mean"])
    gain = statistics.mean_interval(100 * (np.array(best["single"]["per_task"]) - np.array(raw["single"]["per_task"])))
    return (
        f"{raw['domain']}, 1 shot: {best['method']} is {gain.mean:+.1f} points "
        f"[{gain.low:+.1f}, {gain.high:+.1f}] from raw inputs (single, paired over tasks)"
    )
