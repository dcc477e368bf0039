"""The rows of a transfer's cells as files, read without trust: a folder that is gone on with may be a stranger's."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Mapping
from typing import Any

from jaxmeta import checks
from jaxmeta.runs import check_plain, read_json
from jaxmeta.runs.folder import MOST_RESULTS
from jaxmeta.transfer.summary import scored

_COLUMNS = ("joint", "single")
_TEXTS = ("source", "domain", "method", "family", "split", "norm", "metric", "note")


def read(path: pathlib.Path, most_bytes: int = MOST_RESULTS) -> Any:
    """Reads JSON of a transfer's folder.

    Raises:
      DataError: if it is missing, larger, no JSON, or a link.
    """
    check_plain(path)
    try:
        return read_json(path, most_bytes)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        checks.fail(str(path), "JSON as a transfer writes it", reason, error=checks.DataError)


def rows(path: pathlib.Path, facts: Mapping[str, Any], num_tasks: int) -> list[dict[str, Any]]:
    """Reads the rows of one method in one cell.

    Args:
      path: the file.
      facts: source, domain, shots, method and family of the cell.
      num_tasks: how many scores a column has.

    Raises:
      DataError: if the file holds anything else.
    """
    found = read(path)
    if not isinstance(found, list) or not found or not all(_is_row(row, facts, num_tasks) for row in found):
        hint = "remove it to compute the cell again"
        checks.fail(str(path), "the rows of this cell", "something else", hint, checks.DataError)
    return found


def _is_row(row: Any, facts: Mapping[str, Any], num_tasks: int) -> bool:
    if not isinstance(row, dict) or any(row.get(name) != facts[name] for name in ("source", "domain", "shots")):
        return False
    kinds = [(facts["method"], facts["family"]), (f"{facts['method']}, untrained", "floor")]
    if (row.get("method"), row.get("family")) not in kinds:
        return False
    rest = dict(row)
    sums, beside = rest.pop("checksums", None), rest.pop("beside", {})
    columns = [rest.pop(name, None) for name in _COLUMNS]
    if not isinstance(beside, dict) or not all(isinstance(each, dict) for each in beside.values()):
        return False
    told = [column for each in beside.values() for column in each.values()]
    if not isinstance(sums, dict) or not all(isinstance(value, str) for value in sums.values()):
        return False
    if any(columns) and not (rest.get("num_tasks") == num_tasks and _is_chance(rest)):
        return False
    return (
        all(
            value is None or (isinstance(value, str) if name in _TEXTS else is_number(value))
            for name, value in rest.items()
        )
        and is_number(rest.get("ways"))
        and all(column is None or is_column(column, num_tasks) for column in (*columns, *told))
        and (scored(row) is not None or isinstance(rest.get("note"), str))
    )


def _is_chance(row: Mapping[str, Any]) -> bool:
    """Values have no chance level, classes have one."""
    known = row.get("chance")
    return is_number(known) if row.get("metric") == "accuracy" else known is None or is_number(known)


def is_column(column: Any, num_tasks: int) -> bool:
    """Whether this is the mean of scores with its interval, and every task's score."""
    if not isinstance(column, dict) or not isinstance(column.get("per_task"), list):
        return False
    values = [*column["per_task"], *(column.get(name) for name in ("mean", "low", "high"))]
    return len(column["per_task"]) == num_tasks and all(map(is_number, values))


def is_number(value: Any) -> bool:
    """Whether this is a finite number as results have it."""
    return (type(value) is int and abs(value) < 2**53) or (type(value) is float and math.isfinite(value))
