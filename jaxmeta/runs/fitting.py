"""Trainings of anyone's trainer, with validation, checkpoints, resume and a guard against divergence."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import checks, labels, meshes, tasks, training
from jaxmeta.runs import processes
from jaxmeta.runs.events import DivergedError, Event, Fitted, Report, Scores, Stopped, silent
from jaxmeta.runs.stores import Store, nowhere
from jaxmeta.types import Episode, PyTree

LINE = 50
"""Updates between two lines of metrics, and the most in a call."""
CALL = 1.0
"""Seconds that a call aims at, so that whoever stops a training need not wait long."""
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


def fit(
    trainer: training.MetaTrainer,
    sample: tasks.Sample,
    key: jax.Array,
    *,
    num_tasks: int,
    num_steps: int,
    validate: Callable[[PyTree], Mapping[str, float]] | None = None,
    store: Store = nowhere,
    label: str = "training",
    **options: Any,
) -> Fitted:
    """Trains anyone's trainer on anyone's tasks, from the last checkpoint on if there is one.

    A broken training that is called again with the same arguments ends with the bits of an unbroken one (same machine,
    versions and devices; on CPU, where it is tested).

    Args:
      trainer: the outer loop, such as `meta_trainer` makes.
      sample: key -> Episode; the episodes of a step are a function of the key and the step.
      key: what everything random comes from.
      num_tasks: tasks per update.
      num_steps: updates in all.
      validate: (meta_params) -> {"loss": .., ...}, asked ten times or as often as `num_validations` says; None: the
        last meta_params are what is learned.
      store: where checkpoints and metrics go, such as `runs.in_folder(path)`; by default nowhere.
      label: names the training in what is reported.
      options: `report`, `stop`, `mesh`, `on_divergence`, `better`, `far` and `num_validations` of `fit_together`.

    Returns:
      Fitted(meta_params, state, scores, step, ..).

    Raises:
      DivergedError: if an update was not finite; the state before it is saved.
      Stopped: if `stop` asked for it; the state is saved.
      ValueError: if labels of the first episode are negative, or beyond the classes that it says it has.
      DataError: if the store holds another training, or something damaged.

    Example:
      >>> import jax, optax
      >>> from jaxmeta import criteria, maml, meta_trainer, models, runs, tasks
      >>> sample, model = tasks.sinusoid(num_shots=5, num_queries=5), models.mlp(1, 1, hidden=(8,))
      >>> learner = maml(model, criteria.squared_error, optax.sgd(0.01), num_steps=1)
      >>> trainer = meta_trainer(learner, optax.adam(1e-2))
      >>> fitted = runs.fit(trainer, sample, jax.random.key(0), num_tasks=4, num_steps=20)
      >>> int(fitted.state.step)
      20
    """
    own = Training(key, validate, store, label)
    return fit_together(trainer, sample, [own], num_tasks=num_tasks, num_steps=num_steps, **options)[0]


def fit_together(
    trainer: training.MetaTrainer,
    sample: tasks.Sample,
    trainings: Sequence[Training],
    *,
    num_tasks: int,
    num_steps: int,
    report: Report = silent,
    stop: Callable[[], int] = lambda: 0,
    mesh: jax.sharding.Mesh | None = None,
    on_divergence: Callable[[training.MetaTrainer], training.MetaTrainer] = training.stop_at_divergence,
    better: Callable[[Scores, Scores], bool] = lambda new, best: new["loss"] < best["loss"],
    far: Callable[[Scores, Scores], bool] = lambda last, best: False,
    num_validations: int = 10,
) -> list[Fitted]:
    """`fit` for several trainings in one program. One that diverges ends alone, and the others go on.

    Args:
      trainer: the outer loop.
      sample: key -> Episode.
      trainings: at least one; they may stand at different steps, as after a break between two of their checkpoints.
      num_tasks: tasks per update.
      num_steps: updates of each.
      report: is told how it goes.
      stop: asked often; a number other than 0 ends the training in good order.
      mesh: the trainer's.
      on_divergence: what becomes of an update that is not finite; `training` has two ways.
      better: (scores, best scores) -> whether to keep the new.
      far: (last scores, best scores) -> whether the training has lost what it had learned, which is then said; by
        default only scores that are not finite are.
      num_validations: how often to validate.

    Returns:
      Fitted of each training; of one that diverged it says so, and what it had learned before.

    Raises:
      DivergedError: if none is left, for each diverged; the last good states are saved.
      Stopped: if `stop` asked for it; the states are saved.
    """
    keys = [jax.random.split(each.key) for each in trainings]
    first = [trainer.init(init_key) for init_key, _ in keys]
    if not num_steps:
        return [Fitted(jax.device_get(state.meta_params), state, None, 0) for state in first]
    _judge_labels(sample, keys[0][1])
    sharding = None if mesh is None else meshes.everywhere(mesh)
    with contextlib.ExitStack() as held:
        for each in trainings:
            held.enter_context(each.store.held())
        now = [
            _Training(each, state, num_tasks, num_steps, sharding, report)
            for each, state in zip(trainings, first, strict=True)
        ]
        update = _together(
            on_divergence(trainer),
            sample,
            [train_key for _, train_key in keys],
            sharding,
            num_tasks=num_tasks,
            mesh=mesh,
        )
        tell = lambda kind, **said: report(  # noqa: E731
            Event(kind, trainings[0].label, min(each.step for each in now), num_steps, **said)
        )
        tell("begin")
        try:
            _train(now, update, tell, stop, better, num_validations)
        finally:
            tell("end")
    return [each.fitted(far) for each in now]


def _judge_labels(sample: tasks.Sample, key: jax.Array) -> None:
    """Raises ValueError if labels of an episode are negative, or beyond the classes that it says it has."""
    # The data are an argument: a sampler of NumPy arrays cannot be traced over them.
    shapes = jax.eval_shape(lambda sample: sample(key), tasks.as_pytree(sample))
    if isinstance(shapes, Episode) and any(labels.is_labelled(batch, 1) for batch in shapes):
        labels.judge_batches("fit", tasks.drawn(sample, key, jnp.arange(1)), None)


_Update = Callable[[list[training.MetaState], list[int]], tuple[list[training.MetaState], list[dict[str, np.ndarray]]]]


def _train(
    now: list[_Training],
    update: _Update,
    tell: Callable[..., None],
    stop: Callable[[], int],
    better: Callable[[Scores, Scores], bool],
    num_validations: int,
) -> None:
    steps = now[0].num_steps
    every = LINE * max(1, math.ceil(steps / LINE / num_validations))
    per_update, per_validation = math.inf, math.inf
    while True:
        going = [each for each in now if each.diverged is None]
        if not going:
            for each in now:
                each.save()
            raise DivergedError("; ".join(f"{each.label}: {each.diverged}" for each in now))
        for each in going:
            if (each.step % every == 0 or each.step == steps) and each.notes.validated < each.step:
                _pause(now, per_validation, stop)
                began = time.perf_counter()
                each.judge(better)
                per_validation = time.perf_counter() - began
        if all(each.step == steps for each in going):
            break
        most = processes.agreed(max(1, CALL // per_update))
        # One that diverged stays in the program, so that this is the program of the others whatever becomes of it.
        left = [0 if each.diverged else steps - each.step for each in now]
        counts = [int(min(LINE - each.step % LINE, own, most)) for each, own in zip(now, left, strict=True)]
        _pause(now, max(counts) * per_update, stop)
        began, begun = time.perf_counter(), [each.step for each in now]
        states, rows = update([each.state for each in now], counts)
        per_update = (time.perf_counter() - began) / max(counts)
        for each, state in zip(now, states, strict=True):
            each.state = state
        tell("progress", values=_take(now, begun, rows))
    for each in now:
        each.save()
    if reason := processes.largest(stop()):
        raise Stopped(f"after {steps} steps", reason)


def _together(
    trainer: training.MetaTrainer,
    sample: tasks.Sample,
    keys: list[jax.Array],
    sharding: jax.sharding.Sharding | None,
    *,
    num_tasks: int,
    mesh: jax.sharding.Mesh | None,
) -> _Update:
    """One program of all trainings: (states, counts) -> (states, the metrics [count] of each)."""
    alone = len(keys) == 1
    if tasks.is_streamed(sample):
        streamed = training.streamed_updates(trainer, num_tasks=num_tasks, num_updates=LINE, mesh=mesh)
        return _streamed(streamed, sample, keys)
    update = training.many_updates(trainer, num_tasks=num_tasks, num_updates=LINE, mesh=mesh)
    compiled = jax.jit(update if alone else training.side_by_side(update), donate_argnums=0, out_shardings=sharding)
    data = jax.device_put(tasks.as_pytree(sample), sharding)

    def run(states: list[training.MetaState], counts: list[int]) -> Any:
        given = (states[0], data, keys[0], counts[0]) if alone else (states, data, keys, jnp.array(counts))
        made, metrics = compiled(*given)
        metrics = jax.device_get(jax.block_until_ready(metrics))  # of all devices: `many_updates` says why
        if alone:
            made, metrics = [made], jax.tree.map(lambda leaf: leaf[None], metrics)
        return made, [
            {name: values[index, :count] for name, values in metrics.items()} for index, count in enumerate(counts)
        ]

    return run


def _streamed(update: Callable[..., Any], sample: tasks.Sample, keys: list[jax.Array]) -> _Update:
    """The same where episodes come from the host: one training after the other."""

    def run(states: list[training.MetaState], counts: list[int]) -> Any:
        made = [update(state, sample, key, count) for state, key, count in zip(states, keys, counts, strict=True)]
        rows = [
            {name: np.asarray(values)[:count] for name, values in jax.device_get(metrics).items()}
            for (_, metrics), count in zip(made, counts, strict=True)
        ]
        return [state for state, _ in made], rows

    return run


def _pause(now: list[_Training], coming: float, stop: Callable[[], int]) -> None:
    """Saves if it is time to, and ends if it is asked to; `coming` is how many seconds the next thing may take."""
    reason = processes.largest(stop())
    for each in now:
        each.pause(math.inf if reason else coming)
    if reason:
        raise Stopped(f"at step {min(each.step for each in now)} of {now[0].num_steps}", reason)


def _take(now: list[_Training], begun: list[int], rows: list[dict[str, np.ndarray]]) -> dict[str, float]:
    """Collects the metrics of a call: the mean loss over the trainings of which a line is full."""
    losses = []
    for each, step, own in zip(now, begun, rows, strict=True):
        if len(own["finite"]) and (means := each.take(step, own)) and "loss" in means:
            losses.append(means["loss"])
    if any(each.diverged is None for each in now):
        for each in now:
            if each.diverged is not None and not each.told:
                each.told = True
                each.tell("note", text=f"{each.diverged}; the others go on")
    return {"loss": float(np.mean(losses))} if losses else {}


@dataclasses.dataclass
class _Notes:
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
    def read(cls, place: str, content: dict[str, Any]) -> _Notes:
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


class _Training:
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
        self.notes = _Notes(about, end=self.store.end())
        if found := self.store.restore({"state": state, "best": self.best}):
            state, self.best = found.arrays["state"], found.arrays["best"]
            self.notes = _Notes.read(self.store.place, found.notes)
            for name, now in about.items():
                if self.notes.about.get(name) != now:
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
        if best is None:
            params = jax.device_get(state.meta_params)
            return Fitted(params, state, None, self.step, last, None, self.diverged)
        collapsed = self._collapsed(best, last or best, far)
        if collapsed is not None:
            self.tell("note", text=collapsed)
        return Fitted(self.best, state, best, self.notes.best, last, collapsed, self.diverged)

    def _collapsed(self, best: Scores, last: Scores, far: Callable[[Scores, Scores], bool]) -> str | None:
        if np.isfinite(list(last.values())).all() and not far(last, best):
            return None
        was, now = (", ".join(f"{name} {value:.4f}" for name, value in scores.items()) for scores in (best, last))
        return (
            f"the training collapsed: at step {self.notes.validated:,} {now} on validation tasks, far from what it was "
            f"at step {self.notes.best:,}, whose parameters are kept: {was}; try `clip_norm`, a lower `learning_rate` "
            "or a falling `schedule`"
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
        scores = processes.agreed({name: float(value) for name, value in self.validate(meta_params).items()})
        self.write("validation", scores)
        notes.last = scores
        if np.isfinite(list(scores.values())).all() and (notes.scores is None or better(scores, notes.scores)):
            self.best, notes.scores, notes.best = meta_params, scores, self.step

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
            came = ", ".join(f"{name.replace('_', ' ')} {rows[name][worst]}" for name in told)
            notes.skipped = 0
            self.diverged = (
                f"diverged at step {begun + worst + 1}: {came}; the state of step {self.step} is kept "
                f"in {self.store.place}; try `clip_norm`, a lower `learning_rate` or `on_divergence` skip"
            )
            self.save()
            return None
        self.write("train", means | ({"skipped": notes.skipped} if notes.skipped else {}))
        notes.since, notes.skipped = {}, 0
        for name in means.keys() - self.unsolved:
            if name.endswith("residual") and means[name] > RESIDUAL:
                self.unsolved.add(name)
                self.tell(
                    "note", text=f"{name.replace('_', ' ')} {means[name]:.2f} of 1 before step {self.step}: what is "
                    "not solved has a gradient that may be far off; try more steps or a larger `regularization`",
                )  # fmt: skip
        return means
