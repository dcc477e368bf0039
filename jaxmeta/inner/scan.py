"""What runs the steps, and thereby what an outer gradient keeps of them; `jax.lax.scan` keeps what each step needs."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from jaxmeta import memory, tree
from jaxmeta.types import PyTree

Body = Callable[[PyTree, PyTree], tuple[PyTree, PyTree]]
"""(carry, x) -> (carry, y)"""


class Scan(Protocol):
    def __call__(self, body: Any, init: PyTree, xs: PyTree, /) -> tuple[PyTree, PyTree]: ...


FEW = 10  # steps, whose params together are small beside what one step of a network of convolutions takes


def adaptive_scan(body: Body, init: PyTree, xs: PyTree, /) -> tuple[PyTree, PyTree]:
    """Runs steps as their number wants it: one as it stands, some by `jax.lax.scan`, more by `checkpointed_scan`.

    So the memory of a gradient hardly grows with the steps. Off the CPU, where tasks are computed side by side, the
    first step stands before the loop: all tasks share its params, as those of a loop's steps cannot be.
    """
    length = tree.leading_axis(xs)
    if length > FEW:
        return checkpointed_scan(body, init, xs)
    if length == 0 or (length > 1 and memory.on_cpu()):
        return jax.lax.scan(body, init, xs)
    carry, first = body(jax.tree.map(jnp.asarray, init), jax.tree.map(lambda leaf: leaf[0], xs))
    first = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], first)
    if length == 1:
        return carry, first
    carry, rest = jax.lax.scan(body, carry, jax.tree.map(lambda leaf: leaf[1:], xs))
    return carry, jax.tree.map(lambda first, rest: jnp.concatenate([first, rest]), first, rest)


def checkpointed_scan(body: Body, init: PyTree, xs: PyTree, /) -> tuple[PyTree, PyTree]:
    """`jax.lax.scan` whose gradient keeps about 2 sqrt(n) of n steps and computes the others once more.

    The steps run in sqrt(n) segments. Of a segment its first carry is kept, until its turn comes in the backward pass.

    References:
      Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016, section 4.
    """
    length = tree.leading_axis(xs)
    size = _segment(length)
    num_segments = length // size
    whole = num_segments * size
    segments = jax.tree.map(lambda leaf: leaf[:whole].reshape(num_segments, size, *leaf.shape[1:]), xs)
    segment = jax.checkpoint(functools.partial(jax.lax.scan, body), prevent_cse=False)
    carry, ys = jax.lax.scan(segment, init, segments)
    ys = jax.tree.map(lambda leaf: leaf.reshape(whole, *leaf.shape[2:]), ys)
    if whole == length:
        return carry, ys
    carry, rest = jax.lax.scan(body, carry, jax.tree.map(lambda leaf: leaf[whole:], xs))
    return carry, jax.tree.map(lambda first, rest: jnp.concatenate([first, rest]), ys, rest)


def _segment(length: int) -> int:
    """About the root, and if there is one its divisor: what is left over would be compiled a second time."""
    root = max(1, math.isqrt(length))
    return next((size for size in range(root, (root + 1) // 2 - 1, -1) if length % size == 0), root)
