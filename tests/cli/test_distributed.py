"""Commands in two processes of two devices each do what they do in one process of four."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest
from flax import serialization

from jaxmeta import cli
from jaxmeta.cli import devices

# The processes share the tasks of a step and those of the table, and each does all of the five of a validation.
TRAIN = [
    "train", "maml-regression", "--steps", "60", "--hidden", "4", "--shots", "3", "--train-queries", "3",
    "--queries", "3", "--tasks-per-step", "4", "--inner-steps", "1", "--num-tasks", "8", "--validation-tasks", "5",
]  # fmt: skip
PROGRAM = "from jaxmeta import cli; cli.entry()"
WITHOUT_TABLES = """
from jaxmeta import runs
runs.Run.rows = lambda *_, **__: []
"""
IMPATIENT = WITHOUT_TABLES + "from jaxmeta.cli import devices; devices.LEAVE = 2.0"
AT_50 = """
import os, signal, time
from jaxmeta import checks
from jaxmeta.cli import signals
from jaxmeta.runs import fitting
signals.GRACE = 600.0  # on a busy machine it may be over before the next call
pause = fitting._pause

def patched(now, coming, stop):
    if now[0].step == 50 and not stop():
        {}
    pause(now, coming, stop)

fitting._pause = patched
"""
TERMINATED = AT_50.format("os.kill(os.getpid(), signal.SIGTERM)\n        while not stop(): time.sleep(0.01)")
FAILED = AT_50.format("raise checks.DataError('the disk is full')")


def start(arguments, folder, program=PROGRAM, **environment):
    folder.mkdir(exist_ok=True)
    flags = [flag for flag in os.environ.get("XLA_FLAGS", "").split() if devices.FORCED not in flag]
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=os.environ | {"XLA_FLAGS": " ".join(flags)} | environment,
    )  # fmt: skip


def finish(*processes):
    """Exit codes, what went to stdout, what went to stderr."""
    try:
        said = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], *zip(*said, strict=True)


def launch(arguments, folder, both="", second=""):
    """Two processes, each in a folder of its own; `both` and `second` are code that runs first."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    given = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2", "JAX_NUM_CPU_DEVICES": "2"}
    arguments, programs = [*arguments, "--distributed"], {"0": [both, PROGRAM], "1": [both, second, PROGRAM]}
    return finish(
        *(
            start(arguments, folder / rank, "\n".join(program), JAX_PROCESS_ID=rank, **given)
            for rank, program in programs.items()
        )
    )


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    codes, out, err = launch([*TRAIN, "--out", "run"], folder)
    assert codes == [0, 0], err
    assert out[0].splitlines()[-1] == "results: run/results.json"
    assert (out[1], err[1]) == ("", "")
    assert list((folder / "1").iterdir()) == []
    return folder / "0" / "run"


def parameters(path):
    return serialization.msgpack_restore((path / "meta_params.msgpack").read_bytes())


def leaves(tree):
    return [leaf for name in sorted(tree) for leaf in leaves(tree[name])] if isinstance(tree, dict) else [tree]


def lines(path):
    kept = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in kept]


def assert_same_table(path, expected):
    ours, wanted = (json.loads((each / "results.json").read_text()) for each in (path, expected))
    for row, other in zip(ours["rows"], wanted["rows"], strict=True):
        assert row["method"] == other["method"]
        for column in ("joint", "single"):
            np.testing.assert_allclose(row[column]["per_task"], other[column]["per_task"], rtol=1e-6, atol=2e-6)


@pytest.mark.long
def test_two_processes_train_and_evaluate_as_one(together, tmp_path, capsys):
    codes, _, err = finish(start([*TRAIN, "--out", "run"], tmp_path, JAX_NUM_CPU_DEVICES="4"))
    assert codes == [0], err
    for ours, wanted in zip(leaves(parameters(together)), leaves(parameters(tmp_path / "run")), strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-6, atol=1e-6)
    assert_same_table(together, tmp_path / "run")
    for path in (together, tmp_path / "run"):
        assert json.loads((path / "results.json").read_text())["device"] == "4 x cpu"
    evaluation = ["evaluate", str(together), "--num-tasks", "4", "--out"]
    codes, out, err = launch([*evaluation, "table"], tmp_path)
    assert codes == [0, 0], err
    assert out[0].splitlines()[-1] == "results: table/results.json"
    assert out[1] == ""
    assert list((tmp_path / "1").iterdir()) == []
    assert cli.main([*evaluation, str(tmp_path / "table")]) == 0
    assert_same_table(tmp_path / "0" / "table", tmp_path / "table")
    assert out[0].splitlines()[:-1] == capsys.readouterr().out.splitlines()[:-1]


@pytest.mark.fault(promised="all processes leave with exit code 143; the bits of an unbroken run")
@pytest.mark.long
def test_a_signal_to_one_process_ends_all_and_the_run_goes_on_to_the_same_bits(together, tmp_path):
    run = tmp_path / "run"
    codes, _, err = launch([*TRAIN, "--out", str(run)], tmp_path, WITHOUT_TABLES, TERMINATED)
    assert codes == [143, 143], err
    hint = f"at step 50 of 60; to go on: jaxmeta train --resume {run} --distributed"
    assert all(text.splitlines()[-1] == f"jaxmeta: interrupted {hint}" for text in err)
    codes, _, err = launch(["train", "--resume", str(run)], tmp_path, WITHOUT_TABLES)
    assert codes == [0, 0], err
    assert "bits" not in err[0]
    assert (run / "meta_params.msgpack").read_bytes() == (together / "meta_params.msgpack").read_bytes()
    assert lines(run) == lines(together)


@pytest.mark.fault(promised="all processes end")
@pytest.mark.long
def test_a_process_that_fails_ends_all(tmp_path):
    codes, _, err = launch([*TRAIN, "--out", "run"], tmp_path, IMPATIENT, FAILED)
    assert codes == [1, 1], err
    assert err[1] == "jaxmeta: the disk is full\n"
    assert err[0].splitlines()[-1].startswith("jaxmeta: ")


@pytest.mark.fault(promised="one line in each process, and its exit code")
@pytest.mark.long
def test_what_one_process_refuses_all_refuse(together, tmp_path):
    codes, _, err = launch([*TRAIN, "--out", str(together)], tmp_path)
    assert codes == [2, 1]
    assert "continues a broken run" in err[0]
    assert err[1].startswith("jaxmeta: another process: expected")
    codes, _, err = launch([*TRAIN, "--tasks-per-step", "3", "--out", "run"], tmp_path)
    assert codes == [2, 2]
    assert all("--tasks-per-step: expected a number that the 2 processes divide, got 3" in text for text in err)
    assert [len(text.splitlines()) for text in err] == [1, 1]


@pytest.mark.parametrize("given", [{}, {"JAX_PROCESS_ID": "one"}])
@pytest.mark.fault(promised="one line and its exit code")
def test_a_process_that_is_not_told_of_the_others(given, tmp_path):
    codes, _, (err,) = finish(start([*TRAIN, "--distributed"], tmp_path, **given))
    assert codes == [2]
    assert err.startswith(f"jaxmeta: {next(iter(given), '--distributed')}: expected")
    assert len(err.splitlines()) == 1
    assert list(pathlib.Path(tmp_path).iterdir()) == []
