"""Tables for people: as Markdown, or aligned for a terminal; and numbers with their intervals, in one form."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jaxmeta import checks


class Code(str):
    """A cell that Markdown shows letter for letter."""


def markdown(head: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table, without a newline at its end.

    Cells may be bold or set in italics; HTML, pipes, line breaks and what steers a terminal are escaped, since names of
    classes and folders are anybody's.

    Args:
      head: what the columns hold.
      rows: each with a cell for every column.

    Raises:
      ValueError: if a row has more or fewer cells than the head.

    Example:
      >>> from jaxmeta import tables
      >>> print(tables.markdown(["method", "joint"], [["maml", "97.3 [97.0, 97.6]"]]))
      | method | joint |
      |---|---|
      | maml | 97.3 [97.0, 97.6] |
    """
    first, *others = [f"| {' | '.join(map(_cell, line))} |" for line in _lines(head, rows)]
    return "\n".join([first, f"|{'---|' * len(head)}", *others])


def text(head: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """The same for a terminal: columns are aligned and a rule stands below the head.

    Args:
      head: what the columns hold.
      rows: each with a cell for every column.

    Raises:
      ValueError: if a row has more or fewer cells than the head.
    """
    lines = [[checks.line(cell) for cell in line] for line in _lines(head, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    first, *others = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    ]
    return "\n".join([first, "-" * max(map(len, [first, *others])), *others])


def escaped(name: object) -> str:
    """A name as Markdown shows it, in one line."""
    plain = html.escape(" ".join(checks.line(name).split()), quote=False)
    # A backslash before a pipe would escape the one that escapes it.
    return re.sub(r"(\\*)\|", r"\1\1\\|", plain)


def number(value: float, metric: str) -> str:
    """A score as it is shown: accuracy in percent with one digit, anything else with three."""
    return _shown(value, metric, "")


def interval(column: Mapping[str, Any] | None, metric: str) -> str:
    """A mean with its interval, such as "97.3 [97.0, 97.6]"; "-" where there is none.

    Args:
      column: has mean, low and high.
      metric: "accuracy", a fraction that is shown in percent with one digit, or another, shown with three.
    """
    return _bounded(column, metric, "")


def difference(column: Mapping[str, Any] | None, metric: str) -> str:
    """The same of a difference, which shows its sign: "+1.2 [+0.4, +2.0]"."""
    return _bounded(column, metric, "+")


def _bounded(column: Mapping[str, Any] | None, metric: str, sign: str) -> str:
    if column is None:
        return "-"
    mean, low, high = (_shown(column[name], metric, sign) for name in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def _shown(value: float, metric: str, sign: str) -> str:
    return f"{100 * value:{sign}.1f}" if metric == "accuracy" else f"{value:{sign}.3f}"


def _cell(value: object) -> str:
    if isinstance(value, Code):
        plain = checks.line(value).replace("`", "'")
        return "`{}`".format(plain.replace("|", "\\|")) if plain else ""
    return escaped(value)


def _lines(head: Sequence[object], rows: Sequence[Sequence[object]]) -> list[Sequence[object]]:
    for row in rows:
        if len(row) != len(head):
            checks.fail("a row of a table", f"{len(head)} cells", len(row))
    return [head, *rows]
