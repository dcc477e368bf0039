"""The figures of a transfer: who wins where, by how much, how sure, and how far the domains lie apart."""

from __future__ import annotations

import functools
import itertools
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxmeta import statistics, tables, transfer
from jaxmeta.recipes.scoring import metric_sign
from jaxmeta.report import facts, heat_map, ranks, style, verdicts
from jaxmeta.report.facts import Work
from jaxmeta.report.figure import Figure
from jaxmeta.statistics.comparisons import signed_rank
from jaxmeta.transfer import Row
from jaxmeta.transfer.summary import scored, sign

LEVEL = verdicts.LEVEL
_RESAMPLES = 2_000
_BESIDE = 4  # targets
_COLUMNS = {"single": "each query alone", "joint": "all queries of a task together"}


class Drawn(NamedTuple):
    """The figures that could be made, and why others could not."""

    figures: list[Figure]
    missing: list[str]
    """Sentences for people, one a figure."""


def collected(makers: Iterable[Callable[[], Figure | list[Figure] | str]]) -> Drawn:
    """What makers return: figures, or a sentence that says why there is none."""
    figures, missing = [], []
    for make in makers:
        match make():
            case str(reason):
                missing.append(reason)
            case Figure() as made:
                figures.append(made)
            case several:
                figures += several
    return Drawn(figures, missing)


def transfer_figures(source: str | pathlib.Path | Work | Sequence[Row]) -> Drawn:
    """All figures that the rows of a transfer allow.

    Args:
      source: its folder, what `facts.read` says of it, or its rows.

    Raises:
      DataError: if the folder is none.
    """
    if isinstance(source, str | pathlib.Path):
        source = facts.read(source)
    given = source.rows if isinstance(source, Work) else source
    # What was written before other metrics than accuracy were does not name it.
    rows: list[Row] = [{"metric": "accuracy"} | row for row in given]
    shots = dict.fromkeys(row["shots"] for row in rows if scored(row))
    if not shots:
        return Drawn([], ["The figures of a transfer: no cell has scores yet."])
    own = functools.partial
    return collected(
        [
            *(own(heat_map.matrix, rows, number) for number in shots),
            own(differences, rows),
            own(ranks.critical_difference, transfer.rankings(rows)),
            own(distances, rows),
            own(spread, rows),
        ]
    )


# Differences against the best baseline


def against_best(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Each learner against the baseline that has the best mean of its cell, on the same tasks.

    Returns:
      One entry a pair: source, domain, shots, metric, first (the learner), second (the baseline), mean, low and high of
      the difference, won and lost tasks, and Wilcoxon's p adjusted by Holm for all pairs of a learner and a baseline.
    """
    cells: dict[tuple, list[Row]] = {}
    for row in rows:
        if scored(row):
            cells.setdefault((row["source"], row["domain"], row["shots"]), []).append(row)
    pairs = []
    for cell in cells.values():
        firsts, seconds = ([row for row in cell if row["family"] == family] for family in ("learner", "baseline"))
        best = max(seconds, key=lambda row: sign(row) * scored(row)["mean"], default=None)
        pairs += [(first, second, second is best) for first, second in itertools.product(firsts, seconds)
                  if first["num_tasks"] == second["num_tasks"]]  # fmt: skip
    if not pairs:
        return []
    scores = [tuple(np.array(scored(row)["per_task"]) for row in pair[:2]) for pair in pairs]
    adjusted = statistics.holm([signed_rank(*each) for each in scores])
    found = []
    for (first, second, is_best), (own, other), p_value in zip(pairs, scores, adjusted, strict=True):
        if is_best:
            about = {name: first[name] for name in ("source", "domain", "shots", "metric")}
            interval = statistics.bootstrap_interval(own - other, num_resamples=_RESAMPLES)._asdict()
            better = sign(first) * (own - other)
            about |= {"first": first["method"], "second": second["method"], "p_holm": float(p_value)}
            found.append({**about, **interval, "won": int((better > 0).sum()), "lost": int((better < 0).sum())})
    return found


def differences(rows: Sequence[Row]) -> Figure | str:
    """How much every learner wins or loses against the best baseline of its cell."""
    chosen = against_best(rows)
    if not chosen:
        return "Differences against the best baseline: the transfer has no learner beside a baseline."
    several, metric = len({entry["source"] for entry in chosen}) > 1, chosen[0]["metric"]
    header = [
        "target",
        "shots",
        "source",
        "learner",
        "baseline",
        "difference",
        "low",
        "high",
        "p (Holm)",
        "won",
        "lost",
    ]
    table = [
        [entry["domain"], entry["shots"], entry["source"], entry["first"], entry["second"],
         *(round(style.scale(metric) * entry[part], 3) for part in ("mean", "low", "high")),
         float(f"{entry['p_holm']:.2g}"), entry["won"], entry["lost"]]
        for entry in chosen
    ]  # fmt: skip
    better = metric_sign(metric)
    sure = [entry for entry in chosen if entry["p_holm"] <= LEVEL]
    ahead = sum(better * entry["mean"] > 0 for entry in sure)
    largest = max(chosen, key=lambda entry: abs(entry["mean"]))
    alt = (
        f"Of {len(chosen)} comparisons of a learner with the best baseline of its cell the learner is surely better in "
        f"{ahead}, surely worse in {len(sure) - ahead}. The largest difference is "
        f"{tables.difference(largest, metric)}, {largest['first']} against {largest['second']} on {largest['domain']}."
    )
    note = (
        "Paired on the same tasks: mean difference and its 95% bootstrap interval; filled: p < 0.05 by Wilcoxon's "
        "signed ranks, adjusted by Holm for all pairs of the transfer. The baseline is the one with the best mean, "
        "chosen on these tasks, which favours it."
    )
    draw = functools.partial(_differences, chosen, metric, several)
    return Figure("differences", "Learners against the best baseline", draw, alt, header, table, note)


@style.styled
def _differences(chosen: Sequence[Mapping[str, Any]], metric: str, several: bool) -> Any:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for entry in chosen:
        groups.setdefault(entry["domain"], []).append(entry)
    figure = style.sheet(0.7 + sum(0.35 + 0.36 * len(own) for own in groups.values()))
    sizes = [0.6 + len(own) for own in groups.values()]
    panels = figure.subplots(len(groups), 1, sharex=True, squeeze=False, height_ratios=sizes)[:, 0]
    learners = list(dict.fromkeys(entry["first"] for entry in chosen))
    for panel, (domain, own) in zip(panels, groups.items(), strict=True):
        labels = []
        panel.axvline(0, color=style.INK, linewidth=1)
        for y, entry in enumerate(own):
            mean, low, high = (style.scale(metric) * entry[part] for part in ("mean", "low", "high"))
            color, marker = style.place(learners.index(entry["first"]))
            sure = entry["p_holm"] <= LEVEL
            panel.plot([low, high], [y, y], color=color, linewidth=1.8, solid_capstyle="butt")
            panel.plot(mean, y, marker, color=color, markerfacecolor=color if sure else style.PANEL, markersize=7)
            origin = f" ← {style.plain(entry['source'], 12)}" if several else ""
            labels.append(f"{style.plain(entry['first'], 14)}, {entry['shots']}-shot{origin}\n"
                          f"− {style.plain(entry['second'], 22)}")  # fmt: skip
        style.listed(panel, labels)
        style.ruled(panel)
        panel.set_title(style.plain(domain, 40))
    measure = "points of accuracy" if metric == "accuracy" else style.unit(metric)
    side = "learner better →" if metric_sign(metric) > 0 else "← learner better"
    panels[-1].set_xlabel(f"{measure}\n{side}")
    return figure


# Distances


def _leaders(rows: Sequence[Row]) -> dict[str, tuple[str, str]]:
    """{method: (color, marker)} of the best learner, the best baseline and a floor, by their means over cells."""
    means: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        untrained = row["method"].endswith(", untrained")
        if (column := scored(row)) and not untrained:
            means.setdefault(row["family"], {}).setdefault(row["method"], []).append(sign(row) * column["mean"])
    return {
        max(own, key=lambda method: float(np.mean(own[method]))): style.FAMILIES[family]
        for family, own in means.items()
    }


def distances(rows: Sequence[Row]) -> Figure | str:
    """Scores of the targets by how far they lie from the source."""
    known = [row for row in rows if scored(row) and row.get("distance_untrained") is not None]
    if len({(row["source"], row["domain"]) for row in known}) < 2:
        return "Source-target distance beside the scores: fewer than two pairs of source and target have a distance."
    leaders, metric = _leaders(known), known[0]["metric"]
    chosen = [row for row in known if row["method"] in leaders]
    several = len({row["source"] for row in known}) > 1
    header = ["target", "source", "shots", "method", "distance (untrained)", "distance (trained)", style.unit(metric)]
    table = [
        [row["domain"], row["source"], row["shots"], row["method"], round(row["distance_untrained"], 3),
         "-" if row.get("distance_trained") is None else round(row["distance_trained"], 3),
         round(style.scale(metric) * scored(row)["mean"], 3)]
        for row in chosen
    ]  # fmt: skip
    ends = sorted(known, key=lambda row: row["distance_untrained"])
    alt = (
        f"{style.unit(metric).capitalize()} by source-target distance for {', '.join(leaders)}. Nearest: "
        f"{ends[0]['domain']} at {ends[0]['distance_untrained']:.2f}; farthest: {ends[-1]['domain']} at "
        f"{ends[-1]['distance_untrained']:.2f}." + "".join(_correlations(chosen, leaders))
    )
    note = (
        "Distance: squared distance between the mean features of source and target under an untrained encoder, over "
        "the source's variance; about 0 within one domain (linear maximum mean discrepancy, Gretton et al., 2012, "
        "lemma 6). Shown are the learner and the baseline with the best mean, and a floor. Another target is another "
        "difficulty, too: a floor that falls alike says so."
    )
    note += (
        " Of several sources those of one target stand together, the nearest first, with the fewest shots."
        if several
        else ""
    )
    draw = functools.partial(_distances, chosen, leaders, metric, several)
    return Figure("distance", "Distance from the source and scores", draw, alt, header, table, note)


def _correlations(rows: Sequence[Row], methods: Iterable[str]) -> list[str]:
    """Spearman's rank correlations of distance and score, of as many targets as make them worth a number."""
    from scipy import stats

    said = []
    for method in methods:
        for shots in dict.fromkeys(row["shots"] for row in rows):
            own = [row for row in rows if (row["method"], row["shots"]) == (method, shots)]
            x = [row["distance_untrained"] for row in own]
            y = [scored(row)["mean"] for row in own]
            if len(own) > 3 and np.ptp(x) > 0 and np.ptp(y) > 0:
                outcome: Any = stats.spearmanr(x, y)
                value = float(outcome.statistic)
                said.append(f" {method}, {shots}-shot: rank correlation {value:+.2f} over {len(own)} pairs.")
    return said


@style.styled
def _distances(rows: Sequence[Row], leaders: Mapping[str, tuple[str, str]], metric: str, several: bool) -> Any:
    # Targets differ in difficulty, so sources are compared within each; of one source the targets lie in one panel.
    fewest = min(row["shots"] for row in rows)
    groups: dict[str, dict[tuple[float, str], list[Row]]] = {}
    for row in rows:
        title = f"{row['domain']}, {row['shots']}-shot" if several else f"{row['shots']}-shot"
        if not several or row["shots"] == fewest:
            line = row["distance_untrained"], row["source" if several else "domain"]
            groups.setdefault(title, {}).setdefault(line, []).append(row)
    figure = style.sheet(0.9 + sum(0.4 + 0.4 * len(own) for own in groups.values()))
    sizes = [0.6 + len(own) for own in groups.values()]
    panels = figure.subplots(len(groups), 1, sharex=True, squeeze=False, height_ratios=sizes)[:, 0]
    for panel, (title, own) in zip(panels, groups.items(), strict=True):
        for y, line in enumerate(sorted(own)):
            for row in own[line]:
                color, marker = leaders[row["method"]]
                mean, low, high = (style.scale(metric) * scored(row)[part] for part in ("mean", "low", "high"))
                panel.plot([low, high], [y, y], color=color, linewidth=1.5)
                panel.plot(mean, y, marker, color=color, markersize=6)
        style.listed(panel, [f"{style.plain(name, 22)}\ndistance {away:.2f}" for away, name in sorted(own)])
        style.ruled(panel, "both")
        panel.set_title(style.plain(title, 44))
    for method, (color, marker) in leaders.items():
        panels[0].plot([], [], marker, color=color, label=style.plain(method, 46))
    panels[-1].set_xlabel(style.unit(metric))
    figure.legend(loc="outside lower left", ncols=1)
    return figure


# The spread over tasks


def spread(rows: Sequence[Row]) -> Figure | str:
    """How task scores spread in each target."""
    known = [row for row in rows if scored(row) and scored(row).get("per_task")]
    if not known:
        return "The spread of task scores: no row has the score of every task."
    leaders, metric = _leaders(known), known[0]["metric"]
    groups: dict[tuple[str, int], dict[str, Row]] = {}
    for row in known:
        if row["method"] in leaders:
            own = groups.setdefault((row["domain"], row["shots"]), {})
            before = own.get(row["method"])
            if before is None or sign(row) * (scored(row)["mean"] - scored(before)["mean"]) > 0:
                own[row["method"]] = row
    header = ["target", "shots", "method", "source", "tasks", "lowest", "5%", "25%", "median", "75%", "95%", "highest"]
    table = []
    for (domain, shots), own in groups.items():
        for method, row in own.items():
            scores = style.scale(metric) * np.array(scored(row)["per_task"])
            cuts = np.quantile(scores, (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1))
            table.append([domain, shots, method, row["source"], len(scores), *(round(float(cut), 3) for cut in cuts)])
    widest = max(table, key=lambda line: line[10] - line[6])
    alt = (
        f"Task scores of {', '.join(leaders)} in {len(groups)} cells. The widest: {widest[2]} on {widest[0]}, "
        f"{widest[1]}-shot, where nine tasks of ten score from {widest[6]:.1f} to {widest[10]:.1f}."
    )
    note = (
        "Box: the middle half of the tasks; line in it: the median; whiskers: nine tasks of ten; dots: tasks. A mean "
        "with a narrow interval may hide tasks that fail. Of several sources the best for the target is shown."
    )
    draw = functools.partial(boxes, _boxed(groups, leaders), metric)
    return Figure("task-spread", "How single tasks score, target by target", draw, alt, header, table, note)


Box = tuple[str, Sequence[float], str]
"""(label, scores, color)"""


def _boxed(
    groups: Mapping[tuple[str, int], Mapping[str, Row]], leaders: Mapping[str, tuple[str, str]]
) -> list[tuple[str, list[Box]]]:
    return [
        (f"{domain}, {shots}-shot", [
            (method, scored(row)["per_task"], leaders[method][0]) for method, row in own.items()])
        for (domain, shots), own in groups.items()
    ]  # fmt: skip


@style.styled
def boxes(groups: Sequence[tuple[str, Sequence[Box]]], metric: str) -> Any:
    """The scores of tasks, a panel for each group and a box for each of its methods."""
    figure = style.sheet(0.6 + sum(0.36 + 0.4 * len(own) for _, own in groups))
    sizes = [0.6 + len(own) for _, own in groups]
    panels = figure.subplots(len(groups), 1, sharex=True, squeeze=False, height_ratios=sizes)[:, 0]
    random = np.random.default_rng(0)
    for panel, (title, own) in zip(panels, groups, strict=True):
        for y, (_, given, color) in enumerate(own):
            scores = style.scale(metric) * np.asarray(given)
            low, first, middle, third, high = np.quantile(scores, (0.05, 0.25, 0.5, 0.75, 0.95))
            heights = y + random.uniform(-0.32, 0.32, len(scores))
            panel.plot(scores, heights, ".", color=color, alpha=0.22, markersize=3, markeredgewidth=0, rasterized=True)
            panel.plot([low, high], [y, y], color=color, linewidth=1.2)
            panel.barh(y, third - first, 0.42, left=first, color=style.PANEL, edgecolor=color, linewidth=1.4, zorder=3)
            panel.plot([middle, middle], [y - 0.21, y + 0.21], color=color, linewidth=2.4, zorder=4)
        style.listed(panel, [style.wrapped(label, 22) for label, *_ in own])
        style.ruled(panel)
        if title:
            panel.set_title(style.plain(title, 44))
    panels[-1].set_xlabel(f"{style.unit(metric)} of a task")
    return figure
