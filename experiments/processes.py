"""Functions of Gaussian processes: in-context learners beside gradient-based ones, and the best possible answer.

Paper:     Nguyen and Grover, Transformer Neural Processes, 2022, section 5.1; Garnelo et al., 2018; Kim et al., 2019;
           Patacchiola et al., 2020.
Command:   python experiments/processes.py --seconds 900
Hardware:  2 cores of an AMD EPYC, shared with other work: no speed is told.
Time:      --seconds for each of five methods, and twice as many on sinusoids.
Expected:  on RBF TNP ahead of ANP ahead of CNP, the best within 0.3 nats a point of the exact posterior. The paper
           trains for 100,000 steps of 16 tasks (its table 1); ours are trained for as many as `steps` says.
Measured:  results/processes.json, results/processes.md.

All are trained on RBF kernels alone and tested on the same tasks of RBF, Matern 5/2 and periodic kernels: transfer with
a known optimum, which is the row of the exact posterior. DKT and MAML meet the same training tasks.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pages

import jaxmeta
from jaxmeta import baselines, criteria, evaluation, models, provenance, runs, tables, tasks
from jaxmeta.statistics import mean_interval
from jaxmeta.types import Model

NUM_TASKS, TASKS_PER_STEP = 1000, 16
KERNELS = {"RBF": tasks.rbf, "Matern 5/2": tasks.matern52, "periodic": tasks.periodic}
LOSS = criteria.gaussian_likelihood
METRICS = ("log_likelihood", "squared_error")


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

    def fit(steps: int):
        rate = optax.cosine_decay_schedule(5e-4, steps)
        trainer = jaxmeta.meta_trainer(learner, optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate)),
                                       tasks_per_chunk=TASKS_PER_STEP)  # fmt: skip
        return runs.fit(trainer, sample, jax.random.key(0), num_tasks=TASKS_PER_STEP, num_steps=steps,
                        report=pages.told).meta_params  # fmt: skip

    fit(100)
    start = time.perf_counter()
    fit(200)
    # Both compile: what a step takes is at most this.
    steps = max(200, int(seconds / ((time.perf_counter() - start) / 200)))
    return fit(steps), steps


def scores(learner, meta_params, episodes) -> dict[str, np.ndarray]:
    given = (learner, LOSS, meta_params, episodes, jax.random.key(3))
    found = jaxmeta.evaluate(*given, columns={"single": evaluation.single})["single"]
    return {name: np.asarray(found[name], np.float64) for name in METRICS}


def rounded(values) -> dict[str, float]:
    return {name: round(value, 4) for name, value in mean_interval(np.asarray(values))._asdict().items()}


def processes(seconds: float) -> list[dict]:
    rows, learned = [], {}
    for name, learner in methods().items():
        learned[name] = (learner, *trained(learner, tasks.gaussian_process(), seconds))
    for about, kernel in KERNELS.items():
        sample = tasks.gaussian_process(kernel=kernel)
        draw = lambda sample: tasks.drawn(sample, jax.random.key(2), jnp.arange(NUM_TASKS))  # noqa: E731
        oracle = baselines.exact_gaussian_process(LOSS, kernel=kernel)
        best = scores(oracle, {}, draw(tasks.with_kernel(sample)))
        found = {"exact posterior": (best, 0)}
        for name, (learner, meta_params, steps) in learned.items():
            found[name] = (scores(learner, meta_params, draw(sample)), steps)
        for name, (own, steps) in found.items():
            row = {"tasks": about, "method": name, "steps": steps}
            row |= {metric: rounded(own[metric]) for metric in METRICS}
            row["behind"] = rounded(best["log_likelihood"] - own["log_likelihood"])
            rows.append(row)
            print(f"{about}, {name}: {row['log_likelihood']['mean']} nats a point", flush=True)
    return rows


def sinusoids(seconds: float) -> list[dict]:
    """Squared error after 5 and 10 points, trained on 10."""
    network = lambda: models.mlp(1, 1, hidden=(40, 40))  # noqa: E731
    error = criteria.squared_error
    made = {
        "DKT": (jaxmeta.dkt(models.mlp(1, 16, hidden=(64, 64))), LOSS, "squared_error"),
        "TNP": (jaxmeta.tnp(models.point_network(1, 1), LOSS), LOSS, "squared_error"),
        "MAML": (jaxmeta.maml(network(), error, optax.sgd(0.01), num_steps=5), error, "loss"),
        "Meta-SGD": (
            jaxmeta.meta_sgd(network(), error, num_steps=1, initial_learning_rate=0.01), error, "loss",
        ),
    }  # fmt: skip
    rows = []
    for name, (learner, criterion, metric) in made.items():
        meta_params, steps = trained(learner, tasks.sinusoid(num_shots=10, num_queries=10), seconds)
        for shots in (5, 10):
            sample = tasks.sinusoid(num_shots=shots, num_queries=50)
            episodes = tasks.drawn(sample, jax.random.key(2), jnp.arange(NUM_TASKS))
            given = (learner, criterion, meta_params, episodes, jax.random.key(3))
            found = jaxmeta.evaluate(*given, columns={"single": evaluation.single})["single"][metric]
            rows.append({"method": name, "steps": steps, "shots": shots, **rounded(found)})
            print(f"sinusoids, {shots} points, {name}: {rows[-1]['mean']}", flush=True)
    return rows


def page(content: dict) -> str:
    head = ["functions", "method", "steps", "log-likelihood", "behind the best", "squared error"]
    lines = [
        [
            row["tasks"], row["method"], row["steps"] or "-", tables.interval(row["log_likelihood"], ""),
            tables.interval(row["behind"], ""), tables.interval(row["squared_error"], ""),
        ]
        for row in content["processes"]
    ]  # fmt: skip
    waves = [[row["shots"], row["method"], row["steps"], tables.interval(row, "")] for row in content["sinusoids"]]
    return f"""# Functions of Gaussian processes, and sinusoids

`python experiments/processes.py --seconds {content["seconds"]:g}`: each method trained for at most so long, on RBF
kernels alone. {content["num_tasks"]} tasks, each query alone; log-likelihood in nats a point: higher is better.
The paper trains for 100,000 steps.

{tables.markdown(head, lines)}

Sinusoids, squared error; trained on 10 points.

{tables.markdown(["points", "method", "steps", "squared error"], waves)}

{provenance.line(content)}.
"""


def main() -> None:
    parser = pages.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=900.0, help="of training, for each method")
    seconds = parser.parse_args().seconds
    told = {"seconds": seconds, "num_tasks": NUM_TASKS}
    told |= {"processes": processes(seconds), "sinusoids": sinusoids(seconds)}
    pages.write(pages.RESULTS / "processes", provenance.record() | told, page)


if __name__ == "__main__":
    main()
