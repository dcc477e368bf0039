"""Sentences with a tag for each word: CrossNER, xSID, and CoNLL files of a user's own."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from jaxmeta import checks
from jaxmeta.datasets import files

DOMAINS = ("ai", "literature", "music", "politics", "science")
"""Of CrossNER."""
LANGUAGES = ("ar", "da", "de", "de-st", "en", "id", "it", "ja", "nl", "sr", "tr", "zh")
"""Of xSID."""


class Tagged(NamedTuple):
    """Sentences whose words have tags."""

    words: tuple[tuple[str, ...], ...]
    tags: tuple[tuple[str, ...], ...]
    """"O", or a prefix and a type, such as "B-person"."""
    ids: tuple[str, ...]
    """What is the same for a sentence and its translations; its number where a file has none."""
    name: str
    checksums: dict[str, str]

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
        tab, empty lines between sentences, comments behind #.
      split: "train", "dev" or "test" of crossner, "valid" or "test" of xsid; a file of one's own is read whole.
      data_dir: where the folders crossner and xsid lie; by default the environment variable JAXMETA_DATA.

    Raises:
      ValueError: if there is no such name or split.
      DataError: if a file is missing, damaged or not as expected; the message names the row.
    """
    name = str(name_or_path)
    base, _, part = name.partition(":")
    if base not in ("crossner", "xsid") or not part:
        return _read(pathlib.Path(name_or_path), files.stem(name_or_path))
    checks.choice(name, part, DOMAINS if base == "crossner" else LANGUAGES)
    checks.choice("split", split, ("train", "dev", "test") if base == "crossner" else ("valid", "test"))
    folder = data_dir or os.environ.get("JAXMETA_DATA")
    file = f"{part}/{split}.txt" if base == "crossner" else f"{part}.{split}.conll"
    path = pathlib.Path(folder or "", base, file)
    if not path.is_file():
        got, hint = (
            f"no such file in {folder}" if folder else "no data folder",
            "name it with --data-dir or JAXMETA_DATA",
        )
        checks.fail(name, f"{base}/{file}", got, hint, checks.DataError)
    return _read(path, name)


def _read(path: pathlib.Path, name: str) -> Tagged:
    if not path.is_file():
        checks.fail(
            str(path), "crossner:DOMAIN, xsid:LANGUAGE, or a CoNLL file", "no such file", error=checks.DataError
        )
    with files.reading(path):
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    words, tags, ids = [], [], []
    now: list[tuple[str, str]] = []
    about = ""

    def end() -> None:
        nonlocal about
        if now:
            words.append(tuple(word for word, _ in now))
            tags.append(tuple(tag for _, tag in now))
            ids.append(about or str(len(ids)))
        now.clear()
        about = ""

    for number, line in enumerate(lines, 1):
        cells = line.strip().split("\t") if "\t" in line else line.split()
        if not line.strip():
            end()
        elif line.startswith("# ") and not now:
            key, _, value = line[2:].partition("=")
            about = value.strip() if key.strip() == "id" else about
        else:
            now.append(_cell(path, number, cells))
    end()
    if not words:
        checks.fail(str(path), "sentences with a tag for each word", "an empty file", error=checks.DataError)
    return Tagged(tuple(words), tuple(tags), tuple(ids), name, {path.name: files.checksum(path)})


def _cell(path: pathlib.Path, number: int, cells: Sequence[str]) -> tuple[str, str]:
    if len(cells) < 2:
        got = f"{len(cells)} columns"
        checks.fail(f"{path}, row {number}", "a word and its tag", got, error=checks.DataError)
    # A first column that counts words is none of them.
    word, tag = cells[1 if len(cells) > 2 and cells[0].isdecimal() else 0], cells[-1]
    if tag != "O" and tag[:2] not in ("B-", "I-", "E-", "S-"):
        checks.fail(f"{path}, row {number}", "O, or B-, I-, E- or S- and a type", repr(tag), error=checks.DataError)
    return word, tag
