"""All figures of a run: what its folder holds, and what it says when it is asked again."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable

from jaxmeta.report import asked, episodes, facts, probes, ran
from jaxmeta.report.facts import Work
from jaxmeta.report.figure import Figure
from jaxmeta.report.transfers import Drawn, collected


def run_figures(
    source: str | pathlib.Path | Work, *, domain: str | None = None, data_dir: str | None = None,
    num_tasks: int = probes.TASKS,
) -> Drawn:  # fmt: skip
    """All figures that a run allows.

    Args:
      source: its folder, or what `facts.read` says of it.
      domain: another domain to ask it about, or the path of its own; None: that of its results.
      data_dir: where data sets lie; JAXMETA_DATA is the default.
      num_tasks: how many tasks are scored anew for curves, calibration and pictures; 0: none, and nothing is computed.

    Raises:
      DataError: if the folder is none.
    """
    work = source if isinstance(source, Work) else facts.read(source)
    known = collected(ran.makers(work, ran.check_metric(work)))
    if num_tasks < 2:
        told = "Adaptation curves, calibration, confusion and pictures of episodes: no task was scored anew."
        return Drawn(known.figures, [*known.missing, told])
    probe = probes.opened(work, domain=domain, data_dir=data_dir, num_tasks=num_tasks)
    if isinstance(probe, str):
        told = f"Adaptation curves, calibration, confusion and pictures of episodes: {probe}."
        return Drawn(known.figures, [*known.missing, told])
    anew = collected(map(_careful, [*episodes.makers(probe), *asked.makers(probe)]))
    return Drawn(known.figures + anew.figures, known.missing + anew.missing)


def _careful(make: Callable[[], Figure | list[Figure] | str]) -> Callable[[], Figure | list[Figure] | str]:
    """A maker that tells why there is no figure, where data or memory do not suffice."""

    def made() -> Figure | list[Figure] | str:
        try:
            return make()
        except probes.FAILURES as error:
            name = make.func.__name__ if isinstance(make, functools.partial) else "a figure"
            return f"{name.replace('_', ' ').capitalize()}: {probes.reason(error)}"

    return made
