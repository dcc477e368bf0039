"""Results: one row a method, with every task's score, and the table that people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxmeta import provenance, tables
from jaxmeta.runs.events import Fitted
from jaxmeta.statistics import mean_interval


def report_row(
    scores: dict[str, dict[str, Any]], metric: str, *, beside: Sequence[str] = (), **facts: Any
) -> dict[str, Any]:
    """One row of results.json from what `evaluate` returns; a column that is not finite everywhere is null, and `note`
    says so: of an untrained network for one, and the other rows stand.

    Args:
      scores: {column: {metric: [num_tasks]}}.
      metric: which of them.
      beside: others that are told beside it.
      facts: method, domain, split, ways, shots, queries, inner_steps_train, inner_steps_test, norm.
    """

    def column(name: str, metric: str = metric) -> dict[str, Any] | None:
        if name not in scores:
            return None
        per_task = np.asarray(scores[name][metric], np.float64)
        if bad := int((~np.isfinite(per_task)).sum()):
            facts["note"] = f"not finite in {bad} of {len(per_task)} tasks"
            return None
        return {**mean_interval(per_task)._asdict(), "per_task": [round(score, 6) for score in per_task.tolist()]}

    columns: dict[str, Any] = {name: column(name) for name in ("joint", "single")}
    if beside:
        columns["beside"] = {each: {name: column(name, each) for name in ("joint", "single")} for each in beside}
    return {**facts, "metric": metric, "num_tasks": len(next(iter(scores.values()))[metric]), **columns}


def document(
    rows: list[dict[str, Any]], *, seed: int, checksums: dict[str, str], read: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """The content of results.json; it records no directory, user or host name. `read` is what was found in the data."""
    content = {
        "schema": 1,
        "seed": seed,
        **provenance.record(),
        "data": checksums,
        "read": [dict(each) for each in read],
    }
    return content | {"rows": rows}


def training(fitted: Fitted) -> dict[str, Any]:
    """How a training went, as results.json holds it: what was kept of it, and what went wrong."""
    return {
        "steps": int(fitted.state.step), "kept_step": fitted.step, "best": fitted.scores, "last": fitted.last,
        "collapsed": fitted.collapsed, "diverged": fitted.diverged,
    }  # fmt: skip


def kept(fitted: Fitted) -> str:
    """Which step's parameters a training ends with, as a sentence for people."""
    if fitted.scores is None:
        return f"kept: the parameters of step {fitted.step:,}, the last"
    said, last = (
        ", ".join(f"{name} {value:.4f}" for name, value in (scores or {}).items())
        for scores in (fitted.scores, fitted.last)
    )
    return (
        f"kept: the parameters of step {fitted.step:,} of {int(fitted.state.step):,}, the best on validation tasks "
        f"({said}; at last {last})"
    )


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as text: accuracy in percent, anything else as it is; mean and 95% interval over tasks."""
    columns = ("joint",) if rows and rows[0]["metric"] == "return" else ("joint", "single")
    beside = list(rows[0].get("beside", ())) if rows else []
    head = ["method", "domain", "split", "task", "queries", "norm", "steps", *columns]
    head += [name.replace("_", " ") for name in beside]
    lines = [
        [
            row["method"],
            row["domain"],
            row["split"],
            f"{row['ways']}-way {row['shots']}-shot" if row["ways"] else f"{row['shots']}-shot",
            row["queries"],
            row["norm"] or "-",
            row["inner_steps_test"],
            *(
                row.get("note", "-") if row[column] is None else tables.interval(row[column], row["metric"])
                for column in columns
            ),
            # What is told beside is of queries alone, where these were asked.
            *(tables.interval(row["beside"][name]["single"] or row["beside"][name]["joint"], name) for name in beside),
        ]
        for row in rows
    ]
    shown = tables.text(head, lines)
    if not rows:
        return shown
    unit = "accuracy in %" if rows[0]["metric"] == "accuracy" else rows[0]["metric"]
    told = f"{shown}\n{unit}, mean and 95% interval over {rows[0]['num_tasks']} tasks"
    if rows[0]["metric"] == "return":
        return f"{told}; shots and queries are trajectories, of each step and to judge by"
    return f"{told}; joint: all queries of a task together, single: each alone"
