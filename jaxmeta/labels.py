"""Class labels: whole numbers from 0 to num_ways - 1, one for each row; whatever else comes is refused or becomes NaN.

A label out of range has no column of its own among the logits. It would select none, and its row would vanish from a
class mean or earn an ever better loss. Where values are known they are refused, and where they are traced the row is
NaN.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxmeta import checks
from jaxmeta.types import Array, Batch, Episode, PyTree

RELABEL = "np.unique(targets, return_inverse=True)[1] makes labels from 0 on; values of a regression are floats"


def check_form(what: str, targets: Any, num_rows: int) -> None:
    """Raises in one line unless targets are integers [num_rows].

    Raises:
      ValueError: if they have another shape, such as one-hot rows.
      TypeError: if they are no array, or of another dtype.
    """
    if not hasattr(targets, "dtype"):
        checks.fail(what, f"integer targets [{num_rows}]", type(targets).__name__, error=TypeError)
    shape, whole = tuple(targets.shape), jnp.issubdtype(targets.dtype, jnp.integer)
    if shape != (num_rows,):
        makes = ""
        if len(shape) == 2 and shape[0] == num_rows:
            makes = "targets.argmax(axis=-1) makes labels of one-hot rows"
            if shape[1] == 1:
                makes = "targets.ravel() has one label a row" + ("" if whole else ", with .astype(int)")
        got = f"shape {shape}" + ("" if whole else f" of {targets.dtype}")
        checks.fail(what, f"integer targets [n] for {num_rows} rows", got, makes)
    if not whole:
        hint = "targets.astype(int) makes labels of whole numbers"
        checks.fail(what, "integer targets", targets.dtype, hint, TypeError)


def unknown(targets: Array, num_ways: int, mask: Array | None) -> Array:
    """[n] bool, the real rows whose target is none of 0 .. num_ways - 1; padding may hold anything."""
    out = (targets < 0) | (targets >= num_ways)
    return out if mask is None else out & mask


def rows(mask: Array | None) -> Array | None:
    """[n] bool, the rows of which anything is real, of a mask [n], or [n, L] where each token has a target."""
    return mask if mask is None or mask.ndim == 1 else mask.any(axis=1)


def flat(batch: Batch) -> Batch:
    """A batch of tokens, targets [n, L], with a row for each of them: targets, mask and classes; inputs stay.

    Of targets [n] the batch itself.
    """
    if jnp.ndim(batch.targets) != 2:
        return batch
    shape = batch.targets.shape
    mask, classes = batch.mask, batch.classes
    if mask is not None:
        mask = (mask if mask.ndim == 2 else jnp.broadcast_to(mask[:, None], shape)).reshape(-1)
    if classes is not None:
        classes = jnp.repeat(classes, shape[1], axis=0)
    return Batch(batch.inputs, batch.targets.reshape(-1), mask, classes)


def nan_where(rows: Array, dtype: Any) -> Array:
    """NaN where rows is True and 1 elsewhere: a factor, so that the gradient is NaN as well, or the same to the bit."""
    return jnp.where(rows, jnp.nan, 1).astype(dtype)


def judge(what: str, targets: Any, mask: Any, num_ways: int | None, hint: str = RELABEL) -> None:
    """Raises ValueError if the values of real rows are out of range; values that are not known are left alone.

    Args:
      what: names the targets in the error.
      targets: [..., n] integers.
      mask: of the same shape, False marks padding; None: all rows are real.
      num_ways: the labels are less; None: they are not negative.
      hint: what to do.
    """
    if not (is_known(targets) and (mask is None or is_known(mask))):
        return
    targets = np.asarray(targets)
    real = targets if mask is None else targets[np.asarray(mask)]
    if real.size and (real.min() < 0 or (num_ways is not None and real.max() >= num_ways)):
        wanted = "labels from 0 on" if num_ways is None else f"labels from 0 to {num_ways - 1}"
        checks.fail(what, wanted, f"labels from {real.min()} to {real.max()}", hint)


def check_masks(what: str, episodes: Any) -> None:
    """`check_mask` of the batches of an Episode, with a task axis or without."""
    for name, batch in zip(Episode._fields, episodes if isinstance(episodes, Episode) else (), strict=False):
        if isinstance(batch, Batch):
            check_mask(f"{what}: mask of the {name} set", batch)


def check_mask(what: str, batch: Batch) -> None:
    """Raises in one line unless the mask of a batch is one bool for each row, or token, of its targets.

    Whole numbers would select rows by number, and other shapes be broadcast to pairs of rows. The values do not matter,
    which may be traced.

    Raises:
      ValueError: if it has another shape.
      TypeError: if it is not of bools.
    """
    if (mask := batch.mask) is None:
        return
    if str(getattr(mask, "dtype", "")) != "bool":
        got = getattr(mask, "dtype", type(mask).__name__)
        checks.fail(what, "an array of bools", got, "mask != 0 makes one", TypeError)
    wanted = getattr(batch.targets, "shape", mask.shape)
    if not mask.ndim or mask.shape != tuple(wanted)[: mask.ndim]:
        hint = "mask[..., 0] is one" if mask.shape[-1:] == (1,) else ""
        checks.fail(what, f"one bool a row of targets of shape {tuple(wanted)}", f"shape {mask.shape}", hint)


def judge_batches(what: str, episodes: PyTree, num_ways: int | None) -> None:
    """Judges the batches of episodes with a task axis by what `classes` says, else by num_ways.

    What is no label, such as values or tokens, is not judged.
    """
    for name, batch in zip(getattr(episodes, "_fields", ()), episodes, strict=False):
        if is_labelled(batch, 2):
            width = num_ways if batch.classes is None else batch.classes.shape[-1]
            judge(f"{what}: targets of the {name} set", batch.targets, batch.mask, width)


def is_labelled(batch: Any, num_axes: int) -> bool:
    """Whether it is a Batch with one integer for each row: [n], or [num_tasks, n] where num_axes is 2."""
    return (
        isinstance(batch, Batch)
        and not isinstance(batch.targets, tuple)
        and np.ndim(batch.targets) == num_axes
        and jnp.issubdtype(getattr(batch.targets, "dtype", float), jnp.integer)
    )


def is_known(values: Any) -> bool:
    """Whether this process can read the values."""
    return not isinstance(values, Tracer) and getattr(values, "is_fully_addressable", True)
