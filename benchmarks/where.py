"""Where the time of a step goes, on one core, beside that core's matmul limit.

Claim:     what a step needs beside its matmuls is named, with its share.
Command:   python benchmarks/run.py where

Exact MAML with Conv-4 on one task, 15 queries a class, one core, so that each operation's time stands for itself. Times
are the compiler's own, an operation of the compiled program each, from jax's profiler; the median of several steps.
What is left is what the program's operations do not explain: scheduling, and what the profiler costs. CPU only.
"""

import collections
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

from jaxmeta import tables

SETTINGS = ((5, 1, 1), (5, 1, 5), (5, 5, 5))
KINDS = {
    "matmuls": "matrix products, forward, backward and second order",
    "patches": "patches of the maps, and what puts their gradients back",
    "sums": "sums over examples and positions: moments of the norms, gradients of scales and offsets",
    "rest": "norms, ReLU and everything else element by element",
}
STEPS = 7


def kind_of(name: str, instruction: str, computations: dict[str, str]) -> str:
    """An instruction's kind, from its own text and that of the computation that it calls."""
    called = re.search(r"calls=%([\w.-]+)", instruction)
    text = instruction.split("metadata=")[0] + (computations.get(called[1], "") if called else "")
    if re.search(r"\bdot\(", text):
        return "matmuls"
    if re.search(r"\b(concatenate|slice|pad)\(", text):
        return "patches"
    return "sums" if re.search(r"\breduce\(", text) else "rest"


def instructions_of(text: str) -> tuple[dict[str, str], dict[str, str]]:
    """Instruction -> its line, and computation -> its lines, of a compiled program's text."""
    instructions, computations, current = {}, collections.defaultdict(str), ""
    for line in text.splitlines():
        if line.endswith("{"):
            current = line.removeprefix("ENTRY ").split()[0].lstrip("%")
        elif found := re.match(r"\s+(?:ROOT )?%([\w.-]+) = (.*)", line):
            instructions[found[1]] = found[2]
            computations[current] += found[2].split("metadata=")[0] + "\n"
    return instructions, dict(computations)


def measure(setting: tuple[int, int, int]) -> dict:
    """Milliseconds of each kind, on the one core that this process is left with."""
    import jax

    sys.path.insert(0, str(pathlib.Path(__file__).parent / "sides"))
    from cases import Case
    from jax_side import matmul_limit, matmul_operations, problem

    trainer, state, tasks, key = problem(Case("maml", "conv4", *setting))
    first = jax.tree.map(lambda leaf: leaf[:1], tasks)
    traced = jax.jit(trainer.update).trace(state, first, key)
    program = traced.lower().compile()
    instructions, computations = instructions_of(program.as_text())
    jax.block_until_ready(program(state, first, key))
    found, whole = [], []
    for _ in range(STEPS):
        with tempfile.TemporaryDirectory() as folder:
            with jax.profiler.trace(folder):
                jax.block_until_ready(program(state, first, key))
            file = next(pathlib.Path(folder).rglob("*.xplane.pb"))
            profile = jax.profiler.ProfileData.from_file(str(file))
        kinds: dict[str, float] = dict.fromkeys(KINDS, 0.0)
        for plane in profile.planes:
            for line in plane.lines:
                for event in line.events:
                    if "ThunkExecutor::Execute (wait" in event.name:
                        whole.append(event.duration_ns / 1e6)
                    # A loop's time is that of the operations in it.
                    if event.name in instructions and not re.search(r"\b(while|call)\(", instructions[event.name]):
                        kind = kind_of(event.name, instructions[event.name], computations)
                        kinds[kind] += event.duration_ns / 1e6
        found.append(kinds)
    milliseconds = {kind: round(statistics.median(each[kind] for each in found), 3) for kind in KINDS}
    least = 1e3 * matmul_operations(traced.jaxpr.jaxpr) / matmul_limit()
    return {"milliseconds": milliseconds, "whole": round(statistics.median(whole), 3), "least": round(least, 3)}


def main() -> dict:
    import jax

    if jax.default_backend() != "cpu":
        raise NotImplementedError("an accelerator's operations have other names")
    rows = []
    for setting in SETTINGS:
        command = [sys.executable, __file__, json.dumps(setting)]
        ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows.append({"setting": "{}w-{}s-{}step".format(*setting)} | json.loads(ended.stdout.splitlines()[-1]))
    return {"rows": rows}


def table(column: dict) -> str:
    header = ("MAML, Conv-4", *KINDS, "the whole step, ms", "its matmuls at the core's limit, ms")
    cells = [
        (row["setting"], *(f"{row['milliseconds'][kind]:.2f}" for kind in KINDS), row["whole"], row["least"])
        for row in column["rows"]
    ]
    meaning = "; ".join(f"{kind}: {what}" for kind, what in KINDS.items())
    return f"{tables.markdown(header, cells)}\n\nMilliseconds. {meaning}."


if __name__ == "__main__":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(json.dumps(measure(tuple(json.loads(sys.argv[1])))))
