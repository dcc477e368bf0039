import shutil
from typing import Any

import jax
import numpy as np
import optax
import pytest

from jaxmeta import checks
from jaxmeta.runs import Checkpoints, checkpoints
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
    assert sorted(path.name for path in (saved / "checkpoints" / "maml").iterdir()) == ["3.msgpack", "4.msgpack"]


def test_without_a_checkpoint_nothing_comes_back(tmp_path):
    assert opened(tmp_path).restore(LIKE) is None


@pytest.mark.fault(promised="whole or refused in one line; never a traceback")
def test_what_is_half_written_is_not_read(copy):
    folder = copy / "checkpoints" / "maml"
    content = (folder / "4.msgpack").read_bytes()
    for half in (b"", content[: len(content) // 2], content):
        (folder / ".5.msgpack.part").write_bytes(half)
        assert opened(copy).restore(LIKE).arrays.step == 3
    opened(copy).save(STATE, {})
    assert sorted(path.name for path in folder.iterdir()) == ["4.msgpack", "5.msgpack"]
    assert opened(copy).restore(LIKE).arrays.step == 7


@pytest.mark.fault(promised="whole or refused in one line; never a traceback")
def test_every_damage_is_one_line_or_changes_nothing(saved, tmp_path, capfd):
    """A checkpoint cut anywhere, with a flipped bit anywhere, or gone: the state comes back whole or not at all."""
    run, file = tmp_path / "run", "checkpoints/maml/4.msgpack"
    shutil.copytree(saved, run)
    content = (saved / file).read_bytes()
    places = [*range(80), *range(80, len(content), 23), len(content) - 1]
    flipped = [content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :] for place in places]
    cut = [content[:place] for place in places]
    for damaged in (*flipped, *cut, content + b"\0", content + content):
        (run / file).write_bytes(damaged)
        with pytest.raises(checks.DataError, match=r"maml/4\.msgpack: expected a whole checkpoint") as caught:
            opened(run).restore(LIKE)
        assert len(str(caught.value).splitlines()) == 1
    (run / file).unlink()
    assert opened(run).restore(LIKE).arrays.step == 2
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
    file = copy / "checkpoints" / "maml" / "4.msgpack"
    content, place = file.read_bytes(), len(checkpoints.MAGIC)
    for size in (2**64 - 1, 10**15, 0):
        file.write_bytes(content[:place] + size.to_bytes(8, "little") + content[place + 8 :])
        with pytest.raises(checks.DataError, match=f"bytes where its size is {size:,}"):
            opened(copy).restore(LIKE)
    file.write_bytes(checkpoints.seal(b""))
    with pytest.raises(checks.DataError, match="0 bytes where its size is 0"):
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


def test_nothing_is_written_through_a_link(copy, tmp_path):
    (tmp_path / "mine").write_text("mine")
    part = copy / "checkpoints" / "maml" / ".5.msgpack.part"
    for target in (tmp_path / "mine", tmp_path / "nowhere"):
        part.symlink_to(target)
        opened(copy).save(STATE, {})
        assert not part.is_symlink()
        (copy / "checkpoints" / "maml" / "5.msgpack").unlink()
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


def test_links_are_not_followed(copy, tmp_path):
    folder = copy / "checkpoints" / "maml"
    for path in (copy / "checkpoints", folder, folder / "3.msgpack", folder / "4.msgpack"):
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(checks.DataError, match="a plain file or folder, got a link"):
            opened(copy).restore(LIKE)
        path.unlink()
        (tmp_path / "elsewhere").rename(path)
    assert opened(copy).restore(LIKE).arrays.step == 3


def test_files_of_any_size_are_not_read(copy):
    with (copy / "checkpoints" / "maml" / "4.msgpack").open("r+b") as stream:
        stream.truncate(10**12)
    with pytest.raises(checks.DataError, match="bytes for arrays of"):
        opened(copy).restore(LIKE)


def test_a_folder_in_the_place_of_a_checkpoint_is_named(copy):
    (copy / "checkpoints" / "maml" / "5.msgpack").mkdir()
    with pytest.raises(checks.DataError, match=r"maml/5\.msgpack: expected a whole checkpoint .* remove it to go on"):
        opened(copy).restore(LIKE)
    (copy / "checkpoints" / "maml" / "5.msgpack").rmdir()
    assert opened(copy).restore(LIKE).arrays.step == 3


@pytest.mark.fault(promised="whole or refused in one line; never a traceback")
@pytest.mark.parametrize("name", ["4", "4.orbax-checkpoint-tmp"])
def test_what_an_older_version_wrote_is_named(copy, name):
    """It kept a folder a checkpoint; to pass it over would be to begin anew without a word."""
    for file in (copy / "checkpoints" / "maml").iterdir():
        file.unlink()
    (copy / "checkpoints" / "maml" / name / "content").mkdir(parents=True)
    with pytest.raises(checks.DataError, match=rf"maml/{name}: .* train anew, or resume with the one that made it"):
        opened(copy).restore(LIKE)


def test_numbers_go_on_beyond_any_length(copy):
    folder = copy / "checkpoints" / "maml"
    (folder / "4.msgpack").rename(folder / f"{10**30 - 1}.msgpack")
    assert opened(copy).restore(LIKE).arrays.step == 3
    opened(copy).save(STATE, {})
    assert opened(copy).restore(LIKE).arrays.step == 7
    assert sorted(path.name for path in folder.iterdir()) == [f"{10**30}.msgpack", f"{10**30 - 1}.msgpack"]
