"""The figures of a run that is asked again: adaptation curves, calibration, and what is taken for what."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxmeta import recipes, tables
from jaxmeta.report import episodes, probes, style
from jaxmeta.report.figure import Figure
from jaxmeta.report.probes import Probe
from jaxmeta.runs.scores import Row
from jaxmeta.transfer.summary import scored

_BINS = 10  # those of `criteria.prognosis`
_HARDEST = 3


def makers(probe: Probe) -> list[Callable[[], Figure | list[Figure] | str]]:
    """What draws a run whose data are at hand."""
    own = functools.partial
    return [own(score_by_steps, probe), own(score_by_shots, probe), own(calibration, probe), own(confusion, probe)]


def _about(probe: Probe) -> str:
    size = f"{probe.sizes.ways}-way {probe.sizes.shots}-shot" if probe.has_classes else f"{probe.sizes.shots}-shot"
    return f"{probe.num_tasks} tasks of {recipes.short(probe.domain)}, {size}"


# Adaptation curves


def score_by_steps(probe: Probe) -> Figure | str:
    """Scores by inner steps, past those of training."""
    own = probe.run.recipe
    name = own.adaptation.learner
    if not own.entry.has_steps:
        return f"Scores by inner steps: {name} adapts without steps."
    rows = [row for row in probes.by_steps(probe) if scored(row)]
    if len(rows) < 2:
        return "Scores by inner steps: there are fewer than two numbers of steps with finite scores."
    marked = {"training": own.adaptation.inner_steps, "test": own.adaptation.inner_steps_test}
    note = (
        f"{_about(probe)}, the same for all. Band: 95% interval of the mean over tasks. Beyond the steps of training "
        "nothing was optimised."
    )
    return _curve(rows, "inner_steps_test", "adaptation-steps", "Score by inner steps", "inner steps", marked, note)


def score_by_shots(probe: Probe) -> Figure | str:
    """Scores by shots."""
    rows = [row for row in probes.by_shots(probe) if scored(row)]
    if len(rows) < 2:
        return "Scores by shots: the data have too few examples for another number of shots."
    own = probe.run.recipe.task
    per = " of a class" if probe.has_classes else ""
    marked = {"training": own.train_shots or own.shots, "test": probe.sizes.shots}
    note = (
        f"{_about(probe)}. Other numbers of shots are other tasks of the same kind. Band: 95% interval of the mean "
        "over tasks."
    )
    label = "trajectories to adapt to" if rows[0]["metric"] == "return" else f"support examples{per}"
    return _curve(rows, "shots", "adaptation-shots", "Score by shots", label, marked, note)


def _curve(
    rows: Sequence[Row], by: str, name: str, title: str, label: str, marked: dict[str, int], note: str
) -> Figure:
    metric = rows[0]["metric"]
    header = [label, "column", "mean", "low", "high", "tasks"]
    table = [
        [row[by], column, *(round(style.scale(metric) * row[column][part], 4) for part in ("mean", "low", "high")),
         row["num_tasks"]]
        for row in rows for column in ("single", "joint") if row.get(column)
    ]  # fmt: skip
    values = "; ".join(f"{row[by]}: {tables.interval(scored(row), metric)}" for row in rows)
    told = ", ".join(f"{place} took {number}" for place, number in marked.items())
    alt = f"{style.unit(metric).capitalize()} by {label} ({told}): {values}."
    draw = functools.partial(_drawn_curve, rows, by, label, marked)
    return Figure(name, title, draw, alt, header, table, note)


@style.styled
def _drawn_curve(rows: Sequence[Row], by: str, label: str, marked: dict[str, int]) -> Any:
    metric = rows[0]["metric"]
    figure = style.sheet(2.9)
    panel = figure.subplots()
    columns = [name for name in ("single", "joint") if all(row.get(name) for row in rows)]
    if len(columns) == 2 and all(
        tables.interval(row["single"], metric) == tables.interval(row["joint"], metric) for row in rows
    ):
        columns = ["single"]
    places = [row[by] for row in rows]
    told = {"single": "each query alone", "joint": "all queries together"}
    for index, column in enumerate(columns):
        color, marker = style.place(index)
        mean, low, high = (np.array([style.scale(metric) * row[column][part] for row in rows])
                           for part in ("mean", "low", "high"))  # fmt: skip
        panel.fill_between(places, low, high, color=color, alpha=0.18, linewidth=0)
        panel.plot(places, mean, f"{marker}-", color=color, label=told[column])
    means = np.array([style.scale(metric) * row[column][part] for row in rows for column in columns for part in
                      ("mean", "low", "high")])  # fmt: skip
    if metric != "accuracy" and np.ptp(means) > 30 * abs(float(np.median(means))):
        panel.set_yscale("symlog", linthresh=max(1e-3, abs(float(np.median(means)))))
    if by == "shots" or max(places) > 20:
        panel.set_xscale("log" if min(places) > 0 else "symlog")
    panel.set_xticks(places, [str(place) for place in places])
    panel.minorticks_off()
    for place, number in marked.items():
        if min(places) <= number <= max(places):
            panel.axvline(number, color=style.SOFT, linestyle="--" if place == "training" else ":", linewidth=1.2,
                          label=f"as in {place}")  # fmt: skip
    panel.set_xlabel(label)
    panel.set_ylabel(style.unit(metric))
    style.ruled(panel, "y")
    figure.legend(loc="outside lower left", ncols=2)
    return figure


# Calibration


def reliability(shares: np.ndarray, targets: np.ndarray) -> tuple[float, list[tuple[float, float, int, float, float]]]:
    """The expected calibration error, and of each bin that has answers what was said and what was right.

    Of N answers, each the class of the largest share, those of bin b are n_b; the error is the sum over bins of
    n_b / N |mean share - share that is right| (Guo et al., 2017).

    Args:
      shares: [N, ways].
      targets: [N] integers.

    Returns:
      The error, and (low, high, n_b, mean share, share that is right) of each bin.
    """
    said, right = shares.max(axis=-1), shares.argmax(axis=-1) == targets
    place = np.clip((said * _BINS).astype(int), 0, _BINS - 1)
    bins = []
    for index in range(_BINS):
        inside = place == index
        if inside.any():
            ends = index / _BINS, (index + 1) / _BINS
            bins.append((*ends, int(inside.sum()), float(said[inside].mean()), float(right[inside].mean())))
    error = sum(count * abs(mean - share) for _, _, count, mean, share in bins) / len(said)
    return error, bins


def calibration(probe: Probe) -> Figure | str:
    """Whether what is said to be certain is right as often."""
    if not probe.has_classes:
        return f"Calibration: the run gives no probabilities of classes, its metric is {_metric(probe)}."
    shares = probe.outputs.reshape(-1, probe.outputs.shape[-1])
    error, bins = reliability(shares, np.asarray(probe.episodes.query.targets).reshape(-1))
    header = ["probability from", "to", "answers", "mean probability", "right in %"]
    table = [[low, high, count, round(100 * mean, 2), round(100 * share, 2)] for low, high, count, mean, share in bins]
    said = sum(count * mean for _, _, count, mean, _ in bins) / len(shares)
    right = sum(count * share for _, _, count, _, share in bins) / len(shares)
    way = (
        "too sure of itself"
        if said > right + 0.02
        else "not sure enough"
        if said < right - 0.02
        else "about as sure as right"
    )
    alt = (
        f"Reliability of {len(shares)} answers: expected calibration error {100 * error:.1f} points; mean probability "
        f"{100 * said:.1f}%, right {100 * right:.1f}%: on the whole {way}."
    )
    note = (
        f"{_about(probe)}, each query alone. Expected calibration error: over ten bins of the largest probability the "
        "mean distance between it and the share that is right, weighted by answers (Guo et al., 2017). Of few answers "
        "it is above 0 even where probabilities are true."
    )
    draw = functools.partial(_calibration, error, bins)
    return Figure("calibration", "Calibration", draw, alt, header, table, note)


def _metric(probe: Probe) -> str:
    return probe.run.recipe.scoring.metric.replace("_", " ")


@style.styled
def _calibration(error: float, bins: Sequence[tuple[float, float, int, float, float]]) -> Any:
    figure = style.sheet(4.6)
    top, low = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    top.plot([0, 100], [0, 100], "--", color=style.SOFT, linewidth=1.2, label="as sure as right")
    largest = max(count for _, _, count, _, _ in bins)
    for start, end, count, mean, share in bins:
        top.plot([100 * mean] * 2, [100 * mean, 100 * share], color=style.RED, linewidth=2, alpha=0.8)
        low.bar(100 * (start + end) / 2, count, 100 * (end - start) * 0.9, color=style.SKY)
        top.plot(100 * mean, 100 * share, "o", color=style.BLUE, markersize=4 + 7 * (count / largest) ** 0.5)
    top.plot([100 * mean for *_, mean, _ in bins], [100 * share for *_, share in bins], color=style.BLUE, linewidth=1.2)
    top.plot([], [], color=style.RED, linewidth=2, label="gap")
    top.set_ylabel("right in %")
    top.set_xlim(0, 100)
    top.set_ylim(0, 102)
    top.set_title(f"expected calibration error {100 * error:.1f} points")
    top.legend(loc="upper left")
    style.ruled(top, "both")
    low.set_ylabel("answers")
    low.set_xlabel("largest probability in %")
    style.ruled(low, "y")
    return figure


# Confusion


def confusion(probe: Probe) -> Figure | str:
    """What is taken for what in the hardest tasks."""
    if not probe.has_classes:
        return f"Confusion of the hardest tasks: the run has no classes, its metric is {_metric(probe)}."
    accuracy = probe.right.mean(axis=1)
    places = probes.hardest(accuracy, _HARDEST)
    targets, said = np.asarray(probe.episodes.query.targets), probe.outputs.argmax(-1)
    found = [
        (place, probe.class_names(place), counted(targets[place], said[place], probe.sizes.ways)) for place in places
    ]
    header = ["task", "accuracy in %", "is", "taken for", "queries"]
    table = [
        [place + 1, round(100 * float(accuracy[place]), 1), names[row], names[column], int(counts[row, column])]
        for place, names, counts in found
        for row in range(len(names)) for column in range(len(names)) if counts[row, column]
    ]  # fmt: skip
    told = []
    for place, names, counts in found:
        wrong = counts - np.diag(np.diag(counts))
        row, column = np.unravel_index(int(wrong.argmax()), wrong.shape)
        most = f"most often {names[row]} taken for {names[column]}, {wrong[row, column]} times" if wrong.any() else ""
        told.append(f"Task {place + 1}: {100 * accuracy[place]:.0f}% right{', ' + most if most else ''}.")
    note = (
        f"The {len(found)} with the lowest accuracy of {_about(probe)}, each query alone. Rows: what it is; columns: "
    )
    note += "what it was taken for; framed: right."
    draw = functools.partial(_confusion, found, accuracy, {place: episodes.faces(probe, place) for place in places})
    return Figure("confusion", "What is taken for what", draw, " ".join(told), header, table, note)


def counted(targets: np.ndarray, said: np.ndarray, ways: int) -> np.ndarray:
    """[ways, ways], how many queries of a row's class were taken for a column's."""
    counts = np.zeros((ways, ways), int)
    np.add.at(counts, (targets, said), 1)
    return counts


@style.styled
def _confusion(
    found: Sequence[tuple[int, Sequence[str], np.ndarray]], accuracy: np.ndarray,
    faces: Mapping[int, Sequence[np.ndarray]],
) -> Any:  # fmt: skip
    import matplotlib
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Rectangle

    ramp = ListedColormap(matplotlib.colormaps["Blues"](np.linspace(0, 0.75, 256)))
    heights = [0.9 + 0.34 * len(names) for _, names, _ in found]
    figure = style.sheet(sum(heights))
    panels = figure.subplots(len(found), 1, squeeze=False, height_ratios=heights)[:, 0]
    for panel, (place, names, counts) in zip(panels, found, strict=True):
        panel.imshow(counts, cmap=ramp, vmin=0, vmax=max(1, int(counts.sum(axis=1).max())), aspect="auto")
        for (row, column), count in np.ndenumerate(counts):
            if count:
                dark = count > 0.65 * counts.sum(axis=1).max()
                look = {"color": "white" if dark else style.INK, "fontweight": "bold" if row == column else "normal"}
                panel.text(column, row, str(count), ha="center", va="center", fontsize=8.5, **look)
        for row in range(len(names)):
            panel.add_patch(Rectangle((row - 0.47, row - 0.46), 0.94, 0.92, fill=False, edgecolor=style.INK, zorder=4))
        panel.set_yticks(range(len(names)), [style.plain(name, 20) for name in names])
        short = [style.wrapped(name, max(6, 36 // len(names))) for name in names]
        panel.set_xticks(range(len(names)), short)
        panel.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
        if len(names) > 6:
            panel.set_xticks(range(len(names)), [style.plain(name, 12) for name in names], rotation=45, ha="left")
        panel.spines[:].set_visible(False)
        for row, picture in enumerate(faces[place]):
            inset = panel.inset_axes((-0.1, 1 - (row + 0.94) / len(names), 0.09, 0.88 / len(names)))
            inset.set_axis_off()
            episodes.pixels(inset, picture)
        if faces[place]:
            panel.tick_params(axis="y", pad=26)
        panel.set_title(f"task {place + 1}: {100 * accuracy[place]:.0f}% right")
    return figure
