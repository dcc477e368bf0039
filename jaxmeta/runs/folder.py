"""What lies in a run folder, written whole or not at all, and read without trust."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

import jax
import numpy as np
from flax import serialization

from jaxmeta import checks
from jaxmeta.types import PyTree

SCHEMA = 1


def create(path: str | os.PathLike[str], *, force: bool) -> pathlib.Path:
    """Makes a folder for a run; one that holds something is refused unless `force` is set, which overwrites by name.

    Raises:
      ValueError: if the folder holds something.
      DataError: if it cannot be made.
    """
    path = pathlib.Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        occupied = any(path.iterdir())
    except OSError as error:
        checks.fail(str(path), "a folder that can be written", error.strerror, error=checks.DataError)
    if occupied and not force:
        checks.fail(str(path), "an empty folder", "one that holds something", "choose another --out, or give --force")
    (path / "metrics.jsonl").unlink(missing_ok=True)
    return path


def _replace(path: pathlib.Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        checks.fail(str(path), "a file that can be written", error.strerror, error=checks.DataError)


def write_json(path: pathlib.Path, content: Any) -> pathlib.Path:
    """Writes JSON in one go."""
    _replace(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())
    return path


def write_text(path: pathlib.Path, content: str) -> pathlib.Path:
    """Writes text in one go."""
    _replace(path, content.encode())
    return path


def append_metrics(folder: pathlib.Path, line: dict[str, Any]) -> None:
    """Adds one line to metrics.jsonl."""
    with (folder / "metrics.jsonl").open("a") as stream:
        stream.write(json.dumps(line) + "\n")


def save_params(folder: pathlib.Path, meta_params: PyTree) -> None:
    """Writes meta_params.msgpack; nothing is ever pickled."""
    _replace(folder / "meta_params.msgpack", serialization.to_bytes(jax.device_get(meta_params)))


class RunFolder:
    """A finished run, perhaps a stranger's: nothing in it is executed, and shapes are checked before they are used."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = pathlib.Path(path)
        self.config: dict[str, Any] = self._config()

    def _config(self) -> dict[str, Any]:
        path = self.path / "config.json"
        try:
            content = json.loads(path.read_text())
            if content["schema"] != SCHEMA or not isinstance(content["config"], dict):
                raise ValueError(f"schema {content['schema']!r}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            checks.fail(str(path), f"a run's config of schema {SCHEMA}", reason, "give a run folder", checks.DataError)
        return content["config"]

    def meta_params(self, like: PyTree) -> PyTree:
        """Reads the parameters.

        Args:
          like: the shapes that the config asks for.

        Raises:
          DataError: if the file is missing, damaged, or holds something else.
        """
        path = self.path / "meta_params.msgpack"
        expected = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(like))
        try:
            if path.stat().st_size > 2 * expected + 1_000_000:
                raise ValueError(f"{path.stat().st_size:,} bytes for parameters of {expected:,}")
            restored = serialization.from_bytes(like, path.read_bytes())
        except Exception as error:  # msgpack and flax raise many kinds on foreign bytes
            reason = getattr(error, "strerror", None) or (str(error).splitlines() or ["damaged"])[0]
            checks.fail(str(path), "the parameters of this run", reason, error=checks.DataError)
        for wanted, got in zip(jax.tree.leaves(like), jax.tree.leaves(restored), strict=True):
            if not isinstance(got, np.ndarray) or (wanted.shape, wanted.dtype) != (got.shape, got.dtype):
                checks.fail(
                    str(path), f"an array {wanted.shape}", getattr(got, "shape", type(got)), error=checks.DataError
                )
        return restored
