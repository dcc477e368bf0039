"""Kills a real training at random moments, lets it go on, and compares with one that was left alone, to the bit.

    python tests/faults.py                    # 20 times kill -9
    python tests/faults.py --signal TERM      # SIGTERM, which must also leave within 10 s

Each trial has a moment of its own, drawn from the trial's number, between the first line of metrics and the end of an
unbroken run. The exit code is 1 if a trial ends otherwise than the unbroken run.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

# A checkpoint five times a second, so that a short run has many; and no tables, whose programs take longer to compile
# than the training takes.
PROGRAM = """
from jaxmeta import cli
from jaxmeta.cli import progress, scoring
progress.INTERVAL = 0.2
scoring.raw_rows = scoring.learner_rows = lambda *_, **__: []
cli.entry()
"""
TRAINING = ["train", "maml-regression", "--hidden", "8", "8", "--tasks-per-step", "4", "--num-tasks", "2"]


def start(arguments: list[str]) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def wait_for(condition, process: subprocess.Popen[str], seconds: float = 200) -> None:
    """Waits for what a process does."""
    end = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"exit code {process.poll()}: {process.communicate()[1] if process.poll() else ''}")
        time.sleep(0.005)


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate()
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}: {err}")
    return out


def outcome(run: pathlib.Path) -> tuple[bytes, list[dict]]:
    """What must be the same: the parameters, and the metrics but their seconds."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return (run / "meta_params.msgpack").read_bytes(), [{**line, "seconds": 0} for line in lines]


def trial(run: pathlib.Path, steps: int, number: signal.Signals, moment: float) -> str:
    """Breaks a run `moment` seconds after its first line, lets it go on, and says where it broke."""
    process = start([*TRAINING, "--steps", str(steps), "--out", str(run)])
    wait_for((run / "metrics.jsonl").exists, process)
    time.sleep(moment)
    began = time.monotonic()
    process.send_signal(number)
    process.communicate()
    seconds = time.monotonic() - began
    if process.returncode == 0:  # this machine is faster now than it was in the unbroken run
        shutil.rmtree(run)
        return trial(run, steps, number, moment / 2)
    if number == signal.SIGTERM and (process.returncode != 143 or seconds > 10):
        raise RuntimeError(f"exit code {process.returncode} after {seconds:.1f} s")
    step = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["step"]
    finish(start(["train", "--resume", str(run)]))
    return f"{moment:6.2f} s, step {step}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--signal", choices=["KILL", "TERM"], default="KILL")
    parser.add_argument("--folder", help="where the runs go; a temporary one is the default")
    options = parser.parse_args(arguments)
    number = signal.Signals[f"SIG{options.signal}"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(options.folder or temporary)
        process = start([*TRAINING, "--steps", str(options.steps), "--out", str(folder / "unbroken")])
        wait_for((folder / "unbroken" / "metrics.jsonl").exists, process)
        began = time.monotonic()
        finish(process)
        duration, expected, same = time.monotonic() - began, outcome(folder / "unbroken"), 0
        for index in range(options.kills):
            moment, run = duration * random.Random(index).random(), folder / f"killed{index}"
            where = trial(run, options.steps, number, moment)
            equal = outcome(run) == expected
            same += equal
            print(f"{index:3} {options.signal} after {where}: {'same' if equal else 'OTHER'}", flush=True)
    print(f"{same} of {options.kills} equal to the bit")
    return int(same != options.kills)


if __name__ == "__main__":
    sys.exit(main())
