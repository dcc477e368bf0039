"""One look for all figures: one palette, one size of letters, a light panel that is read in the dark, too."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable
from typing import Any, ParamSpec

from jaxmeta import checks

WIDTH = 4.2
"""Inches: shown as wide as a phone, letters of 9 points are 8 or more."""
INK, SOFT, RULE, PANEL = "#1F2328", "#5F6670", "#E3E5E8", "#FFFFFF"
# Okabe and Ito: told apart by every kind of colour vision. Yellow is left out, which white swallows.
BLUE, ORANGE, GREEN, RED, SKY, PINK = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7"
COLORS = (BLUE, RED, GREEN, ORANGE, PINK, SKY, SOFT)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
FAMILIES = {"learner": (BLUE, "o"), "baseline": (RED, "s"), "floor": (SOFT, "D")}
"""{family: (color, marker)}"""
RIGHT, WRONG = BLUE, RED
_SETTINGS: dict[str, Any] = {
    "font.family": ["DejaVu Sans"], "font.size": 9, "axes.titlesize": 9.5, "axes.labelsize": 9, "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5, "legend.fontsize": 8.5, "legend.frameon": False, "figure.facecolor": PANEL,
    "axes.facecolor": PANEL, "savefig.facecolor": PANEL, "text.color": INK, "axes.labelcolor": INK,
    "axes.titlecolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.edgecolor": "#9AA1A9",
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": False, "grid.color": RULE,
    "axes.axisbelow": True, "lines.linewidth": 1.5, "lines.markersize": 5, "axes.titlelocation": "left",
    "figure.dpi": 100, "axes.unicode_minus": True,
}  # fmt: skip


P = ParamSpec("P")


def styled(draw: Callable[P, Any]) -> Callable[P, Any]:
    """A function that draws in the report's look, whatever the caller's own settings are."""

    @functools.wraps(draw)
    def drawn(*given: P.args, **named: P.kwargs) -> Any:
        import matplotlib

        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            own: Any = matplotlib.rcParams
            own.update(_SETTINGS)
            return draw(*given, **named)

    return drawn


def sheet(height: float, width: float = WIDTH) -> Any:
    """An empty matplotlib Figure, that no pyplot keeps."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def plain(text: object, most: int = 60) -> str:
    """Anybody's text as matplotlib draws it letter for letter: no mathematics, no line breaks, not too long."""
    said = " ".join(checks.line(text).split())
    return (said if len(said) <= most else f"{said[: most - 1]}…").replace("$", r"\$")


def wrapped(text: object, width: int, lines: int = 2) -> str:
    """`plain` over some lines, the last of which says by "…" that there was more."""
    # Names are broken behind "_" and ",", too.
    spaced = " ".join(checks.line(text).split())
    for end in "_,":
        spaced = spaced.replace(end, f"{end}\0 ")
    parts = [part.replace("\0 ", "").replace("\0", "") for part in textwrap.wrap(spaced, width + 1)] or [""]
    if len(parts) > lines:
        parts = [*parts[: lines - 1], f"{parts[lines - 1][: width - 1]}…"]
    return "\n".join(parts).replace("$", r"\$")


def place(index: int) -> tuple[str, str]:
    """The color and the marker of one of several things."""
    return COLORS[index % len(COLORS)], MARKERS[index % len(MARKERS)]


def ruled(panel: Any, axis: str = "x") -> None:
    """Light lines behind a panel's marks, and no ticks that would say the same."""
    panel.grid(axis=axis, color=RULE, linewidth=0.8)
    panel.tick_params(length=0)


def listed(panel: Any, labels: list[str]) -> None:
    """Names from top to bottom on the left of a panel."""
    panel.set_yticks(range(len(labels)), labels)
    panel.set_ylim(len(labels) - 0.5, -0.5)
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)


def unit(metric: str) -> str:
    """What stands at an axis of a metric."""
    return "accuracy in %" if metric == "accuracy" else metric.replace("_", " ")


def scale(metric: str) -> float:
    """What a metric is multiplied with to be shown."""
    return 100.0 if metric == "accuracy" else 1.0
