"""Mentions in sentences, and how many of them are found, as the script of the CoNLL shared tasks counts them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jaxmeta import checks

OUTSIDE = "O"
_PREFIXES = ("B", "I", "E", "S")


class Span(NamedTuple):
    """A mention: its type, its first token and the one after its last."""

    type: str
    start: int
    stop: int


class Found(NamedTuple):
    """Precision, recall and F1 of mentions, 0 where there are none; a mention counts if its type and both ends are
    right."""

    precision: float
    recall: float
    f1: float
    right: int
    """Mentions that were found as they are."""
    said: int
    wanted: int


def spans(tags: Sequence[str]) -> list[Span]:
    """The mentions of a sentence.

    A mention begins at B-TYPE, at S-TYPE, and at I-TYPE or E-TYPE that follows no token of its type; it goes on over
    the I-TYPE and E-TYPE that follow, up to E or S.

    Args:
      tags: of each token "O" or a prefix and a type.

    Raises:
      ValueError: for another tag.

    Example:
      >>> from jaxmeta import spans
      >>> spans.spans(["B-per", "I-per", "B-per", "O", "I-loc"])
      [Span(type='per', start=0, stop=2), Span(type='per', start=2, stop=3), Span(type='loc', start=4, stop=5)]
    """
    found: list[Span] = []
    going = ""  # the type of the mention that may go on
    for place, tag in enumerate(tags):
        prefix, _, kind = ("", "", "") if tag == OUTSIDE else tag.partition("-")
        if tag != OUTSIDE and (prefix not in _PREFIXES or not kind):
            checks.fail(f"tag {place}", "O, or B-, I-, E- or S- and a type", repr(tag))
        if prefix in ("I", "E") and kind == going:
            found[-1] = found[-1]._replace(stop=place + 1)
        elif prefix:
            found.append(Span(kind, place, place + 1))
        going = "" if prefix in ("", "E", "S") else kind
    return found


def score(wanted: Iterable[Sequence[str]], said: Iterable[Sequence[str]]) -> Found:
    """How many mentions are found, over all sentences together.

    Args:
      wanted: the right tags of each sentence.
      said: those that were predicted.

    Raises:
      ValueError: if a sentence has other numbers of tags.

    References:
      Tjong Kim Sang and Buchholz, Introduction to the CoNLL-2000 Shared Task: Chunking, 2000, and its conlleval.
    """
    counts = [0, 0, 0]
    for ours, theirs in zip(wanted, said, strict=True):
        if len(ours) != len(theirs):
            checks.fail("spans.score", f"{len(ours)} tags of a sentence", len(theirs))
        right, found = set(spans(ours)), set(spans(theirs))
        counts = [own + len(more) for own, more in zip(counts, (right & found, found, right), strict=True)]
    right, found, there = counts
    precision, recall = right / max(found, 1), right / max(there, 1)
    return Found(precision, recall, 2 * right / max(found + there, 1), right, found, there)
