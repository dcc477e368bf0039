"""The same step on one to N devices.

Claim:     tasks that are shared out over devices take less time, to the same loss and gradient.
Command:   python benchmarks/run.py devices

MAML with Conv-4, 5-way 1-shot, 5 inner steps, 8 tasks. On CPU the devices are host devices: 1, 2, ... up to the number
of cores; one device's operations use all cores already.
"""

import os
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "sides"))
import turns
from cases import NUM_TASKS, Case
from meta_step import TOLERANCE, Side

from jaxmeta import tables

CASE, TURNS = Case("maml", "conv4", 5, 1, 5), 1 if turns.IS_SMALL else 11


def side_of(count: int) -> Side:
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
    return Side("jax_side.py", XLA_FLAGS=flags, CUDA_VISIBLE_DEVICES=",".join(map(str, range(count))))


def main() -> dict:
    everything = Side("jax_side.py")
    about = everything.ask("about")
    everything.close()
    available = os.cpu_count() if about["device"].endswith("cpu") else int(about["device"].split()[0])
    counts = [count for count in range(1, (available or 1) + 1) if NUM_TASKS % count == 0]
    sides, seconds, found = {count: side_of(count) for count in counts}, {count: [] for count in counts}, {}
    for count, side in sides.items():
        found[count] = side.ask("prepare", case=list(CASE), form="jaxmeta")
        for what in ("loss", "gradient_norm"):
            if not abs(found[count][what] - found[1][what]) <= TOLERANCE * abs(found[1][what]):
                sys.exit(f"devices: {what} on {count} devices is {found[count][what]}, on one {found[1][what]}")
    for _ in range(TURNS):
        for count, side in sides.items():
            time.sleep(0.02)
            seconds[count].append(side.ask("run", form="jaxmeta")["seconds"])
    for side in sides.values():
        side.close()
    rows = []
    for count in counts:
        ratios = [one / many for one, many in zip(seconds[1], seconds[count], strict=True)]
        gain = turns.spread(ratios)
        rows.append({"devices": count, "seconds": round(statistics.median(seconds[count]), 4), "gain": gain})
        rows[-1] |= found[count]
    return {"rows": rows}


def table(column: dict) -> str:
    header = ("devices", "a step, s", "times one device", "loss", "gradient norm")
    cells = [
        (row["devices"], row["seconds"], turns.shown(row["gain"]), row["loss"], row["gradient_norm"])
        for row in column["rows"]
    ]
    return tables.markdown(header, cells)
