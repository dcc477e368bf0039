"""Functions of Gaussian processes: in-context learners beside gradient-based ones, and the best possible answer.

Paper:     Nguyen and Grover, Transformer Neural Processes, 2022, section 5.1; Garnelo et al., 2018; Kim et al., 2019;
           Patacchiola et al., 2020.
Command:   python experiments/processes.py --seconds 900
Hardware:  1 core of an AMD EPYC a method, TNP 2 cores; beside other work, so no speed is told.
Time:      --seconds for each of five methods, a third of it for each of four on sinusoids; --methods and --waves make
           a part, in processes of their own if you like: a row that is there is kept. Two devices share out the tasks
           of a step where there are two (JAX_NUM_CPU_DEVICES=2).
Expected:  on RBF TNP ahead of ANP ahead of CNP, the best within 0.3 nats a point of the exact posterior. The paper
           trains for 100,000 steps of 16 tasks (its table 1); ours are trained for as many as `steps` says.
Measured:  results/processes.json, results/processes.md. The order is as expected, DKT stands between ANP and TNP, and
           TNP is 0.24 behind the exact posterior on RBF and on Matern 5/2 after 34,103 steps; 0.35 behind after 19,712
           on one core, and 0.45 after 12,230 at a rate of 1e-3. Of the periodic kernel, which none was trained on, all
           are far behind, and those most that are surest. On sinusoids after 10 points TNP has 0.003, MAML 0.067, DKT
           0.12 and Meta-SGD, which takes one step, 0.22. DKT took 745,326 steps there, more than are made now, and all
           but TNP were trained on RBF with 3 to 47 queries a task, padded to 47.

All are trained on RBF kernels alone and tested on the same tasks of RBF, Matern 5/2 and periodic kernels: transfer with
a known optimum, which is the row of the exact posterior. DKT and MAML meet the same training tasks.
"""

import json
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pages

import jaxmeta
from jaxmeta import baselines, criteria, evaluation, meshes, models, provenance, runs, tables, tasks, training
from jaxmeta.statistics import mean_interval
from jaxmeta.types import Criterion, Episode, Model

NUM_TASKS, TASKS_PER_STEP, MOST = 1000, 16, 200_000
KERNELS = {"RBF": tasks.rbf, "Matern 5/2": tasks.matern52, "periodic": tasks.periodic}
# As published, but for the number of queries: 14 of each task, as many as there are on average, and so no padding.
TRAINED_ON = tasks.gaussian_process(most_points=60, num_shots=(3, 46), num_queries=(14, 14))
LOSS = criteria.gaussian_likelihood
METRICS = ("log_likelihood", "squared_error")
EXACT = "exact posterior"
METHODS = (EXACT, "CNP", "ANP", "TNP", "DKT", "MAML")


def gaussian(model: Model) -> Model:
    """A network of 2 outputs as a predictor of distributions, for learners that take gradient steps on it."""
    apply = lambda params, inputs, mask=None, context=(): criteria.from_outputs(  # noqa: E731
        model.apply(params, inputs, mask, context)
    )
    return Model(model.init, apply, model.context)


def methods() -> dict[str, jaxmeta.MetaLearner]:
    points, wide = lambda outputs: models.mlp(2, outputs, hidden=(128, 128)), (128, 128, 128)
    own = gaussian(models.mlp(1, 2, hidden=(64, 64)))
    return {
        "CNP": jaxmeta.cnp(points(128), models.mlp(1 + 128, 2, hidden=wide), LOSS),
        "ANP": jaxmeta.anp(
            points(128), models.mlp(1, 128, hidden=(128,)), points(128), models.mlp(1 + 128 + 64, 2, hidden=wide), LOSS
        ),
        "TNP": jaxmeta.tnp(models.point_network(1, 1), LOSS),
        "DKT": jaxmeta.dkt(models.mlp(1, 16, hidden=(64, 64))),
        "MAML": jaxmeta.maml(own, LOSS, optax.sgd(0.01), num_steps=5),
    }


def trained(learner, sample, seconds: float):
    """Meta-params after so many seconds, and after how many steps; a cosine over what they are enough for."""

    def fit(steps: int, report: runs.Report):
        rate, mesh = optax.cosine_decay_schedule(5e-4, steps), meshes.most(TASKS_PER_STEP)
        trainer = jaxmeta.meta_trainer(learner, optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate)),
                                       tasks_per_chunk=meshes.own_tasks(TASKS_PER_STEP, mesh), mesh=mesh)  # fmt: skip
        return runs.fit(trainer, sample, jax.random.key(0), num_tasks=TASKS_PER_STEP, num_steps=steps,
                        report=report, on_divergence=training.skip_divergence, mesh=mesh)  # fmt: skip

    moments: list[tuple[float, int]] = []
    fit(450, lambda event: moments.append((time.perf_counter(), event.step)))
    # The first is the beginning, after which it compiles.
    (first, begun), (last, ended) = moments[1], moments[-1]
    steps = min(MOST, max(200, int(0.95 * seconds / max((last - first) / (ended - begun), 1e-5))))
    return fit(steps, pages.told).meta_params, steps


def scores(learner, meta_params, episodes) -> dict[str, np.ndarray]:
    given = (learner, LOSS, meta_params, episodes, jax.random.key(3))
    found = jaxmeta.evaluate(*given, columns={"single": evaluation.single})["single"]
    return {name: np.asarray(found[name], np.float64) for name in METRICS}


def rounded(values) -> dict[str, float]:
    return {name: round(value, 4) for name, value in mean_interval(np.asarray(values))._asdict().items()}


def draw(sample: tasks.Sample) -> Episode:
    return tasks.drawn(sample, jax.random.key(2), jnp.arange(NUM_TASKS))


def processes(name: str, learner: jaxmeta.MetaLearner, seconds: float) -> list[dict]:
    """The rows of a method, trained on RBF kernels, and tested on all kernels beside the exact posterior."""
    meta_params, steps = trained(learner, TRAINED_ON, seconds) if seconds else ({}, 0)
    rows = []
    for about, kernel in KERNELS.items():
        sample = tasks.gaussian_process(kernel=kernel)
        exact = baselines.exact_gaussian_process(LOSS, kernel=kernel)
        best = scores(exact, {}, draw(tasks.with_kernel(sample)))
        own = best if name == EXACT else scores(learner, meta_params, draw(sample))
        row = {"tasks": about, "steps": steps} | {metric: rounded(own[metric]) for metric in METRICS}
        rows.append(row | {"behind": rounded(best["log_likelihood"] - own["log_likelihood"])})
        print(f"{about}, {name}: {row['log_likelihood']['mean']} nats a point", flush=True)
    return rows


def wave_methods() -> dict[str, tuple[jaxmeta.MetaLearner, Criterion, str]]:
    """{name: (learner, criterion, the squared error's name)}"""
    network, error = models.mlp(1, 1, hidden=(40, 40)), criteria.squared_error
    own = jaxmeta.meta_sgd(network, error, num_steps=1, initial_learning_rate=0.01)
    return {
        "DKT": (jaxmeta.dkt(models.mlp(1, 16, hidden=(64, 64))), LOSS, "squared_error"),
        "TNP": (jaxmeta.tnp(models.point_network(1, 1), LOSS), LOSS, "squared_error"),
        "MAML": (jaxmeta.maml(network, error, optax.sgd(0.01), num_steps=5), error, "loss"),
        "Meta-SGD": (own, error, "loss"),
    }


def waves(name: str, seconds: float) -> list[dict]:
    """Squared error after 5 and 10 points, trained on 10."""
    learner, criterion, metric = wave_methods()[name]
    meta_params, steps = trained(learner, tasks.sinusoid(num_shots=10, num_queries=10), seconds)
    rows = []
    for shots in (5, 10):
        given = (learner, criterion, meta_params, draw(tasks.sinusoid(num_shots=shots, num_queries=50)))
        columns = {"single": evaluation.single}
        found = jaxmeta.evaluate(*given, jax.random.key(3), columns=columns)["single"][metric]
        rows.append({"steps": steps, "shots": shots, **rounded(found)})
        print(f"sinusoids, {shots} points, {name}: {rows[-1]['mean']}", flush=True)
    return rows


def page(content: dict) -> str:
    head = ["functions", "method", "steps", "log-likelihood", "behind the best", "squared error"]
    lines = []
    for index, about in enumerate(KERNELS):
        for name in METHODS:
            if name not in content["processes"]:
                continue
            row = content["processes"][name][index]
            shown = [tables.interval(row[of], "") for of in ("log_likelihood", "behind", "squared_error")]
            lines.append([about, name, f"{row['steps']:,}" if row["steps"] else "-", *shown])
    found = content["sinusoids"].items()
    errors = [
        [row["shots"], name, f"{row['steps']:,}", tables.interval(row, "")] for name, rows in found for row in rows
    ]
    machines = "; ".join(sorted(set(content["machines"].values())))
    return f"""# Functions of Gaussian processes, and sinusoids

Each method was trained for {content["seconds"]:g} s at most, on RBF kernels alone. {NUM_TASKS:,} tasks, each query
alone; log-likelihood in nats a point: higher is better. The paper trains for 100,000 steps of 16 tasks.

{tables.markdown(head, lines)}

Sinusoids, squared error; trained on 10 points, for a third of the time.

{tables.markdown(["points", "method", "steps", "squared error"], sorted(errors, key=lambda line: line[0]))}

`python experiments/processes.py --seconds {content["seconds"]:g}`; {machines}.
"""


def main() -> None:
    parser = pages.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=900.0, help="of training, for each method")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=METHODS, metavar="NAME")
    parser.add_argument(
        "--waves", nargs="*", default=list(wave_methods()), choices=list(wave_methods()), metavar="NAME"
    )
    parser.add_argument("--out", type=pathlib.Path, default=pages.RESULTS, help="where processes.json is")
    options = parser.parse_args()
    path = options.out / "processes.json"
    content = {"seconds": options.seconds, "processes": {}, "sinusoids": {}, "machines": {}}
    if path.exists():
        content = json.loads(path.read_text())
        if content["seconds"] != options.seconds:
            parser.error(f"{path} holds rows of {content['seconds']:g} s; remove it, or give another --out")
    for part, name in [("processes", name) for name in options.methods] + [
        ("sinusoids", name) for name in options.waves
    ]:
        if name in content[part]:
            continue
        print(f"{part}, {name}", flush=True)
        if part == "sinusoids":
            rows = waves(name, options.seconds / 3)
        else:
            rows = processes(name, methods().get(name), 0 if name == EXACT else options.seconds)
        if path.exists():  # another process may have made a row meanwhile
            content = json.loads(path.read_text())
        content[part][name] = rows
        content["machines"][f"{part}, {name}"] = provenance.line(provenance.record())
        pages.write(path, content, page)


if __name__ == "__main__":
    main()
