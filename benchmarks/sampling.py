"""Sampling is a small share of a training step.

Claim:     drawing the episodes of a step takes at most 3% of it.
Command:   python benchmarks/run.py sampling

8 tasks, 5-way 1-shot with 15 queries a class, from 1,200 classes of 20 pictures 28x28 on the device; MAML with Conv-4.
"""

import statistics

import jax
import jax.numpy as jnp
import numpy as np
import optax
import turns

from jaxmeta import criteria, datasets, maml, meta_trainer, models, tables, tasks

TURNS = 21


def main() -> dict:
    pictures = np.random.default_rng(0).integers(0, 256, (1200 * 20, 28, 28, 1), np.uint8)
    examples = datasets.from_labels(pictures, np.repeat(np.arange(1200), 20), name="noise")
    sample = tasks.few_shot(examples, num_ways=5, num_shots=1, num_queries=15)
    key = jax.random.key(0)
    asked = sample, key, jnp.arange(8)
    draw = jax.jit(tasks.episodes).lower(*asked).compile()
    episodes, steps = draw(*asked), {"sampling": lambda: jax.block_until_ready(draw(*asked))}
    for num_steps in (1, 5):
        learner = maml(models.conv4((28, 28, 1), 5), criteria.cross_entropy, optax.sgd(0.4), num_steps=num_steps)
        trainer = meta_trainer(learner, optax.adam(1e-3))
        given = trainer.init(key), episodes, key
        update = jax.jit(trainer.update).lower(*given).compile()
        steps[f"meta-step, {num_steps} inner"] = lambda update=update, given=given: jax.block_until_ready(
            update(*given)
        )
    seconds = turns.in_turns(steps, TURNS)
    rows = []
    for name in list(steps)[1:]:
        shares = [100 * a / (a + b) for a, b in zip(seconds["sampling"], seconds[name], strict=True)]
        share = turns.spread(shares)
        rows.append({"step": name, "seconds": round(statistics.median(seconds[name]), 4), "percent": share})
    sampling = round(statistics.median(seconds["sampling"]), 5)
    return {"sampling_seconds": sampling, "rows": rows}


def table(column: dict) -> str:
    header = ("step", "a step, s", "sampling, s", "sampling's share, %")
    cells = [
        (row["step"], row["seconds"], column["sampling_seconds"], turns.shown(row["percent"])) for row in column["rows"]
    ]
    return tables.markdown(header, cells)
