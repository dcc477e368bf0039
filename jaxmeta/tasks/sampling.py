"""Drawing without replacement, and episodes as pure functions of (seed, index)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.types import Array, Batch, Episode, PyTree


class Sample(Protocol):
    """A distribution of tasks: one key, one episode.

    All samplers of this package are pytrees whose leaves are the data, so that what compiles takes them as an argument.
    """

    def __call__(self, key: Array, /) -> Episode: ...


def static() -> Any:
    """A field of a sampler that is no data: two samplers that differ in it are two programs."""
    return dataclasses.field(metadata={"static": True})


def as_pytree(sample: Sample) -> Any:
    """A sampler as compiled code takes it for an argument: itself, or a plain function of your own without leaves."""
    return jax.tree_util.Partial(sample) if jax.tree_util.all_leaves([sample]) else sample


def gathered(inputs: PyTree, rows: Array) -> PyTree:
    """The given rows of inputs [N, ...]: of pictures stored as uint8 as floats in [0, 1], of all else as they are."""
    return jax.tree.map(lambda leaf: as_floats(leaf[rows]), inputs)


def as_floats(inputs: Array) -> Array:
    """Pictures stored as uint8 as floats of JAX's default in [0, 1]; all else as it is."""
    return inputs.astype(float) / 255 if inputs.dtype == jnp.uint8 else inputs


def labelled_rows(inputs: Any, num_ways: int, per_class: int) -> Batch:
    """A Batch of rows sorted by class, `per_class` of each; every class is present."""
    targets = jnp.repeat(jnp.arange(num_ways, dtype=jnp.int32), per_class)
    return Batch(inputs, targets, classes=jnp.ones((num_ways * per_class, num_ways), bool))


def on_batches(function: Callable[[Batch], Batch], episode: Episode) -> Episode:
    """Changes what of an episode is a Batch; supervised pre-training, for one, has no support set."""
    return Episode(*(function(part) if isinstance(part, Batch) else part for part in episode))


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

    Raises:
      TypeError: if the key is none, or indices are a number or a list.
    """
    check_stream("episodes", key, indices)
    return jax.vmap(lambda index: sample(jax.random.fold_in(key, index)))(indices)


def check_stream(what: str, key: Any, indices: Any) -> None:
    """Raises TypeError unless episodes are asked for by a random key and an array of indices."""
    checks.random_key(what, key)
    if getattr(indices, "ndim", 0) != 1:
        got = f"shape {indices.shape}" if hasattr(indices, "shape") else f"{indices!r} ({type(indices).__name__})"
        checks.fail(f"{what}: indices", "an array [num_tasks]", got, "jnp.arange(5) has five", TypeError)
