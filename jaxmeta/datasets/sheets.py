"""Separated text as rows of cells: what is certain is read, what is not is refused with what to do."""

from __future__ import annotations

import csv
import io
import itertools
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, NoReturn

from jaxmeta import checks
from jaxmeta.datasets import decimals, files, spellings, splits
from jaxmeta.datasets.examples import composed

CERTAIN_TARGETS = ("label", "labels", "target", "targets")
TARGETS = (*CERTAIN_TARGETS, "class", "y")
OUTCOMES = ("outcome", "response", "class_label", "class_name")
ALSO_TARGETS = (*OUTCOMES, "diagnosis", "species", "category")

IDENTIFIERS = frozenset({"id", "ids", "idx", "index", "row", "rows", "rownames", "row.names", "rowname", "row_id", "#",
                         "rowid", "row number", "row_number", "no.", "nr", "nr.", "uid", "uuid"})  # fmt: skip
SUFFIXES = (".csv", ".tsv")
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
SEEN_ROWS = 200  # of which the separator is told

FEW = 4  # rows: of fewer nothing is told of a column

Rows = list[tuple[int, list[str]]]
"""(line number in the file, cells)"""


class Split(NamedTuple):
    """A file's rows, those that are blank left out."""

    separator: str
    rows: Rows
    places: list[int]
    """Of the rows, blank ones counted: whoever lays answers beside the file counts them, too."""


class Sheet(NamedTuple):
    """The cells of a file, stripped; those that are numbers have a decimal point."""

    path: pathlib.Path
    header: list[str] | None
    rows: Rows
    places: tuple[int, ...]
    """Of the rows below the header, blank ones counted."""
    notes: tuple[str, ...]
    """What was found that the reader of a table would want to know."""

    @property
    def width(self) -> int:
        return len(self.rows[0][1])

    def cells(self, column: int) -> list[str]:
        return [cells[column] for _, cells in self.rows]

    def name(self, column: int) -> str:
        return self.header[column] if self.header else str(column + 1)

    def fail(self, row: int, column: int, expected: str, got: object, hint: str = "") -> NoReturn:
        """Raises DataError about a cell; `row` counts from 0 below the header."""
        what = f"{self.path}, row {self.rows[row][0]}, column {column + 1}"
        what += f" ({checks.shown(self.header[column])})" if self.header else ""
        checks.fail(what, expected, got, hint, checks.DataError)


def is_table(path: files.PathLike) -> bool:
    """Whether a path is one of a file of separated text, by its suffix."""
    return pathlib.Path(path).suffix.lower() in SUFFIXES


def read(path: pathlib.Path, target_column: str | None = None) -> Sheet:
    """Reads a file of separated text.

    UTF-8, or UTF-16 with a byte order mark. The separator is the one of comma, semicolon, tab and bar that gives all
    rows as many cells. The first row is a header if it says so: by the name of a target, or by texts above numbers.

    Raises:
      DataError: if rows differ in length, or separator, header or decimal commas cannot be told for certain.
    """
    separator, rows, found = split_rows(path)
    header = rows.pop(0)[1] if rows and _is_header(path, rows, target_column) else None
    places = below(found, has_header=header is not None)
    if not rows:
        checks.fail(str(path), "at least one row of numbers", "none", error=checks.DataError)
    width = len(header or rows[0][1])
    for number, cells in rows:
        if len(cells) != width:
            checks.fail(f"{path}, row {number}", f"{width} columns", len(cells), error=checks.DataError)
        if any("\n" in cell and separator in cell for cell in cells):
            hint = "end every quote in its own cell"
            checks.fail(f"{path}, row {number}", "one row", "several in one pair of quotes", hint, checks.DataError)
    _check_header(path, header, rows, target_column)
    notes = () if separator == "," else (f"separated by {SEPARATORS[separator]}",)
    notes += passed_over(places)
    return decimals.with_points(Sheet(path, header, rows, places, notes))


def below(places: Sequence[int], *, has_header: bool) -> tuple[int, ...]:
    """The places of rows below the header, which has one, too."""
    return tuple(place - places[0] - 1 for place in places[1:]) if has_header else tuple(places)


def passed_over(places: Sequence[int]) -> tuple[str, ...]:
    """What is said of blank rows between those at these places."""
    count = places[-1] + 1 - len(places)
    return (f"{count} blank {'rows' if count > 1 else 'row'} passed over",) if count else ()


def split_rows(path: pathlib.Path) -> Split:
    """The rows of a file, of stripped cells."""
    separator, text = _separator(path, files.text(path))
    try:
        parsed = list(_parsed(path, text, separator))
    except checks.DataError:
        if separator != "\t":
            raise
        parsed = _plain(text)
    rows = [(number, [spellings.stripped(cell) for cell in row]) for number, row in parsed]
    places = [place for place, (_, row) in enumerate(rows) if any(row)]
    found = [(rows[place][0], [spellings.unquoted(cell) for cell in rows[place][1]]) for place in places]
    return Split(separator, found, places)


def _parsed(path: pathlib.Path, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    # Strict, since a quote that does not end, or ends in another row, would swallow the rows between.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    row = 1
    try:
        for cells in reader:
            yield reader.line_num, cells
            row = reader.line_num + 1
    except csv.Error as error:
        hint = "end every quote in its own cell, and double those inside" if '"' in text else ""
        checks.fail(f"{path}, row {row}", "comma-separated text", error, hint, checks.DataError)


def _separator(path: pathlib.Path, text: str) -> tuple[str, str]:
    """What separates the cells, and the text without a first line that says so, as Excel writes it."""
    first, _, rest = text.partition("\n")
    if (said := re.fullmatch(r"\"?sep=(.)\"?\r?", first)) and said[1] in SEPARATORS:
        return said[1], rest
    sample = {mark: _sample(path, text, mark) for mark in SEPARATORS if mark in text}
    fitting = [mark for mark, rows in sample.items() if rows and len({*map(len, rows)}) == 1 and len(rows[0]) > 1]
    if len(fitting) > 1:  # a mark that stands inside the cells of another, as a decimal comma does, is none
        fitting = [mark for mark in fitting if mark != ","] if _are_decimal(sample, fitting) else fitting
    if len(fitting) > 1:
        got = " and ".join(SEPARATORS[mark] for mark in fitting)
        hint = "put cells that hold another mark in quotes"
        checks.fail(str(path), "one separator", f"rows that {got} split alike", hint, checks.DataError)
    if fitting:
        return fitting[0], text
    return max(sample, key=lambda mark: len(sample[mark][0]) if sample[mark] else 0, default=","), text


def _sample(path: pathlib.Path, text: str, separator: str) -> list[list[str]]:
    try:
        rows = (cells for _, cells in _parsed(path, text, separator))
        return list(itertools.islice((row for row in rows if any(cell.strip() for cell in row)), SEEN_ROWS))
    except checks.DataError:
        return [row for _, row in _plain(text)[:SEEN_ROWS] if any(row)] if separator == "\t" else []


def _plain(text: str) -> Rows:
    """Rows between tabs, where quotes are text."""
    return [(number, line.split("\t")) for number, line in enumerate(text.split("\n"), 1)]


def _are_decimal(sample: dict[str, list[list[str]]], fitting: list[str]) -> bool:
    """Whether commas stand inside numbers alone where another mark separates."""
    others = [mark for mark in fitting if mark != ","]
    if "," not in fitting or len(others) > 1:
        return False
    cells = [cell.strip() for row in sample[others[0]] for cell in row if "," in cell]
    return bool(cells) and all(decimals.COMMA.fullmatch(cell) for cell in cells)


def _is_header(path: pathlib.Path, rows: Rows, target_column: str | None) -> bool:
    first, below = rows[0][1], [cells for _, cells in rows[1:]]
    columns = list(itertools.zip_longest(*below, fillvalue="")) or [()] * len(first)
    above = list(zip(first, columns, strict=False))
    # A class may be called y: a name does not come again below it.
    wanted = {*TARGETS, *ALSO_TARGETS} | ({target_column.lower()} if target_column else set())
    texts = [cell for cell in first if not spellings.is_number(cell) and not spellings.is_missing(cell)]
    over_numbers = any(
        cell in texts and _is_numeric(column) and any(map(spellings.is_number, column)) for cell, column in above
    )
    if any(cell.lower() in wanted and not spellings.is_number(cell) and cell not in column for cell, column in above):
        # Values may be called as their column is, treatment and placebo: what stands above numbers is a name.
        again = next((cell for cell, column in above if cell in texts and cell in column), None)
        known = again is None or (over_numbers and len(texts) == len(first))
        return known or _uncertain(path, rows[0], f"{again!r}, which comes again below")
    if not texts:
        return _counts_columns(path, rows[0])
    if any(spellings.is_number(cell) for cell in first):
        return _uncertain(path, rows[0], "names and numbers") if over_numbers and below else False
    return over_numbers or not any(cell in column for cell, column in above)


def _check_header(path: pathlib.Path, header: list[str] | None, rows: Rows, target_column: str | None) -> None:
    """Raises if a header comes again, as where files were put together, or comes late, below a title or a comment."""
    wanted = {*TARGETS, *ALSO_TARGETS} | ({target_column.lower()} if target_column else set())
    (number, first), below = rows[0], [cells for _, cells in rows[1:]]
    names = [
        cell for index, cell in enumerate(first) if cell.lower() in wanted and cell not in (row[index] for row in below)
    ]
    if header is None:
        told = not wanted.difference("y").isdisjoint(map(str.lower, first))
        again = [number for number, cells in rows[1:] if told and cells == first]
    elif names and wanted.isdisjoint(map(str.lower, header)) and not any(map(spellings.is_number, first)):
        again = [number]
    else:
        again = [number for number, cells in rows if cells == header]
    if again:
        got, hint = "what reads as a header", "keep one header, in the first row"
        checks.fail(f"{path}, row {again[0]}", "data below the header", got, hint, checks.DataError)


def _counts_columns(path: pathlib.Path, row: tuple[int, list[str]]) -> bool:
    """Whether numbers are the names 0, 1, 2 .. that pandas gives to columns without one."""
    counts = [cell for cell in row[1] if cell]
    if len(counts) < 3 or counts not in ([str(number + first) for number in range(len(counts))] for first in (0, 1)):
        return False
    return not row[1][0] or _uncertain(path, row, "numbers that count the columns")


def _uncertain(path: pathlib.Path, row: tuple[int, list[str]], got: str) -> NoReturn:
    wanted = "a header of names, or a row of data"
    checks.fail(f"{path}, row {row[0]}", wanted, got, "give every column a name, or remove the row", checks.DataError)


def index_columns(sheet: Sheet, target: int | None) -> dict[int, str]:
    """The columns that number or name the rows, or are empty, and say nothing of them: {column: why}.

    Raises:
      DataError: if a column without a name is no such.
    """
    found: dict[int, str] = {}
    others = [column for column in range(sheet.width) if column != target]
    for column in others:
        name, cells = sheet.name(column), sheet.cells(column)
        if all(map(spellings.is_missing, cells)):
            found[column] = "is empty"
            continue
        distinct = len(set(cells)) == len(cells)
        if sheet.header and (not name or re.fullmatch(r"unnamed: \d+(_level_\d+|\.\d+)?", name.lower())):
            if not distinct or not all(cell.isdecimal() or not spellings.is_number(cell) for cell in cells):
                sheet.fail(0, column, "a name for every column", f"{name!r} in the header", "name it, or remove it")
            found[column] = "numbers the rows"
        elif sheet.header and (name.lower() in IDENTIFIERS or re.search(r"[a-z](_id|ID|Id)$|\bid$", name)):
            found[column] = "names the rows" if distinct else _names(cells)
        elif len(cells) >= 10 and _counts(cells):
            found[column] = "counts the rows"
    # What is left of a table must be something: the only feature is one, even if it counts.
    if len(found) < len(others):
        return found
    return {column: why for column, why in found.items() if all(map(spellings.is_missing, sheet.cells(column)))}


def _names(cells: Sequence[str]) -> str:
    """What a column names whose names come again, such as patients in a table of visits."""
    count = len(set(cells))
    things = f"{count} thing{'s' if count > 1 else ''}"
    return f"names {things} in {len(cells)} rows: rows of one may be shown and asked about"


def _counts(cells: Sequence[str]) -> bool:
    if not all(cell.isascii() and cell.isdecimal() and len(cell) < 16 for cell in cells):
        return False
    numbers = sorted(map(int, cells))  # a table that was shuffled after it was numbered is no other
    return numbers[0] in (0, 1) and numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def target(sheet: Sheet, target_column: str | None, *, is_class: bool, required: bool = True) -> int | None:
    """Returns the column that is asked for, else the one that the header calls the target, else the last if it can be.

    Args:
      sheet: the cells.
      target_column: a name of the header, or a number from 1.
      is_class: whether the target is a class; else a value.
      required: whether one must be found; else None where it is not.

    Raises:
      DataError: if there is none or more than one, or it cannot be told for certain which it is.
    """
    header = sheet.header or []
    if target_column is not None:
        found = [column for column, name in enumerate(header) if name == composed(target_column)]
        if not found and target_column in map(str, range(1, sheet.width + 1)):
            return int(target_column) - 1
        if not found and required:
            got = f"the columns {', '.join(header)}" if header else f"{sheet.width} columns without a header"
            hint = "give a name of the header, or a number from 1"
            checks.fail(str(sheet.path), f"a target column {target_column!r}", got, hint, checks.DataError)
    else:
        called = [[column for column, name in enumerate(header) if name.lower() in wanted]
                  for wanted in (CERTAIN_TARGETS, OUTCOMES, TARGETS, ALSO_TARGETS)]  # fmt: skip
        # A feature may be called class or diagnosis, too, where the last column is the outcome.
        certain, outcomes = called[0], [column for column in called[1] if column == sheet.width - 1]
        found = next(filter(None, ([] if certain else outcomes, *called[2:])), [])
    if len(found) > 1:
        got = " and ".join(header[column] for column in found)
        checks.fail(str(sheet.path), "one target column", got, "name it with `target_column`", checks.DataError)
    if found or not required:
        return found[0] if found else None
    last = sheet.width - 1
    if not (_could_be_class(sheet, last) if is_class else sheet.header is None):
        kinds = "classes" if is_class else "the values to predict"
        got = f"{sheet.name(last)!r} in the last, which may be a measurement" if header else "measurements in the last"
        known = f"call it {', '.join(TARGETS)}, or name it with `target_column`"
        checks.fail(str(sheet.path), f"a column of {kinds}", got, known, checks.DataError)
    return last


def _could_be_class(sheet: Sheet, last: int) -> bool:
    """Whether the last column holds classes, and no other could as well; without a header the first alone could."""
    # A number among texts is a slip, of which its column tells.
    texts = [column for column in range(sheet.width) if not any(map(spellings.is_number, sheet.cells(column)))]
    could = [column for column in texts if not _is_numeric(sheet.cells(column))]
    could = could or [column for column in range(sheet.width) if _are_codes(sheet.cells(column))]
    if sheet.header:
        return could == [last]
    first_could = 0 in could[:-1] and sheet.width > 2 and len(sheet.rows) >= FEW
    first, own = (len(set(sheet.cells(column))) for column in (0, last))
    constant = own == 1 and len(could) > 1 and len(sheet.rows) >= FEW
    return last in could and not constant and not (first_could and first <= own)


def _is_numeric(cells: Sequence[str]) -> bool:
    return all(spellings.is_number(cell) or spellings.is_missing(cell) for cell in cells)


def _are_codes(cells: Sequence[str]) -> bool:
    """Whether cells are whole numbers of which most come again."""
    whole = all(cell.isdecimal() or float(cell).is_integer() for cell in cells if spellings.is_number(cell))
    return whole and (len(cells) < FEW or len(set(cells)) <= len(cells) / 2)


def says_class(sheet: Sheet, column: int, target: int) -> bool:
    """Whether a column is called as targets are and tells the class of every row, as its number or name beside it."""
    words = {*re.split(r"[\W_]+", sheet.name(column).lower())}
    own, classes = sheet.cells(column), sheet.cells(target)
    pairs = len(set(zip(own, classes, strict=True)))
    if len(own) < FEW or pairs == len(own):
        return False
    return not words.isdisjoint({*TARGETS[:-1], *ALSO_TARGETS}) and pairs == len(set(own)) == len(set(classes))


def parts(columns: Iterable[Sequence[str]]) -> tuple[int, list[str]] | None:
    """Which of columns says of each row whether it trains or tests, and what it says; None where none does."""
    for column, cells in enumerate(columns):
        said = [splits.PARTS.get(cell.lower(), "") for cell in cells]
        if "train" in said and all(said) and len(set(said)) > 1:
            return column, said
    return None


def classes(sheet: Sheet, column: int) -> list[str]:
    """The class of each row; numbers that are equal are one class, however they are written.

    Raises:
      DataError: if a row has no class, or two classes are told apart by zeros, case or spaces alone.
    """
    cells = sheet.cells(column)
    missing = spellings.missing_in(cells)
    if gaps := [row for row, cell in enumerate(cells) if cell.lower() in missing]:
        hint = "remove the row, or give the class another name if it is one"
        got = repr(cells[gaps[0]]) if cells[gaps[0]] else "an empty cell"
        sheet.fail(gaps[0], column, "a class or value in every row", got, hint)
    hint = "write both alike, or more unlike"
    fail = lambda row, got: sheet.fail(row, column, "one spelling for a class", got, hint)  # noqa: E731
    return spellings.spelled(cells, fail)
