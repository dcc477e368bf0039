"""A figure of a report: a picture, what it shows in words, and the table behind it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Figure:
    """One picture of a report, for those who see it and for those who read it.

    Attributes:
      name: a slug of lower-case letters, digits and "-": of its files and its place in the page, one in a report.
      title: a line, plain text.
      draw: () -> a matplotlib Figure; called once for each file that is written.
      alt: what it shows, in one or two sentences with its numbers; plain text.
      header: what the columns of the table behind it hold.
      rows: that table, strings or numbers, a cell for every column.
      note: how to read it or what it leaves out; plain text, empty if there is nothing to say.
    """

    name: str
    title: str
    draw: Callable[[], Any]
    alt: str
    header: Sequence[str]
    rows: Sequence[Sequence[str | float]]
    note: str = ""
