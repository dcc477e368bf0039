"""Results: one row a method, with every task's score, and the table that people read."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import Any

import jax
import numpy as np

from jaxmeta.statistics import mean_interval


def report_row(scores: dict[str, dict[str, Any]], metric: str, **facts: Any) -> dict[str, Any]:
    """One row of results.json from what `evaluate` returns.

    Args:
      scores: {column: {metric: [num_tasks]}}.
      metric: which of them.
      facts: method, domain, split, ways, shots, queries, inner_steps_train, inner_steps_test, norm.
    """

    def column(name: str) -> dict[str, Any] | None:
        if name not in scores:
            return None
        per_task = np.asarray(scores[name][metric], np.float64)
        return {**mean_interval(per_task)._asdict(), "per_task": [round(score, 6) for score in per_task.tolist()]}

    num_tasks = len(next(iter(scores.values()))[metric])
    return {**facts, "metric": metric, "num_tasks": num_tasks, "joint": column("joint"), "single": column("single")}


def document(rows: list[dict[str, Any]], *, seed: int, checksums: dict[str, str]) -> dict[str, Any]:
    """The content of results.json; it records no directory, user or host name."""
    return {"schema": 1, "seed": seed, "versions": versions(), "device": device(), "data": checksums, "rows": rows}


def versions() -> dict[str, str]:
    """The code that makes a number what it is."""
    packages = ("jaxmeta", "jax", "flax", "optax", "numpy")
    return {name: importlib.metadata.version(name) for name in packages} | {"python": platform.python_version()}


def device() -> str:
    """What computes, such as "2 x cpu"."""
    return f"{jax.device_count()} x {jax.devices()[0].device_kind}"


def compiler_flags() -> str:
    """Those of XLA_FLAGS that may change a result: without devices, which `device` counts, and without paths."""
    flags = {flag.partition("=")[0]: flag for flag in os.environ.get("XLA_FLAGS", "").split()}
    silent = ("--xla_force_host_platform_device_count", "--xla_dump")
    kept = [flag for name, flag in flags.items() if not (name.startswith(silent) or "/" in flag or "\\" in flag)]
    return " ".join(sorted(kept)) or "none"


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as text: accuracy in percent, anything else as it is; mean and 95% interval over tasks."""

    def cell(row: dict[str, Any], column: str) -> str:
        if row[column] is None:
            return "-"
        scale, digits = (100, 1) if row["metric"] == "accuracy" else (1, 3)
        mean, low, high = (scale * row[column][name] for name in ("mean", "low", "high"))
        return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"

    head = ["method", "domain", "task", "queries", "norm", "steps", "joint", "single"]
    lines = []
    for row in rows:
        task = f"{row['ways']}-way {row['shots']}-shot" if row["ways"] else f"{row['shots']}-shot"
        lines.append(
            [
                row["method"],
                row["domain"],
                task,
                str(row["queries"]),
                row["norm"] or "-",
                str(row["inner_steps_test"]),
                cell(row, "joint"),
                cell(row, "single"),
            ]
        )
    widths = [max(len(line[index]) for line in [head, *lines]) for index in range(len(head))]
    text = [
        "  ".join(part.ljust(width) for part, width in zip(line, widths, strict=True)).rstrip()
        for line in [head, *lines]
    ]
    text.insert(1, "-" * max(map(len, text)))
    if rows:
        unit = "accuracy in %" if rows[0]["metric"] == "accuracy" else rows[0]["metric"]
        text.append(
            f"{unit}, mean and 95% interval over {rows[0]['num_tasks']} tasks; "
            "joint: all queries of a task together, single: each alone"
        )
    return "\n".join(text)
