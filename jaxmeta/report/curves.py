"""Functions before and after adaptation, and values beside what is true."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxmeta.criteria import Gaussian
from jaxmeta.recipes import ORACLE
from jaxmeta.report import style
from jaxmeta.report.figure import Figure
from jaxmeta.report.probes import Probe, chosen
from jaxmeta.types import Array, Batch, Episode, PyTree

_GRID = 120  # places of a curve


@dataclasses.dataclass(frozen=True)
class Curve:
    """A function of one variable, what of it is known, and what is said of it.

    Attributes:
      title: of its panel.
      support: [k, 2] places and values that are shown.
      queries: [n, 2] places and true values that are asked.
      places: [m] of what follows.
      said: {label: values [m], or values and deviations [2, m]}, before and after adaptation.
      oracle: [2, m] mean and deviation of the best possible answer, or None where nobody knows it.
    """

    title: str
    support: np.ndarray
    queries: np.ndarray
    places: np.ndarray
    said: dict[str, np.ndarray]
    oracle: np.ndarray | None = None


@style.styled
def functions(found: Sequence[Curve]) -> Any:
    """Functions before and after adaptation, a panel each.

    Args:
      found: the functions.

    Returns:
      A matplotlib Figure: support as filled points, the truth as small ones, what is said as lines, with bands of two
      deviations where these are given, and the oracle as a dotted line within its band.
    """
    figure = style.sheet(0.6 + 1.9 * len(found))
    panels = figure.subplots(len(found), 1, squeeze=False)[:, 0]
    looks = [("--", style.ORANGE), ("-", style.BLUE), ("-.", style.GREEN)]
    for panel, curve in zip(panels, found, strict=True):
        order = np.argsort(curve.queries[:, 0])
        panel.plot(*curve.queries[order].T, ".", color=style.SOFT, markersize=3, label="truth")
        own = looks if len(curve.said) > 1 else looks[1:]  # what is said at last looks the same everywhere
        for (line, color), (label, values) in zip(own, curve.said.items(), strict=False):
            mean = values if values.ndim == 1 else values[0]
            panel.plot(curve.places, mean, line, color=color, label=label)
            panel.fill_between(curve.places, *_ends(values), color=color, alpha=0.15, linewidth=0)
        if curve.oracle is not None:
            panel.plot(curve.places, curve.oracle[0], ":", color=style.INK, linewidth=1.8, label="oracle")
            for end in _ends(curve.oracle):
                panel.plot(curve.places, end, ":", color=style.INK, linewidth=0.8)
        panel.plot(*curve.support.T, "o", color=style.INK, markersize=5, label="support", zorder=5)
        ends = [end for values in curve.said.values() for end in _ends(values)]
        spread = np.concatenate([curve.queries[:, 1], curve.support[:, 1], *ends])
        margin = 0.08 * max(float(np.ptp(spread)), 1e-6)
        panel.set_ylim(float(spread.min()) - margin, float(spread.max()) + margin)
        panel.set_title(style.plain(curve.title, 50))
        style.ruled(panel, "y")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=3)
    return figure


def _ends(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two deviations below and above, of values [m] these themselves."""
    mean, *deviation = np.atleast_2d(values)
    apart = 2 * deviation[0] if deviation else 0
    return mean - apart, mean + apart


def curves(probe: Probe) -> list[Figure] | str:
    """Functions before and after adaptation; of several variables what is said beside what is true."""
    inputs = np.asarray(probe.episodes.query.inputs)
    errors = probe.errors()
    picked = {**chosen(-errors), "easiest": int(errors.argmin())}
    if inputs.shape[-1] != 1:
        return [_scatter(probe, picked, errors)]
    support = np.asarray(probe.episodes.support.inputs)
    low, high = min(inputs.min(), support.min()), max(inputs.max(), support.max())
    places = np.linspace(low, high, _GRID).astype(inputs.dtype)
    numbers = list(picked.values())
    tasks: Episode = jax.tree.map(lambda leaf: np.asarray(leaf)[numbers], probe.episodes)
    grid = np.broadcast_to(places[None, :, None], (len(numbers), _GRID, 1))
    targets = np.asarray(tasks.query.targets)
    asked = tasks._replace(query=Batch(grid, np.zeros((len(numbers), _GRID, *targets.shape[2:]), targets.dtype)))
    entry = probe.run.recipe.entry
    steps = {"after": probe.steps}
    if entry.has_steps and probe.steps > entry.fewest_steps:
        steps = {"before" if entry.fewest_steps == 0 else "after 1 step": entry.fewest_steps, **steps}
    said = {label: _values(probe.said(number, asked)) for label, number in steps.items()}
    best = _oracle(probe, numbers, grid)
    found = [
        Curve(
            f"{which}: squared error {errors[task]:.3g}", _points(tasks.support, index), _points(tasks.query, index),
            places, {label: values[index] for label, values in said.items()}, None if best is None else best[index],
        )
        for index, (which, task) in enumerate(picked.items())
    ]  # fmt: skip
    header = ("task", "x", *_columns(found[0]), "kind")
    table = [
        [which, round(float(place), 4), *(round(float(values[at]), 4) for values in _columns(curve).values()), "curve"]
        for which, curve in zip(picked, found, strict=True)
        for at, place in enumerate(places) if at % 10 == 0
    ]  # fmt: skip
    title = "Before and after adaptation" if len(said) > 1 else "After adaptation"
    alt = f"Functions of {probe.name} {title.lower()}: " + "; ".join(
        f"{which} task, squared error {errors[task]:.3g}" for which, task in picked.items()
    )
    note = f"Points: the support; dots: true values at the queries; lines: what is said {title.lower()}"
    note += ", with a band of two deviations" if next(iter(said.values())).ndim == 3 else ""
    note += f"; dotted: the {ORACLE}, of who knows what the functions are drawn from." if best is not None else "."
    draw = functools.partial(functions, found)
    return [Figure("episode-functions", title, draw, f"{alt}.", header, table, note)]


def _columns(curve: Curve) -> dict[str, np.ndarray]:
    """{label: values [m]}, those of distributions their means and deviations."""
    lines = curve.said if curve.oracle is None else {**curve.said, "oracle": curve.oracle}
    return {
        f"{label}{suffix}": values
        for label, line in lines.items()
        for suffix, values in zip(("", ", deviation"), np.atleast_2d(line), strict=False)
    }


def _oracle(probe: Probe, numbers: Sequence[int], grid: np.ndarray) -> np.ndarray | None:
    """[tasks, 2, m] mean and deviation of the best possible answer at other places, where it is known."""
    known = next(iter(probe.test.oracles.values()), None)
    if known is None:
        return None
    learner, key = known.learner, jax.random.key(0)
    told: Episode = jax.tree.map(lambda leaf: np.asarray(leaf)[list(numbers)], known.episodes)
    beside = np.asarray(told.query.inputs)[:, :1, grid.shape[-1] :]
    inputs = np.concatenate([grid, np.broadcast_to(beside, (*grid.shape[:2], beside.shape[-1]))], axis=-1)

    def one(support: Batch, inputs: Array) -> PyTree:
        params = learner.init(key)
        return learner.predict(params, learner.adapt(params, support, key), inputs)

    values = _values(jax.device_get(jax.jit(jax.vmap(one))(told.support, inputs)))
    return values if values.ndim == 3 else np.stack([values, np.zeros_like(values)], axis=1)


def _values(said: PyTree) -> np.ndarray:
    """[tasks, m] of values, or [tasks, 2, m] of means and deviations where distributions are said."""
    if isinstance(said, Gaussian):
        parts = map(np.asarray, said)
        return np.stack([part.reshape(*part.shape[:2], -1)[..., 0] for part in parts], axis=1)
    values = np.asarray(said)
    return values.reshape(*values.shape[:2], -1)[..., 0]


def _points(batch: Batch, index: int) -> np.ndarray:
    """[n, 2] places and first values of a task."""
    places, values = np.asarray(batch.inputs)[index], np.asarray(batch.targets)[index]
    return np.stack([places[:, 0], values.reshape(len(values), -1)[:, 0]], axis=1)


def _scatter(probe: Probe, picked: dict[str, int], errors: np.ndarray) -> Figure:
    flat = {which: (np.asarray(probe.episodes.query.targets[task]).ravel(), np.asarray(probe.outputs[task]).ravel())
            for which, task in picked.items()}  # fmt: skip
    table = [[which, round(float(true), 4), round(float(said), 4)]
             for which, pair in flat.items() for true, said in zip(*pair, strict=True)]  # fmt: skip
    alt = f"What is said of values of {probe.name} beside what is true: " + "; ".join(
        f"{which} task, squared error {errors[task]:.3g}" for which, task in picked.items()
    )
    draw = functools.partial(drawn_values, flat)
    return Figure("episode-values", "Said and true values", draw, f"{alt}.", ("task", "true", "said"), table,
                  "On the line what is said is true.")  # fmt: skip


@style.styled
def drawn_values(flat: dict[str, tuple[np.ndarray, np.ndarray]]) -> Any:
    """What is said beside what is true, a panel a task."""
    figure = style.sheet(0.5 + 2.3 * len(flat))
    panels = figure.subplots(len(flat), 1, squeeze=False)[:, 0]
    for index, (panel, (which, (true, said))) in enumerate(zip(panels, flat.items(), strict=True)):
        color, marker = style.place(index)
        ends = [min(true.min(), said.min()), max(true.max(), said.max())]
        panel.plot(ends, ends, "--", color=style.SOFT, linewidth=1.2)
        panel.plot(true, said, marker, color=color, alpha=0.7)
        panel.set_title(which)
        panel.set_ylabel("said")
        style.ruled(panel, "both")
    panels[-1].set_xlabel("true")
    return figure
