"""Reptile."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxmeta import checks, inner, tree
from jaxmeta.learners.network import Adapted, adapted_network, support_loss
from jaxmeta.types import Array, Criterion, Episode, MetaLearner, Metrics, Model, PyTree


def reptile(
    model: Model,
    criterion: Criterion,
    inner_optimizer: optax.GradientTransformation,
    *,
    num_steps: int,
    batch_size: int | None = None,
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
      batch_size: support rows of each step, drawn anew and without repetition; None takes them all.

    Returns:
      A MetaLearner whose adapted is `Adapted(params, context)`. The metrics of its loss are the support set's, averaged
      over the inner steps.

    Raises:
      ValueError: if num_steps < 1; or, when traced, if batch_size is more than the support set has rows.

    References:
      Nichol et al., On First-Order Meta-Learning Algorithms, 2018, Algorithm 2 and section 6. The outer step there is
      plain gradient descent with a linear schedule: `optax.sgd(optax.linear_schedule(1, 0, num_updates))`.
    """
    num_steps = checks.integer("reptile: num_steps", num_steps, 1, hint="with none its gradient is zero")
    if batch_size is not None:
        batch_size = checks.integer("reptile: batch_size", batch_size, 1)

    select = None if batch_size is None else _minibatch(batch_size)
    solve = inner.unroll(support_loss(model, criterion), inner_optimizer, num_steps, select=select)

    def adapt(meta_params: PyTree, support: PyTree, key: Array) -> Adapted:
        params, _ = solve(meta_params, support, key)
        return Adapted(params, model.context(params, support))

    predict = adapted_network(model)

    def loss(meta_params: PyTree, episode: Episode, key: Array) -> tuple[Array, Metrics]:
        # Stopped before the solve and not after it: no derivative of an inner step is ever traced.
        params, trace = solve(*jax.lax.stop_gradient((meta_params, episode.support)), key)
        squares = jax.tree.map(lambda a, b: jnp.square(a - b).sum(), meta_params, params)
        return 0.5 * jax.tree.reduce(jnp.add, squares), jax.tree.map(lambda leaf: leaf.mean(axis=0), trace.metrics)

    return MetaLearner(model.init, adapt, predict, loss)


def _minibatch(batch_size: int) -> Callable[[PyTree, Array, Array], PyTree]:
    """Draws the rows of one step, every leaf alike: inputs, targets, mask and classes."""

    def select(support: PyTree, key: Array, step: Array) -> PyTree:
        del step
        num_rows = tree.leading_axis(support)
        checks.integer("reptile: batch_size", batch_size, 1, num_rows, "the support set has no more rows")
        order = jax.random.uniform(key, (num_rows,))
        if (mask := getattr(support, "mask", None)) is not None:
            order = jnp.where(mask, order, 2)  # padding is drawn only where the real rows run out
        rows = jnp.argsort(order)[:batch_size]
        return jax.tree.map(lambda leaf: leaf[rows], support)

    return select
