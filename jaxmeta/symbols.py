"""Letters and symbols as networks take them: numbers that are a task's own, and the marks that they are told by.

Every task of strings to strings has symbols of its own, as every classification has classes of its own: a target is
numbers of the task's symbols, and what is known of a symbol besides its examples is what it is written with. So a
network that learned from some languages takes a language with other letters and other sounds.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxmeta import checks

PADDING, END, UNKNOWN = 0, 1, -1
"""Numbers in targets: nothing; the end; a symbol that the support set does not show, which nobody can name."""
FIRST = 2
"""The number of the first symbol."""
SHOWN = 4
"""Of a letter or symbol so many marks are told: itself and what it is composed of."""
BUCKETS = 2048
"""Marks are told by numbers in 1 .. BUCKETS - 1."""


class Room(NamedTuple):
    """The one size in which languages meet; parameters do not hang on it."""

    longest: int = 16
    """Letters of a source, and symbols of a target."""
    letters: int = 64
    """Different letters of a task."""
    symbols: int = 96
    """Different symbols of a task's targets, padding and end among them."""

    @property
    def width(self) -> int:
        """The length of a row of inputs."""
        return self.longest + SHOWN * (self.letters + self.symbols)


class Alphabet(NamedTuple):
    """The letters and symbols of a language; their numbers are places in it, from 1 and from `FIRST` on."""

    letters: tuple[str, ...]
    symbols: tuple[str, ...]


def alphabet(sources: Iterable[str], targets: Iterable[Sequence[str]]) -> Alphabet:
    """The letters and symbols that strings have."""
    letters = sorted({letter for source in sources for letter in source})
    return Alphabet(tuple(letters), tuple(sorted({symbol for target in targets for symbol in target})))


def marks(symbol: str) -> list[int]:
    """What a letter or symbol is told by, `SHOWN` numbers, 0 where there are fewer.

    First itself, then the base characters and accents that it is composed of; of scripts other than Latin the first
    letter of the character's name stands for it, which is often its sound ("θ", theta, by t).
    """
    told = [symbol, *(_plain(each) for each in unicodedata.normalize("NFD", symbol) if each != "͡")]
    numbers = [zlib.crc32(each.encode()) % (BUCKETS - 1) + 1 for each in dict.fromkeys(told)][:SHOWN]
    return numbers + [0] * (SHOWN - len(numbers))


def _plain(character: str) -> str:
    name, category = unicodedata.name(character, ""), unicodedata.category(character)
    if category in ("Ll", "Lu", "Lo") and " LETTER " in name and not name.startswith("LATIN"):
        return name.split()[-1][0].lower()
    return character.casefold()


def encoded_sources(sources: Sequence[str], known: Alphabet, room: Room, what: str = "strings") -> np.ndarray:
    """Sources as a network takes them: [N, room.width] int32, the numbers of letters and, in every row, the alphabet.

    Raises:
      ValueError: if one is longer than there is room, or the alphabet is larger.
    """
    _check_room(what, known, room)
    numbers = {letter: index for index, letter in enumerate(known.letters, 1)}
    rows = np.zeros((len(sources), room.width), np.int32)
    for row, source in zip(rows, sources, strict=True):
        if len(source) > room.longest:
            checks.fail(what, f"strings of at most {room.longest} letters", repr(source), error=checks.DataError)
        row[: len(source)] = [numbers[letter] for letter in source]
    rows[:, room.longest :] = _table(known, room)
    return rows


def encoded_targets(targets: Sequence[Sequence[str]], known: Alphabet, room: Room, what: str = "strings") -> np.ndarray:
    """Targets as numbers of symbols, an end and padding: [N, room.longest + 1] int32.

    Raises:
      ValueError: if one is longer than there is room.
    """
    numbers = {symbol: index for index, symbol in enumerate(known.symbols, FIRST)}
    rows = np.zeros((len(targets), room.longest + 1), np.int32)
    for row, target in zip(rows, targets, strict=True):
        if len(target) > room.longest:
            got = repr(" ".join(target))
            checks.fail(what, f"targets of at most {room.longest} symbols", got, error=checks.DataError)
        row[: len(target) + 1] = [*(numbers[symbol] for symbol in target), END]
    return rows


def decoded(outputs: Any, known: Sequence[str]) -> list[tuple[str, ...]]:
    """The symbols that numbers [N, T] stand for, up to the end; `known` are those of `Alphabet.symbols`."""
    rows = np.asarray(outputs).round().astype(int)
    ended = [row[: np.flatnonzero(np.append(row, END) == END)[0]] for row in rows]
    return [tuple(known[int(number) - FIRST] for number in row if number >= FIRST) for row in ended]


def _check_room(what: str, known: Alphabet, room: Room) -> None:
    for name, count, most in (
        ("letters", len(known.letters), room.letters), ("symbols", len(known.symbols), room.symbols - FIRST),
    ):  # fmt: skip
        if count > most:
            checks.fail(what, f"at most {most} different {name}", count, error=checks.DataError)


def _table(known: Alphabet, room: Room) -> np.ndarray:
    """The marks of letters and symbols, flat; of what is none zeros."""
    table = np.zeros((room.letters + room.symbols, SHOWN), np.int32)
    table[: len(known.letters)] = [marks(letter) for letter in known.letters] or np.zeros((0, SHOWN))
    own = table[room.letters :]
    own[END] = marks("\n")
    own[FIRST : FIRST + len(known.symbols)] = [marks(symbol) for symbol in known.symbols] or np.zeros((0, SHOWN))
    return table.ravel()
