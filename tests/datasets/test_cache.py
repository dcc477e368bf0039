import os
import pathlib
import types

import numpy as np
import pytest
from PIL import Image

from jaxmeta import datasets
from jaxmeta.datasets import Form, cache, pictures


@pytest.fixture
def decoded(monkeypatch):
    """The names of the pictures that were decoded."""
    seen = []
    decode = pictures.decode
    monkeypatch.setattr(
        pictures, "decode", lambda source, what, form: (seen.append(what), decode(source, what, form))[1]
    )
    return seen


def test_a_hit_decodes_nothing(class_folders, decoded, cache_folder):
    first = datasets.load(class_folders)
    assert len(decoded) == 6
    assert len(os.listdir(cache_folder)) == 1
    second = datasets.load(class_folders)
    assert len(decoded) == 6
    np.testing.assert_array_equal(first.inputs, second.inputs)
    assert first[2:] == second[2:]


def test_polarity_shares_an_entry_and_size_does_not(class_folders, decoded):
    plain, inverted = (datasets.load(class_folders, form=Form(6, 4, 1, each)) for each in ("as_is", "invert"))
    assert len(decoded) == 6
    np.testing.assert_array_equal(plain.inputs, 255 - inverted.inputs)
    assert datasets.load(class_folders, form=Form(5, 5, 1)).inputs.shape == (6, 5, 5, 1)
    assert len(decoded) == 12


def test_a_changed_file_is_decoded_again(class_folders, decoded):
    datasets.load(class_folders)
    path = class_folders / "ant" / "0.png"
    times = path.stat()
    Image.fromarray(np.full((6, 4), 77, np.uint8)).save(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert datasets.load(class_folders).inputs[0, 0, 0, 0] == 77
    assert len(decoded) == 12


def test_a_renamed_class_is_not_mixed_up(class_folders):
    datasets.load(class_folders)
    (class_folders / "ant").rename(class_folders / "wasp")
    insects = datasets.load(class_folders)
    assert insects.class_names == ("bee", "cat", "wasp")
    np.testing.assert_array_equal(insects.inputs[:, 0, 0, 0], [100, 110, 200, 210, 220, 0])


@pytest.mark.parametrize("damage", ["truncated", "empty", "wrong count", "wrong key"])
def test_a_damaged_entry_is_replaced(class_folders, decoded, cache_folder, damage):
    datasets.load(class_folders)
    (entry,) = cache_folder.iterdir()
    whole = entry.read_bytes()
    if damage == "truncated":
        entry.write_bytes(whole[: len(whole) // 2])
    elif damage == "empty":
        entry.write_bytes(b"")
    else:
        np.savez(entry, **{"images" if damage == "wrong count" else "x": np.zeros((5, 6, 4, 1), np.uint8)})
    assert datasets.load(class_folders).inputs[-1, 0, 0, 0] == 220
    assert len(decoded) == 12
    datasets.load(class_folders)
    assert len(decoded) == 12
    assert list(cache_folder.iterdir()) == [entry]


def test_a_cache_that_cannot_be_written_is_no_error(class_folders, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JAXMETA_CACHE", str(tmp_path / "file" / "below"))
    assert datasets.load(class_folders).offsets[-1] == 6


def test_a_failed_write_leaves_nothing(class_folders, monkeypatch, cache_folder):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert datasets.load(class_folders).offsets[-1] == 6
    assert list(cache_folder.iterdir()) == []


def test_failed_decoding_leaves_nothing(class_folders, cache_folder, refused):
    (class_folders / "ant" / "0.png").write_bytes(b"")
    with refused("0.png"):
        datasets.load(class_folders)
    assert not cache_folder.exists()


def test_where_it_lies(monkeypatch):
    monkeypatch.setenv("JAXMETA_CACHE", "/chosen")
    assert cache.folder() == pathlib.Path("/chosen")
    monkeypatch.delenv("JAXMETA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache.folder() == pathlib.Path("/xdg/jaxmeta")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache.folder() == pathlib.Path("/home/someone/.cache/jaxmeta")


def test_large_sets_are_mapped_to_a_file_and_read_again(class_folders, decoded, cache_folder, monkeypatch, refused):
    """As tiered-ImageNet's 9.5 GB are: never in memory at once, decoded once, and whole or not there."""
    small = datasets.load(class_folders, form=Form(6, 4, 1))
    monkeypatch.setattr(cache, "LARGE", 100)
    before = len(decoded)
    for _ in range(2):
        large = datasets.load(class_folders, form=Form(6, 4, 1))
        np.testing.assert_array_equal(large.inputs, small.inputs)
        assert isinstance(large.inputs, np.memmap)
        assert len(decoded) == before + 6
    (entry,) = cache_folder.glob("*.npy")
    entry.write_bytes(entry.read_bytes()[:-10])
    np.testing.assert_array_equal(datasets.load(class_folders, form=Form(6, 4, 1)).inputs, small.inputs)
    assert not list(cache_folder.glob("*.part"))
    entry.unlink()
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1))
    with refused("free bytes", "JAXMETA_CACHE"):
        datasets.load(class_folders, form=Form(6, 4, 1))


@pytest.mark.fault(promised="computed anew")
def test_features_whose_bytes_were_damaged_are_computed_anew(cache_folder):
    """Same header, same length, other numbers: before, other answers without a word."""
    made, rows = [], np.arange(12, dtype=np.float32).reshape(4, 3)
    computed = lambda: np.array(cache.computed("key", (4, 3), lambda: made.append(1) or iter(rows)))  # noqa: E731
    for times in (1, 1):
        np.testing.assert_array_equal(computed(), rows)
        assert len(made) == times
    (entry,) = cache_folder.glob("*.features.npy")
    content = bytearray(entry.read_bytes())
    content[-4:] = np.float32(7).tobytes()
    entry.write_bytes(content)
    np.testing.assert_array_equal(computed(), rows)
    assert len(made) == 2
    np.testing.assert_array_equal(computed(), rows)
    assert len(made) == 2


def test_what_killed_processes_left_a_day_ago_goes(class_folders, cache_folder):
    cache_folder.mkdir(parents=True, exist_ok=True)
    old, fresh = cache_folder / ".a.features.npy.1.part", cache_folder / "tmp123.part"
    for path in (old, fresh):
        path.write_bytes(b"half")
    a_day_ago = fresh.stat().st_mtime - cache.DAY - 60
    os.utime(old, (a_day_ago, a_day_ago))
    datasets.load(class_folders)
    assert fresh.exists()
    assert not old.exists()
