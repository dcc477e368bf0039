"""Implicit MAML."""

from __future__ import annotations

from typing import Any

import jax
import optax

from jaxmeta import inner
from jaxmeta.learners.network import Adapted, adapted_network, support_loss
from jaxmeta.types import Array, Criterion, Episode, MetaLearner, Metrics, Model, PyTree, adapted_predictor, scored


def imaml(
    model: Model,
    criterion: Criterion,
    inner_optimizer: optax.GradientTransformation,
    *,
    num_steps: int,
    regularization: float,
    num_cg_steps: int = 5,
    tolerance: float = 0.0,
    cg_tolerance: float = 1e-5,
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
      num_steps: inner steps, 16 in the paper on Omniglot; the most of them if there is a tolerance.
      regularization: lambda, positive, 2 in the paper: how strongly a task is held to the meta_params. It must outweigh
        the negative curvature that the loss has, which may be large for an untrained network.
      num_cg_steps: at most so many conjugate-gradient steps for the meta-gradient, 5 in the paper.
      tolerance: inner steps end once the norm of the objective's gradient is this part of what it was at the start.
      cg_tolerance: conjugate gradients end once what remains of the linear system is this part of it.
      outer_criterion, scan, select: as in `maml`; the minimum is over the whole support set, whatever `select` gives
        the steps. There is no gradient=, since the steps are not differentiated.

    Returns:
      A MetaLearner whose adapted is `Adapted(params, context)`. The metrics of its loss have "inner_residual" and
      "cg_residual", what remains of the objective's gradient and of the linear system: the meta-gradient is exact where
      both are 0, and means little where one is near 1.

    Raises:
      TypeError: if the inner optimizer is no Optax transformation.
      ValueError: if a number is out of range.

    References:
      Rajeswaran et al., Meta-Learning with Implicit Gradients, 2019, Algorithms 1 and 2.
    """

    solver = (support_loss(model, criterion), inner_optimizer, num_steps)
    options: dict[str, Any] = {"regularization": regularization, "num_cg_steps": num_cg_steps, "select": select}
    options |= {"tolerance": tolerance, "cg_tolerance": cg_tolerance, "scan": scan}
    solve, predict = inner.implicit(*solver, **options), adapted_network(model)

    def finish(params: PyTree, support: PyTree) -> Adapted:
        return Adapted(params, model.context(params, support))

    def adapt(meta_params: PyTree, support: PyTree, key: Array) -> Adapted:
        params, _ = solve(meta_params, support, key)
        return finish(params, support)

    def query(params: PyTree, episode: Episode, key: Array) -> tuple[Array, Metrics]:
        predictor = adapted_predictor(predict, params, finish(params, episode.support))
        return scored("criterion", (outer_criterion or criterion)(predictor, episode.query, key))

    value = inner.implicit_loss(solver[0], query, *solver[1:], **options)

    def loss(meta_params: PyTree, episode: Episode, key: Array) -> tuple[Array, Metrics]:
        adapt_key, query_key = jax.random.split(key)
        return value(meta_params, episode.support, episode, adapt_key, query_key)

    return MetaLearner(model.init, adapt, predict, loss)
