"""Matching Networks."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta import checks, tree
from jaxmeta.criteria import silence_absent
from jaxmeta.learners.support import embed, embedded, memberships
from jaxmeta.types import Array, Batch, Criterion, MetaLearner, Model, PyTree, query_loss

_TEMPERATURE = 0.1


class MetaParams(NamedTuple):
    """What is learned over tasks."""

    encoder: PyTree
    """The encoder's params."""
    log_temperature: Array
    """[] the logarithm of what the cosines are divided by."""


class Adapted(NamedTuple):
    """The support set in the encoder's eyes."""

    embeddings: Array
    """[n, dim] of length 1."""
    members: Array
    """[n, num_ways] bool, each example's class; none for padding."""
    context: PyTree
    """The encoder's context."""


def matching_net(encoder: Model, criterion: Criterion, *, num_ways: int) -> MetaLearner:
    """Classifies a query by attention over the support examples.

    The attention a(x, x_i) is a softmax over the support set of cos(f(x), f(x_i)) / temperature; the probability of
    a class is the attention that its examples get. The logits are the logarithms of these probabilities. Padded
    support rows get no attention, a class without support examples no probability.

    The paper has no temperature. But cosines lie in [-1, 1]: with five examples no class could get more than 0.65 of
    the attention, and the loss would never be small. It starts from 0.1 and is learned.

    This is the paper's simple form: both sides share the encoder, and there are no full context embeddings.

    Args:
      encoder: maps inputs [n, ...] to embeddings [n, dim].
      criterion: scores a predictor on query data.
      num_ways: classes per episode; targets are integers in [0, num_ways).

    Returns:
      A MetaLearner whose meta_params are `MetaParams(encoder, log_temperature)` and whose adapted is
      `Adapted(embeddings, members, context)`.

    Raises:
      ValueError: if num_ways < 2, or if the encoder's outputs are not [n, dim].

    References:
      Vinyals et al., Matching Networks for One Shot Learning, 2016, section 2.1, equation 1.
    """
    num_ways = checks.integer("matching_net: num_ways", num_ways, 2)

    def init(key: Array) -> MetaParams:
        return MetaParams(encoder.init(key), jnp.array(math.log(_TEMPERATURE), float))

    def adapt(meta_params: MetaParams, support: Batch, key: Array) -> Adapted:
        del key
        context = encoder.context(meta_params.encoder, support)
        embeddings = embed("matching_net", encoder, meta_params.encoder, support, context, num_ways)
        return Adapted(tree.direction(embeddings), memberships(support, num_ways), context)

    def predict(meta_params: MetaParams, adapted: Adapted, inputs: PyTree, mask: Array | None = None) -> Array:
        queries = tree.direction(embedded(encoder, meta_params.encoder, inputs, mask, adapted.context))
        scores = queries @ adapted.embeddings.T / jnp.exp(meta_params.log_temperature)
        # Finite, so that a class without examples gives no NaN in the gradient.
        least = jnp.finfo(scores.dtype).min / 2
        lead = range(scores.ndim - 1)
        by_class = jnp.where(jnp.expand_dims(adapted.members.T, lead), scores[..., None, :], least)
        of_all = jnp.where(jnp.expand_dims(adapted.members.any(axis=1), lead), scores, least)
        logits = jax.nn.logsumexp(by_class, axis=-1) - jax.nn.logsumexp(of_all, axis=-1, keepdims=True)
        return silence_absent(logits, jnp.broadcast_to(adapted.members.any(axis=0), logits.shape))

    return MetaLearner(init, adapt, predict, query_loss(adapt, predict, criterion))
