"""Decoded pictures and computed features on disk, so that an archive or a folder is worked on once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import pathlib
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import files, npz, pictures

LARGE = 2**32  # bytes of pictures that are held in memory
DAY = 86_400.0
_ELSEWHERE = "JAXMETA_CACHE says where else"
Decoded = Iterable[tuple[str, np.ndarray]]
FORMAT = 3  # raise when decoding changes, so that older entries are no longer found


def folder() -> pathlib.Path:
    """Returns $JAXMETA_CACHE, else $XDG_CACHE_HOME/jaxmeta, else ~/.cache/jaxmeta."""
    if chosen := os.environ.get("JAXMETA_CACHE"):
        return pathlib.Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return pathlib.Path(base) / "jaxmeta"


def images(
    reader: str, form: pictures.Form | None, checksums: Mapping[str, str], count: int, decode: Callable[[], Decoded]
) -> np.ndarray:
    """Returns what `decode` gives, stacked, from the cache if these very files were decoded before.

    More than `LARGE` bytes are never in memory at once: they are decoded into a file of the cache and come back as an
    array that is mapped to it.

    Args:
      reader: which decoder runs; part of the key.
      form: the form it decodes to; its polarity is applied later and is no part of the key.
      checksums: {relative name: sha256} of everything that is decoded.
      count: how many pictures there are.
      decode: () -> (name, picture uint8 [height, width, channels]) of each of the `count`.

    Raises:
      DataError: if pictures differ in shape, or so many do not fit into the cache's disk.
    """
    decoded = lambda: files.told(decode(), count, f"decoding pictures, {reader}")  # noqa: E731
    shape = None if form is None else [form.height, form.width, form.channels]
    key = json.dumps([FORMAT, reader, shape, sorted(checksums.items())])
    path = folder() / f"{hashlib.sha256(key.encode()).hexdigest()}.npz"
    if form is not None and count * math.prod((form.height, form.width, form.channels)) > LARGE:
        return _mapped(path.with_suffix(".npy"), (count, form.height, form.width, form.channels), np.uint8, decoded)
    with contextlib.suppress(checks.DataError):  # an entry that cannot be read counts as none
        kept = npz.read_arrays(path, ["images"]).get("images")
        if kept is not None and kept.dtype == np.uint8 and kept.ndim == 4 and _fits(kept, count, shape):
            return kept
    fresh = pictures.stack(decoded())
    with contextlib.suppress(OSError):  # a cache that cannot be written is no error
        _write(path, fresh)
    return fresh


def computed(key: str, shape: tuple[int, ...], rows: Callable[[], Iterable[np.ndarray]]) -> np.ndarray:
    """Returns what `rows` gives, stacked to float32 [shape], from the cache if it was computed under this key before.

    It is mapped to its file; where there is no room for one, it stays in memory.

    Args:
      key: names everything that decides what the rows are.
      shape: (number of rows, ...).
      rows: () -> the rows, one after the other.
    """
    path = folder() / f"{hashlib.sha256(key.encode()).hexdigest()}.features.npy"
    numbered = lambda: ((f"row {number}", row) for number, row in enumerate(rows()))  # noqa: E731
    try:
        return _mapped(path, shape, np.float32, numbered)
    except checks.DataError:  # a cache that cannot be written is no error
        return np.stack(list(rows())).astype(np.float32)


def _mapped(path: pathlib.Path, shape: tuple[int, ...], dtype: Any, decode: Callable[[], Decoded]) -> np.ndarray:
    """The rows as an array mapped to a file, which is made if it is not there."""
    with contextlib.suppress(OSError, ValueError):  # an entry that cannot be read counts as none
        kept = np.load(path, mmap_mode="r", allow_pickle=False)
        is_whole = lambda: kept.nbytes > LARGE or _sum_path(path).read_text() == _sum(kept)  # noqa: E731
        if (kept.shape, kept.dtype) == (shape, np.dtype(dtype)) and is_whole():
            return kept
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        _make(path.parent)
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size > (free := shutil.disk_usage(path.parent).free):
            checks.fail(str(path.parent), f"{size:,} free bytes", f"{free:,}", _ELSEWHERE, checks.DataError)
        array = np.lib.format.open_memmap(part, "w+", dtype, shape)
        number = -1
        for number, (what, picture) in enumerate(decode()):
            if number == shape[0] or picture.shape != shape[1:]:
                checks.fail(what, f"{shape[0]:,} rows {shape[1:]}", picture.shape, error=checks.DataError)
            array[number] = picture
        if number + 1 < shape[0]:
            checks.fail(str(path), f"{shape[0]:,} rows", f"{number + 1:,}", error=checks.DataError)
        array.flush()
        _sum_path(path).write_text(_sum(array))
        os.replace(part, path)
    except OSError as error:
        reason = error.strerror or error
        checks.fail(str(path), "a file that can be written", reason, _ELSEWHERE, checks.DataError)
    finally:
        with contextlib.suppress(OSError):  # there may be no folder
            part.unlink(missing_ok=True)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _sum_path(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f"{path.name}.crc32")


def _sum(array: np.ndarray) -> str:
    """Of the bytes of a mapped array, which have no checksum of their own as those of an npz have."""
    found = 0
    for start in range(0, len(array), rows := max(1, 2**24 * len(array) // max(1, array.nbytes))):
        found = zlib.crc32(array[start : start + rows].tobytes(), found)
    return f"{found:08x}"


def _fits(images: np.ndarray, count: int, shape: list[int] | None) -> bool:
    return list(images.shape) == [count, *(shape or images.shape[1:])]


def _make(place: pathlib.Path) -> None:
    """Makes the cache's folder, and removes what processes that were killed began to write in it, a day ago or more."""
    place.mkdir(parents=True, exist_ok=True)
    for left in place.glob("*.part"):
        with contextlib.suppress(OSError):  # somebody else's, or gone meanwhile
            if time.time() - left.stat().st_mtime > DAY:
                left.unlink()


def _write(path: pathlib.Path, array: np.ndarray) -> None:
    """Writes to a file beside `path` and renames it: a reader sees a whole entry or none."""
    _make(path.parent)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as stream:
        try:
            np.savez(stream, images=array)
            stream.close()
            os.replace(stream.name, path)
        except BaseException:
            stream.close()
            os.unlink(stream.name)
            raise
