"""Meta-training with a progress bar, validation and metrics on disk."""

from __future__ import annotations

import math
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from jaxmeta import tasks, training
from jaxmeta.runs import folder as run_folder
from jaxmeta.types import PyTree


def updates_per_call(steps: int, largest: int = 50) -> int:
    """The largest divisor of `steps` up to `largest`, so that one program serves all calls."""
    return max(size for size in range(1, largest + 1) if steps % size == 0)


def meta_train(
    trainer: training.MetaTrainer,
    sample: tasks.Sample,
    *,
    num_tasks: int,
    steps: int,
    key: jax.Array,
    folder: pathlib.Path,
    label: str,
    validate: Callable[[PyTree], dict[str, float]] | None = None,
    better: Callable[[dict[str, float], dict[str, float]], bool] = lambda new, best: new["loss"] < best["loss"],
    num_validations: int = 10,
) -> PyTree:
    """Trains and returns the meta_params that validation prefers, or the last ones without validation.

    Raises:
      ArithmeticError: if the loss is not finite.
    """
    init_key, train_key = jax.random.split(key)
    state = trainer.init(init_key)
    if not steps:
        return state.meta_params
    size = updates_per_call(steps)
    run = jax.jit(training.many_updates(trainer, sample, num_tasks=num_tasks, num_updates=size), donate_argnums=0)
    best_params, best = None, None
    start, every = time.perf_counter(), max(1, math.ceil(steps / size / num_validations))
    bar = tqdm(total=steps, desc=label, unit="step", file=sys.stderr, mininterval=0.2 if sys.stderr.isatty() else 30)
    with bar:
        for call in range(1, steps // size + 1):
            state, metrics = run(state, train_key)
            means = {name: float(np.mean(values)) for name, values in jax.device_get(metrics).items()}
            line: dict[str, Any] = {"step": call * size, "split": "train", **means}
            if not np.isfinite(list(means.values())).all():
                raise ArithmeticError(
                    f"{label}: diverged at step {call * size}: loss {means['loss']}, "
                    f"gradient norm {means['gradient_norm']}"
                )
            run_folder.append_metrics(folder, line | {"seconds": round(time.perf_counter() - start, 3)})
            bar.update(size)
            bar.set_postfix(loss=f"{means['loss']:.4f}", refresh=False)
            if validate is not None and (call % every == 0 or call == steps // size):
                scores = validate(state.meta_params)
                line = {"step": call * size, "split": "validation", **scores}
                run_folder.append_metrics(folder, line | {"seconds": round(time.perf_counter() - start, 3)})
                tqdm.write(
                    f"{label}: step {call * size}, after adaptation on validation tasks: "
                    + ", ".join(f"{name} {value:.4f}" for name, value in scores.items()),
                    file=sys.stderr,
                )
                if best is None or better(scores, best):
                    best_params, best = jax.device_get(state.meta_params), scores
    return state.meta_params if best_params is None else best_params
