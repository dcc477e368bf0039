"""Pairs of strings, such as words and their pronunciations: the languages of g2p, and files of a user's own."""

from __future__ import annotations

import os
import pathlib
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import files, splits

LANGUAGES = ("ady", "gre", "ice", "ita", "khm", "lav", "mlt_latn", "rum", "slv", "wel_sw")
"""Of SIGMORPHON 2021's task 1, low-resource."""
NAMES = tuple(f"g2p:{language}" for language in LANGUAGES)
SUFFIXES = (".tsv", ".txt")
SOURCES = ("word", "words", "source", "input", "string", "text", "grapheme", "graphemes", "spelling", "orthography")
TARGETS = ("pronunciation", "pronunciations", "target", "output", "phoneme", "phonemes", "ipa", "transcription")
"""What a header calls the two columns, in lower case."""
_PUBLISHED = {"train": "train", "validation": "dev", "test": "test"}


class Pairs(NamedTuple):
    """Sources, each once, with what they become."""

    sources: tuple[str, ...]
    """[N] texts, no two of them equal."""
    targets: tuple[tuple[str, ...], ...]
    """[N] sequences of symbols."""
    parts: np.ndarray
    """[N] of each pair "train", "validation" or "test"."""
    name: str
    checksums: dict[str, str]
    spaced: bool = True
    """Whether symbols are written with blanks between them."""
    notes: tuple[str, ...] = ()
    """What the reader left out, and took for one symbol."""

    def rows(self, keep: np.ndarray, *notes: str) -> Pairs:
        """The pairs where keep [N] is True, and what is to be said of the others."""
        chosen = np.flatnonzero(keep)
        sources, targets = tuple(self.sources[row] for row in chosen), tuple(self.targets[row] for row in chosen)
        return self._replace(sources=sources, targets=targets, parts=self.parts[chosen], notes=(*self.notes, *notes))


def wanted(name: str) -> list[str]:
    """The files of a language of g2p: train, dev and test."""
    return [f"{name.partition(':')[2]}_{part}.tsv" for part in _PUBLISHED.values()]


def find(folder: pathlib.Path, name: str) -> list[pathlib.Path]:
    """These in a folder; none if one is missing."""
    paths = [folder / file for file in wanted(name)]
    return paths if all(path.is_file() for path in paths) else []


def load_pairs(name_or_path: files.PathLike, *, data_dir: files.PathLike | None = None) -> Pairs:
    """Loads pairs of strings: "g2p:LANGUAGE", or a file of two columns with a tab between them.

    Where targets have blanks, all are sequences of the symbols between them, as pronunciations are written ("t͡s a ɪ
    t"), and one without a blank is a single symbol; in a file without any blank they are sequences of characters. A
    source that comes again is left out, so that no split and no task has it twice, and so is a header such as
    word, pronunciation.

    Args:
      name_or_path: "g2p:ita" and so on, or a path to a .tsv or .txt, UTF-8. The published files of a language are its
        parts; of a file of one's own 8 of 10 sources are "train", one "validation" and one "test" by a hash.
      data_dir: where the folder g2p lies; by default the environment variable JAXMETA_DATA.

    Raises:
      ValueError: if there is no such name.
      DataError: if a file is missing, damaged or not as expected; the message names the row.

    Example:
      >>> import pathlib, tempfile
      >>> from jaxmeta import datasets
      >>> path = pathlib.Path(tempfile.mkdtemp(), "words.tsv")
      >>> _ = path.write_text("zeit\\tt͡s aɪ t\\nda\\td aː\\n", encoding="utf-8")
      >>> datasets.load_pairs(path).targets
      (('t͡s', 'aɪ', 't'), ('d', 'aː'))
    """
    if name_or_path in NAMES:
        return _published(str(name_or_path), data_dir or os.environ.get("JAXMETA_DATA"))
    path = pathlib.Path(name_or_path)
    if path.suffix.lower() not in SUFFIXES:
        form = f"g2p:LANGUAGE ({', '.join(LANGUAGES)}), or a path to a .tsv of two columns"
        checks.fail("pairs", form, repr(str(name_or_path)))
    rows = _rows(path)
    header = rows.pop(0) if len(rows) > 1 and _is_header(rows[0]) else None
    _check_blanks(path, rows)
    loaded = _distinct(rows, files.stem(path))
    if header:
        loaded = loaded._replace(notes=(f"a header {', '.join(header)!r} left out", *loaded.notes))
    parts = np.empty(len(loaded.sources), "U10")
    for part, chosen in splits.deal(loaded.sources, _tenths(len(parts))).items():
        parts[chosen] = part
    return loaded._replace(parts=parts, checksums={path.name: files.checksum(path)})


def load_sources(path: files.PathLike) -> list[str]:
    """Reads strings to be predicted, one a line; of several columns with tabs between them the first.

    Raises:
      DataError: if the file is missing, not UTF-8, or has none.
    """
    cells = [[composed(cell) for cell in line.split("\t")] for _, line in _lines(pathlib.Path(path))]
    told = []
    if len(cells) > 1 and len(cells[0]) == 2 and _is_header((cells[0][0], cells[0][1])):
        told.append(f"a header {', '.join(cells.pop(0))!r} left out")
    elif cells and cells[0][0].lower() in SOURCES:
        told.append(f"the first of them is {cells[0][0]!r}, which may be a header")
    if not cells:
        checks.fail(str(path), "at least one string", "none", error=checks.DataError)
    files.said(pathlib.Path(path), f"{len(cells)} strings", *told)
    return [own[0] for own in cells]


def composed(text: str) -> str:
    """Text in the one form in which equal strings are equal."""
    return unicodedata.normalize("NFC", text.strip())


def _published(name: str, data_dir: files.PathLike | None) -> Pairs:
    places = [pathlib.Path(data_dir, "g2p"), pathlib.Path(data_dir)] if data_dir else []
    paths = next((found for place in places if (found := find(place, name))), None)
    if paths is None:
        hint = "name the folder that has them with --data-dir or JAXMETA_DATA"
        form = ", ".join(wanted(name))
        checks.fail(name, form, "not all of them" if places else "no data folder", hint, checks.DataError)
    rows = [_rows(path) for path in paths]
    part = {source: part for part, own in reversed([*zip(_PUBLISHED, rows, strict=True)]) for source, _ in own}
    loaded = _distinct([row for own in rows for row in own], name)
    parts = np.array([part[source] for source in loaded.sources])
    return loaded._replace(parts=parts, checksums={path.name: files.checksum(path) for path in paths})


def _tenths(count: int) -> dict[str, int]:
    return {"train": count - 2 * (count // 10), "validation": count // 10, "test": count // 10}


def _lines(path: pathlib.Path) -> Iterable[tuple[int, str]]:
    """The lines that are not blank, and their numbers from 1."""
    if not path.is_file():
        checks.fail(str(path), "a file of strings", "no such file", error=checks.DataError)
    return [(number, line) for number, line in enumerate(files.text(path).split("\n"), 1) if line.strip()]


def _rows(path: pathlib.Path) -> list[tuple[str, str]]:
    rows = []
    for number, line in _lines(path):
        cells = [composed(cell) for cell in line.rstrip("\r").split("\t")]
        if len(cells) != 2 or not all(cells):
            got = f"{len(cells)}" if len(cells) != 2 else f"an empty {'source' if not cells[0] else 'target'}"
            form = "two columns with a tab between them, a source and a target"
            checks.fail(f"{path}, row {number}", form, got, error=checks.DataError)
        rows.append((cells[0], cells[1]))
    return rows or checks.fail(str(path), "pairs of strings", "an empty file", error=checks.DataError)


def _is_header(row: tuple[str, str]) -> bool:
    return row[0].lower() in SOURCES and row[1].lower() in TARGETS


def _check_blanks(path: pathlib.Path, rows: list[tuple[str, str]]) -> None:
    """Raises DataError if most targets would be one symbol for the blanks of others."""
    whole = [target for target in _single([target for _, target in rows]) if len(target) > 1]
    if 2 * len(whole) > len(rows):
        got = f"none in {len(whole)} of {len(rows)}, such as {whole[0]!r}"
        hint = "put blanks between all symbols, or take them out"
        checks.fail(str(path), "blanks between the symbols of all targets, or of none", got, hint, checks.DataError)


def _single(targets: Sequence[str]) -> list[str]:
    """Those without a blank, of targets of which some have one."""
    return [each for each in targets if " " not in each] if any(" " in each for each in targets) else []


def _distinct(rows: list[tuple[str, str]], name: str) -> Pairs:
    """The first pair of each source."""
    first, spaced = dict(reversed(rows)), any(" " in target for _, target in rows)
    sources = tuple(dict.fromkeys(source for source, _ in rows))
    targets = tuple(tuple(first[source].split() if spaced else first[source]) for source in sources)
    left = len(rows) - len(sources)
    notes = (f"{left} pairs left out whose source came before",) if left else ()
    if long := [target for target in _single([first[source] for source in sources]) if len(target) > 1]:
        notes += (f"{len(long)} targets without a blank are one symbol each, such as {long[0]!r}",)
    return Pairs(sources, targets, np.array(()), name, {}, spaced, notes)
