import json
import shutil
from typing import Any

import jax
import numpy as np
import optax
import pytest

from jaxmeta import checks
from jaxmeta.runs import Checkpoints
from jaxmeta.training import MetaState

PARAMS = {"layer": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.full(3, np.nan, np.float32)}}
STATE = MetaState(PARAMS, optax.adam(optax.cosine_decay_schedule(0.1, 9)).init(PARAMS), np.array(7, np.int32))
LIKE = jax.eval_shape(lambda: jax.tree.map(jax.numpy.asarray, STATE))
FACTS: dict[str, Any] = {"config": {"steps": 9, "hidden": (4, 4)}, "data": {"a.npz": "0123"}}


def opened(folder, facts=FACTS, version="1"):
    return Checkpoints(folder, "maml", facts=facts, versions={"jax": version})


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    for step in range(4):
        opened(folder).save(STATE._replace(step=np.array(step, np.int32)), {"seconds": 0.1 + step})
    return folder


@pytest.fixture
def copy(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "run")
    return tmp_path / "run"


def test_what_was_saved_comes_back(saved):
    found = opened(saved).restore(LIKE)
    assert jax.tree.structure(found.arrays) == jax.tree.structure(STATE)
    jax.tree.map(np.testing.assert_array_equal, found.arrays, STATE._replace(step=np.array(3)))
    assert found.notes == {"seconds": 3.1}
    assert found.changed == []
    assert sorted(path.name for path in (saved / "checkpoints" / "maml").iterdir()) == ["3", "4"]


def test_without_a_checkpoint_nothing_comes_back(tmp_path):
    assert opened(tmp_path).restore(LIKE) is None


@pytest.mark.fault(promised="whole or refused in one line; never a traceback")
def test_what_is_half_written_is_not_read(copy):
    folder = copy / "checkpoints" / "maml"
    shutil.copytree(folder / "4", folder / "5.orbax-checkpoint-tmp")
    (folder / "6.orbax-checkpoint-tmp").mkdir()
    assert opened(copy).restore(LIKE).arrays.step == 3
    opened(copy).save(STATE, {})
    assert sorted(path.name for path in folder.iterdir()) == ["4", "5"]
    assert opened(copy).restore(LIKE).arrays.step == 7


@pytest.mark.fault(promised="whole or refused in one line; never a traceback")
def test_every_damage_is_one_line_or_changes_nothing(saved, tmp_path, capfd):
    """Each file of a checkpoint truncated, with a flipped bit, or gone: the state comes back whole or not at all."""
    refused, last = 0, saved / "checkpoints" / "maml" / "4"
    files = [path.relative_to(saved) for path in sorted(last.rglob("*")) if path.is_file()]
    for file in files:
        content = (saved / file).read_bytes()
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 16]) + content[middle + 1 :]
        for damaged in (content[:middle], b"", flipped, None):
            shutil.copytree(saved, tmp_path / "run")
            (tmp_path / "run" / file).unlink() if damaged is None else (tmp_path / "run" / file).write_bytes(damaged)
            error = None
            try:
                found = opened(tmp_path / "run").restore(LIKE)
            except checks.DataError as raised:
                error = str(raised)
            if error is None:
                jax.tree.map(np.testing.assert_array_equal, found.arrays, STATE._replace(step=np.array(3)))
            else:
                refused += 1
                assert str(tmp_path / "run" / "checkpoints" / "maml") in error
                assert len(error.splitlines()) == 1
            shutil.rmtree(tmp_path / "run")
    assert refused >= 12
    assert capfd.readouterr().err == ""


@pytest.mark.fault(promised="whole or refused in one line; never a traceback")
def test_other_facts_are_refused_and_other_versions_named(saved):
    for facts, message in (
        (
            {**FACTS, "config": {"steps": 8, "hidden": (4, 4)}},
            "the config that the run began with, got steps 8 instead",
        ),
        ({**FACTS, "data": {}}, "a.npz None instead of '0123'"),
    ):
        with pytest.raises(checks.DataError, match=message):
            opened(saved, facts).restore(LIKE)
    assert opened(saved, version="2").restore(LIKE).changed == ["jax 1, now 2"]


@pytest.mark.parametrize(
    "other",
    [
        LIKE._replace(step=jax.ShapeDtypeStruct((), np.float32)),
        LIKE._replace(meta_params={"layer": {"kernel": jax.ShapeDtypeStruct((2, 2), np.float32)}}),
        LIKE._replace(optimizer_state=()),
        jax.ShapeDtypeStruct((), np.float32),
    ],
)
@pytest.mark.fault(promised="whole or refused in one line; never a traceback")
def test_arrays_of_something_else_are_refused(saved, other):
    with pytest.raises(checks.DataError, match="checkpoints"):
        opened(saved).restore(other)


@pytest.mark.fault(promised="whole or refused in one line; never a traceback")
def test_an_enormous_size_is_refused_before_it_is_allocated(copy):
    seal = next((copy / "checkpoints" / "maml" / "4" / "seal").glob("metadata"))
    for size in (10**15, -1, "many"):
        seal.write_text(json.dumps({**json.loads(seal.read_text()), "size": size}))
        with pytest.raises(checks.DataError, match="size"):
            opened(copy).restore(LIKE)
    header = copy / "checkpoints" / "maml" / "4" / "content" / "checkpoint" / ".zarray"
    shutil.rmtree(copy / "checkpoints" / "maml" / "4")
    shutil.copytree(copy / "checkpoints" / "maml" / "3", copy / "checkpoints" / "maml" / "4")
    header.write_text(json.dumps({**json.loads(header.read_text()), "shape": [10**15]}))
    with pytest.raises(checks.DataError, match="not compatible with the stored shape"):
        opened(copy).restore(LIKE)


@pytest.mark.fault(promised="whole or refused in one line; never a traceback")
def test_a_run_folder_that_is_gone_is_not_made_again(copy):
    checkpoints = opened(copy)
    shutil.rmtree(copy)
    with pytest.raises(checks.DataError, match="the run folder is gone"):
        checkpoints.save(STATE, {})
    assert not copy.exists()


def test_a_full_disk_leaves_the_checkpoints_before(copy, full_disk):
    large = np.random.default_rng(0).normal(size=100_000)
    with full_disk(), pytest.raises(checks.DataError, match="expected a checkpoint that can be written"):
        opened(copy).save(large, {})
    assert opened(copy).restore(LIKE).arrays.step == 3
    opened(copy).save(STATE, {})
    assert opened(copy).restore(LIKE).arrays.step == 7


def test_links_are_not_followed(copy, tmp_path):
    folder = copy / "checkpoints" / "maml"
    for path in (copy / "checkpoints", folder, folder / "4", folder / "4" / "seal" / "metadata"):
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(checks.DataError, match="a plain file or folder, got a link"):
            opened(copy).restore(LIKE)
        path.unlink()
        (tmp_path / "elsewhere").rename(path)
    assert opened(copy).restore(LIKE).arrays.step == 3


def test_files_of_any_size_are_not_read(copy):
    with (copy / "checkpoints" / "maml" / "4" / "content" / "more").open("wb") as stream:
        stream.truncate(10**12)
    with pytest.raises(checks.DataError, match="bytes for arrays of"):
        opened(copy).restore(LIKE)


def test_a_numbered_folder_without_a_checkpoint_is_named(copy):
    (copy / "checkpoints" / "maml" / "5").mkdir()
    with pytest.raises(checks.DataError, match=r"maml/5: expected a whole checkpoint .* remove it to go on"):
        opened(copy).restore(LIKE)
    (copy / "checkpoints" / "maml" / "5").rmdir()
    assert opened(copy).restore(LIKE).arrays.step == 3
