"""Policies: from observations to what actions are drawn from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.control.distributions import Gaussian
from jaxmeta.models.adapters import linen_model
from jaxmeta.types import Array, Model

_SMALL = nn.initializers.variance_scaling(1e-4, "fan_in", "truncated_normal")


class Policy(nn.Module):
    """Dense layers, [n, num_observations] -> [n, num_actions]; the last is small, so that all actions are open."""

    num_actions: int
    hidden: Sequence[int] = (64, 64)
    activation: Callable[[Array], Array] = nn.relu

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for width in self.hidden:
            x = self.activation(nn.Dense(width, param_dtype=float)(x))
        return nn.Dense(self.num_actions, kernel_init=_SMALL, param_dtype=float)(x)


class GaussianPolicy(Policy):
    """The same for a mean, beside a log-std that hangs on no observation."""

    initial_std: float = 0.5

    @nn.compact
    def __call__(self, x: Array) -> Gaussian:
        for width in self.hidden:
            x = self.activation(nn.Dense(width, param_dtype=float)(x))
        mean = nn.Dense(self.num_actions, kernel_init=_SMALL, param_dtype=float)(x)
        log_std = self.param(
            "log_std", nn.initializers.constant(math.log(self.initial_std)), (self.num_actions,), float
        )
        return Gaussian(mean, jnp.broadcast_to(log_std, mean.shape))


def gaussian_policy(
    num_observations: int,
    num_actions: int,
    *,
    hidden: Sequence[int] = (64, 64),
    activation: Callable[[Array], Array] = nn.relu,
    initial_std: float = 0.5,
) -> Model:
    """A policy for continuous actions, observations [n, num_observations] -> Gaussian(mean, log_std).

    Args:
      num_observations: the size of an observation.
      num_actions: the size of an action.
      hidden: widths of the layers.
      activation: between them.
      initial_std: of the actions at first, in their own unit.

    Raises:
      ValueError: if a size or initial_std is not positive.
    """
    if not initial_std > 0:
        checks.fail("gaussian_policy: initial_std", "a positive number", initial_std)
    widths = _widths("gaussian_policy", num_observations, num_actions, hidden)
    return _model(GaussianPolicy(num_actions, widths, activation, initial_std=initial_std), num_observations)


def categorical_policy(
    num_observations: int,
    num_actions: int,
    *,
    hidden: Sequence[int] = (64, 64),
    activation: Callable[[Array], Array] = nn.relu,
) -> Model:
    """A policy for discrete actions, observations [n, num_observations] -> logits [n, num_actions].

    Raises:
      ValueError: if a size is not positive, or there are fewer than 2 actions.
    """
    checks.integer("categorical_policy: num_actions", num_actions, 2)
    widths = _widths("categorical_policy", num_observations, num_actions, hidden)
    return _model(Policy(num_actions, widths, activation), num_observations)


def _widths(what: str, num_observations: int, num_actions: int, hidden: Sequence[int]) -> tuple[int, ...]:
    checks.integer(f"{what}: num_observations", num_observations, 1)
    checks.integer(f"{what}: num_actions", num_actions, 1)
    return tuple(checks.integer(f"{what}: a width of hidden", width, 1) for width in hidden)


def _model(module: nn.Module, num_observations: int) -> Model:
    return linen_model(module, jax.ShapeDtypeStruct((1, num_observations), jnp.zeros(()).dtype))
