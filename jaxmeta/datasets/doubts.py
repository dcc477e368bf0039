"""Columns that are read as they stand and may be meant otherwise: codes for nothing, what gives the class away, and
another unit."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Sequence

import numpy as np

from jaxmeta import floats
from jaxmeta.datasets import spellings
from jaxmeta.datasets.examples import Column
from jaxmeta.datasets.sheets import Sheet

CODES = frozenset((-9, -99, -999, -9999, 99, 999, 9999))
"""Numbers that people write where they have none."""
SHOWN = 3  # columns of which it is said that they are far from the labelled rows
LEAST = 5  # other numbers, of which it is told how far a code is from them
ENOUGH = 10  # rows: in fewer a column may fit the classes, or rise, by chance


def codes(cells: Sequence[str]) -> list[tuple[float, int]]:
    """The numbers in a column that may say that nothing is there, and how often each does.

    Such a one is the least or the largest, and farther from the next than all others span.
    """
    numbers = sorted(float(cell) for cell in cells if spellings.is_number(cell))
    found = []
    while ends := [(end, rest) for end in {*numbers[:1], *numbers[-1:]} & CODES if (rest := _without(numbers, end))]:
        far = [(end, rest) for end, rest in ends if _is_far(end, rest)]
        if not far:
            break
        end, rest = far[0]
        found.append((end, len(numbers) - len(rest)))
        numbers = rest
    return sorted(found)


def _without(numbers: Sequence[float], one: float) -> list[float]:
    return [number for number in numbers if number != one]


def _is_far(end: float, rest: Sequence[float]) -> bool:
    """Whether a number is farther from sorted others than these from one another; a constant tells nothing."""
    span = rest[-1] - rest[0]
    return len(rest) >= LEAST and 0 < span < (end - rest[-1] if end > rest[-1] else rest[0] - end)


def coded(what: str, cells: Sequence[str], hint: str = "leave cells empty that are missing") -> list[str]:
    """What is said of codes in a column."""
    return [
        f"{what}: {count} {'cells are' if count > 1 else 'cell is'} {code:g}, far from all others; {hint}"
        for code, count in codes(cells)
    ]


def telling(sheet: Sheet, column: int, target: int) -> str:
    """What is said of a column that gives the class away: by a value for each, or by the order of the rows."""
    name, own, classes = sheet.name(column), sheet.cells(column), sheet.cells(target)
    if len(own) < ENOUGH or min(collections.Counter(classes).values()) < 2:
        return ""
    values = [_value(cell) for cell in own]
    pairs = {*zip(values, classes, strict=True)}
    if len(pairs) == len({*values}) == len({*classes}) > 1:
        hint = "leave it out with `columns` if it is not known before"
        return f"column {name!r} says the class: each has one value of its own; {hint}"
    if len(list(itertools.groupby(classes))) == len({*classes}) > 1 and (way := _way(own)):
        hint = "leave it out with `columns` if it says no more than their order"
        return f"column {name!r} {way} with the rows, which are sorted by class; {hint}"
    return ""


def _value(cell: str) -> float | str:
    if spellings.is_number(cell):
        return float(cell)
    return "" if spellings.is_missing(cell) else cell


def _way(cells: Sequence[str]) -> str:
    """Whether numbers rise or fall from each row to the next."""
    if not all(map(spellings.is_number, cells)):
        return ""
    steps = [after - before for before, after in itertools.pairwise(map(float, cells))]
    return "rises" if min(steps) > 0 else "falls" if max(steps) < 0 else ""


def far(
    columns: Sequence[Column], support: np.ndarray, others: np.ndarray, whose: str = "the labelled rows'"
) -> list[str]:
    """What is to be said of columns of numbers [m, d] that leave the range of the support set's [n, d] far behind.

    Far is more than that range once again, beyond either end: such is an age in months, or a code for what is missing.
    """
    found = []
    for index, column in enumerate(columns or map(Column, map(str, range(1, support.shape[1] + 1)))):
        there, here = (cells[np.isfinite(cells)] for cells in (support[:, index], others[:, index]))
        if column.categories or not there.size or not here.size or there.min() == there.max():
            continue
        low, high = float(there.min()), float(there.max())
        if count := int(((here > 2 * high - low) | (here < 2 * low - high)).sum()):
            own, known = (
                " to ".join(floats.ends(*each)) for each in ((float(here.min()), float(here.max())), (low, high))
            )
            said = f"column {column.name!r}: {count} of {len(here)} cells, {own}, are far from {whose} {known}"
            found.append((-count, said))
    told = [text for _, text in sorted(found)[:SHOWN]]
    return [*told, f"so are some of {len(found) - SHOWN} other columns"] if len(found) > SHOWN else told
