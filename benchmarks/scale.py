"""What a meta-step asks of 1, 8 and 256 devices, and tasks a second on paper.

Claim:     a step over many devices has one collective, the mean of gradient and metrics, whatever their number.
Command:   python benchmarks/run.py scale

Exact MAML, Conv-4 with 64 filters, 5-way 1-shot, 15 queries a class, 5 inner steps, 32 tasks a device. Programs are
compiled for so many host devices and not run: operations, memory and communication are the compiled program's own, of
one device (operations are those of matmuls with loops counted out; the compiler counts a loop once). Tasks a second
are computed, not measured: the operations at RATE, then twice the mean's bytes over the slowest link of a ring and a
LATENCY for each hop, without overlap. Links: NEAR within a host of 8 devices, FAR between hosts.
"""

import json
import math
import os
import pathlib
import re
import subprocess
import sys

import turns

from jaxmeta import tables

DEVICES, TASKS, FILTERS, STEPS = ((1, 2), 1, 2, 1) if turns.IS_SMALL else ((1, 8, 256), 32, 64, 5)
RATE, NEAR, FAR, LATENCY = 10e12, 200e9, 25e9, 5e-6
BYTES = {"f64": 8, "f32": 4, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "pred": 1, "s8": 1, "u8": 1}


def collectives(text: str) -> list[int]:
    """The bytes of each collective in a compiled program's text."""
    found = []
    for line in text.splitlines():
        if match := re.search(r"= (.*?) (?:all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)"
                              r"(?:-start)?\(", line):  # fmt: skip
            shapes = re.findall(r"(\w+)\[([\d,]*)\]", match[1])
            sizes = [BYTES[kind] * math.prod(map(int, filter(None, extent.split(",")))) for kind, extent in shapes]
            found.append(sum(sizes))
    return found


def compiled(num_devices: int) -> dict:
    """What one of the devices of this process does in a step."""
    import jax
    import optax

    sys.path.insert(0, str(pathlib.Path(__file__).parent / "sides"))
    from jax_side import matmul_operations  # pyright: ignore[reportMissingImports]

    from jaxmeta import criteria, maml, meshes, meta_trainer, models, tasks

    mesh = jax.make_mesh((num_devices,), ("tasks",))
    learner = maml(
        models.conv4((28, 28, 1), 5, num_filters=FILTERS), criteria.cross_entropy, optax.sgd(0.4), num_steps=STEPS
    )
    trainer = meta_trainer(learner, optax.adam(1e-3), mesh=mesh)
    key = jax.random.key(0)
    sample = tasks.strokes(num_ways=5, num_shots=1, num_queries=15)
    placed = lambda shapes, sharding: jax.tree.map(  # noqa: E731
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), shapes
    )
    state = placed(jax.eval_shape(lambda key: meta_trainer(learner, optax.adam(1e-3)).init(key), key),
                   meshes.everywhere(mesh))  # fmt: skip
    keys = jax.eval_shape(lambda key: jax.random.split(key, TASKS * num_devices), key)
    episodes = placed(jax.eval_shape(jax.vmap(sample), keys), meshes.over_tasks(mesh))
    traced = jax.jit(trainer.update).trace(state, episodes, placed(key, meshes.everywhere(mesh)))
    program = traced.lower().compile()
    sizes, cost, text = program.memory_analysis(), program.cost_analysis(), program.as_text()
    assert None not in (sizes, cost, text)  # of a CPU they are known
    sent = collectives(text)
    return {
        "devices": num_devices, "tasks": TASKS * num_devices, "collectives": len(sent), "collective_bytes": sum(sent),
        "operations": matmul_operations(traced.jaxpr.jaxpr) // num_devices, "compiler_operations": int(cost["flops"]),
        "temporary_bytes": sizes.temp_size_in_bytes, "argument_bytes": sizes.argument_size_in_bytes,
    }  # fmt: skip


def on_paper(row: dict) -> dict:
    """Tasks a second, and the share of a step that is no communication."""
    count, compute = row["devices"], row["operations"] / RATE
    link = NEAR if count <= 8 else FAR
    talk = 0.0 if count == 1 else 2 * (count - 1) * (row["collective_bytes"] / count / link + LATENCY)
    return {
        "tasks_a_second": round(row["tasks"] / (compute + talk)),
        "efficiency": round(compute / (compute + talk), 3),
    }


def main() -> dict:
    rows = []
    for count in DEVICES:
        asked = f"import json, scale; print(json.dumps(scale.compiled({count})))"
        here = pathlib.Path(__file__).parent
        environment = {
            **os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(count), "NPROC": str(count + 1),
            "PYTHONPATH": f"{here}:{here.parent}:{os.environ.get('PYTHONPATH', '')}",
        }  # fmt: skip
        found = subprocess.run(
            [sys.executable, "-c", asked], env=environment, check=True, text=True, stdout=subprocess.PIPE
        ).stdout
        row = json.loads(found.splitlines()[-1])
        rows.append(row | on_paper(row))
        print(rows[-1], file=sys.stderr, flush=True)
    assumed = {"operations_a_second": RATE, "near": NEAR, "far": FAR, "latency": LATENCY}
    return {"assumed": assumed, "rows": rows}


def table(column: dict) -> str:
    header = (
        "devices", "tasks a step", "operations a device, 10^9", "temporary memory a device, MB", "collectives",
        "mean of, MB", "tasks a second on paper", "of which no communication",
    )  # fmt: skip
    cells = []
    for row in column["rows"]:
        operations, memory = f"{row['operations'] / 1e9:.1f}", f"{row['temporary_bytes'] / 1e6:.1f}"
        sent, speed = f"{row['collective_bytes'] / 1e6:.2f}", f"{row['tasks_a_second']:,}"
        cells.append((row["devices"], row["tasks"], operations, memory, row["collectives"], sent, speed,
                      f"{row['efficiency']:.1%}"))  # fmt: skip
    given = column["assumed"]
    rate, near, far = (given[name] / 1e9 for name in ("operations_a_second", "near", "far"))
    said = (
        f"Assumed: {rate:,.0f} GFLOP/s reached by a device, {near:.0f} GB/s within a host of 8, {far:.0f} GB/s between "
        f"hosts, {given['latency'] * 1e6:.0f} us a hop."
    )
    return f"{tables.markdown(header, cells)}\n\n{said}"
