"""What a training tells while it goes on, and what it ends with."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jaxmeta.training import MetaState
from jaxmeta.types import PyTree

Scores = dict[str, float]


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
    """What is to be said of a training whose last validation is far worse than its best."""
    diverged: str | None = None
    """What is to be said of a training that ended before its last step, since an update was not finite."""
