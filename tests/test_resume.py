"""Broken runs go on to the bits of an unbroken one."""

import json
import os
import signal
import time

import pytest

from jaxmeta import cli
from jaxmeta.cli import progress, scoring

STEPS = 130
TINY = [
    "train", "maml-regression", "--steps", str(STEPS), "--hidden", "4", "4", "--shots", "3", "--train-queries", "3",
    "--queries", "3", "--tasks-per-step", "2", "--inner-steps", "1", "--num-tasks", "2", "--validation-tasks", "2",
]  # fmt: skip


class Killed(BaseException):
    """What kill -9 is inside one process: nothing more is written."""


@pytest.fixture(autouse=True)
def _without_tables(monkeypatch):
    monkeypatch.setattr(scoring, "raw_rows", lambda *_, **__: [])
    monkeypatch.setattr(scoring, "learner_rows", lambda *_, **__: [])


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    path = tmp_path_factory.mktemp("unbroken") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "raw_rows", lambda *_, **__: [])
        patch.setattr(scoring, "learner_rows", lambda *_, **__: [])
        assert cli.main([*TINY, "--out", str(path)]) == 0
    return path


def broken(monkeypatch, step, how):
    """Lets `how(training)` happen before the first call of a training that has come to `step`."""
    pause, done = progress._Training.pause, []

    def patched(self, coming):
        if self.step >= step and not done:
            done.append(step)
            how(self)
        pause(self, coming)

    monkeypatch.setattr(progress._Training, "pause", patched)


def kill(training):
    raise Killed


def terminate(training, number=signal.SIGTERM):
    os.kill(os.getpid(), number)
    while not training.run.stop.signal:
        time.sleep(0.01)


def lines(path):
    kept = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in kept]


def assert_same(path, unbroken):
    assert (path / "meta_params.msgpack").read_bytes() == (unbroken / "meta_params.msgpack").read_bytes()
    assert lines(path) == lines(unbroken)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_line_that_it_prints_resumes(number, unbroken, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    broken(monkeypatch, 70, lambda training: terminate(training, number))
    assert cli.main([*TINY, "--out", "a run"]) == 128 + number
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith("jaxmeta: interrupted at step ")
    assert last.endswith(" of 130; to go on: jaxmeta train --resume 'a run'")
    assert cli.main([*TINY, "--out", "a run"]) == 2
    assert "jaxmeta train --resume 'a run' continues a broken run" in capfd.readouterr().err
    assert cli.main(["train", "--resume", "a run"]) == 0
    assert_same(tmp_path / "a run", unbroken)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize("moments", [(0,), (1, 2), (60, 125), (STEPS,)])
def test_killed_at_any_moment_it_goes_on_to_the_same_bits(moments, unbroken, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "INTERVAL", 0.05)
    monkeypatch.setattr(progress, "CALL", 0.002)
    arguments = [*TINY, "--out", str(tmp_path / "run")]
    for moment in moments:
        broken(monkeypatch, moment, kill)
        with pytest.raises(Killed):
            cli.main(arguments)
        arguments = ["train", f"--resume={tmp_path / 'run'}"]
    assert cli.main(arguments) == 0
    assert_same(tmp_path / "run", unbroken)
