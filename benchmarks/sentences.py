"""Sentences a second of a pretrained encoder of texts, from strings to vectors, beside torch.

Claim:     at least as many as transformers' BertModel makes with torch, on the same cores.
Command:   python benchmarks/run.py sentences   (benchmarks/README.md: what must be installed)
Measured:  results/sentences.json, one column a machine.

A step encodes 512 sentences, tokens included, nothing cached. Each side is a process of its own that uses all cores and
takes its turn; weights and precision (float32) are the same, and two numbers of what comes out must agree, or nothing
is written. torch runs in inference mode on batches of 32 sentences sorted by length, each padded to its longest, as
sentence-transformers does it; jaxmeta puts several sentences into a row, none of which sees another.
"""

import os
import statistics
import sys
import time

import turns
from meta_step import Side

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "sides"))
from sentence_cases import CASES, SENTENCES, SentenceCase

from jaxmeta import tables

TURNS, TOLERANCE = int(os.environ.get("BENCHMARK_TURNS", "9")), 1e-3
OURS, PEER = "jaxmeta", "torch"


def measure(case: SentenceCase, sides: dict[str, Side]) -> dict:
    """Sentences a second of both, and how many times longer than jaxmeta's torch takes, turn by turn."""
    answers: dict = {}
    for form, side in sides.items():
        answers[form] = side.ask("prepare", case=list(case), form=form, fresh=True)
        if "missing" in answers[form]:
            raise ImportError(answers[form]["missing"])
        if "failed" in answers[form]:
            sys.exit(f"{case.name}, {form}: {answers[form]['failed']}")
    for what in ("loss", "gradient_norm"):
        own, peer = answers[OURS][what], answers[PEER][what]
        if abs(own - peer) > TOLERANCE * abs(own):
            sys.exit(f"{case.name}: {what} of {PEER} is {peer}, jaxmeta's is {own}")
    seconds: dict = {form: [] for form in sides}
    for _ in range(TURNS):
        for form, side in sides.items():
            time.sleep(0.02)  # threads of the other side that still spin come to rest
            seconds[form].append(side.ask("run", form=form)["seconds"])
    row: dict = {"case": case.name, "forms": {}}
    for form, own in seconds.items():
        ratios = [each / first for each, first in zip(own, seconds[OURS], strict=True)]
        rate = round(SENTENCES / statistics.median(own), 1)
        row["forms"][form] = {"sentences_a_second": rate, "times_jaxmeta": turns.spread(ratios)}
    print(row, file=sys.stderr, flush=True)
    return row


def main() -> dict:
    sides = {OURS: Side("sentences_jax.py"), PEER: Side("sentences_torch.py")}
    try:
        about = {form: side.ask("about") for form, side in sides.items()}
        rows = [measure(case, sides) for case in CASES if os.environ.get("BENCHMARK_CASES", "") in case.name]
    finally:
        for side in sides.values():
            side.close()
    devices = {form: each["device"] for form, each in about.items()}
    return {"devices": devices, "versions": about[PEER]["versions"], "rows": rows}


def table(column: dict) -> str:
    cells = [
        [row["case"], *(row["forms"][form]["sentences_a_second"] for form in (OURS, PEER)),
         turns.shown(row["forms"][PEER]["times_jaxmeta"])]
        for row in column["rows"]
    ]  # fmt: skip
    devices = "; ".join(f"{form}: {device}" for form, device in column["devices"].items())
    head = ["case", f"{OURS}, sentences/s", f"{PEER}, sentences/s", f"times that {PEER} takes longer"]
    return f"{tables.markdown(head, cells)}\n\nMedians, and the range over turns. {devices}."
