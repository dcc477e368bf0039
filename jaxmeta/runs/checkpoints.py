"""Checkpoints through orbax, behind this one module: the state of a training, whole or not at all.

A checkpoint is one array of bytes, msgpack as in meta_params.msgpack, with its sha256: nothing is pickled, a flipped
bit is found, and sizes are checked before anything is allocated. It is not a tree of arrays, since orbax takes their
shapes from the files, whatever was asked for, and over a damaged one its threads print tracebacks.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import serialization

from jaxmeta import checks
from jaxmeta.runs import processes
from jaxmeta.runs.folder import CHECKPOINTS, check_arrays, check_plain, read_json
from jaxmeta.types import PyTree

MOST_NOTES = 1_000_000


class Checkpoint(NamedTuple):
    """What comes back."""

    arrays: PyTree
    notes: dict[str, Any]
    changed: list[str]
    """The versions that are others now, such as "jax 0.10.1, now 0.10.2"."""


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
            {"about": about, "arrays": serialization.to_state_dict(jax.device_get(arrays))}
        )
        for each in (self.path.parent, self.path):  # orbax removes what is old or half written there
            check_plain(each)
        try:
            if not self.folder.is_dir():
                raise FileNotFoundError("the run folder is gone")
            with _manager(self.path) as (manager, args):
                content = args.ArraySave(np.frombuffer(payload, np.uint8))
                seal = args.JsonSave({"size": len(payload), "sha256": hashlib.sha256(payload).hexdigest()})
                manager.save(
                    max(manager.all_steps(), default=0) + 1, args=args.Composite(content=content, seal=seal), force=True
                )
        except Exception as error:  # orbax, tensorstore and the disk raise many kinds
            checks.fail(str(self.path), "a checkpoint that can be written", _reason(error), error=checks.DataError)

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
        path = self.path / str(processes.agreed(number))
        with _whole(path):
            content: Any = serialization.msgpack_restore(payload)
            about = json.loads(content["about"])
            arrays = serialization.from_state_dict(like, content["arrays"])
            facts, versions, notes = (dict(about[name]) for name in ("facts", "versions", "notes"))
        for name, now in self.facts.items():
            if facts.get(name) != now:
                got = _difference(facts.get(name), now)
                checks.fail(str(path), f"the {name} that the run began with", got, error=checks.DataError)
        now = self.versions
        changed = [f"{name} {versions.get(name)}, now {now[name]}" for name in now if versions.get(name) != now[name]]
        return Checkpoint(check_arrays(path, like, arrays), notes, changed)

    def _last(self, like: PyTree) -> tuple[int, bytes]:
        """The number and the bytes of the last whole checkpoint; no bytes if there is none."""
        path = self.path
        if not path.is_dir():
            return 0, b""
        for each in (path.parent, path, *path.rglob("*")):
            check_plain(each)
        with _whole(path), _manager(path) as (manager, args):
            # all_steps and no listing: what is half written has a folder, too.
            number = max(manager.all_steps(), default=0)
            with _whole(path / str(number)):
                return number, _read(manager, args, number, like) if number else b""


@contextlib.contextmanager
def _whole(path: pathlib.Path) -> Iterator[None]:
    """Turns whatever a damaged checkpoint raises into a DataError that names it."""
    try:
        yield
    except checks.DataError:
        raise
    except Exception as error:  # orbax, tensorstore and msgpack raise many kinds
        hint = "remove it to go on from the one before, if there is one"
        checks.fail(str(path), "a whole checkpoint of this run", _reason(error), hint, checks.DataError)


@contextlib.contextmanager
def _manager(path: pathlib.Path) -> Iterator[tuple[Any, Any]]:
    import orbax.checkpoint

    # Synchronous: a save takes a tenth of a second in a minute, and then it is there.
    alone = orbax.checkpoint.options.MultiprocessingOptions()
    if jax.process_count() > 1:  # without a word to the others
        alone = orbax.checkpoint.options.MultiprocessingOptions(active_processes={jax.process_index()})
        path.mkdir(parents=True, exist_ok=True)
    options = orbax.checkpoint.CheckpointManagerOptions(
        max_to_keep=2, enable_async_checkpointing=False, cleanup_tmp_directories=True,
        multiprocessing_options=alone, create=alone.active_processes is None,
    )  # fmt: skip
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # what it has to say is raised, too
    try:
        with orbax.checkpoint.CheckpointManager(path.absolute(), options=options) as manager:
            yield manager, orbax.checkpoint.args
    finally:
        logger.setLevel(level)


def _read(manager: Any, args: Any, number: int, like: PyTree) -> bytes:
    from orbax.checkpoint import ArrayRestoreArgs

    expected = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(like))
    most = 2 * expected + MOST_NOTES
    stored = sum(path.stat().st_size for path in (pathlib.Path(manager.directory) / str(number)).rglob("*"))
    if stored > most + MOST_NOTES:
        raise ValueError(f"{stored:,} bytes for arrays of {expected:,}")
    for header in (pathlib.Path(manager.directory) / str(number)).rglob(".zarray"):
        chunk = math.prod(read_json(header, MOST_NOTES)["chunks"])
        if chunk > most:  # as large as it says, it is set aside
            raise ValueError(f"a chunk of {chunk:,} bytes for arrays of {expected:,}")
    seal = manager.restore(number, args=args.Composite(seal=args.JsonRestore()))["seal"]
    size = checks.integer("size", seal["size"], 0, most)
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    # strict: another size in the file is an error before anything is read
    exact = ArrayRestoreArgs(sharding=sharding, global_shape=(size,), dtype=np.dtype(np.uint8), strict=True)
    wanted = args.ArrayRestore(jax.ShapeDtypeStruct((size,), np.uint8, sharding=sharding), restore_args=exact)
    content = np.asarray(manager.restore(number, args=args.Composite(content=wanted))["content"]).tobytes()
    if hashlib.sha256(content).hexdigest() != seal["sha256"]:
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
