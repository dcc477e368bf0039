"""What a training's program weighs, and how long it takes until its first update, with the data as an argument.

Claim:     over Omniglot the text of a compiled `many_updates` is under 1 MB; what a start gains is told beside it.
Command:   python benchmarks/run.py program

MAML with Conv-4, 5-way 1-shot, 32 tasks a step, over 1,200 characters of 20 pictures in four rotations (75 MB). A
sampler of the library is an argument of the program; the same one inside a function of one's own is a part of it. Fresh
processes: traced, lowered, compiled, and one update made; once without the persistent compilation cache's help, then
with what it holds, in turns; median and range.
"""

import json
import os
import subprocess
import sys
import tempfile

import turns

from jaxmeta import tables

TURNS = 5
WAYS = {"an argument": "sample", "a part of the program": "lambda key: sample(key)"}
PROGRAM = """
import json, sys, time
import jax, numpy as np, optax
from jaxmeta import criteria, datasets, maml, meta_trainer, models, tasks, training
pictures = np.random.default_rng(0).integers(0, 256, (4 * 1200 * 20, 28, 28, 1), np.uint8)
examples = datasets.from_labels(pictures, np.repeat(np.arange(4 * 1200), 20), name="noise")
sample = tasks.few_shot(examples, num_ways=5, num_shots=1, num_queries=1)
learner = maml(models.conv4((28, 28, 1), 5), criteria.cross_entropy, optax.sgd(0.4), num_steps=1)
trainer, key = meta_trainer(learner, optax.adam(1e-3)), jax.random.key(0)
state, given = trainer.init(key), tasks.as_pytree(eval(sys.argv[1]))
start = time.perf_counter()
lowered = jax.jit(training.many_updates(trainer, num_tasks=32, num_updates=50)).lower(state, given, key, 1)
jax.block_until_ready(lowered.compile()(state, given, key, 1))
print(json.dumps([time.perf_counter() - start, len(lowered.as_text())]))
"""


def answer(way: str, cache: str) -> tuple[float, int]:
    """Seconds, and characters of the program's text."""
    kept = {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    command = [sys.executable, "-c", PROGRAM, WAYS[way]]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **kept})
    return tuple(json.loads(ended.stdout))


def main() -> dict:
    with tempfile.TemporaryDirectory() as cache:
        found = [{way: answer(way, cache) for way in WAYS} for _ in range(1 + TURNS)]
    rows = {}
    for way in WAYS:
        (first, size), *later = (each[way] for each in found)
        filled = turns.spread([seconds for seconds, _ in later], 1)
        rows[way] = {"text_kilobytes": size // 1000, "first_seconds": round(first, 1), "seconds": filled}
    return {"rows": rows}


def table(column: dict) -> str:
    cells = []
    for way, row in column["rows"].items():
        timed = (row["first_seconds"], turns.shown(row["seconds"])) if "seconds" in row else ("not measured",) * 2
        cells.append((way, f"{row['text_kilobytes']:,}", *timed))
    head = ("the data are", "text of the program, kB", "until the first update, s", "with the cache filled, s")
    return tables.markdown(head, cells)
