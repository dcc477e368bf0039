"""Records of plain values: each field is of the kind that its annotation says, whoever made the record."""

from __future__ import annotations

import dataclasses
import functools
import numbers
import os
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy as np

from jaxmeta import checks

_Record = TypeVar("_Record")
_NONE: Mapping[str, int] = {}


def plain(record: _Record, lowest: Mapping[str, int] = _NONE) -> _Record:
    """A dataclass with Python's own values in its fields, as equality, hashes and JSON ask: a list is made a tuple, one
    value where several may be a tuple of it, a path a text, and a number of NumPy's one of Python's.

    Args:
      record: fields are texts, numbers, choices, tuples of them, or such dataclasses.
      lowest: {field: the least that its whole numbers may be}.

    Raises:
      TypeError: if a field is of another kind.
      ValueError: if it is none of its choices, too small, or has too many or too few parts.
    """
    changes = {}
    for name, hint in _hints(type(record)).items():
        value = getattr(record, name)
        if dataclasses.is_dataclass(hint):
            if not isinstance(value, typing.cast(type, hint)):
                _refuse(f"`{name}`", f"a {hint.__name__}", value)  # type: ignore[union-attr]
            made = plain(value, lowest)
        else:
            made = _as(f"`{name}`", hint, value, lowest.get(name))
        if made is not value:
            changes[name] = made
    return dataclasses.replace(record, **changes) if changes else record  # type: ignore[type-var]


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _as(what: str, hint: Any, value: Any, low: int | None) -> Any:
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return checks.choice(what, value, inside)
    if type(None) in inside:
        return None if value is None else _as(what, next(each for each in inside if each is not type(None)), value, low)
    if origin is tuple:
        return _several(what, inside, value, low)
    if hint is int:
        if low is not None:
            return checks.integer(what, value, low)
        return int(value) if _is(value, numbers.Integral) else _refuse(what, "a whole number", value)
    if hint is float:  # a whole number stays one: the records of before have it so
        if type(value) in (int, float):
            return value
        return float(value) if _is(value, numbers.Real) else _refuse(what, "a number", value)
    if hint is bool:
        return bool(value) if isinstance(value, bool | np.bool_) else _refuse(what, "True or False", value)
    return os.fspath(value) if isinstance(value, str | os.PathLike) else _refuse(what, "a text", value)


def _several(what: str, inside: tuple[Any, ...], value: Any, low: int | None) -> tuple[Any, ...]:
    if isinstance(value, str | os.PathLike | numbers.Number):
        value = (value,)
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        _refuse(what, "a tuple", value)
    parts = tuple(value)
    if inside[-1] is Ellipsis:
        inside = inside[:1] * len(parts)
    if len(parts) != len(inside):
        checks.fail(what, f"{len(inside)} of them", parts)
    return tuple(_as(what, hint, each, low) for hint, each in zip(inside, parts, strict=True))


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _refuse(what: str, wanted: str, value: Any) -> typing.NoReturn:
    checks.fail(what, wanted, f"{value!r} ({type(value).__name__})", error=TypeError)
