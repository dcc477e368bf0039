"""Methods and their sources by targets, as a heat map."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxmeta import tables
from jaxmeta.recipes.scoring import metric_sign
from jaxmeta.report import style, verdicts
from jaxmeta.report.figure import Figure
from jaxmeta.transfer import Row
from jaxmeta.transfer.summary import sign

_BESIDE = 4  # targets
_COLUMNS = {"single": "each query alone", "joint": "all queries of a task together"}


class Cell(NamedTuple):
    """What a row has in a column."""

    row: Row
    standing: str
    """"best", "tied" with it, or ""."""


def _line(row: Row) -> tuple[str, str]:
    """A row of the map: a method from a source; floors know no source."""
    return (row["method"], "" if row["family"] == "floor" else row["source"])


def _lines(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """(family, method, source), learners first and floors last."""
    order = list(style.FAMILIES)
    found = dict.fromkeys((row["family"], *_line(row)) for row in rows)
    return sorted(found, key=lambda each: (order.index(each[0]), [*found].index(each)))


def standings(rows: Sequence[Row], column: str = "single") -> dict[tuple[str, str], str]:
    """Which rows of one domain and number of shots are best, and which are not told apart from the best.

    Args:
      rows: of one domain and number of shots, on the same tasks.
      column: "single" or "joint".

    Returns:
      {(method, source): "best", "tied" or ""}; tied: Wilcoxon's p of the paired scores, adjusted by Holm for all
      comparisons with the best, is at least 0.05. What was scored on other tasks is neither.
    """
    known = {_line(row): row for row in rows if row.get(column)}
    if not known:
        return {}
    top = known[max(known, key=lambda line: sign(known[line]) * known[line][column]["mean"])]
    names = "split", "ways", "queries", "num_tasks"
    alike = [row | {"method": line} for line, row in known.items() if all(row.get(n) == top.get(n) for n in names)]
    marked = verdicts.marks(alike, column)
    return {line: marked.get(line, "") for line in known}  # pyright: ignore[reportArgumentType, reportCallIssue]


def matrix(rows: Sequence[Row], shots: int) -> Figure | str:
    """Methods and their sources by targets as a heat map, each query alone and, where that differs, all together."""
    own = [row for row in rows if row["shots"] == shots and (row.get("single") or row.get("joint"))]
    if not own:
        return f"The matrix of {shots}-shot tasks: no cell has scores yet."
    domains, lines = list(dict.fromkeys(row["domain"] for row in own)), _lines(own)
    metric = own[0]["metric"]
    columns = [name for name in ("single", "joint") if any(row.get(name) for row in own)]
    shown = lambda row, name: tables.interval(row.get(name), metric)  # noqa: E731
    if len(columns) == 2 and all(shown(row, "single") == shown(row, "joint") for row in own):
        columns = ["single"]
    cells: dict[str, dict[tuple[tuple[str, str], str], Cell]] = {name: {} for name in columns}
    for name in columns:
        for domain in domains:
            inside = [row for row in own if row["domain"] == domain]
            standing = standings(inside, name)
            for row in inside:
                if row.get(name):
                    cells[name].setdefault((_line(row), domain), Cell(row, standing[_line(row)]))
    several = len({source for _, _, source in lines if source}) > 1
    header = ["family", "method", "source", "target", "column", "mean", "low", "high", "chance", "standing"]
    table = [
        [family, method, source or "-", domain, name, *(round(style.scale(metric) * cell.row[name][part], 3)
         for part in ("mean", "low", "high")), _chance(cell.row), cell.standing or "-"]
        for name in columns for family, method, source in lines for domain in domains
        if (cell := cells[name].get(((method, source), domain)))
    ]  # fmt: skip
    sources = ", ".join(dict.fromkeys(source for _, _, source in lines if source))
    first = cells[columns[0]]
    alt = (
        f"Heat map of {style.unit(metric)} in {shots}-shot tasks, {len(lines)} rows by {len(domains)} targets. "
        + " ".join(
            _winner(domain, [cell for (_, where), cell in first.items() if where == domain], columns[0])
            for domain in domains
        )
    )
    note = (
        "Mean and half of its 95% interval over tasks. Thick frame and star: the best of its column. Thin frame and ≈: "
        "not told apart from it (Wilcoxon on the same tasks, Holm over the column, 0.05). "
    )
    note += "Each query alone" + (
        "; joint: all queries of a task together." if len(columns) == 2 else ", the same as joint." if columns ==
        ["single"] else "."
    )  # fmt: skip
    note += "" if several else f" From {sources}." if sources else ""
    return Figure(
        f"matrix-{shots}-shot", f"{'Source by target' if several else 'Methods by target'}, {shots}-shot",
        functools.partial(_matrix, cells, lines, domains, metric, several), alt, header, table, note,
    )  # fmt: skip


def _chance(row: Row) -> float | str:
    return round(100 * row["chance"], 3) if row.get("chance") else "-"


def _winner(domain: str, cells: Sequence[Cell], column: str) -> str:
    best = next(cell.row for cell in cells if cell.standing == "best")
    tied = sum(cell.standing == "tied" for cell in cells)
    beside = f", {tied} not told apart" if tied else ""
    return f"{domain}: {best['method']} {tables.interval(best[column], best['metric'])}{beside}."


@style.styled
def _matrix(
    cells: Mapping[str, Mapping[tuple[tuple[str, str], str], Cell]], lines: Sequence[tuple[str, str, str]],
    domains: Sequence[str], metric: str, several: bool,
) -> Any:  # fmt: skip
    import matplotlib
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Rectangle

    # Beside one another only as many columns as a phone shows legibly; the others stand below.
    parts = [list(part) for part in np.array_split(np.array(domains, object), math.ceil(len(domains) / _BESIDE))]
    shown = [(name, part) for name in cells for part in parts]
    figure = style.sheet((0.75 + (0.46 if several else 0.42) * len(lines)) * len(shown) + 0.4)
    panels = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
    values = [style.scale(metric) * cell.row[name]["mean"] for name, own in cells.items() for cell in own.values()]
    low, high = min(values), max(values)
    ramp = matplotlib.colormaps["Blues" if metric_sign(metric) > 0 else "Blues_r"](np.linspace(0.04, 0.78, 256))
    for panel, (name, part) in zip(panels, shown, strict=True):
        own = cells[name]
        grid = np.full((len(lines), len(part)), np.nan)
        for y, (_, method, source) in enumerate(lines):
            for x, domain in enumerate(part):
                if cell := own.get(((method, source), domain)):
                    grid[y, x] = style.scale(metric) * cell.row[name]["mean"]
        image = panel.imshow(grid, cmap=ListedColormap(ramp), vmin=low, vmax=max(high, low + 1e-9), aspect="auto")
        for y, (_, method, source) in enumerate(lines):
            for x, domain in enumerate(part):
                if (cell := own.get(((method, source), domain))) is None:
                    panel.text(x, y, "–", ha="center", va="center", color=style.SOFT)
                    continue
                r, g, b, _ = image.to_rgba(grid[y, x])
                color = style.INK if 0.299 * r + 0.587 * g + 0.114 * b > 0.55 else "white"
                column, best = cell.row[name], cell.standing == "best"
                half = style.scale(metric) * (column["high"] - column["low"]) / 2
                mark = {"best": "★ ", "tied": "≈ ", "": ""}[cell.standing]
                digits = 1 if metric == "accuracy" else 3
                said = f"{mark}{grid[y, x]:.{digits}f}\n±{half:.{digits}f}"
                panel.text(x, y, said, ha="center", va="center", color=color, fontsize=8, linespacing=1.05,
                           fontweight="bold" if best else "normal")  # fmt: skip
                if cell.standing:
                    thick = 2.2 if best else 1.0
                    box = Rectangle((x - 0.47, y - 0.46), 0.94, 0.92, fill=False, edgecolor=style.INK, linewidth=thick,
                                    zorder=4)  # fmt: skip
                    panel.add_patch(box)
        labels = [
            style.wrapped(f"{method} ← {source}", 24, 3) if several and source else style.wrapped(method, 20)
            for _, method, source in lines
        ]  # fmt: skip
        panel.set_yticks(range(len(lines)), labels)
        for tick, (family, *_) in zip(panel.get_yticklabels(), lines, strict=True):
            tick.set_color(style.FAMILIES[family][0])
        panel.set_xticks(range(len(part)), [style.wrapped(each, 11) for each in part])
        panel.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
        panel.spines[:].set_visible(False)
        for y in range(1, len(lines)):
            if lines[y][0] != lines[y - 1][0]:
                panel.axhline(y - 0.5, color=style.PANEL, linewidth=5)
        panel.set_title(f"{style.unit(metric)}, {_COLUMNS[name]}")
    families = dict.fromkeys(family for family, *_ in lines)
    from matplotlib.patches import Patch

    handles = [Patch(color=style.FAMILIES[family][0], label=family) for family in families]
    figure.legend(handles=handles, loc="outside lower left", ncols=3, handlelength=0.8, columnspacing=1.2)
    return figure
