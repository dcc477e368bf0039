"""A row of a table, and which of its cells moved the answer."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxmeta.report import probes, style
from jaxmeta.report.figure import Figure
from jaxmeta.report.probes import WHICH, Probe, chosen
from jaxmeta.types import Episode

_CELLS = 12  # columns of a row


@dataclasses.dataclass(frozen=True)
class Explained:
    """A row of a table, and how what is said of it changes with each cell that nobody knows."""

    columns: Sequence[str]
    values: Sequence[str]
    changes: np.ndarray
    """[columns], what is said less what is said without the cell."""
    verdict: str
    right: bool | None
    """None: of values."""


def rows(probe: Probe) -> list[Figure]:
    """The row of a query, and what moved the answer."""
    score = probe.right.mean(axis=1) if probe.has_classes else -probe.errors()
    made = []
    for which, task in chosen(score).items():
        query = _asked(probe, task, which)
        found = explained(probe, task, query)
        order = np.argsort(-np.abs(found.changes), kind="stable")
        factor, measure = (100, "points") if probe.has_classes else (1, "of the value")
        header = ("column", "value", f"moves the answer by ({measure})")
        table = [[found.columns[place], found.values[place], round(factor * float(found.changes[place]), 3)]
                 for place in order]  # fmt: skip
        most = "; ".join(f"{name} = {value}: {change:+.3g}" for name, value, change in table[:3])
        about = f"A row of {WHICH[which].lower()} task"
        alt = f"{about} of {probe.name}. {found.verdict}. What moves it most, in {measure}: {most}."
        note = (
            "Bars: how much higher the answer is (the probability of what is said, or the value) with the cell than "
            "when it is unknown; one cell at a time, so what two cells say alike may not show."
        )
        draw = functools.partial(drawn_row, found, factor)
        made.append(Figure(f"episode-{which}", about, draw, alt, header, table, note))
    return made


def _asked(probe: Probe, task: int, which: str) -> int:
    """The first query that is wrong in the hardest task and right in another, or the first."""
    if not probe.has_classes:
        return 0
    found = np.flatnonzero(probe.right[task] == (which != "hardest"))
    return int(found[0]) if len(found) else 0


def explained(probe: Probe, task: int, query: int) -> Explained:
    """What is said of a query with each of its cells missing, one at a time."""
    shown, inputs = probe.shown, np.asarray(probe.episodes.query.inputs[task])
    there = [index for index in range(len(shown.columns)) if _is_column(inputs, shown.places[index])]
    row = inputs[query : query + 1]
    variants = np.concatenate([row, *(shown.missing(row, shown.places[index]) for index in there)])
    asked = _with_queries(probe, task, variants)
    said = probes.means(probe.said(probe.steps, asked))[0]
    if probe.has_classes:
        names, target = probe.class_names(task), int(probe.episodes.query.targets[task][query])
        own = int(said[0].argmax())
        right = own == target
        verdict = f"Said: {names[own]}, {100 * said[0, own]:.0f}%; is {names[target]}"
        values = said[:, own]
    else:
        right, values = None, said.reshape(len(said), -1)[:, 0]
        truth = float(np.asarray(probe.episodes.query.targets[task][query]).ravel()[0])
        verdict = f"Said: {values[0]:.3g}; is {truth:.3g} (standardised by the support set)"
    told = [_value(probe, task, query, index, inputs) for index in there]
    columns = [shown.columns[index] for index in there]
    return Explained(columns, told, values[0] - values[1:], verdict, right)


def _is_column(inputs: np.ndarray, places: tuple[int, ...]) -> bool:
    """Whether a column is more than padding."""
    return bool(places) and bool(np.any(inputs[:, list(places)] != 0))


def _with_queries(probe: Probe, task: int, inputs: np.ndarray) -> Episode:
    """One task, alone on its axis, with other queries."""
    one: Episode = jax.tree.map(lambda leaf: np.asarray(leaf)[task : task + 1], probe.episodes)
    first = lambda leaf: np.repeat(np.asarray(leaf)[:, :1], len(inputs), axis=1)  # noqa: E731
    query = jax.tree.map(first, one.query)
    return one._replace(query=query._replace(inputs=inputs[None].astype(np.asarray(one.query.inputs).dtype)))


def _value(probe: Probe, task: int, query: int, column: int, inputs: np.ndarray) -> str:
    """A cell as it was read; of drawn tables as the network has it."""
    shown = probe.shown
    if probe.numbers is None or shown.examples is None:
        cell = np.asarray(inputs[query, shown.places[column][0]]).ravel()
        return "missing" if len(cell) > 1 and cell[1] == 0 else f"{cell[0]:.3g}"
    table = shown.examples
    value = float(table.inputs[int(np.asarray(probe.numbers.query.inputs[task]).reshape(-1)[query]), column])
    categories = table.columns[column].categories if table.columns else ()
    if np.isnan(value):
        return "missing"
    return categories[int(value)] if categories else f"{value:.4g}"


@style.styled
def drawn_row(found: Explained, factor: float) -> Any:
    """The cells that move the answer most, as bars."""
    order = np.argsort(-np.abs(found.changes), kind="stable")[:_CELLS]
    figure = style.sheet(0.75 + 0.27 * len(order))
    panel = figure.subplots()
    panel.axvline(0, color=style.INK, linewidth=1)
    for y, place in enumerate(order):
        change = factor * float(found.changes[place])
        panel.barh(y, change, 0.62, color=style.BLUE if change >= 0 else style.ORANGE,
                   hatch="" if change >= 0 else "///", edgecolor=style.PANEL)  # fmt: skip
    labels = [style.plain(f"{style.plain(found.columns[place], 20)} = {found.values[place]}", 30) for place in order]
    style.listed(panel, labels)
    style.ruled(panel)
    panel.margins(x=0.1)
    panel.set_xlabel("← against the answer     for it →" if factor == 100 else "← lower     higher →")
    mark = "" if found.right is None else "✓ " if found.right else "✗ "
    color = style.INK if found.right is None else style.RIGHT if found.right else style.WRONG
    figure.suptitle(style.wrapped(mark + found.verdict, 52), fontsize=9, color=color, x=0.02, ha="left")
    return figure
