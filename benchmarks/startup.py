"""What comes before the first step: imports and compilation.

Claim:     `import jaxmeta` takes at most 0.15 s beyond jax, flax, optax and chex; a second start compiles little.
Command:   python benchmarks/startup.py

Each figure is the median and range over fresh processes. Compilation is that of a step of MAML with Conv-4, 5-way
1-shot, first without and then with the persistent compilation cache that the first left behind.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile

import record

IMPORTS = """
import time
import chex, flax.linen, jax, optax
start = time.perf_counter()
import jaxmeta
print(time.perf_counter() - start)
"""
COMPILATION = """
import sys, time
import jax, jax.numpy as jnp, optax
from jaxmeta import criteria, maml, meta_trainer, models, tasks
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
key = jax.random.key(0)
sample = tasks.strokes(num_ways=5, num_shots=1, num_queries=15)
episodes = jax.jit(lambda: tasks.episodes(sample, key, jnp.arange(8)))()
learner = maml(models.conv4((28, 28, 1), 5), criteria.cross_entropy, optax.sgd(0.4), num_steps=int(sys.argv[2]))
trainer = meta_trainer(learner, optax.adam(1e-3))
state = trainer.init(key)
start = time.perf_counter()
jax.jit(trainer.update).lower(state, episodes, key).compile()
print(time.perf_counter() - start)
"""
BACKEND = "import jax; print(__import__('json').dumps(jax.default_backend()))"


def answer(script: str, *arguments: object) -> float | str:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ).stdout)


def measured() -> dict:
    answer(IMPORTS)  # bytecode and the disk's cache
    seconds = {"import jaxmeta, beyond its dependencies": [answer(IMPORTS) for _ in range(7)]}
    for num_steps in (1, 5):
        with tempfile.TemporaryDirectory() as cache:
            for state, count in (("empty", 1), ("filled", 3)):
                name = f"compilation, {num_steps} inner steps, cache {state}"
                seconds[name] = [answer(COMPILATION, cache, num_steps) for _ in range(count)]
    rows = {name: [round(f(each), 3) for f in (statistics.median, min, max)] for name, each in seconds.items()}
    return {"backend": answer(BACKEND), "rows": rows}


def table(column: dict) -> list[str]:
    return record.rows_of(("what", "s"), [(name, "{} [{}, {}]".format(*row)) for name, row in column["rows"].items()])


if __name__ == "__main__":
    record.record("startup", measured(), table)
