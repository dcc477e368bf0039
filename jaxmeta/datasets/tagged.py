"""Sentences with a tag for each word: CrossNER, xSID, and CoNLL files of a user's own."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from jaxmeta import checks
from jaxmeta.datasets import corpora, files, spellings, splits

DOMAINS = ("ai", "literature", "music", "politics", "science")
"""Of CrossNER."""
LANGUAGES = ("ar", "da", "de", "de-st", "en", "id", "it", "ja", "nl", "sr", "tr", "zh")
"""Of xSID."""
_PREFIXES = ("B-", "I-", "E-", "S-")
_Cell = tuple[str, str]  # a word, and what stands behind it


class Tagged(NamedTuple):
    """Sentences whose words have tags."""

    words: tuple[tuple[str, ...], ...]
    tags: tuple[tuple[str, ...], ...]
    """"O", or a prefix and a type, such as "B-person"."""
    ids: tuple[str, ...]
    """What is the same for a sentence and its translations; its number where a file has none."""
    name: str
    checksums: dict[str, str]
    parts: tuple[str, ...] = ()
    """Of each sentence "train", "validation" or "test", where `load_sentences` says so."""

    @property
    def types(self) -> tuple[str, ...]:
        """The types of mentions that there are."""
        return tuple(sorted({tag.partition("-")[2] for tags in self.tags for tag in tags} - {""}))


def load_tagged(
    name_or_path: files.PathLike, split: str = "train", *, data_dir: files.PathLike | None = None
) -> Tagged:
    """Loads sentences with a tag for each word.

    Args:
      name_or_path: "crossner:DOMAIN", "xsid:LANGUAGE", or a CoNLL file: a word a line, its tag behind the last blank or
        tab, empty lines between sentences, comments behind #. A mention begins at B-, and at an I- that follows no
        word of its type: files with a B- at each mention and those that have it between neighbours alone are both read.
      split: "train", "dev" or "test" of crossner, "valid" or "test" of xsid; a file of one's own is read whole.
      data_dir: where the folders crossner and xsid lie; by default the environment variable JAXMETA_DATA.

    Raises:
      ValueError: if there is no such name or split.
      DataError: if a file is missing, damaged or not as expected; the message names the row.
    """
    name = str(name_or_path)
    if not _is_published(name):
        return _read(pathlib.Path(name_or_path), files.stem(name_or_path))
    checks.choice("split", split, _published(name))
    folder = data_dir or os.environ.get("JAXMETA_DATA")
    path = pathlib.Path(folder or "", _place(name, split))
    if not path.is_file():
        got, hint = (
            f"no such file in {folder}" if folder else "no data folder",
            "name it with --data-dir or JAXMETA_DATA",
        )
        checks.fail(name, _place(name, split).as_posix(), got, hint, checks.DataError)
    return _read(path, name)


def load_sentences(name_or_path: files.PathLike, *, data_dir: files.PathLike | None = None) -> Tagged:
    """Loads all sentences of a domain, each with its part.

    Published training and development sentences (of xSID those of validation) are "train"; of the published test
    sentences one half is "validation" and one is "test"; of a file of one's own 8 of 10 sentences are "train", one
    "validation" and one "test". They are shared out by a hash of `ids`, which are the same for equal sentences, and in
    xSID for the translations of one.

    Args:
      name_or_path: as for `load_tagged`.
      data_dir: as for `load_tagged`.

    Raises:
      ValueError: if there is no such name.
      DataError: if a file is missing, damaged or not as expected; the message names the row.
    """
    name = str(name_or_path)
    read = _published(name) if _is_published(name) else ("",)
    loaded = [_with_parts(load_tagged(name, split, data_dir=data_dir), split) for split in read]
    words, tags, ids, parts = (
        tuple(one for each in loaded for one in getattr(each, field)) for field in ("words", "tags", "ids", "parts")
    )
    checksums = {file: value for each in loaded for file, value in each.checksums.items()}
    return Tagged(words, tags, ids, loaded[0].name, checksums, parts)


def load_words(path: files.PathLike) -> tuple[tuple[str, ...], ...]:
    """Loads sentences to be tagged: a word a line, an empty line after a sentence; what stands behind it is left out.

    Raises:
      DataError: if the file is missing, not UTF-8 or empty, or rows have other numbers of columns than the first: whole
        sentences in a line do.
    """
    columns = 0

    def word(where: str, cells: Sequence[str]) -> _Cell:
        nonlocal columns
        columns = columns or len(cells)
        if len(cells) != columns:
            got = f"{len(cells)} where others have {columns}"
            checks.fail(where, "a word a line, and columns as in the others", got, error=checks.DataError)
        return _word(where, cells), ""

    return tuple(tuple(word for word, _ in cells) for _, cells in _sentences(pathlib.Path(path), word))


def find(folder: pathlib.Path, name: str) -> list[pathlib.Path]:
    """The files of a published domain in the folder of its set; none if one is missing."""
    paths = [folder.parent / _place(name, split) for split in _published(name)]
    return paths if all(path.is_file() for path in paths) else []


def _is_published(name: str) -> bool:
    base, _, part = name.partition(":")
    if base not in ("crossner", "xsid") or not part:
        return False
    checks.choice(name, part, DOMAINS if base == "crossner" else LANGUAGES)
    return True


def _published(name: str) -> tuple[str, ...]:
    return ("train", "dev", "test") if name.startswith("crossner:") else ("valid", "test")


def _place(name: str, split: str) -> pathlib.Path:
    """Where a published file lies in the data folder."""
    base, _, part = name.partition(":")
    return pathlib.Path(base, f"{part}/{split}.txt" if base == "crossner" else f"{part}.{split}.conll")


def _with_parts(loaded: Tagged, split: str) -> Tagged:
    """Sentences of a published split, or "" of all of a person's own, each with its part."""
    if loaded.name.startswith("xsid:"):
        ids = tuple(f"{split} {number}" for number in loaded.ids)
    else:
        ids = tuple(corpora.identity(" ".join(own)) for own in loaded.words)
    tenth, half = len(ids) // 10, len(ids) // 2
    sizes = {"": {"train": len(ids) - 2 * tenth, "validation": tenth, "test": tenth},
             "test": {"validation": half, "test": len(ids) - half}}.get(split, {"train": len(ids)})  # fmt: skip
    place = {row: part for part, rows in splits.deal(ids, sizes).items() for row in rows}
    return loaded._replace(ids=ids, parts=tuple(place[row] for row in range(len(ids))))


def _read(path: pathlib.Path, name: str) -> Tagged:
    found = _sentences(path, _cell)
    words, tags = (tuple(tuple(cell[at] for cell in cells) for _, cells in found) for at in (0, 1))
    ids = tuple(about or str(number) for number, (about, _) in enumerate(found))
    made = Tagged(words, tags, ids, name, {path.name: files.checksum(path)})
    wanted, hint = "one spelling for a type", "write both alike, or more unlike"
    spellings.spelled(made.types, lambda row, got: checks.fail(str(path), wanted, got, hint, checks.DataError))
    return made


def _sentences(path: pathlib.Path, cell: Callable[[str, Sequence[str]], _Cell]) -> list[tuple[str, list[_Cell]]]:
    """The id of each sentence, where a comment gives one, and what `cell` makes of its rows."""
    if not path.is_file():
        got = "a folder" if path.is_dir() else "no such file"
        checks.fail(str(path), "crossner:DOMAIN, xsid:LANGUAGE, or a CoNLL file", got, error=checks.DataError)
    lines = files.text(path).split("\n")
    found: list[tuple[str, list[_Cell]]] = []
    now: list[_Cell] = []
    about = ""
    for number, line in enumerate([*lines, ""], 1):
        plain = line.strip()
        cells = plain.split("\t") if "\t" in plain else plain.split()
        if not cells or cells[0] == "-DOCSTART-":  # which stands before the documents of CoNLL-2003
            found += [(about, now)] if now else []
            now, about = [], ""
        elif line.startswith("# ") and not now and not (len(cells) == 2 and _is_tag(cells[1])):
            key, _, value = line[2:].partition("=")
            about = value.strip() if key.strip() == "id" else about
        else:
            now.append(cell(f"{path}, row {number}", cells))
    return found or checks.fail(str(path), "sentences with words", "an empty file", error=checks.DataError)


def _cell(where: str, cells: Sequence[str]) -> _Cell:
    if len(cells) < 2:
        got = f"{len(cells)} columns"
        checks.fail(where, "a word and its tag", got, error=checks.DataError)
    if not _is_tag(cells[-1]):
        checks.fail(where, "O, or B-, I-, E- or S- and a type", repr(cells[-1]), error=checks.DataError)
    return _word(where, cells), cells[-1]


def _word(where: str, cells: Sequence[str]) -> str:
    # A first column that counts words is none of them.
    word = cells[1 if len(cells) > 2 and cells[0].isdecimal() else 0].strip()
    return word or checks.fail(where, "a word", "none", error=checks.DataError)


def _is_tag(text: str) -> bool:
    return text == "O" or (text[:2] in _PREFIXES and len(text) > 2)
