"""Which commas and points of a file's numbers are decimal ones, and which part thousands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jaxmeta.datasets import spellings

if TYPE_CHECKING:
    from jaxmeta.datasets.sheets import Sheet

COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
_POINTED_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+")
_SMALL = re.compile(r"[+-]?\d{1,3}")
_FEW = 4  # numbers: of fewer it is not told what their points mean


def with_points(sheet: Sheet) -> Sheet:
    """Numbers with decimal commas get points, if no number of the file has a point that may part thousands.

    Raises:
      DataError: if commas or points may part thousands as well.
    """
    commas = {
        column: [cell for cell in sheet.cells(column) if "," in cell]
        for column in range(sheet.width)
        if all(
            spellings.is_number(cell) or spellings.is_missing(cell) or COMMA.fullmatch(cell)
            for cell in sheet.cells(column)
        )
    }
    commas = {column: cells for column, cells in commas.items() if cells}
    thousands = [column for column in range(sheet.width) if _may_be_thousands(sheet.cells(column))]
    if not commas:
        return sheet._replace(notes=(*sheet.notes, *(_pointed(sheet, column) for column in thousands)))
    hint = "write numbers with a decimal point and without separators of thousands"
    for column in commas:
        cells = sheet.cells(column)
        mixed = [row for row, cell in enumerate(cells) if "." in cell and spellings.is_number(cell)]
        if mixed or all(_THOUSANDS.fullmatch(cell) for cell in commas[column]):
            row = mixed[0] if mixed else cells.index(commas[column][0])
            sheet.fail(row, column, "decimal points", f"{cells[row]!r} among numbers with commas", hint)
    for column in range(sheet.width):
        if pointed := _pointed_thousands(sheet.cells(column)):
            got = f"{pointed[0]!r} in a file with decimal commas"
            sheet.fail(sheet.cells(column).index(pointed[0]), column, "decimal points", got, hint)
    rows = [
        (number, [cell.replace(",", ".") if column in commas else cell for column, cell in enumerate(cells)])
        for number, cells in sheet.rows
    ]
    return sheet._replace(rows=rows, notes=(*sheet.notes, "decimal commas"))


def _pointed_thousands(cells: Sequence[str]) -> list[str]:
    """The numbers with a point, if it parts thousands in each or may do so: 1.550, 12.500, 1.000.000."""
    pointed = [cell for cell in cells if "." in cell and not spellings.is_missing(cell)]
    if not all(map(_POINTED_THOUSANDS.fullmatch, pointed)):
        return []
    others = (cell for cell in cells if "." not in cell)
    return pointed if all(spellings.is_number(cell) or spellings.is_missing(cell) for cell in others) else []


def _may_be_thousands(cells: Sequence[str]) -> bool:
    """Whether numbers such as 1.550 stand beside whole ones such as 900, which no point would part."""
    whole = [cell for cell in cells if "." not in cell and not spellings.is_missing(cell)]
    return bool(whole) and all(map(_SMALL.fullmatch, whole)) and bool(_pointed_thousands(cells))


def _pointed(sheet: Sheet, column: int) -> str:
    """What is said of points that may part thousands; raises DataError where they hardly end whole numbers."""
    cells = sheet.cells(column)
    pointed = _pointed_thousands(cells)
    whole = next(cell for cell in cells if "." not in cell and not spellings.is_missing(cell))
    # Who writes 12.500 for 12.5 writes 900.000 for 900.
    if len(pointed) >= _FEW and any(cell.endswith("0") for cell in pointed):
        hint = "write 12.5 or 12500, each as it is meant, or all with as many decimals"
        got = f"{pointed[0]!r} beside {whole!r}, which may be either"
        sheet.fail(cells.index(pointed[0]), column, "thousands or decimals", got, hint)
    return f"column {sheet.name(column)!r}: the point of {pointed[0]} is read as a decimal one, beside {whole}"
