"""Breaks a real training at random moments, lets it go on, and compares with one that was left alone, to the bit.

    python tests/faults.py                    # 20 times kill -9
    python tests/faults.py --signal TERM      # SIGTERM, which must also leave within 10 s
    python tests/faults.py --signal KILL TERM INT --table tests/faults.md

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
from typing import NamedTuple

from jaxmeta import provenance, tables

# A checkpoint five times a second, so that a short run has many; and no tables, whose programs take longer to compile
# than the training takes.
PROGRAM = """
from jaxmeta import cli, runs
from jaxmeta.runs import progress
progress.INTERVAL = 0.2
runs.Run.rows = lambda *_, **__: []
cli.entry()
"""
TRAINING = ["train", "maml-regression", "--hidden", "8", "8", "--tasks-per-step", "4", "--num-tasks", "2"]


def start(arguments: list[str]) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def wait_for(condition, process: subprocess.Popen[str], seconds: float = 600) -> None:
    """Waits for what a process does; one that does not do it is ended."""
    end = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            err = process.communicate()[1]
            raise RuntimeError(f"exit code {process.returncode}: {err}")
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


class Trial(NamedTuple):
    """One break, and what came of it."""

    signal: str
    moment: float
    """Seconds after the first line of metrics."""
    step: int
    """Of the last line of metrics that was written."""
    seconds: float
    """From the signal to the end of the process."""
    same: bool
    """Whether it went on to the bits of the unbroken run."""


def trial(run: pathlib.Path, steps: int, name: str, moment: float, expected: tuple[bytes, list[dict]]) -> Trial:
    """Breaks a run `moment` seconds after its first line, and lets it go on."""
    number = signal.Signals[f"SIG{name}"]
    process = start([*TRAINING, "--steps", str(steps), "--out", str(run)])
    wait_for((run / "metrics.jsonl").exists, process)
    time.sleep(moment)
    began = time.monotonic()
    process.send_signal(number)
    err = process.communicate()[1]
    seconds = time.monotonic() - began
    if process.returncode == 0:  # this machine is faster now than it was in the unbroken run
        shutil.rmtree(run)
        return trial(run, steps, name, moment / 2, expected)
    # As a shell has it: 128 + the signal's number, whether the process left or was ended.
    code = 128 - process.returncode if process.returncode < 0 else process.returncode
    if code != 128 + number or seconds > 10:
        raise RuntimeError(f"exit code {process.returncode} after {seconds:.1f} s: {err}")
    step = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["step"]
    finish(start(["train", "--resume", str(run)]))
    return Trial(name, moment, step, seconds, outcome(run) == expected)


def table(trials: list[Trial], steps: int) -> str:
    """All trials as Markdown, their count first."""
    rows = []
    for name in dict.fromkeys(trial.signal for trial in trials):
        own = [trial for trial in trials if trial.signal == name]
        longest = max(trial.seconds for trial in own)
        rows.append([name, len(own), sum(trial.same for trial in own), f"{longest:.2f}"])
    each = [
        [name, f"{moment:.2f}", step, f"{seconds:.2f}", "same" if same else "OTHER"]
        for name, moment, step, seconds, same in trials
    ]
    lines = [
        f"A training of {steps:,} updates, broken and resumed.", "",
        tables.markdown(["signal", "trials", "equal to the bit", "longest to leave, s"], rows), "",
        tables.markdown(["signal", "moment, s", "last line of step", "to leave, s", "bits"], each), "",
        f"{provenance.line(provenance.record())}.", "",
    ]  # fmt: skip
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20, help="of each signal")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--signal", nargs="+", choices=["KILL", "TERM", "INT"], default=["KILL"])
    parser.add_argument("--folder", help="where the runs go; a temporary one is the default")
    parser.add_argument("--table", help="a Markdown file to write")
    options = parser.parse_args(arguments)
    trials: list[Trial] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(options.folder or temporary)
        process = start([*TRAINING, "--steps", str(options.steps), "--out", str(folder / "unbroken")])
        wait_for((folder / "unbroken" / "metrics.jsonl").exists, process)
        began = time.monotonic()
        finish(process)
        duration, expected = time.monotonic() - began, outcome(folder / "unbroken")
        for name in options.signal:
            for index in range(options.trials):
                moment, run = duration * random.Random(index).random(), folder / f"{name}{index}"
                trials.append(trial(run, options.steps, name, moment, expected))
                print(f"{index:3} {trials[-1]}", flush=True)
                if options.table:  # after each, so that what was seen stays if this is broken off
                    pathlib.Path(options.table).write_text(table(trials, options.steps))
    same = sum(trial.same for trial in trials)
    print(f"{same} of {len(trials)} equal to the bit")
    return int(same != len(trials))


if __name__ == "__main__":
    sys.exit(main())
