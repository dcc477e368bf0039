"""`jaxmeta report RUN_OR_TRANSFER...`: what runs and transfers say, as a page."""

from __future__ import annotations

import functools
import os
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from jaxmeta import checks, report, runs
from jaxmeta.cli import config, signals
from jaxmeta.report import facts, writing
from jaxmeta.runs import folder

GRACE = 60.0
"""Seconds that a last report may take once a signal came; a second one ends it at once."""


def run(options: config.Report) -> int:
    if not options.folders:
        checks.fail("report", "folders of `jaxmeta train` or `jaxmeta transfer`", "none")
    checks.integer("`every`", options.every, 1)
    output = pathlib.Path(options.out or _default(options.folders))
    asked_for: dict[writing.Form, bool] = {"html": True, "markdown": options.markdown, "latex": options.latex}
    forms: list[writing.Form] = [form for form, wanted in asked_for.items() if wanted]
    checks.integer("`num_tasks`", options.num_tasks, 0)
    _check_free(output, forms, is_forced=options.force)
    asked = {"num_tasks": options.num_tasks, "domain": options.domain, "data_dir": options.data_dir}
    write = functools.partial(report.write, options.folders, output, forms=forms)
    page = _watched(options, write, asked) if options.watch else write(**asked)
    print(f"results: {page}")
    return 0


def _default(given: Sequence[str]) -> str:
    first, *others = given
    if others:
        return os.path.join("runs", folder.REPORT)
    facts.read(first)  # nothing is written into what is no run
    return os.path.join(first, folder.REPORT)


def _check_free(output: pathlib.Path, forms: Sequence[writing.Form], *, is_forced: bool) -> None:
    """Raises ValueError if a report would be written over anything, such as a README.md beside README.html."""
    page, figures = writing.places(output)
    for path in (output, figures):
        runs.check_plain(path)
    if page.parent == output:
        if not is_forced:
            runs.check_empty(output, config.FREE)
        return
    if output.suffix != ".html":
        checks.fail("`out`", "a folder, or a file NAME.html", output)
    for path in (*(page.with_suffix(f".{writing.ENDINGS[form]}") for form in forms), figures):
        if path.exists() and not is_forced:
            checks.fail(str(path), "a new file", "one that exists", config.FREE)


def _watched(options: config.Report, write: Callable[..., pathlib.Path], asked: dict[str, Any]) -> pathlib.Path:
    """Writes the report again and again, for the last time once nothing goes on any more."""
    with signals.watched("the report is as it was written last") as stop:
        stop.grace = GRACE
        while any(facts.is_going_on(path) for path in options.folders) and not stop():
            page = write(**asked | {"num_tasks": 0}, refresh=options.every)
            print(f"{time.strftime('%H:%M:%S')} {page}", file=sys.stderr, flush=True)
            end = time.monotonic() + options.every
            while time.monotonic() < end and not stop():
                time.sleep(0.2)
        page = write(**asked | ({"num_tasks": 0} if stop() else {}))
        if stop():
            raise signals.Interrupted(f"interrupted; the report is {page}", 128 + stop())
        return page
