"""R2-D2: a ridge regression on top of learned features."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from jaxmeta import checks, inner
from jaxmeta.criteria import silence_absent
from jaxmeta.learners.support import embed, embedded, memberships
from jaxmeta.types import Array, Batch, Criterion, MetaLearner, Model, PyTree, query_loss

_SCALE = 10.0


class MetaParams(NamedTuple):
    """What is learned over tasks."""

    encoder: PyTree
    """The encoder's params."""
    log_ridge: Array
    """[] the logarithm of the regularisation, which is thereby positive."""
    scale: Array
    """[] what the regression's outputs are multiplied by."""
    bias: Array
    """[] what is then added."""


class Adapted(NamedTuple):
    """One task's own linear head."""

    weights: Array
    """[dim, num_ways]"""
    present: Array
    """[num_ways] bool, the classes that have a support example."""
    context: PyTree
    """The encoder's context."""


def r2d2(encoder: Model, criterion: Criterion, *, num_ways: int) -> MetaLearner:
    """Classifies by a ridge regression on the support set's one-hot labels, solved in closed form.

    With X the embeddings of the support set and Y its labels, W = argmin ||X W - Y||^2 + ridge ||W||^2, and the
    logits are scale * f(x) W + bias. Padded rows do not count; a class without support examples gets no probability.

    The ridge starts from 1, and the scale from 10: outputs of the regression lie in about [0, 1], in which a
    softmax is nearly flat.

    Args:
      encoder: maps inputs [n, ...] to embeddings [n, dim].
      criterion: scores a predictor on query data. Under `criteria.cross_entropy` the bias has no effect.
      num_ways: classes per episode; targets are integers in [0, num_ways).

    Returns:
      A MetaLearner whose meta_params are `MetaParams(encoder, log_ridge, scale, bias)` and whose adapted is
      `Adapted(weights, present, context)`.

    Raises:
      ValueError: if num_ways < 2, or if the encoder's outputs are not [n, dim].

    References:
      Bertinetto et al., Meta-learning with Differentiable Closed-form Solvers, 2019, section 3.2. Its code also
      regresses on a constant feature and divides X and Y by the square root of n.
    """
    num_ways = checks.integer("r2d2: num_ways", num_ways, 2)

    def init(key: Array) -> MetaParams:
        return MetaParams(encoder.init(key), jnp.zeros(()), jnp.array(_SCALE, float), jnp.zeros(()))

    def adapt(meta_params: MetaParams, support: Batch, key: Array) -> Adapted:
        del key
        context = encoder.context(meta_params.encoder, support)
        embeddings = embed("r2d2", encoder, meta_params.encoder, support, context, num_ways)
        members = memberships(support, num_ways)
        rows = jnp.where(members.any(axis=1, keepdims=True), embeddings, 0)
        weights = inner.ridge(rows, members.astype(rows.dtype), jnp.exp(meta_params.log_ridge))
        return Adapted(weights, members.any(axis=0), context)

    def predict(meta_params: MetaParams, adapted: Adapted, inputs: PyTree, mask: Array | None = None) -> Array:
        embeddings = embedded(encoder, meta_params.encoder, inputs, mask, adapted.context)
        logits = meta_params.scale * (embeddings @ adapted.weights) + meta_params.bias
        return silence_absent(logits, jnp.broadcast_to(adapted.present, logits.shape))

    return MetaLearner(init, adapt, predict, query_loss(adapt, predict, criterion))
