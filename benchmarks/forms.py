"""A meta-step in each form of convolutions, with tasks side by side and in turn.

Claim:     the way that `forms.choice` takes unasked is the fastest of a whole step, or near it.
Command:   python benchmarks/run.py forms

Conv-4 with 64 filters, stride 2 and norm "batch", 28 x 28 pictures; 8 tasks with 15 queries a class, exact second order
in mixed mode. The rows of 320 pictures have those at which forward mode over a strided convolution's gradient is
reported not to compile on CUDA (jax#40237). Ways that compile take turns and must agree; the others are told.
"""

import functools
import statistics
import sys
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import turns

from jaxmeta import criteria, maml, meta_trainer, models, protonet, tables, tasks
from jaxmeta.models import forms

jax.config.update("jax_default_matmul_precision", "highest")  # float32 on a GPU as well; nothing changes on CPU

TURNS, TOLERANCE, FILTERS = 9, 2e-3, 64
CASES = {  # name: (inner steps or None for a prototypical network, shots, queries, tasks)
    "maml 5w-1s-1step": (1, 1, 15, 8),
    "maml 5w-1s-5step": (5, 1, 15, 8),
    "maml 5w-5s-5step": (5, 5, 15, 8),
    "maml 5w-1s-1step, 320 pictures": (1, 1, 16, 4),
    "protonet 5w-1s": (None, 1, 15, 8),
}
if turns.IS_SMALL:
    CASES, FILTERS = {"maml 5w-1s-1step": (1, 1, 1, 2), "protonet 5w-1s": (None, 1, 1, 2)}, 2


def program_of(way: forms.Choice, case: tuple, key: jax.Array) -> tuple[Any, tuple]:
    """A compiled update and what it is given."""
    num_steps, num_shots, num_queries, num_tasks = case
    sample = tasks.strokes(num_ways=5, num_shots=num_shots, num_queries=num_queries)
    episodes = tasks.drawn(sample, key, jnp.arange(num_tasks))
    outputs = None if num_steps is None else 5
    model = models.conv4((28, 28, 1), outputs, num_filters=FILTERS, convolution=way.form)
    if num_steps is None:
        learner = protonet(model, criteria.cross_entropy, num_ways=5)
    else:
        learner = maml(model, criteria.cross_entropy, optax.sgd(0.05), num_steps=num_steps)
    trainer = meta_trainer(learner, optax.adam(1e-3), tasks_per_chunk=1 if way.in_turn else num_tasks)
    given = trainer.init(key), episodes, key
    return jax.jit(trainer.update).lower(*given).compile(), given


def measure(name: str, chosen: forms.Choice) -> list[dict]:
    rows, programs, losses = [], {}, {}
    for way in forms.WAYS:
        row: dict[str, Any] = {"case": name, "way": str(way), "chosen": way == chosen}
        try:
            program, given = program_of(way, CASES[name], jax.random.key(0))
            losses[str(way)] = float(program(*given)[1]["loss"])
        except jax.errors.JaxRuntimeError as error:
            row["failed"] = str(error).splitlines()[0]
        else:
            row["temporary_megabytes"] = round(program.memory_analysis().temp_size_in_bytes / 1e6, 1)
            run = functools.partial(lambda program, given: jax.block_until_ready(program(*given)), program, given)
            programs[str(way)] = run
        print(row, file=sys.stderr, flush=True)
        rows.append(row)
    if losses:
        np.testing.assert_allclose(list(losses.values()), next(iter(losses.values())), rtol=TOLERANCE)
    seconds = turns.in_turns(programs, TURNS)
    fastest = min(seconds, key=lambda way: statistics.median(seconds[way]), default=None)
    for row in rows:
        if own := seconds.get(row["way"]):
            ratios = [a / b for a, b in zip(own, seconds[fastest], strict=True)]
            row |= {"seconds": round(statistics.median(own), 5), "times_fastest": turns.spread(ratios)}
    return rows


def main() -> dict:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        chosen = forms.choice()
    found = {"chosen": str(chosen), "told": [str(each.message) for each in told]}
    return found | {"rows": [row for name in CASES if not turns.is_over() for row in measure(name, chosen)]}


def table(column: dict) -> str:
    header = ("case", "form", "a step, s", "times the fastest", "temporary memory, MB")
    cells = []
    for row in column["rows"]:
        if "failed" in row:
            numbers = (f"does not compile: {row['failed'][:80]}", "-", "-")
        else:
            numbers = (row["seconds"], turns.shown(row["times_fastest"]), row["temporary_megabytes"])
        cells.append((row["case"], f"{row['way']} (chosen)" if row["chosen"] else row["way"], *numbers))
    return "\n\n".join([tables.markdown(header, cells), *column["told"]])
