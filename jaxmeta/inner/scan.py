"""What runs the steps, and thereby what an outer gradient keeps of them; `jax.lax.scan` keeps what each step needs."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from jaxmeta import tree
from jaxmeta.types import PyTree

Body = Callable[[PyTree, PyTree], tuple[PyTree, PyTree]]
"""(carry, x) -> (carry, y)"""


class Scan(Protocol):
    def __call__(self, body: Any, init: PyTree, xs: PyTree, /) -> tuple[PyTree, PyTree]: ...


def checkpointed_scan(body: Body, init: PyTree, xs: PyTree, /) -> tuple[PyTree, PyTree]:
    """`jax.lax.scan` whose gradient keeps about 2 sqrt(n) of n steps and computes the others once more.

    The steps run in sqrt(n) segments. Of a segment its first carry is kept, until its turn comes in the backward pass.

    References:
      Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016, section 4.
    """
    length = tree.leading_axis(xs)
    size = max(1, math.isqrt(length))
    num_segments = length // size
    whole = num_segments * size
    segments = jax.tree.map(lambda leaf: leaf[:whole].reshape(num_segments, size, *leaf.shape[1:]), xs)
    segment = jax.checkpoint(functools.partial(jax.lax.scan, body), prevent_cse=False)
    carry, ys = jax.lax.scan(segment, init, segments)
    carry, rest = jax.lax.scan(body, carry, jax.tree.map(lambda leaf: leaf[whole:], xs))
    join = lambda first, rest: jnp.concatenate([first.reshape(whole, *first.shape[2:]), rest])  # noqa: E731
    return carry, jax.tree.map(join, ys, rest)
