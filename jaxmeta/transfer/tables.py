"""The tables of a transfer: Markdown for people, CSV for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from jaxmeta import tables
from jaxmeta.transfer.summary import Row, sign, summarized
from jaxmeta.transfer.summary import scored as column

_FIELDS = (
    "source", "method", "family", "domain", "split", "ways", "chance", "shots", "queries", "norm", "inner_steps_train",
    "inner_steps_test", "inner_learning_rate", "distance_untrained", "distance_trained", "metric", "num_tasks",
)  # fmt: skip


class Comparison(NamedTuple):
    """What the rows of a transfer allow one to say; as text it is the tables in Markdown."""

    rows: Sequence[Row]
    found: dict[str, list[dict[str, Any]]]
    """`comparisons` of learners with baselines, `rankings` over domains, `multi_source`, as `summarized` has them."""

    def __str__(self) -> str:
        return markdown(self.rows, self.found)


def compare(rows: Iterable[Row]) -> Comparison:
    """Paired differences on the same tasks with Holm's adjustment, and ranks over domains.

    Args:
      rows: of one `matrix`.
    """
    rows = list(rows)  # which may come once
    return Comparison(rows, summarized(rows))


def csv_text(rows: Sequence[Row]) -> str:
    """One line a row, with mean, low and high of both columns; a cell without scores says why in `note`."""
    stream = io.StringIO()
    columns = [f"{column}_{part}" for column in ("joint", "single") for part in ("mean", "low", "high")]
    writer = csv.DictWriter(stream, (*_FIELDS, *columns, "note"), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        line: dict[str, Any] = {name: row.get(name, "") for name in _FIELDS} | {"note": row.get("note", "")}
        for name in ("joint", "single"):
            if row.get(name):
                line |= {f"{name}_{part}": f"{row[name][part]:.6f}" for part in ("mean", "low", "high")}
        writer.writerow({name: "" if value is None else value for name, value in line.items()})
    return stream.getvalue()


def markdown(rows: Iterable[Row], found: dict[str, list[dict[str, Any]]]) -> str:
    """The matrix as Markdown: a table for each source and number of shots, then what is certain about it.

    Args:
      rows: of one transfer.
      found: what `summarized` says of them.
    """
    rows, lines = list(rows), []
    ranked = {(entry["source"], entry["shots"]): entry for entry in found["rankings"]}
    for source, shots in dict.fromkeys((row["source"], row["shots"]) for row in rows):
        table = [row for row in rows if (row["source"], row["shots"]) == (source, shots)]
        title = f"### From {tables.escaped(source)}, {shots}-shot"
        lines += [title, "", *_matrix(table, ranked.get((source, shots))), ""]
    scored = [row for row in rows if column(row)]
    if scored:
        metric = scored[0]["metric"]
        unit = "Accuracy in %" if metric == "accuracy" else metric.capitalize()
        alone = "" if metric == "return" else ", each query alone"
        lines += [
            f"{unit}{alone}, mean and 95% interval over {scored[0]['num_tasks']} tasks, the same for all "
            f"methods. Bold: the {'highest' if sign(scored[0]) > 0 else 'lowest'} of a column. The average is over "
            f"domains of equal ways. Tested on {_splits(scored)}.",
            "",
        ]
    lines += _differences(
        "Best learner against best baseline", _best_pairs(rows, found["comparisons"]), ("source", "domain", "shots")
    )
    lines += _differences("Many sources against the best of them", found["multi_source"], ("method", "domain", "shots"))
    return "\n".join(lines)


def _splits(scored: Sequence[Row]) -> str:
    """What of each domain was tested, as far as its sources differ."""
    found = dict.fromkeys((row["domain"], row["split"]) for row in scored)
    return ", ".join(f"{tables.escaped(domain)} ({tables.escaped(split)})" for domain, split in found)


def _matrix(table: Sequence[Row], ranked: dict[str, Any] | None) -> list[str]:
    domains = list(dict.fromkeys(row["domain"] for row in table))
    scored = [row for row in table if column(row)]
    ways = max((row["ways"] for row in scored), default=0)
    best = {domain: max((_worth(row) for row in scored if row["domain"] == domain), default=0) for domain in domains}
    lines = []
    for method in dict.fromkeys(row["method"] for row in table):
        own = {row["domain"]: row for row in table if row["method"] == method}
        cells = [_cell(own.get(domain), ways, best[domain]) for domain in domains]
        average = rank = "-"
        if ranked and method in ranked["methods"]:
            index = ranked["methods"].index(method)
            average, rank = tables.number(ranked["means"][index], ranked["metric"]), f"{ranked['ranks'][index]:.2f}"
        lines.append([method, *cells, average, rank])
    for name in ("untrained", "trained"):
        distances = {row["domain"]: row.get(f"distance_{name}") for row in scored}
        if any(value is not None for value in distances.values()):
            shown = ["-" if distances.get(domain) is None else f"{distances[domain]:.2f}" for domain in domains]
            lines.append([f"*distance, {name} features*", *shown, "", ""])
    said = [tables.markdown(["method", *domains, "average", "rank"], lines)]
    if ranked and "p_value" in ranked:
        said += [
            "",
            f"Friedman's test over {len(ranked['domains'])} domains: p = {ranked['p_value']:.2g}; ranks that differ by "
            f"more than {ranked['critical_difference']:.2f} differ significantly (Nemenyi, 0.05).",
        ]
    return said


def _worth(row: Row) -> float:
    """A score of which more is better."""
    return sign(row) * column(row)["mean"]


def _cell(row: Row | None, ways: int, best: float) -> str:
    if row is None:
        return "-"
    if not column(row):
        return row.get("note", "-")
    text = tables.interval(column(row), row["metric"])
    text = f"**{text}**" if _worth(row) >= best else text
    if row["ways"] == ways:
        return text
    return f"{text} ({row['ways']}-way, chance {tables.number(row['chance'], 'accuracy')})"


def _best_pairs(rows: Sequence[Row], compared: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of all comparisons those of each cell's best learner with its best baseline."""
    best: dict[tuple, str] = {}
    for row in sorted((row for row in rows if column(row)), key=_worth):
        best[row["source"], row["domain"], row["shots"], row["family"]] = row["method"]
    return [
        entry
        for entry in compared
        if all(
            best[entry["source"], entry["domain"], entry["shots"], family] == entry[side]
            for family, side in (("learner", "first"), ("baseline", "second"))
        )
    ]


def _differences(title: str, entries: Sequence[dict[str, Any]], names: Sequence[str]) -> list[str]:
    if not entries:
        return []
    lines = [
        [
            *(entry[name] for name in (*names, "first", "second")),
            tables.difference(entry, entry["metric"]),
            f"{entry['p_holm']:.2g}",
        ]
        for entry in entries
    ]
    metric = entries[0]["metric"]
    unit = "Points of accuracy" if metric == "accuracy" else metric.capitalize()
    return [
        f"### {title}", "", tables.markdown([*names, "first", "second", "difference", "p (Holm)"], lines), "",
        f"{unit} on the same tasks, bootstrap "
        "interval; p by Wilcoxon's signed ranks, adjusted for all pairs that were compared.", "",
    ]  # fmt: skip
