"""Reptile."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from jaxmeta import checks, inner
from jaxmeta.learners.network import Adapted, adapted_network, support_loss
from jaxmeta.types import Array, Criterion, Episode, MetaLearner, Metrics, Model, PyTree


def reptile(
    model: Model,
    criterion: Criterion,
    inner_optimizer: optax.GradientTransformation,
    *,
    num_steps: int,
    batch_size: int | None = None,
    carry_state: bool = False,
    gradient: inner.Gradient = inner.mixed_mode,
    scan: inner.Scan = jax.lax.scan,
    select: inner.Select | None = None,
) -> MetaLearner:
    """Learns an initialisation by moving it towards what training on a task makes of it.

    The loss is 0.5 ||theta - phi||^2 with phi = adapt(theta) held constant, so its gradient is exactly theta - phi:
    under the outer optimizer `optax.sgd(epsilon)` an update is the paper's theta + epsilon mean(phi - theta). Nothing
    inside is differentiated, so any inner optimizer will do and memory does not grow with num_steps. The query set is
    not used: whoever wants its examples in training draws episodes with a larger support set.

    Args:
      model: the network; its params are the meta_params.
      criterion: the loss on the support set.
      inner_optimizer: any Optax transformation, `optax.adam(1e-3, b1=0)` in the paper.
      num_steps: inner steps, at least 1; the paper takes many, 5 to 10 in training and 50 in test.
      batch_size: support rows of each step, which is `select=inner.minibatch(batch_size)`; None takes them all.
      carry_state: whether the inner optimizer's state is learned with the params: a task starts from the mean of what
        the tasks before left, in training as in test. So does Adam in the authors' code, whose second moments belong to
        the session and not to the task; started afresh, its first step has the size of the rate in every entry. The
        outer optimizer must be plain `optax.sgd`, as in the paper: one with a rate for every entry, such as Adam, or a
        clipped gradient takes the state elsewhere than to that mean.
      gradient, scan, select: as in `maml`. There is no outer_criterion=, since no query is scored.

    Returns:
      A MetaLearner whose adapted is `Adapted(params, context)`, and whose meta_params are the model's params, or with
      `carry_state` `inner.Steered(params, by)`, by the state. The metrics of its loss are the support set's, averaged
      over the inner steps.

    Raises:
      ValueError: if num_steps < 1, or both batch_size and select are given; or, when traced, if batch_size is more than
        the support set has rows.
      TypeError: by `init`, if the state that is to be carried holds a random key.

    References:
      Nichol et al., On First-Order Meta-Learning Algorithms, 2018, Algorithm 2 and section 6. The outer step there is
      plain gradient descent with a linear schedule: `optax.sgd(optax.linear_schedule(1, 0, num_updates))`.
    """
    num_steps = checks.integer("reptile: num_steps", num_steps, 1, hint="with none its gradient is zero")
    if batch_size is not None:
        if select is not None:
            checks.fail("reptile", "batch_size or select", "both")
        select = inner.minibatch(batch_size)
    inner_loss, optimizer = support_loss(model, criterion), inner_optimizer
    if carry_state:
        inner_loss, optimizer = inner.steered(inner_loss), inner.carried(inner_optimizer)
    solve = inner.unroll(inner_loss, optimizer, num_steps, gradient=gradient, scan=scan, select=select)

    def init(key: Array) -> PyTree:
        params = model.init(key)
        return inner.Steered(params, inner.memory(inner_optimizer, params)) if carry_state else params

    def adapt(meta_params: PyTree, support: PyTree, key: Array) -> Adapted:
        found, _ = solve(meta_params, support, key)
        params = found.params if carry_state else found
        return Adapted(params, model.context(params, support))

    predict = adapted_network(model)

    def loss(meta_params: PyTree, episode: Episode, key: Array) -> tuple[Array, Metrics]:
        # Stopped before the solve and not after it: no derivative of an inner step is ever traced.
        found, trace = solve(*jax.lax.stop_gradient((meta_params, episode.support)), key)
        squares = jax.tree.map(lambda a, b: jnp.square(a - b).sum(), meta_params, found)
        return 0.5 * jax.tree.reduce(jnp.add, squares), jax.tree.map(lambda leaf: leaf.mean(axis=0), trace.metrics)

    return MetaLearner(init, adapt, predict, loss)
