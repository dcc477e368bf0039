"""Meta-SGD."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta import checks, inner
from jaxmeta.learners.network import Adapted, adapted_network, support_loss
from jaxmeta.types import Array, Criterion, MetaLearner, Model, PyTree, query_loss


class MetaParams(NamedTuple):
    """Where the inner steps start, and how far and in which direction each parameter goes."""

    params: PyTree
    """The model's params before the inner steps."""
    learning_rates: PyTree
    """One rate for every entry of params, of any sign."""


def meta_sgd(
    model: Model,
    criterion: Criterion,
    *,
    num_steps: int,
    initial_learning_rate: float,
    outer_criterion: Criterion | None = None,
    gradient: inner.Gradient = inner.mixed_mode,
    scan: inner.Scan = inner.adaptive_scan,
    select: inner.Select | None = None,
) -> MetaLearner:
    """MAML that also learns the inner learning rate of every single parameter.

    A step is theta - alpha * grad L_support(theta), elementwise, and alpha is trained with theta. Its sign is free.
    In the first-order form, `gradient=inner.first_order`, the rates keep their gradient.

    Args:
      model: the network.
      criterion: the loss on the support set, and on the query set unless `outer_criterion` is given.
      num_steps: inner steps, 1 in the paper.
      initial_learning_rate: what every rate starts from.
      outer_criterion, gradient, scan, select: as in `maml`.

    Returns:
      A MetaLearner whose meta_params are `MetaParams(params, learning_rates)` and whose adapted is
      `Adapted(params, context)`.

    Raises:
      ValueError: if num_steps is negative or initial_learning_rate is not finite.

    References:
      Li et al., Meta-SGD: Learning to Learn Quickly for Few-Shot Learning, 2017, equation 3 and Algorithm 1. There
      the rates start from random values in [0.005, 0.1].
    """
    if not math.isfinite(initial_learning_rate):
        checks.fail("meta_sgd: initial_learning_rate", "a finite number", initial_learning_rate)

    def update(gradients: PyTree, state: PyTree, steered: inner.Steered, loss: Array) -> tuple[PyTree, PyTree]:
        del loss
        return jax.tree.map(lambda rate, slope: -rate * slope, steered.by, gradients), state

    optimizer = inner.steer(lambda steered: (), update)
    inner_loss = inner.steered(support_loss(model, criterion))
    solve = inner.unroll(inner_loss, optimizer, num_steps, gradient=gradient, scan=scan, select=select)

    def init(key: Array) -> MetaParams:
        params = model.init(key)
        return MetaParams(params, jax.tree.map(lambda leaf: jnp.full_like(leaf, initial_learning_rate), params))

    def adapt(meta_params: MetaParams, support: PyTree, key: Array) -> Adapted:
        (params, _), _ = solve(inner.Steered(*meta_params), support, key)
        return Adapted(params, model.context(params, support))

    predict = adapted_network(model)
    return MetaLearner(init, adapt, predict, query_loss(adapt, predict, outer_criterion or criterion))
