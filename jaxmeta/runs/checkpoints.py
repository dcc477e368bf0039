"""Checkpoints: the state of a training, whole or not at all.

A checkpoint is one file, `checkpoints/NAME/NUMBER.msgpack`: what it is, its size and its sha256, then msgpack as in
meta_params.msgpack. So nothing is pickled, a flipped bit is found, and sizes are checked before anything is allocated.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import re
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
from flax import serialization

from jaxmeta import checks
from jaxmeta.runs import processes
from jaxmeta.runs.folder import CHECKPOINTS, check_arrays, check_plain, replace, trained, writing
from jaxmeta.types import PyTree

MOST_NOTES = 1_000_000
KEPT = 2
MAGIC = b"jaxmeta checkpoint 1\n"
_SEAL = struct.Struct(f"<{len(MAGIC)}sQ32s")  # what it is, the bytes that follow, and their sha256
_NAME = re.compile(r"([1-9][0-9]*)\.msgpack")


class Checkpoint(NamedTuple):
    """What comes back."""

    arrays: PyTree
    notes: dict[str, Any]
    changed: list[str]
    """The versions that are others now, such as "jax 0.10.1, now 0.10.2"."""


def _alike(name: str, then: Any, now: Any) -> bool:
    """Whether a fact is as it was; a config may have fields more or fewer, as those of other versions have."""
    if name == "config" and isinstance(then, dict) and isinstance(now, dict):
        return all(then[field] == value for field, value in now.items() if field in then)
    return then == now


class Checkpoints:
    """The checkpoints of one training in a run folder that this process holds; the last two are kept.

    Args:
      folder: the run folder.
      name: tells the trainings of one run apart.
      facts: what a resume must find as it was, {"config": .., "data": ..}.
      versions: what a resume should find as it was.
    """

    def __init__(self, folder: pathlib.Path, name: str, *, facts: dict[str, Any], versions: dict[str, str]):
        self.folder, self.path = folder, folder / CHECKPOINTS / name
        self.facts, self.versions = json.loads(json.dumps(facts)), versions

    def save(self, arrays: PyTree, notes: dict[str, Any]) -> None:
        """Adds a checkpoint; it is there when this returns. The first of several processes writes it.

        Args:
          arrays: any pytree of arrays, no typed keys.
          notes: anything that JSON holds.

        Raises:
          DataError: if it cannot be written; the checkpoints before it stay.
        """
        if not processes.is_first():
            return
        about = json.dumps({"notes": notes, "facts": self.facts, "versions": self.versions})
        payload = serialization.msgpack_serialize(
            {"about": about, "arrays": jax.device_get(serialization.to_state_dict(arrays))}
        )
        for each in (self.path.parent, self.path):
            check_plain(each)
        if not self.folder.is_dir():
            got = "the run folder is gone"
            checks.fail(str(self.path), "a checkpoint that can be written", got, error=checks.DataError)
        with writing(self.path, "a checkpoint"):
            for each in (self.path.parent, self.path):
                each.mkdir(exist_ok=True)
            numbers = _numbers(self.path)
        number = max(numbers, default=0) + 1
        replace(self._file(number), seal(payload), payload, what="a checkpoint")
        with writing(self.path, "a folder"):
            for old in sorted(numbers)[: -(KEPT - 1)]:
                self._file(old).unlink()

    def restore(self, like: PyTree) -> Checkpoint | None:
        """Reads the last whole checkpoint, or returns None if there is none; all processes get that of the first.

        Args:
          like: the shapes of the arrays.

        Raises:
          DataError: if it is damaged or of something else, or the facts are others now.
        """
        with processes.alike():
            number, payload = self._last(like) if processes.is_first() else (0, b"")
        if not (payload := processes.from_first(payload)):
            return None
        path = self._file(processes.agreed(number))
        with _whole(path):
            content: Any = serialization.msgpack_restore(payload)
            about = json.loads(content["about"])
            arrays = serialization.from_state_dict(like, content["arrays"])
            facts, versions, notes = (dict(about[name]) for name in ("facts", "versions", "notes"))
        for name, now in self.facts.items():
            if not _alike(name, facts.get(name), now):
                got = _difference(facts.get(name), now)
                checks.fail(str(path), f"the {name} that the run began with", got, error=checks.DataError)
        now = self.versions
        changed = [f"{name} {versions.get(name)}, now {now[name]}" for name in now if versions.get(name) != now[name]]
        return Checkpoint(check_arrays(path, like, arrays), notes, changed)

    def _file(self, number: int) -> pathlib.Path:
        return self.path / f"{number}.msgpack"

    def _last(self, like: PyTree) -> tuple[int, bytes]:
        """The number and the bytes of the last checkpoint; no bytes if there is none."""
        for each in (self.path.parent, self.path):
            check_plain(each)
        if not self.path.is_dir():
            return 0, b""
        with _whole(self.path):
            entries, number = sorted(self.path.iterdir()), max(_numbers(self.path), default=0)
        for each in entries:
            check_plain(each)
            if each.is_dir() and not _NAME.fullmatch(each.name):
                got, hint = "a folder, as versions before wrote it", "train anew, or resume with the one that made it"
                checks.fail(str(each), "a checkpoint of this version", got, hint, checks.DataError)
        with _whole(self._file(number)):
            return number, _read(self._file(number), like) if number else b""


@contextlib.contextmanager
def _whole(path: pathlib.Path) -> Iterator[None]:
    """Turns whatever a damaged checkpoint raises into a DataError that names it."""
    try:
        yield
    except checks.DataError:
        raise
    except Exception as error:  # msgpack and flax raise many kinds on foreign bytes
        hint = "remove it to go on from the one before, if there is one"
        checks.fail(str(path), "a whole checkpoint of this run", _reason(error), hint, checks.DataError)


def _numbers(path: pathlib.Path) -> list[int]:
    """Of the checkpoints in a folder: what is half written has another name."""
    return [int(found[1]) for each in path.iterdir() if (found := _NAME.fullmatch(each.name))]


def seal(payload: bytes) -> bytes:
    """What stands before a checkpoint's content."""
    return _SEAL.pack(MAGIC, len(payload), hashlib.sha256(payload).digest())


def _read(path: pathlib.Path, like: PyTree) -> bytes:
    """The content of a checkpoint, whose sizes are checked before it is read."""
    expected = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(trained(like)))
    with path.open("rb") as stream:
        stored = os.fstat(stream.fileno()).st_size - _SEAL.size
        if stored > 2 * expected + MOST_NOTES:
            raise ValueError(f"{stored:,} bytes for arrays of {expected:,}")
        magic, size, digest = _SEAL.unpack(stream.read(_SEAL.size))
        if magic != MAGIC:
            raise ValueError("another kind of file")
        if not 0 < size == stored:
            raise ValueError(f"{stored:,} bytes where its size is {size:,}")
        content = stream.read(size)
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("other bytes than were written")
    return content


def _reason(error: Exception) -> str:
    line = (str(error).splitlines() or [""])[0]
    return getattr(error, "strerror", None) or line[:200] or type(error).__name__


def _difference(before: Any, now: Any) -> str:
    """The first entry that differs."""
    if not isinstance(before, dict) or not isinstance(now, dict):
        return repr(now)
    name = next(name for name in {**before, **now} if before.get(name) != now.get(name))
    return f"{name} {now.get(name)!r} instead of {before.get(name)!r}"
