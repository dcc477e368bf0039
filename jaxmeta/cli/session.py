"""A run from its folder to its results: begun in an empty one, or gone on with."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shlex
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

from jaxmeta import provenance, runs
from jaxmeta.cli import signals, sources
from jaxmeta.cli.config import Train
from jaxmeta.runs.folder import FREE


class Run(NamedTuple):
    """What a training needs of its run."""

    folder: pathlib.Path
    facts: dict[str, Any]
    """The config and the data's checksums, which a resume must find unchanged."""
    stop: signals.Stop

    def checkpoints(self, name: str) -> runs.Checkpoints:
        machine = {"device": provenance.device(), "processes": str(jax.process_count())}
        versions = provenance.versions() | machine | {"XLA_FLAGS": provenance.compiler_flags()}
        return runs.Checkpoints(self.folder, name, facts=self.facts, versions=versions)


Opener = Callable[..., contextlib.AbstractContextManager[Run]]


def check_free(config: Train, preset: str) -> None:
    """Raises ValueError if the run's folder holds something, with the command that resumes if that is a run."""
    path = _folder(config, preset)
    if not config.force:
        broken = (path / "config.json").exists()
        runs.check_empty(path, f"{command(path, config)} continues a broken run; or {FREE}" if broken else FREE)


@contextlib.contextmanager
def begin(config: Train, preset: str, recorded: dict[str, Any], data: dict[str, str]) -> Iterator[Run]:
    """Begins a run: makes its folder, holds it, and writes config.json.

    Args:
      config: what is run.
      preset: its name.
      recorded: the config as it is written down.
      data: checksums of all that is read.
    """
    path = _folder(config, preset)
    with runs.create(path, force=config.force) as folder, _watched(path, config) as stop:
        runs.clear(folder)
        runs.write_json(folder / "config.json", {"schema": 1, "preset": preset, "config": recorded})
        yield Run(folder, {"config": recorded, "data": data}, stop)


@contextlib.contextmanager
def go_on(config: Train, preset: str, recorded: dict[str, Any], data: dict[str, str]) -> Iterator[Run]:
    """Goes on with a run in the folder `config.out`, whose config.json is `config`."""
    path = _folder(config, preset)
    with runs.held(path) as folder, _watched(path, config) as stop:
        yield Run(folder, {"config": recorded, "data": data}, stop)


def _folder(config: Train, preset: str) -> pathlib.Path:
    return pathlib.Path(config.out or f"runs/{preset}")


def _watched(path: pathlib.Path, config: Train) -> contextlib.AbstractContextManager[signals.Stop]:
    return signals.watched(f"to go on: {command(path, config)}")


def command(path: str | os.PathLike[str], config: Train) -> str:
    """The command that resumes a run; no file records directories, so it names those of the data."""
    words = ["jaxmeta", "train", "--resume", os.fspath(path)]
    words += ["--domain", config.domain] if not sources.is_builtin(config.domain) else []
    words += ["--data-dir", config.data_dir] if config.data_dir else []
    words += ["--distributed"] if config.distributed else []
    return shlex.join(words)
