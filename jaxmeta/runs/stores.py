"""Where a training is kept: checkpoints and metrics in a folder, or nowhere."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax

from jaxmeta import checks, provenance
from jaxmeta.runs import folder as folders
from jaxmeta.runs.checkpoints import Checkpoint, Checkpoints
from jaxmeta.types import PyTree

UNNAMED = "training"


class Store(Protocol):
    """What `fit` asks of the place where it keeps a training."""

    @property
    def place(self) -> str:
        """Names it in errors."""
        ...

    def held(self) -> contextlib.AbstractContextManager[Any]:
        """Keeps other processes away while it is open."""
        ...

    def restore(self, like: PyTree) -> Checkpoint | None:
        """The last checkpoint, in the shapes of `like`, or None."""
        ...

    def save(self, arrays: PyTree, notes: dict[str, Any]) -> None:
        """Adds a checkpoint."""
        ...

    def append(self, line: dict[str, Any]) -> int:
        """Adds a line of metrics, and returns where it ends."""
        ...

    def end(self) -> int:
        """Where the metrics end."""
        ...

    def truncate(self, end: int) -> None:
        """Takes away the metrics after a checkpoint."""
        ...


class _Nowhere:
    """Keeps nothing."""

    place = "memory alone"

    def held(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def restore(self, like: PyTree) -> None:
        return None

    def save(self, arrays: PyTree, notes: dict[str, Any]) -> None:
        pass

    def append(self, line: dict[str, Any]) -> int:
        return 0

    def end(self) -> int:
        return 0

    def truncate(self, end: int) -> None:
        pass


nowhere: Store = _Nowhere()


class Folder(NamedTuple):
    """Checkpoints and lines of metrics in a folder."""

    path: pathlib.Path
    checkpoints: Checkpoints
    hold: Callable[[], contextlib.AbstractContextManager[Any]]
    """Holds the folder against other processes."""
    metrics: str = folders.METRICS
    """The file of the lines."""

    @property
    def place(self) -> str:
        return str(self.checkpoints.path)

    def held(self) -> contextlib.AbstractContextManager[Any]:
        return self.hold()

    def restore(self, like: PyTree) -> Checkpoint | None:
        return self.checkpoints.restore(like)

    def save(self, arrays: PyTree, notes: dict[str, Any]) -> None:
        self.checkpoints.save(arrays, notes)

    def append(self, line: dict[str, Any]) -> int:
        return folders.append_metrics(self.path, line, self.metrics)

    def end(self) -> int:
        return folders.metrics_end(self.path, self.metrics)

    def truncate(self, end: int) -> None:
        folders.truncate_metrics(self.path, end, self.metrics)


def in_folder(path: str | os.PathLike[str], *, name: str = UNNAMED, facts: Mapping[str, Any] | None = None) -> Folder:
    """Keeps a training in a folder of its own, which `fit` makes and holds against other processes.

    Args:
      path: the folder; a training that it holds is gone on with.
      name: tells the trainings of one folder apart; one that has a name has its lines in metrics-NAME.jsonl, others in
        metrics.jsonl.
      facts: anything that JSON holds and that a resume must find as it was, such as your settings.

    Raises:
      ValueError: if the name cannot be that of a file.
    """
    if name in ("", ".", "..") or name != os.path.basename(name) or "\0" in name:
        checks.fail("in_folder: name", "one that a file can have", repr(name))
    folder = pathlib.Path(path)
    metrics = folders.METRICS if name == UNNAMED else folders.named_metrics(name)
    hold = lambda: folders.create(folder, force=True)  # noqa: E731
    return Folder(folder, _checkpoints(folder, name, facts or {}), hold, metrics)


def within(folder: pathlib.Path, name: str, facts: Mapping[str, Any]) -> Folder:
    """`in_folder` for a folder that this process holds already."""
    return Folder(folder, _checkpoints(folder, name, facts), contextlib.nullcontext)


def _checkpoints(folder: pathlib.Path, name: str, facts: Mapping[str, Any]) -> Checkpoints:
    machine = {"device": provenance.device(), "processes": str(jax.process_count())}
    versions = provenance.versions() | machine | {"XLA_FLAGS": provenance.compiler_flags()}
    return Checkpoints(folder, name, facts=dict(facts), versions=versions)
