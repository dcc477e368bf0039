"""Tables of numbers: csv files, with or without a header, with or without a target column."""

from __future__ import annotations

import csv
import math
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import examples, files, npz, pictures

TARGETS = ("label", "labels", "target", "class", "y")

_Rows = list[tuple[int, list[str]]]  # (line number in the file, cells)


class Table(NamedTuple):
    """Rows of numbers with a value for each: a regression set."""

    inputs: np.ndarray  # floats [N, d], as `files.number_type` says
    targets: np.ndarray  # floats [N, 1]
    column_names: tuple[str, ...]  # the d features; their numbers in the file, from 1, if it has no header
    name: str  # the domain; for a path its last component's stem
    checksums: dict[str, str]  # {file name without directories: sha256}


def read_table(
    path: files.PathLike, *, target_column: str | None = None
) -> tuple[np.ndarray, list[str], list[str] | None]:
    """Reads a csv file with one target column; all others are features.

    The target is the column that a header calls label, labels, target, class or y, else the last one. A first row is
    a header if it names a target or holds no number.

    Args:
      path: the file, UTF-8, comma-separated.
      target_column: the target's name in the header, or its number, "1" for the first column.

    Returns:
      features: floats [N, d].
      targets: N texts as they stand in the file.
      header: the d feature names, or None if the file has no header.

    Raises:
      DataError: names the row and column of a cell that is no finite number or of an empty target, the row that has
        other columns than the first, and a target column that is not there.
    """
    features, targets, header, _ = _parts(pathlib.Path(path), target_column)
    return features, targets, header


def labelled(path: pathlib.Path, form: pictures.Form | None, target_column: str | None = None) -> examples.Examples:
    """Reads a csv file whose target column holds classes."""
    features, targets, _, _ = _parts(path, target_column)
    if all(text.isascii() and text.isdecimal() for text in targets):
        # Class 10 comes after class 9; by length and digits, since no int has thousands of these.
        order = sorted(set(targets), key=lambda text: (len(text.lstrip("0")), text.lstrip("0"), text))
    else:
        order = sorted(set(targets))
    place = {text: index for index, text in enumerate(order)}
    labels = np.array([place[text] for text in targets])  # an array of text is as wide as its longest
    rows = npz.vectors(str(path), features, form)
    return examples.from_labels(rows, labels, order, name=files.stem(path), checksums={path.name: files.checksum(path)})


def valued(path: pathlib.Path, target_column: str | None) -> Table:
    """Reads a csv file whose target column holds numbers."""
    features, targets, header, places = _parts(path, target_column)
    names = [str(column + 1) for column in places.columns] if header is None else header
    cells: _Rows = [(number, [text]) for number, text in zip(places.numbers, targets, strict=True)]
    values = _numbers(path, cells, [places.target], places.header)
    return Table(features, values, tuple(names), files.stem(path), {path.name: files.checksum(path)})


def unlabelled(
    path: pathlib.Path,
    form: pictures.Form | None,
    target_column: str | None = None,
    column_names: Sequence[str] | None = None,
) -> tuple[list[str], np.ndarray]:
    """Reads the features of a csv file; rows are named by their position.

    Where the file has a header, `column_names` chooses the features; else they are all columns but a named target.
    """
    header, rows = _read(path, target_column)
    if header and column_names is not None:
        columns = [_named(path, header, name) for name in column_names]
    else:
        named = [column for column, name in enumerate(header or []) if name == target_column]
        target = named[0] if len(named) == 1 else _target(path, header, None)
        columns = [column for column in range(len(rows[0][1])) if column != target]
    if not columns:
        checks.fail(str(path), "features", "a target alone", error=checks.DataError)
    chosen = [(number, [cells[column] for column in columns]) for number, cells in rows]
    vectors = npz.vectors(str(path), _numbers(path, chosen, columns, header), form)
    return [str(index) for index in range(len(vectors))], vectors


def _named(path: pathlib.Path, header: list[str], name: str) -> int:
    """Returns the column of a name that the header must have once."""
    if header.count(name) != 1:
        got = f"the columns {', '.join(header)}"
        checks.fail(str(path), f"one column {name!r}, as in the labelled examples", got, error=checks.DataError)
    return header.index(name)


class _Places(NamedTuple):
    """Where in the file the parts of a table stand."""

    numbers: list[int]  # the rows
    columns: list[int]  # the features, from 0
    target: int  # from 0
    header: list[str] | None  # all columns


def _parts(path: pathlib.Path, target_column: str | None) -> tuple[np.ndarray, list[str], list[str] | None, _Places]:
    header, rows = _read(path, target_column)
    width = len(rows[0][1])
    if width < 2:
        checks.fail(str(path), "features and a target", "one column", error=checks.DataError)
    named = _target(path, header, target_column, width)
    target = width - 1 if named is None else named
    targets = [cells.pop(target).strip() for _, cells in rows]
    numbers = [number for number, _ in rows]
    if "" in targets:
        what = _place(path, numbers[targets.index("")], target, header)
        checks.fail(what, "a class or value in every row", "an empty cell", error=checks.DataError)
    columns = [column for column in range(width) if column != target]
    names = None if header is None else [header[column] for column in columns]
    return _numbers(path, rows, columns, header), targets, names, _Places(numbers, columns, target, header)


def _place(path: pathlib.Path, row: int, column: int, header: list[str] | None) -> str:
    return f"{path}, row {row}, column {column + 1}" + (f" ({checks.shown(header[column])})" if header else "")


def _read(path: pathlib.Path, target_column: str | None) -> tuple[list[str] | None, _Rows]:
    with files.reading(path), path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream)
        try:
            rows = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
        except csv.Error as error:
            checks.fail(f"{path}, row {reader.line_num}", "comma-separated text", error, error=checks.DataError)
    header = None
    if rows and _is_header(rows[0][1], target_column):
        header = [cell.strip() for cell in rows.pop(0)[1]]
    if not rows:
        checks.fail(str(path), "at least one row of numbers", "none", error=checks.DataError)
    width = len(header or rows[0][1])
    for number, cells in rows:
        if len(cells) != width:
            checks.fail(f"{path}, row {number}", f"{width} columns", len(cells), error=checks.DataError)
    return header, rows


def _target(path: pathlib.Path, header: list[str] | None, target_column: str | None, width: int = 0) -> int | None:
    """Returns the column that is asked for, else the one that a header calls the target, or None."""
    if target_column is None:
        named = [column for column, name in enumerate(header or []) if name.lower() in TARGETS]
    else:
        named = [column for column, name in enumerate(header or []) if name == target_column]
        if not named and target_column in map(str, range(1, width + 1)):
            return int(target_column) - 1
        if not named:
            got = f"the columns {', '.join(header)}" if header else f"{width} columns without a header"
            wanted = f"a target column {target_column!r}"
            checks.fail(str(path), wanted, got, "give a name of the header, or a number from 1", checks.DataError)
    if len(named) > 1:
        got = " and ".join((header or [])[column] for column in named)
        checks.fail(str(path), "one target column", got, "rename or remove the others", checks.DataError)
    return named[0] if named else None


def _is_header(cells: list[str], target_column: str | None) -> bool:
    names = [cell.strip() for cell in cells if not _is_number(cell)]
    return target_column in names or any(name.lower() in TARGETS for name in names) or len(names) == len(cells)


def _is_number(cell: str) -> bool:
    if "_" in cell:  # which Python takes for a separator of thousands, and people for a slip
        return False
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbers(path: pathlib.Path, rows: _Rows, columns: list[int], header: list[str] | None) -> np.ndarray:
    """Returns the cells as floats; `columns` says where in the file each of them stands."""
    values = np.empty((len(rows), len(columns)), files.number_type())
    for index, (_, cells) in enumerate(rows):
        with np.errstate(over="ignore"):
            values[index] = [float(cell) if _is_number(cell) else math.nan for cell in cells]
    for index, place in np.argwhere(~np.isfinite(values)):
        number, cells = rows[index]
        what = _place(path, number, columns[place], header)
        checks.fail(what, "a finite number", repr(cells[place]), error=checks.DataError)
    return values
