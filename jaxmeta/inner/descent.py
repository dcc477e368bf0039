"""`descent`: gradient descent for an inner problem that is to be solved, whatever its curvature."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmeta import checks
from jaxmeta.types import Array, PyTree


class _State(NamedTuple):
    """The best point so far, from which the last step was taken."""

    params: PyTree
    gradients: PyTree
    value: Array
    """Infinite before the first step."""
    learning_rate: Array


def descent(learning_rate: float | Array) -> optax.GradientTransformationExtraArgs:
    """Gradient descent that finds its rate, and takes back a step that led up.

    The rate is Barzilai and Borwein's, the last step's gap in gradients over its length, and at most doubles; after a
    step that led up, or to nowhere finite, it is a quarter. It needs the loss, as `unroll` and `implicit` give it as
    `value`. A fixed rate ends in infinity as soon as the curvature is more than 2 over it, and the gradient of
    `implicit`, which does not look at the steps, lets it grow.

    Args:
      learning_rate: of the first step.

    References:
      Barzilai and Borwein, Two-Point Step Size Gradient Methods, 1988, equation 5.
    """
    if isinstance(learning_rate, float) and not 0 < learning_rate < float("inf"):
        checks.fail("descent: learning_rate", "a positive number", learning_rate)
    dot = lambda a, b: jax.tree.reduce(jnp.add, jax.tree.map(jnp.vdot, a, b))  # noqa: E731

    def init(params: PyTree) -> _State:
        dtype = jnp.result_type(*jax.tree.leaves(params))
        infinite, rate = jnp.full((), jnp.inf, dtype), jnp.asarray(learning_rate, dtype)
        return _State(params, jax.tree.map(jnp.zeros_like, params), infinite, rate)

    def update(
        gradients: PyTree, state: _State, params: PyTree | None = None, *, value: Array, **extra: Any
    ) -> tuple[PyTree, _State]:
        del extra
        step, gap = (
            jax.tree.map(jnp.subtract, *pair) for pair in ((params, state.params), (gradients, state.gradients))
        )
        along, size = dot(step, gap), dot(gap, gap)
        curved = (along > 0) & jnp.isfinite(state.value)
        found = jnp.where(curved, along / jnp.where(curved, size, 1), 2 * state.learning_rate)
        found = jnp.where(jnp.isfinite(state.value), jnp.minimum(found, 2 * state.learning_rate), state.learning_rate)
        led_up = ~(value <= state.value)
        here = _State(params, gradients, value.astype(state.value.dtype), found)
        back = state._replace(learning_rate=state.learning_rate / 4)
        state = jax.tree.map(lambda back, here: jnp.where(led_up, back, here), back, here)
        updates = jax.tree.map(
            lambda start, slope, now: start - state.learning_rate * slope - now, state.params, state.gradients, params
        )
        return updates, state

    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]
