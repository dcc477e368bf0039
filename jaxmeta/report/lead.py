"""The one picture of the first screen: who wins where, how far above whom, and above what floor."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxmeta import tables
from jaxmeta.report import style, words
from jaxmeta.report.figure import Figure
from jaxmeta.report.verdicts import Part, Verdict
from jaxmeta.transfer.summary import Row, scored

MOST = 36
"""Lines of the picture; more cells stand in a map of sources and domains."""
MOST_CELLS = 600


def lead(part: Part, found: Sequence[Verdict]) -> Figure | None:
    """A line for each cell with its winner, its rival and its floor; of a single cell one for each method, and of very
    many a map.

    Args:
      part: what is compared.
      found: what it says.

    Returns:
      None where there is nothing to show, or more than fits one screen.
    """
    if not found or len(found) > MOST_CELLS or len({verdict.metric for verdict in found}) > 1:
        return None
    if len(found) > MOST:
        return _map(found)
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


def _map(found: Sequence[Verdict]) -> Figure:
    header = ("source", "domain", "shots", "best", "kind", "mean", "low", "high", "above the floor by", "certain lead")
    table = [
        (each.source, each.domain, each.shots, each.winner["method"], each.winner["family"], *_shown(each.winner),
         "-" if each.gain is None else round(_scale(each.metric) * each.gain.mean, 3),
         "-" if each.lead is None else "yes" if each.lead.certain > 0 else "no")
        for each in found
    ]  # fmt: skip
    scores = [_shown(each.winner)[0] for each in found]
    learners = sum(each.winner["family"] == "learner" for each in found)
    alt = (
        f"The best score of each of {len(found)} cells, from {min(scores):.1f} to {max(scores):.1f}; a meta-learner is "
        f"best in {learners}. The darker, the further above the best floor."
    )
    return Figure("lead", "The best of each cell", functools.partial(_draw_map, found), alt, header, table)


@style.styled
def _draw_map(found: Sequence[Verdict]) -> Any:
    from matplotlib.patches import Rectangle

    names = {name: list(dict.fromkeys(getattr(each, name) for each in found)) for name in ("source", "domain", "shots")}
    sources, domains, shots = names["source"], names["domain"], names["shots"]
    figure = style.sheet(1.2 + len(shots) * (0.5 + 0.34 * len(sources)), max(6.0, 1.8 + 0.52 * len(domains)))
    panels = figure.subplots(len(shots), 1, squeeze=False)[:, 0]
    gains = [_scale(each.metric) * each.gain.mean for each in found if each.gain]
    top = max([*gains, 1e-9])
    for panel, number in zip(panels, shots, strict=True):
        grid = np.full((len(sources), len(domains)), np.nan)
        for each in (verdict for verdict in found if verdict.shots == number):
            y, x = sources.index(each.source), domains.index(each.domain)
            grid[y, x] = max(0.0, _scale(each.metric) * each.gain.mean) if each.gain else 0.0
            sure = "" if each.lead is None else "✓" if each.lead.certain > 0 else "≈"
            color = style.PANEL if grid[y, x] > 0.55 * top else style.INK
            shown = tables.number(scored(each.winner)["mean"], each.metric)
            panel.text(x, y, f"{shown}{sure}", ha="center", va="center", fontsize=7.5, color=color)
            if each.winner["family"] == "baseline":
                frame = {"facecolor": "none", "edgecolor": style.FAMILIES["baseline"][0], "linewidth": 2}
                panel.add_patch(Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, **frame))
        image = panel.imshow(grid, cmap="Blues", vmin=0.0, vmax=top, aspect="auto")
        panel.set_xticks(range(len(domains)), [style.wrapped(name, 10) for name in domains], fontsize=7.5, rotation=45)
        panel.set_yticks(range(len(sources)), [style.wrapped(name, 24, 1) for name in sources], fontsize=7.5)
        panel.tick_params(length=0)
        panel.set_title(f"{number}-shot")
        for side in panel.spines.values():
            side.set_visible(False)
    figure.colorbar(image, ax=list(panels), shrink=0.6, label="above the best floor by")
    said = "the best score; framed: a baseline's; ✓ the lead is certain, ≈ it is not"
    figure.supxlabel(said, fontsize=7.5, color=style.SOFT)
    return figure


def _scale(metric: str) -> int:
    return 100 if metric == "accuracy" else 1


def _shown(row: Row) -> list[float]:
    return [round(_scale(row["metric"]) * scored(row)[name], 3) for name in ("mean", "low", "high")]


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
