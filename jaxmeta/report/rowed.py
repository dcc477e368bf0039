"""Rows of results.json, read without trust, and several seeds' as one."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxmeta import checks
from jaxmeta.runs import check_plain, read_json
from jaxmeta.runs import folder as folders
from jaxmeta.statistics import mean_interval
from jaxmeta.transfer import kept
from jaxmeta.transfer.summary import Row, scored

MOST_ROWS, MOST_FILES = 3_000, 20_000
"""Rows and files of cells that are read of one folder; a stranger's may have any number."""
_TEXTS = ("source", "domain", "method", "family", "split", "norm", "metric", "note", "error")
_NUMBERS = ("inner_learning_rate", "chance", "distance_untrained", "distance_trained")
_COUNTS = ("ways", "shots", "queries", "num_tasks", "inner_steps_train", "inner_steps_test", "seed")
LARGEST = 2**53
_MOST_SCORE = 1e100
"""Beyond it differences and squares of scores are none any more."""


def row(given: Any) -> Row | None:
    """A row of results.json with the fields that are known, each of its type; None if it is none."""
    if not isinstance(given, dict):
        return None
    found: Row = {name: checks.shown(given[name]) for name in _TEXTS if isinstance(given.get(name), str)}
    found |= {name: given[name] for name in _NUMBERS if kept.is_number(given.get(name))}
    found |= {name: given[name] for name in _COUNTS if type(given.get(name)) is int and 0 <= given[name] < LARGEST}
    columns = {name: _column(given.get(name), found.get("num_tasks")) for name in ("joint", "single")}
    found |= columns
    if not {"domain", "method", "shots"} <= set(found):
        return None
    if not any(columns.values()):
        return found | {"note": found.get("note", "no score")}
    if not {"metric", "num_tasks", "ways"} <= set(found):
        return None
    beside = given.get("beside")
    told = {
        checks.shown(name): _column(each.get("single") or each.get("joint"), found["num_tasks"])
        for name, each in (beside.items() if isinstance(beside, dict) else ())
        if isinstance(each, dict)
    }
    return found | ({"beside": told} if told else {})


def _column(given: Any, num_tasks: Any) -> dict[str, Any] | None:
    """A mean over at least two tasks, with its interval."""
    if not isinstance(num_tasks, int) or num_tasks < 2 or not kept.is_column(given, num_tasks):
        return None
    if max(map(abs, (given["low"], given["mean"], given["high"], *given["per_task"]))) > _MOST_SCORE:
        return None
    return {name: given[name] for name in ("mean", "low", "high", "per_task")}


def texts(given: Any, most: int = 300) -> dict[str, str]:
    items = list(given.items()) if isinstance(given, dict) else []
    return {checks.shown(name): checks.shown(value) for name, value in items[:most]}


def results_of(path: pathlib.Path, missing: list[str]) -> tuple[list[Row], dict[str, Any]]:
    """The rows of a results.json and the rest of it; what cannot be read is told."""
    file = path / folders.RESULTS
    check_plain(file)
    if not file.exists():
        return [], {}
    try:
        content = read_json(file, folders.MOST_RESULTS)
    except (OSError, ValueError) as error:
        missing.append(f"{file.name} cannot be read: {getattr(error, 'strerror', None) or error}")
        return [], {}
    if not isinstance(content, dict) or content.get("schema") != folders.SCHEMA:
        schema = content.get("schema") if isinstance(content, dict) else None
        wanted = f"results of schema {folders.SCHEMA}"
        checks.fail(str(file), wanted, f"schema {schema!r}", "it is of another version of jaxmeta", checks.DataError)
    given = content.pop("rows", None)
    given = given if isinstance(given, list) else []
    rows = [found for each in given[:MOST_ROWS] if (found := row(each))]
    if len(rows) < len(given):
        missing.append(f"{len(given) - len(rows)} of the {len(given)} rows of {file.name} are not read")
    return rows, content


def pooled(rows: Sequence[Row]) -> list[Row]:
    """One row a method of several seeds: its mean over all tasks, with the interval of trained models at hand."""
    groups: dict[tuple, list[Row]] = {}
    for each in rows:
        key = tuple(each.get(name) for name in ("method", "domain", "split", "shots", "ways", "queries", "metric"))
        groups.setdefault(key, []).append(each)
    return [_pool(own) for own in groups.values()]


def _pool(rows: Sequence[Row]) -> Row:
    first = dict(rows[0])
    for name in ("joint", "single"):
        columns = [each.get(name) for each in rows]
        first[name] = _joined(columns) if all(columns) else None
    if beside := first.get("beside"):
        told = {name: [each.get("beside", {}).get(name) for each in rows] for name in beside}
        first["beside"] = {name: _joined(columns) if all(columns) else None for name, columns in told.items()}
    if "num_tasks" in first:
        first["num_tasks"] = sum(each.get("num_tasks", 0) for each in rows)
    if not (first["joint"] or first["single"]):
        first["note"] = next((each["note"] for each in rows if "note" in each), "no score")
    first.pop("seed", None)
    return first


def _joined(columns: Sequence[Any]) -> dict[str, Any]:
    """All tasks of all seeds; each seed has as many."""
    per_task = [score for column in columns for score in column["per_task"]]
    return {**mean_interval(np.array(per_task))._asdict(), "per_task": per_task}


def without_score(rows: Sequence[Row]) -> list[str]:
    """Why rows have no score, each reason once with the rows it holds for."""
    reasons: dict[str, list[str]] = {}
    for each in rows:
        if scored(each) is None:
            reason = each.get("error") or each.get("note") or "no score"
            shown = f"{each['method']} on {each['domain']}, {each['shots']}-shot"
            reasons.setdefault(reason, []).append(shown)
    return [f"{some(shown)}: {reason}" for reason, shown in reasons.items()]


def some(names: Sequence[str], most: int = 3) -> str:
    """The first names of a list, and how many others there are."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return "; ".join(names[:most]) + rest
