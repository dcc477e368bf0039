"""Prototypical Networks that know what the classes are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.learners.protonet import Adapted, protonet
from jaxmeta.learners.support import embed, memberships
from jaxmeta.types import Array, Batch, Criterion, MetaLearner, Model, PyTree, query_loss


class Params(NamedTuple):
    """What is meta-learned."""

    encoder: PyTree
    weight: Array
    """The logarithm of how many examples a name is worth."""
    growth: Array
    """The logarithm of the power of the number of examples by which their weight grows; 0: linearly."""


def named_protonet(
    encoder: Model, criterion: Criterion, *, num_ways: int, is_name: Callable[[PyTree], Array]
) -> MetaLearner:
    """ProtoNet whose prototypes mix what a class is called with its examples.

    With c the mean embedding of the k support examples of a class and s that of its names, the prototype is
    (s e^w + c k^b) / (e^w + k^b), where w and b, at first 0, are meta-learned: so names count most where examples are
    few. A class with no example is its name alone, one without a name its examples alone.

    Args:
      encoder: maps inputs [n, ...] to embeddings [n, dim], of names as of examples.
      criterion: scores a predictor on query data.
      num_ways: classes per episode; targets are integers in [0, num_ways).
      is_name: inputs [n, ...] -> [n] bool, the rows of the support set that are names, or descriptions, of their
        targets' classes.

    Returns:
      A MetaLearner whose meta_params are `Params` and whose adapted is `protonet`'s.

    Raises:
      ValueError: if num_ways < 2, or if the encoder's outputs are not [n, dim].

    References:
      Snell et al., Prototypical Networks, 2017, section 2.7, which has no names; Xing et al., Adaptive Cross-Modal
      Few-Shot Learning, 2019, section 3.2, whose mixture hangs on the name in place of the number of examples.
    """
    num_ways = checks.integer("named_protonet: num_ways", num_ways, 2)
    plain = protonet(encoder, criterion, num_ways=num_ways)

    def init(key: Array) -> Params:
        return Params(encoder.init(key), jnp.zeros(()), jnp.zeros(()))

    def adapt(meta_params: Params, support: Batch, key: Array) -> Adapted:
        del key
        context = encoder.context(meta_params.encoder, support)
        embeddings = embed("named_protonet", encoder, meta_params.encoder, support, context, num_ways)
        members, names = memberships(support, num_ways), jnp.asarray(is_name(support.inputs), bool)[:, None]
        named, shown = (mean(embeddings, members & chosen) for chosen in (names, ~names))
        power = jnp.exp(meta_params.growth)
        # A power of 0 has a slope of infinity.
        shots = jnp.where(shown[1] > 0, jnp.maximum(shown[1], 1) ** power, 0)
        worth = jnp.where(named[1] > 0, jnp.exp(meta_params.weight), 0)
        total = jnp.maximum(shots + worth, jnp.finfo(embeddings.dtype).tiny)
        prototypes = (named[0] * worth[:, None] + shown[0] * shots[:, None]) / total[:, None]
        return Adapted(prototypes, members.any(axis=0), context)

    def predict(meta_params: Params, adapted: Adapted, inputs: PyTree, mask: Array | None = None) -> Array:
        return plain.predict(meta_params.encoder, adapted, inputs, mask)

    return MetaLearner(init, adapt, predict, query_loss(adapt, predict, criterion))


def mean(embeddings: Array, members: Array) -> tuple[Array, Array]:
    """The means [num_ways, dim] over the rows of members [n, num_ways], and how many these are [num_ways]."""
    weights = members.astype(embeddings.dtype)
    counts = weights.sum(axis=0)
    return weights.T @ embeddings / jnp.maximum(counts, 1)[:, None], jax.lax.stop_gradient(counts)
