"""Optimizers whose updates depend on meta-knowledge: learned rates, learned update rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmeta.inner.gradient import InnerLoss
from jaxmeta.types import Array, PyTree


class Steered(NamedTuple):
    """Params with the meta-knowledge that says how to update them; what `steer` makes updates of."""

    params: PyTree
    """What the steps change."""
    by: PyTree
    """Learned rates, the parameters of a learned update rule, ...: the same before and after every step, but for an
    optimizer that is `carried`."""


def steer(
    init: Callable[[Steered], PyTree], update: Callable[[PyTree, PyTree, Steered, Array], tuple[PyTree, PyTree]]
) -> optax.GradientTransformationExtraArgs:
    """Makes an optimizer over `Steered` whose updates of the params depend on meta-knowledge, which gets a gradient.

    Args:
      init: (steered) -> state.
      update: (gradients of the params, state, steered, loss) -> (updates of the params, state).
    """

    def updates(gradients: Steered, state: PyTree, params: Steered, *, value: Array, **extra: Any) -> Any:
        del extra
        changes, state = update(gradients.params, state, params, value)
        return Steered(changes, jax.tree.map(jnp.zeros_like, params.by)), state

    return optax.GradientTransformationExtraArgs(init, updates)  # pyright: ignore[reportArgumentType]


def steered(loss: InnerLoss) -> InnerLoss:
    """The inner loss of the params of a `Steered`."""
    return lambda given, data, key: loss(given.params, data, key)
