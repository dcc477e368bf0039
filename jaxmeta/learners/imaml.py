"""Implicit MAML."""

from __future__ import annotations

import jax
import optax

from jaxmeta import inner
from jaxmeta.learners.network import Adapted, adapted_network, support_loss
from jaxmeta.types import Array, Criterion, MetaLearner, Model, PyTree, query_loss


def imaml(
    model: Model,
    criterion: Criterion,
    inner_optimizer: optax.GradientTransformation,
    *,
    num_steps: int,
    regularization: float,
    num_cg_steps: int = 5,
    outer_criterion: Criterion | None = None,
    scan: inner.Scan = jax.lax.scan,
    select: inner.Select | None = None,
) -> MetaLearner:
    """MAML whose meta-gradient comes from the minimum that the inner steps find, not from the steps.

    The adapted params minimise L_support(phi) + regularization / 2 ||phi - theta||^2. What the meta-gradient costs
    and keeps in memory does not depend on num_steps, and it is exact as far as the steps reach the minimum: the loss's
    curvature plus the regularization must be positive there.

    The inner optimizer is never differentiated, so it may be anything of Optax: `optax.adam` without eps_root, which
    `maml` refuses, is fine. What it has to do is end at the minimum of that objective: one that decays weights or
    stops early gets a gradient that belongs to another point.

    Args:
      model: the network; its params are the meta_params.
      criterion: the loss on the support set, and on the query set unless `outer_criterion` is given.
      inner_optimizer: any Optax transformation.
      num_steps: inner steps, 16 in the paper on Omniglot.
      regularization: lambda, positive, 2 in the paper: how strongly a task is held to the meta_params.
      num_cg_steps: conjugate-gradient steps for the meta-gradient, 5 in the paper.
      outer_criterion, scan, select: as in `maml`; the minimum is over the whole support set, whatever `select` gives
        the steps. There is no gradient=, since the steps are not differentiated.

    Returns:
      A MetaLearner whose adapted is `Adapted(params, context)`.

    Raises:
      TypeError: if the inner optimizer is no Optax transformation.
      ValueError: if a number is out of range.

    References:
      Rajeswaran et al., Meta-Learning with Implicit Gradients, 2019, Algorithms 1 and 2.
    """

    solve = inner.implicit(
        support_loss(model, criterion),
        inner_optimizer,
        num_steps,
        regularization=regularization,
        num_cg_steps=num_cg_steps,
        scan=scan,
        select=select,
    )

    def adapt(meta_params: PyTree, support: PyTree, key: Array) -> Adapted:
        params, _ = solve(meta_params, support, key)
        return Adapted(params, model.context(params, support))

    predict = adapted_network(model)
    return MetaLearner(model.init, adapt, predict, query_loss(adapt, predict, outer_criterion or criterion))
