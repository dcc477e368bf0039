"""Transformer neural processes."""

from __future__ import annotations

from typing import NamedTuple

from jaxmeta.criteria.gaussian import Gaussian, from_outputs
from jaxmeta.types import Array, Batch, Criterion, MetaLearner, Model, PyTree, query_loss


class Adapted(NamedTuple):
    """The support set as the network has read it."""

    context: PyTree
    """The model's context."""


def tnp(model: Model, criterion: Criterion) -> MetaLearner:
    """Predicts values by a transformer whose tokens attend to those of the support set alone.

    No query sees another: what is predicted of it alone is what is predicted of it among others.

    Args:
      model: its context reads a support set, its outputs are [n, 2 m]; such as `models.point_network`.
      criterion: scores a predictor of `criteria.Gaussian` on query data, such as `criteria.gaussian_likelihood`.

    Returns:
      A MetaLearner whose meta_params are the model's params and whose adapted is `Adapted(context)`.

    References:
      Nguyen and Grover, Transformer Neural Processes, 2022 (TNP-D).
    """

    def adapt(meta_params: PyTree, support: Batch, key: Array) -> Adapted:
        del key
        return Adapted(model.context(meta_params, support))

    def predict(meta_params: PyTree, adapted: Adapted, inputs: PyTree, mask: Array | None = None) -> Gaussian:
        return from_outputs(model.apply(meta_params, inputs, mask, adapted.context))

    return MetaLearner(model.init, adapt, predict, query_loss(adapt, predict, criterion))
