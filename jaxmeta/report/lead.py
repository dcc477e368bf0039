"""The one picture of the first screen: who wins where, how far above whom, and above what floor."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from jaxmeta import tables
from jaxmeta.report import style, words
from jaxmeta.report.figure import Figure
from jaxmeta.report.verdicts import Part, Verdict
from jaxmeta.transfer.summary import Row, scored

MOST = 36
"""Lines of the picture; of more cells a heat map shows more."""


def lead(part: Part, found: Sequence[Verdict]) -> Figure | None:
    """A line for each cell with its winner, its rival and its floor; of a single cell one for each method.

    Args:
      part: what is compared.
      found: what it says.

    Returns:
      None where there is nothing to show, or more than fits one screen.
    """
    if not found or len(found) > MOST or len({verdict.metric for verdict in found}) > 1:
        return None
    return _methods(part, found[0]) if len(found) == 1 else _cells(part, found)


def _methods(part: Part, verdict: Verdict) -> Figure:
    about = (verdict.source, verdict.domain, verdict.shots)
    rows = [row for row in part.rows if scored(row) and (row["source"], row["domain"], row["shots"]) == about]
    told = "; ".join(f"{row['method']} {words.score(row)}" for row in rows[:12])
    title = f"Scores on {verdict.domain}, {verdict.shots}-shot"
    header = ("method", "kind", "mean", "low", "high")
    table = [(row["method"], row["family"], *_shown(row)) for row in rows]
    draw = functools.partial(_draw_methods, rows[:MOST], verdict)
    return Figure("lead", title, draw, f"{title}, mean and 95% interval: {told}.", header, table)


def _cells(part: Part, found: Sequence[Verdict]) -> Figure:
    header = ("cell", "what", "method", "mean", "low", "high")
    table = [
        (_label(found, verdict).replace("\n", " "), what, row["method"], *_shown(row))
        for verdict in found
        for what, row in _marks(part, verdict)
    ]
    told = "; ".join(
        f"{verdict.domain}, {verdict.shots}-shot: {verdict.winner['method']} {words.score(verdict.winner)}"
        + (f", floor {tables.number(scored(verdict.floor)['mean'], verdict.metric)}" if verdict.floor else "")
        for verdict in found[:8]
    )
    more = f"; and {len(found) - 8} more cells" if len(found) > 8 else ""
    draw = functools.partial(_draw_cells, part, found)
    alt = f"The best method of each cell, mean and 95% interval, beside its rival and the best floor. {told}{more}."
    return Figure("lead", "Who wins where", draw, alt, header, table)


def _shown(row: Row) -> list[float]:
    scale = 100 if row["metric"] == "accuracy" else 1
    return [round(scale * scored(row)[name], 3) for name in ("mean", "low", "high")]


def _marks(part: Part, verdict: Verdict) -> list[tuple[str, Row]]:
    """The rows of a cell that are shown: the floor, whom the winner is held against, and the winner."""
    about = (verdict.source, verdict.domain, verdict.shots)
    rows = [row for row in part.rows if (row["source"], row["domain"], row["shots"]) == about]
    rival = [row for row in rows if verdict.lead and row["method"] == verdict.lead.second]
    floor = [("floor", verdict.floor)] if verdict.floor else []
    return [*floor, *(("rival", row) for row in rival), ("winner", verdict.winner)]


def _label(found: Sequence[Verdict], verdict: Verdict) -> str:
    several = len({each.source for each in found}) > 1
    origin = f"from {verdict.source} " if several else ""
    return f"{origin}to {verdict.domain}\n{verdict.shots}-shot"


@style.styled
def _draw_methods(rows: Sequence[Row], verdict: Verdict) -> Any:
    figure = style.sheet(0.9 + 0.42 * len(rows), 6.0)
    panel = figure.subplots()
    bounds = _bounds(rows)
    for y, row in enumerate(rows):
        _mark(panel, y, row, filled=True)
        mean, shown = _shown(row)[0], tables.number(scored(row)["mean"], row["metric"])
        inside = bounds[0] <= mean <= bounds[1]
        panel.annotate(
            shown if inside else f"◀ {shown}" if mean < bounds[0] else f"{shown} ▶",
            (mean if inside else bounds[int(mean > bounds[1])], y), (0, 6 if inside else -3), fontsize=8.5,
            textcoords="offset points", ha="center" if inside else "left" if mean < bounds[0] else "right",
            color=style.FAMILIES[row["family"]][0], zorder=4,
            bbox={"facecolor": style.PANEL, "edgecolor": "none", "pad": 0.4},
        )  # fmt: skip
    panel.set_xlim(*bounds)
    if verdict.floor:
        panel.axvline(_shown(verdict.floor)[0], color=style.SOFT, linestyle="--", linewidth=1)
    style.listed(panel, [style.wrapped(row["method"], 26) for row in rows])
    panel.set_ylim(len(rows) - 0.5, -0.75)
    _finish(figure, panel, verdict, {row["family"] for row in rows}, "dashed: the best floor")
    return figure


@style.styled
def _draw_cells(part: Part, found: Sequence[Verdict]) -> Any:
    figure = style.sheet(1.0 + 0.46 * len(found), 6.4)
    panel = figure.subplots()
    families = set()
    for y, verdict in enumerate(found):
        marks = _marks(part, verdict)
        ends = [_shown(row)[0] for _, row in marks]
        panel.plot([min(ends), max(ends)], [y, y], color=style.RULE, linewidth=4, solid_capstyle="round", zorder=0)
        for what, row in marks:
            _mark(panel, y, row, filled=what != "rival")
            families.add(row["family"])
        sure = "" if verdict.lead is None else " ✓" if verdict.lead.certain > 0 else " ≈"
        panel.annotate(
            f"{style.plain(verdict.winner['method'], 24)}{sure}", (1.01, y), xycoords=("axes fraction", "data"),
            fontsize=8.5, va="center", color=style.FAMILIES[verdict.winner["family"]][0],
        )  # fmt: skip
    low, high = panel.get_xlim()
    for y, verdict in enumerate(found):
        if low < (chance := 100 * (verdict.winner.get("chance") or -1)) < high:
            panel.plot(chance, y, "|", color=style.SOFT, markersize=9)
    panel.set_xlim(low, high)
    labels = [_label(found, verdict).split("\n") for verdict in found]
    style.listed(panel, [f"{style.wrapped(name, 28, 1)}\n{shots}" for name, shots in labels])
    panel.tick_params(axis="y", labelsize=8)
    said = "filled: the winner and the floor, hollow: the rival; ✓ the lead is certain, ≈ it is not"
    _finish(figure, panel, found[0], families, said)
    return figure


def _bounds(rows: Sequence[Row]) -> tuple[float, float]:
    """What the axis shows: all, but for what lies so far off that the rest would be one point."""
    ends = sorted((_shown(row) for row in rows), key=lambda each: each[0])
    while len(ends) > 2:
        without = min((ends[1:], ends[:-1]), key=_reach)
        if _reach(without) * 6 > _reach(ends) or not _reach(without):
            break
        ends = without
    room = 0.06 * _reach(ends) or 1.0
    return min(low for _, low, _ in ends) - room, max(high for _, _, high in ends) + room


def _reach(ends: Sequence[Sequence[float]]) -> float:
    return max(high for _, _, high in ends) - min(low for _, low, _ in ends)


def _mark(panel: Any, y: float, row: Row, *, filled: bool) -> None:
    color, marker = style.FAMILIES[row["family"]]
    mean, low, high = _shown(row)
    panel.plot([low, high], [y, y], color=color, linewidth=1.8, zorder=2)
    panel.plot(mean, y, marker, color=color, markerfacecolor=color if filled else style.PANEL, markersize=6, zorder=3)


def _finish(figure: Any, panel: Any, verdict: Verdict, families: set[str], said: str) -> None:
    style.ruled(panel)
    metric = verdict.metric
    panel.set_xlabel("accuracy in %" if metric == "accuracy" else metric.replace("_", " "))
    handles = {
        name: panel.plot([], [], marker, color=color)[0]
        for name, (color, marker) in style.FAMILIES.items()
        if name in families
    }
    figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=len(handles))
    figure.supxlabel(said, fontsize=7.5, color=style.SOFT)
