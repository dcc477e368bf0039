"""Who wins where, by how much, how sure, and against what floor: what the rows of runs and transfers say."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxmeta import statistics
from jaxmeta.recipes.scoring import ORACLE, metric_sign
from jaxmeta.report.facts import Work
from jaxmeta.statistics.comparisons import signed_rank
from jaxmeta.transfer.summary import Row, scored

LEVEL = 0.05
"""Of a p-value: what is more probable by chance is called a tie."""
_RESAMPLES = 2_000  # a report compares a hundred cells in seconds


@dataclasses.dataclass(frozen=True)
class Part:
    """Rows that belong in one table: of a transfer, or of runs that met the same tasks.

    Attributes:
      name: what it is called.
      works: whose rows these are.
      rows: in the form of a transfer's; no two of a source, domain and shots have the same method.
    """

    name: str
    works: tuple[Work, ...]
    rows: tuple[Row, ...]


@dataclasses.dataclass(frozen=True)
class Difference:
    """How a first method compares with a second on the same tasks; positive where the first is better.

    Attributes:
      first: the method.
      second: the other.
      mean: of the differences of scores, better minus worse.
      low: of its 95% bootstrap interval.
      high: likewise.
      p_value: Wilcoxon's, adjusted by Holm for all pairs of its kind in the part.
    """

    first: str
    second: str
    mean: float
    low: float
    high: float
    p_value: float

    @property
    def certain(self) -> int:
        """1 if the first is better for certain, -1 if the second is, 0 if nobody knows."""
        return 0 if self.p_value > LEVEL else 1 if self.mean > 0 else -1


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What one cell says: a source, a domain and a number of shots.

    Attributes:
      winner: the row with the best score that is no floor.
      lead: the winner against the best of the other family (of a learner the best baseline), or against the second
        best where there is one family alone; None without another.
      versus: the family of that other, empty without one.
      floor: the best of the floors; None if there is none.
      gain: the winner against that floor.
      tied: other methods, floors left out, that may be as good: the scores do not tell them apart.
    """

    source: str
    domain: str
    shots: int
    winner: Row
    lead: Difference | None
    versus: str
    floor: Row | None
    gain: Difference | None
    tied: tuple[str, ...]

    @property
    def metric(self) -> str:
        return self.winner["metric"]


def parts(works: Sequence[Work]) -> list[Part]:
    """Each transfer by itself, and runs by the tasks that they met."""
    given = [Part(work.name, (work,), work.rows) for work in works if work.kind == "transfer"]
    met: dict[Any, list[tuple[Work, list[Row]]]] = {}
    for work in works:
        if work.kind == "run":
            for tasks, rows in _met(work).items():
                met.setdefault(tasks, []).append((work, rows))
    shown = [_together(meeting) for meeting in met.values()]
    return [*shown, *given]


def _met(work: Work) -> dict[Any, list[Row]]:
    """A run's rows by the tasks they are scores on: equal scores of what nobody trains tell that tasks are equal."""
    groups: dict[Any, list[Row]] = {}
    for row in work.rows:
        names = ("domain", "split", "ways", "shots", "queries", "num_tasks", "metric")
        groups.setdefault(tuple(row.get(name) for name in names), []).append(row)
    found = {}
    for about, rows in groups.items():
        raw = [tuple(scored(row)["per_task"]) for row in rows if _is_raw(row) and scored(row)]
        found[(*about, tuple(raw) or work.path)] = rows
    return found


def _is_raw(row: Row) -> bool:
    """Whether it hangs on nothing but the tasks: neither on a network nor on its training."""
    return row["family"] == "floor" and not row["method"].endswith((", untrained", " steps"))


def _is_floor(row: Row) -> bool:
    """Whether it is to be beaten, which nobody does with the best possible answer."""
    return row["family"] == "floor" and row["method"] != ORACLE


def _together(meeting: Sequence[tuple[Work, list[Row]]]) -> Part:
    """The rows of runs that met the same tasks, with names of methods that tell the runs apart."""
    works = tuple(work for work, _ in meeting)
    sources = list(dict.fromkeys(row["source"] for _, rows in meeting for row in rows))
    methods = [row["method"] for _, rows in meeting for row in rows if not _is_raw(row)]
    made: dict[str, Row] = {}
    for work, rows in meeting:
        for row in rows:
            method = row["method"]
            if methods.count(method) > 1:
                method = f"{method} ({work.name})"
            elif len(sources) > 1 and not _is_raw(row):
                method = f"{method} from {row['source']}"
            made.setdefault(method, row | {"method": method, "source": " and ".join(sources)})
    domain = meeting[0][1][0]["domain"]
    name = works[0].name if len(works) == 1 else f"{', '.join(work.name for work in works)} on {domain}"
    return Part(name, works, tuple(made.values()))


def worth(row: Row) -> float:
    """A score of which more is better."""
    return metric_sign(row["metric"]) * scored(row)["mean"]


def cells(rows: Iterable[Row], *names: str) -> list[tuple[tuple, list[Row]]]:
    """Groups rows by the values of some fields, in the order in which they first come."""
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return list(groups.items())


def verdicts(part: Part) -> list[Verdict]:
    """What each cell of a part says, as far as it has scores."""
    scores = [row for row in part.rows if scored(row)]
    groups = [
        (about, cell)
        for about, cell in cells(scores, "source", "domain", "shots")
        if any(row["family"] != "floor" for row in cell)
    ]
    rivals, floors = _Pairs(), _Pairs()
    for about, cell in groups:
        for family in (("learner", "baseline"), ("learner", "learner"), ("baseline", "baseline")):
            # The second best counts where there is but one family.
            if family[0] != family[1] or len({row["family"] for row in cell} - {"floor"}) == 1:
                rivals.all_of(about, *([row for row in cell if row["family"] == each] for each in family))
        floors.all_of(about, [row for row in cell if row["family"] != "floor"], [row for row in cell if _is_floor(row)])
    rivals.adjust()
    floors.adjust()
    return [_verdict(about, cell, rivals, floors) for about, cell in groups]


class _Pairs:
    """The p-values of many pairs, adjusted for their number: who is best is chosen by the scores that are compared."""

    def __init__(self):
        self.known: dict[tuple, float] = {}

    def all_of(self, about: tuple, firsts: Sequence[Row], seconds: Sequence[Row]) -> None:
        for first, second in itertools.product(firsts, seconds):
            key = (about, frozenset((first["method"], second["method"])))
            if first is not second and key not in self.known and _alike(first, second):
                self.known[key] = signed_rank(scored(first)["per_task"], scored(second)["per_task"])

    def adjust(self) -> None:
        if self.known:
            adjusted = statistics.holm(list(self.known.values()))
            self.known = dict(zip(self.known, map(float, adjusted), strict=True))

    def difference(self, about: tuple, first: Row, second: Row | None) -> Difference | None:
        key = (about, frozenset((first["method"], second["method"] if second else "")))
        if second is None or key not in self.known:
            return None
        scores = [metric_sign(row["metric"]) * np.array(scored(row)["per_task"]) for row in (first, second)]
        interval = statistics.bootstrap_interval(scores[0] - scores[1], num_resamples=_RESAMPLES)
        return Difference(first["method"], second["method"], *interval, self.known[key])


def _alike(first: Row, second: Row) -> bool:
    """Whether two scores can be compared task by task."""
    return first["metric"] == second["metric"] and first["num_tasks"] == second["num_tasks"]


def _verdict(about: tuple, cell: Sequence[Row], rivals: _Pairs, floors: _Pairs) -> Verdict:
    own = sorted((row for row in cell if row["family"] != "floor"), key=worth, reverse=True)
    winner, rest = own[0], own[1:]
    others = [row for row in rest if row["family"] != winner["family"]] or rest
    floor = max((row for row in cell if _is_floor(row)), key=worth, default=None)
    marked = marks(cell, "joint" if winner["metric"] == "return" else "single")
    tied = tuple(row["method"] for row in rest if row["method"] in marked)
    lead = rivals.difference(about, winner, others[0] if others else None)
    versus = others[0]["family"] if lead else ""
    source, domain, shots = about
    gain = floors.difference(about, winner, floor)
    return Verdict(source, domain, shots, winner, lead, versus, floor, gain, tied)


def marks(cell: Sequence[Row], column: str) -> Mapping[str, str]:
    """Which methods of a cell are "best", and which "tied" with it: by chance as good, p over 0.05 after Holm.

    Args:
      cell: rows of a source, domain and number of shots.
      column: "joint" or "single".

    Returns:
      {method: its mark}, without those that have none, and without the best possible answer.
    """
    own = [row for row in cell if row.get(column) and row["method"] != ORACLE]
    if not own:
        return {}
    best = max(own, key=lambda row: metric_sign(row["metric"]) * row[column]["mean"])
    others = [row for row in own if row is not best and _alike(row, best)]
    if not others:
        return {best["method"]: "best"}
    p_values = _against(tuple(best[column]["per_task"]), tuple(tuple(row[column]["per_task"]) for row in others))
    tied = {row["method"]: "tied" for row, value in zip(others, p_values, strict=True) if value > LEVEL}
    return {best["method"]: "best"} | tied


@functools.lru_cache(maxsize=4096)
def _against(best: tuple[float, ...], others: tuple[tuple[float, ...], ...]) -> list[float]:
    """Adjusted p-values of each against the best; both columns of a table are often the same."""
    return statistics.holm([signed_rank(best, each) for each in others]).tolist()
