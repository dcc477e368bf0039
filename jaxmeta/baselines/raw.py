"""Predictions from raw inputs, without any network."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from jaxmeta import models
from jaxmeta.learners.protonet import protonet
from jaxmeta.types import Array, Batch, Criterion, MetaLearner, PyTree, query_loss


def nearest_centroid(criterion: Criterion, *, num_ways: int) -> MetaLearner:
    """The class whose mean raw input is nearest; zero is not chance, and this row says how far it is.

    Args:
      criterion: scores a predictor on query data.
      num_ways: classes per episode.
    """
    return protonet(models.flat(), criterion, num_ways=num_ways)


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
