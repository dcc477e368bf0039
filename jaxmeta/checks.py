"""Errors that say what was expected, what came and what to do."""

from __future__ import annotations

import difflib
import numbers
from typing import Any, NoReturn

import numpy as np

MOST_SHOWN = 500  # characters of what came


class DataError(ValueError):
    """A file, folder or archive cannot be used as it is; the message names it."""


def fail(what: str, expected: object, got: object, hint: str = "", error: type[Exception] = ValueError) -> NoReturn:
    """Raises `error` with the one sentence form that every message of the package has."""
    raise error(line(f"{what}: expected {expected}, got {shown(got)}" + (f"; {hint}" if hint else "")))


def shown(got: object) -> str:
    """What came, as text of a length that can be read: it may be a stranger's, and of any."""
    text = str(got)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]} .."


def line(text: object) -> str:
    """Returns text as one line that steers no terminal: names of files and what stands in them may be a stranger's."""
    text = " ".join(str(text).splitlines())
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def integer(what: str, value: Any, low: int, high: int | None = None, hint: str = "") -> int:
    """Returns `value` as an int, or raises if it is no whole number in [low, high]."""
    expected = f"a whole number of at least {low}" if high is None else f"a whole number from {low} to {high}"
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        fail(what, expected, f"{value!r} ({type(value).__name__})", hint, TypeError)
    number = int(value)
    if number < low or (high is not None and number > high):
        fail(what, expected, number, hint)
    return number


def seed(what: str, value: Any) -> int:
    """Returns `value` as an int, or raises if `jax.random.key` would make the key of another seed of it."""
    return integer(what, value, 0, 2**32 - 1, "a seed has 32 bits: 2**32 would be the seed 0 again")


def random_key(what: str, key: Any) -> None:
    """Raises TypeError if a number, nothing, or several keys stand where one should; keys of the old kind are two."""
    is_old = hasattr(key, "dtype") and isinstance(key.dtype, np.dtype)
    if getattr(key, "ndim", 0) > is_old:
        fail(f"{what}: key", "one random key", f"keys of shape {key.shape}", "keys[0] is one of several", TypeError)
    if not hasattr(key, "dtype") or (is_old and not key.ndim):
        fail(f"{what}: key", "a random key", f"{key!r} ({type(key).__name__})", "jax.random.key(0) is one", TypeError)


def choice(what: str, value: Any, options: Any) -> Any:
    """Returns `value` if it is one of `options`, else raises with the list of them and those that are written alike."""
    options = list(options)
    if value not in options:
        names = list(map(str, options))
        near = difflib.get_close_matches(str(value), names, cutoff=0.75)
        fail(what, f"one of {', '.join(names)}", repr(value), f"did you mean {' or '.join(near)}?" if near else "")
    return value


def picture_scale(what: str, inputs: Any) -> None:
    """Raises ValueError if pictures [N, height, width, 1 or 3] are neither uint8 nor floats in [0, 1] or around zero.

    Other inputs are not looked at, nor is what uint8 holds.
    """
    looked_at = _pictures(inputs)
    if looked_at is None or looked_at.dtype == np.uint8:
        return
    low, high = looked_at.min(), looked_at.max()
    if looked_at.dtype.kind in "biu" or (looked_at.dtype.kind == "f" and low >= 0 and high > 2):
        got = f"{looked_at.dtype} in {low:g}..{high:g}" if looked_at.dtype.kind == "f" else None
        hint = "give uint8 in 0..255, or floats in [0, 1]"
        fail(what, _SCALES, got or f"{looked_at.dtype} in {low}..{high}", hint)


def picture_range(what: str, inputs: Any, error: type[Exception] = ValueError, hint: str = "") -> None:
    """Raises `error` if pictures of uint8 use so little of 0..255 that their scale must be another."""
    looked_at = _pictures(inputs)
    if looked_at is None or looked_at.dtype != np.uint8 or int(looked_at.max()) >= _LEAST:
        return
    if 0 < (high := int(inputs.max())) < _LEAST:  # of all: some of many may be dark
        fail(what, _SCALES, f"uint8 in {inputs.min()}..{high}", hint or f"give floats, such as inputs / {high}", error)


_SCALES = "pictures of uint8 in 0..255 or floats in [0, 1]"
_LEAST = 32


def _pictures(inputs: Any) -> np.ndarray | None:
    """Some of the pictures, None if these are none."""
    if getattr(inputs, "ndim", 0) != 4 or inputs.shape[3] not in (1, 3) or not inputs.size:
        return None
    return np.asarray(inputs[:: -(-len(inputs) // 4096)])
