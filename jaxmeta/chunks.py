"""How many tasks a device works on side by side, and going through all of them so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxmeta import checks, memory, meshes, tree
from jaxmeta.models import forms
from jaxmeta.types import PyTree


def default_chunk(episodes: PyTree) -> int:
    """The number of tasks computed side by side that is fastest on this backend.

    On CPU pictures go one task after the other, since the working set then stays in cache; small tasks, whose time is
    the overhead of operations, go together, and so does everything on an accelerator, unless `forms.choice` measured
    that convolutions are faster one task after the other.
    """
    num_tasks, leaves = tree.leading_axis(episodes), jax.tree.leaves(episodes)
    if sum(leaf.size for leaf in leaves) / num_tasks < 2_000:
        return num_tasks
    are_pictures = any(leaf.ndim == 5 for leaf in leaves)
    return 1 if memory.on_cpu() or (are_pictures and forms.choice().in_turn) else num_tasks


def chunk_that_fits(
    what: str,
    lower: Callable[[int], jax.stages.Lowered],
    num_tasks: int,
    default: int,
    mesh: jax.sharding.Mesh | None = None,
    available: int | None = None,
) -> int:
    """The default chunk, or the largest smaller divisor of a device's tasks whose program fits the memory."""
    sizes = [size for size in range(1, default + 1) if num_tasks % size == 0]
    most = meshes.smallest(memory.available() if available is None else available, mesh)
    # Off the CPU the default is everything at once, whose program may be too large even to be compiled.
    first = default if memory.on_cpu() else 1
    need = lambda size: forms.falling_back(lambda: memory.needs(lower(size), mesh))  # noqa: E731
    return memory.largest(what, need, sizes, most, first)


def with_fewer(run: Callable[[int], PyTree], tasks_per_chunk: int, own: int) -> PyTree:
    """Runs it with half as many tasks side by side as long as the device refuses the memory.

    What is free is not always in one piece: an accelerator's allocator keeps the blocks of what ran before, and other
    programs may hold some. It tells when the results are waited for.
    """
    while True:
        try:
            return jax.block_until_ready(run(tasks_per_chunk))
        except jax.errors.JaxRuntimeError as error:
            if tasks_per_chunk == 1 or "RESOURCE_EXHAUSTED" not in str(error):
                raise
        tasks_per_chunk = max(size for size in range(1, tasks_per_chunk // 2 + 1) if own % size == 0)


def _in_chunks(arguments: PyTree, tasks_per_chunk: int) -> PyTree:
    num_tasks = tree.leading_axis(arguments)
    checks.integer("tasks_per_chunk", tasks_per_chunk, 1)
    if num_tasks % tasks_per_chunk:
        checks.fail("tasks_per_chunk", f"a divisor of the {num_tasks} tasks", tasks_per_chunk)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, tasks_per_chunk, *leaf.shape[1:]), arguments)


def sum_over_chunks(function: Callable[[PyTree], PyTree], arguments: PyTree, tasks_per_chunk: int) -> PyTree:
    """Adds up function(chunk) over chunks of the leading task axis, one chunk in memory at a time."""
    chunks = _in_chunks(arguments, tasks_per_chunk)
    if tree.leading_axis(chunks) == 1:
        return function(arguments)
    # Jitted, so that asking for the shapes does not trace it a second time: half of what tracing an update takes.
    function = jax.jit(function, inline=True)
    shapes = jax.eval_shape(function, jax.tree.map(lambda leaf: leaf[0], chunks))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, _wide(leaf.dtype)), shapes)
    add = lambda total, chunk: (jax.tree.map(jnp.add, total, function(chunk)), None)  # noqa: E731
    totals = jax.lax.scan(add, zeros, chunks)[0]
    return jax.tree.map(lambda total, leaf: total.astype(leaf.dtype), totals, shapes)


def _wide(dtype: Any) -> Any:
    """What a sum is kept in: of half precision float32, since many small summands vanish beside their sum."""
    return jnp.promote_types(dtype, jnp.float32) if jnp.issubdtype(dtype, jnp.floating) else dtype


def map_chunks(function: Callable[[PyTree], PyTree], arguments: PyTree, tasks_per_chunk: int) -> PyTree:
    """Stacks function(chunk), which keeps the task axis, over chunks of the leading task axis."""
    chunks = _in_chunks(arguments, tasks_per_chunk)
    if tree.leading_axis(chunks) == 1:
        return function(arguments)
    results = jax.lax.map(function, chunks)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), results)
