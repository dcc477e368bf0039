"""CAVIA: a task is a short vector."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import optax

from jaxmeta import checks, inner, models
from jaxmeta.types import Array, Batch, Criterion, MetaLearner, Metrics, Model, PyTree, query_loss


class Adapted(NamedTuple):
    """One task's own part of the network's inputs."""

    context_params: Array
    """[num_context_params]"""
    context: PyTree
    """The model's context, computed once with them."""


def cavia(
    model: Model,
    criterion: Criterion,
    inner_optimizer: optax.GradientTransformation,
    *,
    num_steps: int,
    num_context_params: int,
    condition: Callable[[PyTree, Array], PyTree] = models.concatenate,
    outer_criterion: Criterion | None = None,
    gradient: inner.Gradient = inner.mixed_mode,
    scan: inner.Scan = inner.adaptive_scan,
    select: inner.Select | None = None,
) -> MetaLearner:
    """MAML on a few inputs of the network, the context parameters; the network itself is the same for all tasks.

    phi starts at 0 in every task and takes gradient steps on L_support(theta, phi); theta is trained on L_query
    through them, with the exact second order.

    Args:
      model: the network, built for the inputs that `condition` makes; its params are the meta_params.
      criterion: the loss on the support set, and on the query set unless `outer_criterion` is given.
      inner_optimizer: any Optax transformation.
      num_steps: inner steps.
      num_context_params: the length of phi.
      condition: (inputs, context_params) -> what the model is given. `models.concatenate` for an mlp;
        `models.beside` for a network that modulates its own layers, such as `models.film_conv4`; or any pure function.
      outer_criterion, gradient, scan, select: as in `maml`.

    Returns:
      A MetaLearner whose adapted is `Adapted(context_params, context)`.

    Raises:
      ValueError: if num_steps is negative or num_context_params < 1.

    References:
      Zintgraf et al., Fast Context Adaptation via Meta-Learning, 2019, section 3.1 and Algorithm 1.
    """
    num_context_params = checks.integer("cavia: num_context_params", num_context_params, 1)

    def support_loss(context_params: Array, data: tuple[PyTree, PyTree], key: Array) -> tuple[Array, Metrics]:
        support, params = data
        # No context: the rows of the support set are their own moments.
        return criterion(
            lambda inputs, mask=None: model.apply(params, condition(inputs, context_params), mask), support, key
        )

    solve = inner.unroll(
        support_loss, inner_optimizer, num_steps, gradient=gradient, scan=scan, select=inner.select_first(select)
    )

    def adapt(meta_params: PyTree, support: PyTree, key: Array) -> Adapted:
        context_params, _ = solve(jnp.zeros(num_context_params), (support, meta_params), key)
        if isinstance(support, Batch):
            support = support._replace(inputs=condition(support.inputs, context_params))
        return Adapted(context_params, model.context(meta_params, support))

    def predict(meta_params: PyTree, adapted: Adapted, inputs: PyTree, mask: Array | None = None) -> PyTree:
        return model.apply(meta_params, condition(inputs, adapted.context_params), mask, adapted.context)

    return MetaLearner(model.init, adapt, predict, query_loss(adapt, predict, outer_criterion or criterion))
