"""Questions about paragraphs, each answered by one sentence: XQuAD, and files of a user's own in SQuAD's form."""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import files, splits

LANGUAGES = ("de", "en", "es", "tr", "zh")
"""Of XQuAD."""
# Chinese ends a sentence without a blank behind it.
_END = re.compile(r"[.!?…]+[\"'»”“’)\]]*\s+(?![a-z])|[。！？]+[\"'”’」』）]*\s*")
# "J. Smith", "U.S. Army", "am 19. Jahrhundert", and what else has a full stop that ends nothing.
_NO_END = re.compile(
    r"[^\W\d]|\d{1,2}|.*\w\.\w.*|dr|mr|mrs|ms|st|sr|sra|jr|nr|vs|ca|bzw|etc|vol|gen|prof|inc|uu|ee", re.I
)


class Questions(NamedTuple):
    """Questions in the order of the paragraphs that they are about."""

    questions: tuple[str, ...]
    """[N]"""
    paragraphs: tuple[tuple[str, ...], ...]
    """[P] the sentences of each, two at least."""
    about: np.ndarray
    """[N] the paragraph of each question."""
    answers: np.ndarray
    """[N] the sentence of it in which the answer begins."""
    ids: tuple[str, ...]
    """[P] what is the same for a paragraph and its translations."""
    parts: np.ndarray
    """[P] of each paragraph "train", "validation" or "test", the same for its translations."""
    name: str
    checksums: dict[str, str]
    notes: tuple[str, ...] = ()
    """What the reader left out."""

    def rows(self, keep: np.ndarray) -> Questions:
        """The paragraphs where keep [P] is True, with their questions."""
        keep = np.asarray(keep, bool)
        asked, chosen = np.flatnonzero(keep[self.about]), np.flatnonzero(keep)
        return self._replace(
            questions=tuple(self.questions[row] for row in asked),
            paragraphs=tuple(self.paragraphs[row] for row in chosen),
            about=(np.cumsum(keep) - 1)[self.about[asked]],
            answers=self.answers[asked],
            ids=tuple(self.ids[row] for row in chosen),
            parts=self.parts[chosen],
        )


def sentences(text: str) -> list[tuple[int, str]]:
    """Where each sentence of a text begins, and the sentence, by its punctuation: of any language that has some.

    Example:
      >>> from jaxmeta.datasets import questions
      >>> questions.sentences("Mr. Hill left. Why? Nobody knows.")
      [(0, 'Mr. Hill left.'), (15, 'Why?'), (20, 'Nobody knows.')]
    """
    starts = [0]
    for found in _END.finditer(text):
        last = re.split(r"[\s(\"“]", text[: found.start()])[-1]
        if found[0][0] != "." or not _NO_END.fullmatch(last):
            starts.append(found.end())
    pieces = [(start, text[start:stop].strip()) for start, stop in itertools.pairwise([*starts, len(text)])]
    return [(start, piece) for start, piece in pieces if re.search(r"\w", piece)]


def load_questions(name_or_path: files.PathLike, *, data_dir: files.PathLike | None = None) -> Questions:
    """Loads questions about paragraphs: "xquad:LANGUAGE", or a JSON file in the form of SQuAD 1.1.

    Half of the articles are "train", a quarter "validation" and a quarter "test", shared out by a hash of an id of a
    question, which translations keep: so no paragraph and no article is on two sides, in any two languages. Paragraphs
    of one sentence, where there is nothing to choose, are left out.

    Args:
      name_or_path: "xquad:de" and so on, or a path to a .json.
      data_dir: where the folder xquad lies; by default the environment variable JAXMETA_DATA.

    Raises:
      ValueError: if there is no such name.
      DataError: if a file is missing, damaged or not as expected; the message names the question.
    """
    name = str(name_or_path)
    base, _, language = name.partition(":")
    path = pathlib.Path(name_or_path)
    if base == "xquad" and language:
        checks.choice(name, language, LANGUAGES)
        path = pathlib.Path(data_dir or os.environ.get("JAXMETA_DATA") or "", "xquad", f"xquad.{language}.json")
    if not path.is_file():
        hint = "" if path == pathlib.Path(name_or_path) else "name its folder with --data-dir or JAXMETA_DATA"
        form = f"a JSON file of questions, or xquad:LANGUAGE ({', '.join(LANGUAGES)})"
        checks.fail(name, path.name if hint else form, "no such file", hint, checks.DataError)
    with files.reading(path):
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    articles: list[str] = []
    questions: list[str] = []
    about: list[int] = []
    answers: list[int] = []
    paragraphs: list[tuple[str, ...]] = []
    ids: list[str] = []
    alone = 0
    for article, text, asked in _paragraphs(path, content):
        found = sentences(text)
        starts = [start for start, _ in found]
        if len(found) < 2:
            alone += 1
            continue
        for each in asked:
            answers.append(int(np.searchsorted(starts, _place(path, text, each), "right")) - 1)
            questions.append(each["question"].strip())
            about.append(len(paragraphs))
        paragraphs.append(tuple(sentence for _, sentence in found))
        ids.append(asked[0]["id"])
        articles.append(article)
    if not questions:
        checks.fail(str(path), "questions about paragraphs of two sentences or more", "none", error=checks.DataError)
    distinct = sorted(set(articles))
    part = {distinct[row]: part for part, rows in splits.deal(distinct, splits.halves(len(distinct))).items()
            for row in rows}  # fmt: skip
    notes = (f"{alone} paragraphs of one sentence left out",) if alone else ()
    parts = np.array([part[article] for article in articles])
    sums = {path.name: files.checksum(path)}
    named = name if base == "xquad" and language else files.stem(path)
    made = (tuple(questions), tuple(paragraphs), np.array(about), np.array(answers), tuple(ids), parts)
    return Questions(*made, named, sums, notes)


def _paragraphs(path: pathlib.Path, content: Any) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """An id of the article of each paragraph that is asked about, its text and its questions."""
    try:
        for article in content["data"]:
            own = [each for each in article["paragraphs"] if each["qas"]]
            for each in own:
                yield own[0]["qas"][0]["id"], each["context"], each["qas"]
    except (KeyError, TypeError, IndexError) as error:
        form = "SQuAD's: data, paragraphs, context, qas, id"
        checks.fail(str(path), form, f"another ({error!r})", error=checks.DataError)


def _place(path: pathlib.Path, text: str, asked: dict[str, Any]) -> int:
    """Where the first answer to a question begins."""
    where = f"{path}, question {asked.get('id')}"
    answers = asked.get("answers")
    if not answers or not str(asked.get("question", "")).strip():
        checks.fail(where, "a question and an answer", "none", "leave out what has none", checks.DataError)
    said, start = answers[0]["text"], answers[0]["answer_start"]
    if text[start : start + len(said)] != said:
        got = repr(text[start : start + len(said)])
        checks.fail(where, f"the answer {said!r} at {start}", got, error=checks.DataError)
    return start
