"""A ridge regression on features, whose strength each task finds by leaving its examples out in turn."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta import checks, inner
from jaxmeta.criteria import silence_absent
from jaxmeta.learners.support import embed, embedded, memberships
from jaxmeta.types import Array, Batch, Criterion, MetaLearner, Model, PyTree, query_loss

PENALTIES, USUAL_PENALTY = (0.01, 0.03, 0.1, 0.3, 1.0), 0.1
"""Times the mean square of the centred embeddings; the usual one where there is no example to leave out."""
SCALES, USUAL_SCALE = (5.0, 10.0, 20.0, 40.0), 10.0
"""Of the outputs, which lie in about [0, 1]: in a softmax that is nearly flat."""


class Adapted(NamedTuple):
    """One task's linear head."""

    weights: Array
    """[dim, num_ways]"""
    bias: Array
    """[num_ways]"""
    present: Array
    """[num_ways] bool, the classes that have a support example."""
    context: PyTree
    """The encoder's context."""


def ridge_classifier(encoder: Model, criterion: Criterion, *, num_ways: int) -> MetaLearner:
    """Classifies by a ridge regression with a free bias; its penalty and the outputs' scale are chosen in the task.

    Each of a few penalties is tried on every support example by a regression on all others, which costs no further
    solving; the one of least squared error is taken, then the scale of least cross-entropy. Where a class has one
    example, which nothing can be left out of, both are the usual ones. Gradients take the choice as given.

    Args:
      encoder: maps inputs [n, ...] to embeddings [n, dim].
      criterion: scores a predictor on query data.
      num_ways: classes per episode; targets are integers in [0, num_ways).

    Returns:
      A MetaLearner whose meta_params are the encoder's params and whose adapted is
      `Adapted(weights, bias, present, context)`.

    Raises:
      ValueError: if num_ways < 2, or if the encoder's outputs are not [n, dim].

    References:
      Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 2009, section 7.10 (leave-one-out of a
      linear smoother); Bertinetto et al., Meta-learning with Differentiable Closed-form Solvers, 2019, section 3.2.
    """
    num_ways = checks.integer("ridge_classifier: num_ways", num_ways, 2)

    def adapt(meta_params: PyTree, support: Batch, key: Array) -> Adapted:
        del key
        context = encoder.context(meta_params, support)
        embeddings = embed("ridge_classifier", encoder, meta_params, support, context, num_ways)
        members = memberships(support, num_ways).astype(embeddings.dtype)
        real = members.max(axis=1, keepdims=True)
        count, present = jnp.maximum(real.sum(), 1), members.max(axis=0) > 0
        embeddings = jnp.where(real > 0, embeddings, 0)
        centre, level = embeddings.sum(axis=0) / count, members.sum(axis=0) / count
        rows = (embeddings - centre[None]) * real
        wide = jnp.promote_types(rows.dtype, jnp.float32)  # LAPACK has no half precision
        seen = jax.lax.stop_gradient(rows).astype(wide)
        penalty, scale = _chosen(seen, members.astype(wide), real.astype(wide), present)
        scale = scale.astype(rows.dtype)
        weights = scale * inner.ridge(rows, (members - level[None]) * real, penalty)
        return Adapted(weights, scale * level - centre @ weights, present, context)

    def predict(meta_params: PyTree, adapted: Adapted, inputs: PyTree, mask: Array | None = None) -> Array:
        embeddings = embedded(encoder, meta_params, inputs, mask, adapted.context)
        logits = embeddings @ adapted.weights + adapted.bias[None]
        return silence_absent(logits, jnp.broadcast_to(adapted.present, logits.shape))

    return MetaLearner(encoder.init, adapt, predict, query_loss(adapt, predict, criterion))


def _chosen(rows: Array, members: Array, real: Array, present: Array) -> tuple[Array, Array]:
    """The penalty and the scale of centred rows [n, dim] with members [n, num_ways]; padded rows are 0 in both."""
    count = jnp.maximum(real.sum(), 1)
    size = jnp.maximum(jnp.square(rows).sum() / count, 1e-12)
    values, vectors = jnp.linalg.eigh(rows @ rows.T)

    def left_out(share: Array) -> Array:
        """What a regression on all others says of each row, [n, num_ways]."""
        kept = jnp.maximum(values, 0)
        smoother = (vectors * (kept / (kept + share * size))[None]) @ vectors.T + real @ real.T / count
        own = jnp.clip(jnp.diagonal(smoother), 0, 1 - 1e-4)[:, None]
        return (smoother @ members - own * members) / (1 - own)

    found = jax.vmap(left_out)(jnp.array(PENALTIES, rows.dtype))
    errors = (jnp.square(found - members[None]) * real[None]).sum(axis=(1, 2))
    best = jnp.argmin(errors)

    def cross_entropy(scale: Array) -> Array:
        logits = scale * found[best]
        highest = jax.nn.logsumexp(logits, axis=1, where=present[None])
        return ((highest - (members * logits).sum(axis=1)) * real[:, 0]).sum()

    losses = jax.vmap(cross_entropy)(jnp.array(SCALES, rows.dtype))
    enough = jnp.where(present, members.sum(axis=0), 2).min() >= 2
    share = jnp.where(enough, jnp.array(PENALTIES, rows.dtype)[best], USUAL_PENALTY)
    scale = jnp.where(enough, jnp.array(SCALES, rows.dtype)[jnp.argmin(losses)], USUAL_SCALE)
    return share * size, scale
