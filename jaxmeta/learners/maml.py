"""MAML and its first-order form."""

from __future__ import annotations

import jax
import optax

from jaxmeta import inner
from jaxmeta.learners.network import Adapted, adapted_network, support_loss
from jaxmeta.types import Array, Criterion, MetaLearner, Model, PyTree, query_loss


def maml(
    model: Model,
    criterion: Criterion,
    inner_optimizer: optax.GradientTransformation,
    *,
    num_steps: int,
    outer_criterion: Criterion | None = None,
    gradient: inner.Gradient = inner.mixed_mode,
    scan: inner.Scan = inner.adaptive_scan,
    select: inner.Select | None = None,
) -> MetaLearner:
    """Learns an initialisation from which a few gradient steps solve a task, with the exact second order.

    The adapted params are theta - alpha grad L_support(theta), repeated num_steps times; theta is trained on
    L_query of the adapted params, and its gradient goes through the inner gradient.

    Args:
      model: the network; its params are the meta_params.
      criterion: the loss on the support set, and on the query set unless `outer_criterion` is given.
      inner_optimizer: any Optax transformation, `optax.sgd(alpha)` in the paper.
      num_steps: inner steps; for more of them in test, build a second learner over the same meta_params.
      outer_criterion: the loss on the query set, if another.
      gradient: how the inner gradient is differentiated.
      scan: what runs the inner steps, by default as their number wants it: more than `inner.scan.FEW` are computed once
        more in the backward pass, so that memory stays low; `jax.lax.scan` keeps what all of them need.
      select: (support, key, step) -> the support set of that step, such as `inner.minibatch(5)`; None: all of it.

    Returns:
      A MetaLearner whose adapted is `Adapted(params, context)`.

    References:
      Finn et al., Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks, 2017, Algorithm 1.
      The reference code sums the cross-entropy over N*K examples and divides by K: with a mean loss its rates
      are N times larger.
    """

    solve = inner.unroll(
        support_loss(model, criterion), inner_optimizer, num_steps, gradient=gradient, scan=scan, select=select
    )

    def adapt(meta_params: PyTree, support: PyTree, key: Array) -> Adapted:
        params, _ = solve(meta_params, support, key)
        return Adapted(params, model.context(params, support))

    predict = adapted_network(model)
    return MetaLearner(model.init, adapt, predict, query_loss(adapt, predict, outer_criterion or criterion))


def fomaml(
    model: Model,
    criterion: Criterion,
    inner_optimizer: optax.GradientTransformation,
    *,
    num_steps: int,
    outer_criterion: Criterion | None = None,
    scan: inner.Scan = jax.lax.scan,
    select: inner.Select | None = None,
) -> MetaLearner:
    """MAML that ignores how the inner gradient depends on meta_params.

    Its meta-gradient is the query gradient at the adapted params.

    Args:
      model: the network; its params are the meta_params.
      criterion: the loss on the support set, and on the query set unless `outer_criterion` is given.
      inner_optimizer: any Optax transformation.
      num_steps: inner steps.
      outer_criterion, scan, select: as in `maml`; there is no gradient=, which is `inner.first_order` here, and of the
        steps of `jax.lax.scan` nothing is kept.

    Returns:
      A MetaLearner whose adapted is `Adapted(params, context)`.

    References:
      Finn et al., 2017, section 5.2; Nichol et al., On First-Order Meta-Learning Algorithms, 2018, section 2.
    """
    return maml(
        model, criterion, inner_optimizer, num_steps=num_steps, outer_criterion=outer_criterion,
        gradient=inner.first_order, scan=scan, select=select,
    )  # fmt: skip
