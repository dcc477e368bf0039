"""Sentences with a tag for each word: CrossNER, xSID, and CoNLL files of a user's own."""

from __future__ import annotations

import os
import pathlib
import re
from typing import NamedTuple, NoReturn

from jaxmeta import checks
from jaxmeta.datasets import corpora, files, spellings, splits

DOMAINS = ("ai", "literature", "music", "politics", "science")
"""Of CrossNER."""
LANGUAGES = ("ar", "da", "de", "de-st", "en", "id", "it", "ja", "nl", "sr", "tr", "zh")
"""Of xSID."""
_PREFIXES = ("B-", "I-", "E-", "S-")
_CALLED_OUTSIDE = tuple(f"{prefix}O" for prefix in _PREFIXES)
_NUMBER = re.compile(r"\d+([-.]\d+)?")  # of a word, or in CoNLL-U of several that are written as one: 3-4, 8.1


class _Row(NamedTuple):
    """A word, and what stands before and behind it."""

    number: int
    """Of the line, from 1."""
    line: str
    cells: list[str]

    @property
    def has_tabs(self) -> bool:
        return "\t" in self.line.strip()

    @property
    def is_tagged(self) -> bool:
        return len(self.cells) > 1 and _is_tag(self.cells[-1])

    @property
    def may_be_comment(self) -> bool:
        return self.line.startswith("# ")


_Found = list[tuple[str, list[_Row]]]  # of each sentence what a comment calls it, or "", and its rows


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
    notes: tuple[str, ...] = ()
    """What the reader left out."""

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
        tab, empty lines between sentences. A first column that counts the words of every sentence from 1 is left out,
        and so are comments, lines above a sentence that begin with # and a blank and are no rows like the others.
        A mention begins at B-, and at an I- that follows no word of its type: files with a B- at each mention and those
        that have it between neighbours alone are both read.
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
    """Loads sentences to be tagged: a word a line, an empty line after a sentence.

    A first column that counts the words of every sentence is left out, and so is what stands behind a word, between
    tabs or with a tag in the end: other blanks may be those of a sentence, which is refused.

    Raises:
      DataError: if the file is missing, not UTF-8 or empty, rows have other numbers of columns than the first, or have
        several words.
    """
    path = pathlib.Path(path)
    found = _sentences(path)
    rows = [row for _, own in found for row in own]
    columns = len(rows[0].cells)
    for row in rows:
        if len(row.cells) != columns:
            got = f"{len(row.cells)} where others have {columns}"
            _fail(path, row, "a word a line, and columns as in the others", got)
    is_tagged = all(row.is_tagged for row in rows)
    # Two columns with tags are words, which may be numbers, and their tags.
    is_counted = columns > 1 + is_tagged and _are_counted(path, found)
    # A list of sentences may be numbered, too.
    if columns > 1 + (is_counted and columns == 2) and not is_tagged and not all(row.has_tabs for row in rows):
        row = next(row for row in rows if not row.has_tabs)
        hint = "write each word in a line, or a tab between a word and what stands behind it"
        _fail(path, row, "a word a line", f"{columns} words", hint)
    words = tuple(tuple(_word(path, row, is_counted) for row in own) for _, own in found)
    told = [f"{len(rows)} words in {len(words)} sentence{'s' if len(words) > 1 else ''}"]
    told += ["column 1 counts the words"] if is_counted else []
    behind = columns - 1 - is_counted
    told += [f"what stands behind the words passed over, such as {rows[0].cells[-1]!r}"] if behind else []
    files.said(path, *told)
    return words


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
    found = _sentences(path)
    rows = [row for _, own in found for row in own]
    for row in rows:
        _check(path, row)
    is_counted = all(len(row.cells) > 2 for row in rows) and _are_counted(path, found)
    # Published files have some; whether one is left out changes no mention.
    empty = sum(_is_nothing(row, is_counted) for row in rows)
    found = [(about, [row for row in own if not _is_nothing(row, is_counted)]) for about, own in found]
    found = [(about, own) for about, own in found if own]
    words = tuple(tuple(_word(path, row, is_counted) for row in own) for _, own in found)
    tags = tuple(tuple(row.cells[-1] for row in own) for _, own in found)
    notes = (f"{empty} row{'s' if empty > 1 else ''} without a word left out",) if empty else ()
    ids = tuple(about or str(number) for number, (about, _) in enumerate(found))
    made = Tagged(words, tags, ids, name, {path.name: files.checksum(path)}, notes=notes)
    wanted, hint = "one spelling for a type", "write both alike, or more unlike"
    spellings.spelled(made.types, lambda row, got: checks.fail(str(path), wanted, got, hint, checks.DataError))
    return made


def _is_nothing(row: _Row, is_counted: bool) -> bool:
    """Whether a row has no word, and its tag is no mention's."""
    return not row.cells[is_counted] and row.cells[-1] == "O"


def _sentences(path: pathlib.Path) -> _Found:
    """The sentences of a file, without comments; there is one at least."""
    if not path.is_file():
        got = "a folder" if path.is_dir() else "no such file"
        checks.fail(str(path), "crossner:DOMAIN, xsid:LANGUAGE, or a CoNLL file", got, error=checks.DataError)
    rows = [_row(number, line) for number, line in enumerate(files.text(path).split("\n"), 1)]
    shapes = {(row.has_tabs, len(row.cells)) for row in rows if not row.may_be_comment}
    found: _Found = []
    now: list[_Row] = []
    about = ""
    for row in [*rows, _row(0, "")]:
        if not row.cells or row.cells[0] == "-DOCSTART-":  # which stands before the documents of CoNLL-2003
            found += [(about, now)] if now else []
            now, about = [], ""
        elif not now and row.may_be_comment and not _is_word(row, shapes):
            key, _, value = row.line[2:].partition("=")
            about = value.strip() if key.strip() == "id" else about
        else:
            now.append(row)
    return found or checks.fail(str(path), "sentences with words", "an empty file", error=checks.DataError)


def _row(number: int, line: str) -> _Row:
    plain = line.strip()
    cells = plain.split("\t") if "\t" in plain else plain.split()
    return _Row(number, line, [cell.strip() for cell in cells])


def _is_word(row: _Row, shapes: set[tuple[bool, int]]) -> bool:
    """Whether # begins no comment but is a word with its tag, in as many columns as others have."""
    like = not shapes or (row.has_tabs, len(row.cells)) in shapes
    return row.is_tagged and like and row.cells[1:3][-1] != "="


def _are_counted(path: pathlib.Path, found: _Found) -> bool:
    """Whether the first column counts the words of every sentence: 1, 2, 3 ..

    Raises:
      DataError: if it is of numbers and yet no such, so that it may be a counter or the words.
    """
    firsts = [[row.cells[0] for row in own] for _, own in found]
    if all(own == [str(number) for number in range(1, len(own) + 1)] for own in firsts):
        return True
    if sum(map(len, firsts)) > 1 and all(_NUMBER.fullmatch(first) for own in firsts for first in own):
        got = ", ".join([first for own in firsts for first in own][:4])
        hint = "number the words of each sentence from 1, each in a line of its own, or remove the column"
        checks.fail(f"{path}, column 1", "words, or a counter of them in every sentence", got, hint, checks.DataError)
    return False


def _check(path: pathlib.Path, row: _Row) -> None:
    if len(row.cells) < 2:
        _fail(path, row, "a word and its tag", f"{len(row.cells)} columns")
    if not row.is_tagged:
        _fail(path, row, "O, or B-, I-, E- or S- and a type", repr(row.cells[-1]))
    if row.cells[-1] in _CALLED_OUTSIDE:
        _fail(path, row, "a type that is not called as no mention is", repr(row.cells[-1]), "give it another name")


def _word(path: pathlib.Path, row: _Row, is_counted: bool) -> str:
    return row.cells[is_counted] or _fail(path, row, "a word", "none")


def _fail(path: pathlib.Path, row: _Row, expected: str, got: str, hint: str = "") -> NoReturn:
    checks.fail(f"{path}, row {row.number}", expected, got, hint, checks.DataError)


def _is_tag(text: str) -> bool:
    return text == "O" or (text[:2] in _PREFIXES and len(text) > 2)
