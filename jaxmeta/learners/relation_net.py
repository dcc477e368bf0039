"""Relation Networks."""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.criteria import silence_absent
from jaxmeta.learners.support import embedded_maps, memberships, unless_mislabelled
from jaxmeta.types import Array, Batch, Criterion, MetaLearner, Model, PyTree, query_loss


class MetaParams(NamedTuple):
    """What is learned over tasks."""

    encoder: PyTree
    """The encoder's params."""
    relation: PyTree
    """The relation module's params."""


class Adapted(NamedTuple):
    """What one task's support set leaves behind."""

    sums: Array
    """[num_ways, h, w, c] the sum of each class's feature maps."""
    present: Array
    """[num_ways] bool, the classes that have a support example."""
    context: PyTree
    """The encoder's context."""
    relation_context: PyTree
    """The relation module's context, from the pairs of every support example and every class."""


def relation_net(encoder: Model, relation: Model, criterion: Criterion, *, num_ways: int) -> MetaLearner:
    """Classifies a query by a learned comparison with each class.

    The score of class k is g([f(x), sum of f(x_i) over its support examples]), the feature maps concatenated in depth.
    Scores are raw: `criteria.relation_score` puts them through a sigmoid as the paper does, `criteria.cross_entropy`
    through a softmax. A class without support examples gets no probability.

    Args:
      encoder: maps inputs [n, ...] to feature maps [n, h, w, c], for example `models.conv4_maps`.
      relation: maps pairs [n, h, w, 2c] to scores [n, 1], for example `models.relation_module`.
      criterion: scores a predictor on query data.
      num_ways: classes per episode; targets are integers in [0, num_ways).

    Returns:
      A MetaLearner whose meta_params are `MetaParams(encoder, relation)` and whose adapted is
      `Adapted(sums, present, context, relation_context)`.

    Raises:
      ValueError: if num_ways < 2, the encoder gives no maps, or the relation module does not fit the pairs.

    References:
      Sung et al., Learning to Compare: Relation Network for Few-Shot Learning, 2018, section 3.2.
    """
    num_ways = checks.integer("relation_net: num_ways", num_ways, 2)

    def init(key: Array) -> MetaParams:
        encoder_key, relation_key = jax.random.split(key)
        return MetaParams(encoder.init(encoder_key), relation.init(relation_key))

    def adapt(meta_params: MetaParams, support: Batch, key: Array) -> Adapted:
        del key
        context = encoder.context(meta_params.encoder, support)
        maps = embedded_maps("relation_net", encoder, meta_params.encoder, support.inputs, support.mask, context)
        maps = unless_mislabelled("relation_net", maps, support, num_ways)
        members = memberships(support, num_ways)
        sums, present = jnp.einsum("nk,nhwc->khwc", members.astype(maps.dtype), maps), members.any(axis=0)
        pairs, real = _pairs(maps, support.mask, sums, present)
        _check(relation, meta_params.relation, pairs)
        # What the module compares later is a query with every class, so that is what its norms see here.
        relation_context = relation.context(meta_params.relation, Batch(pairs, members.ravel(), real))
        return Adapted(sums, present, context, relation_context)

    def predict(meta_params: MetaParams, adapted: Adapted, inputs: PyTree, mask: Array | None = None) -> Array:
        maps = encoder.apply(meta_params.encoder, inputs, mask, adapted.context)
        pairs, real = _pairs(maps, mask, adapted.sums, adapted.present)
        scores = relation.apply(meta_params.relation, pairs, real, adapted.relation_context).reshape(-1, num_ways)
        return silence_absent(scores, jnp.broadcast_to(adapted.present, scores.shape))

    return MetaLearner(init, adapt, predict, query_loss(adapt, predict, criterion))


def _pairs(maps: Array, mask: Array | None, sums: Array, present: Array) -> tuple[Array, Array]:
    """Every map beside every class's sum, [n * num_ways, h, w, 2c], and which pairs are real, [n * num_ways]."""
    chex.assert_rank([maps, sums], 4)
    chex.assert_equal_shape_suffix([maps, sums], 3)
    shape = (len(maps), *sums.shape)
    both = [jnp.broadcast_to(maps[:, None], shape), jnp.broadcast_to(sums, shape)]
    real = jnp.broadcast_to(present, shape[:2])
    real = real if mask is None else real & mask[:, None]
    return jnp.concatenate(both, axis=-1).reshape(-1, *shape[2:-1], 2 * shape[-1]), real.ravel()


def _check(relation: Model, params: PyTree, pairs: Array) -> None:
    """Says so if the module was built for other pairs: what it raises itself would name one of its layers."""
    expected = f"a module that maps pairs {list(pairs.shape)} to scores {[len(pairs), 1]}"
    hint = "its depth is twice the encoder's"
    try:
        scores = jax.eval_shape(relation.apply, params, pairs)
    except Exception as error:
        first_line = str(error).strip().split("\n")[0]
        raise ValueError(f"relation_net: relation: expected {expected}, got an error ({first_line}); {hint}") from error
    if getattr(scores, "shape", None) != (len(pairs), 1):
        checks.fail("relation_net: relation", expected, f"outputs {getattr(scores, 'shape', type(scores))}", hint)
