"""What compiling a step costs, and what the persistent compilation cache leaves of it.

Claim:     a second start compiles a fraction of what the first did; of what is left, most is Python's tracing.
Command:   python benchmarks/run.py compilation

A step of MAML with Conv-4, 5-way 1-shot, traced, lowered and compiled in fresh processes: median and range, without
and with the cache that an earlier process left behind, and without it by XLA's older way of writing out fusions, which
jax 0.11.2 and later do not have.
"""

import json
import os
import subprocess
import sys
import tempfile

import turns

from jaxmeta import tables

COMPILATION = """
import sys, time
import jax, jax.numpy as jnp, optax
from jaxmeta import criteria, maml, meta_trainer, models, tasks
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
key = jax.random.key(0)
sample = tasks.strokes(num_ways=5, num_shots=1, num_queries=15)
episodes = tasks.drawn(sample, key, jnp.arange(8))
learner = maml(models.conv4((28, 28, 1), 5), criteria.cross_entropy, optax.sgd(0.4), num_steps=int(sys.argv[2]))
trainer = meta_trainer(learner, optax.adam(1e-3))
state = trainer.init(key)
times = [time.perf_counter()]
traced = jax.jit(trainer.update).trace(state, episodes, key)
times.append(time.perf_counter())
lowered = traced.lower()
times.append(time.perf_counter())
lowered.compile()
times.append(time.perf_counter())
print([later - earlier for earlier, later in zip(times, times[1:])])
"""
PARTS = ("tracing", "lowering", "XLA")
OLDER = "--xla_cpu_use_fusion_emitters=false"


def answer(cache: str, num_steps: int, flags: str = "") -> list[float] | None:
    """Seconds of each of PARTS; None where XLA does not know the flags."""
    command = [sys.executable, "-c", COMPILATION, cache, str(num_steps)]
    environment = {**os.environ, "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode and not flags:
        raise RuntimeError(f"a step of {num_steps} inner steps was not compiled")
    return None if done.returncode else json.loads(done.stdout)


def main() -> dict:
    seconds = {}
    again = range(1 if turns.IS_SMALL else 3)
    for num_steps in (1, 5):
        name = f"{num_steps} inner step{'s' if num_steps > 1 else ''}"
        seconds[f"{name}, no cache"] = [fresh(num_steps) for _ in again]
        seconds[f"{name}, no cache, XLA's older fusions"] = [fresh(num_steps, OLDER) for _ in again]
        with tempfile.TemporaryDirectory() as cache:
            answer(cache, num_steps)
            seconds[f"{name}, from the cache"] = [answer(cache, num_steps) for _ in again]
    known = {name: each for name, each in seconds.items() if None not in each}
    parts = lambda each: [turns.spread(part, 3) for part in (*zip(*each, strict=True), [*map(sum, each)])]  # noqa: E731
    return {"rows": {name: parts(each) for name, each in known.items()}}


def fresh(num_steps: int, flags: str = "") -> list[float] | None:
    with tempfile.TemporaryDirectory() as cache:
        return answer(cache, num_steps, flags)


def table(column: dict) -> str:
    lines = [(name, *map(turns.shown, parts)) for name, parts in column["rows"].items()]
    return tables.markdown(("compilation, s", *PARTS, "all"), lines)
