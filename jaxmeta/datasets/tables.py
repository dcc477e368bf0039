"""Tables of numbers: csv files, with or without a header, with or without a target column."""

from __future__ import annotations

import csv
import math
import pathlib

import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import examples, files, npz, pictures

TARGETS = ("label", "labels", "target", "class", "y")

_Rows = list[tuple[int, list[str]]]  # (line number in the file, cells)


def read_table(path: files.PathLike) -> tuple[np.ndarray, list[str], list[str] | None]:
    """Reads a csv file with one target column; all others are features.

    The target is the column that a header calls label, labels, target, class or y, else the last one. A first row is
    a header if it names a target or holds no number.

    Args:
      path: the file, UTF-8, comma-separated.

    Returns:
      features: float32 [N, d].
      targets: N texts as they stand in the file.
      header: the d feature names, or None if the file has no header.

    Raises:
      DataError: names the row and column of a cell that is no finite number, and the row that has other columns than
        the first.
    """
    path = pathlib.Path(path)
    header, rows = _read(path)
    width = len(rows[0][1])
    if width < 2:
        checks.fail(str(path), "features and a target", "one column", error=checks.DataError)
    named = _target(path, header)
    target = width - 1 if named is None else named
    targets = [cells.pop(target).strip() for _, cells in rows]
    columns = [column for column in range(width) if column != target]
    names = None if header is None else [header[column] for column in columns]
    return _numbers(path, rows, columns), targets, names


def labelled(path: pathlib.Path, form: pictures.Form | None) -> examples.Examples:
    """Reads a csv file whose target column holds classes."""
    features, targets, _ = read_table(path)
    labels = np.array(targets)
    if all(text.isdecimal() for text in targets):
        order = sorted(set(targets), key=lambda text: (int(text), text))  # class 10 comes after class 9
    else:
        order = sorted(set(targets))
    if "" in order:
        checks.fail(str(path), "a class in every row", "an empty cell", error=checks.DataError)
    rows = npz.vectors(str(path), features, form)
    return examples.from_labels(rows, labels, order, name=files.stem(path), checksums={path.name: files.checksum(path)})


def unlabelled(path: pathlib.Path, form: pictures.Form | None) -> tuple[list[str], np.ndarray]:
    """Reads the features of a csv file, without a target that its header names; rows are named by their position."""
    header, rows = _read(path)
    target = _target(path, header)
    columns = [column for column in range(len(rows[0][1])) if column != target]
    if not columns:
        checks.fail(str(path), "features", "a target alone", error=checks.DataError)
    if target is not None:
        for _, cells in rows:
            cells.pop(target)
    vectors = npz.vectors(str(path), _numbers(path, rows, columns), form)
    return [str(index) for index in range(len(vectors))], vectors


def _read(path: pathlib.Path) -> tuple[list[str] | None, _Rows]:
    with files.reading(path), path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream)
        try:
            rows = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
        except csv.Error as error:
            checks.fail(f"{path}, row {reader.line_num}", "comma-separated text", error, error=checks.DataError)
    header = None
    if rows and _is_header(rows[0][1]):
        header = [cell.strip() for cell in rows.pop(0)[1]]
    if not rows:
        checks.fail(str(path), "at least one row of numbers", "none", error=checks.DataError)
    width = len(header or rows[0][1])
    for number, cells in rows:
        if len(cells) != width:
            checks.fail(f"{path}, row {number}", f"{width} columns", len(cells), error=checks.DataError)
    return header, rows


def _target(path: pathlib.Path, header: list[str] | None) -> int | None:
    """Returns the column that a header calls the target, or None."""
    named = [column for column, name in enumerate(header or []) if name.lower() in TARGETS]
    if len(named) > 1:
        got = " and ".join((header or [])[column] for column in named)
        checks.fail(str(path), "one target column", got, "rename or remove the others", checks.DataError)
    return named[0] if named else None


def _is_header(cells: list[str]) -> bool:
    return any(cell.strip().lower() in TARGETS for cell in cells) or not any(_is_number(cell) for cell in cells)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbers(path: pathlib.Path, rows: _Rows, columns: list[int]) -> np.ndarray:
    """Returns the cells as float32; `columns` says where in the file each of them stands."""
    values = np.empty((len(rows), len(columns)), np.float32)
    for index, (_, cells) in enumerate(rows):
        with np.errstate(over="ignore"):
            values[index] = [float(cell) if _is_number(cell) else math.nan for cell in cells]
    for index, place in np.argwhere(~np.isfinite(values)):
        number, cells = rows[index]
        what = f"{path}, row {number}, column {columns[place] + 1}"
        checks.fail(what, "a finite number", repr(cells[place]), error=checks.DataError)
    return values
