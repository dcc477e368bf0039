"""Meta-training with a progress bar, validation, metrics and checkpoints on disk."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from jaxmeta import checks, meshes, tasks, training
from jaxmeta.cli import session, signals
from jaxmeta.runs import folder as run_folder
from jaxmeta.runs import processes
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


class Seed(NamedTuple):
    """One of the trainings that run in one program."""

    key: jax.Array
    """What everything random comes from."""
    run: session.Run
    """Where checkpoints and metrics go, and whether to stop."""
    label: str
    """Names the training to people."""
    validate: Callable[[PyTree], dict[str, float]]
    """(meta_params) -> scores."""


def meta_train(
    trainer: training.MetaTrainer,
    sample: tasks.Sample,
    seeds: Sequence[Seed],
    *,
    num_tasks: int,
    steps: int,
    name: str,
    mesh: jax.sharding.Mesh | None = None,
    on_divergence: Callable[[training.MetaTrainer], training.MetaTrainer] = training.stop_at_divergence,
    better: Callable[[dict[str, float], dict[str, float]], bool] = lambda new, best: new["loss"] < best["loss"],
    num_validations: int = 10,
) -> list[PyTree]:
    """Trains each seed from its last checkpoint on, or from the start if there is none.

    Args:
      trainer: the outer loop.
      sample: key -> Episode; the episodes of a step are a function of the key and the step.
      seeds: at least one; they may stand at different steps, as after a break between two of their checkpoints.
      num_tasks: tasks per update.
      steps: updates of each seed.
      name: names the checkpoints.
      mesh: the trainer's.
      on_divergence: what becomes of an update that is not finite; `training` has two ways.
      better: (scores, best scores) -> whether to keep the new.
      num_validations: how often to validate.

    Returns:
      For each seed the meta_params that validation prefers.

    Raises:
      ArithmeticError: if a seed diverged; its last good state is saved, and so are the others'.
      Interrupted: if a signal asked for it; the states are saved.
    """
    keys = [jax.random.split(seed.key) for seed in seeds]
    first = [trainer.init(init_key) for init_key, _ in keys]
    if not steps:
        return [jax.device_get(state.meta_params) for state in first]
    sharding = None if mesh is None else meshes.everywhere(mesh)
    now = [_Training(seed, name, state, steps, sharding) for seed, state in zip(seeds, first, strict=True)]
    update = training.many_updates(on_divergence(trainer), sample, num_tasks=num_tasks, num_updates=LINE, mesh=mesh)
    update = _together(update, [train_key for _, train_key in keys], sharding)
    every = LINE * max(1, math.ceil(steps / LINE / num_validations))
    bar = tqdm(
        total=steps, initial=min(each.step for each in now), desc=seeds[0].label, unit="step", file=sys.stderr,
        mininterval=0.2 if sys.stderr.isatty() else 30,
    )  # fmt: skip
    per_update, per_validation, stop = math.inf, math.inf, seeds[0].run.stop
    with stop.awaited(), bar:
        while True:
            for each in now:
                if (each.step % every == 0 or each.step == steps) and each.notes.validated < each.step:
                    _pause(now, per_validation)
                    began = time.perf_counter()
                    each.judge(better)
                    per_validation = time.perf_counter() - began
            if all(each.step == steps for each in now):
                break
            most = processes.agreed(max(1, CALL // per_update))
            counts = [int(min(LINE - each.step % LINE, steps - each.step, most)) for each in now]
            _pause(now, max(counts) * per_update)
            began, begun = time.perf_counter(), [each.step for each in now]
            states, rows = update([each.state for each in now], counts)
            per_update = (time.perf_counter() - began) / max(counts)
            for each, state in zip(now, states, strict=True):
                each.state = state
            _take(now, begun, rows, bar)
        for each in now:
            each.save()
    if _asked(stop):
        stop.leave(f"after {steps} steps")
    return [jax.device_get(each.state.meta_params) if each.notes.scores is None else each.best for each in now]


def _together(
    update: Callable[..., Any], keys: list[jax.Array], sharding: jax.sharding.Sharding | None
) -> Callable[[list[training.MetaState], list[int]], tuple[list[training.MetaState], list[dict[str, np.ndarray]]]]:
    """One program of all trainings: (states, counts) -> (states, the metrics [count] of each)."""
    update = update if len(keys) == 1 else training.side_by_side(update)
    compiled = jax.jit(update, donate_argnums=0, out_shardings=sharding)

    def run(states: list[training.MetaState], counts: list[int]) -> Any:
        alone = len(states) == 1
        given = (states[0], keys[0], counts[0]) if alone else (states, keys, jnp.array(counts))
        made, metrics = compiled(*given)
        metrics = jax.device_get(jax.block_until_ready(metrics))  # of all devices: `many_updates` says why
        if alone:
            made, metrics = [made], jax.tree.map(lambda leaf: leaf[None], metrics)
        return made, [
            {name: values[index, :count] for name, values in metrics.items()} for index, count in enumerate(counts)
        ]

    return run


def _pause(now: list[_Training], coming: float) -> None:
    """Saves if it is time to, and ends if a signal asks; `coming` is how many seconds the next thing may take."""
    stop = now[0].run.stop
    asked = _asked(stop)
    for each in now:
        each.pause(math.inf if asked else coming)
    if asked:
        stop.leave(f"at step {min(each.step for each in now)} of {now[0].steps}")


def _asked(stop: signals.Stop) -> bool:
    """Whether a signal asks this process or another of the training to end."""
    if number := processes.largest(stop.signal or 0):
        stop.signal = number
    return number > 0


def _take(now: list[_Training], begun: list[int], rows: list[dict[str, np.ndarray]], bar: tqdm) -> None:
    """Collects the metrics of a call; all trainings have theirs before one that diverged ends them."""
    losses, diverged = [], []
    for each, step, own in zip(now, begun, rows, strict=True):
        try:
            if len(own["finite"]) and (means := each.take(step, own)):
                losses.append(means["loss"])
        except ArithmeticError as error:
            diverged.append(error)
    if diverged:
        for each in now:
            each.save()
        raise diverged[0]
    if losses:
        bar.set_postfix(loss=f"{np.mean(losses):.4f}", refresh=False)
    bar.update(min(each.step for each in now) - bar.n)


class _Training:
    """A training between two calls, and how it is kept on disk."""

    def __init__(
        self, seed: Seed, name: str, state: training.MetaState, steps: int, sharding: jax.sharding.Sharding | None
    ):
        self.run, self.label, self.validate, self.steps = seed.run, seed.label, seed.validate, steps
        self.checkpoints = seed.run.checkpoints(name)
        self.best = jax.device_get(state.meta_params)
        self.notes = Notes(end=run_folder.metrics_end(self.run.folder))
        if found := self.checkpoints.restore({"state": state, "best": self.best}):
            state, self.best = found.arrays["state"], found.arrays["best"]
            self.notes = Notes.read(self.checkpoints.path, found.notes)
            if not 0 <= state.step <= steps:
                got = f"step {state.step}"
                checks.fail(str(self.checkpoints.path), f"a step up to {steps}", got, error=checks.DataError)
            for change in found.changed:
                self.say(f"{change}: the bits may not be those of an unbroken run")
            if state.step < steps:
                run_folder.truncate_metrics(self.run.folder, self.notes.end)
        # By way of NumPy, so that a first state and a restored one are of one kind and meet one program.
        self.state: training.MetaState = jax.device_put(jax.device_get(state), sharding)
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
        """Saves if it is time to; `coming` is how many seconds the next thing may take."""
        if coming > PATIENCE or time.perf_counter() - self.saved > INTERVAL:
            self.save()

    def write(self, split: str, values: dict[str, Any]) -> None:
        line = {"step": self.step, "split": split, **values, "seconds": round(time.perf_counter() - self.start, 3)}
        self.notes.end = run_folder.append_metrics(self.run.folder, line)

    def judge(self, better: Callable[..., bool]) -> None:
        """Validates, and keeps the meta_params if their scores are the best."""
        meta_params = jax.device_get(self.state.meta_params)  # validation has a mesh of its own
        notes, scores = self.notes, processes.agreed(self.validate(meta_params))
        notes.validated = self.step
        self.write("validation", scores)
        said = ", ".join(f"{name} {value:.4f}" for name, value in scores.items())
        self.say(f"step {self.step}, after adaptation on validation tasks: {said}")
        if np.isfinite(list(scores.values())).all() and (notes.scores is None or better(scores, notes.scores)):
            self.best, notes.scores = meta_params, scores

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
            raise ArithmeticError(
                f"{self.label}: diverged at step {begun + worst + 1}: loss {rows['loss'][worst]}, gradient norm "
                f"{rows['gradient_norm'][worst]}; the state of step {self.step} is kept in {self.checkpoints.path}; "
                "try a lower --learning-rate, --clip or --on-divergence skip"
            )
        self.write("train", means | ({"skipped": notes.skipped} if notes.skipped else {}))
        notes.since, notes.skipped = {}, 0
        return means
