"""Decoded pictures on disk, so that an archive or a folder is decoded once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Mapping

import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import npz, pictures

FORMAT = 1  # raise when decoding changes, so that older entries are no longer found


def folder() -> pathlib.Path:
    """Returns $JAXMETA_CACHE, else $XDG_CACHE_HOME/jaxmeta, else ~/.cache/jaxmeta."""
    if chosen := os.environ.get("JAXMETA_CACHE"):
        return pathlib.Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return pathlib.Path(base) / "jaxmeta"


def images(
    reader: str, form: pictures.Form | None, checksums: Mapping[str, str], count: int, decode: Callable[[], np.ndarray]
) -> np.ndarray:
    """Returns what `decode` returns, from the cache if these very files were decoded before.

    Args:
      reader: which decoder runs; part of the key.
      form: the form it decodes to; its polarity is applied later and is no part of the key.
      checksums: {relative name: sha256} of everything that is decoded.
      count: how many pictures there are.
      decode: () -> pictures uint8 [count, height, width, channels].
    """
    shape = None if form is None else [form.height, form.width, form.channels]
    key = json.dumps([FORMAT, reader, shape, sorted(checksums.items())])
    path = folder() / f"{hashlib.sha256(key.encode()).hexdigest()}.npz"
    with contextlib.suppress(checks.DataError):  # an entry that cannot be read counts as none
        kept = npz.read_arrays(path, ["images"]).get("images")
        if kept is not None and kept.dtype == np.uint8 and kept.ndim == 4 and _fits(kept, count, shape):
            return kept
    fresh = decode()
    with contextlib.suppress(OSError):  # a cache that cannot be written is no error
        _write(path, fresh)
    return fresh


def _fits(images: np.ndarray, count: int, shape: list[int] | None) -> bool:
    return list(images.shape) == [count, *(shape or images.shape[1:])]


def _write(path: pathlib.Path, array: np.ndarray) -> None:
    """Writes to a file beside `path` and renames it: a reader sees a whole entry or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as stream:
        try:
            np.savez(stream, images=array)
            stream.close()
            os.replace(stream.name, path)
        except BaseException:
            stream.close()
            os.unlink(stream.name)
            raise
