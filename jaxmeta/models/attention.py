"""Attention, with what may be attended to."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxmeta.types import Array


def attend(queries: Array, keys: Array, values: Array, keep: Array | None = None, *, num_heads: int) -> Array:
    """Scaled dot-product attention of several heads.

    Args:
      queries: [..., m, width].
      keys: [..., n, width].
      values: [..., n, width].
      keep: [n] bool, what may be attended to; None: all. Where nothing may, the result is that of equal attention.
      num_heads: divides the width.

    Returns:
      [..., m, width].

    References:
      Vaswani et al., Attention Is All You Need, 2017, section 3.2.
    """
    heads = lambda array: array.reshape(*array.shape[:-1], num_heads, -1)  # noqa: E731
    queries, keys, values = heads(queries), heads(keys), heads(values)
    scores = jnp.einsum("...mhk,...nhk->...hmn", queries, keys) / jnp.sqrt(queries.shape[-1]).astype(queries.dtype)
    if keep is not None:
        # Finite, so that where nothing may be attended to there is no NaN.
        keep = jnp.expand_dims(keep, range(scores.ndim - 1))
        scores = jnp.where(keep, scores, jnp.finfo(scores.dtype).min / 2)
    found = jnp.einsum("...hmn,...nhk->...mhk", jax.nn.softmax(scores, axis=-1), values)
    return found.reshape(*found.shape[:-2], -1)
