"""Proto-MAML."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import optax

from jaxmeta import inner
from jaxmeta.criteria import silence_absent
from jaxmeta.learners.protonet import protonet
from jaxmeta.types import Array, Batch, Criterion, MetaLearner, Metrics, Model, PyTree, query_loss


class Network(NamedTuple):
    """An encoder with a linear head."""

    encoder: PyTree
    """The encoder's params."""
    weights: Array
    """[dim, num_ways]"""
    bias: Array
    """[num_ways]"""


class Adapted(NamedTuple):
    """One task's own network."""

    network: Network
    """Encoder and head after the inner steps."""
    present: Array
    """[num_ways] bool, the classes that have a support example."""
    context: PyTree
    """The encoder's context, computed once with those params."""


def proto_maml(
    encoder: Model,
    criterion: Criterion,
    inner_optimizer: optax.GradientTransformation,
    *,
    num_ways: int,
    num_steps: int,
    outer_criterion: Criterion | None = None,
    gradient: inner.Gradient = inner.mixed_mode,
    scan: inner.Scan = inner.adaptive_scan,
    select: inner.Select | None = None,
) -> MetaLearner:
    """MAML whose head starts, in every task, as a prototypical network.

    With c_k the mean embedding of class k, the head starts from weights 2 c_k and bias -||c_k||^2: the same softmax
    as over -||f(x) - c_k||^2. Then encoder and head take num_steps gradient steps on the support set. The
    meta-gradient is exact, through the steps and through the prototypes. The head needs no meta-parameters, so ways
    may differ from those of the training. A class without support examples gets no probability.

    Args:
      encoder: maps inputs [n, ...] to embeddings [n, dim]; its params are the meta_params.
      criterion: the loss on the support set, and on the query set unless `outer_criterion` is given.
      inner_optimizer: any Optax transformation.
      num_ways: classes per episode; targets are integers in [0, num_ways).
      num_steps: inner steps; 0 is a prototypical network.
      outer_criterion, gradient, scan, select: as in `maml`.

    Returns:
      A MetaLearner whose adapted is `Adapted(network, present, context)`.

    Raises:
      ValueError: if num_ways < 2, num_steps is negative, or the encoder's outputs are not [n, dim].

    References:
      Triantafillou et al., Meta-Dataset, 2020, paragraph "Proto-MAML".
    """
    start = protonet(encoder, criterion, num_ways=num_ways)

    def apply(network: Network, present: Array, inputs: PyTree, mask: Array | None, context: PyTree) -> Array:
        logits = encoder.apply(network.encoder, inputs, mask, context) @ network.weights + network.bias[None]
        return silence_absent(logits, jnp.broadcast_to(present, logits.shape))

    def support_loss(network: Network, data: tuple[Batch, Array], key: Array) -> tuple[Array, Metrics]:
        support, present = data
        # No context: the rows of the support set are their own moments.
        return criterion(lambda inputs, mask=None: apply(network, present, inputs, mask, ()), support, key)

    solve = inner.unroll(
        support_loss, inner_optimizer, num_steps, gradient=gradient, scan=scan, select=inner.select_first(select)
    )

    def adapt(meta_params: PyTree, support: Batch, key: Array) -> Adapted:
        prototypes, present, _ = start.adapt(meta_params, support, key)
        head = 2 * prototypes.T, -jnp.square(prototypes).sum(axis=1)
        network, _ = solve(Network(meta_params, *head), (support, present), key)
        return Adapted(network, present, encoder.context(network.encoder, support))

    def predict(meta_params: PyTree, adapted: Adapted, inputs: PyTree, mask: Array | None = None) -> Array:
        del meta_params
        return apply(adapted.network, adapted.present, inputs, mask, adapted.context)

    return MetaLearner(encoder.init, adapt, predict, query_loss(adapt, predict, outer_criterion or criterion))
