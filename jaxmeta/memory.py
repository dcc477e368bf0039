"""What a program needs is held against what there is before any of it is asked for."""

from __future__ import annotations

import contextlib
import math
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from jaxmeta import checks
from jaxmeta.types import PyTree

SMALLER = "take fewer tasks, ways, shots or queries, smaller pictures or a smaller network"
MEMBERSHIP, CONTROL = pathlib.Path("/proc/self/cgroup"), pathlib.Path("/sys/fs/cgroup")
_MORE_THAN_ANY = 2**62


def on_cpu() -> bool:
    """Whether programs run on the CPU, whose devices share the machine's memory."""
    return jax.default_backend() == "cpu"


def available() -> int:
    """Bytes that are free on a device of this process; on a CPU all that the machine and its control groups allow."""
    if stats := jax.local_devices()[0].memory_stats():
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    if not hasattr(os, "sysconf"):
        return 2**40
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_allowed(MEMBERSHIP, CONTROL)])


def _allowed(membership: pathlib.Path, control: pathlib.Path) -> Iterator[int]:
    """What each control group of a process allows it, in either version of the kernel's interface."""
    lines = membership.read_text().splitlines() if membership.exists() else []
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers not in ("", "memory"):
            continue
        root, name = (control / "memory", "memory.limit_in_bytes") if controllers else (control, "memory.max")
        group = root / path.lstrip("/")
        for each in (group, *group.parents):
            # The path may be that of another namespace; a group without a limit says "max".
            with contextlib.suppress(OSError, ValueError):
                yield int((each / name).read_text())


def size(shapes: PyTree) -> int:
    """Bytes of a pytree of arrays or of their shapes, however large."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))


def needs(program: jax.stages.Lowered, mesh: jax.sharding.Mesh | None = None) -> int:
    """Bytes that a program takes beside its arguments, once it is compiled; a jitted call finds it compiled.

    Args:
      program: what `jitted.lower(...)` returns.
      mesh: the devices that share the work; those of a CPU share its memory too, and theirs is added up.

    Returns:
      The bytes on a device; 0 where the backend does not tell, and more than any has if compiling takes too much.
    """
    try:
        found = program.compile().memory_analysis()
    except jax.errors.JaxRuntimeError as error:  # a compiler that tries out kernels takes memory itself
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return _MORE_THAN_ANY
    sharing = mesh.size if mesh is not None and on_cpu() else 1
    return 0 if found is None else sharing * (found.temp_size_in_bytes + found.output_size_in_bytes)


def check(what: str, needed: int, most: int | None = None) -> None:
    """Raises MemoryError if `needed` bytes are more than there are, or than `most`."""
    most = available() if most is None else most
    if needed > most:
        checks.fail(what, f"at most the {most:,} bytes of memory that there are", f"{needed:,}", SMALLER, MemoryError)


def checked(what: str, function: Any, *arguments: Any, **options: Any) -> Any:
    """Calls a jitted function, whose program is compiled once all the same, if it needs no more memory than there is.

    Raises:
      MemoryError: if it needs more; nothing of it was allocated.
    """
    check(what, needs(function.lower(*arguments, **options), options.get("mesh")))
    return function(*arguments, **options)


def largest(what: str, need: Callable[[int], int], sizes: Sequence[int], most: int, first: int) -> int:
    """The largest size that fits, found with few programs compiled: a size needs no less than a smaller one.

    Args:
      what: names the program in errors.
      need: size -> bytes, about on a line over sizes.
      sizes: the choice.
      most: the bytes that there are.
      first: the size whose need is asked for first; the next two are those that are predicted to be the largest.

    Raises:
      MemoryError: if even the smallest does not fit.
    """
    left, fits, asked, size = sorted(sizes), None, [(0, 0)], first
    while True:
        found = need(size)
        if found <= most:
            fits, left = size, [each for each in left if each > size]
        elif size == min(sizes):
            check(what, found, most)
        else:
            left = [each for each in left if each < size]
        if fits is not None and not left:
            return fits
        slope = (found - asked[-1][1]) / (size - asked[-1][0])
        promising = [each for each in left if found + slope * (each - size) <= most] or left[:1]
        asked.append((size, found))
        size = promising[-1] if len(asked) < 4 else left[len(left) // 2]
