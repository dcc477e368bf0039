"""Meta-SGD beside MAML on the 5-shot sinusoid, one step: do learned rates help?

Paper:     Li et al., Meta-SGD: Learning to Learn Quickly for Few-Shot Learning, 2017, Table 1, K = 5, one step: mean
           squared error MAML 1.13 +- 0.18, Meta-SGD 0.90 +- 0.16.
Command:   python experiments/meta_sgd.py
Hardware:  2 cores of an AMD EPYC, no accelerator.
Time:      see `seconds` in results/meta_sgd.json.
Expected:  Meta-SGD ahead of MAML on the same waves, paired interval apart from 0. The errors themselves need not be the
           paper's, since not all settings are known to be.
Measured:  results/meta_sgd.json and results/meta_sgd.md; made before the training was `runs.fit`, whose
           random keys are others.

Read in the reference code of MAML (Finn et al., 2017): waves of amplitude 0.1 to 5 and phase 0 to pi, x in [-5, 5];
40-40 ReLU; 1 step in training. Read in no source, and so this experiment's own: a frequency of 0.8 to 1.2; 60,000
iterations of 4 tasks (there 70,000 of 25), Adam 1e-3; MAML's rate 0.01, Meta-SGD's rates that start from 0.05. Tested
on 600 waves, 100 points each.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pages

import jaxmeta
from jaxmeta import criteria, models, provenance, runs, tables, tasks
from jaxmeta.statistics import mean_interval
from jaxmeta.types import Batch, Episode

STEPS, TASKS, SHOTS, NUM_WAVES = 60_000, 4, 5, 600
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


def train(name: str) -> dict:
    trainer, key = jaxmeta.meta_trainer(LEARNERS[name], optax.adam(1e-3)), jax.random.key(0)
    options = {"num_tasks": TASKS, "num_steps": STEPS, "label": name, "report": pages.told}
    return runs.fit(trainer, waves(SHOTS), key, **options).meta_params


def page(content: dict) -> str:
    """The table, of the content of meta_sgd.json."""
    rows = []
    for name, row in content["rows"].items():
        here = tables.interval({"mean": row["mse"], "low": row["low"], "high": row["high"]}, "loss")
        rows.append([name, "{:.2f} +- {:.2f}".format(*row["published"]), here, row["seconds"]])
    gain = tables.difference(dict(zip(("mean", "low", "high"), content["maml_minus_meta_sgd"], strict=True)), "loss")
    return f"""{tables.markdown(["learner", "published", "here", "training, s"], rows)}

Mean squared error after one step on {SHOTS} points, {NUM_WAVES} waves; {content["steps"]:,} iterations.
MAML's error less Meta-SGD's on the same waves: {gain}. {provenance.line(content)}.
"""


def main() -> None:
    pages.parser(__doc__).parse_args()
    held_out = tasks.drawn(waves(100), jax.random.key(2), jnp.arange(NUM_WAVES))
    rows, errors = {}, {}
    for name, learner in LEARNERS.items():
        start = time.perf_counter()
        meta_params = train(name)
        seconds = round(time.perf_counter() - start, 1)
        scores = jaxmeta.evaluate(learner, criteria.squared_error, meta_params, held_out, jax.random.key(3))
        errors[name] = np.asarray(scores["single"]["loss"])
        mean, low, high = (round(value, 3) for value in mean_interval(errors[name]))
        rows[name] = {"mse": mean, "low": low, "high": high, "published": PUBLISHED[name], "seconds": seconds}
    gain = [round(value, 3) for value in mean_interval(errors["MAML"] - errors["Meta-SGD"])]
    content = provenance.record() | {"steps": STEPS, "rows": rows, "maml_minus_meta_sgd": gain}
    pages.write(pages.RESULTS / "meta_sgd", content, page)
    print(page(content))


if __name__ == "__main__":
    main()
