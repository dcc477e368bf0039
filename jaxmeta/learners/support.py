"""What the learners that classify by their support set share."""

from __future__ import annotations

import jax

from jaxmeta import checks
from jaxmeta.types import Array, Batch, Model, PyTree


def memberships(support: Batch, num_ways: int) -> Array:
    """[n, num_ways] bool, which class a support example belongs to; none if it is padding."""
    members = jax.nn.one_hot(support.targets, num_ways, dtype=bool)
    return members if support.mask is None else members & support.mask[:, None]


def embed(what: str, encoder: Model, params: PyTree, support: Batch, context: PyTree) -> Array:
    """The support set's embeddings [n, dim].

    Raises:
      ValueError: if the encoder's outputs have another shape.
    """
    embeddings = encoder.apply(params, support.inputs, support.mask, context)
    if embeddings.ndim != 2:
        checks.fail(what, "embeddings [n, dim]", embeddings.shape, "flatten the encoder's outputs")
    return embeddings
