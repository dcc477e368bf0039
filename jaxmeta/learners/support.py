"""What the learners that classify by their support set share."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxmeta import checks, labels
from jaxmeta.types import Array, Batch, Model, PyTree


def memberships(support: Batch, num_ways: int) -> Array:
    """[n, num_ways] bool, which class a support example belongs to: none if it is padding, all if its label is none.

    Tokens are examples of their own, one behind the other. What is unknown of one class is unknown of all of them;
    `unless_mislabelled` says so in numbers.
    """
    support = labels.flat(support)
    members = jax.nn.one_hot(support.targets, num_ways, dtype=bool)
    members = members if support.mask is None else members & support.mask[:, None]
    return members | labels.unknown(support.targets, num_ways, support.mask)[:, None]


def unless_mislabelled(what: str, outputs: Array, support: Batch, num_ways: int) -> Array:
    """An encoder's outputs [n, ...], NaN in a real row whose label is out of range.

    Raises:
      ValueError: if the targets, or the mask, are not [n].
      TypeError: if they are no integers, or no bools.
    """
    labels.check_form(f"{what}: support set", support.targets, len(outputs))
    labels.check_mask(f"{what}: mask", support)
    rows = labels.nan_where(labels.unknown(support.targets, num_ways, support.mask), outputs.dtype)
    return outputs * jnp.expand_dims(rows, range(1, outputs.ndim))


def embedded(encoder: Model, params: PyTree, inputs: PyTree, mask: Array | None, context: PyTree) -> Array:
    """An encoder's outputs as floats: sums of bits are bits, and those of bytes begin anew at 256."""
    found = encoder.apply(params, inputs, mask, context)
    whole = hasattr(found, "dtype") and not jnp.issubdtype(found.dtype, jnp.inexact)
    return found.astype(float) if whole else found


def embedded_maps(
    what: str, encoder: Model, params: PyTree, inputs: PyTree, mask: Array | None, context: PyTree
) -> Array:
    """An encoder's feature maps [n, h, w, c].

    Raises:
      ValueError: if its outputs have another shape.
    """
    maps = embedded(encoder, params, inputs, mask, context)
    if getattr(maps, "ndim", None) != 4:
        got = f"shape {maps.shape}" if hasattr(maps, "shape") else type(maps).__name__
        checks.fail(f"{what}: encoder", "feature maps [n, h, w, c]", got)
    return maps


def embed(what: str, encoder: Model, params: PyTree, support: Batch, context: PyTree, num_ways: int) -> Array:
    """The support set's embeddings [n, dim], NaN where a label is not in [0, num_ways).

    Where each token has a target, [n, L], and the encoder gives [n, L, dim], those of all tokens, [n * L, dim].

    Raises:
      ValueError: if the encoder's outputs have another shape.
    """
    embeddings = embedded(encoder, params, support.inputs, labels.rows(support.mask), context)
    if getattr(embeddings, "ndim", None) == 3 and embeddings.shape[:2] == jnp.shape(support.targets):
        embeddings, support = embeddings.reshape(-1, embeddings.shape[2]), labels.flat(support)
    if getattr(embeddings, "ndim", None) != 2:
        got = getattr(embeddings, "shape", type(embeddings).__name__)
        checks.fail(what, "embeddings [n, dim]", got, "flatten the encoder's outputs")
    return unless_mislabelled(what, embeddings, support, num_ways)
