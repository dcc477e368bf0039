"""Figures as files and as what stands in a page."""

from __future__ import annotations

import base64
import dataclasses
import io
import pathlib
import warnings

from jaxmeta import checks
from jaxmeta.report.figure import Figure
from jaxmeta.report.matrices import Cell, Line, Table
from jaxmeta.runs import folder as folders

_HEAVY = 300_000
"""Bytes of an SVG in a page, beyond which a PNG takes its place."""
_DPI = 160
_MOST_LINES = 400
"""Of the table behind a figure."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """A drawn figure.

    Attributes:
      figure: what was drawn.
      svg: the file; empty if it could not be drawn.
      png: likewise.
      width: in CSS pixels.
      height: likewise.
      error: why it could not be drawn.
    """

    figure: Figure
    svg: bytes
    png: bytes
    width: int
    height: int
    error: str = ""

    @property
    def data(self) -> str:
        """The data URI of what is lighter; a picture runs no script, whatever its letters are."""
        if not self.png:
            return ""
        heavy = len(self.svg) > _HEAVY and len(self.png) < len(self.svg)
        kind, content = ("png", self.png) if heavy else ("svg+xml", self.svg)
        return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"

    @property
    def table(self) -> Table:
        """The table behind it."""
        rows = list(self.figure.rows)
        lines = tuple(Line("", tuple(map(_cell, row))) for row in rows[:_MOST_LINES])
        return Table(f"The table behind: {self.figure.title}", tuple(map(str, self.figure.header)), lines)


def _cell(value: object) -> Cell:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Cell(f"{value:g}" if isinstance(value, float) else str(value), value=float(value))
    return Cell(str(value))


def drawn(figure: Figure) -> Picture:
    """Draws a figure once; one that cannot be drawn says why, and the report goes on without it.

    Raises:
      ImportError: if matplotlib is missing.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError("figures need matplotlib: pip install 'jaxmeta[report]'") from error
    try:
        # Names are anybody's, and may have letters that no font of this machine has.
        with warnings.catch_warnings(), matplotlib.rc_context({"svg.hashsalt": "jaxmeta"}):
            warnings.simplefilter("ignore")
            made = figure.draw()
            svg, png = io.BytesIO(), io.BytesIO()
            made.savefig(svg, format="svg", metadata={"Date": None})
            made.savefig(png, format="png", dpi=_DPI)
        width, height = (round(96 * float(size)) for size in made.get_size_inches())
    except Exception as error:  # matplotlib raises many kinds on what it cannot draw
        said = checks.shown(f"{type(error).__name__}: {error}")
        return Picture(figure, b"", b"", 0, 0, checks.line(f"{figure.title} could not be drawn: {said}"))
    return Picture(figure, svg.getvalue(), png.getvalue(), width, height)


def write(picture: Picture, folder: pathlib.Path, stem: str) -> None:
    """Writes a picture as PNG and SVG."""
    for kind, content in (("png", picture.png), ("svg", picture.svg)):
        if content:
            folders.replace(folder / f"{stem}.{kind}", content)
