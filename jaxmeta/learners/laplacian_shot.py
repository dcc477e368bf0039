"""LaplacianShot: prototypes whose queries lean on each other."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.criteria import silence_absent
from jaxmeta.learners.protonet import Adapted, protonet
from jaxmeta.learners.support import embedded
from jaxmeta.types import Array, Criterion, MetaLearner, Model, PyTree, query_loss

_NUM_UPDATES = 20


def laplacian_shot(
    encoder: Model, criterion: Criterion, *, num_ways: int, num_neighbours: int = 3, weight: float = 1.0
) -> MetaLearner:
    """A prototypical network that gives queries which lie close together the same class: it is transductive.

    Each query's probabilities start as `protonet`'s. In each of 20 updates a query's logits are its own, raised by
    `weight` times the probabilities of its nearest neighbours among the queries and of those whose neighbour it is. A
    query alone has no neighbours, and is classified as by `protonet`: that is what the column "single" of a table
    shows, and "joint" what all queries of a task together give. The paper's rectified prototypes are not part of it.

    Args:
      encoder: maps inputs [n, ...] to embeddings [n, dim].
      criterion: scores a predictor on query data.
      num_ways: classes per episode; targets are integers in [0, num_ways).
      num_neighbours: of each query, 3 in the paper.
      weight: of the neighbours, positive, 0.1 to 1.5 in the paper, chosen on validation classes.

    Returns:
      A MetaLearner whose meta_params and adapted are `protonet`'s.

    Raises:
      ValueError: if num_ways < 2, num_neighbours < 1, weight is not positive, or the encoder's outputs are not
        [n, dim].

    References:
      Ziko et al., Laplacian Regularized Few-Shot Learning, 2020, section 2 and Algorithm 1.
    """
    num_neighbours = checks.integer("laplacian_shot: num_neighbours", num_neighbours, 1)
    if not 0 < weight < math.inf:
        checks.fail("laplacian_shot: weight", "a positive number", weight)
    inductive = protonet(encoder, criterion, num_ways=num_ways)

    def predict(meta_params: PyTree, adapted: Adapted, inputs: PyTree, mask: Array | None = None) -> Array:
        embeddings = embedded(encoder, meta_params, inputs, mask, adapted.context)
        if embeddings.ndim != 2:  # a graph over all tokens of all queries is none of the paper's
            got = f"shape {embeddings.shape}"
            checks.fail("laplacian_shot", "embeddings [n, dim]", got, "protonet takes embeddings of tokens")
        distances = jnp.square(embeddings[:, None] - adapted.prototypes[None]).sum(axis=-1)
        present = jnp.broadcast_to(adapted.present, distances.shape)
        near = _neighbours(jax.lax.stop_gradient(embeddings), mask, num_neighbours).astype(distances.dtype)

        def update(logits: Array, _: None) -> tuple[Array, None]:
            shares = jax.nn.softmax(silence_absent(logits, present), axis=1)
            return weight * near @ shares - distances, None

        logits, _ = jax.lax.scan(update, -distances, length=_NUM_UPDATES)
        return silence_absent(logits, present)

    return MetaLearner(encoder.init, inductive.adapt, predict, query_loss(inductive.adapt, predict, criterion))


def _neighbours(embeddings: Array, mask: Array | None, count: int) -> Array:
    """[n, n] bool, symmetric: which real rows are among the nearest `count` of which others."""
    size = len(embeddings)
    real = jnp.ones(size, bool) if mask is None else mask
    distances = jnp.square(embeddings[:, None] - embeddings[None]).sum(axis=-1)
    apart = ~jnp.eye(size, dtype=bool) & real[:, None] & real[None]
    order = jnp.argsort(jnp.where(apart, distances, jnp.inf), axis=1)
    chosen = jax.nn.one_hot(order[:, :count], size, dtype=bool).any(axis=1) & apart
    return chosen | chosen.T
