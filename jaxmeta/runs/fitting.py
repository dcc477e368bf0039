"""Trainings of anyone's trainer, with validation, checkpoints, resume and a guard against divergence."""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jaxmeta import arguments, checks, labels, memory, meshes, tasks, training
from jaxmeta.inner.once import is_read
from jaxmeta.models import forms
from jaxmeta.runs import processes
from jaxmeta.runs.events import DivergedError, Event, Fitted, Report, Scores, Stopped, lower_loss, warned
from jaxmeta.runs.progress import LINE, Progress, Training
from jaxmeta.runs.stores import Store, nowhere
from jaxmeta.tasks.sampling import on_batches
from jaxmeta.types import Episode, PyTree

CALL = 1.0
"""Seconds that a call aims at, so that whoever stops a training need not wait long."""
ON_DIVERGENCE = {"stop": training.stop_at_divergence, "skip": training.skip_divergence}
"""What becomes of an update that is not finite, by the words of recipes."""


def fit(
    trainer: training.MetaTrainer,
    sample: tasks.Sample,
    key: jax.Array,
    *,
    num_tasks: int,
    num_steps: int,
    validate: Callable[[PyTree], Mapping[str, float]] | None = None,
    store: Store = nowhere,
    label: str = "",
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
      label: names the training in what is reported, and in its store, which another label is refused by: another
        trainer, rate or sampler makes another training, which nothing else tells from the first.
      options: `report`, `stop`, `mesh`, `on_divergence`, `better`, `far` and `num_validations` of `fit_together`.

    Returns:
      Fitted(meta_params, state, scores, step, ..).

    Raises:
      DivergedError: if an update was not finite; the state before it is saved.
      Stopped: if `stop` asked for it; the state is saved.
      ValueError: if labels of the first episode are negative, or beyond the classes that it says it has; if num_tasks
        is less than 1, or num_steps negative; if what `validate` returns lacks "loss" and `better` is the default, or a
        metric of an update is no scalar; if a metric of either is called "step", "split" or "seconds", or one of an
        update "skipped", as what a line of metrics says of itself.
      TypeError: if one of them is no whole number, or the key none, or a mask is not of bools; if trainer, sample,
        store, or what `validate` returns are something else.
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
    own = Training(key, validate, store, label or "training", label)
    return fit_together(trainer, sample, [own], num_tasks=num_tasks, num_steps=num_steps, **options)[0]


def fit_together(
    trainer: training.MetaTrainer,
    sample: tasks.Sample,
    trainings: Sequence[Training],
    *,
    num_tasks: int,
    num_steps: int,
    report: Report = warned,
    stop: Callable[[], int] = lambda: 0,
    mesh: jax.sharding.Mesh | None = None,
    on_divergence: str | Callable[[training.MetaTrainer], training.MetaTrainer] = training.stop_at_divergence,
    better: Callable[[Scores, Scores], bool] = lower_loss,
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
      report: is told how it goes; by default notes become warnings, and nothing else is told.
      stop: asked often; a number other than 0 ends the training in good order.
      mesh: the trainer's.
      on_divergence: what becomes of an update that is not finite: "stop", "skip", or a function that makes a trainer of
        a trainer, as the two of `training`.
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
    num_tasks = checks.integer("fit: num_tasks", num_tasks, 1)
    num_steps = checks.integer("fit: num_steps", num_steps, 0)
    num_validations = checks.integer("fit: num_validations", num_validations, 1)
    if not callable(on_divergence):
        on_divergence = ON_DIVERGENCE[checks.choice("fit: on_divergence", on_divergence, ON_DIVERGENCE)]
    _check(trainer, sample, trainings)
    keys = [jax.random.split(each.key) for each in trainings]
    first = [trainer.init(init_key) for init_key, _ in keys]
    doubtful = _judge(sample, keys[0][1]) if num_steps else ""
    sharding = None if mesh is None else meshes.everywhere(mesh)
    with contextlib.ExitStack() as held:
        for each in trainings:
            held.enter_context(each.store.held())
        now = [
            Progress(each, state, num_tasks, num_steps, sharding, report)
            for each, state in zip(trainings, first, strict=True)
        ]
        if not num_steps:
            return [Fitted(jax.device_get(each.state.meta_params), each.state, None, 0) for each in now]
        update = _together(
            on_divergence(_scalars(trainer)),
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
        if doubtful:
            tell("note", text=doubtful)
        try:
            _train(now, update, tell, stop, better, num_validations)
        finally:
            tell("end")
    return [each.fitted(far) for each in now]


def _check(trainer: Any, sample: Any, trainings: Sequence[Training]) -> None:
    """Raises TypeError for what stands where something else should; what a trainer makes of it is asked later."""
    hint = "meta_trainer(learner, optax.adam(1e-3)) makes one of a learner"
    arguments.check_parts("fit: trainer", trainer, ("init", "update"), "a MetaTrainer", hint)
    if not callable(sample):
        wanted = "a sampler, (key) -> Episode, such as tasks.sinusoid makes"
        checks.fail("fit: sample", wanted, f"a {type(sample).__name__}", error=TypeError)
    for each in trainings:
        checks.random_key("fit", each.key)
        if each.validate is not None and not callable(each.validate):
            wanted = '(meta_params) -> {"loss": float}'
            checks.fail("fit: validate", wanted, f"a {type(each.validate).__name__}", error=TypeError)
        hint = "runs.in_folder(path) makes one of a folder"
        arguments.check_parts("fit: store", each.store, ("held", "restore", "save"), "a store", hint)


def _judge(sample: tasks.Sample, key: jax.Array) -> str:
    """What is to be said of a sampler that draws with NumPy: once, while it is traced, and never again; or nothing.

    Raises:
      ValueError: if labels of an episode are negative, or beyond the classes that it says it has.
      TypeError: if a mask is not of bools.
    """
    # The data are an argument: a sampler of NumPy arrays cannot be traced over them.
    sample = tasks.as_pytree(sample)
    draw = lambda key, sample: sample(key)  # noqa: E731
    traced, shapes = jax.make_jaxpr(draw, return_shape=True)(key, sample)
    labels.check_masks("fit", shapes)
    if isinstance(shapes, Episode) and any(labels.is_labelled(batch, 1) for batch in shapes):
        first = tasks.drawn if tasks.is_streamed(sample) else _without_inputs
        labels.judge_batches("fit", first(sample, key, jnp.arange(1)), None)
    if tasks.is_streamed(sample):
        return ""
    if not is_read(traced.jaxpr, 0):
        return "the sampler draws nothing from its key: every task is one and the same (jax.random draws)"
    again = jax.make_jaxpr(lambda *given: draw(*given))(key, sample)
    if not _are_same(traced, again):
        return "the sampler is another whenever it is traced: what it draws without its key is the same in many tasks"
    return ""


def _are_same(one: core.ClosedJaxpr, other: core.ClosedJaxpr) -> bool:
    """Whether two tracings of one function are of one program, with the same numbers in it; addresses in it differ."""
    texts = {re.sub("0x[0-9a-f]+", "", str(traced)) for traced in (one, other)}
    return len(texts) == 1 and all(
        own is its or jnp.issubdtype(own.dtype, jax.dtypes.extended) or np.array_equal(own, its)
        for own, its in zip(one.consts, other.consts, strict=True)
        if hasattr(own, "dtype")
    )


@jax.jit
def _without_inputs(sample: tasks.Sample, key: jax.Array, indices: jax.Array) -> Episode:
    """Episodes whose inputs are left out, and with them what would draw or augment them: it compiles in no time."""
    return on_batches(lambda batch: batch._replace(inputs=()), tasks.episodes(sample, key, indices))


_Update = Callable[[list[training.MetaState], list[int]], tuple[list[training.MetaState], list[dict[str, np.ndarray]]]]


def _train(
    now: list[Progress],
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
    is_compiled = memory.on_cpu()  # as far as the form of convolutions goes

    def run(states: list[training.MetaState], counts: list[int]) -> Any:
        nonlocal is_compiled
        given = (states[0], data, keys[0], counts[0]) if alone else (states, data, keys, jnp.array(counts))
        if not is_compiled:  # before the call, which gives the states away
            forms.falling_back(lambda: compiled.lower(*given).compile())
            is_compiled = True
        made, metrics = compiled(*given)
        metrics = jax.device_get(jax.block_until_ready(metrics))  # of all devices: `many_updates` says why
        if alone:
            made, metrics = [made], jax.tree.map(lambda leaf: leaf[None], metrics)
        return made, [
            {name: values[index, :count] for name, values in metrics.items()} for index, count in enumerate(counts)
        ]

    return run


def _scalars(trainer: training.MetaTrainer) -> training.MetaTrainer:
    """The trainer, whose metrics are looked at while it is traced: what comes after has given the states away."""

    def update(*given: Any) -> tuple[training.MetaState, Any]:
        state, metrics = trainer.update(*given)
        arguments.check_line("fit", arguments.flat("fit", metrics), "skipped")
        return state, metrics

    return trainer._replace(update=update)


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


def _pause(now: list[Progress], coming: float, stop: Callable[[], int]) -> None:
    """Saves if it is time to, and ends if it is asked to; `coming` is how many seconds the next thing may take."""
    reason = processes.largest(stop())
    for each in now:
        each.pause(math.inf if reason else coming)
    if reason:
        raise Stopped(f"at step {min(each.step for each in now)} of {now[0].num_steps}", reason)


def _take(now: list[Progress], begun: list[int], rows: list[dict[str, np.ndarray]]) -> dict[str, float]:
    """Collects the metrics of a call: the mean loss over the trainings of which a line is full."""
    taken = []
    for each, step, own in zip(now, begun, rows, strict=True):
        if len(own["finite"]) and (means := each.take(step, own)):
            taken.append(means)
    if any(each.diverged is None for each in now):
        for each in now:
            if each.diverged is not None and not each.told:
                each.told = True
                each.tell("note", text=f"{each.diverged}; the others go on")
    # A surrogate's value says nothing: of returns these are told.
    told = [name for name in ("loss", "return") if taken and all(name in means for means in taken)][-1:]
    return {name: float(np.mean([means[name] for means in taken])) for name in told}
