"""What run and transfer folders say, read without trust: the facts of a report, and what of them is missing."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from jaxmeta import checks, provenance, recipes, transfer
from jaxmeta.report import making, rowed
from jaxmeta.runs import RunFolder, check_plain
from jaxmeta.runs import folder as folders
from jaxmeta.runs import run as runs
from jaxmeta.transfer import kept, methods
from jaxmeta.transfer.summary import Row

_TAIL = 10_000
"""Bytes at the end of metrics.jsonl that hold its last line."""
_FAMILIES = ("learner", "baseline", "floor")


@dataclasses.dataclass(frozen=True)
class Work:
    """A run or a transfer, as its folder tells it.

    Attributes:
      path: the folder.
      name: what it is called in a report.
      kind: what it is.
      preset: what it began with, empty if nothing says so.
      config: its fields, checked.
      rows: scores in the form of a transfer's rows, those of a run with its domain as `source`.
      state: "finished"; "running", while a process holds it; "unfinished".
      missing: what is not there, a sentence each.
      results: of results.json all but the rows, empty if there is none; a stranger's.
      checksums: {file: sha256} of the data.
      command: that makes it, empty if it was made from Python.
      seeds: {seed: its rows} of a run of several seeds, whose `rows` hold all tasks of all.
    """

    path: pathlib.Path
    name: str
    kind: Literal["run", "transfer"]
    preset: str
    config: Mapping[str, Any]
    rows: tuple[Row, ...]
    state: Literal["finished", "running", "unfinished"]
    missing: tuple[str, ...]
    results: Mapping[str, Any]
    checksums: Mapping[str, str]
    command: str
    seeds: Mapping[int, tuple[Row, ...]] = dataclasses.field(default_factory=dict)

    @property
    def versions(self) -> dict[str, str]:
        """Those of the packages that made it."""
        return rowed.texts(self.results.get("versions"))

    @property
    def made_by(self) -> str:
        """The machine and the code, in a line."""
        told = {name: value for name in ("device", "processor") if isinstance(value := self.results.get(name), str)}
        return provenance.line(told | {"versions": self.versions})


def read(path: str | os.PathLike[str]) -> Work:
    """Reads a run or transfer folder, perhaps unfinished, perhaps a stranger's.

    Args:
      path: of `jaxmeta train` or `jaxmeta transfer`.

    Raises:
      DataError: if it is no such folder, or of a version that this one does not know.
    """
    folder = pathlib.Path(path)
    if not folder.is_dir():
        got = "a file" if folder.exists() else "none"
        checks.fail(str(path), "a run or transfer folder", got, error=checks.DataError)
    found = RunFolder(folder)
    named = found.config.get("targets"), found.config.get("learners")
    return _transfer(found) if all(isinstance(each, list) for each in named) else _run(found)


def read_all(paths: Sequence[str | os.PathLike[str]]) -> tuple[list[Work], list[str]]:
    """Reads several folders, each with a name of its own.

    Returns:
      What could be read, and why the others could not.

    Raises:
      DataError: if none could.
    """
    works: list[Work] = []
    refused: list[str] = []
    failed: checks.DataError | None = None
    for path in dict.fromkeys(os.fspath(path) for path in paths):
        try:
            works.append(read(path))
        except checks.DataError as error:
            # A report goes to others, to whom the folders above are no concern.
            name = os.path.basename(os.path.normpath(path))
            refused.append(str(error).replace(path, name))
            failed = failed or error
    if not works and failed:
        raise failed
    if not works:
        checks.fail("report", "at least one folder", "none")
    names = [work.name for work in works]
    alike = {name for name in names if names.count(name) > 1}
    told = [
        dataclasses.replace(work, name="/".join(work.path.resolve().parts[-2:])) if work.name in alike else work
        for work in works
    ]
    named = [each.name for each in told]
    distinct = [
        work if named.index(work.name) == index else dataclasses.replace(work, name=f"{work.name} ({index + 1})")
        for index, work in enumerate(told)
    ]
    return distinct, refused


def is_going_on(path: str | os.PathLike[str], patience: float = 60.0) -> bool:
    """Whether more may come into a folder: a process holds it, or something in it was written a moment ago.

    Args:
      path: of a run or transfer, which need not be there yet.
      patience: seconds; what follows a training, such as its evaluation, holds no folder.
    """
    folder = pathlib.Path(path)
    files = [folder / name for name in (folders.CONFIG, folders.METRICS, folders.PARAMS, folders.RESULTS, "cells")]
    times = [file.stat(follow_symlinks=False).st_mtime for file in files if file.exists()]
    if is_held(folder):
        return True
    done = (folder / folders.RESULTS).exists()
    return not done and time.time() - max(times, default=0.0) < patience


def is_held(path: pathlib.Path) -> bool:
    """Whether a process trains in a folder."""
    lock = path / folders.LOCK
    if sys.platform == "win32" or not lock.is_file() or lock.is_symlink():
        return False
    import fcntl

    try:
        with lock.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks, or a file that may not be read
        return False
    return False


def _state(path: pathlib.Path, rows: Sequence[Row], results: Mapping[str, Any]) -> Any:
    if is_held(path):
        return "running"
    return "finished" if rows and results else "unfinished"


def _run(found: RunFolder) -> Work:
    path, missing, by_seed = found.path, [], {}
    recipe, num_seeds = runs.read_all(found)
    rows, results = rowed.results_of(path, missing)
    own = {"source": recipe.task.domain}
    if num_seeds > 1:
        rows = rows or list(_of_seeds(path, missing))
        for seed in dict.fromkeys(each["seed"] for each in rows if "seed" in each):
            by_seed[seed] = tuple(each for each in rows if each.get("seed") == seed)
        if len(by_seed) < num_seeds:
            missing.append(f"scores of {num_seeds - len(by_seed)} of its {num_seeds} seeds")
        rows = rowed.pooled(rows)
    evaluation = path / "evaluation"
    check_plain(evaluation)
    if evaluation.is_dir():
        rows += [each for each in rowed.results_of(evaluation, missing)[0] if each not in rows]
    rows = [own | each | {"family": _family(each["method"], recipe.adaptation.learner)} for each in rows]
    state = _state(path, rows, results)
    told = _training(results)
    if not rows:
        step = _last_step(path)
        reached = f", at step {step:,} of {recipe.budget.steps:,}" if step else ""
        missing.append("scores: " + (f"it is running{reached}" if state == "running" else "results.json is not there"))
    if diverged := told.get("diverged"):
        missing.append(f"the training ended early: it {diverged}")
    if not (path / folders.PARAMS).exists() and num_seeds == 1 and recipe.budget.steps:
        missing.append(f"parameters: {folders.PARAMS} is not there")
    if not (path / folders.METRICS).exists() and num_seeds == 1 and recipe.budget.steps:
        missing.append(f"the curves of training: {folders.METRICS} is not there")
    missing += rowed.without_score(rows)
    checksums = found.checksums()
    if checksums is None:
        missing.append("checksums of its data")
    preset = found.preset or ""
    return Work(path, _name(path), "run", preset, dict(found.config), tuple(rows), state, tuple(missing), results,
                checksums or {}, making.train_command(found.config, preset, num_seeds), by_seed)  # fmt: skip


def _last_step(path: pathlib.Path) -> int:
    """The step of the last line of metrics.jsonl, the furthest of several seeds; 0 if there is none."""
    steps = [0]
    for file in [path / folders.METRICS, *sorted(path.glob(f"seed-*/{folders.METRICS}"))[:100]]:
        check_plain(file)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, IndexError), file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - _TAIL))
            step = json.loads(stream.read().splitlines()[-1])["step"]
            steps += [step] if type(step) is int and 0 <= step < rowed.LARGEST else []
    return max(steps)


def _training(results: Mapping[str, Any]) -> dict[str, Any]:
    given = results.get("training")
    return given if isinstance(given, dict) else {}


def _family(method: str, learner: str) -> str:
    """Of a run's rows its own are of the learner's family, all others floors; so is what it does before it adapts."""
    name, _, steps = method.partition(", ")
    own = name == learner and steps != "0 steps" and (not steps or steps.endswith((" step", " steps")))
    return methods.family(learner) if own else "floor"


def _of_seeds(path: pathlib.Path, missing: list[str]) -> Iterator[Row]:
    """The rows of the seeds that are done, where their common results are not there yet."""
    for folder in sorted(path.glob("seed-*"))[:100]:
        check_plain(folder)
        rows, results = rowed.results_of(folder, missing)
        seed = results.get("seed")
        yield from ({"seed": seed} | each for each in rows if isinstance(seed, int))


def _name(path: pathlib.Path) -> str:
    return path.resolve().name or "run"


def _transfer(found: RunFolder) -> Work:
    path, missing = found.path, []
    config = _plan(found)
    rows, results = rowed.results_of(path, missing)
    if not rows:
        rows = sorted(_cells(path / "cells", missing), key=_place(config))
    # A cell of a stranger may claim to be of any family, or be there twice.
    distinct: dict[tuple, Row] = {}
    for each in rows:
        if each.get("family") in _FAMILIES and "source" in each:
            distinct.setdefault((each["source"], each["domain"], each["shots"], each["method"]), each)
    if len(distinct) < len(rows):
        missing.append(f"{len(rows) - len(distinct)} rows that are of no source or family, or there twice")
    rows = list(distinct.values())
    missing += _absent(config, rows)
    missing += rowed.without_score(rows)
    state = _state(path, rows, results)
    if not results:
        missing.append(
            "versions and device: results.json is not there" + (", it is running" if state == "running" else "")
        )
    checksums = rowed.texts(results.get("data")) or {
        name: value for each in rows for name, value in each.get("checksums", {}).items()
    }
    rows = [{name: value for name, value in each.items() if name != "checksums"} for each in rows]
    preset = found.preset or ""
    return Work(path, _name(path), "transfer", preset, config, tuple(rows), state, tuple(missing), results, checksums,
                making.transfer_command(config, preset))  # fmt: skip


def _place(config: Mapping[str, Any]) -> Callable[[Row], tuple]:
    """Where a row stands in a plan, as a finished transfer orders them: floors first, each learner after its own."""
    of = {name: {value: index for index, value in enumerate(config[name])} for name in ("sources", "targets", "shots")}
    learners = {name: index for index, name in enumerate(config["learners"])}

    def place(row: Row) -> tuple:
        method = row["method"].removesuffix(", untrained")
        given = (("sources", row.get("source")), ("targets", row["domain"]), ("shots", row["shots"]))
        cell = (of[name].get(value, rowed.MOST_ROWS) for name, value in given)
        return (*cell, learners.get(method, -1), row["method"] == method)

    return place


def _plan(found: RunFolder) -> dict[str, Any]:
    """The fields of a transfer's plan.

    Raises:
      DataError: if there are others, or one is of another type.
    """
    like = transfer.Plan().recorded()
    path = f"{found.path}/config.json"
    if unknown := sorted(set(found.config) - set(like)):
        hint = "it is of another version of jaxmeta"
        checks.fail(path, "the fields of a transfer", ", ".join(unknown), hint, checks.DataError)
    for name, value in found.config.items():
        inside = int if name == "shots" else str
        wrong = isinstance(like[name], list) != isinstance(value, list)
        if name in ("sources", "targets", "learners", "runs", "shots"):
            wrong = wrong or not all(type(each) is inside for each in value)
        if wrong:
            checks.fail(path, f"{name} of type {type(like[name]).__name__}", repr(value), error=checks.DataError)
    return like | dict(found.config)


def _cells(folder: pathlib.Path, missing: list[str]) -> Iterator[Row]:
    """The rows of the cells that are done, where their common results are not there yet."""
    check_plain(folder)
    files = sorted(folder.glob("*.json"))
    broken, count = [], 0
    for file in files[: rowed.MOST_FILES]:
        try:
            content = kept.read(file)
            rows = [rowed.row(each) for each in content] if isinstance(content, list) else [None]
        except checks.DataError:
            rows, content = [None], []
        if None in rows or count + len(rows) > rowed.MOST_ROWS:
            broken.append(file.name)
            continue
        count += len(rows)
        yield from (
            found | {"checksums": rowed.texts(given.get("checksums"))}
            for found, given in zip(rows, content, strict=True)
            if found
        )
    if broken:
        missing.append(f"what stands in {len(broken)} files of cells, which cannot be read: {rowed.some(broken)}")


def _absent(config: Mapping[str, Any], rows: Sequence[Row]) -> list[str]:
    """Which cells of a plan have no row."""
    plan = dataclasses.replace(transfer.Plan(), **{
        name: tuple(config[name]) for name in ("sources", "targets", "learners", "shots")
    }, in_domain=config["in_domain"] is not False)  # fmt: skip
    known = {(each["source"], each["domain"], each["shots"], each["method"]) for each in rows}
    # All that there could be: a stranger's plan may have any number.
    count = len(plan.sources) * len(plan.targets) * len(plan.shots) * len(plan.learners)
    if count > rowed.MOST_FILES:
        return [f"{count - len(known):,} of about {count:,} scores"]
    asked = [
        (source, target, shots, learner)
        for source, targets in plan.met().items()
        for target in targets
        for shots in plan.shots
        for learner in plan.learners
    ]
    absent = [f"{learner} from {source} to {target}, {shots}-shot"
              for source, target, shots, learner in asked
              if (source, target, shots, learner) not in known]  # fmt: skip
    return [f"{len(absent)} of {len(asked)} scores: {rowed.some(absent)}"] if absent else []


def data_read(work: Work) -> list[str]:
    """What was found in the data, a line each; what is not of that form is left out."""
    given = work.results.get("read")
    lines = []
    for each in given[:50] if isinstance(given, list) else ():
        with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
            lines.append(recipes.line(each))
    return lines
