"""What compiling a step costs, and what the persistent compilation cache leaves of it.

Claim:     a second start compiles a fraction of what the first did.
Command:   python benchmarks/run.py compilation

A step of MAML with Conv-4, 5-way 1-shot, traced, lowered and compiled in fresh processes: median and range, without
and with the cache that the first process left behind.
"""

import json
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
start = time.perf_counter()
jax.jit(trainer.update).lower(state, episodes, key).compile()
print(time.perf_counter() - start)
"""


def answer(*arguments: object) -> float:
    command = [sys.executable, "-c", COMPILATION, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> dict:
    seconds = {}
    for num_steps in (1, 5):
        with tempfile.TemporaryDirectory() as cache:
            for state, count in (("empty", 1), ("filled", 3)):
                name = f"{num_steps} inner steps, cache {state}"
                seconds[name] = [answer(cache, num_steps) for _ in range(count)]
    rows = {name: turns.spread(each, 3) for name, each in seconds.items()}
    return {"rows": rows}


def table(column: dict) -> str:
    return tables.markdown(("compilation", "s"), [(name, turns.shown(row)) for name, row in column["rows"].items()])
