"""Meta-training with a progress bar, validation, metrics and checkpoints on disk."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from jaxmeta import checks, tasks, training
from jaxmeta.cli import session
from jaxmeta.runs import folder as run_folder
from jaxmeta.types import PyTree

LINE = 50
"""Updates between two lines of metrics, and the most in a call."""
CALL = 1.0
"""Seconds that a call aims at, so that a signal need not wait long."""
PATIENCE = 4.0
"""Seconds: before what may take longer a checkpoint is saved."""
INTERVAL = 60.0
"""Seconds between two checkpoints."""


@dataclasses.dataclass
class Notes:
    """What a training knows beside its arrays; JSON holds it."""

    scores: dict[str, float] | None = None
    """Of the best meta_params, None before the first validation."""
    validated: int = 0
    """The step of the last validation."""
    since: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    """The metrics of the updates since the last line."""
    skipped: int = 0
    """Updates left out since the last line."""
    end: int = 0
    """Where metrics.jsonl ends."""
    seconds: float = 0.0
    """Since the start, breaks left out."""

    @classmethod
    def read(cls, path: pathlib.Path, content: dict[str, Any]) -> Notes:
        """Takes what JSON held, or raises DataError."""
        kinds: dict[str, Any] = {"scores": (dict, type(None)), "since": dict, "seconds": (int, float)}
        kinds |= {"validated": int, "skipped": int, "end": int}
        if content.keys() != kinds.keys() or not all(isinstance(content[name], kinds[name]) for name in kinds):
            checks.fail(str(path), "the notes of a training", ", ".join(content), error=checks.DataError)
        return cls(**content)


def meta_train(
    trainer: training.MetaTrainer,
    sample: tasks.Sample,
    *,
    num_tasks: int,
    steps: int,
    key: jax.Array,
    run: session.Run,
    name: str,
    label: str,
    on_divergence: Callable[[training.MetaTrainer], training.MetaTrainer] = training.stop_at_divergence,
    validate: Callable[[PyTree], dict[str, float]] | None = None,
    better: Callable[[dict[str, float], dict[str, float]], bool] = lambda new, best: new["loss"] < best["loss"],
    num_validations: int = 10,
) -> PyTree:
    """Trains from the last checkpoint on, or from the start if there is none.

    Args:
      trainer: the outer loop.
      sample: key -> Episode; the episodes of a step are a function of the key and the step.
      num_tasks: tasks per update.
      steps: updates in all.
      key: what everything random comes from.
      run: where checkpoints and metrics go, and whether to stop.
      name: tells the trainings of a run apart.
      label: names the training to people.
      on_divergence: what becomes of an update that is not finite; `training` has two ways.
      validate: (meta_params) -> scores.
      better: (scores, best scores) -> whether to keep the new.
      num_validations: how often to validate.

    Returns:
      The meta_params that validation prefers, or the last ones without validation.

    Raises:
      ArithmeticError: if the training diverged; its last good state is saved.
      Interrupted: if a signal asked for it; its state is saved.
    """
    init_key, train_key = jax.random.split(key)
    first = trainer.init(init_key)
    if not steps:
        return first.meta_params
    now = _Training(run, name, label, first, steps)
    update = training.many_updates(on_divergence(trainer), sample, num_tasks=num_tasks, num_updates=LINE)
    update = jax.jit(update, donate_argnums=0)
    every = LINE * max(1, math.ceil(steps / LINE / num_validations))
    bar = tqdm(
        total=steps, initial=now.step, desc=label, unit="step", file=sys.stderr,
        mininterval=0.2 if sys.stderr.isatty() else 30,
    )  # fmt: skip
    per_update = per_validation = math.inf
    with run.stop.awaited(), bar:
        while True:
            step = now.step
            due = step % every == 0 or step == steps
            if validate is not None and due and now.notes.validated < step:
                now.pause(per_validation)
                began = time.perf_counter()
                now.judge(validate(now.state.meta_params), better)
                per_validation = time.perf_counter() - began
            if step == steps:
                break
            count = int(min(LINE - step % LINE, steps - step, max(1, CALL // per_update)))
            now.pause(count * per_update)
            began = time.perf_counter()
            now.state, metrics = update(now.state, train_key, count)
            rows = {name: values[:count] for name, values in jax.device_get(metrics).items()}
            per_update = (time.perf_counter() - began) / count
            if means := now.take(step, rows):
                bar.set_postfix(loss=f"{means['loss']:.4f}", refresh=False)
            bar.update(count)
        now.save()
    if run.stop.signal:
        run.stop.leave(f"after {steps} steps")
    return now.state.meta_params if now.notes.scores is None else now.best


class _Training:
    """A training between two calls, and how it is kept on disk."""

    def __init__(self, run: session.Run, name: str, label: str, state: training.MetaState, steps: int):
        self.run, self.label, self.steps = run, label, steps
        self.checkpoints = run.checkpoints(name)
        self.best = jax.device_get(state.meta_params)
        self.notes = Notes(end=run_folder.metrics_end(run.folder))
        if found := self.checkpoints.restore({"state": state, "best": self.best}):
            state, self.best = found.arrays["state"], found.arrays["best"]
            self.notes = Notes.read(self.checkpoints.path, found.notes)
            if not 0 <= state.step <= steps:
                got = f"step {state.step}"
                checks.fail(str(self.checkpoints.path), f"a step up to {steps}", got, error=checks.DataError)
            for change in found.changed:
                self.say(f"{change}: the bits may not be those of an unbroken run")
            if state.step < steps:
                run_folder.truncate_metrics(run.folder, self.notes.end)
        # By way of NumPy, so that a first state and a restored one are of one kind and meet one program.
        self.state: training.MetaState = jax.tree.map(jnp.asarray, jax.device_get(state))
        self.saved = time.perf_counter()
        self.start = self.saved - self.notes.seconds

    @property
    def step(self) -> int:
        return int(self.state.step)

    def say(self, text: str) -> None:
        tqdm.write(f"{self.label}: {text}", file=sys.stderr)

    def save(self) -> None:
        self.notes.seconds = time.perf_counter() - self.start
        self.checkpoints.save({"state": self.state, "best": self.best}, dataclasses.asdict(self.notes))
        self.saved = time.perf_counter()

    def pause(self, coming: float) -> None:
        """Saves if it is time to, and ends if a signal asks; `coming` is how many seconds the next thing may take."""
        asked = self.run.stop.signal is not None
        if asked or coming > PATIENCE or time.perf_counter() - self.saved > INTERVAL:
            self.save()
        if asked:
            self.run.stop.leave(f"at step {self.step} of {self.steps}")

    def write(self, split: str, values: dict[str, Any]) -> None:
        line = {"step": self.step, "split": split, **values, "seconds": round(time.perf_counter() - self.start, 3)}
        self.notes.end = run_folder.append_metrics(self.run.folder, line)

    def judge(self, scores: dict[str, float], better: Callable[..., bool]) -> None:
        """Keeps the meta_params if their scores are the best."""
        notes = self.notes
        notes.validated = self.step
        self.write("validation", scores)
        said = ", ".join(f"{name} {value:.4f}" for name, value in scores.items())
        self.say(f"step {self.step}, after adaptation on validation tasks: {said}")
        if np.isfinite(list(scores.values())).all() and (notes.scores is None or better(scores, notes.scores)):
            self.best, notes.scores = jax.device_get(self.state.meta_params), scores

    def take(self, begun: int, rows: dict[str, np.ndarray]) -> dict[str, float] | None:
        """Collects the metrics of the updates after step `begun`; at the end of a line writes and returns their means.

        Raises:
          ArithmeticError: if an update was refused and the training stands still, or all of a line were skipped.
        """
        notes, finite, stands = self.notes, rows["finite"], self.step < begun + len(rows["finite"])
        for name in rows.keys() - {"finite"}:
            notes.since.setdefault(name, []).extend(rows[name][finite].tolist())
        notes.skipped += int((~finite).sum())
        if not (stands or self.step % LINE == 0 or self.step == self.steps):
            return None
        means = {name: float(np.mean(values)) for name, values in sorted(notes.since.items()) if values}
        if stands or not means:
            worst = int(finite.argmin())
            notes.skipped = 0
            self.save()
            raise ArithmeticError(
                f"{self.label}: diverged at step {begun + worst + 1}: loss {rows['loss'][worst]}, gradient norm "
                f"{rows['gradient_norm'][worst]}; the state of step {self.step} is kept in {self.checkpoints.path}; "
                "try a lower --learning-rate, --clip or --on-divergence skip"
            )
        self.write("train", means | ({"skipped": notes.skipped} if notes.skipped else {}))
        notes.since, notes.skipped = {}, 0
        return means
