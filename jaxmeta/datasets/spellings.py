"""What a cell of text says: nothing, a number or almost one, an interval, a measure; how a class is written."""

from __future__ import annotations

import collections
import contextlib
import decimal
import itertools
import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn

MISSING = frozenset({
    "", "nil", "n.d.", "n/d", "na", "n/a", "n.a.", "n.a", "#n/a", "#na", "#n/a n/a", "<na>", "nan", "-nan", "nat",
    "null", "none", "(null)", "[null]", "<null>", "\\n", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", "#div/0!",
    "#value!", "#ref!", "#name?", "#num!", "#null!", "undefined", "missing", "not available", "(blank)", "?", ".",
    "..", "...", "-", "--", "---", "\N{EN DASH}", "\N{EM DASH}",
})  # fmt: skip
"""How pandas, R, Excel, SQL and Weka write a cell without a value, in lower case."""
_MINUS = frozenset({"-", "--", "---", "\N{EN DASH}", "\N{EM DASH}"})
_PLUS = re.compile(r"\++(/-)?|±")
MAY_BE_LEVELS = frozenset({"nil", "null", "none", "undefined"}) | _MINUS
"""Of what counts as missing that which people write of something, too: who drinks none has told."""

_SIGN, _MONEY = "[+\\-−–]", "[$€£¥₹]"
# What people take for a number, an amount, a list or a date and Python does not.
_ALMOST = re.compile(
    rf"[<>~≈≤≥='(]{{0,2}}\s*{_MONEY}?\s*{_SIGN}?[\d¼½¾][\d.,'’_¼½¾\s]*({_MONEY}|[%°)+\-−])?(\s*±[\d.,\s]+)?"  # $5, 5±1
    r"|\d{1,4}[-/.:]\d{1,2}([-/.:]\d{1,4})?([T ].*)?"  # 2020-01-31, 12:30
    r"|(\d{1,2}[-. ]*)?(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[-.,' ]*"
    r"(\d{1,2}(st|nd|rd|th)?[, ]+)?\d{2,4}"  # Jan 31, 2020
    r"|(\d+\s*[a-z]+\.?\s+)+\d+\s*[a-z]+"  # 1 h 30 min
    r"|\d[\d.,]*\s*[x×*]\s*10[\^*]*[+-]?\d*|\d[\d.]*d[+-]?\d+"  # 5x10^3, Fortran's 5D3
    r"|[\[{(].*\d.*[\])}]|[+-]?[\d.]+[+-][\d.]+[ij]",  # [1, 2], 1+2j
    re.IGNORECASE,
)
_MEASURE = re.compile(rf"([A-Z]{{3}}\s)?{_SIGN}?\d[\d.,\s]*(?P<unit>\D*)")
_NUMBER = r"-?(?:\d+(?:\.\d+)?|inf)"
_RANGE = re.compile(
    rf"(?P<low>{_NUMBER})\s*(?:-|–|\.\.|to)\s*(?P<high>{_NUMBER})|"  # 20-29
    rf"(?:\((?P<above>{_NUMBER}),\s*(?P<most>{_NUMBER})\]|\[(?P<least>{_NUMBER}),\s*(?P<below>{_NUMBER})\))",  # (0, 10]
    re.IGNORECASE,  # [100, Inf)
)
_OPEN = re.compile(rf"(?P<sign>[<>]=?|[≤≥])\s*(?P<limit>{_NUMBER})|(?P<least>{_NUMBER})\s*\+")  # <20, 60+
_GRADE, _MOST_GRADES = re.compile(r"\d{1,2}(?P<part>[a-eA-E]?)"), 12
_UNITS = frozenset((
    "%", "c", "f", "°c", "°f", "k", "m", "b", "bn", "mn", "usd", "eur", "gbp", "g", "kg", "mg", "µg", "t", "lb", "lbs",
    "oz", "mm", "cm", "km", "in", "ft", "mi", "l", "ml", "dl", "ms", "s", "sec", "min", "h", "hr", "hrs", "d", "day",
    "days", "w", "week", "weeks", "mo", "month", "months", "y", "yr", "yrs", "year", "years",
))  # fmt: skip
_LONGEST = 64  # characters of what may be a number

_UNSEEN = "\u200b\u200e\u200f\u2060\ufeff"
"""Characters without width, which are left of copying and of files that were put together."""


def is_missing(cell: str) -> bool:
    return cell.lower() in MISSING


def missing_in(cells: Sequence[str]) -> frozenset[str]:
    """What counts as missing in a column, in lower case: no minus beside a plus, as in findings."""
    return MISSING - _MINUS if any(map(_PLUS.fullmatch, cells)) else MISSING


def is_number(cell: str) -> bool:
    if "_" in cell:  # which Python takes for a separator of thousands, and people for a slip
        return False
    try:
        return not math.isnan(float(cell))
    except ValueError:
        return False


def is_almost_number(cell: str) -> bool:
    """Whether a person would take for a number, an amount or a date what is none to `float`."""
    return len(cell) <= _LONGEST and _ALMOST.fullmatch(cell) is not None and not is_number(cell)


def are_ranges(cells: Sequence[str]) -> bool:
    """Whether texts are intervals, such as 20-29, (0, 10] and 60+, or the two parts of all numbers, <=60 and >60.

    Of two ends the lower one is first. Other open intervals alone may be values beyond what was measured, <5 and >7.
    """
    found = {cell: _RANGE.fullmatch(cell[: _LONGEST + 1]) for cell in cells}
    ends = [[float(end) for end in each.groups() if end] for each in found.values() if each]
    rest = [_open(cell) for cell, each in found.items() if not each]
    if None in rest or not all(low <= high for low, high in ends):
        return False
    return bool(ends) or (len(rest) == 2 and _are_parts(*sorted(each for each in rest if each)))


class _Open(NamedTuple):
    """An interval with one end."""

    is_above: bool
    limit: float
    has_limit: bool
    """Whether the limit is in it."""


def _open(cell: str) -> _Open | None:
    found = _OPEN.fullmatch(cell[: _LONGEST + 1])
    if not found:
        return None
    if found["least"]:
        return _Open(True, float(found["least"]), True)
    return _Open(found["sign"][0] in ">≥", float(found["limit"]), found["sign"] not in ("<", ">"))


def _are_parts(below: _Open, above: _Open) -> bool:
    """Whether two open intervals are of all numbers, or of all whole ones: <=60 and >60, <60 and 60+, <=59 and 60+."""
    if below.is_above or not above.is_above:
        return False
    gap = above.limit - below.limit
    return gap == 0 or (gap == 1 and below.has_limit and above.has_limit)


def are_counts(cells: Sequence[str]) -> bool:
    """Whether texts are whole numbers, some put together and none left out: 0, 1, 2, 3+ or 0, 1-19, 20+."""
    pieces = []
    for cell in dict.fromkeys(cells):
        if cell.isdecimal():
            pieces.append((float(cell), float(cell)))
        elif (found := _RANGE.fullmatch(cell[: _LONGEST + 1])) and found["low"]:
            pieces.append((float(found["low"]), float(found["high"])))
        elif (own := _open(cell)) and own.is_above:
            pieces.append((own.limit + (not own.has_limit), math.inf))
        else:
            return False
    pieces.sort()
    follow = all(after[0] == before[1] + 1 for before, after in itertools.pairwise(pieces))
    return len(pieces) > 1 and follow and all(low <= high for low, high in pieces)


def are_grades(cells: Sequence[str]) -> bool:
    """Whether texts are grades of one scale, some in parts, such as stages 1, 2a, 2b, 3; a slip would stand once."""
    counts = collections.Counter(cells)
    found = [_GRADE.fullmatch(cell) for cell in counts]
    parts = {each["part"].lower() for each in found if each and each["part"]}
    return None not in found and "a" in parts and min(counts.values()) > 1 and len(counts) <= _MOST_GRADES


def are_measures(cells: Sequence[str]) -> bool:
    """Whether texts are several numbers of one unit, such as 5 cm, or of units that are known."""
    found = [_MEASURE.fullmatch(cell[: _LONGEST + 1]) for cell in dict.fromkeys(cells)]
    units = {each["unit"].strip().lower() for each in found if each}
    return len(found) > 2 and None not in found and (len(units) == 1 or units <= _UNITS)


def stripped(cell: str) -> str:
    """Without blanks and characters without width at its ends."""
    before = None
    while before != cell:
        before, cell = cell, cell.strip().strip(_UNSEEN)
    return cell


def unquoted(cell: str) -> str:
    """Without the quotes that are left around a cell, such as Weka's single ones, or Excel's of ="text"."""
    if len(cell) > 3 and cell.startswith('="') and cell.endswith('"'):
        return cell[2:-1].strip()
    quoted = len(cell) > 1 and cell[0] == cell[-1] and cell[0] in "'\""
    return cell[1:-1].strip() if quoted else cell


def spelled(cells: Sequence[str], fail: Callable[[int, str], NoReturn]) -> list[str]:
    """Classes in one spelling each; `fail` is told the row of one that has two, or that is several classes.

    Whole numbers that are equal are one class; two names that differ in zeros, signs, case, blanks, quotes or unseen
    characters alone may be, and are refused.
    """
    spellings = {cell: _spelling(cell) for cell in dict.fromkeys(cells)}
    first: dict[object, str] = {}
    for cell, spelling in spellings.items():
        if (other := first.setdefault(alike(spelling), spelling)) != spelling:
            fail(cells.index(cell), f"{spelling!r} beside {other!r}")
        several = [part.strip() for part in re.split(r"[|;,+&]", spelling)]
        if len(several) > 1 and {*several} <= spellings.keys():
            fail(cells.index(cell), f"{spelling!r}, which are {len(several)} classes")
    return [spellings[cell] for cell in cells]


def alike(spelling: str) -> object:
    """What is the same for spellings that people may take for one."""
    with contextlib.suppress(decimal.InvalidOperation):
        if "_" not in spelling and (number := decimal.Decimal(spelling)).is_finite():
            return number
    text = "".join(each for each in unicodedata.normalize("NFKC", spelling) if unicodedata.category(each) != "Cf")
    return " ".join(text.casefold().strip("'\"‘’“”").split()) or spelling


def _spelling(cell: str) -> str:
    """A whole number without its decimal point."""
    if is_number(cell) and re.fullmatch(r"[+-]?\d+\.0*", cell):
        return cell.partition(".")[0].lstrip("+")
    return cell
