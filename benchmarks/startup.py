"""What `import jaxmeta` costs beyond the libraries that it imports.

Claim:     at most 0.15 s beyond jax, flax, optax and chex.
Command:   python benchmarks/run.py startup
Measured:  results/startup.json. Fresh processes; the first, which may compile bytecode, is left out.
"""

import statistics
import subprocess
import sys
from importlib import metadata

import turns

TURNS = 9
ASKED = """
import time
start = time.perf_counter()
import jax, flax, flax.linen, flax.nnx, optax, chex
libraries = time.perf_counter() - start
import jaxmeta
print(libraries, time.perf_counter() - start - libraries)
"""


def main() -> dict:
    rows = []
    for _ in range(TURNS + 1):
        found = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, check=True).stdout
        rows.append([float(number) for number in found.split()])
    libraries, own = zip(*rows[1:], strict=True)
    return {
        "versions": {"chex": metadata.version("chex")},
        "libraries_seconds": round(statistics.median(libraries), 3),
        "jaxmeta_seconds": turns.spread(own, 3),
    }


def table(column: dict) -> str:
    return (
        f"jax, flax (linen and nnx), optax and chex: {column['libraries_seconds']} s; "
        f"jaxmeta beyond them: {turns.shown(column['jaxmeta_seconds'])} s."
    )
