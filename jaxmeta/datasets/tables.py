"""Tables: rows of numbers and categories, with a class or a value for each; csv files."""

from __future__ import annotations

import collections
import math
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxmeta import checks, floats
from jaxmeta.datasets import doubts, examples, files, npz, pictures, sheets, spellings
from jaxmeta.datasets.examples import Column

MAX_CATEGORIES = 64  # of a column; what has more is free text


class Table(NamedTuple):
    """Rows of numbers with a value for each: a regression set."""

    inputs: np.ndarray  # floats [N, d], as `floats.number_type` says; NaN: missing; a category by its number
    targets: np.ndarray  # floats [N, 1]
    column_names: tuple[str, ...]  # the d features; their numbers in the file, from 1, if it has no header
    name: str  # the domain; for a path its last component's stem
    checksums: dict[str, str]  # {file name without directories: sha256}
    columns: tuple[Column, ...] = ()  # of a csv the d features and their categories
    target: str = ""  # what the header calls the target
    notes: tuple[str, ...] = ()  # what the reader left out or took for granted


def read_table(
    path: files.PathLike, *, target_column: str | None = None, columns: Sequence[str] = ()
) -> tuple[np.ndarray, list[str], list[str] | None]:
    """Reads a csv file with one target column.

    The target is the column that a header calls label, target, class or y (else outcome, diagnosis, species ..), or
    the last one if that holds classes and no other column could. Columns that number or name the rows are left out.
    The separator may be a comma, semicolon, tab or bar, the decimal point a comma.

    Args:
      path: the file, UTF-8 or UTF-16.
      target_column: the target's name in the header, or its number, "1" for the first column.
      columns: the features, by name or number; none: all others but those that number or name the rows.

    Returns:
      features: floats [N, d]; NaN for a missing cell (empty, NA, null, ? ..); a text column's cells are the numbers of
        its sorted texts.
      targets: N texts.
      header: the d feature names, or None if the file has no header.

    Raises:
      DataError: names the row and column of a cell that is no finite number or of a missing target, the row that has
        other columns than the first, a target column that is not there or cannot be told for certain.
    """
    read = _parts(pathlib.Path(path), target_column, columns)
    sheet, target = read.sheet, read.target
    names = None if sheet.header is None else [column.name for column in read.columns]
    return read.features, sheets.classes(sheet, target), names


def labelled(
    path: pathlib.Path,
    form: pictures.Form | None,
    target_column: str | None = None,
    columns: Sequence[str] = (),
) -> examples.Examples:
    """Reads a csv file whose target column holds classes."""
    read = _parts(path, target_column, columns)
    targets = sheets.classes(read.sheet, read.target)
    numbered = all(text.isascii() and text.isdecimal() for text in targets)
    # Class 10 comes after class 9; by length and digits, since no int has thousands of these.
    order = sorted(set(targets), key=lambda text: (len(text.lstrip("0")), text.lstrip("0"), text) if numbered else text)
    place = {text: index for index, text in enumerate(order)}
    labels = np.array([place[text] for text in targets])  # an array of text is as wide as its longest
    if form is not None:
        npz.vectors(str(path), read.features, form)
    made = examples.grouped(
        read.features, labels, order, name=files.stem(path), checksums={path.name: files.checksum(path)},
        parts=read.parts, notes=read.notes,
    )  # fmt: skip
    return made._replace(columns=read.columns, target=read.sheet.name(read.target))


def valued(path: pathlib.Path, target_column: str | None, columns: Sequence[str] = ()) -> Table:
    """Reads a csv file whose target column holds numbers."""
    read = _parts(path, target_column, columns, is_class=False)
    sheet, target = read.sheet, read.target
    for row, cell in enumerate(sheet.cells(target)):
        if not spellings.is_number(cell):
            got = "an empty cell" if not cell else repr(cell)
            sheet.fail(row, target, "a class or value in every row" if not cell else "a finite number", got)
    values = _numbers(sheet, target)[:, None]
    names = tuple(column.name for column in read.columns)
    sums = {path.name: files.checksum(path)}
    hint = "leave rows out whose value is missing"
    notes = (*read.notes, *doubts.coded(f"target {sheet.name(target)!r}", sheet.cells(target), hint))
    return Table(read.features, values, names, files.stem(path), sums, read.columns, sheet.name(target), notes)


def groups(table: examples.Examples, column: str) -> dict[str, examples.Examples]:
    """The groups into which a column splits a table, such as a clinic, a sex or a treatment arm.

    What is learned of one group may not hold of another: give one to `tasks.across` for the support sets, another for
    the queries.

    Args:
      table: of a csv with a header.
      column: one of its features: of categories, or of few numbers.

    Returns:
      {what the column holds: the rows of which it does}, without the column; rows in which it is missing are in none,
      and a class without rows in a group is not one of its classes.

    Raises:
      ValueError: if there is no such column, or it has one value alone or more than MAX_CATEGORIES.

    Example:
      >>> import numpy as np
      >>> from jaxmeta import datasets
      >>> rows = np.array([[1.0, 0.0], [2.0, 1.0], [3.0, 0.0], [4.0, 1.0]])
      >>> table = datasets.from_labels(rows, ["ill", "ill", "well", "well"], name="study")
      >>> table = table._replace(columns=(datasets.Column("age"), datasets.Column("clinic", ("Basel", "Bern"))))
      >>> {name: group.inputs.ravel().tolist() for name, group in datasets.groups(table, "clinic").items()}
      {'Basel': [1.0, 3.0], 'Bern': [2.0, 4.0]}
    """
    names = [each.name for each in table.columns]
    if names.count(column) != 1:
        checks.fail("groups: column", f"one of {', '.join(names) or 'a csv with a header'}", repr(column))
    place = names.index(column)
    cells, categories = table.inputs[:, place], table.columns[place].categories
    values = np.unique(cells[~np.isnan(cells)])
    if not 2 <= len(values) <= MAX_CATEGORIES:
        checks.fail(f"groups: {column!r}", f"2 to {MAX_CATEGORIES} values", len(values))
    others = table._replace(
        inputs=np.delete(table.inputs, place, axis=1),
        columns=tuple(each for index, each in enumerate(table.columns) if index != place),
    )
    told = {value: categories[int(value)] if categories else floats.text(value) for value in values}
    return {name: examples.rows(others, cells == value, f"{column} {name}") for value, name in told.items()}


def unlabelled(
    path: pathlib.Path,
    form: pictures.Form | None,
    target_column: str | None = None,
    columns: Sequence[Column] | None = None,
) -> tuple[list[str], np.ndarray]:
    """Reads the features of a csv file; rows are named by their position, blank ones counted.

    Args:
      path: the file.
      form: None; pictures have one.
      target_column: a column that is left out if the header has it, beside one that it calls a target.
      columns: the features of the labelled examples, by name where the file has a header. A category that they do not
        have counts as missing.
    """
    sheet = sheets.read(path, target_column)
    called = [column.name for column in columns or ()]
    if "0" in called and sheet.header is None and {*called} <= {*sheet.rows[0][1]}:  # places are counted from 1
        wanted = "a header of names, or a row of data"
        hint = "name the columns otherwise, here and in the labelled rows"
        checks.fail(f"{path}, row 1", wanted, "what may be either", hint, checks.DataError)
    by_name = sheet.header and (not all(map(str.isdecimal, called)) or {*called} <= {*sheet.header})
    if columns is not None and by_name:
        places = [_named(sheet, name) for name in called]
    else:
        target = sheets.target(sheet, target_column, is_class=True, required=False)
        left_out = sheets.index_columns(sheet, target) if columns is None or sheet.width > len(columns) else {}
        places = [column for column in range(sheet.width) if column != target and column not in left_out]
    if not places:
        checks.fail(str(path), "features", "a target alone", error=checks.DataError)
    if columns is None or len(columns) != len(places):
        features = [_numbers(sheet, place, is_complete=columns is None) for place in places]
    else:
        features = [_cells(sheet, place, like) for place, like in zip(places, columns, strict=True)]
    array = np.stack(features, axis=1)
    if form is not None:
        npz.vectors(str(path), array, form)
    told = [f"{len(array)} rows", *sheet.notes]
    told += [] if by_name or columns is None else ["columns by their places"]
    told += [f"{count} cells missing"] if (count := int(np.isnan(array).sum())) else []
    told += [_unknown(sheet, place, like) for place, like in zip(places, columns or (), strict=False)]
    plain = [place for place, like in zip(places, columns or (), strict=False) if not like.categories]
    told += [note for place in plain for note in _coded(sheet, place)]
    files.said(path, *filter(None, told))
    return [*map(str, sheet.places)], array


def _unknown(sheet: sheets.Sheet, place: int, like: Column) -> str:
    """What is said of categories that no labelled row has."""
    cells = [cell for cell in sheet.cells(place) if like.categories and not spellings.is_missing(cell)]
    if not (new := [cell for cell in cells if cell not in like.categories]):
        return ""
    shown = ", ".join(map(repr, sorted(set(new))[:3]))
    known = ", ".join(map(repr, like.categories[:3]))
    return f"column {sheet.name(place)!r}: {len(new)} cells are {shown}, where labelled rows have {known}"


def _named(sheet: sheets.Sheet, name: str) -> int:
    """Returns the column of a name that the header must have once."""
    header = sheet.header or []
    if header.count(name) != 1:
        got = f"the columns {', '.join(header)}"
        checks.fail(str(sheet.path), f"one column {name!r}, as in the labelled examples", got, error=checks.DataError)
    return header.index(name)


class _Read(NamedTuple):
    sheet: sheets.Sheet
    target: int
    features: np.ndarray
    columns: tuple[Column, ...]
    notes: tuple[str, ...]
    parts: list[str] | None  # of each row, where a column says which trains and which tests


def _parts(path: pathlib.Path, target_column: str | None, wanted: Sequence[str], *, is_class: bool = True) -> _Read:
    sheet = sheets.read(path, target_column)
    if sheet.width < 2:
        hint = "separate the cells by commas, semicolons or tabs"
        checks.fail(str(path), "features and a target", "one column", hint, checks.DataError)
    target = sheets.target(sheet, target_column, is_class=is_class)
    assert target is not None
    notes = list(sheet.notes)
    places = [_wanted(sheet, name, target) for name in wanted]
    said = sheets.parts(sheet.cells(column) if column != target else () for column in range(sheet.width))
    if said and said[0] in places:  # a feature, since it is asked for
        said = None
    if not wanted:
        left_out = sheets.index_columns(sheet, target)
        if said:
            left_out[said[0]] = "says which rows train" + ("" if is_class else ", and values are shared out anew")
        left_out |= {
            column: "says the class again"
            for column in range(sheet.width)
            if is_class and column not in (target, *left_out) and sheets.says_class(sheet, column, target)
        }
        notes += [f"column {sheet.name(column)!r} left out, since it {why}" for column, why in left_out.items()]
        places = [column for column in range(sheet.width) if column != target and column not in left_out]
    if not places:
        checks.fail(str(path), "features beside the target", "none", "; ".join(notes), checks.DataError)
    columns = [Column(sheet.name(place), _categories(sheet, place)) for place in places]
    notes += [note for column in columns if (note := _alike(column))]
    notes += [note for place, column in zip(places, columns, strict=True) for note in _doubtful(sheet, place, column)]
    notes += [note for place, column in zip(places, columns, strict=True) if not column.categories
              for note in _coded(sheet, place)]  # fmt: skip
    # Of columns that are asked for nobody needs to be told.
    notes += [note for place in places if is_class and not wanted and (note := doubts.telling(sheet, place, target))]
    features = np.stack([_cells(sheet, place, column) for place, column in zip(places, columns, strict=True)], axis=1)
    return _Read(sheet, target, features, tuple(columns), tuple(notes), said[1] if said and is_class else None)


def _wanted(sheet: sheets.Sheet, name: str, target: int) -> int:
    found = [column for column, own in enumerate(sheet.header or []) if own == examples.composed(name)]
    if not found and name in map(str, range(1, sheet.width + 1)):
        found = [int(name) - 1]
    if len(found) != 1 or found[0] == target:
        got = f"the columns {', '.join(sheet.header)}" if sheet.header else f"{sheet.width} columns without a header"
        checks.fail(str(sheet.path), f"a feature {name!r}", got, error=checks.DataError)
    return found[0]


def _categories(sheet: sheets.Sheet, column: int) -> tuple[str, ...]:
    """The texts of a column that has no number; () for one of numbers."""
    cells = sheet.cells(column)
    missing = spellings.missing_in(cells)
    cells = [cell for cell in cells if cell.lower() not in missing]
    odd = [cell for cell in cells if not spellings.is_number(cell)]
    if not odd:
        return ()
    if spellings.are_counts(cells) or spellings.are_grades(cells):
        return tuple(sorted(set(cells)))
    almost = all(map(spellings.is_almost_number, odd)) and not spellings.are_ranges(odd)
    if len(odd) < len(cells) or almost or spellings.are_measures(odd):
        row = sheet.cells(column).index(odd[0])
        sheet.fail(row, column, "a finite number", repr(odd[0]), "or texts that are no numbers in the whole column")
    if _is_free(odd):
        got, hint = f"{len(set(odd))} different texts in {len(odd)} rows", "choose features with `columns`"
        sheet.fail(0, column, f"numbers or at most {MAX_CATEGORIES} categories", got, hint)
    return tuple(sorted(set(odd)))


def _alike(column: Column) -> str:
    """What is said of categories that differ in case alone."""
    first: dict[str, str] = {}
    for text in column.categories:
        if (other := first.setdefault(text.casefold(), text)) != text:
            return f"column {column.name!r} has {text!r} beside {other!r}"
    return ""


def _doubtful(sheet: sheets.Sheet, place: int, column: Column) -> list[str]:
    """What is said of words among categories that count as missing, and so often that they may be one of these."""
    cells = sheet.cells(place) if column.categories else []
    words = [cell for cell in cells if cell.lower() in spellings.MAY_BE_LEVELS and cell not in column.categories]
    return [
        f"column {column.name!r}: {word!r}, {count} times, counts as missing; call it otherwise if it says something"
        for word, count in sorted(collections.Counter(words).items())
        if count >= len(cells) / 4
    ]


def _coded(sheet: sheets.Sheet, place: int) -> list[str]:
    return doubts.coded(f"column {sheet.name(place)!r}", sheet.cells(place))


def _is_free(texts: Sequence[str]) -> bool:
    """Whether texts are too many to be categories."""
    distinct = len(set(texts))
    return distinct > MAX_CATEGORIES or (len(texts) >= 10 and distinct > len(texts) / 2)


def _cells(sheet: sheets.Sheet, place: int, like: Column) -> np.ndarray:
    """One column as floats [N], NaN where a cell is missing or of an unknown category."""
    if not like.categories:
        return _numbers(sheet, place)
    number = {text: index for index, text in enumerate(like.categories)}
    cells = sheet.cells(place)
    known = {spellings.alike(text): text for text in like.categories}
    for row, cell in enumerate(cells):  # a new category is missing, but not a known one that is written otherwise
        if cell not in number and not spellings.is_missing(cell) and (other := known.get(spellings.alike(cell))):
            sheet.fail(
                row, place, "the spelling of the labelled rows", f"{cell!r} beside {other!r}", "write both alike"
            )
    there = [cell for cell in cells if not spellings.is_missing(cell)]
    if all(map(spellings.is_number, there)) and not number.keys() >= {*there}:
        wanted = f"categories as in the labelled rows, such as {like.categories[0]!r}"
        sheet.fail(cells.index(there[0]), place, wanted, repr(there[0]))
    return np.array([number.get(cell, math.nan) for cell in cells], floats.number_type())


def _numbers(sheet: sheets.Sheet, column: int, *, is_complete: bool = False) -> np.ndarray:
    cells = sheet.cells(column)
    exact = np.array([float(cell) if spellings.is_number(cell) else math.nan for cell in cells])
    with np.errstate(over="ignore"):
        values = exact.astype(floats.number_type())
    for row in np.flatnonzero(~np.isfinite(values)):
        if is_complete or not spellings.is_missing(cells[row]):
            sheet.fail(int(row), column, "a finite number", repr(cells[row]))
    if floats.flattened(exact[:, None]).any():
        hint = "subtract the smallest, such as the first day"
        sheet.fail(0, column, f"numbers that {values.dtype} tells apart", f"{cells[0]!r} and others like it", hint)
    return values
