"""A run folder that came from a stranger: one line that names the file, nothing followed and nothing allocated."""

import json
import os
import shutil

import jax
import numpy as np
import pytest
from flax import serialization

from jaxmeta import checks
from jaxmeta.runs import Checkpoints, RunFolder, clear, folder

PARAMS = {"layer": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}
LIKE = jax.eval_shape(lambda: jax.tree.map(jax.numpy.asarray, PARAMS))
CONFIG = {"schema": 1, "preset": "maml-strokes", "config": {"seed": 0}}


@pytest.fixture
def run(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    (path / "config.json").write_text(json.dumps(CONFIG))
    (path / "meta_params.msgpack").write_bytes(serialization.to_bytes(PARAMS))
    (path / "results.json").write_text(json.dumps({"data": {"a.npz": "0123"}}))
    Checkpoints(path, "maml", facts={}, versions={}).save(PARAMS, {})
    return path


def restored(path):
    return Checkpoints(path, "maml", facts={}, versions={}).restore(LIKE)


def refused(read, *words):
    with pytest.raises(checks.DataError) as caught:
        read()
    assert len(str(caught.value).splitlines()) == 1
    for word in words:
        assert word in str(caught.value)


def test_a_whole_one_is_read(run):
    opened = RunFolder(run)
    np.testing.assert_array_equal(opened.meta_params(LIKE)["layer"]["kernel"], PARAMS["layer"]["kernel"])
    assert opened.checksums() == {"a.npz": "0123"}
    np.testing.assert_array_equal(restored(run).arrays["layer"]["kernel"], PARAMS["layer"]["kernel"])


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"1", b"null", b"\xff", b"\x00", b"[" * 100_000, b'{"schema": 1}',
        b'{"schema": 2, "config": {}}',
        b'{"schema": 1, "config": []}', b'{"schema": 1, "config": {}, "preset": []}', b" " * (folder.MOST_CONFIG + 1),
        b'{"schema": ' + b"9" * 5000 + b"}", json.dumps({**CONFIG, "schema": "\x1b[2J\n"}).encode(),
    ],
)  # fmt: skip
def test_configs_that_are_none(run, content):
    (run / "config.json").write_bytes(content)
    refused(lambda: RunFolder(run), "config.json")


def test_results_that_are_none_tell_nothing(run):
    for content in (b"", b"[" * 100_000, b"[]", b'{"data": 1}', b'{"data": {}'):
        (run / "results.json").write_bytes(content)
        assert RunFolder(run).checksums() is None
    for data, known in (([1], None), (1, None), ("a", None), ({"a.npz": ["01"]}, {"a.npz": "['01']"}), ({}, {})):
        (run / "config.json").write_text(json.dumps({**CONFIG, "data": data}))
        assert RunFolder(run).checksums() == known


def test_parameters_of_any_size_are_not_read(run):
    with (run / "meta_params.msgpack").open("wb") as stream:
        stream.truncate(10**12)  # takes no room on the disk
    refused(lambda: RunFolder(run).meta_params(LIKE), "meta_params.msgpack", "1,000,000,000,000 bytes")


@pytest.mark.parametrize("name", ["config.json", "meta_params.msgpack"])
def test_a_folder_where_a_file_should_be(run, name):
    (run / name).unlink()
    (run / name).mkdir()
    refused(lambda: RunFolder(run).meta_params(LIKE), name)


def test_no_link_of_a_run_folder_is_followed(run):
    for name in ("config.json", "meta_params.msgpack", "results.json", "metrics.jsonl", "checkpoints", ".lock"):
        path, kept = run / name, run.parent / "kept"
        if path.exists():
            path.rename(kept)
        for target in (kept, run.parent / "nowhere", "/dev/zero"):
            path.symlink_to(target)
            refused(lambda: RunFolder(run), f"{name}: expected a plain file or folder, got a link")
            path.unlink()
        os.mkfifo(path)
        refused(lambda: RunFolder(run), f"{name}: expected a plain file or folder, got a device or pipe")
        path.unlink()
        if kept.exists():
            kept.rename(path)
    RunFolder(run)


def test_parameters_are_held_against_what_they_must_be(run):
    for wrong, message in (
        ({"kernel": np.full((2, 3), np.nan, np.float32)}, "finite parameters"),
        ({"kernel": np.full((2, 3), np.inf, np.float32)}, "finite parameters"),
        ({"kernel": np.zeros((2, 3), np.float64)}, "an array float32 (2, 3), got float64 (2, 3); JAX_ENABLE_X64"),
        ({"kernel": np.zeros((6, 1), np.float32)}, "an array float32 (2, 3), got float32 (6, 1)"),
        ({"kernel": 1.0}, "an array"),
        ({"kernel": np.array(["a"])}, "meta_params"),
        ({"kernel": {}}, "an array for each name"),
        ({}, "the parameters of this run"),
        ([], "the parameters of this run"),
        ({"kernel": np.zeros(10**6, np.float32)}, "4,0"),
    ):
        (run / "meta_params.msgpack").write_bytes(serialization.msgpack_serialize({"layer": wrong}))
        refused(lambda: RunFolder(run).meta_params(LIKE), "meta_params.msgpack", message)


def test_checkpoints_that_are_links(run, tmp_path):
    shutil.copytree(run / "checkpoints", tmp_path / "outside")
    half = tmp_path / "outside" / "maml" / ".2.msgpack.part"
    half.write_bytes(b"half")
    for name in ("", "maml", "maml/1.msgpack"):
        entry = run / "checkpoints" / name
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        entry.symlink_to(tmp_path / "outside" / name)
        refused(lambda: restored(run), "checkpoints", "link")
        if name in ("", "maml"):
            refused(lambda: Checkpoints(run, "maml", facts={}, versions={}).save(PARAMS, {}), "link")
        clear(run)
        assert half.read_bytes() == b"half"
        assert not (run / "checkpoints").exists()
        shutil.copytree(tmp_path / "outside", run / "checkpoints")


def test_an_empty_checkpoint(run):
    (run / "checkpoints" / "maml" / "2.msgpack").touch()
    refused(lambda: restored(run), str(run / "checkpoints" / "maml" / "2.msgpack"), "remove it to go on from the one")


def test_checkpoints_of_any_size_are_not_read(run):
    with (run / "checkpoints" / "maml" / "1.msgpack").open("ab") as stream:
        stream.truncate(10**12)
    refused(lambda: restored(run), "bytes for arrays of 24")


def test_the_folder_of_a_seed_is_no_link_to_clear_through(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "config.json").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "seed-0").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(checks.DataError, match="seed-0: expected a plain file or folder, got a link"):
        clear(tmp_path / "run")
    assert (tmp_path / "elsewhere" / "config.json").read_text() == "mine"
