"""Columns that are read as they stand and may be meant otherwise: codes for nothing."""

from __future__ import annotations

from collections.abc import Sequence

from jaxmeta.datasets import spellings

CODES = frozenset((-9, -99, -999, -9999, 99, 999, 9999))
"""Numbers that people write where they have none."""
LEAST = 5  # other numbers, of which it is told how far a code is from them


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
