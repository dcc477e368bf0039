"""Single tasks as people see them: what was shown, what was asked, what was said, and whether it is right."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxmeta import control, recipes, symbols
from jaxmeta.report import policies, style
from jaxmeta.report.figure import Figure
from jaxmeta.report.probes import Probe
from jaxmeta.types import Batch, Episode, PyTree

_SUPPORT, _QUERIES, _CLASSES = 2, 4, 8  # pictures of a class, and classes
_LINES, _CELLS, _WORDS = 6, 12, 12  # sentences, columns of a row, and words that are shown
_WHICH = {"typical": "A typical", "hardest": "The hardest"}
_GRID = 120  # places of a curve


def makers(probe: Probe) -> list[Callable[[], Figure | list[Figure] | str]]:
    """What draws single tasks, in the way of their form."""
    draw = {
        "pictures": pictures, "texts": texts, "rows": rows, "functions": curves, "policies": walks, "strings": words,
    }  # fmt: skip
    return [functools.partial(pictures_of_episodes, draw, probe)]


def pictures_of_episodes(draw: dict[str, Callable[[Probe], list[Figure] | str]], probe: Probe) -> list[Figure] | str:
    """The tasks in the middle and at the lower end of the scores."""
    return draw[probe.shown.form](probe)


def chosen(scores: np.ndarray) -> dict[str, int]:
    """{"typical": the task in the middle, "hardest": that with the lowest score}; more is better."""
    order = np.argsort(scores, kind="stable")
    return {"typical": int(order[len(order) // 2]), "hardest": int(order[0])}


def _of(probe: Probe) -> str:
    return recipes.short(probe.domain)


def _answers(probe: Probe, task: int) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Names of classes, and of each query what it is, what is said, and with which probability."""
    shares, targets = probe.outputs[task], np.asarray(probe.episodes.query.targets[task])
    return probe.class_names(task), targets, shares.argmax(-1), shares.max(-1)


def _table(names: list[str], targets: np.ndarray, said: np.ndarray, shares: np.ndarray) -> list[list[str | float]]:
    return [
        [
            index + 1,
            names[int(target)],
            names[int(own)],
            round(100 * float(share), 1),
            "right" if own == target else "wrong",
        ]
        for index, (target, own, share) in enumerate(zip(targets, said, shares, strict=True))
    ]


_HEADER = ("query", "is", "taken for", "probability in %", "answer")


# Pictures


def raw_pictures(probe: Probe, task: int) -> tuple[np.ndarray, np.ndarray]:
    """Support and query pictures of a task, floats in [0, 1] or uint8."""
    if probe.numbers is None or probe.shown.examples is None:
        return np.asarray(probe.episodes.support.inputs[task]), np.asarray(probe.episodes.query.inputs[task])
    inputs = probe.shown.examples.inputs
    return inputs[np.asarray(probe.numbers.support.inputs[task])], inputs[np.asarray(probe.numbers.query.inputs[task])]


def faces(probe: Probe, task: int) -> list[np.ndarray]:
    """A support picture of each class of a task; none where the kind has no pictures."""
    if probe.shown.form != "pictures":
        return []
    support, _ = raw_pictures(probe, task)
    owners = np.asarray(probe.episodes.support.targets[task])[: len(support)]
    return [support[int((owners == way).argmax())] for way in range(probe.sizes.ways)]


def pictures(probe: Probe) -> list[Figure]:
    """Support, queries, and what they are taken for."""
    made = []
    for which, task in chosen(probe.right.mean(axis=1)).items():
        names, targets, said, shares = _answers(probe, task)
        support, queries = raw_pictures(probe, task)
        owners = np.asarray(probe.episodes.support.targets[task])[: len(support)]
        sheet = Sheet(names, support, owners, queries, targets, said, shares)
        right = int((said == targets).sum())
        shown = min(len(names), _CLASSES)
        alt = (
            f"{_WHICH[which]} task of {_of(probe)}: {right} of {len(targets)} queries right. Classes: "
            f"{', '.join(names[:shown])}. {_worst(names, targets, said, shares)}"
        )
        note = (
            f"A row a class; left of the line up to {_SUPPORT} of its support pictures, right of it its first "
            f"{_QUERIES} queries with the probability of what is said. Wrong ones have a cross, a thick frame, and the "
            "name they were given."
        )
        made.append(
            Figure(f"episode-{which}", f"{_WHICH[which]} task", functools.partial(drawn_pictures, sheet), alt, _HEADER,
                   _table(names, targets, said, shares), note)
        )  # fmt: skip
    return made


def _worst(names: Sequence[str], targets: np.ndarray, said: np.ndarray, shares: np.ndarray) -> str:
    wrong = np.flatnonzero(said != targets)
    if not len(wrong):
        return "None is wrong."
    index = wrong[shares[wrong].argmax()]
    true, own = names[int(targets[index])], names[int(said[index])]
    return f"Surest error: {true} taken for {own} at {100 * shares[index]:.0f}%."


@dataclasses.dataclass(frozen=True)
class Sheet:
    """What a picture of a task of pictures shows."""

    names: Sequence[str]
    support: np.ndarray
    owners: np.ndarray
    queries: np.ndarray
    targets: np.ndarray
    said: np.ndarray
    shares: np.ndarray


@style.styled
def drawn_pictures(sheet: Sheet) -> Any:
    """A row of pictures for each class."""
    ways = min(len(sheet.names), _CLASSES)
    shown = min(_SUPPORT, int(np.bincount(sheet.owners, minlength=ways)[:ways].max()))
    asked = min(_QUERIES, int(np.bincount(sheet.targets, minlength=ways)[:ways].max()))
    figure = style.sheet(0.35 + 0.95 * ways)
    ratios = [1.0] * shown + [0.12] + [1.0] * asked
    panels = figure.subplots(ways, shown + 1 + asked, squeeze=False, width_ratios=ratios)
    for line, way in zip(panels, range(ways), strict=True):
        for panel in line:
            panel.set_axis_off()
        for panel, index in zip(line[:shown], np.flatnonzero(sheet.owners == way), strict=False):
            pixels(panel, sheet.support[index])
        line[0].set_title(style.plain(sheet.names[way], 18), fontsize=8.5, pad=3)
        line[shown].axvline(0.5, color=style.SOFT, linewidth=1)
        for panel, index in zip(line[shown + 1 :], np.flatnonzero(sheet.targets == way), strict=False):
            pixels(panel, sheet.queries[index])
            share, own = f"{100 * sheet.shares[index]:.0f}%", sheet.said[index]
            if own == way:
                panel.set_title(f"✓ {share}", fontsize=8, color=style.RIGHT, loc="center", pad=2)
                continue
            name = style.wrapped(sheet.names[own], 9, 1)
            panel.set_title(f"✗ {share}\n{name}", fontsize=8, color=style.WRONG, loc="center", pad=2)
            panel.set_axis_on()
            panel.set_xticks([])
            panel.set_yticks([])
            for side in panel.spines.values():
                side.set(visible=True, color=style.WRONG, linewidth=2.5)
    return figure


def pixels(panel: Any, picture: np.ndarray) -> None:
    """A picture in [0, 1] or of uint8, grey or in colors."""
    scaled = np.clip(picture / 255 if picture.dtype == np.uint8 else picture, 0, 1)
    panel.imshow(scaled.squeeze(-1) if scaled.shape[-1] == 1 else scaled, cmap="gray", vmin=0, vmax=1)


# Texts


def texts(probe: Probe) -> list[Figure]:
    """Sentences, what they are taken for, and the support sentence that lies nearest."""
    made = []
    for which, task in chosen(probe.right.mean(axis=1)).items():
        names, targets, said, shares = _answers(probe, task)
        assert probe.numbers is not None
        assert probe.shown.examples is not None
        inputs = probe.shown.examples.inputs
        support = inputs[np.asarray(probe.numbers.support.inputs[task])].tolist()
        queries = inputs[np.asarray(probe.numbers.query.inputs[task])].tolist()
        near = nearest(
            np.asarray(probe.episodes.query.inputs[task]),
            np.asarray(probe.episodes.support.inputs[task])[: len(support)],
        )
        owners = np.asarray(probe.episodes.support.targets[task])
        table = [
            [*line, queries[index], support[near[index]], names[owners[near[index]]]]
            for index, line in enumerate(_table(names, targets, said, shares))
        ]
        header = (*_HEADER, "sentence", "nearest support sentence", "which is")
        right = int((said == targets).sum())
        alt = (
            f"{_WHICH[which]} task of {_of(probe)}: {right} of {len(targets)} sentences right. Classes: "
            f"{', '.join(names[:20])}. {_worst(names, targets, said, shares)}"
        )
        mixed = mingled(table)
        wrong = [line for line in mixed if line[4] == "wrong"]
        some = [*wrong[: _LINES // 2], *(line for line in mixed if line[4] == "right")][:_LINES]
        note = "Up to three wrong and three right answers; nearest: by the angle between what the network is given."
        draw = functools.partial(drawn_texts, names, some)
        made.append(Figure(f"episode-{which}", f"{_WHICH[which]} task", draw, alt, header, table, note))
    return made


def mingled(table: Sequence[list[Any]]) -> list[list[Any]]:
    """Lines of a table of answers, the first of each class before the second of any."""
    seen: dict[tuple[str, str], int] = {}
    places = []
    for line in table:
        key = line[1], line[4]
        places.append(seen.get(key, 0))
        seen[key] = places[-1] + 1
    return [table[int(index)] for index in np.argsort(places, kind="stable")]


def nearest(queries: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Of each query [n, d] the support row [m, d] at the smallest angle."""
    unit = [rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12) for rows in (queries, support)]
    return (unit[0] @ unit[1].T).argmax(axis=1)


@style.styled
def drawn_texts(names: Sequence[str], lines: Sequence[Sequence[Any]]) -> Any:
    """Sentences with answers, one below the other."""
    parts: list[tuple[str, dict[str, Any]]] = [
        (style.wrapped(f"classes: {', '.join(names)}", 58, 3), {"color": style.SOFT})
    ]
    for line in lines:
        _, true, own, share, answer, sentence, near, owner = line
        color, mark = (style.RIGHT, "✓") if answer == "right" else (style.WRONG, "✗")
        verdict = f"{mark} {own} {share:.0f}%" + ("" if answer == "right" else f", is {true}")
        parts += [
            ("", {}), (style.wrapped(sentence, 56, 3), {}),
            (style.wrapped(verdict, 54), {"color": color, "fontweight": "bold"}),
            (style.wrapped(f"nearest: {near} ({owner})", 56), {"color": style.SOFT}),
        ]  # fmt: skip
    return _lines_of(parts)


def _lines_of(parts: Sequence[tuple[str, dict[str, Any]]]) -> Any:
    """Texts of one or more lines, one below the other."""
    counts = [0.5 if not text else 1 + text.count("\n") for text, _ in parts]
    figure = style.sheet(0.2 + 0.165 * sum(counts))
    panel = figure.subplots()
    panel.set_axis_off()
    panel.set_xlim(0, 1)
    panel.set_ylim(sum(counts), 0)
    place = 0.0
    for (text, look), count in zip(parts, counts, strict=True):
        panel.text(0, place, text, va="top", linespacing=1.25, fontsize=8.5, **look)
        place += count
    return figure


# Rows of tables


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
    score = probe.right.mean(axis=1) if probe.has_classes else -_errors(probe)
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
        about = f"A row of {_WHICH[which].lower()} task"
        alt = f"{about} of {_of(probe)}. {found.verdict}. What moves it most, in {measure}: {most}."
        note = (
            "Bars: how much higher the answer is (the probability of what is said, or the value) with the cell than "
            "when it is unknown; one cell at a time, so what two cells say alike may not show."
        )
        draw = functools.partial(drawn_row, found, factor)
        made.append(Figure(f"episode-{which}", about, draw, alt, header, table, note))
    return made


def _errors(probe: Probe) -> np.ndarray:
    """[num_tasks] mean squared errors."""
    gaps = np.asarray(probe.outputs) - np.asarray(probe.episodes.query.targets)
    return np.square(gaps).reshape(len(gaps), -1).mean(axis=1)


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
    said = np.asarray(probe.said(probe.steps, asked))[0]
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


# Functions


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
        for (line, color), (label, values) in zip(looks, curve.said.items(), strict=False):
            mean = values if values.ndim == 1 else values[0]
            panel.plot(curve.places, mean, line, color=color, label=label)
            if values.ndim == 2:
                low, high = mean - 2 * values[1], mean + 2 * values[1]
                panel.fill_between(curve.places, low, high, color=color, alpha=0.15, linewidth=0)
        if curve.oracle is not None:
            mean, deviation = curve.oracle
            panel.plot(curve.places, mean, ":", color=style.INK, linewidth=1.8, label="oracle")
            for end in (mean - 2 * deviation, mean + 2 * deviation):
                panel.plot(curve.places, end, ":", color=style.INK, linewidth=0.8)
        panel.plot(*curve.support.T, "o", color=style.INK, markersize=5, label="support", zorder=5)
        means = [np.atleast_2d(values)[0] for values in curve.said.values()]
        spread = np.concatenate([curve.queries[:, 1], curve.support[:, 1], *means])
        margin = 0.08 * max(float(np.ptp(spread)), 1e-6)
        panel.set_ylim(float(spread.min()) - margin, float(spread.max()) + margin)
        panel.set_title(style.plain(curve.title, 50))
        style.ruled(panel, "y")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=3)
    return figure


def curves(probe: Probe) -> list[Figure] | str:
    """Functions before and after adaptation; of several variables what is said beside what is true."""
    inputs = np.asarray(probe.episodes.query.inputs)
    errors = _errors(probe)
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
    found = [
        Curve(
            f"{which}: squared error {errors[task]:.3g}", _points(tasks.support, index), _points(tasks.query, index),
            places, {label: values[index] for label, values in said.items()},
        )
        for index, (which, task) in enumerate(picked.items())
    ]  # fmt: skip
    header = ("task", "x", *said, "kind")
    table = [
        [which, round(float(place), 4), *(round(float(np.atleast_2d(curve.said[label])[0, at]), 4) for label in said),
         "curve"]
        for which, curve in zip(picked, found, strict=True)
        for at, place in enumerate(places) if at % 10 == 0
    ]  # fmt: skip
    alt = f"Functions of {_of(probe)} before and after adaptation: " + "; ".join(
        f"{which} task, squared error {errors[task]:.3g}" for which, task in picked.items()
    )
    note = "Points: the support; dots: true values at the queries; lines: what is said before and after adaptation."
    return [Figure("episode-functions", "Before and after adaptation", functools.partial(functions, found), f"{alt}.",
                   header, table, note)]  # fmt: skip


def _values(said: PyTree) -> np.ndarray:
    """[tasks, m] of values, or [tasks, 2, m] of means and deviations where there is a variance."""
    if hasattr(said, "mean") and hasattr(said, "variance") and not isinstance(said, np.ndarray):
        parts = np.asarray(said.mean), np.sqrt(np.asarray(said.variance))
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
    alt = f"What is said of values of {_of(probe)} beside what is true: " + "; ".join(
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


# Policies


def walks(probe: Probe) -> list[Figure] | str:
    """What policies do before and after adaptation."""
    entry, count = probe.run.recipe.entry, min(3, probe.num_tasks)
    steps = sorted({entry.fewest_steps, 1, probe.steps}) if entry.has_steps else [probe.steps]
    few = jax.tree.map(lambda leaf: leaf[:count], probe.test.episodes)
    found = policies.rollouts(
        lambda number: probe.run.learner(inner_steps=number), probe.run.meta_params, few, jax.random.key(0), steps
    )
    returns = [
        [task + 1, number, round(float(control.episode_return(own)), 3)]
        for task, (_, rolled) in enumerate(found) for number, own in rolled.items()
    ]  # fmt: skip
    places = found[0][0].rules.name in ("navigation", "arm")
    means = {number: float(np.mean([line[2] for line in returns if line[1] == number])) for number in steps}
    told = ", ".join(f"{mean:.1f} after {number} steps" for number, mean in means.items())
    alt = f"Policies in the first {count} test tasks of {_of(probe)}: mean return {told}."
    note = (
        "Five trajectories after each number of inner steps; the star, which no policy is told, is where it should go."
        if places else "Mean reward of the trajectories over time, after each number of inner steps."
    )  # fmt: skip
    draw = functools.partial(policies.trajectories if places else policies.rewards, found)
    return [Figure("episode-trajectories", "Before and after adaptation", draw, alt,
                   ("task", "inner steps", "return"), returns, note)]  # fmt: skip


# Strings


def words(probe: Probe) -> list[Figure] | str:
    """Words, what is said of them, and what should be."""
    known = probe.shown.alphabet
    if known is None:
        return "Pictures of episodes: the strings have no alphabet."
    targets = np.asarray(probe.episodes.query.targets)
    length = targets.shape[-1] - 1
    letters = ("", *known.letters)
    spelled = lambda row: "".join(letters[number] for number in row[:length] if number < len(letters))  # noqa: E731
    told = lambda rows: [" ".join(each) for each in symbols.decoded(np.maximum(rows, 0), known.symbols)]  # noqa: E731
    apart = [[_distance(said, true) for said, true in zip(told(probe.outputs[task]), told(targets[task]), strict=True)]
             for task in range(probe.num_tasks)]  # fmt: skip
    made = []
    for which, task in chosen(-np.array(apart, float).mean(axis=1)).items():
        inputs = np.asarray(probe.episodes.query.inputs[task]).astype(int)
        support = np.asarray(probe.episodes.support.inputs[task]).astype(int)
        said, true = told(probe.outputs[task]), told(targets[task])
        table = [
            [spelled(row), own or "(nothing)", should, wrong, "right" if own == should else "wrong"]
            for row, own, should, wrong in zip(inputs, said, true, apart[task], strict=True)
        ]
        right = sum(line[-1] == "right" for line in table)
        shown = [f"{spelled(row)} → {pronounced}" for row, pronounced in
                 zip(support[:4], told(np.asarray(probe.episodes.support.targets[task])[:4]), strict=True)]  # fmt: skip
        alt = (
            f"{_WHICH[which]} task of {_of(probe)}: {right} of {len(table)} words right, {np.mean(apart[task]):.2f} "
            f"symbols wrong a word. First: {table[0][0]}, said {table[0][1]}, is {table[0][2]}."
        )
        note = f"The first {min(_WORDS, len(table))} words that are asked; below, some of those that were shown."
        draw = functools.partial(drawn_words, table[:_WORDS], shown)
        header = ("word", "said", "is", "symbols apart", "answer")
        made.append(Figure(f"episode-{which}", f"{_WHICH[which]} task", draw, alt, header, table, note))
    return made


def _distance(said: str, true: str) -> int:
    """The fewest insertions, deletions and substitutions of symbols that make one of the other."""
    first, second = said.split(), true.split()
    before = list(range(len(second) + 1))
    for row, own in enumerate(first, 1):
        now = [row]
        for column, other in enumerate(second, 1):
            now.append(min(before[column] + 1, now[-1] + 1, before[column - 1] + (own != other)))
        before = now
    return before[-1]


@style.styled
def drawn_words(lines: Sequence[Sequence[Any]], shown: Sequence[str]) -> Any:
    """Words with answers, one below the other."""
    parts: list[tuple[str, dict[str, Any]]] = []
    for word, said, true, _, answer in lines:
        is_right = answer == "right"
        text = f"{'✓' if is_right else '✗'} {word} → {said}" + ("" if is_right else f"  (is {true})")
        parts.append((style.wrapped(text, 58), {"color": style.RIGHT if is_right else style.WRONG}))
    parts += [("", {}), ("shown:", {"color": style.SOFT})]
    return _lines_of([*parts, *((style.plain(text, 58), {"color": style.SOFT}) for text in shown)])
