"""`jaxmeta transfer`: sources x targets x methods on the same tasks."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import sys
import time
from collections.abc import Mapping
from typing import Any

from jaxmeta import checks, report, runs, transfer
from jaxmeta.cli import config, signals, watching
from jaxmeta.runs import results


def run(options: config.Transfer, preset: str) -> int:
    path, plan = pathlib.Path(options.out or f"runs/transfer-{preset}"), transfer.checked(options.plan)
    if os.path.realpath(path) in map(os.path.realpath, plan.runs):
        checks.fail("`out`", "another folder than those of `runs`, which are read", path)
    exists = (path / "config.json").exists()
    if not (options.force or (options.resume and exists)):
        hint = f"--resume goes on with a transfer; or {config.FREE}" if exists else config.FREE
        runs.check_empty(path, hint)
    setting = transfer.setting(plan, options.data_dir)
    existing = "replace" if options.force and not (options.resume and exists) else "resume"
    hint = "to go on: the same command with --resume"
    with signals.watched(hint) as stop, watching.Watch(stop) as watch:
        start = time.perf_counter()
        rows = transfer.carried_out(setting, folder=path, preset=preset, existing=existing, report=watch, stop=stop)
    failed = sum("error" in row for row in rows)
    took = f"{len(rows)} rows in {(time.perf_counter() - start) / 60:.1f} min"
    _say(took + (f", {failed} failed" if failed else ""))
    _write(plan, path, rows, list(watch.read.values()))
    return int(failed > 0)


def _write(plan: transfer.Plan, folder: pathlib.Path, rows: list[transfer.Row], read: list[Mapping[str, Any]]) -> None:
    checksums = {name: value for row in rows for name, value in row.pop("checksums").items()}
    found = transfer.compare(rows)
    print(found)
    runs.write_text(folder / "results.csv", transfer.csv_text(rows))
    runs.write_text(folder / "results.md", str(found))
    if importlib.util.find_spec("matplotlib"):
        report.transfer(rows).savefig(folder / "results.png", dpi=120)
    content = results.document(rows, seed=plan.seed, checksums=checksums, read=read) | found.found
    print(f"results: {runs.write_json(folder / 'results.json', content)}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
