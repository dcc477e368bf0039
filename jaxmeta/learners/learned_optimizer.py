"""Inner steps by a learned update rule."""

from __future__ import annotations

from typing import NamedTuple

import jax

from jaxmeta import inner
from jaxmeta.learners.network import Adapted, adapted_network, support_loss
from jaxmeta.models import UpdateRule
from jaxmeta.types import Array, Criterion, MetaLearner, Model, PyTree, query_loss


class MetaParams(NamedTuple):
    """Where the inner steps start, and what makes them."""

    params: PyTree
    """The model's params before the inner steps."""
    rule: PyTree
    """The update rule's own parameters."""


def learned_optimizer(
    model: Model,
    criterion: Criterion,
    update_rule: UpdateRule,
    *,
    num_steps: int,
    outer_criterion: Criterion | None = None,
    gradient: inner.Gradient = inner.mixed_mode,
    scan: inner.Scan = inner.adaptive_scan,
    select: inner.Select | None = None,
) -> MetaLearner:
    """Learns the update itself, together with the initialisation that it starts from.

    A step is theta + u(grad L_support(theta), theta, L_support(theta), state), and u's parameters are meta-learned:
    the third kind of meta-knowledge beside initialisations and rates.

    Args:
      model: the network.
      criterion: the loss on the support set, and on the query set unless `outer_criterion` is given.
      update_rule: how a gradient becomes an update, `models.lstm_update_rule()` or one of your own.
      num_steps: inner steps.
      gradient: how the inner gradient is differentiated; the papers take `inner.first_order`, which leaves the rule's
        gradient in place but ignores how the gradients that it reads depend on the params.
      outer_criterion, scan, select: as in `maml`.

    Returns:
      A MetaLearner whose meta_params are `MetaParams(params, rule)` and whose adapted is `Adapted(params, context)`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxmeta import criteria, learned_optimizer, models
      >>> def update(rule, gradients, state, params, loss):  # gradient descent with a learned rate for every leaf
      ...     return jax.tree.map(lambda rate, slope: -jnp.exp(rate) * slope, rule, gradients), state
      >>> rule = models.UpdateRule(
      ...     init=lambda key, params: jax.tree.map(lambda leaf: jnp.full((), -3.0), params),
      ...     init_state=lambda rule, params: (), update=update)
      >>> learner = learned_optimizer(models.mlp(1, 1), criteria.squared_error, rule, num_steps=2)

    References:
      Andrychowicz et al., Learning to Learn by Gradient Descent by Gradient Descent, 2016, section 2;
      Ravi and Larochelle, Optimization as a Model for Few-Shot Learning, 2017, section 3.
    """

    def update(gradients: PyTree, state: PyTree, steered: inner.Steered, loss: Array) -> tuple[PyTree, PyTree]:
        return update_rule.update(steered.by, gradients, state, steered.params, loss)

    optimizer = inner.steer(lambda steered: update_rule.init_state(steered.by, steered.params), update)
    inner_loss = inner.steered(support_loss(model, criterion))
    solve = inner.unroll(inner_loss, optimizer, num_steps, gradient=gradient, scan=scan, select=select)

    def init(key: Array) -> MetaParams:
        params_key, rule_key = jax.random.split(key)
        params = model.init(params_key)
        return MetaParams(params, update_rule.init(rule_key, params))

    def adapt(meta_params: MetaParams, support: PyTree, key: Array) -> Adapted:
        (params, _), _ = solve(inner.Steered(*meta_params), support, key)
        return Adapted(params, model.context(params, support))

    predict = adapted_network(model)
    return MetaLearner(init, adapt, predict, query_loss(adapt, predict, outer_criterion or criterion))
