"""A contact sheet of predictions: what was asked, what was said, and what was wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxmeta.report import style

COLUMNS, MOST = 8, 200  # pictures across, and on a sheet
RIGHT, WRONG, UNKNOWN = style.RIGHT, style.WRONG, style.INK


def truth(name: str, classes: Sequence[str]) -> str | None:
    """The class that the folders of a picture's name say, if one of them is one."""
    known = [part for part in name.split("/")[:-1] if part in classes]
    return known[-1] if known else None


@style.styled
def contact_sheet(
    names: Sequence[str], pictures: np.ndarray, predictions: Sequence[str], probabilities: Sequence[float],
    classes: Sequence[str],
) -> Any:  # fmt: skip
    """Pictures with what they were taken for; where folders say what they are, wrong ones are framed and marked.

    Args:
      names: of the pictures, with "/" between folders.
      pictures: [n, height, width, 1 or 3] uint8; of more than 200 the first are shown.
      predictions: the class of each.
      probabilities: of these classes.
      classes: all of them.

    Returns:
      A matplotlib Figure.
    """
    from matplotlib.figure import Figure

    shown = min(len(names), MOST)
    columns = min(COLUMNS, shown)
    lines = math.ceil(shown / columns)
    figure = Figure(figsize=(1.5 * columns, 1.8 * lines + 0.5), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).reshape(-1)
    truths = [truth(name, classes) for name in names]
    for panel in panels:
        panel.set_axis_off()
    for index, panel in zip(range(shown), panels, strict=False):
        panel.imshow(pictures[index].squeeze(), cmap="gray", vmin=0, vmax=255)
        own, said = truths[index], predictions[index]
        color = UNKNOWN if own is None else RIGHT if own == said else WRONG
        text = f"{_short(said)} {100 * probabilities[index]:.0f}%"
        panel.set_title(
            text if color != WRONG else f"✗ {text}\nis {_short(own or '')}", fontsize=8, color=color, loc="center"
        )
        if color == WRONG:
            panel.set_axis_on()
            panel.set_xticks([])
            panel.set_yticks([])
            for side in panel.spines.values():
                side.set(visible=True, color=WRONG, linewidth=2)
    known = [own == said for own, said in zip(truths, predictions, strict=True) if own is not None]
    told = f"{sum(known)} of {len(known)} right" if known else f"{len(names)} predicted"
    rest = f", the first {shown} shown" if shown < len(names) else ""
    figure.suptitle(f"{told}{rest}", fontsize=9)
    return figure


def _short(name: str) -> str:
    """A name that fits above a picture, as plain text."""
    return (name if len(name) <= 16 else f"{name[:15]}…").replace("$", r"\$")
