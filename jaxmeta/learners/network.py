"""What the learners that give each task a network of its own share."""

from __future__ import annotations

from typing import NamedTuple

from jaxmeta import inner
from jaxmeta.types import Array, Criterion, Metrics, Model, Predict, PyTree


class Adapted(NamedTuple):
    """One task's own network."""

    params: PyTree
    """The model's params after the inner steps."""
    context: PyTree
    """The model's context, computed once with those params."""


def support_loss(model: Model, criterion: Criterion) -> inner.InnerLoss:
    """The criterion on the support set as an inner loss, (params, support, key) -> (scalar, metrics)."""

    def loss(params: PyTree, support: PyTree, key: Array) -> tuple[Array, Metrics]:
        # No context: the rows of the support set are their own moments.
        return criterion(lambda inputs, mask=None: model.apply(params, inputs, mask), support, key)

    return loss


def adapted_network(model: Model) -> Predict:
    """The `predict` of a learner whose adapted is `Adapted` with all of the model's params."""

    def predict(meta_params: PyTree, adapted: Adapted, inputs: PyTree, mask: Array | None = None) -> PyTree:
        del meta_params
        return model.apply(adapted.params, inputs, mask, adapted.context)

    return predict
