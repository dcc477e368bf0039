"""Diagnosis in practice: learnt on random tables or on other pictures, adapted to a handful of real patients.

Paper:     none; the task is this project's own. Random tables: after Hollmann et al., TabPFN, 2023.
Command:   JAXMETA_DATA=... python experiments/diagnosis.py
Hardware:  2 cores of an AMD EPYC (AVX2), no accelerator.
Time:      see `seconds` in results/diagnosis.json; below 10 minutes.
Expected:  on breast cancer and diabetes at least as good as logistic and ridge regression fitted to the same patients;
           on blood cells better than logistic regression on their pixels.
Measured:  results/diagnosis.json, results/diagnosis.md.

No patient and no cell is seen in meta-training, and nothing was chosen on them. Every method meets the same 600 tasks;
a gain is the mean difference to the linear model, its interval is paired over tasks. Patients recur from task to task,
so the intervals speak of these tables and not of all patients.
"""

import json
import os
import pathlib
import platform
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxmeta
from jaxmeta import baselines, criteria, datasets, evaluation, models, tasks, training
from jaxmeta.statistics import mean_interval

RESULTS = pathlib.Path(__file__).parent / "results"
NUM_TASKS, PER_CALL = 600, 500
FEATURES = 30
FORM = datasets.Form(32, 32, 3)


def meta_train(learner, sample, *, steps: int, num_tasks: int, learning_rate: float = 1e-3):
    """The meta_params after the last step; nothing is selected."""
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(learning_rate, steps))
    )
    trainer = jaxmeta.meta_trainer(learner, optimizer)
    run = jax.jit(training.many_updates(trainer, sample, num_tasks=num_tasks, num_updates=PER_CALL), donate_argnums=0)
    state = trainer.init(jax.random.key(0))
    for _ in range(steps // PER_CALL):
        state, metrics = run(state, jax.random.key(1))
        print(f"  step {int(state.step):>6}: loss {metrics['loss'].mean():.3f}", flush=True)
    return state.meta_params


def draw(sample):
    return jax.jit(lambda: tasks.episodes(sample, jax.random.key(2), jnp.arange(NUM_TASKS)))()


def scores(learner, criterion, meta_params, episodes, metric: str) -> np.ndarray:
    """[num_tasks], every query predicted alone."""
    columns = {"single": evaluation.single}
    result = jaxmeta.evaluate(learner, criterion, meta_params, episodes, jax.random.key(3), columns=columns)
    return np.asarray(result["single"][metric], np.float64)


def compare(task: str, shots: int, unit: str, methods: dict[str, np.ndarray], reference: str) -> list[dict]:
    rows = []
    for method, values in methods.items():
        mean, low, high = mean_interval(values)
        row = {"task": task, "shots": shots, "unit": unit, "method": method, "mean": mean, "low": low, "high": high}
        if method != reference:
            gain = mean_interval(values - methods[reference])
            row |= {"gain_over": reference, "gain": gain.mean, "gain_low": gain.low, "gain_high": gain.high}
        rows.append({name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()})
        print(f"{task}, {shots} shots: {method:<32} {mean:.4f} [{low:.4f}, {high:.4f}]", flush=True)
    return rows


def breast_cancer() -> list[dict]:
    """Malignant or benign, from 30 measurements of cell nuclei."""
    loss = criteria.cross_entropy
    protonet = jaxmeta.protonet(models.mlp(FEATURES, 64, hidden=(128, 128)), loss, num_ways=2)
    maml = jaxmeta.maml(models.mlp(FEATURES, 2, hidden=(128, 128)), loss, optax.sgd(0.1), num_steps=5)
    floor = baselines.logistic_regression(loss, num_ways=2)
    source = tasks.standardize(tasks.tabular(num_features=FEATURES, num_ways=2, num_shots=5, num_queries=15))
    learned = {
        "ProtoNet": (protonet, meta_train(protonet, source, steps=10_000, num_tasks=16)),
        "MAML": (maml, meta_train(maml, source, steps=5_000, num_tasks=16)),
    }
    patients, rows = datasets.load("breast_cancer"), []
    for shots in (5, 10):
        sample = tasks.standardize(tasks.few_shot(patients, num_ways=2, num_shots=shots, num_queries=50))
        episodes = draw(sample)
        found = {
            "logistic regression": scores(floor, loss, {}, episodes, "accuracy"),
            "nearest centroid": scores(baselines.nearest_centroid(loss, num_ways=2), loss, {}, episodes, "accuracy"),
        }
        for name, (learner, params) in learned.items():
            untrained = learner.init(jax.random.key(4))
            found[f"{name}, untrained"] = scores(learner, loss, untrained, episodes, "accuracy")
            found[name] = scores(learner, loss, params, episodes, "accuracy")
        rows += compare("breast cancer", shots, "accuracy", found, "logistic regression")
    return rows


def diabetes() -> list[dict]:
    """How far a patient's diabetes goes in a year, from 10 measurements."""
    loss = criteria.squared_error
    maml = jaxmeta.maml(models.mlp(FEATURES, 1, hidden=(128, 128)), loss, optax.sgd(0.05), num_steps=5)

    def declared(sample):
        return tasks.pad_features(tasks.standardize_targets(tasks.standardize(sample)), FEATURES)

    source = declared(tasks.tabular_regression(num_features=FEATURES, num_shots=20, num_queries=20))
    learned = meta_train(maml, source, steps=5_000, num_tasks=16)
    table, rows = datasets.load_table("diabetes"), []
    for shots in (10, 20):
        sample = tasks.from_arrays([(table.inputs, table.targets)], num_shots=shots, num_queries=50)
        episodes = draw(declared(sample))
        # From the support set's units to those of the whole table: 1 is what its mean would leave unexplained.
        unit = np.asarray(draw(sample).support.targets).var(axis=(1, 2)) / table.targets.var()
        learners = {
            "ridge regression": (baselines.ridge_regression(loss), {}),
            "the support set's mean": (baselines.ridge_regression(loss, penalty=1e9), {}),
            "nearest neighbour": (baselines.nearest_neighbour(loss), {}),
            "MAML, untrained": (maml, maml.init(jax.random.key(4))),
            "MAML": (maml, learned),
        }
        found = {name: unit * scores(each, loss, params, episodes, "loss") for name, (each, params) in learners.items()}
        rows += compare("diabetes", shots, "variance left unexplained", found, "ridge regression")
    return rows


def blood_cells() -> list[dict]:
    """Platelet, red or white cell, from a picture; the tested slides are those of the split "test"."""
    loss, shape = criteria.cross_entropy, (FORM.height, FORM.width, FORM.channels)
    encoder = models.conv4(shape, None, num_filters=48, norm="layer")
    data_dir = os.environ.get("JAXMETA_DATA", RESULTS.parents[2] / "shared" / "data")
    sources = [datasets.load(name, data_dir=data_dir, form=FORM) for name in ("caltech101", "ucmerced")]
    learner = jaxmeta.protonet(encoder, loss, num_ways=10)
    source = tasks.mixture([tasks.few_shot(each, num_ways=10, num_shots=5, num_queries=5) for each in sources])
    learned = meta_train(learner, tasks.augmented(source, tasks.flip), steps=3_000, num_tasks=1)
    cells, rows = datasets.load("bccd_cells", data_dir=data_dir, form=FORM, split="test"), []
    tester = jaxmeta.protonet(encoder, loss, num_ways=3)
    for shots in (5, 10):
        episodes = draw(tasks.few_shot(cells, num_ways=3, num_shots=shots, num_queries=15))
        learners = {
            "logistic regression": (baselines.logistic_regression(loss, num_ways=3), {}),
            "nearest centroid": (baselines.nearest_centroid(loss, num_ways=3), {}),
            "ProtoNet, untrained": (tester, tester.init(jax.random.key(4))),
            "ProtoNet": (tester, learned),
        }
        found = {name: scores(each, loss, params, episodes, "accuracy") for name, (each, params) in learners.items()}
        rows += compare("blood cells", shots, "accuracy", found, "logistic regression")
    return rows


def page(rows: list[dict], seconds: float) -> str:
    lines = [
        "# Diagnosis from a handful of patients",
        "",
        f"`python experiments/diagnosis.py`, {seconds:.0f} s on 2 cores. Mean and 95% interval over {NUM_TASKS} tasks;"
        " the gain over the linear model is paired. Accuracy: higher is better; variance left unexplained: lower is.",
        "",
        "| task | examples | method | mean | gain over the linear model |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        kind = "" if row["task"] == "diabetes" else " a class"
        gain = f"{row['gain']:+.3f} [{row['gain_low']:+.3f}, {row['gain_high']:+.3f}]" if "gain" in row else ""
        interval = f"{row['mean']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
        lines.append(f"| {row['task']}, {row['unit']} | {row['shots']}{kind} | {row['method']} | {interval} | {gain} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    RESULTS.mkdir(exist_ok=True)
    start = time.perf_counter()
    rows = breast_cancer() + diabetes() + blood_cells()
    seconds = round(time.perf_counter() - start, 1)
    versions = {"python": platform.python_version(), "jax": jax.__version__, "numpy": np.__version__}
    content = {"seconds": seconds, "versions": versions, "num_tasks": NUM_TASKS, "rows": rows}
    (RESULTS / "diagnosis.json").write_text(json.dumps(content, indent=1) + "\n")
    (RESULTS / "diagnosis.md").write_text(page(rows, seconds))
    print(f"{seconds} s")


if __name__ == "__main__":
    main()
