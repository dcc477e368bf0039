"""Conditional neural processes."""

from __future__ import annotations

from typing import NamedTuple

from jaxmeta.criteria.gaussian import Gaussian, from_outputs
from jaxmeta.learners import processes
from jaxmeta.types import Array, Batch, Criterion, MetaLearner, Model, PyTree, query_loss


class MetaParams(NamedTuple):
    """What is learned over tasks."""

    encoder: PyTree
    decoder: PyTree


class Adapted(NamedTuple):
    """A task in short."""

    representation: Array
    """[r], the mean over the support set."""


def cnp(encoder: Model, decoder: Model, criterion: Criterion) -> MetaLearner:
    """Predicts values from the mean of what an encoder makes of the support points.

    Args:
      encoder: maps points [n, dim + m], an input beside its target, to representations [n, r].
      decoder: maps inputs beside the mean representation, [n, dim + r], to [n, 2 m], of which `criteria.from_outputs`
        makes means and scales.
      criterion: scores a predictor of `criteria.Gaussian` on query data, such as `criteria.gaussian_likelihood`.

    Returns:
      A MetaLearner whose meta_params are `MetaParams(encoder, decoder)` and whose adapted is `Adapted(representation)`.

    References:
      Garnelo et al., Conditional Neural Processes, 2018.
    """

    def init(key: Array) -> MetaParams:
        return MetaParams(*(model.init(own) for model, own in processes.keyed(key, encoder, decoder)))

    def adapt(meta_params: MetaParams, support: Batch, key: Array) -> Adapted:
        del key
        found = encoder.apply(meta_params.encoder, processes.points("cnp", support), support.mask)
        return Adapted(processes.mean(found, support))

    def predict(meta_params: MetaParams, adapted: Adapted, inputs: PyTree, mask: Array | None = None) -> Gaussian:
        rows = processes.beside(inputs, adapted.representation)
        return from_outputs(decoder.apply(meta_params.decoder, rows, mask))

    return MetaLearner(init, adapt, predict, query_loss(adapt, predict, criterion))
