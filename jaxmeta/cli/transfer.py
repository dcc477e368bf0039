"""`jaxmeta transfer`: sources x targets x methods on the same tasks."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import json
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

from jaxmeta import checks, report, tasks, transfer
from jaxmeta.cli import build, cells, estimate, methods, scoring, signals, sources, train, trained
from jaxmeta.cli.config import Train, Transfer
from jaxmeta.runs import check_plain, create, results, write_json, write_text
from jaxmeta.runs.folder import FREE, MOST_CONFIG
from jaxmeta.types import Episode, MetaLearner

RAW = "raw inputs, nearest centroid"


class Meeting(NamedTuple):
    """A source, a target and a number of shots: the tasks on which all methods meet."""

    source: trained.Source
    target: str
    shots: int


def run(config: Transfer, preset: str) -> int:
    config = _checked(config)
    path = pathlib.Path(config.out or f"runs/transfer-{preset}")
    going_on = config.resume and (path / "config.json").exists()
    hint = f"--resume goes on with a transfer; or {FREE}" if (path / "config.json").exists() else FREE
    with (
        create(path, force=config.force or going_on, hint=hint) as folder,
        signals.watched("to go on: the same command with --resume") as stop,
    ):
        _begin(config, preset, folder, going_on)
        _say(estimate.text(config))
        start = time.perf_counter()
        rows = [row for meeting in _meetings(config, folder, stop) for row in _meet(config, meeting, folder / "cells")]
        failed = sum("error" in row for row in rows)
        took = f"{len(rows)} rows in {(time.perf_counter() - start) / 60:.1f} min"
        _say(took + (f", {failed} failed" if failed else ""))
        _write(config, folder, rows)
    return int(failed > 0)


def _meetings(config: Transfer, folder: pathlib.Path, stop: signals.Stop) -> Iterator[Meeting]:
    for source in trained.all_of(config, folder, stop):
        inside = sources.parts(source.domain)
        for target in config.targets:
            if config.in_domain or target not in inside:
                for shots in config.shots:
                    yield Meeting(source, target, shots)


def _write(config: Transfer, folder: pathlib.Path, rows: list[dict[str, Any]]) -> None:
    checksums = {name: value for row in rows for name, value in row.pop("checksums").items()}
    found = transfer.summarized(rows)
    table = transfer.markdown(rows, found)
    print(table)
    write_text(folder / "results.csv", transfer.csv_text(rows))
    write_text(folder / "results.md", table)
    if importlib.util.find_spec("matplotlib"):
        report.transfer(rows).savefig(folder / "results.png", dpi=120)
    content = results.document(rows, seed=config.seed, checksums=checksums) | found
    print(f"results: {write_json(folder / 'results.json', content)}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _checked(config: Transfer) -> Transfer:
    for name, low in (("ways", 2), ("queries", 1), ("num_tasks", 0), ("fine_tune_steps", 0), ("tune_tasks", 2),
                      ("num_filters", 1), ("seed", 0)):  # fmt: skip
        checks.integer(f"--{name.replace('_', '-')}", getattr(config, name), low)
    if config.num_tasks == 1:
        checks.fail("--num-tasks", "at least 2, for an interval", 1)
    if not 0 < config.effort < float("inf"):
        checks.fail("--effort", "a positive number", config.effort)
    for name in ("targets", "shots"):
        if not getattr(config, name):
            checks.fail(f"--{name}", "at least one", "none")
    if not (config.sources and config.learners) and not config.runs:
        checks.fail("--sources and --learners", "at least one each, or --runs", "none")
    for shots in config.shots:
        checks.integer("--shots", shots, 1)
    for name in ("sources", "targets", "learners", "shots", "runs"):
        given = getattr(config, name)
        if len(set(given)) < len(given):
            checks.fail(f"--{name}", "each once", " ".join(map(str, given)))
    for target in config.targets:
        if len(sources.parts(target)) > 1:
            checks.fail("--targets", "one domain each, with spaces between them", repr(target))
    for name in ("sources", "targets"):
        for domain in getattr(config, name):
            for part in sources.parts(domain):
                if not (sources.is_builtin(part) or os.path.exists(part)):
                    checks.fail(f"--{name}", "names that `jaxmeta domains` lists, or paths", repr(part))
                if name == "sources":
                    sources.check_trainable("--sources", part)
    number = 200 if jax.default_backend() == "cpu" else 600
    config = dataclasses.replace(config, num_tasks=config.num_tasks or number)
    # One without the other trains nothing: the runs that are given stand alone.
    return config if config.sources and config.learners else dataclasses.replace(config, sources=(), learners=())


def _begin(config: Transfer, preset: str, folder: pathlib.Path, going_on: bool) -> None:
    """Writes the config, or holds it against that of the transfer that is gone on with."""
    content = {name: value for name, value in dataclasses.asdict(config).items()
               if name not in ("data_dir", "out", "resume", "force")}  # fmt: skip
    for name in ("sources", "targets", "runs"):
        content[name] = [sources.name(each) for each in content[name]]
    content, path = json.loads(json.dumps(content)), folder / "config.json"
    if going_on:
        for name in ("cells", "trained"):
            check_plain(folder / name)
        try:
            known = cells.read(path, MOST_CONFIG)["config"]
            changed = [name for name, value in content.items() if known.get(name) != value]
        except (KeyError, TypeError, AttributeError) as error:
            checks.fail(str(path), "the config of a transfer", type(error).__name__, error=checks.DataError)
        if changed:
            checks.fail(str(path), "the same transfer, to go on with", f"another {', '.join(changed)}")
        return
    for name in ("cells", "trained"):
        if (folder / name).exists():
            shutil.rmtree(folder / name)
        (folder / name).mkdir()
    write_json(path, {"schema": 1, "preset": preset, "config": content})


def _learner(config: Transfer, tested: Train) -> MetaLearner:
    shape = build.Shape(config.picture, config.ways)
    return build.learner(tested, shape, ways=config.ways, inner_steps=tested.inner_steps_test)


def _meet(config: Transfer, meeting: Meeting, folder: pathlib.Path) -> list[dict[str, Any]]:
    """The rows of all methods on the tasks of one target; those that lie in the folder are not computed again."""
    source, target, shots = meeting
    drawn = functools.cache(lambda: _draw(config, meeting))
    rows = []
    for method in (RAW, *source.methods):
        key = "--".join(part.replace("/", "_") for part in (source.name, sources.name(target), f"{shots}-shot", method))
        path = folder / f"{key}.json"
        family = "floor" if method == RAW else methods.method(method).family
        facts = {"source": source.name, "domain": sources.name(target), "shots": shots, "method": method,
                 "family": family, "checksums": {}, "joint": None, "single": None}  # fmt: skip
        if path.exists():
            rows += cells.rows(path, facts, config.num_tasks)
            continue
        start = time.perf_counter()
        try:
            made = [facts | row for row in _cell(config, meeting, method, drawn)]
        except Exception as error:
            if os.environ.get("JAXMETA_DEBUG") == "1":
                raise
            # A cell that fails must not take the others with it; it is not written, so that a resumed run tries again.
            message = " ".join(f"{type(error).__name__}: {error}".split())
            _say(f"failed: {source.name} to {sources.name(target)}, {shots}-shot, {method}: {message}")
            rows.append(facts | {"note": "failed", "error": message})
            continue
        write_json(path, made)
        _say(
            f"{source.name} to {sources.name(target)}, {shots}-shot, {method}: "
            + ", ".join(_told(row) for row in made[-1:])
            + f", {time.perf_counter() - start:.0f} s"
        )
        rows += made
    return rows


def _told(row: dict[str, Any]) -> str:
    return f"{100 * row['single']['mean']:.1f}" if row["single"] else row["note"]


class Drawn(NamedTuple):
    """A meeting's tasks."""

    sizes: transfer.Sizes
    smallest: int
    """Examples of the smallest class."""
    test: scoring.Test | None
    """None where the target has too few examples."""
    facts: dict[str, Any]


def _draw(config: Transfer, meeting: Meeting) -> Drawn:
    source, target, shots = meeting
    asked, seen = methods.plain(config, target), source.seen()
    class_sizes = sources.class_sizes(asked, "test", seen)
    asked_for = {"ways": config.ways, "shots": shots, "queries": config.queries}
    sizes = transfer.Sizes(**asked_for) if class_sizes is None else transfer.fitted(class_sizes, **asked_for)
    smallest = 0 if class_sizes is None else int(class_sizes.min())
    if not sizes.queries:
        return Drawn(sizes, smallest, None, {})
    domain = sources.domain(asked, "test", **sizes._asdict(), seen=seen)
    sample = tasks.widen(domain.sample, config.ways)
    episodes = scoring.draw(sample, train.TEST_SEED + config.seed, config.num_tasks)
    facts = {"domain": sources.name(target), "split": domain.split, **sizes._asdict()}
    test = scoring.Test(episodes, facts, domain.checksums, build.Shape(config.picture, config.ways), sample)
    return Drawn(sizes, smallest, test, {"chance": 1 / sizes.ways, **_distances(source, episodes)})


def _cell(config: Transfer, meeting: Meeting, method: str, drawn: Callable[[], Drawn]) -> list[dict[str, Any]]:
    """The rows of one method: its own, and before it the untrained network's where a learner has one."""
    sizes, smallest, test, facts = drawn()
    if test is None:
        return [{"ways": sizes.ways, "note": f"not possible: {smallest} examples a class"}]
    facts = facts | {"checksums": test.checksums}
    if method == RAW:
        plain = methods.plain(config, meeting.target)
        (learner,) = build.raw_inputs(plain, test.shape, config.ways).values()
        return [scoring.row(plain, RAW, learner, {}, test, tested=0) | facts | {"norm": None}]
    name, family, tested, meta_params = meeting.source.ready(method)
    learner = _learner(config, tested)
    steps = {"trained": build.steps(tested, tested.inner_steps), "tested": build.steps(tested, tested.inner_steps_test)}
    facts |= {"inner_learning_rate": tested.inner_learning_rate if build.has_steps(tested) else None}
    rows = [scoring.row(tested, name, learner, meta_params, test, **steps) | facts]
    if family == "learner" and name != "pmf":
        untrained = learner.init(jax.random.split(jax.random.key(config.seed))[0])
        steps["trained"] = 0
        row = scoring.row(tested, f"{name}, untrained", learner, untrained, test, **steps)
        rows.insert(0, row | facts | {"family": "floor"})
    return rows


def _distances(source: trained.Source, episodes: Episode) -> dict[str, float | None]:
    """How far the target's pictures lie from the source's, by untrained and by trained features."""
    pictures = episodes.query.inputs
    pictures = pictures.reshape(-1, *pictures.shape[2:])[: trained.FEATURES]
    known = source.features()
    distances = {name: transfer.linear_mmd(own.source, own.encode(pictures)) for name, own in known.items()}
    return {f"distance_{name}": distances.get(name) for name in ("untrained", "trained")}
