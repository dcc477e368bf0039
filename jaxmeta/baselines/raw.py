"""Predictions from raw inputs, or from those of a frozen encoder, without any training."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta import labels, models, tree
from jaxmeta.criteria import Gaussian, silence_absent
from jaxmeta.learners.protonet import Adapted, protonet
from jaxmeta.learners.support import embed, embedded, memberships
from jaxmeta.types import Array, Batch, Criterion, MetaLearner, Model, PyTree, query_loss

_SCALE = 10.0  # of cosines, in whose softmax all classes are nearly equal


def nearest_centroid(criterion: Criterion, *, num_ways: int) -> MetaLearner:
    """The class whose mean raw input is nearest; zero is not chance, and this row says how far it is.

    Args:
      criterion: scores a predictor on query data.
      num_ways: classes per episode.
    """
    return protonet(models.flat(), criterion, num_ways=num_ways)


def cosine_centroid(encoder: Model, criterion: Criterion, *, num_ways: int) -> MetaLearner:
    """The class whose mean embedding makes the smallest angle with the query's: what a frozen encoder gives untrained.

    Args:
      encoder: maps inputs [n, ...] to embeddings [n, dim], which are brought to length one.
      criterion: scores a predictor on query data.
      num_ways: classes per episode.

    Returns:
      A MetaLearner whose meta_params are the encoder's params and whose adapted is `protonet`'s.
    """

    def apply(params: PyTree, inputs: PyTree, mask: Array | None = None, context: PyTree = ()) -> Array:
        return tree.direction(embedded(encoder, params, inputs, mask, context))

    nearest = protonet(Model(encoder.init, apply, encoder.context), criterion, num_ways=num_ways)

    def predict(meta_params: PyTree, adapted: Adapted, inputs: PyTree, mask: Array | None = None) -> Array:
        embeddings = apply(meta_params, inputs, mask, adapted.context)
        logits = _SCALE * embeddings @ tree.direction(adapted.prototypes).T
        return silence_absent(logits, jnp.broadcast_to(adapted.present, logits.shape))

    return MetaLearner(encoder.init, nearest.adapt, predict, query_loss(nearest.adapt, predict, criterion))


class Examples(NamedTuple):
    """Embeddings of a support set."""

    embeddings: Array
    """[n, dim] of length one."""
    owners: Array
    """[n] the class of each; num_ways of those that are padding."""


def nearest_example(encoder: Model, criterion: Criterion, *, num_ways: int) -> MetaLearner:
    """The class of the support example, or of tokens the support token, whose embedding makes the smallest angle.

    Args:
      encoder: maps inputs [n, ...] to embeddings [n, dim], or of tokens [n, L, dim], where targets are [n, L].
      criterion: scores a predictor on query data.
      num_ways: classes per episode; one without support examples gets no probability.
    """

    def adapt(meta_params: PyTree, support: Batch, key: Array) -> Examples:
        del key
        embeddings = embed("nearest_example", encoder, meta_params, support, (), num_ways)
        members = memberships(support, num_ways)
        return Examples(
            tree.direction(embeddings), jnp.where(members.any(axis=1), labels.flat(support).targets, num_ways)
        )

    def predict(meta_params: PyTree, adapted: Examples, inputs: PyTree, mask: Array | None = None) -> Array:
        embeddings = tree.direction(embedded(encoder, meta_params, inputs, mask, ()))
        cosines = jnp.moveaxis(embeddings @ adapted.embeddings.T, -1, 0)
        best = jax.ops.segment_max(cosines, adapted.owners, num_ways + 1)[:num_ways]
        logits = jnp.moveaxis(_SCALE * best, 0, -1)
        present = jnp.zeros(num_ways + 1, bool).at[adapted.owners].set(True)[:num_ways]
        return silence_absent(logits, jnp.broadcast_to(present, logits.shape))

    return MetaLearner(encoder.init, adapt, predict, query_loss(adapt, predict, criterion))


class Neighbours(NamedTuple):
    """The support set itself."""

    inputs: Array
    targets: Array
    mask: Array | None


def nearest_neighbour(criterion: Criterion) -> MetaLearner:
    """The value of the nearest support example by raw inputs: the floor for regression.

    Args:
      criterion: scores a predictor on query data; targets [n, ...] are values.
    """

    def adapt(meta_params: PyTree, support: Batch, key: Array) -> Neighbours:
        del meta_params, key
        return Neighbours(support.inputs, support.targets, support.mask)

    def predict(meta_params: PyTree, adapted: Neighbours, inputs: PyTree, mask: Array | None = None) -> Array:
        del meta_params, mask
        rows, known = inputs.reshape(len(inputs), -1), adapted.inputs.reshape(len(adapted.inputs), -1)
        distances = jnp.square(rows[:, None] - known[None]).sum(axis=-1)
        distances = distances if adapted.mask is None else jnp.where(adapted.mask[None], distances, jnp.inf)
        nearest = adapted.targets[jnp.argmin(distances, axis=1)]
        # The argmin of NaN is a row as good as any.
        lost = jnp.isnan(distances).any(axis=1).reshape(-1, *(1,) * (nearest.ndim - 1))
        return jnp.where(lost, jnp.nan, nearest)

    return MetaLearner(lambda key: {}, adapt, predict, query_loss(adapt, predict, criterion))


class Moments(NamedTuple):
    """What a support set's targets [n, ...] are like."""

    mean: Array
    """[...]"""
    scale: Array
    """[...] deviations, positive."""


def support_moments(criterion: Criterion) -> MetaLearner:
    """Mean and deviation of the support set's targets, wherever it is asked: the floor for predicted distributions.

    The squared deviations are summed with one unit and divided by the number of targets, so that a single one, or equal
    ones, say nothing for certain.

    Args:
      criterion: scores a predictor of `criteria.Gaussian` on query data.

    Returns:
      A MetaLearner without meta_params, whose adapted is `Moments(mean, scale)`.
    """

    def adapt(meta_params: PyTree, support: Batch, key: Array) -> Moments:
        del meta_params, key
        targets = support.targets
        real = jnp.ones(len(targets), bool) if support.mask is None else support.mask
        keep = real.reshape(-1, *(1,) * (targets.ndim - 1))
        count = jnp.maximum(real.sum(), 1)
        mean = jnp.where(keep, targets, 0).sum(axis=0) / count
        squares = jnp.where(keep, jnp.square(targets - mean[None]), 0).sum(axis=0)
        return Moments(mean, jnp.sqrt((squares + 1) / count))

    def predict(meta_params: PyTree, adapted: Moments, inputs: PyTree, mask: Array | None = None) -> Gaussian:
        del meta_params, mask
        return Gaussian(*(jnp.broadcast_to(each[None], (len(inputs), *each.shape)) for each in adapted))

    return MetaLearner(lambda key: {}, adapt, predict, query_loss(adapt, predict, criterion))
