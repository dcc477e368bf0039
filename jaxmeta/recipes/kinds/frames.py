"""What a kind keeps of labelled examples, so that others are brought to the same form without them."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxmeta import checks, datasets


class Frame(NamedTuple):
    """Small, and perhaps read from a stranger's file: a kind checks what it finds in it."""

    facts: Mapping[str, Any] = types.MappingProxyType({})
    """What JSON holds."""
    arrays: Mapping[str, np.ndarray] = types.MappingProxyType({})


def of_table(table: datasets.Examples | datasets.Table, target_column: str | None) -> Frame:
    """The frame of a table: its rows, by which others are scaled and completed, and its columns."""
    columns = [[column.name, list(column.categories)] for column in table.columns]
    return Frame({"columns": columns, "target_column": target_column}, {"rows": table.inputs})


def table(what: str, frame: Frame) -> tuple[datasets.Table, str | None]:
    """The rows and columns of a frame, without values, and the name of the target.

    Raises:
      DataError: if it is no frame of a table.
    """
    rows, target = frame.arrays.get("rows", np.empty(())), frame.facts.get("target_column")
    columns = tuple(_columns(frame.facts.get("columns")))
    if None in columns or rows.ndim != 2 or rows.dtype.kind != "f" or not isinstance(target, str | None):
        checks.fail(what, "the rows and columns of a table", "others", error=checks.DataError)
    if columns and len(columns) != rows.shape[1]:
        checks.fail(what, f"{rows.shape[1]} columns", len(columns), error=checks.DataError)
    names = tuple(column.name for column in columns if column)
    return datasets.Table(rows, rows[:, :0], names, "", {}, tuple(filter(None, columns))), target


def _columns(told: Any) -> Iterator[datasets.Column | None]:
    """The columns that JSON tells, None in place of what tells none."""
    for each in told if isinstance(told, list) else [None]:
        match each:
            case [str(name), [*categories]] if all(isinstance(text, str) for text in categories):
                yield datasets.Column(name, tuple(categories))
            case _:
                yield None
