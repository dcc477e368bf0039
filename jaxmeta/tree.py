"""Small helpers for arrays and pytrees."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxmeta.types import Array, PyTree


def masked_mean(values: Array, mask: Array | None) -> Array:
    """The mean of values [n] over the rows where mask [n] is True; 0 if there are none."""
    values = values.astype(float) if values.dtype == bool else values
    if mask is None:
        return values.mean()
    return jnp.where(mask, values, 0).sum() / jnp.maximum(mask.sum(), 1)


def leading_axis(tree: PyTree) -> int:
    """The size of the first axis, which all leaves must share.

    Raises:
      ValueError: if there is no leaf, a leaf has no axis, or the sizes differ.
    """
    sizes = {leaf.shape[:1] for leaf in jax.tree.leaves(tree)}
    if len(sizes) != 1 or () in sizes:
        raise ValueError(f"expected leaves that share one leading axis, got {sorted(sizes)}")
    return int(sizes.pop()[0])


def norm(tree: PyTree) -> Array:
    """The Euclidean norm of all leaves together."""
    return jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree)))
