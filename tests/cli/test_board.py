"""`jaxmeta train --tensorboard`, read as TensorBoard reads it."""

import json
import socket
import struct
import subprocess
import sys

import pytest
from tensorboardX.proto import event_pb2
from tensorboardX.record_writer import masked_crc32c

from jaxmeta import checks, cli
from jaxmeta.cli import board, signals, watching
from jaxmeta.runs import Event, RunFolder

TINY = [
    "train", "maml-regression", "--steps", "20", "--hidden", "4", "--shots", "2", "--train-queries", "2", "--queries",
    "2", "--tasks-per-step", "2", "--inner-steps", "1", "--num-tasks", "2", "--validation-tasks", "2",
]  # fmt: skip
WITHOUT = """
import sys
from jaxmeta import cli, runs
runs.Run.rows = lambda *_, **__: []  # a table writes no events, and its programs take longest to compile
assert cli.main(sys.argv[1:]) == 0
assert not any(name.split(".")[0] in ("tensorboardX", "tensorboard") for name in sys.modules)
"""


def read(folder):
    """The events of a folder's files, each record held against its checksums."""
    events = []
    for path in sorted(folder.glob("*tfevents*")):
        assert socket.gethostname() not in path.name
        content = path.read_bytes()
        while content:
            (size,), header = struct.unpack("<Q", content[:8]), content[:8]
            data, rest = content[12 : 12 + size], content[12 + size :]
            assert content[8:12] == struct.pack("<I", masked_crc32c(header))
            assert rest[:4] == struct.pack("<I", masked_crc32c(data))
            events.append(event_pb2.Event.FromString(data))
            content = rest[4:]
    return events


def scalars(events):
    return [(event.step, value.tag, value.simple_value) for event in events for value in event.summary.value]


@pytest.mark.long
def test_a_training_writes_its_metrics(tmp_path):
    assert cli.main([*TINY, "--tensorboard", "--out", str(tmp_path / "run")]) == 0
    events = read(tmp_path / "run" / "tensorboard")
    assert events[0].file_version == "brain.Event:2"
    assert (events[1].step, events[1].session_log.status) == (20, event_pb2.SessionLog.START)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    wanted = [(line["step"], f"{line['split']}/{name}", value) for line in lines for name, value in line.items()
              if name not in ("step", "split", "seconds")]  # fmt: skip
    assert {tag for _, tag, _ in wanted} >= {"train/loss", "validation/loss"}
    found = scalars(events)
    assert [each[:2] for each in found] == [each[:2] for each in wanted]
    assert [each[2] for each in found] == pytest.approx([each[2] for each in wanted])
    assert cli.main([*TINY, "--steps", "0", "--force", "--out", str(tmp_path / "run")]) == 0
    assert not (tmp_path / "run" / "tensorboard").exists()


@pytest.mark.long
def test_without_the_flag_nothing_is_imported_or_written(tmp_path):
    arguments = [*TINY, "--steps", "1", "--out", str(tmp_path / "run")]
    subprocess.run([sys.executable, "-c", WITHOUT, *arguments], check=True)
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_each_seed_has_its_own_curve_and_a_label_is_no_path(tmp_path):
    with watching.Watch(signals.Stop(""), tmp_path / "run" / "tensorboard") as watch:
        for label in ("maml, seed 0", "maml, seed 1", "maml, ../../elsewhere"):
            watch(Event("train", label, 50, 100, {"loss": 0.5}))
            watch(Event("validation", label, 50, 100, {"loss": 0.25}))
    for name in ("", "seed-0", "seed-1"):
        found = scalars(read(tmp_path / "run" / "tensorboard" / name))
        assert found == [(50, "train/loss", 0.5), (50, "validation/loss", 0.25)]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.fault(promised="one line that names the file; no link is followed")
def test_no_link_is_followed_and_a_disk_that_is_full_is_one_line(tmp_path, full_disk):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    run.mkdir()
    elsewhere.mkdir()
    (run / "tensorboard").symlink_to(elsewhere)
    with pytest.raises(checks.DataError, match="tensorboard: expected a plain file or folder, got a link"):
        RunFolder(run)
    for folder in (run / "tensorboard", run / "tensorboard" / "seed-0"):
        with pytest.raises(checks.DataError, match="got a link"):
            board.Board(folder, 0)
    assert list(elsewhere.iterdir()) == []
    made = board.Board(elsewhere, 0)
    with full_disk(100), pytest.raises(checks.DataError, match="elsewhere: expected an event file that can be written"):
        made.scalars(0, {f"loss of kind {kind}": 0.0 for kind in range(9)})
    made.records.close()
