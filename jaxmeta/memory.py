"""What a program needs is held against what there is before any of it is asked for: a config may be anybody's."""

from __future__ import annotations

import math
import os
from typing import Any

import jax

from jaxmeta import checks
from jaxmeta.types import PyTree

SMALLER = "take fewer tasks, ways, shots or queries, smaller pictures or a smaller network"


def available() -> int:
    """Bytes that a device has: of a CPU's the machine's, which all of them share."""
    if stats := jax.local_devices()[0].memory_stats():
        return stats["bytes_limit"]
    if not hasattr(os, "sysconf"):
        return 2**40
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def size(shapes: PyTree) -> int:
    """Bytes of a pytree of arrays or of their shapes, however large."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))


def check(what: str, needed: int) -> None:
    """Raises MemoryError if `needed` bytes are more than there are."""
    if needed > (most := available()):
        checks.fail(what, f"at most the {most:,} bytes of memory that there are", f"{needed:,}", SMALLER, MemoryError)


def checked(what: str, function: Any, *arguments: Any, **options: Any) -> Any:
    """Calls a jitted function, whose program is compiled once all the same, if it needs no more memory than there is.

    Raises:
      MemoryError: if it needs more; nothing of it was allocated.
    """
    found = function.lower(*arguments, **options).compile().memory_analysis()
    if found is not None:  # not every backend tells
        mesh = options.get("mesh")
        sharing = mesh.size if mesh is not None and jax.default_backend() == "cpu" else 1
        check(what, sharing * (found.temp_size_in_bytes + found.output_size_in_bytes))
    return function(*arguments, **options)
