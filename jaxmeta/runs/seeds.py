"""Several seeds of one training: a whole run folder for each, and what they say together."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from jaxmeta import runs, statistics, tables
from jaxmeta.cli import session
from jaxmeta.runs import results


@contextlib.contextmanager
def runs_of(run: session.Run, preset: str) -> Iterator[dict[int, session.Run]]:
    """Opens the run of each seed, a folder in the run's own; of a single seed it is that run itself."""
    config, data = run.facts["config"], run.facts["data"]
    with contextlib.ExitStack() as held:
        opened = {}
        for seed in range(config["seed"], config["seed"] + config["seeds"]):
            if config["seeds"] == 1:
                opened[seed] = run
                break
            own = config | {"seed": seed, "seeds": 1}
            runs.check_plain(run.folder / f"seed-{seed}")
            folder = held.enter_context(runs.create(run.folder / f"seed-{seed}", force=True))
            if not (folder / "config.json").exists():
                runs.write_json(folder / "config.json", {"schema": 1, "preset": preset, "config": own})
            opened[seed] = session.Run(folder, {"config": own, "data": data}, run.stop)
        yield opened


def write(folder: pathlib.Path, rows: Mapping[int, list[dict[str, Any]]], checksums: dict[str, str]) -> pathlib.Path:
    """Prints and writes what the seeds say together: their rows, and the spread over seeds apart from that over tasks.

    Args:
      folder: of all seeds.
      rows: those of each seed, method for method.
      checksums: of all that was read.
    """
    spreads: list[dict[str, Any]] = [
        {"method": row["method"], "num_seeds": len(rows), "num_tasks": row["num_tasks"]}
        | {column: _spread([own[index][column] for own in rows.values()]) for column in ("joint", "single")}
        for index, row in enumerate(next(iter(rows.values())))
    ]
    every: list[dict[str, Any]] = [{"seed": seed} | row for seed, own in rows.items() for row in own]
    columns = ("joint", "single")
    head = ["method", *(name for column in columns for name in (column, f"{column}, over seeds"))]
    lines = [
        [spread["method"], *(cell for column in columns for cell in _cells(spread[column], row["metric"]))]
        for spread, row in zip(spreads, every, strict=False)
    ]
    print(tables.text(head, lines))
    print(
        f"mean over {len(rows)} seeds, each on tasks of its own, and its 95% interval for models trained anew; "
        "over seeds: their standard deviation"
    )
    content = results.document(every, seed=min(rows), checksums=checksums) | {"seeds": spreads}
    return runs.write_json(folder / "results.json", content)


def _spread(columns: list[dict[str, Any] | None]) -> dict[str, Any] | None:
    scores = [column["per_task"] for column in columns if column]
    if not scores:
        return None
    found = statistics.nested_seeds(np.array(scores))
    return found._asdict() | {name: getattr(found, name)._asdict() for name in ("these_seeds", "new_seeds")}


def _cells(spread: dict[str, Any] | None, metric: str) -> tuple[str, str]:
    """The mean with its interval, and the deviation."""
    if spread is None:
        return "-", "-"
    return tables.interval(spread["new_seeds"], metric), tables.number(spread["seed_std"], metric)
