"""Which numbers of 64 bits are still themselves in JAX's 32."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxmeta import checks


def number_type() -> np.dtype:
    """What numbers of files are read as: float32, or float64 in JAX's 64-bit mode."""
    return np.dtype(jnp.result_type(float))


def text(value: np.floating) -> str:
    """A number in the fewest digits that are read as itself again.

    Example:
      >>> text(np.float32(1500003.1)), text(np.float32(0.1)), text(np.float32(3))
      ('1500003.1', '0.1', '3')
    """
    return repr(float(str(value))).removesuffix(".0")  # which has no exponent below 1e16


def ends(low: float, high: float) -> tuple[str, str]:
    """The ends of a range in six digits, or as many as tell them apart.

    Example:
      >>> ends(0.25, 1 / 3), ends(1500000, 1500003)
      (('0.25', '0.333333'), ('1500000', '1500003'))
    """
    digits = next((count for count in (6, 9, 17) if f"{low:.{count}g}" != f"{high:.{count}g}"), 6)
    return f"{low:.{digits}g}", f"{high:.{digits}g}"


def flattened(values: np.ndarray) -> np.ndarray:
    """[d] bool, the columns of numbers [N, d] that `number_type` no longer tells apart, such as seconds of this
    century; floats that differ by no more than float64's own rounding are one number."""
    if number_type() == np.float64 or not len(values):
        return np.zeros(values.shape[1], bool)
    if values.dtype.kind == "f":
        low, high = (pick(values, axis=0, initial=at, where=np.isfinite(values))
                     for pick, at in ((np.min, np.inf), (np.max, -np.inf)))  # fmt: skip
    else:
        low, high = values.min(axis=0), values.max(axis=0)
    found, (low, high) = high > low, (each.astype(np.float64) for each in (low, high))
    with np.errstate(over="ignore", invalid="ignore"):
        gap, most = high - low, np.maximum(np.abs(low), np.abs(high))
        found = found & (gap < 64 * np.spacing(most.astype(np.float32)))
        if values.dtype.kind == "f":
            found = found & (gap > 64 * np.spacing(most))
    for column in np.flatnonzero(found):
        exact = np.unique(values[:, column])
        found[column] = len(np.unique(exact.astype(np.float32))) < len(exact)
    return found


def check_held(what: str, leaf: Any, num_axes: int = 1) -> None:
    """Raises ValueError if numbers of 64 bits, a NumPy array, would become others on the device, but for rounding.

    Args:
      what: names them in the error.
      leaf: [.., d..]; anything else is not looked at.
      num_axes: the first axes, which number the examples.
    """
    number = number_type()
    if not isinstance(leaf, np.ndarray) or leaf.dtype.itemsize <= 4 or not leaf.size or number == np.float64:
        return
    hint = "subtract the smallest, or set JAX_ENABLE_X64=1"
    if leaf.dtype.kind in "iu":
        info = np.iinfo(np.int32 if leaf.dtype.kind == "i" else np.uint32)
        if leaf.min() < info.min or leaf.max() > info.max:
            checks.fail(what, f"whole numbers that {info.dtype} holds", f"{leaf.min()} to {leaf.max()}", hint)
    elif leaf.dtype.kind == "f":
        most = np.max(np.abs(leaf), initial=0, where=np.isfinite(leaf))
        if most > np.finfo(number).max:
            checks.fail(what, f"numbers that {number} holds", f"{most:g}", "divide them")
        found = flattened(leaf.reshape(math.prod(leaf.shape[:num_axes]), -1))
        if found.any():
            got = f"others in column {int(found.argmax()) + 1}"
            checks.fail(what, f"numbers that {number} tells apart", got, hint)
