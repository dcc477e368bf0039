"""Figures, made with matplotlib (extra `plots`), which is imported once one is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxmeta.report import style
from jaxmeta.transfer import Row
from jaxmeta.transfer.summary import scored


@style.styled
def transfer(rows: Sequence[Row]) -> Any:
    """The matrix as a figure: a column of panels for each domain, a line of them for each number of shots.

    Args:
      rows: of one transfer; cells without scores stay empty.

    Returns:
      A matplotlib Figure: accuracy in % of each query alone, mean and 95% interval, a dotted line at chance. Of several
      sources each stands beside the methods' names; the floors, which know no source, are shown once.
    """
    from matplotlib.figure import Figure

    domains, shots = ([*dict.fromkeys(row[name] for row in rows)] for name in ("domain", "shots"))
    several = len({row["source"] for row in rows}) > 1
    cells = {(domain, number): {} for number in shots for domain in domains}
    for row in rows:
        label = f"{row['method']} from {row['source']}" if several and row["family"] != "floor" else row["method"]
        cells[row["domain"], row["shots"]].setdefault(label, row)
    methods = list(dict.fromkeys(row["method"] for row in rows))
    most = max(map(len, cells.values())) if several else len(methods)
    width = 4.8 if several else 2.1
    figure = Figure(figsize=(2.4 + width * len(domains), 0.9 + (0.6 + 0.24 * most) * len(shots)), layout="constrained")
    panels = figure.subplots(len(shots), len(domains), sharex="col", sharey=not several, squeeze=False)
    for line, number in zip(panels, shots, strict=True):
        for panel, domain in zip(line, domains, strict=True):
            _panel(panel, cells[domain, number], [*cells[domain, number]] if several else methods)
        line[0].set_ylabel(
            f"{number}-shot" if several else f"{style.wrapped('from ' + rows[0]['source'], 26, 3)}\n{number}-shot"
        )
    for panel, domain in zip(panels[0], domains, strict=True):
        panel.set_title(domain, fontsize="medium", loc="center")
    accuracy = all(row.get("metric") in (None, "accuracy") for row in rows)
    unit, chance = ("accuracy in %", "; dotted: chance") if accuracy else (rows[0]["metric"], "")
    figure.supxlabel(f"{unit}, mean and 95% interval over tasks{chance}", fontsize="medium")
    handles = {
        family: panels[0][0].plot([], [], marker, color=color)[0] for family, (color, marker) in style.FAMILIES.items()
    }
    figure.legend(handles.values(), handles.keys(), loc="outside upper right", ncols=len(handles), frameon=False)
    return figure


def _panel(panel: Any, rows: dict[str, Row], labels: Sequence[str]) -> None:
    for label, row in rows.items():
        if column := scored(row):
            scale = 100 if row["metric"] == "accuracy" else 1
            mean, low, high = (scale * column[part] for part in ("mean", "low", "high"))
            color, marker = style.FAMILIES[row["family"]]
            panel.errorbar(
                mean,
                labels.index(label),
                xerr=[[mean - low], [high - mean]],
                fmt=marker,
                color=color,
                markersize=4,
                capsize=2,
            )
            if row.get("chance"):
                panel.axvline(100 * row["chance"], color=style.SOFT, linestyle=":", linewidth=1)
    panel.set_yticks(range(len(labels)), labels, fontsize="small")
    panel.set_ylim(len(labels) - 0.5, -0.5)
    style.ruled(panel)
