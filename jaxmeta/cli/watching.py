"""What a person at a terminal sees of a training, and how they stop it."""

from __future__ import annotations

import contextlib
import pathlib
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tqdm import tqdm

from jaxmeta import checks, recipes
from jaxmeta.cli import board, signals
from jaxmeta.runs import Event, processes

PATIENCE = 3.0
"""Seconds before a bar is drawn of what is read."""


def reading(items: Iterable[Any], count: int, what: str) -> Iterable[Any]:
    """A progress bar for reading that takes a while."""
    every = 0.2 if sys.stderr.isatty() else 30
    return tqdm(items, total=count, desc=checks.line(what), delay=PATIENCE, mininterval=every, leave=False)


def heard() -> Callable[[str], None]:
    """Says what it is told, each line once."""
    before: set[str] = set()

    def hear(text: str) -> None:
        if text not in before:
            before.add(text)
            print(checks.line(text))

    return hear


def told(read: Iterable[recipes.Facts]) -> None:
    """Says what was read."""
    for facts in read:
        print(checks.line(recipes.line(facts)))


class Watch(contextlib.AbstractContextManager["Watch"]):
    """Told of a training, it draws a progress bar on stderr, a plain line every 30 s where that is no terminal."""

    def __init__(self, stop: signals.Stop, tensorboard: pathlib.Path | None = None):
        self.stop, self.bar, self.tensorboard = stop, None, tensorboard
        self.boards: dict[str, board.Board] = {}
        self.read: dict[str, Mapping[str, Any]] = {}
        """{what was said of data: the facts}"""

    def __exit__(self, *_: object) -> None:
        for each in self.boards.values():
            with contextlib.suppress(OSError):  # each line is on the disk, or it was told that it is not
                each.records.close()

    def __call__(self, event: Event) -> None:
        getattr(self, f"_{event.kind}")(event)

    def _begin(self, event: Event) -> None:
        self.stop.grace = signals.GRACE  # from here on it is asked often, and there is something to save
        self.bar = tqdm(
            total=event.num_steps, initial=event.step, desc=checks.line(event.label), unit="step", file=sys.stderr,
            mininterval=0.2 if sys.stderr.isatty() else 30,
        )  # fmt: skip

    def _end(self, event: Event) -> None:
        self.stop.grace = 0.0
        if self.bar is not None:
            self.bar.close()
        self.bar = None

    def _progress(self, event: Event) -> None:
        if self.bar is None:
            return
        if event.values:
            self.bar.set_postfix({name: f"{value:.4f}" for name, value in event.values.items()}, refresh=False)
        self.bar.update(event.step - self.bar.n)

    def _train(self, event: Event) -> None:
        self._scalars(event)

    def _validation(self, event: Event) -> None:
        said = ", ".join(f"{name} {value:.4f}" for name, value in event.values.items())
        self._say(f"{event.label}: step {event.step}, after adaptation on validation tasks: {said}")
        self._scalars(event)

    def _note(self, event: Event) -> None:
        self._say(f"{event.label}: {event.text}" if event.num_steps else event.text)

    def _read(self, event: Event) -> None:
        if event.text not in self.read:
            tqdm.write(checks.line(event.text))
        self.read[event.text] = event.values

    def _say(self, text: str) -> None:
        tqdm.write(checks.line(text), file=sys.stderr)

    def _scalars(self, event: Event) -> None:
        if self.tensorboard is None or not processes.is_first():
            return
        if event.label not in self.boards:
            # Of a label, which may be a stranger's, the seed's number alone becomes a path.
            seed = re.search(r", seed (\d+)$", event.label)
            folder = self.tensorboard / f"seed-{seed[1]}" if seed else self.tensorboard
            self.boards[event.label] = board.Board(folder, event.step)
        values = {f"{event.kind}/{name}": value for name, value in event.values.items()}
        self.boards[event.label].scalars(event.step, values)
