"""Broken runs go on to the bits of an unbroken one."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import faults
import numpy as np
import pytest

from jaxmeta import cli, provenance
from jaxmeta.cli import signals
from jaxmeta.runs import Run, fitting, held, progress

STEPS = 130
TINY = [
    "train", "maml-regression", "--steps", str(STEPS), "--hidden", "4", "4", "--shots", "3", "--train-queries", "3",
    "--queries", "3", "--tasks-per-step", "2", "--inner-steps", "1", "--num-tasks", "2", "--validation-tasks", "2",
]  # fmt: skip


class Killed(BaseException):
    """What kill -9 is inside one process: nothing more is written."""


def without_tables(patch):
    """Their programs take longer to compile than the training takes."""
    patch.setattr(Run, "rows", lambda *_, **__: [])


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    # On a busy machine the grace may be over before a test has saved, and would end all tests.
    monkeypatch.setattr(signals, "GRACE", 600.0)
    without_tables(monkeypatch)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    path = tmp_path_factory.mktemp("unbroken") / "run"
    with pytest.MonkeyPatch.context() as patch:
        without_tables(patch)
        assert cli.main([*TINY, "--out", str(path)]) == 0
    return path


def broken(monkeypatch, step, how):
    """Lets `how(training, stop)` happen before the first call of a training that has come to `step`."""
    pause, done = fitting._pause, []

    def patched(now, coming, stop):
        if now[0].step >= step and not done:
            done.append(step)
            how(now[0], stop)
        pause(now, coming, stop)

    monkeypatch.setattr(fitting, "_pause", patched)


def kill(training, stop):
    raise Killed


def terminate(number, stop):
    os.kill(os.getpid(), number)
    while not stop():
        time.sleep(0.01)


def lines(path):
    kept = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in kept]


def assert_same(path, unbroken):
    assert (path / "meta_params.msgpack").read_bytes() == (unbroken / "meta_params.msgpack").read_bytes()
    assert lines(path) == lines(unbroken)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.fault(promised="the line that resumes, exit code 143 or 130; the bits of an unbroken run")
def test_a_signal_saves_and_the_line_that_it_prints_resumes(number, unbroken, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    broken(monkeypatch, 70, lambda training, stop: terminate(number, stop))
    assert cli.main([*TINY, "--out", "a run"]) == 128 + number
    last = capfd.readouterr().err.splitlines()[-1]
    found = re.fullmatch(r"jaxmeta: interrupted at step (\d+) of 130; to go on: jaxmeta train --resume 'a run'", last)
    assert cli.main([*TINY, "--out", "a run"]) == 2
    assert "jaxmeta train --resume 'a run' continues a broken run" in capfd.readouterr().err
    first = []
    broken(monkeypatch, 0, lambda training, stop: first.append(training.step))
    assert cli.main(["train", "--resume", "a run"]) == 0
    assert first == [int(found[1])]
    assert_same(tmp_path / "a run", unbroken)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize("moments", [(0,), (1, 2), (60, 125), (STEPS,)])
@pytest.mark.fault(promised="the bits of an unbroken run")
@pytest.mark.product(moments=((1, 2),))
def test_killed_at_any_moment_it_goes_on_to_the_same_bits(moments, unbroken, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "INTERVAL", 0.05)
    monkeypatch.setattr(fitting, "CALL", 0.002)
    arguments = [*TINY, "--out", str(tmp_path / "run")]
    for moment in moments:
        broken(monkeypatch, moment, kill)
        with pytest.raises(Killed):
            cli.main(arguments)
        arguments = ["train", f"--resume={tmp_path / 'run'}"]
    assert cli.main(arguments) == 0
    assert_same(tmp_path / "run", unbroken)


@pytest.mark.fault(promised="one line and its exit code")
def test_what_resume_refuses(unbroken, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    shutil.copytree(unbroken, run)

    def said(code, *extra):
        capsys.readouterr()
        assert cli.main(["train", "--resume", str(run), *extra]) == code
        err = capsys.readouterr().err
        assert err.count("jaxmeta: ") == 1
        return err

    assert "--steps" in said(2, "--steps", "7")
    assert "began with" in said(2, "--domain", "elsewhere.npz")
    with held(run):
        assert "one that another process is using" in said(1)
    monkeypatch.setattr(provenance, "versions", lambda: {"jax": "0.0.1"})
    capsys.readouterr()
    assert cli.main(["train", "--resume", str(run)]) == 0
    assert ", now 0.0.1: the bits may not be those of an unbroken run" in capsys.readouterr().err
    config = (unbroken / "config.json").read_text()
    (run / "config.json").write_text(config.replace('"tasks_per_step": 2', '"tasks_per_step": 3'))
    assert "tasks_per_step 3 instead of 2" in said(1)
    (run / "config.json").write_text(config.replace('"maml-regression"', r'"\u001b[2J, ../../elsewhere"'))
    assert cli.main(["train", "--resume", str(run), "--tensorboard"]) == 0  # a name is shown, and no more
    assert "\x1b" not in capsys.readouterr().err
    assert not (run.parent / "elsewhere").exists()
    (run / "config.json").unlink()
    assert "config.json" in said(1)


@pytest.mark.fault(promised="one line and its exit code")
def test_a_checkpoint_of_a_step_that_cannot_be_is_refused(tmp_path, monkeypatch, capsys):
    def forge(training, stop):
        training.state = training.state._replace(step=np.array(STEPS + 1, np.int32))
        training.save()
        raise Killed

    broken(monkeypatch, 0, forge)
    with pytest.raises(Killed):
        cli.main([*TINY, "--out", str(tmp_path / "run")])
    assert cli.main(["train", "--resume", str(tmp_path / "run")]) == 1
    assert "expected a step up to 130, got step 131" in capsys.readouterr().err


@pytest.mark.parametrize("moment", [20, 60])
@pytest.mark.fault(promised="one line and its exit code")
def test_a_folder_that_is_deleted_is_one_line(moment, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    broken(monkeypatch, moment, lambda *_: shutil.rmtree(run))
    assert cli.main([*TINY, "--out", str(run)]) == 1
    assert re.search(r"^jaxmeta: .*run.*: expected .* can be written, got ", capsys.readouterr().err.splitlines()[-1])
    assert not run.exists()


def test_a_disk_that_fills_up_leaves_what_resumes(unbroken, tmp_path, monkeypatch, capsys, full_disk):
    run, disk = tmp_path / "run", full_disk(250)  # room for a line of metrics, not for a checkpoint
    broken(monkeypatch, 20, lambda *_: disk.__enter__())
    try:
        assert cli.main([*TINY, "--out", str(run)]) == 1
    finally:
        disk.__exit__(None, None, None)
    assert "can be written, got" in capsys.readouterr().err.splitlines()[-1]
    assert cli.main(["train", "--resume", str(run)]) == 0
    assert_same(run, unbroken)


def test_a_small_disk_that_is_full_leaves_what_resumes(unbroken, tmp_path, monkeypatch, capsys, mount):
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path)
    run, filler = tmp_path / "run", tmp_path / "filler"

    def fill(*_):
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
            while stream.write(bytes(4096)):
                pass

    broken(monkeypatch, 20, fill)
    assert cli.main([*TINY, "--out", str(run)]) == 1
    assert "can be written, got No space left" in capsys.readouterr().err.splitlines()[-1]
    filler.unlink()
    assert cli.main(["train", "--resume", str(run)]) == 0
    assert_same(run, unbroken)


def test_a_disk_that_turns_read_only_leaves_what_resumes(unbroken, tmp_path, monkeypatch, capsys, mount):
    run = tmp_path / "run"

    def protect(*_):
        mount("--bind", tmp_path, tmp_path)
        mount("-o", "remount,bind,ro", tmp_path)

    broken(monkeypatch, 20, protect)
    assert cli.main([*TINY, "--out", str(run)]) == 1
    assert "can be written, got Read-only file system" in capsys.readouterr().err.splitlines()[-1]
    for arguments in (["train", "--resume", str(run)], [*TINY, "--out", str(tmp_path / "other")]):
        assert cli.main(arguments) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert "can be written, got Read-only file system" in line
    subprocess.run(["umount", str(tmp_path)], check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
    assert cli.main(["train", "--resume", str(run)]) == 0
    assert_same(run, unbroken)


@pytest.mark.fault(promised="named, exit code 3, the last good state kept; or skipped")
def test_divergence_is_named_and_kept_or_skipped(tmp_path, capsys):
    """One of twelve training tasks has values whose squares are none."""
    inputs = np.random.default_rng(0).uniform(-1, 1, (20, 12, 1))
    inputs[0] = 1e30
    domain = ["--domain", str(tmp_path / "tasks.npz")]
    np.savez(tmp_path / "tasks.npz", inputs=inputs, targets=2 * inputs)
    run, skipping = str(tmp_path / "run"), str(tmp_path / "skipping")
    assert cli.main([*TINY, *domain, "--out", run]) == 3
    said = capsys.readouterr().err.splitlines()[-1]
    found = re.search(r"diverged at step (\d+): loss (nan|inf), gradient norm (nan|inf); the state of step (\d+)", said)
    assert int(found[1]) == int(found[4]) + 1
    assert cli.main(["train", "--resume", run]) == 2  # whose file is called tasks.npz?
    assert cli.main(["train", "--resume", run, *domain]) == 3
    assert capsys.readouterr().err.splitlines()[-1] == said
    assert cli.main([*TINY, *domain, "--on-divergence", "skip", "--out", skipping]) == 0
    skipped = [line["skipped"] for line in lines(pathlib.Path(skipping)) if line["split"] == "train"]
    assert len(skipped) == 3
    assert 0 < sum(skipped) < STEPS / 2
    np.savez(tmp_path / "tasks.npz", inputs=inputs, targets=inputs)
    capsys.readouterr()
    assert cli.main(["train", "--resume", run, *domain]) == 1
    assert "the data that the run began with, got tasks.npz" in capsys.readouterr().err


@pytest.mark.fault(promised="exit code 143 within 10 s; a second process is refused")
@pytest.mark.long
def test_a_real_process_leaves_in_time_and_holds_its_folder(tmp_path):
    run = tmp_path / "run"
    process = faults.start([*TINY, "--steps", "10000000", "--out", str(run)])
    try:
        faults.wait_for(lambda: (run / "metrics.jsonl").exists(), process)
        second = faults.start(["train", "--resume", str(run)])
        assert "one that another process is using" in second.communicate(timeout=200)[1]
        assert second.returncode == 1
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        err = process.communicate(timeout=60)[1]
        assert time.monotonic() - began < 10
    finally:
        process.kill()
    assert process.returncode == 143
    assert err.splitlines()[-1].endswith(f"to go on: jaxmeta train --resume {run}")
    assert (run / "metrics.jsonl").read_text().endswith("}\n")


@pytest.mark.fault(promised="the bits of an unbroken run")
@pytest.mark.long
def test_a_real_process_that_is_killed_goes_on_to_the_same_bits(tmp_path):
    assert faults.main(["--trials", "1", "--steps", "400", "--folder", str(tmp_path)]) == 0
    content = json.loads((tmp_path / "unbroken" / "results.json").read_text())
    assert content["device"] == f"{os.environ['JAX_NUM_CPU_DEVICES']} x cpu"  # tasks are shared out
