"""Figures, made with matplotlib (extra `plots`), which is imported once one is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxmeta.transfer import Row

# Told apart by every kind of colour vision (Okabe and Ito), and by their markers in print.
_FAMILIES = {"learner": ("#0072B2", "o"), "baseline": ("#D55E00", "s"), "floor": ("#767676", "d")}


def transfer(rows: Sequence[Row]) -> Any:
    """The matrix as a figure: a panel a domain, a row of panels for each source and number of shots.

    Args:
      rows: of one transfer; cells without scores stay empty.

    Returns:
      A matplotlib Figure: accuracy in % of each query alone, mean and 95% interval, a dotted line at chance.
    """
    from matplotlib.figure import Figure

    domains = list(dict.fromkeys(row["domain"] for row in rows))
    settings = list(dict.fromkeys((row["source"], row["shots"]) for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    size = (2.4 + 2.1 * len(domains), 0.9 + (0.6 + 0.24 * len(methods)) * len(settings))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(settings), len(domains), sharex="col", sharey=True, squeeze=False)
    for line, (source, shots) in zip(panels, settings, strict=True):
        for panel, domain in zip(line, domains, strict=True):
            own = [row for row in rows if (row["source"], row["shots"], row["domain"]) == (source, shots, domain)]
            _panel(panel, own, methods)
        line[0].set_ylabel(f"from {source}\n{shots}-shot")
    for panel, domain in zip(panels[0], domains, strict=True):
        panel.set_title(domain, fontsize="medium")
    figure.supxlabel("accuracy in %, mean and 95% interval over tasks; dotted: chance", fontsize="medium")
    handles = {
        family: panels[0][0].plot([], [], marker, color=color)[0] for family, (color, marker) in _FAMILIES.items()
    }
    figure.legend(handles.values(), handles.keys(), loc="outside upper right", ncols=len(handles), frameon=False)
    return figure


def _panel(panel: Any, rows: Sequence[Row], methods: Sequence[str]) -> None:
    for row in rows:
        if row.get("single"):
            mean, low, high = (100 * row["single"][part] for part in ("mean", "low", "high"))
            color, marker = _FAMILIES[row["family"]]
            height = methods.index(row["method"])
            panel.errorbar(
                mean, height, xerr=[[mean - low], [high - mean]], fmt=marker, color=color, markersize=4, capsize=2
            )
            panel.axvline(100 * row["chance"], color="#767676", linestyle=":", linewidth=1)
    panel.set_yticks(range(len(methods)), methods, fontsize="small")
    panel.set_ylim(len(methods) - 0.5, -0.5)
    panel.grid(axis="x", color="#E5E5E5")
    panel.set_axisbelow(True)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
