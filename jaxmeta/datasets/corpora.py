"""Published sets of texts, as their publishers have the files: intents, sentiment, topics."""

from __future__ import annotations

import collections
import csv
import json
import pathlib
import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import examples, files, splits

LEAST = 20  # examples of a class of xsid; three of its sixteen have one to five
_SENTIMENT = {"amazon": "amazon_cells_labelled.txt", "imdb": "imdb_labelled.txt", "yelp": "yelp_labelled.txt"}
_PARTS = {"train": "train", "dev": "validation", "validate": "validation", "val": "validation", "test": "test"}


class _Rows(NamedTuple):
    """What a set's files say, one entry an example."""

    texts: list[str]
    labels: list[str]
    paths: list[pathlib.Path]
    parts: list[str] | None = None
    ids: list[str] | None = None
    notes: tuple[str, ...] = ()


def _clinc150(folder: pathlib.Path, part: str) -> _Rows:
    path, domains = folder / "data_full.json", _domains(folder)
    with files.reading(path):
        content = json.loads(path.read_text("utf-8"))
        pairs = [(text, label) for name in ("train", "val", "test") for text, label in content[name]]
    wanted = set(domains[part]) if part else {name for names in domains.values() for name in names}
    pairs = [(text, label) for text, label in pairs if label in wanted]
    return _Rows(*map(list, zip(*pairs, strict=True)), [path, folder / "domains.json"])  # type: ignore[arg-type]


def _domains(folder: pathlib.Path) -> dict[str, list[str]]:
    path = folder / "domains.json"
    with files.reading(path):
        return json.loads(path.read_text("utf-8"))


def _banking77(folder: pathlib.Path, part: str) -> _Rows:
    del part
    paths, rows = [folder / "train.csv", folder / "test.csv"], []
    for path in paths:
        with files.reading(path), path.open(encoding="utf-8", newline="") as stream:
            rows += list(csv.reader(stream))[1:]
    return _Rows([row[0] for row in rows], [row[1] for row in rows], paths)


def _separated(path: pathlib.Path, width: int) -> list[list[str]]:
    with files.reading(path):  # no csv: quotes stand for themselves
        lines = path.read_text("utf-8").split("\n")
    rows = [[cell.strip() for cell in line.rsplit("\t", width - 1)] for line in lines if line.strip()]
    for number, row in enumerate(rows, 1):
        if len(row) != width:
            checks.fail(f"{path}, row {number}", f"{width} cells between tabs", len(row), error=checks.DataError)
    return rows


def _snips7(folder: pathlib.Path, part: str) -> _Rows:
    del part
    rows = _separated(folder / "snips7.tsv", 3)[1:]
    return _Rows([row[0] for row in rows], [row[1] for row in rows], [folder / "snips7.tsv"])


def _sentiment(folder: pathlib.Path, part: str) -> _Rows:
    path = folder / _SENTIMENT[part]
    rows = _separated(path, 2)
    return _Rows([row[0] for row in rows], [{"0": "negative", "1": "positive"}[row[1]] for row in rows], [path])


def _sib200(folder: pathlib.Path, part: str) -> _Rows:
    paths = [folder / part / f"{name}.tsv" for name in ("train", "dev", "test")]
    rows = [(path.stem, *(cell.strip() for cell in line.split("\t", 2))) for path in paths for line in _lines(path)[1:]]
    texts = [_unquoted(row[3]) for row in rows]
    ids = [f"sib200 {row[1]}" for row in rows]
    return _Rows(texts, [row[2] for row in rows], paths, [_PARTS[row[0]] for row in rows], ids)


def _lines(path: pathlib.Path) -> list[str]:
    with files.reading(path):
        return [line for line in path.read_text("utf-8").split("\n") if line.strip()]


def _unquoted(cell: str) -> str:
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"'
    return cell[1:-1].replace('""', '"') if quoted else cell


def _xsid(folder: pathlib.Path, part: str) -> _Rows:
    """Sentences go by their English originals, some of which come twice."""
    paths = [folder / f"{part}.{name}.conll" for name in ("valid", "test")]
    found: dict[str, tuple[str, str]] = {}
    count = 0
    for path in paths:
        about: dict[str, str] = {}
        for line in [*_lines(path), "# text = "]:
            told = re.match(r"# (text|text-en|intent) = ?(.*)", line)
            if told and told[1] in about and len(about) > 1:
                original = identity(about.get("text-en", about["text"]))
                found.setdefault(original, (about["text"].strip(), about["intent"].strip()))
                about, count = {}, count + 1
            if told:
                about[told[1]] = told[2]
    sizes = collections.Counter(label for _, label in found.values())
    kept = {original: each for original, each in found.items() if sizes[each[1]] >= LEAST}
    notes = (f"{count - len(found)} sentences left out that come twice, and {len(found) - len(kept)} of classes of "
             f"fewer than {LEAST}",)  # fmt: skip
    return _Rows(
        [text for text, _ in kept.values()], [label for _, label in kept.values()], paths, None, [*kept], notes
    )


class _Corpus(NamedTuple):
    read: Callable[[pathlib.Path, str], _Rows]
    first: str
    """A file that is there where the set lies; {} stands for the part."""


CORPORA = {
    "clinc150": _Corpus(_clinc150, "data_full.json"),
    "banking77": _Corpus(_banking77, "categories.json"),
    "snips7": _Corpus(_snips7, "snips7.tsv"),
    "sentiment": _Corpus(_sentiment, "amazon_cells_labelled.txt"),
    "sib200": _Corpus(_sib200, "{}/train.tsv"),
    "xsid": _Corpus(_xsid, "{}.valid.conll"),
}


def identity(text: str) -> str:
    """What of a text tells it from others: neither case nor punctuation nor spaces."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.sub(r"[\W_]+", " ", plain).split()) or plain.strip()


def wanted(name: str) -> str:
    """What a data folder must hold."""
    return CORPORA[name].first.format("LANGUAGE")


def find(folder: pathlib.Path, name: str) -> pathlib.Path | None:
    """The folder, if the set lies in it."""
    base, _, part = name.partition(":")
    return folder if (folder / CORPORA[base].first.format(part)).is_file() else None


def load(folder: pathlib.Path, name: str, split: str | None) -> examples.Examples:
    """Reads one of `CORPORA`, or a part of it, such as a domain of clinc150 or a language of xsid.

    clinc150 is split by domain, banking77 by class, sentiment by rows of each class, sib200 as published, xsid by the
    sentence that all languages share.
    """
    base, _, part = name.partition(":")
    rows = CORPORA[base].read(folder, part)
    texts = [" ".join(text.split()) for text in rows.texts]
    for number, text in enumerate(texts, 1):
        if not text:
            checks.fail(f"{name}, text {number}", "at least one letter", "none", error=checks.DataError)
    checksums = {path.name: files.checksum(path) for path in rows.paths}
    made = examples.grouped(
        np.array(texts), np.array(rows.labels), name=name, checksums=checksums, parts=rows.parts, notes=rows.notes,
        ids=rows.ids,
    )  # fmt: skip
    if split is None:
        return made
    if base == "clinc150":
        domain = {label: each for each, labels in _domains(folder).items() for label in labels}
        return splits.by_class(made, split, [domain[label] for label in made.class_names])
    if base == "banking77":
        return splits.by_class(made, split)
    if base == "xsid":
        assert made.ids is not None
        return splits.by_source(made, split, made.ids.tolist())
    return splits.by_part(made, split) if made.parts is not None else splits.by_example(made, split)
