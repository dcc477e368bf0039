"""What several seeds of one training say together: their rows, and the spread over seeds apart from that over tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxmeta import statistics, tables
from jaxmeta.runs.scores import Row

COLUMNS = ("joint", "single")


def spreads(rows: Mapping[int, Sequence[Row]]) -> list[dict[str, Any]]:
    """Mean, deviation over seeds and both intervals of each method and column.

    Args:
      rows: {seed: its rows}, method for method.
    """
    return [
        {"method": row["method"], "metric": row["metric"], "num_seeds": len(rows), "num_tasks": row["num_tasks"]}
        | {column: _spread([own[index][column] for own in rows.values()]) for column in COLUMNS}
        for index, row in enumerate(next(iter(rows.values())))
    ]


def text(found: Sequence[Mapping[str, Any]]) -> str:
    """What `spreads` returns as a table for people."""
    head = ["method", *(name for column in COLUMNS for name in (column, f"{column}, over seeds"))]
    lines = [
        [each["method"], *(cell for name in COLUMNS for cell in _cells(each[name], each["metric"]))] for each in found
    ]
    return (
        f"{tables.text(head, lines)}\nmean over {found[0]['num_seeds']} seeds, each on tasks of its own, and its 95% "
        "interval for models trained anew; over seeds: their standard deviation"
    )


def _spread(columns: list[dict[str, Any] | None]) -> dict[str, Any] | None:
    scores = [column["per_task"] for column in columns if column]
    if len(scores) < len(columns):  # none, or a seed's are not finite
        return None
    found = statistics.nested_seeds(np.array(scores))
    return found._asdict() | {name: getattr(found, name)._asdict() for name in ("these_seeds", "new_seeds")}


def _cells(spread: dict[str, Any] | None, metric: str) -> tuple[str, str]:
    """The mean with its interval, and the deviation."""
    if spread is None:
        return "-", "-"
    return tables.interval(spread["new_seeds"], metric), tables.number(spread["seed_std"], metric)
