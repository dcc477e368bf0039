"""A meta-step of jaxmeta beside the forms in which PyTorch's users write it.

Claim:     exact MAML is several times faster than the fastest PyTorch form, on the same machine.
Command:   python benchmarks/run.py meta_step   (benchmarks/README.md: what must be installed)
Measured:  results/meta_step.json, one column a machine.

A step is one outer gradient over 8 tasks with 15 queries a class and Adam's update. Each side is a process of its own
that uses all cores and takes its turn; weights, data and precision (float32) are the same. On a CPU jaxmeta shares its
tasks out over as many host devices as there are cores; with one device, whose operations use all cores, it has a column
of its own. The first step's loss and gradient norm must agree, or nothing is written. The share of the machine's limit
counts the operations of jaxmeta's matmuls, those that it does twice to save memory among them, and the operations a
second of one large float32 matmul on all cores.
"""

import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

SIDES = pathlib.Path(__file__).parent / "sides"
sys.path.insert(0, str(SIDES))
import turns  # noqa: E402
from cases import CASES, Case  # noqa: E402

from jaxmeta import tables  # noqa: E402

TURNS, BUDGET, TOLERANCE = (1, 0.0, 2e-3) if turns.IS_SMALL else (9, 25.0, 2e-3)
OURS = ("jaxmeta", "jaxmeta, one device")
PEERS = ("torch loop", "torch.func vmap", "higher", "torchopt", "learn2learn")


class Side:
    """A process that answers."""

    def __init__(self, script: str, **environment: str) -> None:
        self.script, command = script, [sys.executable, str(SIDES / script)]
        given = {**os.environ, "PYTHONPATH": f"{SIDES.parents[1]}:{os.environ.get('PYTHONPATH', '')}", **environment}
        given["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # the sides share a GPU's memory
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=given)

    def ask(self, what: str, **given: object) -> dict:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([what, given]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.script} ended with code {self.process.wait()} when it was asked to {what} {given}")
        return json.loads(line)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def measure(case: Case, sides: dict[str, Side]) -> dict | None:
    """Seconds of every form, and how many times longer than jaxmeta's it takes, turn by turn."""
    row: dict = {"case": case.name, "forms": {}}
    ready, seen = [], set()
    for form, side in sides.items():
        if form not in (*OURS, "torch loop") and case.learner != "maml":
            continue
        answer = side.ask("prepare", case=list(case), form=form, fresh=id(side) not in seen)
        seen.add(id(side))
        row["forms"][form] = answer
        print(f"{case.name}, {form}: {answer}", file=sys.stderr, flush=True)
        if "missing" not in answer and "failed" not in answer:
            ready.append(form)
    ours = row["forms"]["jaxmeta"]
    if "jaxmeta" not in ready:  # what else there is goes on without anybody near
        return None
    for form in ready:
        for what in ("loss", "gradient_norm"):
            own, peer = ours[what], row["forms"][form][what]
            if abs(own - peer) > TOLERANCE * abs(own):
                sys.exit(f"{case.name}: {what} of {form} is {peer}, jaxmeta's is {own}")
    seconds: dict = {form: [] for form in ready}
    until = time.perf_counter() + BUDGET
    while len(seconds["jaxmeta"]) < TURNS and (len(seconds["jaxmeta"]) < min(TURNS, 3) or time.perf_counter() < until):
        for form in ready:
            time.sleep(0.02)  # threads of the other side that still spin come to rest
            seconds[form].append(sides[form].ask("run", form=form)["seconds"])
    for form in ready:
        ratios = [peer / own for peer, own in zip(seconds[form], seconds["jaxmeta"], strict=True)]
        row["forms"][form] |= {
            "seconds": round(statistics.median(seconds[form]), 5),
            "times_jaxmeta": turns.spread(ratios),
            "turns": len(ratios),
        }
        print(f"{case.name}, {form}: {row['forms'][form]}", file=sys.stderr, flush=True)
    return row


def main() -> dict:
    flags = os.environ.get("XLA_FLAGS", "")
    many = f"{flags} --xla_force_host_platform_device_count={os.cpu_count()}"
    sides = {"jaxmeta": Side("jax_side.py", XLA_FLAGS=many)}
    if sides["jaxmeta"].ask("about")["device"].endswith(" x cpu"):
        sides["jaxmeta, one device"] = Side("jax_side.py")
    if importlib.util.find_spec("torch"):
        sides |= dict.fromkeys(PEERS, Side("torch_side.py"))
    try:
        about = {form: side.ask("about") for form, side in sides.items()}
        chosen = os.environ.get("BENCHMARK_CASES", "")
        found = [measure(case, sides) for case in CASES if chosen in case.name and not turns.is_over()]
        rows = [row for row in found if row]
    finally:
        for side in set(sides.values()):
            side.close()
    devices = {form: about[form]["device"] for form in (*OURS, "torch loop") if form in about}
    limit = about[OURS[1] if OURS[1] in about else OURS[0]]["matmul_limit"]  # of one device that has everything
    for row in rows:
        ours = row["forms"]["jaxmeta"]
        row["matmul_share"] = round(ours["matmul_operations"] / ours["seconds"] / limit, 3)
    versions = about.get("torch loop", {}).get("versions", {})
    return {"devices": devices, "versions": versions, "matmul_limit": round(limit), "rows": rows}


def table(column: dict) -> str:
    forms = [form for form in (OURS[1], *PEERS) if form in PEERS or form in column["devices"]]
    header = ["case", "jaxmeta, s", "of the matmul limit", *forms]
    rows = []
    for row in column["rows"]:
        found = [row["forms"].get(form, {}).get("times_jaxmeta") for form in forms]
        cells = [turns.shown(each) if each else "not measured" for each in found]
        rows.append([row["case"], f"{row['forms']['jaxmeta']['seconds']:.4f}", f"{row['matmul_share']:.0%}", *cells])
    devices = "; ".join(f"{form}: {device}" for form, device in column["devices"].items())
    limit = f"The matmul limit is {column['matmul_limit'] / 1e9:.0f} GFLOP/s."
    what = "Times that a step takes longer than jaxmeta's: median and range over turns."
    return f"{tables.markdown(header, rows)}\n\n{what} {limit} {devices}."
