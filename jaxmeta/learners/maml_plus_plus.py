"""MAML++: learned rates for every layer and step, and a loss after every step."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta import checks, inner
from jaxmeta.learners.network import Adapted, adapted_network, support_loss
from jaxmeta.types import (
    Array,
    Criterion,
    Episode,
    MetaLearner,
    Metrics,
    Model,
    PyTree,
    adapted_predictor,
    scored,
)


class MetaParams(NamedTuple):
    """Where the inner steps start, and how far each step moves each layer."""

    params: PyTree
    """The model's params before the inner steps."""
    learning_rates: PyTree
    """For every leaf of params a rate per step, [num_steps]."""


def maml_plus_plus(
    model: Model,
    criterion: Criterion,
    *,
    num_steps: int,
    initial_learning_rate: float,
    step_weights: Array | None = None,
    outer_criterion: Criterion | None = None,
    gradient: inner.Gradient = inner.mixed_mode,
    scan: inner.Scan = inner.adaptive_scan,
    select: inner.Select | None = None,
) -> MetaLearner:
    """MAML with a learned rate per layer and step, trained on the query loss after every step.

    The paper's other parts are compositions: the annealing of the loss is a learner with other `step_weights`, that of
    the derivative's order one with `gradient=inner.first_order`, both over the same meta_params; that of the outer rate
    is `optax.cosine_decay_schedule`; and a model with norm "support" has a task's own moments instead of running ones.
    More steps than in training are a learner with a larger num_steps over the same meta_params: the last step's rates
    are repeated.

    Args:
      model: the network.
      criterion: the loss on the support set, and on the query set unless `outer_criterion` is given.
      num_steps: inner steps, at least 1, 5 in the paper.
      initial_learning_rate: what every rate starts from.
      step_weights: [num_steps] how much the query loss after each step counts, which may be traced; None: all alike.
      outer_criterion, gradient, scan, select: as in `maml`.

    Returns:
      A MetaLearner whose meta_params are `MetaParams(params, learning_rates)` and whose adapted is
      `Adapted(params, context)`. The metrics of its loss are the query set's after the last step.

    Raises:
      ValueError: if num_steps < 1, initial_learning_rate is not finite or step_weights are not [num_steps].

    Example:
      >>> import jax
      >>> from jaxmeta import criteria, learners, maml_plus_plus, models
      >>> def learner(fraction):  # of the training that anneals the loss
      ...     weights = learners.annealed_step_weights(5, fraction)
      ...     return maml_plus_plus(models.mlp(1, 1), criteria.squared_error,
      ...                           num_steps=5, initial_learning_rate=0.01, step_weights=weights)
      >>> meta_params = learner(0.0).init(jax.random.key(0))  # the same for learner(0.5)

    References:
      Antoniou et al., How to Train Your MAML, 2019, section 4: MSL, DA, LSLR, CA.
    """
    num_steps = checks.integer("maml_plus_plus: num_steps", num_steps, 1)
    if not math.isfinite(initial_learning_rate):
        checks.fail("maml_plus_plus: initial_learning_rate", "a finite number", initial_learning_rate)
    weights = jnp.full(num_steps, 1 / num_steps) if step_weights is None else jnp.asarray(step_weights)
    if weights.shape != (num_steps,):
        checks.fail("maml_plus_plus: step_weights", f"one weight per step, shape {(num_steps,)}", weights.shape)

    def update(gradients: PyTree, step: Array, steered: inner.Steered, loss: Array) -> tuple[PyTree, Array]:
        del loss

        def change(rates: Array, slope: Array) -> Array:
            return -rates[jnp.minimum(step, len(rates) - 1)] * slope

        return jax.tree.map(change, steered.by, gradients), step + 1

    inner_loss = inner.steered(support_loss(model, criterion))
    optimizer = inner.steer(lambda steered: jnp.zeros((), jnp.int32), update)
    unroll = functools.partial(
        inner.unroll, inner_loss, optimizer, num_steps, gradient=gradient, scan=scan, select=select
    )

    def init(key: Array) -> MetaParams:
        params = model.init(key)
        return MetaParams(
            params, jax.tree.map(lambda leaf: jnp.full(num_steps, initial_learning_rate, leaf.dtype), params)
        )

    def finish(params: PyTree, support: PyTree) -> Adapted:
        return Adapted(params, model.context(params, support))

    def adapt(meta_params: MetaParams, support: PyTree, key: Array) -> Adapted:
        solve = unroll()
        (params, _), _ = solve(inner.Steered(*meta_params), support, key)
        return finish(params, support)

    predict = adapted_network(model)

    def loss(meta_params: MetaParams, episode: Episode, key: Array) -> tuple[Array, Metrics]:
        adapt_key, query_key = jax.random.split(key)

        def query(steered: inner.Steered) -> tuple[Array, Metrics]:
            adapted = finish(steered.params, episode.support)
            predictor = adapted_predictor(predict, meta_params, adapted)
            return scored("criterion", (outer_criterion or criterion)(predictor, episode.query, query_key))

        solve = unroll(observe=query)
        _, trace = solve(inner.Steered(*meta_params), episode.support, adapt_key)
        losses, metrics = trace.observed
        return losses @ weights.astype(losses.dtype), jax.tree.map(lambda leaf: leaf[-1], metrics)

    return MetaLearner(init, adapt, predict, loss)


def annealed_step_weights(num_steps: int, fraction: float | Array) -> Array:
    """The weights that MAML++ gives to the query loss after each step in the course of training.

    They start alike; those of all steps but the last fall linearly, no lower than 0.03 / num_steps, and the last one
    takes what they lose. Once the annealing is over the last step alone counts.

    Args:
      num_steps: inner steps.
      fraction: how much of the annealing is over, from 0 to 1; may be traced. The paper anneals over the first 15 of
        100 epochs.

    Returns:
      [num_steps], which sum to 1.

    References:
      Antoniou et al., 2019, section 4, MSL; the numbers are those of the authors' code.
    """
    num_steps = checks.integer("annealed_step_weights: num_steps", num_steps, 1)
    others = jnp.maximum(1 - jnp.asarray(fraction, float), 0.03) / num_steps
    others = jnp.where(jnp.asarray(fraction) < 1, others, 0)
    return jnp.full(num_steps, others).at[-1].set(1 - (num_steps - 1) * others)
