"""Pre-training, then steps on the support set: of the whole network, or of a new head alone."""

from __future__ import annotations

from typing import NamedTuple

import optax

from jaxmeta import checks, inner
from jaxmeta.baselines.pretrained import (
    Pretrained,
    linear_head,
    population_context,
    pretraining,
    probe,
    silenced,
)
from jaxmeta.learners.support import embed, memberships
from jaxmeta.types import Array, Batch, Criterion, MetaLearner, Metrics, Model, PyTree


class Network(NamedTuple):
    """An encoder with the task's own head."""

    encoder: PyTree
    """The encoder's params."""
    head: PyTree
    """Weights [dim, num_ways] and bias [num_ways]."""


class Adapted(NamedTuple):
    """One task's own network."""

    network: Network
    """Encoder and head after the steps."""
    present: Array
    """[num_ways] bool, the classes that have a support example."""
    context: PyTree
    """The encoder's context."""


def fine_tune(
    encoder: Model,
    criterion: Criterion,
    optimizer: optax.GradientTransformation,
    *,
    num_features: int,
    num_classes: int,
    num_ways: int,
    num_steps: int,
    outer_criterion: Criterion | None = None,
    gradient: inner.Gradient = inner.mixed_mode,
    scan: inner.Scan = inner.adaptive_scan,
    select: inner.Select | None = None,
) -> MetaLearner:
    """Pre-trains on all source classes, then trains everything and a new linear head on the support set.

    Its training episodes are `tasks.labelled_batches`. The head starts from zero. Steps take the whole support set,
    unless `select` says otherwise. After training, `with_population` gives it the source's statistics, under which it
    then adapts and predicts; without them the support set's own serve.

    Args:
      encoder: maps inputs [n, ...] to embeddings [n, num_features].
      criterion: the loss of the steps, and of pre-training unless `outer_criterion` is given.
      optimizer: any Optax transformation, for the steps.
      num_features: the length of an embedding.
      num_classes: classes of the source.
      num_ways: classes per episode; targets are integers in [0, num_ways).
      num_steps: steps on the support set.
      outer_criterion: the loss of pre-training, if another.
      gradient, scan, select: as in `maml`.

    Returns:
      A MetaLearner whose meta_params are `Pretrained(encoder, classifier, population)`.

    Raises:
      ValueError: if a number is too small, or the encoder's outputs are not [n, num_features].

    References:
      Chen et al., A Closer Look at Few-shot Classification, 2019, section 3.2, "Baseline"; Guo et al., A Broader Study
      of Cross-Domain Few-Shot Learning, 2020, section 4.2, fine-tunes all of it.
    """
    num_ways = checks.integer("fine_tune: num_ways", num_ways, 2)
    head = linear_head(num_features)
    init, loss = pretraining(encoder, head, outer_criterion or criterion, num_classes)

    def apply(network: Network, present: Array, inputs: PyTree, mask: Array | None, context: PyTree) -> Array:
        return silenced(head.apply(network.head, encoder.apply(network.encoder, inputs, mask, context)), present)

    def support_loss(network: Network, data: tuple[Batch, Array, PyTree], key: Array) -> tuple[Array, Metrics]:
        support, present, context = data
        return criterion(lambda inputs, mask=None: apply(network, present, inputs, mask, context), support, key)

    solve = inner.unroll(
        support_loss, optimizer, num_steps, gradient=gradient, scan=scan, select=inner.select_first(select)
    )

    def adapt(meta_params: Pretrained, support: Batch, key: Array) -> Adapted:
        # Without the source's context, the rows of the support set are their own moments.
        context = meta_params.population.context if meta_params.population else ()
        embeddings = embed("fine_tune", encoder, meta_params.encoder, support, context, num_ways)
        members = memberships(support, num_ways)
        present = members.any(axis=0)
        network = Network(meta_params.encoder, head.start(embeddings, members))
        network, _ = solve(network, (support, present, context), key)
        return Adapted(network, present, population_context(encoder, meta_params, network.encoder, support))

    def predict(meta_params: Pretrained, adapted: Adapted, inputs: PyTree, mask: Array | None = None) -> Array:
        del meta_params
        return apply(adapted.network, adapted.present, inputs, mask, adapted.context)

    return MetaLearner(init, adapt, predict, loss)


def linear_probe(
    encoder: Model,
    criterion: Criterion,
    optimizer: optax.GradientTransformation,
    *,
    num_features: int,
    num_classes: int,
    num_ways: int,
    num_steps: int,
    outer_criterion: Criterion | None = None,
    gradient: inner.Gradient = inner.mixed_mode,
    scan: inner.Scan = inner.adaptive_scan,
    select: inner.Select | None = None,
) -> MetaLearner:
    """Pre-trains on all source classes, then trains a new linear head on frozen embeddings of the support set.

    Args:
      encoder: maps inputs [n, ...] to embeddings [n, num_features].
      criterion: the loss of the steps, and of pre-training unless `outer_criterion` is given.
      optimizer: any Optax transformation, for the steps.
      num_features: the length of an embedding.
      num_classes: classes of the source.
      num_ways: classes per episode; targets are integers in [0, num_ways).
      num_steps: steps on the support set.
      outer_criterion: the loss of pre-training, if another.
      gradient, scan, select: as in `maml`.

    Returns:
      A MetaLearner whose meta_params are `Pretrained(encoder, classifier, population)`.

    References:
      Chen et al., A Closer Look at Few-shot Classification, 2019, section 3.2, "Baseline".
    """
    return probe(
        "linear_probe", encoder, linear_head(num_features), criterion, optimizer,
        num_classes=num_classes, num_ways=num_ways, num_steps=num_steps,
        outer_criterion=outer_criterion, gradient=gradient, scan=scan, select=select,
    )  # fmt: skip
