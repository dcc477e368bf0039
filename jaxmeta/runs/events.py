"""What a training tells while it goes on, and what it ends with."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxmeta import arguments, checks
from jaxmeta.training import MetaState
from jaxmeta.types import PyTree

Scores = dict[str, float]


def lower_loss(new: Scores, best: Scores) -> bool:
    """The scores of which the loss is the lower are the better."""
    return new["loss"] < best["loss"]


def scores(found: Any, better: Callable[[Scores, Scores], bool]) -> Scores:
    """What a validation returned as floats, which need not be finite.

    Raises:
      TypeError: if it is no dict of numbers.
      ValueError: if it lacks the loss that `lower_loss` compares, or a name is one that lines of metrics have.
    """
    what, wanted = "fit: what validate returns", 'a dict of floats, such as {"loss": float}'
    if not isinstance(found, Mapping):
        checks.fail(what, wanted, "None" if found is None else f"a {type(found).__name__}", error=TypeError)
    values = {name: _as_float(value) for name, value in found.items()}
    if wrong := [name for name, value in values.items() if value is None]:
        value = found[wrong[0]]
        got = f"shape {value.shape}" if hasattr(value, "shape") else f"a {type(value).__name__}"
        is_evaluated = hasattr(value, "shape") or isinstance(value, Mapping)
        hint = '{"loss": evaluate(..)["single"]["loss"].mean()} is one' if is_evaluated else ""
        checks.fail(what, wanted, f"{got} for {wrong[0]!r}", hint, TypeError)
    if better is lower_loss and "loss" not in found:
        got = ", ".join(map(repr, found)) or "nothing"
        checks.fail(what, wanted, got, "or give better=(scores, best scores) -> bool")
    arguments.check_line(what, values)
    return values  # type: ignore[return-value]


def _as_float(value: Any) -> float | None:
    """None for what is no number, such as every task's or a text."""
    try:
        return None if isinstance(value, str) or np.ndim(value) else float(value)
    except (TypeError, ValueError):
        return None


class Event(NamedTuple):
    """What a training tells whoever watches it."""

    kind: str
    """"begin" and "end" of the training, "progress" after some updates; "train" means over the last updates,
    "validation" scores, "note", a text, and "read", what there is to say of data."""
    label: str
    """Names the training to people."""
    step: int
    num_steps: int
    values: Mapping[str, Any] = {}
    text: str = ""


Report = Callable[[Event], None]


def silent(event: Event) -> None:
    """Reports nothing."""


def warned(event: Event) -> None:
    """Reports notes alone, as warnings: of what goes wrong somebody is told who did not ask to be."""
    if event.kind == "note":
        warnings.warn(f"{event.label}: {event.text}", stacklevel=2)


class Stopped(KeyboardInterrupt):
    """A training has saved and left, since `stop` asked for it. No `except Exception` takes it for a failure."""

    def __init__(self, message: str, reason: int):
        super().__init__(message)
        self.reason = reason
        """What `stop` returned."""


class DivergedError(ArithmeticError):
    """A training, or every one of several, whose updates are not finite; its last good state is saved."""


class Fitted(NamedTuple):
    """What a training ends with."""

    meta_params: PyTree
    """The best that validation saw, or the last where there was none."""
    state: MetaState
    """The last state."""
    scores: Scores | None
    """What validation said of the best."""
    step: int
    """The step of the best."""
    last: Scores | None = None
    """What validation said at last."""
    collapsed: str | None = None
    """What is to be said of a training whose last validation is far worse than its best, or none of which is finite."""
    diverged: str | None = None
    """What is to be said of a training that ended before its last step, since an update was not finite."""
