"""Average ranks over domains, and which methods they do not tell apart."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from jaxmeta.report import style
from jaxmeta.report.figure import Figure


def critical_difference(rankings: Sequence[Mapping[str, Any]]) -> Figure | str:
    """Average ranks over domains, and which of them do not differ (Demsar, 2006, figure 1)."""
    able = [entry for entry in rankings if "critical_difference" in entry]
    if not able:
        return (
            "The critical-difference diagram: ranks need at least two targets of equal ways and three methods that "
            "have scores in each."
        )
    header = ["source", "shots", "method", "average rank", "critical difference", "Friedman's p", "targets"]
    table = [
        [entry["source"], entry["shots"], method, round(rank, 3), round(entry["critical_difference"], 3),
         float(f"{entry['p_value']:.2g}"), len(entry["domains"])]
        for entry in able for rank, method in sorted(zip(entry["ranks"], entry["methods"], strict=True))
    ]  # fmt: skip
    told = []
    for entry in able:
        rank, best = min(zip(entry["ranks"], entry["methods"], strict=True))
        alike = sum(each - rank <= entry["critical_difference"] for each in entry["ranks"]) - 1
        told.append(
            f"{entry['shots']}-shot from {entry['source']}: {best} ranks first with {rank:.2f} over "
            f"{len(entry['domains'])} targets, {alike} of {len(entry['ranks']) - 1} others within the critical "
            f"difference of {entry['critical_difference']:.2f} (Friedman p = {entry['p_value']:.2g})."
        )
    note = (
        "Rank 1 is best. Methods under one bar do not differ by Nemenyi's test at 0.05 (Demšar, 2006). Where "
        "Friedman's p is 0.05 or more the ranks as a whole may be chance. Few targets make long bars."
    )
    draw = functools.partial(_ranks, able)
    return Figure("critical-difference", "Ranks over the targets", draw, " ".join(told), header, table, note)


def cliques(ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """Of sorted ranks the longest runs, first and last of at least two, that lie within a critical difference."""
    found: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = max(index for index in range(first, len(ranks)) if ranks[index] - ranks[first] <= difference)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


@style.styled
def _ranks(able: Sequence[Mapping[str, Any]]) -> Any:
    heights = [1.0 + 0.22 * (math.ceil(len(entry["methods"]) / 2) + len(_bars(entry))) for entry in able]
    figure = style.sheet(sum(heights))
    panels = figure.subplots(len(able), 1, squeeze=False, height_ratios=heights)[:, 0]
    for panel, entry in zip(panels, able, strict=True):
        ranked = sorted(zip(entry["ranks"], entry["methods"], strict=True))
        number, bars = len(ranked), _bars(entry)
        span = number - 1
        panel.set_axis_off()
        panel.set_xlim(1 - 0.75 * span, number + 0.75 * span)
        panel.plot([1, number], [0, 0], color=style.INK, linewidth=1.2)
        for rank in range(1, number + 1):
            panel.plot([rank, rank], [0, 0.25], color=style.INK, linewidth=1.2)
            panel.text(rank, 0.4, str(rank), ha="center", va="bottom", fontsize=8.5)
        critical = entry["critical_difference"]
        panel.plot([1, 1 + min(critical, span)], [1.9, 1.9], color=style.RED, linewidth=2.5, solid_capstyle="butt")
        panel.text(1, 2.1, f"critical difference {critical:.2f}" + (", more than all ranks" if critical > span else ""),
                   va="bottom", fontsize=8.5, color=style.RED)  # fmt: skip
        depth = len(bars) * 0.6 + 0.4
        half = math.ceil(number / 2)
        for index, (rank, method) in enumerate(ranked):
            left = index < half
            y = -(depth + 0.95 * (index if left else number - 1 - index))
            edge = 1 - 0.06 * span if left else number + 0.06 * span
            panel.plot([rank, rank, edge], [0, y, y], color=style.SOFT, linewidth=0.9)
            panel.plot(rank, 0, "o", color=style.BLUE, markersize=5)
            said = f"{style.plain(method, 16)} {rank:.2f}"
            panel.text(edge - 0.02 * span if left else edge + 0.02 * span, y, said, ha="right" if left else "left",
                       va="center", fontsize=8.5)  # fmt: skip
        for level, (first, last) in enumerate(bars):
            ends = [ranked[first][0] - 0.03 * span, ranked[last][0] + 0.03 * span]
            panel.plot(ends, [-0.5 - 0.6 * level] * 2, color=style.INK, linewidth=4, solid_capstyle="butt")
        panel.set_ylim(-(depth + 0.95 * (half - 1)) - 0.6, 3.2)
        source = style.plain(entry["source"], 34)
        panel.set_title(f"{entry['shots']}-shot from {source}, {len(entry['domains'])} targets")
    return figure


def _bars(entry: Mapping[str, Any]) -> list[tuple[int, int]]:
    return cliques(sorted(entry["ranks"]), entry["critical_difference"])
