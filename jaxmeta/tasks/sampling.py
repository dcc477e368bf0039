"""Drawing without replacement, and episodes as pure functions of (seed, index)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import jax
import jax.numpy as jnp

from jaxmeta.types import Array, Episode


class Sample(Protocol):
    """A distribution of tasks: one key, one episode."""

    def __call__(self, key: Array, /) -> Episode: ...


def distinct(key: Array, size: Array | int, count: int) -> Array:
    """Draws `count` distinct integers from [0, size) in random order.

    Floyd's algorithm and a shuffle: its cost does not depend on size, which may be traced.

    Args:
      key: a random key.
      size: how many there are.
      count: how many to draw; if there are fewer, all of them are drawn and -1 fills the rest.

    Returns:
      [count] int32; every ordered draw is equally likely.
    """
    draw_key, order_key = jax.random.split(key)
    tops = jnp.asarray(size, jnp.int32) - count + jnp.arange(count, dtype=jnp.int32)
    draws = jax.random.randint(draw_key, (count,), 0, jnp.maximum(tops, 0) + 1, jnp.int32)

    def choose(index: int, chosen: Array) -> Array:
        taken = jnp.any(chosen == draws[index])
        return chosen.at[index].set(jnp.where(taken | (tops[index] < 0), jnp.maximum(tops[index], -1), draws[index]))

    chosen = jax.lax.fori_loop(0, count, choose, jnp.full(count, -1, jnp.int32), unroll=count <= 32)
    order = jax.random.bits(order_key, (count,), jnp.uint32) >> 1
    return chosen[jnp.argsort(jnp.where(chosen < 0, jnp.uint32(2**31), order))]


def episodes(sample: Callable[[Array], Episode], key: Array, indices: Array) -> Episode:
    """The episodes of a stream with the given indices, stacked along a leading task axis.

    Episode i is a function of (key, i) alone: the same in any batch, on any device and after a resume.

    Args:
      sample: key -> Episode.
      key: the stream's key.
      indices: [num_tasks] integers.
    """
    return jax.vmap(lambda index: sample(jax.random.fold_in(key, index)))(indices)
