"""What the rows of a transfer say: pairs on the same episodes, ranks over domains, many sources against one."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jaxmeta import statistics
from jaxmeta.recipes.scoring import metric_sign

Row = dict[str, Any]
"""A row of results.json, with `source`, and `family`: "learner", "baseline" or "floor"."""


def _scored(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if scored(row)]


def _cells(rows: Iterable[Row], *names: str) -> list[tuple[tuple, list[Row]]]:
    """Groups rows by the values of some fields, in the order in which they first come."""
    groups: dict[tuple, list[Row]] = {}
    for row in _scored(rows):
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return list(groups.items())


def scored(row: Row) -> Any:
    """The column by which a row is compared: of returns joint, the only one, else single; None without a score."""
    return row.get("joint" if row.get("metric") == "return" else "single")


def sign(row: Row) -> int:
    """1 where a higher score is better, else -1."""
    return metric_sign(row["metric"])


def _paired(first: Row, second: Row, num_resamples: int = 10_000) -> dict[str, Any]:
    scores = (scored(row)["per_task"] for row in (first, second))
    result = statistics.paired(*scores, num_resamples=num_resamples)
    return {**result.difference._asdict(), "p_value": result.p_value, "won": result.won, "lost": result.lost}


def _adjusted(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not found:
        return []
    p_values = statistics.holm([entry["p_value"] for entry in found])
    return [entry | {"p_holm": float(p_value)} for entry, p_value in zip(found, p_values, strict=True)]


def summarized(rows: Iterable[Row]) -> dict[str, list[dict[str, Any]]]:
    """All that is said of the rows of one transfer: `comparisons`, `rankings` and `multi_source`, by name."""
    rows = list(rows)  # which may come once
    return {"comparisons": comparisons(rows), "rankings": rankings(rows), "multi_source": multi_source(rows)}


def comparisons(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Every learner against every baseline, in each cell on the same episodes, by the column "single".

    Args:
      rows: of one transfer.

    Returns:
      One entry a pair: source, domain, shots, first (a learner), second (a baseline), the mean difference with its
      bootstrap interval, Wilcoxon's p_value, p_holm (adjusted for all pairs of the table), tasks won and lost.
    """
    found = []
    for (source, domain, shots), cell in _cells(rows, "source", "domain", "shots"):
        families = [[row for row in cell if row["family"] == family] for family in ("learner", "baseline")]
        for first, second in itertools.product(*families):
            about = {"source": source, "domain": domain, "shots": shots}
            names = {"metric": first["metric"], "first": first["method"], "second": second["method"]}
            found.append({**about, **names, **_paired(first, second)})
    return _adjusted(found)


def rankings(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """How methods rank over the domains whose tasks have equal ways, for each source and number of shots.

    Args:
      rows: of one transfer; floors do not take part, nor does a method that lacks a score in one of the domains.

    Returns:
      One entry a table: source, shots, ways, domains, methods, means over the domains, average ranks, and with two
      domains and three methods at least Friedman's p_value and Nemenyi's critical_difference.
    """
    found = []
    for (source, shots), table in _cells(rows, "source", "shots"):
        table = [row for row in table if row["family"] != "floor"]
        ways = max((row["ways"] for row in table), default=0)
        scores: dict[str, dict[str, float]] = {}
        for row in table:
            if row["ways"] == ways:
                scores.setdefault(row["method"], {})[row["domain"]] = scored(row)["mean"]
        domains = list(dict.fromkeys(domain for own in scores.values() for domain in own))
        methods = [name for name, own in scores.items() if len(own) == len(domains)]
        if len(methods) < 2:
            continue
        matrix = np.array([[scores[name][domain] for name in methods] for domain in domains])
        better = sign(table[0]) * matrix
        entry = {
            "source": source, "shots": shots, "ways": ways, "domains": domains, "methods": methods,
            "metric": table[0]["metric"], "means": matrix.mean(axis=0).tolist(),
            "ranks": statistics.average_ranks(better).tolist(),
        }  # fmt: skip
        if len(methods) > 2 and len(domains) > 1:
            entry["p_value"] = statistics.friedman(better).p_value
            entry["critical_difference"] = statistics.nemenyi(better).critical_difference
        found.append(entry)
    return found


def multi_source(rows: Sequence[Row], *, num_resamples: int = 10_000) -> list[dict[str, Any]]:
    """Training on several domains against training on the best one of them, for each method and target.

    The best one is chosen by the scores that it is then compared on, which favours it.

    Args:
      rows: of one transfer; a source of several domains is written with commas.
      num_resamples: of the bootstrap.

    Returns:
      One entry a comparison: domain, shots, method, first (the sources together), second (the best one), and the
      difference as in `comparisons`, p_holm over all entries.
    """
    found = []
    for (method, domain, shots), cell in _cells(rows, "method", "domain", "shots"):
        if cell[0]["family"] == "floor":
            continue
        for row in cell:
            parts = row["source"].split(",")
            alone = [other for other in cell if len(parts) > 1 and other["source"] in parts]
            if alone:
                best = max(alone, key=lambda other: sign(other) * scored(other)["mean"])
                about = {"domain": domain, "shots": shots, "method": method, "metric": row["metric"]}
                found.append(
                    {**about, "first": row["source"], "second": best["source"], **_paired(row, best, num_resamples)}
                )
    return _adjusted(found)
