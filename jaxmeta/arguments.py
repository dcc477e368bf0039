"""What comes where a learner, its meta_params and episodes are due: told in one line, before JAX tells it at length."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import flax.linen as nn
import jax
import numpy as np

from jaxmeta import checks, labels
from jaxmeta.types import Batch, Episode, Metrics, PyTree

OURS = ("gradient_norm", "finite")
"""Metrics of the outer loop itself."""
OF_LINES = ("step", "split", "seconds")
"""What a line of metrics.jsonl says of itself."""
_NO_NUMBERS = frozenset("OSUMm")  # kinds of NumPy's dtypes that JAX has not


def check_parts(what: str, value: Any, names: tuple[str, ...], wanted: str, hint: str = "") -> None:
    """Raises TypeError unless a value has the functions that are asked of it, such as a learner's."""
    if missing := [name for name in names if not hasattr(value, name)]:
        checks.fail(what, wanted, f"a {type(value).__name__}, which has no `{missing[0]}`", hint, TypeError)


def check_learner(what: str, learner: Any, *names: str) -> None:
    """Raises TypeError unless it is a learner with these functions, of a Model and not of a linen module itself."""
    hint = "maml(model, ..) makes one of a Model"
    check_parts(f"{what}: learner", learner, names, "a MetaLearner, such as maml makes", hint)
    module = getattr(getattr(learner, "init", None), "__self__", None)
    if isinstance(module, nn.Module):
        got, hint = f"the linen module {type(module).__name__}", "models.from_linen(module, example_inputs) makes one"
        checks.fail(f"{what}: model of the learner", "a Model", got, hint, TypeError)


def check_scored(what: str, criterion: Any, meta_params: Any) -> None:
    """Raises TypeError if what scores is no function, or a whole state stands where its meta_params should."""
    if not callable(criterion):
        wanted, hint = "a criterion, (predictor, data, key) -> (loss, metrics)", "it stands before the meta_params"
        checks.fail(f"{what}: criterion", wanted, f"a {type(criterion).__name__}", hint, TypeError)
    if hasattr(meta_params, "meta_params"):
        got, hint = f"a {type(meta_params).__name__}", "give its .meta_params"
        checks.fail(f"{what}: meta_params", "those of the learner", got, hint, TypeError)


def check_episodes(what: str, episodes: PyTree) -> None:
    """Raises unless episodes are numbers, with a task axis and with something in them; of shapes and dtypes alone.

    Raises:
      TypeError: if these are several episodes, or hold texts.
      ValueError: if a Batch has no task axis, or there is no task, or a task without an example.
    """
    if isinstance(episodes, list | tuple) and any(isinstance(each, Episode) for each in episodes):
        refuse(what, episodes)
    found = [(jax.tree_util.keystr(path, simple=True, separator="."), leaf)
             for path, leaf in jax.tree.leaves_with_path(episodes)]  # fmt: skip
    for name, leaf in found:
        dtype = getattr(leaf, "dtype", type(leaf).__name__)
        if isinstance(leaf, str | bytes) or getattr(dtype, "kind", "") in _NO_NUMBERS:
            hint = labels.RELABEL if name.endswith("targets") else ""
            checks.fail(f"{what}: {name}", "numbers", dtype, hint, TypeError)
    _check_task_axis(what, episodes)
    for name, leaf in found:
        if not math.prod(np.shape(leaf)):
            checks.fail(f"{what}: episodes", "tasks with examples in both sets", f"{name} of shape {np.shape(leaf)}")


def _check_task_axis(what: str, episodes: PyTree) -> None:
    """Raises ValueError if the first axis of a Batch is that of its rows: of one task, or of several in a row."""
    for name, batch in zip(Episode._fields, episodes if isinstance(episodes, Episode) else (), strict=False):
        if not isinstance(batch, Batch):
            continue
        for part in ("targets", "inputs", "mask"):
            axes = [np.ndim(leaf) for leaf in jax.tree.leaves(getattr(batch, part))]
            if axes and max(axes) < 2:
                got = f"{name}.{part} of {max(axes)} axis" if max(axes) == 1 else f"{name}.{part} without axes"
                hint = "of one episode, jax.tree.map(lambda leaf: leaf[None], episode) has one"
                checks.fail(f"{what}: episodes", "a task axis, [num_tasks, n, ...]", got, hint)


@contextlib.contextmanager
def explained(what: str, episode: PyTree) -> Iterator[None]:
    """Says what an Episode is where a learner or a criterion asks one for what it has not, as a tuple of arrays.

    Asked afterwards, since a learner of one's own may take tasks of any form.
    """
    try:
        yield
    except AttributeError as error:
        kind = type(error.obj)
        if kind in (tuple, list, dict):
            if error.name in Episode._fields and kind is type(episode):
                refuse(what, episode)
            if error.name in Batch._fields and kind in map(type, episode if isinstance(episode, Episode) else ()):
                hint = "Batch(inputs, targets) makes one"
                checks.fail(f"{what}: support and query", "a Batch each", f"a {kind.__name__}", hint, TypeError)
        raise


def refuse(what: str, episodes: Any) -> NoReturn:
    """Raises TypeError for what is no Episode, with what makes one of it."""
    hint = "Episode(support, query) makes one of two Batches"
    if isinstance(episodes, list | tuple) and any(isinstance(each, Episode) for each in episodes):
        hint = "jax.tree.map(lambda *leaves: jnp.stack(leaves), *episodes) makes one of several"
    wanted, got = "one Episode whose leaves have a task axis", f"a {type(episodes).__name__}"
    checks.fail(f"{what}: episodes", wanted, got, hint, TypeError)


def not_ours(what: str, metrics: Metrics) -> Metrics:
    """A learner's metrics; raises ValueError if the outer loop would put its own in the place of one of them."""
    _check_free(what, metrics, OURS, "the outer loop's")
    return metrics


def check_line(what: str, metrics: Mapping[str, Any], *more: str) -> None:
    """Raises ValueError if one of the metrics of a line would stand in the place of what the line says of itself."""
    _check_free(what, metrics, (*OF_LINES, *more), "those of a line of metrics")


def _check_free(what: str, metrics: Mapping[str, Any], taken: tuple[str, ...], whose: str) -> None:
    if found := [name for name in taken if name in metrics]:
        wanted = f"names other than {', '.join(taken[:-1])} and {taken[-1]}, which are {whose}"
        checks.fail(f"{what}: metrics", wanted, repr(found[0]), "rename it")


def flat(what: str, metrics: Metrics) -> Metrics:
    """The metrics of an update; raises unless they are a dict of scalars, which lines and means are made of.

    Raises:
      TypeError: if they are no dict, or one of them is a dict or a list itself.
      ValueError: if one of them is no scalar.
    """
    if not isinstance(metrics, Mapping):
        checks.fail(f"{what}: metrics", "a dict of scalars", f"a {type(metrics).__name__}", error=TypeError)
    for name, value in metrics.items():
        if not hasattr(value, "shape") and not isinstance(value, int | float):
            hint = "give each part a name of its own"
            checks.fail(f"{what}: metric {name!r}", "a scalar", f"a {type(value).__name__}", hint, TypeError)
        if shape := np.shape(value):
            checks.fail(f"{what}: metric {name!r}", "a scalar", f"shape {shape}", "take its mean")
    return metrics
