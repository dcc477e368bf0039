"""Pictures a second of pretrained encoders, forward and with the gradient of adapters, beside torch.

Claim:     at least as many as torch's reference implementations, on the same cores.
Command:   python benchmarks/run.py encoders   (benchmarks/README.md: what must be installed)
Measured:  results/encoders.json, one column a machine.

A step is a batch of 32 pictures. "forward" makes their features; "gradient" also the gradient of adapters alone: a
residual 1 x 1 convolution beside every dense convolution, all else frozen. Each side is a process of its own that uses
all cores and takes its turn; weights, pictures and precision (float32) are the same, and the loss and the norm of the
gradient must agree, or nothing is written. torch runs in evaluation mode, forward in inference mode, in both of its
layouts in memory; jaxmeta shares the pictures out over as many host devices as there are cores, and with one device has
a column of its own.
"""

import os
import statistics
import sys
import time

import turns
from meta_step import OURS, Side

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "sides"))
from encoder_cases import CASES, PICTURES, EncoderCase

from jaxmeta import tables

TURNS, TOLERANCE = int(os.environ.get("BENCHMARK_TURNS", "9")), 2e-3
PEERS = ("torch", "torch, channels last")


def measure(case: EncoderCase, sides: dict[str, Side]) -> dict:
    """Pictures a second of every form, and how many times longer than jaxmeta's it takes, turn by turn."""
    answers: dict = {}
    for form, side in sides.items():
        fresh = form in (*OURS, PEERS[0])
        answers[form] = side.ask("prepare", case=list(case), form=form, fresh=fresh)
        if "missing" in answers[form]:
            raise ImportError(answers[form]["missing"])
        if "failed" in answers[form]:
            sys.exit(f"{case.name}, {form}: {answers[form]['failed']}")
        for what in ("loss", "gradient_norm"):
            own, peer = answers[OURS[0]][what], answers[form][what]
            if abs(own - peer) > TOLERANCE * abs(own):
                sys.exit(f"{case.name}: {what} of {form} is {peer}, jaxmeta's is {own}")
    seconds: dict = {form: [] for form in sides}
    for _ in range(TURNS):
        for form, side in sides.items():
            time.sleep(0.02)  # threads of the other side that still spin come to rest
            seconds[form].append(side.ask("run", form=form)["seconds"])
    row: dict = {"case": case.name, "forms": {}}
    for form, own in seconds.items():
        ratios = [each / first for each, first in zip(own, seconds[OURS[0]], strict=True)]
        rate = round(PICTURES / statistics.median(own), 1)
        row["forms"][form] = {"pictures_a_second": rate, "times_jaxmeta": turns.spread(ratios)}
    print(row, file=sys.stderr, flush=True)
    return row


def main() -> dict:
    flags = os.environ.get("XLA_FLAGS", "")
    many = f"{flags} --xla_force_host_platform_device_count={os.cpu_count()}"
    sides = {OURS[0]: Side("encoders_jax.py", XLA_FLAGS=many), OURS[1]: Side("encoders_jax.py")}
    sides |= dict.fromkeys(PEERS, Side("encoders_torch.py"))
    try:
        about = {form: side.ask("about") for form, side in sides.items()}
        chosen = os.environ.get("BENCHMARK_CASES", "")
        rows = [measure(case, sides) for case in CASES if chosen in case.name]
    finally:
        for side in set(sides.values()):
            side.close()
    devices = {form: about[form]["device"] for form in (*OURS, PEERS[0])}
    return {"devices": devices, "versions": about[PEERS[0]]["versions"], "rows": rows}


def table(column: dict) -> str:
    forms = (OURS[1], *PEERS)
    cells = [
        [row["case"], row["forms"][OURS[0]]["pictures_a_second"]]
        + [turns.shown(row["forms"][form]["times_jaxmeta"]) for form in forms]
        for row in column["rows"]
    ]
    devices = "; ".join(f"{form}: {device}" for form, device in column["devices"].items())
    what = "Times that a batch takes longer than jaxmeta's: median and range over turns."
    return f"{tables.markdown(['case', 'jaxmeta, pictures/s', *forms], cells)}\n\n{what} {devices}."
