"""A person's own texts: csv and tsv files, JSON lines, and plain text with one in each line."""

from __future__ import annotations

import collections
import contextlib
import json
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import examples, files, sheets, spellings

TEXTS = ("text", "texts", "sentence", "utterance", "query", "question", "content", "review", "comment", "message",
         "title", "document", "phrase")  # fmt: skip
"""What a header calls the texts, in lower case."""
MOST_NAMED = 2  # words of what a header calls a column
ALSO_TARGETS = ("intent", "topic", "sentiment", "tag")
SUFFIXES = (".jsonl", ".ndjson", ".txt")
FREE = 3.0  # words of a text on average, where no header says which column has them


class _Read(NamedTuple):
    """The rows of a file."""

    path: pathlib.Path
    names: list[str] | None
    """The header; None: there is none, and columns go by their numbers."""
    rows: list[tuple[int, list[str]]]
    """(line number in the file, cells)"""
    places: tuple[int, ...]
    """Of the rows, blank ones counted."""
    notes: tuple[str, ...] = ()
    separator: str = ""

    @property
    def width(self) -> int:
        return len(self.rows[0][1])

    def cells(self, column: int) -> list[str]:
        return [row[column] for _, row in self.rows]

    def name(self, column: int) -> str:
        return self.names[column] if self.names else str(column + 1)

    def fail(self, row: int, column: int, expected: str, got: object, hint: str = "") -> NoReturn:
        what = f"{self.path}, row {self.rows[row][0]}, column {checks.shown(self.name(column))}"
        checks.fail(what, expected, got, hint, checks.DataError)


def is_texts(path: files.PathLike) -> bool:
    """Whether a path is one of a file of texts alone, by its suffix: JSON lines, or plain text."""
    return pathlib.Path(path).suffix.lower() in SUFFIXES


def looks_like_texts(path: pathlib.Path) -> bool:
    """Whether a csv has a column that its header calls texts."""
    if not sheets.is_table(path) or not path.is_file():
        return False
    rows = sheets.split_rows(path).rows
    if not rows or not any(cell.lower() in TEXTS for cell in rows[0][1]):
        return False
    with contextlib.suppress(checks.DataError):  # whoever reads the texts is told
        return _is_header(path, rows)
    return True


def labelled(path: pathlib.Path, text_column: str = "", target_column: str | None = None) -> examples.Examples:
    """Reads texts with a class each.

    The texts are in the column that is asked for, that the header calls text, sentence, utterance .., or whose texts
    are longest; the classes in that which is asked for or called label, target, intent .., else in the only other one.

    Args:
      path: a .csv, .tsv or .jsonl file; cells may be quoted and hold line breaks.
      text_column: by name, or by number from 1.
      target_column: likewise.

    Raises:
      DataError: names the row and the column of an empty text or a missing class, or the columns that there are.
    """
    read = _read(path, text_column, target_column)
    text = _text(read, text_column)
    target = _target(read, text, target_column)
    texts, cells = _texts(read, text), read.cells(target)
    _check_plain(read, target, "one class")
    missing = spellings.missing_in(cells)
    for row, cell in enumerate(cells):
        if cell.lower() in missing:
            read.fail(row, target, "a class in every row", repr(cell) if cell else "an empty cell")
    hint = "write both alike, or more unlike"
    classes = spellings.spelled(cells, lambda row, got: read.fail(row, target, "one spelling for a class", got, hint))
    if read.names is None and _may_be_header(texts, classes):
        got = f"{texts[0]!r} of the class {classes[0]!r}, which comes once"
        hint = "put text,label above examples, or call these columns so, or name one with `target_column`"
        read.fail(0, target, "a row, or a header that says text and label", got, hint)
    _check_whole(read, text, target, set(classes))
    order = sorted(set(classes), key=lambda name: (not name.isdecimal(), len(name) * name.isdecimal(), name))
    numbers = {name: index for index, name in enumerate(order)}
    said = sheets.parts(read.cells(column) if column not in (text, target) else () for column in range(read.width))
    parts = None if said is None else said[1]
    notes = (*read.notes, f"texts of column {read.name(text)!r}", *_of_lines(read, text))
    notes += (f"parts of column {read.name(said[0])!r}",) if said else ()
    made = examples.grouped(
        np.array(texts), np.array([numbers[name] for name in classes]), order, name=files.stem(path),
        checksums={path.name: files.checksum(path)}, parts=parts, notes=notes,
    )  # fmt: skip
    return made._replace(target=read.name(target), text=read.name(text) if read.names else "")


def _may_be_header(texts: Sequence[str], classes: Sequence[str]) -> bool:
    """Whether the first row is unlike all others: its class alone comes once, or its text alone is a word or two."""
    counts = collections.Counter(classes)
    if counts.pop(classes[0]) > 1 or not counts:
        return False
    return min(counts.values()) > 1 or _is_short_alone(texts)


def _is_short_alone(texts: Sequence[str]) -> bool:
    """Whether the first text alone has as few words as the name of a column."""
    words = [len(text.split()) for text in texts]
    return words[0] <= MOST_NAMED < min(words[1:])


def unlabelled(
    path: pathlib.Path, text_column: str = "", target_column: str | None = None, like: str = ""
) -> tuple[list[str], np.ndarray]:
    """Reads texts without classes, named by their position, blank lines counted; a file .txt has one in each line.

    `like` is what the labelled examples call the column: where there is one of that name, it has the texts.
    """
    column_said: tuple[str, ...] = ()
    if path.suffix.lower() == ".txt":
        # Of line ends alone: what else `splitlines` takes for one stands inside texts.
        lines = [" ".join(line.split()) for line in files.text(path).split("\n")]
        places, texts = [place for place, line in enumerate(lines) if line], [line for line in lines if line]
        if not texts:
            checks.fail(str(path), "a text in each line", "none", error=checks.DataError)
    else:
        read = _read(path, text_column, target_column, like)
        column = _text(read, text_column or (like if like in (read.names or ()) else ""))
        places, texts = read.places, _texts(read, column)
        column_said = (f"column {read.name(column)!r}",) if read.names and read.width > 1 else ()
        column_said += _of_lines(read, column)
        if read.names is None and len(texts) >= sheets.FEW and _is_short_alone(texts):
            hint = "put text above the texts, or name their column with `text_column`"
            read.fail(0, column, "a text, or a header that says text", f"{texts[0]!r}, shorter than all others", hint)
    files.said(path, f"{len(texts)} texts", *column_said, *sheets.passed_over(places))
    return [*map(str, places)], np.array(texts)


def _texts(read: _Read, column: int) -> list[str]:
    """Texts in one line each, of which none is empty."""
    _check_plain(read, column, "a text")
    texts = [" ".join(cell.split()) for cell in read.cells(column)]
    for row, text in enumerate(texts):
        if not text:
            read.fail(row, column, "a text in every row", "an empty cell", "remove the row")
    return texts


def _of_lines(read: _Read, column: int) -> tuple[str, ...]:
    """What is to be said of texts that hold line breaks, which a lost quotation mark makes of several rows."""
    count = sum("\n" in cell for cell in read.cells(column))
    return (f"{count} texts of several lines, as they are quoted",) if count and read.separator else ()


def _check_whole(read: _Read, text: int, target: int, classes: set[str]) -> None:
    """Raises DataError if a text holds a row, its class included: two marks that are no pair have quoted it."""
    for row, cell in enumerate(read.cells(text) if read.separator else ()):
        for line in cell.split("\n") if "\n" in cell else ():
            parts = [part.strip(' "') for part in line.split(read.separator)]
            if len(parts) == read.width and parts[target] in classes:
                hint = 'write a quotation mark inside a text twice, the text in quotes: "say ""hi"""'
                read.fail(row, text, "one text", f"several in one pair of quotes, with the row {line!r}", hint)


def _check_plain(read: _Read, column: int, wanted: str) -> None:
    for row, cell in enumerate(read.cells(column)):
        if isinstance(cell, _Nested):
            read.fail(row, column, wanted, f"a list or an object, {cell}")


def _read(path: pathlib.Path, *wanted: str | None) -> _Read:
    if path.suffix.lower() == ".txt":
        checks.fail(str(path), "texts with a class each, in a csv, tsv or jsonl", ".txt", error=checks.DataError)
    if is_texts(path):
        return _json_lines(path)
    separator, rows, places = sheets.split_rows(path)
    names = rows.pop(0)[1] if rows and _is_header(path, rows, *wanted) else None
    if not rows:
        checks.fail(str(path), "at least one row of texts", "none", error=checks.DataError)
    width = len(names or rows[0][1])
    for number, cells in rows:
        if len(cells) != width:
            hint = "put texts that hold the separator in quotes"
            checks.fail(f"{path}, row {number}", f"{width} columns", len(cells), hint, checks.DataError)
    notes = () if separator == "," else (f"separated by {sheets.SEPARATORS[separator]}",)
    places = sheets.below(places, has_header=names is not None)
    return _Read(path, names, rows, places, (*notes, *sheets.passed_over(places)), separator)


def _is_header(path: pathlib.Path, rows: sheets.Rows, *wanted: str | None) -> bool:
    """Whether the first row has a name of texts or of a target: a class may be called so, too, and comes again below.

    Raises:
      DataError: if it may be either.
    """
    first = [cell.lower() for cell in rows[0][1]]
    below = [{row[column].lower() for _, row in rows[1:] if column < len(row)} for column in range(len(first))]
    asked = {name.lower() for name in wanted if name}
    known = asked.union(TEXTS, ALSO_TARGETS, sheets.TARGETS, sheets.ALSO_TARGETS)
    called = [column for column, cell in enumerate(first) if cell in known]
    again = [column for column in called if first[column] in below[column]]
    if not called or (len(again) == len(called) == 1 < len(first)):
        return False
    if any(first[column] in asked for column in called if column not in again):
        return True
    if again:
        _uncertain(path, rows[0], f"{rows[0][1][again[0]]!r}, which comes again below")
    # Of several classes, one example each, the first may be called a question: what stands beside it is no name then.
    words = [len(cell.split()) for column, cell in enumerate(first) if column != called[0]]
    is_free = np.mean([len(cell.split()) for cell in below[called[0]]] or [FREE]) >= FREE
    if len(called) == 1 and first[called[0]] in TEXTS and not is_free and max(words, default=0) > MOST_NAMED:
        _uncertain(path, rows[0], f"{rows[0][1][called[0]]!r} beside texts")
    return True


def _uncertain(path: pathlib.Path, row: tuple[int, list[str]], got: str) -> NoReturn:
    hint = "put text,label above the examples, or name the column of the texts with `text_column`"
    checks.fail(f"{path}, row {row[0]}", "a header, or a text and its class", got, hint, checks.DataError)


def _json_lines(path: pathlib.Path) -> _Read:
    rows: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(files.text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            checks.fail(f"{path}, row {number}", "an object in JSON", error, error=checks.DataError)
        if not isinstance(found, dict):
            checks.fail(f"{path}, row {number}", "an object in JSON", type(found).__name__, error=checks.DataError)
        found = {examples.composed(name): value for name, value in found.items()}
        rows.append((number, found))
    if not rows:
        checks.fail(str(path), "at least one line", "none", error=checks.DataError)
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    cells = [(number, [_cell(row.get(name)) for name in names]) for number, row in rows]
    return _Read(path, names, cells, tuple(number - 1 for number, _ in rows))


class _Nested(str):
    """A list or an object in JSON, which is neither a text nor a class."""


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return spellings.stripped(examples.composed(value))
    return "" if value is None else (_Nested if isinstance(value, list | dict) else str)(json.dumps(value))


def _named(read: _Read, what: str, name: str) -> int:
    found = [column for column, own in enumerate(read.names or []) if own == examples.composed(name)]
    width = len(read.rows[0][1])
    if not found and name in map(str, range(1, width + 1)):
        return int(name) - 1
    if len(found) != 1:
        got = f"the columns {', '.join(read.names)}" if read.names else f"{width} columns without a header"
        hint = "give a name of the header, or a number from 1"
        checks.fail(str(read.path), f"{what} {name!r}", got, hint, checks.DataError)
    return found[0]


def _text(read: _Read, asked: str) -> int:
    if asked:
        return _named(read, "a column of texts", asked)
    called = [column for column, name in enumerate(read.names or []) if name.lower() in TEXTS]
    if len(called) == 1:
        return called[0]
    columns = called or range(len(read.rows[0][1]))
    lengths = {column: np.mean([len(cell.split()) for cell in read.cells(column)]) for column in columns}
    best = max(lengths, key=lambda column: lengths[column])
    alike = [column for column in lengths if column != best and lengths[column] >= FREE]
    if len(lengths) > 1 and (alike or lengths[best] < FREE):
        got = f"the columns {', '.join(map(read.name, lengths))}"
        hint = "name it with `text_column`"
        checks.fail(str(read.path), "one column of texts", got, hint, checks.DataError)
    return best


def _target(read: _Read, text: int, asked: str | None) -> int:
    if asked:
        found = _named(read, "a target column", asked)
        if found == text:
            checks.fail(str(read.path), "a target beside the texts", repr(asked), error=checks.DataError)
        return found
    others = [column for column in range(len(read.rows[0][1])) if column != text]
    sets: Sequence[Sequence[str]] = (sheets.TARGETS, (*sheets.ALSO_TARGETS, *ALSO_TARGETS))
    for names in sets:
        called = [column for column in others if read.name(column).lower() in names]
        if called:
            others = called
            break
    if len(others) != 1:
        got = f"{len(others)} columns that could be it" if others else "texts alone"
        hint = "name it with `target_column`"
        checks.fail(str(read.path), "a column of classes beside the texts", got, hint, checks.DataError)
    return others[0]
