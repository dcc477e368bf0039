"""Sources x targets x methods on the same tasks."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import jax

from jaxmeta import checks, recipes, tables, tasks
from jaxmeta.recipes import Sizes
from jaxmeta.runs import folder as folders
from jaxmeta.runs import scores
from jaxmeta.runs.events import Event, Report, Stopped, silent
from jaxmeta.runs.run import TEST_SEED
from jaxmeta.transfer import cells, estimates, kept, methods, trained
from jaxmeta.transfer.plan import Plan, Setting, checked, setting
from jaxmeta.transfer.summary import Row, scored
from jaxmeta.types import Batch, Episode


class Meeting(NamedTuple):
    """A source, a target and a number of shots: the tasks on which all methods meet."""

    source: trained.Source
    target: str
    """As it is named or where it lies."""
    name: str
    """As it is shown; no two targets of a transfer have the same."""
    shots: int


def matrix(
    sources: Sequence[str] | str,
    targets: Sequence[str] | str,
    methods: Sequence[str] | str,
    *,
    folder: str | os.PathLike[str] | None = None,
    data_dir: str | None = None,
    report: Report = silent,
    stop: Callable[[], int] = lambda: 0,
    **options: Any,
) -> list[Row]:
    """Meta-trains methods on sources, adapts them to tasks of targets, and scores all on the same tasks.

    Learners train at the smallest number of shots. Rates of baselines that train on the support set are chosen on
    validation classes of the source. A method that fails in a cell does not take the others with it.

    Args:
      sources: domains to train on, each by itself; several with commas between them are one source.
      targets: domains to adapt to; of one that is also a source, classes that training did not see.
      methods: learners and baselines, as the table of learners names them, or "pmf".
      folder: where cells and trainings are kept, to be gone on with; None: nowhere.
      data_dir: where the data sets lie; JAXMETA_DATA is the default.
      report: is told how it goes.
      stop: asked often; a number other than 0 ends the transfer in good order.
      options: the other fields of `Plan`, such as `shots` (one or several), `ways`, `queries`, `num_tasks`, `effort`,
        `criterion`, `runs` (folders of runs that take part as they are) and `seed`.

    Returns:
      The rows, as results.json has them: source, domain, shots, method, family ("learner", "baseline" or "floor"), the
      task's sizes, and of each column joint and single the mean, its 95% interval and every task's score; or a `note`
      why there is no score. `transfer.compare` says what they allow one to say.

    Raises:
      ValueError: if the plan cannot be, or the folder is another transfer's.
      DataError: if data are missing, damaged or not as expected.
      Stopped: if `stop` asked for it; what was computed is kept in the folder.
    """
    plan = Plan(sources=sources, targets=targets, learners=methods, **options)  # type: ignore[arg-type]
    return carried_out(setting(checked(plan), data_dir), folder=folder, report=report, stop=stop)


def carried_out(
    setting: Setting,
    *,
    folder: str | os.PathLike[str] | None = None,
    preset: str = "",
    existing: Literal["resume", "replace"] = "resume",
    report: Report = silent,
    stop: Callable[[], int] = lambda: 0,
) -> list[Row]:
    """`matrix` for a plan whose data were looked at.

    Args:
      setting: the plan and its data.
      folder: as for `matrix`.
      preset: the name under which the plan is recorded.
      existing: what becomes of a folder that holds something: "resume" goes on with this very transfer and refuses all
        else, "replace" begins anew.
      report: is told how it goes.
      stop: asked often.
    """
    watch = trained.Watch(report, stop)
    with contextlib.ExitStack() as held:
        path = None if folder is None else held.enter_context(folders.create(folder, force=True))
        if path is not None and existing == "replace":
            _clear(path)
        elif path is not None and not (path / folders.CONFIG).exists():
            folders.check_empty(path, folders.FREE)
        if path is not None:
            _begin(setting.plan, path, preset)
        if report is not silent:  # which takes a second or two to find out
            _say(watch, estimates.text(setting))
        return _rows(setting, path, watch)


def _begin(plan: Plan, folder: pathlib.Path, preset: str) -> None:
    """Writes a plan into a folder that this process holds, or holds it against the one there.

    Raises:
      ValueError: if the folder holds something else than this very transfer.
    """
    content, path = plan.recorded(), folder / folders.CONFIG
    for name in ("cells", "trained"):
        folders.check_plain(folder / name)
    if path.exists():
        try:
            known = kept.read(path, folders.MOST_CONFIG)["config"]
            changed = [name for name, value in content.items() if known.get(name) != value]
        except (KeyError, TypeError, AttributeError) as error:
            checks.fail(str(path), "the config of a transfer", type(error).__name__, error=checks.DataError)
        if changed:
            checks.fail(str(path), "the same transfer, to go on with", f"another {', '.join(changed)}")
    for name in ("cells", "trained"):
        (folder / name).mkdir(exist_ok=True)
    if not path.exists():
        folders.write_json(path, {"schema": folders.SCHEMA, "preset": preset, "config": content})


def _clear(folder: pathlib.Path) -> None:
    """Removes what a transfer writes, by name, so that nothing of an old one stands beside a new one."""
    for name in ("cells", "trained"):
        folders.check_plain(folder / name)
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (folders.CONFIG, folders.RESULTS, "results.csv", "results.md", "results.png"):
        (folder / name).unlink(missing_ok=True)
    folders.clear_report(folder)


def _rows(setting: Setting, folder: pathlib.Path | None, watch: trained.Watch) -> list[Row]:
    rows: dict[tuple, Row] = {}
    for meeting in _meetings(setting, folder, watch):
        for row in _meet(setting, meeting, folder, watch):
            # Sources of one name meet the same tasks, whose floors are told once.
            rows.setdefault((row["source"], row["domain"], row["shots"], row["method"]), row)
    return list(rows.values())


def _meetings(setting: Setting, folder: pathlib.Path | None, watch: trained.Watch) -> Iterator[Meeting]:
    plan = setting.plan
    names = trained.distinct([recipes.short(target) for target in plan.targets])
    for source in trained.all_of(setting, folder, watch):
        for target, name in zip(plan.targets, names, strict=True):
            if plan.meets(source.domain, target):
                for shots in plan.shots:
                    yield Meeting(source, target, name, shots)


class Drawn(NamedTuple):
    """A meeting's tasks."""

    sizes: Sizes
    smallest: int
    """Examples of the smallest class."""
    test: scores.Test | None
    """None where the target has too few examples."""
    facts: dict[str, Any]


def _meet(setting: Setting, meeting: Meeting, folder: pathlib.Path | None, watch: trained.Watch) -> list[Row]:
    """The rows of all methods on the tasks of one target; those that lie in the folder are not computed again."""
    plan, (source, _, target, shots) = setting.plan, meeting
    drawn = functools.cache(lambda: _draw(setting, meeting, watch))
    rows = []
    plain = methods.plain(setting, meeting.target)
    floors = dict.fromkeys([*recipes.floors(plain, plan.ways), *recipes.oracles(plain)], "floor")
    for method, family in (floors | dict(source.families)).items():
        if reason := watch.stop():
            raise Stopped(f"before {source.name} to {target}, {shots}-shot, {method}", reason)
        said = f"{source.name} to {target}, {shots}-shot, {method}"
        facts = {"source": source.name, "domain": target, "shots": shots, "method": method, "family": family,
                 "checksums": {}, "joint": None, "single": None}  # fmt: skip
        start = time.perf_counter()
        try:
            path = None if folder is None else folder / "cells" / _file(setting, meeting, method, drawn())
            known = path is not None and path.exists()
            made = [] if known else [facts | row for row in _cell(setting, meeting, method, drawn())]
        except Exception as error:
            if os.environ.get("JAXMETA_DEBUG") == "1":
                raise
            # A cell that fails must not take the others with it; it is not kept, so that it is tried again.
            message = " ".join(f"{type(error).__name__}: {error}".split())
            _say(watch, f"failed: {said}: {message}")
            rows.append(facts | {"note": "failed", "error": message})
            continue
        if path is not None and known:
            rows += kept.rows(path, facts, plan.num_tasks)
            continue
        if path is not None:
            folders.write_json(path, made)
        shown = ", ".join(_told(row) for row in made[-1:])
        _say(watch, f"{said}: {shown}, {time.perf_counter() - start:.0f} s")
        rows += made
    return rows


def _file(setting: Setting, meeting: Meeting, method: str, drawn: Drawn) -> str:
    """The name of a cell's file: what it is to people, and letters that differ where anything of it does."""
    plan, source = setting.plan, meeting.source
    floor = method not in source.families
    identity = {
        "source": "floor" if floor else source.identity(method),
        "seen": sorted(seen.checksums) if (seen := source.seen()) else [],
        "target": [recipes.short(meeting.target), drawn.test and drawn.test.checksums, drawn.facts.get("split")],
        "task": [drawn.sizes, plan.num_tasks, plan.seed, plan.ways, setting.task.picture, setting.task.polarity],
        "method": method,
    }
    shown = (source.name, meeting.name, f"{meeting.shots}-shot", method, trained.digest(identity))
    return f"{'--'.join(part.replace('/', '_') for part in shown)}.json"


def _say(watch: trained.Watch, text: str) -> None:
    watch.report(Event("note", "transfer", 0, 0, text=text))


def _told(row: Row) -> str:
    column = scored(row)
    return tables.number(column["mean"], row["metric"]) if column else row["note"]


def _draw(setting: Setting, meeting: Meeting, watch: trained.Watch) -> Drawn:
    plan, source, seen = setting.plan, meeting.source, meeting.source.seen()
    task, has_classes = methods.plain(setting, meeting.target).task, plan.scoring.has_classes
    class_sizes = recipes.domains.class_sizes(task, "test", seen=seen, data_dir=setting.data_dir)
    asked_for = {"ways": plan.ways, "shots": meeting.shots, "queries": plan.queries}
    sizes = Sizes(**asked_for) if class_sizes is None else cells.fitted(class_sizes, **asked_for)
    smallest = 0 if class_sizes is None else int(class_sizes.min())
    if not sizes.queries:
        return Drawn(sizes, smallest, None, {})
    options: dict[str, Any] = {"seen": seen, "data_dir": setting.data_dir}
    domain = recipes.domains.open(meeting.target, "test", task=task, **sizes._asdict(), **options)
    for read in (*source.read(), *domain.facts):
        watch.report(Event("read", "transfer", 0, 0, read, recipes.line(read)))
    sample = tasks.widen(domain.sample, plan.ways + len(setting.kind.always)) if has_classes else domain.sample
    episodes = scores.draw(sample, TEST_SEED + plan.seed, plan.num_tasks)
    facts = {"domain": meeting.name, "split": domain.split, **sizes._asdict()}
    facts |= {} if has_classes else {"ways": 0}
    plain = methods.plain(setting, meeting.target)
    known = scores.oracles(plain, sample, TEST_SEED + plan.seed, plan.num_tasks)
    test = scores.Test(episodes, facts, domain.checksums, setting.shape, sample, oracles=known)
    chance = {"chance": 1 / sizes.ways if plan.scoring.metric == "accuracy" else None}
    return Drawn(sizes, smallest, test, {"split": domain.split, **chance, **_distances(source, episodes)})


def _cell(setting: Setting, meeting: Meeting, method: str, drawn: Drawn) -> list[Row]:
    """The rows of one method: its own, and before it the untrained network's where a learner has one."""
    sizes, smallest, test, facts = drawn
    plan = setting.plan
    if test is None:
        return [{"ways": sizes.ways, "note": f"not possible: {smallest} examples a class"}]
    facts = facts | {"checksums": test.checksums}
    if method not in meeting.source.families:
        return [scores.floor_row(methods.plain(setting, meeting.target), method, test, ways=plan.ways) | facts]
    name, family, tested, meta_params = meeting.source.ready(method)
    own = tested.adaptation
    facts |= {"inner_learning_rate": own.inner_learning_rate if tested.entry.has_steps else None}
    options: dict[str, Any] = {"inner_steps": own.inner_steps_test, "ways": plan.ways, "method": name}
    rows = [scores.trained_row(tested, meta_params, test, **options) | facts]
    if family == "learner" and not methods.method(name).fine_tunes:
        untrained = scores.untrained_rows(tested, test, **options)
        rows = [row | facts | {"family": "floor"} for row in untrained] + rows
    return rows


def _distances(source: trained.Source, episodes: Episode) -> dict[str, float | None]:
    """How far the target's examples lie from the source's, by untrained and by trained features."""
    if not isinstance(episodes.query, Batch):  # control has no examples
        return {"distance_untrained": None, "distance_trained": None}
    inputs = episodes.query.inputs
    inputs = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[: trained.FEATURES], inputs)
    known = source.features()
    distances = {name: cells.linear_mmd(own.source, own.encode(inputs)) for name, own in known.items()}
    return {f"distance_{name}": distances.get(name) for name in ("untrained", "trained")}
