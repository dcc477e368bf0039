"""What the functions of this package accept."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxmeta import checks


def finite(what: str, values: Any, **axes: int) -> np.ndarray:
    """Returns `values` as finite float64 with the named axes, each at least as long as said, or raises."""
    least = ", ".join(f"{size} {name}" for name, size in axes.items())
    expected = f"numbers [{', '.join(f'num_{name}' for name in axes)}], at least {least}"
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        checks.fail(what, expected, str(error).splitlines()[0])  # of what is traced JAX says where, at length
    if array.ndim != len(axes) or any(size < low for size, low in zip(array.shape, axes.values(), strict=True)):
        checks.fail(what, expected, f"shape {array.shape}")
    if not np.isfinite(array).all():
        checks.fail(what, "finite numbers", f"{np.sum(~np.isfinite(array))} of {array.size} that are NaN or infinite")
    return array


def confidence(what: str, level: Any) -> float:
    """Returns the confidence level as a float, or raises if it is not in (0, 1)."""
    if not isinstance(level, float | np.floating) or not 0 < level < 1:
        checks.fail(what, "a number between 0 and 1", repr(level))
    return float(level)
