"""The figures of a transfer: who wins where, by how much, how sure, and how far the domains lie apart."""

from __future__ import annotations

import functools
import itertools
import math
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxmeta import statistics, tables, transfer
from jaxmeta.report import facts, style, verdicts
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
            *(own(matrix, rows, number) for number in shots),
            own(differences, rows),
            own(critical_difference, transfer.rankings(rows)),
            own(distances, rows),
            own(spread, rows),
        ]
    )


# The heat map


class Cell(NamedTuple):
    """What a row has in a column."""

    row: Row
    standing: str
    """"best", "tied" with it, or ""."""


def _line(row: Row) -> tuple[str, str]:
    """A row of the map: a method from a source; floors know no source."""
    return (row["method"], "" if row["family"] == "floor" else row["source"])


def _lines(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """(family, method, source), learners first and floors last."""
    order = list(style.FAMILIES)
    found = dict.fromkeys((row["family"], *_line(row)) for row in rows)
    return sorted(found, key=lambda each: (order.index(each[0]), [*found].index(each)))


def standings(rows: Sequence[Row], column: str = "single") -> dict[tuple[str, str], str]:
    """Which rows of one domain and number of shots are best, and which are not told apart from the best.

    Args:
      rows: of one domain and number of shots, on the same tasks.
      column: "single" or "joint".

    Returns:
      {(method, source): "best", "tied" or ""}; tied: Wilcoxon's p of the paired scores, adjusted by Holm for all
      comparisons with the best, is at least 0.05. What was scored on other tasks is neither.
    """
    known = {_line(row): row for row in rows if row.get(column)}
    if not known:
        return {}
    top = known[max(known, key=lambda line: sign(known[line]) * known[line][column]["mean"])]
    names = "split", "ways", "queries", "num_tasks"
    alike = [row | {"method": line} for line, row in known.items() if all(row.get(n) == top.get(n) for n in names)]
    marked = verdicts.marks(alike, column)
    return {line: marked.get(line, "") for line in known}  # pyright: ignore[reportArgumentType, reportCallIssue]


def unit(metric: str) -> str:
    """What stands at an axis of a metric."""
    return "accuracy in %" if metric == "accuracy" else metric.replace("_", " ")


def scale(metric: str) -> float:
    """What a metric is multiplied with to be shown."""
    return 100.0 if metric == "accuracy" else 1.0


def matrix(rows: Sequence[Row], shots: int) -> Figure | str:
    """Methods and their sources by targets as a heat map, each query alone and, where that differs, all together."""
    own = [row for row in rows if row["shots"] == shots and (row.get("single") or row.get("joint"))]
    if not own:
        return f"The matrix of {shots}-shot tasks: no cell has scores yet."
    domains, lines = list(dict.fromkeys(row["domain"] for row in own)), _lines(own)
    metric = own[0]["metric"]
    columns = [name for name in ("single", "joint") if any(row.get(name) for row in own)]
    shown = lambda row, name: tables.interval(row.get(name), metric)  # noqa: E731
    if len(columns) == 2 and all(shown(row, "single") == shown(row, "joint") for row in own):
        columns = ["single"]
    cells: dict[str, dict[tuple[tuple[str, str], str], Cell]] = {name: {} for name in columns}
    for name in columns:
        for domain in domains:
            inside = [row for row in own if row["domain"] == domain]
            standing = standings(inside, name)
            for row in inside:
                if row.get(name):
                    cells[name].setdefault((_line(row), domain), Cell(row, standing[_line(row)]))
    several = len({source for _, _, source in lines if source}) > 1
    header = ["family", "method", "source", "target", "column", "mean", "low", "high", "chance", "standing"]
    table = [
        [family, method, source or "-", domain, name, *(round(scale(metric) * cell.row[name][part], 3)
         for part in ("mean", "low", "high")), _chance(cell.row), cell.standing or "-"]
        for name in columns for family, method, source in lines for domain in domains
        if (cell := cells[name].get(((method, source), domain)))
    ]  # fmt: skip
    sources = ", ".join(dict.fromkeys(source for _, _, source in lines if source))
    first = cells[columns[0]]
    alt = f"Heat map of {unit(metric)} in {shots}-shot tasks, {len(lines)} rows by {len(domains)} targets. " + " ".join(
        _winner(domain, [cell for (_, where), cell in first.items() if where == domain], columns[0])
        for domain in domains
    )
    note = (
        "Mean and half of its 95% interval over tasks. Thick frame and star: the best of its column. Thin frame and ≈: "
        "not told apart from it (Wilcoxon on the same tasks, Holm over the column, 0.05). "
    )
    note += "Each query alone" + (
        "; joint: all queries of a task together." if len(columns) == 2 else ", the same as joint." if columns ==
        ["single"] else "."
    )  # fmt: skip
    note += "" if several else f" From {sources}." if sources else ""
    return Figure(
        f"matrix-{shots}-shot", f"{'Source by target' if several else 'Methods by target'}, {shots}-shot",
        functools.partial(_matrix, cells, lines, domains, metric, several), alt, header, table, note,
    )  # fmt: skip


def _chance(row: Row) -> float | str:
    return round(100 * row["chance"], 3) if row.get("chance") else "-"


def _winner(domain: str, cells: Sequence[Cell], column: str) -> str:
    best = next(cell.row for cell in cells if cell.standing == "best")
    tied = sum(cell.standing == "tied" for cell in cells)
    beside = f", {tied} not told apart" if tied else ""
    return f"{domain}: {best['method']} {tables.interval(best[column], best['metric'])}{beside}."


@style.styled
def _matrix(
    cells: Mapping[str, Mapping[tuple[tuple[str, str], str], Cell]], lines: Sequence[tuple[str, str, str]],
    domains: Sequence[str], metric: str, several: bool,
) -> Any:  # fmt: skip
    import matplotlib
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Rectangle

    # Beside one another only as many columns as a phone shows legibly; the others stand below.
    parts = [list(part) for part in np.array_split(np.array(domains, object), math.ceil(len(domains) / _BESIDE))]
    shown = [(name, part) for name in cells for part in parts]
    figure = style.sheet((0.75 + (0.46 if several else 0.42) * len(lines)) * len(shown) + 0.4)
    panels = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
    values = [scale(metric) * cell.row[name]["mean"] for name, own in cells.items() for cell in own.values()]
    low, high = min(values), max(values)
    ramp = matplotlib.colormaps["Blues" if metric in ("accuracy", "return") else "Blues_r"](
        np.linspace(0.04, 0.78, 256)
    )
    for panel, (name, part) in zip(panels, shown, strict=True):
        own = cells[name]
        grid = np.full((len(lines), len(part)), np.nan)
        for y, (_, method, source) in enumerate(lines):
            for x, domain in enumerate(part):
                if cell := own.get(((method, source), domain)):
                    grid[y, x] = scale(metric) * cell.row[name]["mean"]
        image = panel.imshow(grid, cmap=ListedColormap(ramp), vmin=low, vmax=max(high, low + 1e-9), aspect="auto")
        for y, (_, method, source) in enumerate(lines):
            for x, domain in enumerate(part):
                if (cell := own.get(((method, source), domain))) is None:
                    panel.text(x, y, "–", ha="center", va="center", color=style.SOFT)
                    continue
                r, g, b, _ = image.to_rgba(grid[y, x])
                color = style.INK if 0.299 * r + 0.587 * g + 0.114 * b > 0.55 else "white"
                column, best = cell.row[name], cell.standing == "best"
                half = scale(metric) * (column["high"] - column["low"]) / 2
                mark = {"best": "★ ", "tied": "≈ ", "": ""}[cell.standing]
                digits = 1 if metric == "accuracy" else 3
                said = f"{mark}{grid[y, x]:.{digits}f}\n±{half:.{digits}f}"
                panel.text(x, y, said, ha="center", va="center", color=color, fontsize=8, linespacing=1.05,
                           fontweight="bold" if best else "normal")  # fmt: skip
                if cell.standing:
                    thick = 2.2 if best else 1.0
                    box = Rectangle((x - 0.47, y - 0.46), 0.94, 0.92, fill=False, edgecolor=style.INK, linewidth=thick,
                                    zorder=4)  # fmt: skip
                    panel.add_patch(box)
        labels = [
            style.wrapped(f"{method} ← {source}", 24, 3) if several and source else style.wrapped(method, 20)
            for _, method, source in lines
        ]  # fmt: skip
        panel.set_yticks(range(len(lines)), labels)
        for tick, (family, *_) in zip(panel.get_yticklabels(), lines, strict=True):
            tick.set_color(style.FAMILIES[family][0])
        panel.set_xticks(range(len(part)), [style.wrapped(each, 11) for each in part])
        panel.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
        panel.spines[:].set_visible(False)
        for y in range(1, len(lines)):
            if lines[y][0] != lines[y - 1][0]:
                panel.axhline(y - 0.5, color=style.PANEL, linewidth=5)
        panel.set_title(f"{unit(metric)}, {_COLUMNS[name]}")
    families = dict.fromkeys(family for family, *_ in lines)
    from matplotlib.patches import Patch

    handles = [Patch(color=style.FAMILIES[family][0], label=family) for family in families]
    figure.legend(handles=handles, loc="outside lower left", ncols=3, handlelength=0.8, columnspacing=1.2)
    return figure


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
         *(round(scale(metric) * entry[part], 3) for part in ("mean", "low", "high")),
         float(f"{entry['p_holm']:.2g}"), entry["won"], entry["lost"]]
        for entry in chosen
    ]  # fmt: skip
    better = 1 if metric in ("accuracy", "return") else -1
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
            mean, low, high = (scale(metric) * entry[part] for part in ("mean", "low", "high"))
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
    measure = "points of accuracy" if metric == "accuracy" else unit(metric)
    side = "learner better →" if metric in ("accuracy", "return") else "← learner better"
    panels[-1].set_xlabel(f"{measure}\n{side}")
    return figure


# Ranks over domains


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
    header = ["target", "source", "shots", "method", "distance (untrained)", "distance (trained)", unit(metric)]
    table = [
        [row["domain"], row["source"], row["shots"], row["method"], round(row["distance_untrained"], 3),
         "-" if row.get("distance_trained") is None else round(row["distance_trained"], 3),
         round(scale(metric) * scored(row)["mean"], 3)]
        for row in chosen
    ]  # fmt: skip
    ends = sorted(known, key=lambda row: row["distance_untrained"])
    alt = (
        f"{unit(metric).capitalize()} by source-target distance for {', '.join(leaders)}. Nearest: "
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
                mean, low, high = (scale(metric) * scored(row)[part] for part in ("mean", "low", "high"))
                panel.plot([low, high], [y, y], color=color, linewidth=1.5)
                panel.plot(mean, y, marker, color=color, markersize=6)
        style.listed(panel, [f"{style.plain(name, 22)}\ndistance {away:.2f}" for away, name in sorted(own)])
        style.ruled(panel, "both")
        panel.set_title(style.plain(title, 44))
    for method, (color, marker) in leaders.items():
        panels[0].plot([], [], marker, color=color, label=style.plain(method, 46))
    panels[-1].set_xlabel(unit(metric))
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
            scores = scale(metric) * np.array(scored(row)["per_task"])
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
            scores = scale(metric) * np.asarray(given)
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
    panels[-1].set_xlabel(f"{unit(metric)} of a task")
    return figure
