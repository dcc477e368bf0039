"""MAML on the sinusoid, 10-shot: how fast a meta-learned initialisation fits a new wave.

Paper:     Finn et al., Model-Agnostic Meta-Learning, 2017, section 5.1 and figures 2 and 3 (curves, no table).
Command:   python experiments/sinusoid.py
Hardware:  2 cores of an AMD EPYC (AVX2), no accelerator.
Time:      see `seconds` in results/sinusoid.json.
Expected:  after 1 and after 10 steps a mean squared error at least 5 times lower than from a random initialisation.
Measured:  results/sinusoid.json, results/sinusoid.png; made before the training was `runs.fit`, whose
           random keys are others.

The paper's settings: 40-40 ReLU, 10 shots, 1 inner step of gradient descent at 0.01, 25 tasks a step, Adam 1e-3;
20,000 steps instead of 70,000.
"""

import json
import time

import jax
import jax.numpy as jnp
import matplotlib
import optax
import pages

import jaxmeta
from jaxmeta import criteria, models, provenance, runs, tables, tasks
from jaxmeta.statistics import mean_interval
from jaxmeta.types import Batch, Episode

matplotlib.use("agg")
import matplotlib.pyplot as plt

STEPS, TASKS = 20_000, 25
MODEL = models.mlp(1, 1, hidden=(40, 40))


def maml(num_steps: int) -> jaxmeta.MetaLearner:
    return jaxmeta.maml(MODEL, criteria.squared_error, optax.sgd(0.01), num_steps=num_steps)


def train() -> dict:
    trainer, sample = jaxmeta.meta_trainer(maml(1), optax.adam(1e-3)), tasks.sinusoid(num_shots=10, num_queries=10)
    fitted = runs.fit(trainer, sample, jax.random.key(0), num_tasks=TASKS, num_steps=STEPS, report=pages.told)
    return fitted.meta_params


def measure(meta_params: dict, random_params: dict) -> list[dict]:
    """Mean squared error on 600 held-out tasks, 100 queries each."""
    held_out = tasks.drawn(tasks.sinusoid(num_shots=10, num_queries=100), jax.random.key(2), jnp.arange(600))
    rows = []
    for num_steps in (0, 1, 10):
        for name, params in (("random initialisation", random_params), ("MAML", meta_params)):
            scores = jaxmeta.evaluate(maml(num_steps), criteria.squared_error, params, held_out, jax.random.key(3))
            error = mean_interval(scores["single"]["loss"])._asdict()
            mean, low, high = (round(float(value), 4) for value in error.values())
            rows.append({"initialisation": name, "steps": num_steps, "mse": mean, "low": low, "high": high})
            print(f"{name:<22} {num_steps:>2} steps: {tables.interval(error, 'loss')}")
    return rows


def figure(meta_params: dict, random_params: dict) -> None:
    """Before and after, for one held-out wave."""
    grid = jnp.linspace(-5, 5, 200)[:, None]
    amplitude, phase = 3.5, 1.0
    inputs = jax.random.uniform(jax.random.key(5), (10, 1), minval=-5, maxval=5)
    support = Batch(inputs, amplitude * jnp.sin(inputs - phase))
    episode = Episode(support, Batch(grid, amplitude * jnp.sin(grid - phase)))
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), sharey=True, layout="constrained")
    panels = {"MAML initialisation": meta_params, "random initialisation": random_params}
    for axis, (title, params) in zip(axes, panels.items(), strict=True):
        axis.plot(grid, episode.query.targets, color="black", label="truth")
        for num_steps, style in ((0, ":"), (1, "--"), (10, "-")):
            learner = maml(num_steps)
            adapted = learner.adapt(params, episode.support, jax.random.key(0))
            label = "before adaptation" if not num_steps else f"after {num_steps} step{'s' if num_steps > 1 else ''}"
            axis.plot(grid, learner.predict(params, adapted, grid), style, label=label)
        axis.plot(inputs, support.targets, "k^", label="10 support examples")
        axis.set(title=title, xlabel="x")
    axes[0].set_ylabel("y")
    figure.legend(*axes[0].get_legend_handles_labels(), fontsize=8, loc="outside lower center", ncols=5)
    figure.savefig(pages.RESULTS / "sinusoid.png", dpi=110)


def main() -> None:
    pages.parser(__doc__).parse_args()
    pages.RESULTS.mkdir(exist_ok=True)
    start = time.perf_counter()
    meta_params, random_params = train(), MODEL.init(jax.random.key(4))
    seconds = round(time.perf_counter() - start, 1)
    rows = measure(meta_params, random_params)
    by_name = {(row["initialisation"], row["steps"]): row["mse"] for row in rows}
    ratios = {
        str(steps): round(by_name["random initialisation", steps] / by_name["MAML", steps], 2) for steps in (1, 10)
    }
    content = provenance.record() | {"seconds": seconds, "rows": rows, "times_lower_after_steps": ratios}
    (pages.RESULTS / "sinusoid.json").write_text(json.dumps(content, indent=1) + "\n")
    figure(meta_params, random_params)
    print(f"trained in {seconds} s; times lower: {ratios}")


if __name__ == "__main__":
    main()
