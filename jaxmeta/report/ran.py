"""The figures of a run from its folder alone: scores, training curves, the spread over tasks and over seeds."""

from __future__ import annotations

import functools
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxmeta import checks, statistics, tables
from jaxmeta.report import style
from jaxmeta.report.facts import Work
from jaxmeta.report.figure import Figure
from jaxmeta.report.transfers import boxes
from jaxmeta.runs import check_plain
from jaxmeta.runs.folder import METRICS, MOST_RESULTS
from jaxmeta.transfer.summary import scored, sign

Line = dict[str, Any]
_MOST_SEEDS = 50


def makers(work: Work, metric: str) -> list[Callable[[], Figure | str]]:
    """What draws a run of which nothing but the folder is at hand; `metric` is the one that it is judged by."""
    own = functools.partial
    lines = metrics(work.path)
    return [own(scores, work), own(training, work, lines, metric), own(tasks, work), own(seeds, work)]


def metrics(folder: pathlib.Path) -> dict[str, list[Line]]:
    """The lines of metrics.jsonl, of several seeds by the name of their folders; what is no such line is left out."""
    inside = {path.parent.name: path for path in sorted(folder.glob(f"seed-*/{METRICS}"))[:_MOST_SEEDS]}
    found = inside or {"": folder / METRICS}
    return {name: lines for name, path in found.items() if (lines := _lines(path))}


def _lines(path: pathlib.Path) -> list[Line]:
    check_plain(path)
    try:
        if path.stat().st_size > MOST_RESULTS:
            return []
        text = path.read_text(errors="replace")
    except OSError:
        return []
    lines = []
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):  # the last one may be half written
            continue
        if isinstance(found, dict) and isinstance(found.get("step"), int) and isinstance(found.get("split"), str):
            lines.append(found)
    return lines


# Scores


def scores(work: Work) -> Figure | str:
    """Every row of a run, with its interval."""
    rows = [row for row in work.rows if scored(row)]
    if not rows:
        return "Scores: results.json has none."
    rows = rows[:60]
    groups: dict[tuple, list[Any]] = {}
    for row in rows:
        groups.setdefault((row["domain"], row["metric"], row["ways"], row["shots"]), []).append(row)
    header = ["domain", "ways", "shots", "method", "metric", "column", "mean", "low", "high", "tasks"]
    table = [
        [row["domain"], row["ways"] or "-", row["shots"], row["method"], row["metric"], name,
         *(round(style.scale(row["metric"]) * row[name][part], 4) for part in ("mean", "low", "high")),
         row["num_tasks"]]
        for row in rows for name in ("single", "joint") if row.get(name)
    ]  # fmt: skip
    told = []
    for (domain, metric, *_), own in groups.items():
        best = max(own, key=lambda row: sign(row) * scored(row)["mean"])
        shown = "; ".join(f"{row['method']} {tables.interval(scored(row), metric)}" for row in own)
        told.append(f"{domain}, {style.unit(metric)}: {shown}. Best: {best['method']}.")
    note = (
        "Mean over tasks and its 95% interval. Filled: each query alone; hollow: all queries of a task together, shown "
        "where it differs. Dotted: chance."
    )
    return Figure(
        "scores", "Scores of the run", functools.partial(_scores, groups), " ".join(told), header, table, note
    )


@style.styled
def _scores(groups: Mapping[tuple, Sequence[Any]]) -> Any:
    figure = style.sheet(0.45 + sum(0.7 + 0.34 * len(own) for own in groups.values()))
    sizes = [1.2 + len(own) for own in groups.values()]
    panels = figure.subplots(len(groups), 1, squeeze=False, height_ratios=sizes)[:, 0]
    for panel, ((domain, metric, ways, shots), own) in zip(panels, groups.items(), strict=True):
        for y, row in enumerate(own):
            color, marker = style.FAMILIES[row["family"]]
            shown = [name for name in ("single", "joint") if row.get(name)]
            if len(shown) == 2 and tables.interval(row["single"], metric) == tables.interval(row["joint"], metric):
                shown = ["single"]
            for name in shown:
                mean, low, high = (style.scale(metric) * row[name][part] for part in ("mean", "low", "high"))
                hollow = name == "joint" and len(shown) == 2
                place = y + (0.18 if hollow else 0)
                panel.plot([low, high], [place, place], color=color, linewidth=1.8)
                fill = style.PANEL if hollow else color
                panel.plot(mean, place, marker, color=color, markerfacecolor=fill, markersize=6)
        chance = own[0].get("chance") or (1 / ways if metric == "accuracy" and ways else None)
        if chance:
            panel.axvline(style.scale(metric) * chance, color=style.SOFT, linestyle=":", linewidth=1.2)
        style.listed(panel, [style.wrapped(row["method"], 22) for row in own])
        style.ruled(panel)
        panel.set_xlabel(style.unit(metric))
        sized = f"{ways}-way {shots}-shot" if ways else f"{shots}-shot"
        panel.set_title(f"{style.plain(domain, 30)}, {sized}")
    return figure


# The training


def training(work: Work, lines: Mapping[str, Sequence[Line]], metric: str) -> Figure | str:
    """What training and validation said, step by step."""
    names = [metric, *(["loss"] if metric != "loss" else [])]
    curves = {
        (name, seed, split): points
        for name in names
        for seed, own in lines.items()
        for split in ("train", "validation")
        if (points := _points(own, split, name))
    }
    if not curves:
        return "Training curves: the folder has no metrics.jsonl with numbers in it."
    names = [name for name in names if any(key[0] == name for key in curves)]
    kept, diverged = _told(work, list(lines))
    skipped = {seed: sum(int(line.get("skipped") or 0) for line in own) for seed, own in lines.items()}
    header = ["seed", "split", "step", *names]
    table: list[list[str | float]] = []
    for seed, own in lines.items():
        for split in ("train", "validation"):
            inside = [line for line in own if line["split"] == split]
            for line in _thinned(inside):
                values = [_number(line.get(name)) for name in names]
                shown = ["-" if value is None else round(style.scale(name) * value, 5)
                         for name, value in zip(names, values, strict=True)]  # fmt: skip
                table.append([seed or "-", split, line["step"], *shown])
    told = []
    for seed in lines:
        points = curves.get((metric, seed, "validation")) or curves.get((metric, seed, "train"))
        if not points:
            continue
        which = "Validation" if (metric, seed, "validation") in curves else "Training"
        said = f"{seed + ': ' if seed else ''}{which} {style.unit(metric)} "
        said += f"from {points[0][1]:.4g} at step {points[0][0]:,} to {points[-1][1]:.4g} at step {points[-1][0]:,}"
        said += f", kept: step {kept[seed]:,}" if seed in kept else ""
        said += f", diverged: {diverged[seed]}" if seed in diverged else ""
        told.append(said + (f", {skipped[seed]} updates skipped." if skipped[seed] else "."))
    note = "Thin: training tasks, means since the last line; thick with dots: validation tasks after adaptation. "
    note += "Star: the step whose parameters were kept. " if kept else ""
    note += "Cross: where the training diverged." if diverged else ""
    draw = functools.partial(_training, curves, names, kept, diverged)
    return Figure("training", "Training curves", draw, " ".join(told[:6]), header, table, note.strip())


def _points(lines: Sequence[Line], split: str, name: str) -> list[tuple[int, float]]:
    values = [(line["step"], _number(line.get(name))) for line in lines if line["split"] == split]
    return [(step, style.scale(name) * value) for step, value in values if value is not None]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None


def _thinned(lines: Sequence[Line], most: int = 100) -> list[Line]:
    """At most so many lines, evenly chosen, the first and the last among them."""
    places = np.unique(np.linspace(0, max(0, len(lines) - 1), most).astype(int)) if lines else []
    return [lines[place] for place in places]


def _told(work: Work, seeds: Sequence[str]) -> tuple[dict[str, int], dict[str, str]]:
    """The kept step and the divergence of each training, as far as results.json tells them."""
    single, several = work.results.get("training"), work.results.get("trainings")
    given = {"": single} if isinstance(single, dict) else {}
    if isinstance(several, dict):
        given |= {f"seed-{seed}": each for seed, each in several.items() if isinstance(each, dict)}
    kept = {seed: given[seed]["kept_step"] for seed in seeds if isinstance(given.get(seed, {}).get("kept_step"), int)}
    words = {seed: given[seed]["diverged"] for seed in seeds if isinstance(given.get(seed, {}).get("diverged"), str)}
    return kept, words


@style.styled
def _training(
    curves: Mapping[tuple[str, str, str], Sequence[tuple[int, float]]], names: Sequence[str], kept: Mapping[str, int],
    diverged: Mapping[str, str],
) -> Any:  # fmt: skip
    figure = style.sheet(0.5 + 2.1 * len(names))
    panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    seeds = list(dict.fromkeys(seed for _, seed, _ in curves))
    for panel, name in zip(panels, names, strict=True):
        for index, seed in enumerate(seeds):
            color, marker = style.place(index)
            for split in ("train", "validation"):
                points = curves.get((name, seed, split), [])
                if not points:
                    continue
                steps, values = zip(*points, strict=True)
                if split == "train":
                    panel.plot(steps, values, color=color, linewidth=0.9, alpha=0.65)
                else:
                    panel.plot(steps, values, f"{marker}-", color=color, linewidth=1.8, markersize=3.5)
                    best = [value for step, value in points if step == kept.get(seed)]
                    panel.plot([kept.get(seed)] * len(best[:1]), best[:1], "*", color=color, markersize=14,
                               markeredgecolor=style.INK, zorder=5)  # fmt: skip
            last = curves.get((name, seed, "train")) or curves.get((name, seed, "validation"))
            if seed in diverged and last:
                panel.plot(*last[-1], "X", color=style.RED, markersize=10, markeredgecolor=style.INK, zorder=6)
        panel.set_ylabel(style.unit(name))
        values = [value for (own, *_), points in curves.items() if own == name for _, value in points]
        if name == "return" or max(values) > 50 * max(1e-12, abs(float(np.median(values)))):
            panel.set_yscale("symlog", linthresh=max(1e-3, abs(float(np.median(values)))))
        style.ruled(panel, "y")
    if len(seeds) > 1:
        for index, seed in enumerate(seeds[: len(style.COLORS)]):
            color, marker = style.place(index)
            panels[0].plot([], [], f"{marker}-", color=color, label=style.plain(seed, 20))
    panels[0].plot([], [], color=style.SOFT, linewidth=0.9, label="training")
    panels[0].plot([], [], "o-", color=style.SOFT, linewidth=1.8, markersize=3.5, label="validation")
    if kept:
        panels[0].plot([], [], "*", color=style.SOFT, markersize=11, markeredgecolor=style.INK, label="kept")
    figure.legend(loc="outside lower left", ncols=3)
    panels[-1].set_xlabel("meta-training step")
    return figure


# Tasks and seeds


def tasks(work: Work) -> Figure | str:
    """How the scores of single tasks spread, of every method."""
    rows = [row for row in work.rows if scored(row) and scored(row).get("per_task")][:40]
    if not rows:
        return "The spread over tasks: results.json has no scores of single tasks."
    metric = rows[0]["metric"]
    rows = [row for row in rows if row["metric"] == metric]
    header = ["domain", "shots", "method", "tasks", "lowest", "5%", "25%", "median", "75%", "95%", "highest"]
    groups: dict[str, list[Any]] = {}
    table = []
    for row in rows:
        values = style.scale(metric) * np.array(scored(row)["per_task"])
        cuts = [round(float(cut), 4) for cut in np.quantile(values, (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1))]
        table.append([row["domain"], row["shots"], row["method"], len(values), *cuts])
        box = (row["method"], scored(row)["per_task"], style.FAMILIES[row["family"]][0])
        groups.setdefault(f"{row['domain']}, {row['shots']}-shot", []).append(box)
    own = next((line for row, line in zip(rows, table, strict=True) if row["family"] == "learner"), table[-1])
    alt = (
        f"{style.unit(metric).capitalize()} of single tasks: nine of ten of {own[2]} score from {own[5]:.4g} to "
        f"{own[9]:.4g}, the middle half from {own[6]:.4g} to {own[8]:.4g}."
    )
    note = "Box: the middle half of the tasks; line in it: the median; whiskers: nine tasks of ten; dots: tasks."
    draw = functools.partial(boxes, list(groups.items()), metric)
    return Figure("task-spread", "How single tasks score", draw, alt, header, table, note)


def by_seed(work: Work) -> dict[str, dict[int, Sequence[float]]]:
    """{method: {seed: its task scores}} of a folder of several seeds, by the column that methods are compared on."""
    path = work.path / "results.json"
    check_plain(path)
    try:
        content = json.loads(path.read_bytes()[:MOST_RESULTS])
        rows = [row for row in content["rows"] if isinstance(row["seed"], int) and scored(row)]
        found: dict[str, dict[int, Sequence[float]]] = {}
        for row in rows:
            found.setdefault(str(row["method"]), {})[row["seed"]] = np.array(scored(row)["per_task"], float).tolist()
    except (OSError, ValueError, KeyError, TypeError, RecursionError, AttributeError):
        return {}
    return {method: own for method, own in found.items() if len({len(each) for each in own.values()}) == 1}


def seeds(work: Work) -> Figure | str:
    """The spread over training seeds apart from the spread over tasks."""
    known = {method: own for method, own in by_seed(work).items() if len(own) > 1}
    if not known or not work.rows:
        return "The spread over seeds: the run has one seed; train with --seeds to see it."
    metric = next(row["metric"] for row in work.rows if scored(row))
    header = ["method", "seeds", "mean", "over seeds (std)", "of which not the tasks' draw", "over tasks (std)",
              "interval, these models", "interval, models trained anew"]  # fmt: skip
    spreads = {method: statistics.nested_seeds(np.array(list(own.values()))) for method, own in known.items()}
    table = [
        [method, len(known[method]), *(round(style.scale(metric) * each, 4) for each in
         (found.mean, found.seed_std, found.seed_effect, found.task_std)),
         tables.interval(found.these_seeds._asdict(), metric), tables.interval(found.new_seeds._asdict(), metric)]
        for method, found in spreads.items()
    ]  # fmt: skip
    own = work.config.get("learner")
    main = own if own in spreads else list(spreads)[-1]
    found = spreads[main]
    values = [style.scale(metric) * each for each in (found.seed_std, found.seed_effect, found.task_std)]
    alt = (
        f"{main}: over {len(known[main])} seeds the means have a standard deviation of {values[0]:.3g} "
        f"{style.unit(metric).removesuffix(' in %')}{' points' if metric == 'accuracy' else ''}, "
        f"of which {values[1]:.3g} is not the draw of tasks; the tasks of one seed have {values[2]:.3g}."
    )
    note = (
        "Each mark: one trained model, its mean over tasks and the 95% interval over them. Grey band: the mean for "
        "models trained anew (95%). Below: the standard deviation over seeds, what of it is left without the draw of "
        "tasks, and that over tasks: many tasks do not make up for few seeds."
    )
    draw = functools.partial(_seeds, known[main], found, metric, main)
    return Figure("seed-spread", "Seeds apart from tasks", draw, alt, header, table, note)


@style.styled
def _seeds(known: Mapping[int, Sequence[float]], found: statistics.SeedSpread, metric: str, method: str) -> Any:
    factor = style.scale(metric)
    figure = style.sheet(2.2 + 0.3 * len(known))
    top, low = figure.subplots(2, 1, height_ratios=[0.6 + 0.5 * len(known), 1.6])
    top.axvspan(factor * found.new_seeds.low, factor * found.new_seeds.high, color=style.RULE)
    top.axvline(factor * found.mean, color=style.SOFT, linewidth=1)
    for y, values in enumerate(known.values()):
        mean, start, end = (factor * each for each in statistics.mean_interval(np.array(values)))
        top.plot([start, end], [y, y], color=style.BLUE, linewidth=1.8)
        top.plot(mean, y, "o", color=style.BLUE, markersize=6)
    style.listed(top, [f"seed {seed}" for seed in known])
    style.ruled(top)
    top.set_title(style.plain(method, 40))
    top.set_xlabel(style.unit(metric))
    spreads = {"over seeds": (found.seed_std, style.BLUE, ""), "of it not tasks": (found.seed_effect, style.SKY, "//"),
               "over tasks": (found.task_std, style.ORANGE, "")}  # fmt: skip
    for y, (value, color, hatch) in enumerate(spreads.values()):
        low.barh(y, factor * value, 0.6, color=color, hatch=hatch, edgecolor=style.PANEL)
        low.annotate(f"{factor * value:.3g}", (factor * value, y), (4, 0), textcoords="offset points", va="center")
    style.listed(low, list(spreads))
    low.margins(x=0.15)
    style.ruled(low)
    low.set_xlabel("standard deviation" + (" in points" if metric == "accuracy" else ""))
    return figure


def check_metric(work: Work) -> str:
    """The metric that a run is judged by, by its rows, else by its criterion."""
    from jaxmeta.recipes import SCORINGS

    known = next((row["metric"] for row in work.rows if scored(row)), None)
    criterion = work.config.get("criterion", "cross_entropy")
    return known or SCORINGS[checks.choice("criterion", criterion, SCORINGS)].metric
