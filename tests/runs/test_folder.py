import json
import os
import shutil

import jax
import numpy as np
import pytest
from flax import serialization

from jaxmeta import checks
from jaxmeta.runs import RunFolder, clear, create, folder, held, write_json

PARAMS = {"kernel": np.ones((2, 2), np.float32)}


@pytest.mark.fault(promised="one line that names the file; what exists stays")
def test_a_folder_is_held_by_one_at_a_time(tmp_path):
    with create(tmp_path / "run", force=False) as path:
        for hold in (lambda: held(path), lambda: create(path, force=True)):
            with pytest.raises(checks.DataError, match="another process"), hold():
                pass
    with held(path), pytest.raises(checks.DataError, match="another process"), held(path):
        pass


@pytest.mark.fault(promised="one line that names the file; what exists stays")
def test_what_holds_something_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="--force"), create(tmp_path, force=False):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with create(tmp_path, force=True) as path:
        write_json(path / "config.json", {})
        (path / "checkpoints" / "maml").mkdir(parents=True)
        clear(path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "mine.txt"]


def test_lines_are_whole_or_absent(tmp_path, full_disk):
    ends = [folder.append_metrics(tmp_path, {"step": step, "loss": float("nan")}) for step in range(3)]
    with full_disk(ends[-1] + 5), pytest.raises(checks.DataError, match=r"metrics\.jsonl: expected a file"):
        folder.append_metrics(tmp_path, {"step": 3})
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"step": step, "loss": None} for step in range(3)]
    folder.truncate_metrics(tmp_path, ends[0])
    assert folder.metrics_end(tmp_path) == ends[0]
    with pytest.raises(checks.DataError, match="of its checkpoint"):
        folder.truncate_metrics(tmp_path, ends[1])


def test_a_full_disk_leaves_a_file_as_it_was(tmp_path, full_disk):
    write_json(tmp_path / "results.json", [1])
    with full_disk(), pytest.raises(checks.DataError, match=r"results\.json: expected a file that can be written"):
        write_json(tmp_path / "results.json", list(range(10_000)))
    assert json.loads((tmp_path / "results.json").read_text()) == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.fault(promised="one line that names the file; what exists stays")
def test_a_folder_that_is_gone_is_one_line(tmp_path):
    shutil.rmtree(tmp_path)
    for write in (lambda: folder.append_metrics(tmp_path, {}), lambda: write_json(tmp_path / "config.json", {})):
        with pytest.raises(checks.DataError, match="can be written, got No such file or directory"):
            write()


@pytest.fixture
def stranger(tmp_path):
    """A run folder, and a file that it has no business with."""
    run = tmp_path / "run"
    run.mkdir()
    (tmp_path / "secret").write_text("secret")
    (run / "config.json").write_text(json.dumps({"schema": 1, "preset": "maml-strokes", "config": {}}))
    (run / "meta_params.msgpack").write_bytes(serialization.to_bytes(PARAMS))
    return run


def test_no_link_of_a_run_folder_is_followed(stranger):
    RunFolder(stranger)
    names = ("config.json", "meta_params.msgpack", "results.json", "metrics.jsonl", "checkpoints", ".lock")
    for name in names:
        path = stranger / name
        kept = path.read_bytes() if path.exists() else None
        path.unlink(missing_ok=True)
        for target in (stranger.parent / "secret", stranger.parent / "nowhere"):
            path.symlink_to(target)
            with pytest.raises(checks.DataError, match=f"{name}: expected a plain file or folder, got a link"):
                RunFolder(stranger)
            path.unlink()
        os.mkfifo(path)
        with pytest.raises(checks.DataError, match=f"{name}: expected a plain file or folder, got a device or pipe"):
            RunFolder(stranger)
        path.unlink()
        if kept:
            path.write_bytes(kept)
    RunFolder(stranger)


def test_no_lock_is_made_through_a_link(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "made")
    for hold in (lambda: held(tmp_path / "run"), lambda: create(tmp_path / "run", force=False)):
        with pytest.raises(checks.DataError, match="a link"), hold():
            pass
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "content", ["[" * 100_000, "{" + " " * 200_000 + "}", "", "[]", "9" * 5000, "\x00", '{"schema": 1}']
)
def test_configs_that_are_none(stranger, content):
    (stranger / "config.json").write_text(content)
    with pytest.raises(checks.DataError, match=r"config\.json: expected a run's config") as caught:
        RunFolder(stranger)
    assert len(str(caught.value).splitlines()) == 1


def test_parameters_are_held_against_what_they_must_be(stranger):
    run = RunFolder(stranger)
    assert jax.tree.structure(run.meta_params(PARAMS)) == jax.tree.structure(PARAMS)
    nothing = {"kernel": {}}
    for wrong, message in (
        ({"kernel": np.full((2, 2), np.nan, np.float32)}, "finite parameters"),
        ({"kernel": np.full((2, 2), np.inf, np.float32)}, "finite parameters"),
        ({"kernel": np.zeros((2, 2), np.float64)}, "an array"),
        ({"kernel": np.zeros((4, 1), np.float32)}, "an array"),
        ({"kernel": 1.0}, "an array"),
        ({"kernel": np.array(["a"])}, "meta_params"),
        (nothing, "an array for each name"),
        ({}, "the parameters of this run"),
        ([], "the parameters of this run"),
        ({"kernel": np.zeros(10**6, np.float32)}, "4,0"),
    ):
        (stranger / "meta_params.msgpack").write_bytes(serialization.msgpack_serialize(wrong))
        with pytest.raises(checks.DataError, match=message) as caught:
            run.meta_params(PARAMS)
        assert "meta_params.msgpack" in str(caught.value)


def test_json_of_any_size(tmp_path):
    (tmp_path / "it.json").write_text("[1, 2]")
    assert folder.read_json(tmp_path / "it.json", 6) == [1, 2]
    with pytest.raises(ValueError, match="more than 5 bytes"):
        folder.read_json(tmp_path / "it.json", 5)
