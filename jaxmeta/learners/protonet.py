"""Prototypical Networks."""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.criteria import silence_absent
from jaxmeta.learners.support import embed, embedded, memberships
from jaxmeta.types import Array, Batch, Criterion, MetaLearner, Model, PyTree, query_loss


class Adapted(NamedTuple):
    """What one task's support set leaves behind."""

    prototypes: Array
    """[num_ways, dim] the mean embedding of each class."""
    present: Array
    """[num_ways] bool, the classes that have a support example."""
    context: PyTree
    """The encoder's context."""


def protonet(encoder: Model, criterion: Criterion, *, num_ways: int) -> MetaLearner:
    """Classifies a query by its distance to the mean embedding of each class.

    With c_k the mean of f(x) over the support examples of class k, the logits are -||f(x) - c_k||^2.
    A class without support examples gets no probability.

    Args:
      encoder: maps inputs [n, ...] to embeddings [n, dim], or of tokens [n, L, dim], where targets are [n, L].
      criterion: scores a predictor on query data.
      num_ways: classes per episode; targets are integers in [0, num_ways).

    Returns:
      A MetaLearner whose meta_params are the encoder's params and whose adapted holds prototypes [num_ways, dim].

    Raises:
      ValueError: if num_ways < 2, or if the encoder's outputs are not [n, dim].

    References:
      Snell et al., Prototypical Networks for Few-shot Learning, 2017, sections 2.2 and 2.7.
    """
    num_ways = checks.integer("protonet: num_ways", num_ways, 2)

    def adapt(meta_params: PyTree, support: Batch, key: Array) -> Adapted:
        del key
        context = encoder.context(meta_params, support)
        embeddings = embed("protonet", encoder, meta_params, support, context, num_ways)
        members = memberships(support, num_ways).astype(embeddings.dtype)
        counts = members.sum(axis=0)
        prototypes = members.T @ embeddings / jnp.maximum(counts, 1)[:, None]
        return Adapted(prototypes, counts > 0, context)

    def predict(meta_params: PyTree, adapted: Adapted, inputs: PyTree, mask: Array | None = None) -> Array:
        embeddings = embedded(encoder, meta_params, inputs, mask, adapted.context)
        chex.assert_equal_shape_suffix([embeddings, adapted.prototypes], 1)  # or they would broadcast
        # Differences first: the expanded square loses digits, and a query alone must score as among others.
        distances = jnp.square(
            embeddings[..., None, :] - jnp.expand_dims(adapted.prototypes, range(embeddings.ndim - 1))
        ).sum(axis=-1)
        return silence_absent(-distances, jnp.broadcast_to(adapted.present, distances.shape))

    return MetaLearner(encoder.init, adapt, predict, query_loss(adapt, predict, criterion))
