"""A run from its folder to its results: begun in an empty one, or gone on with."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shlex
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from jaxmeta import runs
from jaxmeta.cli import signals, sources
from jaxmeta.cli.config import Embedded, Train
from jaxmeta.runs import results


class Run(NamedTuple):
    """What a training needs of its run."""

    folder: pathlib.Path
    facts: dict[str, Any]
    """The config and the data's checksums, which a resume must find unchanged."""
    stop: signals.Stop

    def checkpoints(self, name: str) -> runs.Checkpoints:
        versions = results.versions() | {"device": results.device()}
        return runs.Checkpoints(self.folder, name, facts=self.facts, versions=versions)


Opener = Callable[..., contextlib.AbstractContextManager[Run]]


@contextlib.contextmanager
def begin(config: Train | Embedded, preset: str, recorded: dict[str, Any], data: dict[str, str]) -> Iterator[Run]:
    """Begins a run: makes its folder, holds it, and writes config.json.

    Args:
      config: what is run.
      preset: its name.
      recorded: the config as it is written down.
      data: checksums of all that is read.

    Raises:
      ValueError: if the folder holds something, with the command that resumes if that is a run.
    """
    path, hint = pathlib.Path(config.out or f"runs/{preset}"), "choose another --out, or give --force"
    if (path / "config.json").exists():
        hint = f"{command(path, config)} continues a broken run; or {hint}"
    with (
        runs.create(path, force=config.force, hint=hint) as folder,
        signals.watched(f"to go on: {command(path, config)}") as stop,
    ):
        runs.clear(folder)
        runs.write_json(folder / "config.json", {"schema": 1, "preset": preset, "config": recorded})
        yield Run(folder, {"config": recorded, "data": data}, stop)


@contextlib.contextmanager
def go_on(config: Train | Embedded, preset: str, recorded: dict[str, Any], data: dict[str, str]) -> Iterator[Run]:
    """Goes on with a run in the folder `config.out`, whose config.json is `config`."""
    path = pathlib.Path(config.out or f"runs/{preset}")
    with runs.held(path) as folder, signals.watched(f"to go on: {command(path, config)}") as stop:
        yield Run(folder, {"config": recorded, "data": data}, stop)


def command(path: str | os.PathLike[str], config: Train | Embedded) -> str:
    """The command that resumes a run; no file records directories, so it names those of the data."""
    words = ["jaxmeta", "train", "--resume", os.fspath(path)]
    if isinstance(config, Train):
        words += ["--domain", config.domain] if not sources.is_builtin(config.domain) else []
        words += ["--data-dir", config.data_dir] if config.data_dir else []
    return shlex.join(words)
