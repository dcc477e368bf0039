"""A training between two calls: its state, its best, what it knows of itself, and how it is kept."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmeta import checks, training
from jaxmeta.runs import processes
from jaxmeta.runs.events import Event, Fitted, Report, Scores, scores
from jaxmeta.runs.stores import Store, nowhere
from jaxmeta.types import PyTree

LINE = 50
"""Updates between two lines of metrics, and the most in a call."""
PATIENCE = 4.0
"""Seconds: before what may take longer a checkpoint is saved."""
INTERVAL = 60.0
"""Seconds between two checkpoints."""
RESIDUAL = 0.5
"""A metric "..residual", what remains of an equation that a learner solves, is worth a note beyond it."""


class Training(NamedTuple):
    """One of the trainings that run in one program: seeds, or anything else in which only their keys differ."""

    key: jax.Array
    """What everything random comes from."""
    validate: Callable[[PyTree], Mapping[str, float]] | None = None
    """(meta_params) -> scores."""
    store: Store = nowhere
    label: str = "training"
    """Names it to people."""
    identity: str = ""
    """What a resume must find, too: a name by which other trainings of the same key are told from it."""


@dataclasses.dataclass
class Notes:
    """What a training knows beside its arrays; JSON holds it."""

    about: dict[str, Any]
    """What a resume must find as it was."""
    scores: Scores | None = None
    """Of the best meta_params, None before the first validation."""
    best: int = 0
    """The step of the best meta_params."""
    last: Scores | None = None
    """Of the last validation."""
    validated: int = 0
    """The step of the last validation."""
    since: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    """The metrics of the updates since the last line."""
    skipped: int = 0
    """Updates left out since the last line."""
    end: int = 0
    """Where the metrics end."""
    seconds: float = 0.0
    """Since the start, breaks left out."""

    @classmethod
    def read(cls, place: str, content: dict[str, Any]) -> Notes:
        """Takes what JSON held, or raises DataError."""
        content = {"last": None} | content  # which those of before do not have
        kinds: dict[str, Any] = {
            "scores": (dict, type(None)),
            "last": (dict, type(None)),
            "since": dict,
            "about": dict,
            "seconds": (int, float),
        }
        kinds |= {"best": int, "validated": int, "skipped": int, "end": int}
        if content.keys() != kinds.keys() or not all(isinstance(content[name], kinds[name]) for name in kinds):
            checks.fail(place, "the notes of a training", ", ".join(content), error=checks.DataError)
        return cls(**content)


def _told(scores: Scores) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in scores.items())


class Progress:
    """A training between two calls, and how it is kept."""

    def __init__(
        self,
        given: Training,
        state: training.MetaState,
        num_tasks: int,
        num_steps: int,
        sharding: jax.sharding.Sharding | None,
        report: Report,
    ):
        self.store, self.label, self.validate = given.store, given.label, given.validate
        self.num_steps, self.report = num_steps, report
        self.diverged: str | None = None
        self.told = False
        self.unsolved: set[str] = set()
        self.best = jax.device_get(state.meta_params)
        about = {"key": jax.random.key_data(given.key).tolist(), "num_tasks": num_tasks}
        about |= {"label": given.identity} if given.identity else {}
        self.notes = Notes(about, end=self.store.end())
        if found := self.store.restore({"state": state, "best": self.best}):
            state, self.best = found.arrays["state"], found.arrays["best"]
            self.notes = Notes.read(self.store.place, found.notes)
            for name, now in about.items():
                if self.notes.about.get(name, now if name == "label" else None) != now:  # some have no label
                    wanted = f"the {name} {self.notes.about.get(name)} that the training began with"
                    checks.fail(self.store.place, wanted, now, error=checks.DataError)
            if not 0 <= state.step <= num_steps:
                got = f"step {state.step}"
                checks.fail(self.store.place, f"a step up to {num_steps}", got, error=checks.DataError)
            if state.step < num_steps:
                self.store.truncate(self.notes.end)
        # By way of NumPy, so that a first state and a restored one are of one kind and meet one program.
        self.state: training.MetaState = jax.device_put(jax.device_get(state), sharding)
        for change in found.changed if found else ():
            self.tell("note", text=f"{change}: the bits may not be those of an unbroken run")
        self.saved = time.perf_counter()
        self.start = self.saved - self.notes.seconds

    @property
    def step(self) -> int:
        return int(self.state.step)

    def fitted(self, far: Callable[[Scores, Scores], bool]) -> Fitted:
        best, last, state = self.notes.scores, self.notes.last, self.state
        collapsed = self._collapsed(best, last or best, far)
        if collapsed is not None:
            self.tell("note", text=collapsed)
        if best is None:
            params = jax.device_get(state.meta_params)
            return Fitted(params, state, None, self.step, last, collapsed, self.diverged)
        return Fitted(self.best, state, best, self.notes.best, last, collapsed, self.diverged)

    def _collapsed(self, best: Scores | None, last: Scores | None, far: Callable[[Scores, Scores], bool]) -> str | None:
        if last is None:
            return None
        now = f"at step {self.notes.validated:,} {_told(last)} on validation tasks"
        if best is None:
            return f"no validation was finite: {now}; none could choose the parameters, and the last are kept"
        if np.isfinite(list(last.values())).all() and not far(last, best):
            return None
        return (
            f"the training collapsed: {now}, far from what it was at step {self.notes.best:,}, whose parameters are "
            f"kept: {_told(best)}; try `clip_norm`, a lower `learning_rate` or a falling `schedule`"
        )

    def tell(self, kind: str, values: Mapping[str, float] | None = None, text: str = "") -> None:
        self.report(Event(kind, self.label, self.step, self.num_steps, values or {}, text))

    def save(self) -> None:
        self.notes.seconds = time.perf_counter() - self.start
        self.store.save({"state": self.state, "best": self.best}, dataclasses.asdict(self.notes))
        self.saved = time.perf_counter()

    def pause(self, coming: float) -> None:
        """Saves if it is time to; `coming` is how many seconds the next thing may take."""
        if coming > PATIENCE or time.perf_counter() - self.saved > INTERVAL:
            self.save()

    def write(self, split: str, values: Mapping[str, float]) -> None:
        line = {"step": self.step, "split": split, **values, "seconds": round(time.perf_counter() - self.start, 3)}
        self.notes.end = self.store.append(line)
        self.tell(split, values)

    def judge(self, better: Callable[[Scores, Scores], bool]) -> None:
        """Validates, and keeps the meta_params if their scores are the best."""
        notes = self.notes
        notes.validated = self.step
        if self.validate is None:
            return
        meta_params = jax.device_get(self.state.meta_params)  # validation has a mesh of its own
        found = processes.agreed(scores(self.validate(meta_params), better))
        self.write("validation", found)
        notes.last = found
        if np.isfinite(list(found.values())).all() and (notes.scores is None or better(found, notes.scores)):
            self.best, notes.scores, notes.best = meta_params, found, self.step

    def _stands_still(self) -> bool:
        """Whether nothing has moved before the first validation, until when the best are those of the start."""
        pairs = zip(jax.tree.leaves(self.best), jax.tree.leaves(self.state.meta_params), strict=True)
        same = [np.array_equal(start, jax.device_get(now)) for start, now in pairs]
        return not self.notes.validated and bool(same) and all(same)

    def take(self, begun: int, rows: dict[str, np.ndarray]) -> dict[str, float] | None:
        """Collects the metrics of the updates after step `begun`; at the end of a line writes and returns their means.

        The training has diverged if an update was refused and it stands still, or all of a line were skipped.
        """
        notes, finite, stands = self.notes, rows["finite"], self.step < begun + len(rows["finite"])
        for name in rows.keys() - {"finite"}:
            notes.since.setdefault(name, []).extend(rows[name][finite].tolist())
        notes.skipped += int((~finite).sum())
        if not (stands or self.step % LINE == 0 or self.step == self.num_steps):
            return None
        means = {name: float(np.mean(values)) for name, values in sorted(notes.since.items()) if values}
        if stands or not means:
            worst = int(finite.argmin())
            told = [name for name in ("loss", "gradient_norm") if name in rows] or sorted(rows.keys() - {"finite"})
            if all(np.isfinite(rows[name][worst]) for name in told):
                told += [name for name in sorted(rows) if not np.isfinite(rows[name][worst])]
            came = ", ".join(f"{name.replace('_', ' ')} {rows[name][worst]}" for name in told)
            if all(np.isfinite(rows[name][worst]) for name in told):
                came += ", meta_params that are not finite"
            notes.skipped = 0
            self.diverged = (
                f"diverged at step {begun + worst + 1}: {came}; the state of step {self.step} is kept "
                f"in {self.store.place}; try `clip_norm`, a lower `learning_rate` or `on_divergence` skip"
            )
            self.save()
            return None
        self.write("train", means | ({"skipped": notes.skipped} if notes.skipped else {}))
        notes.since, notes.skipped = {}, 0
        if self.step == min(LINE, self.num_steps) and self._stands_still():
            self.tell(
                "note", text=f"after {self.step} updates the meta_params are those of the start, bit for bit: is the "
                "outer optimizer's rate 0, does it mask all of them, or does no gradient reach them?",
            )  # fmt: skip
        for name in means.keys() - self.unsolved:
            if name.endswith("residual") and means[name] > RESIDUAL:
                self.unsolved.add(name)
                self.tell(
                    "note", text=f"{name.replace('_', ' ')} {means[name]:.2f} of 1 before step {self.step}: what is "
                    "not solved has a gradient that may be far off; try more steps or a larger `regularization`",
                )  # fmt: skip
        return means
