"""Meta-SGD beside MAML on the 5-shot sinusoid, one step: do learned rates help?

Paper:     Li et al., Meta-SGD: Learning to Learn Quickly for Few-Shot Learning, 2017, section 4.1 and Table 1, K = 5:
           mean squared error MAML 1.13 +- 0.18, Meta-SGD 0.90 +- 0.16.
Command:   python experiments/meta_sgd.py
Hardware:  2 cores of an AMD EPYC, no accelerator.
Time:      see `seconds` in results/meta_sgd.json.
Expected:  Meta-SGD ahead of MAML on the same tasks, paired interval apart from 0; both near the paper's.
Measured:  results/meta_sgd.json and results/meta_sgd.md.

The paper's settings as remembered, not checked against its text: waves of amplitude 0.1 to 5, frequency 0.8 to 1.2 and
phase 0 to pi, x in [-5, 5]; 40-40 ReLU; 60,000 iterations of 4 tasks, Adam 1e-3; 1 step in training and in test; MAML's
rate 0.01, Meta-SGD's rates start from random values in [0.005, 0.1] there and from 0.05 here. Tested on 600 waves, 100
points each.
"""

import json
import pathlib
import platform
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxmeta
from jaxmeta import criteria, models, tasks, training
from jaxmeta.statistics import mean_interval
from jaxmeta.types import Batch, Episode

STEPS, TASKS, PER_CALL, SHOTS = 60_000, 4, 1_000, 5
RESULTS = pathlib.Path(__file__).parent / "results"
MODEL = models.mlp(1, 1, hidden=(40, 40))
LEARNERS = {
    "MAML": jaxmeta.maml(MODEL, criteria.squared_error, optax.sgd(0.01), num_steps=1),
    "Meta-SGD": jaxmeta.meta_sgd(MODEL, criteria.squared_error, num_steps=1, initial_learning_rate=0.05),
}
PUBLISHED = {"MAML": (1.13, 0.18), "Meta-SGD": (0.90, 0.16)}


def waves(num_queries: int) -> tasks.Sample:
    def sample(key: jax.Array) -> Episode:
        wave_key, input_key = jax.random.split(key)
        amplitude, frequency, phase = jax.random.uniform(
            wave_key, (3,), minval=jnp.array([0.1, 0.8, 0.0]), maxval=jnp.array([5.0, 1.2, jnp.pi])
        )
        inputs = jax.random.uniform(input_key, (SHOTS + num_queries, 1), minval=-5.0, maxval=5.0)
        batch = Batch(inputs, amplitude * jnp.sin(frequency * inputs + phase))
        return Episode(*(jax.tree.map(lambda x, p=part: x[p], batch) for part in (slice(SHOTS), slice(SHOTS, None))))

    return sample


def train(learner: jaxmeta.MetaLearner) -> dict:
    trainer = jaxmeta.meta_trainer(learner, optax.adam(1e-3))
    run = jax.jit(training.many_updates(trainer, waves(SHOTS), num_tasks=TASKS, num_updates=PER_CALL), donate_argnums=0)
    state = trainer.init(jax.random.key(0))
    for call in range(STEPS // PER_CALL):
        state, metrics = run(state, jax.random.key(1))
        if call % 10 == 9:
            print(f"  step {int(state.step):>6}: loss {metrics['loss'].mean():.3f}", flush=True)
    return state.meta_params


def main() -> None:
    RESULTS.mkdir(exist_ok=True)
    held_out = jax.jit(lambda: tasks.episodes(waves(100), jax.random.key(2), jnp.arange(600)))()
    rows, errors = {}, {}
    for name, learner in LEARNERS.items():
        print(name, flush=True)
        start = time.perf_counter()
        meta_params = train(learner)
        seconds = round(time.perf_counter() - start, 1)
        scores = jaxmeta.evaluate(learner, criteria.squared_error, meta_params, held_out, jax.random.key(3))
        errors[name] = np.asarray(scores["single"]["loss"])
        mean, low, high = (round(value, 3) for value in mean_interval(errors[name]))
        rows[name] = {"mse": mean, "low": low, "high": high, "published": PUBLISHED[name], "seconds": seconds}
    gain = [round(value, 3) for value in mean_interval(errors["MAML"] - errors["Meta-SGD"])]
    versions = {"jaxmeta": jaxmeta.__version__, "jax": jax.__version__, "python": platform.python_version()}
    device = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    content = {"steps": STEPS, "device": device, "versions": versions, "rows": rows, "maml_minus_meta_sgd": gain}
    (RESULTS / "meta_sgd.json").write_text(json.dumps(content, indent=1) + "\n")
    lines = ["| learner | published | here | training, s |", "|---|---|---|---|"]
    for name, row in rows.items():
        published = "{} +- {}".format(*row["published"])
        lines.append(f"| {name} | {published} | {row['mse']} [{row['low']}, {row['high']}] | {row['seconds']} |")
    lines += [
        "",
        f"Mean squared error after one step on 5 points, 600 waves; {STEPS:,} iterations. On the same waves MAML's "
        f"error is {gain[0]} [{gain[1]}, {gain[2]}] above Meta-SGD's.",
        "",
    ]
    (RESULTS / "meta_sgd.md").write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
