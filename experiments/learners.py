"""Every learner on Omniglot 5-way 1-shot, each trained for the same time.

Paper:     what each reports after its own, far longer training: MAML 98.7, FOMAML 98.3, Reptile 97.7 (query set
           together), Meta-SGD 99.5, MAML++ 99.5, iMAML 99.2, ProtoNet 98.8, Relation Net 99.6 (R2-D2, ANIL, BOIL,
           Matching Nets, Proto-MAML, CAVIA and learned optimizers report other settings or none on Omniglot).
Command:   python experiments/learners.py --data-dir PATH --train-seconds 300   (PATH holds the published zips)
Hardware:  2 cores of an AMD EPYC, no accelerator.
Time:      6 minutes a row, compilation and evaluation included; rows that results/learners.json holds are kept.
Expected:  joint >= 95 for ProtoNet, R2-D2, Proto-MAML and MAML; >= 90 for FOMAML, Meta-SGD, ANIL, Matching Net and
           Relation Net; >= 80 for the others.
Measured:  results/learners.md, beside other work on the machine, which cost some rows a part of their steps. All bars
           were met but the last: Reptile, learned optimizers and CAVIA were still rising after 300 s, of iterations of
           which their papers take many thousands; iMAML's curve was flat.
           Inner gradients were `inner.nested`, now `inner.mixed_mode`, which is the same to 1e-12.

The settings are the presets' (`jaxmeta train NAME-omniglot-5w1s`): Conv-4, 64 filters, stride 2, rotations as new
classes. The outer rate falls with the time that has passed: by a cosine, for Reptile linearly. The parameters are those
of the best of ten validations, on classes of neither training nor test, while the clock stands. Then 600 tasks of
unseen characters with 15 queries a class, or 2,400 with 1 where training has 1: with norm "batch" the moments are the
queries', and a network trained on five pictures meets others when it is asked 75.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pages

from jaxmeta import evaluation, provenance, tables, training
from jaxmeta.cli import build, presets, scoring, sources
from jaxmeta.cli.config import Train
from jaxmeta.statistics import mean_interval

SUFFIX, VALIDATIONS = "-omniglot-5w1s", 10
SIZES = {"ways": 5, "shots": 1}


def rows() -> dict[str, Train]:
    """Every preset of this task; learners without a head with both norms."""
    found = {}
    for name, preset in presets.TRAININGS.items():
        if name.endswith(SUFFIX):
            for norm in ("batch",) if build.has_head(preset) else ("batch", "layer"):
                found[f"{name.removesuffix(SUFFIX)}, {norm}"] = dataclasses.replace(preset, norm=norm)
    return found


def num_tasks(with_fifteen: int, queries: int) -> int:
    """More tasks where each has few queries, so that intervals are about as narrow."""
    return with_fifteen if queries == 15 else 4 * with_fifteen


def train(config: Train, seconds: float) -> tuple[dict, dict]:
    """Trains for the given time, and returns the best meta_params with what is to be told of the training."""
    domain = sources.domain(
        config, "train", ways=config.train_ways, shots=config.train_shots or 1, queries=config.train_queries
    )
    unseen = sources.domain(config, "validation", **SIZES, queries=config.queries)
    select_on = scoring.draw(unseen.sample, 1, num_tasks(100, config.queries))
    shape = build.shape(config, domain.sample)
    optimizer = optax.inject_hyperparams({"adam": optax.adam, "sgd": optax.sgd}[config.outer_optimizer])(
        learning_rate=config.learning_rate
    )
    trainer = training.meta_trainer(build.training_learner(config, shape), optimizer)
    tester = build.learner(config, shape, ways=5, inner_steps=config.inner_steps_test)
    init_key, train_key = jax.random.split(jax.random.key(config.seed))
    state, size = trainer.init(init_key), 10
    program = jax.jit(training.many_updates(trainer, domain.sample, num_tasks=config.tasks_per_step, num_updates=size))
    start = time.perf_counter()
    program = program.lower(state, train_key).compile()
    compiled = time.perf_counter() - start
    spent, curve, best = 0.0, [], (-1.0, state.meta_params)
    while spent < seconds:
        part = spent / seconds
        fall = (1 + math.cos(math.pi * part)) / 2 if config.outer_optimizer == "adam" else 1 - part
        outer = state.optimizer_state
        rate = jnp.asarray(config.learning_rate * fall, jnp.float32)
        outer = outer._replace(hyperparams=outer.hyperparams | {"learning_rate": rate})
        state = state._replace(optimizer_state=outer)
        start = time.perf_counter()
        state, metrics = program(state, train_key)
        loss = float(metrics["loss"].mean())
        spent += time.perf_counter() - start
        if spent >= seconds * (len(curve) + 1) / VALIDATIONS:
            scores = evaluation.evaluate(
                tester, build.criterion(config), state.meta_params, select_on, jax.random.key(0),
                columns={"joint": evaluation.as_is},
            )  # fmt: skip
            accuracy = float(scores["joint"]["accuracy"].mean())
            best = max(best, (accuracy, state.meta_params), key=lambda pair: pair[0])
            curve.append([int(state.step), round(loss, 4), round(accuracy, 4)])
            print(
                f"  {spent:4.0f} s, step {curve[-1][0]:>6}: loss {loss:.4f}, validation {100 * accuracy:.1f}",
                flush=True,
            )
    told = {"steps": int(state.step), "seconds": round(spent, 1), "compile_seconds": round(compiled, 1), "curve": curve}
    return best[1], told


def test(config: Train, meta_params: dict) -> dict:
    drawn = scoring.test(
        config, seed=2, num_tasks=num_tasks(600, config.queries), seen=None, **SIZES, queries=config.queries
    )
    learner = build.learner(config, drawn.shape, ways=5, inner_steps=config.inner_steps_test)
    scores = evaluation.evaluate(learner, build.criterion(config), meta_params, drawn.episodes, jax.random.key(0))
    return {
        column: [round(100 * float(value), 2) for value in mean_interval(np.asarray(scores[column]["accuracy"]))]
        for column in ("joint", "single")
    }


def page(results: dict) -> str:
    """The table, of the content of learners.json."""

    def shown(percent: list[float]) -> str:
        return tables.interval(dict(zip(("mean", "low", "high"), np.array(percent) / 100, strict=True)), "accuracy")

    head = (
        "learner, norm",
        "steps",
        "tasks a step",
        "inner steps, training / test",
        "queries a class",
        "joint",
        "single",
    )
    rows = []
    for name, row in results["rows"].items():
        steps = " / ".join(map(str, row["inner_steps"])) if row["inner_steps"] else "-"
        about = [f"{row['steps']:,}", row["tasks_per_step"], steps, row["queries"]]
        rows.append([name, *about, shown(row["joint"]), shown(row["single"])])
    return f"""{tables.markdown(head, rows)}

Accuracy in %, mean and 95% interval over {num_tasks(600, 15)} tasks, or {num_tasks(600, 1):,} with 1 query a class.
{results["train_seconds"]:g} s of training each; {provenance.line(results)}.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--train-seconds", type=float, default=300)
    parser.add_argument("--rows", nargs="*", help="some of the rows, such as 'maml, batch'; all are the default")
    parser.add_argument(
        "--out", type=pathlib.Path, default=pages.RESULTS, help="where learners.json and learners.md are"
    )
    options = parser.parse_args()
    path = options.out / "learners.json"
    results = provenance.record() | {"train_seconds": options.train_seconds, "rows": {}}
    if path.exists():
        results = json.loads(path.read_text())
        if results["train_seconds"] != options.train_seconds:
            parser.error(f"{path} holds rows of {results['train_seconds']} s; remove it, or give another --out")
    for name, preset in rows().items():
        if name in results["rows"] or (options.rows and name not in options.rows):
            continue
        print(name, flush=True)
        config = dataclasses.replace(preset, data_dir=options.data_dir)
        meta_params, told = train(config, options.train_seconds)
        steps = [config.inner_steps, config.inner_steps_test] if build.has_steps(config) else None
        told |= {"tasks_per_step": config.tasks_per_step, "inner_steps": steps, "queries": config.queries}
        results["rows"][name] = told | test(config, meta_params)
        pages.write(path, results, page)
    print(page(results))


if __name__ == "__main__":
    main()
