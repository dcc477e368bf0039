"""What a policy says about its actions: a Gaussian of continuous ones, logits of discrete ones."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.types import Array


class Gaussian(NamedTuple):
    """A policy's outputs for continuous actions; for discrete ones they are logits [n, num_actions]."""

    mean: Array
    """[n, num_actions]"""
    log_std: Array
    """[n, num_actions]"""


Outputs = Gaussian | Array
_LOG_2PI = 1.8378770664093453


def check(what: str, outputs: Any, num_actions: int, space: str) -> None:
    """Raises unless outputs, or their shapes, are what actions of a space ("continuous", "discrete") are drawn from.

    Raises:
      TypeError: if they are of the other form, such as a mean without a log-std.
      ValueError: if they are of another number of actions.
    """
    form = f"Gaussian(mean, log_std) of [n, {num_actions}]" if space == "continuous" else f"logits [n, {num_actions}]"
    hint = "use models.gaussian_policy" if space == "continuous" else "use models.categorical_policy"
    if isinstance(outputs, Gaussian) != (space == "continuous"):
        got = "a Gaussian" if isinstance(outputs, Gaussian) else _form(outputs)
        checks.fail(f"{what}, policy", form, got, hint, TypeError)
    for leaf in jax.tree.leaves(outputs):
        if jnp.ndim(leaf) != 2 or leaf.shape[-1] != num_actions:
            checks.fail(f"{what}, policy", form, f"an array of shape {jnp.shape(leaf)}", hint)


def _form(outputs: Any) -> str:
    shape = getattr(outputs, "shape", None)
    return type(outputs).__name__ if shape is None else f"an array of shape {shape} without a log-std"


def sample(outputs: Outputs, key: Array) -> Array:
    """Actions [n, num_actions] of a Gaussian, or [n] int32 of logits."""
    if isinstance(outputs, Gaussian):
        mean, log_std = outputs
        return mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape, mean.dtype)
    return jax.random.categorical(key, outputs).astype(jnp.int32)


def log_probability(outputs: Outputs, actions: Array) -> Array:
    """[n] the log-probability (density) of actions [n, num_actions], or of discrete ones [n]."""
    if isinstance(outputs, Gaussian):
        mean, log_std = outputs
        squares = jnp.square((actions - mean) * jnp.exp(-log_std))
        return -0.5 * (squares + 2 * log_std + _LOG_2PI).sum(axis=-1)
    return jnp.take_along_axis(jax.nn.log_softmax(outputs), actions[:, None], axis=1)[:, 0]


def divergence(old: Outputs, new: Outputs) -> Array:
    """[n] the Kullback-Leibler divergence of new outputs from old ones, KL(old || new)."""
    if isinstance(old, Gaussian) and isinstance(new, Gaussian):
        spread = jnp.exp(2 * (old.log_std - new.log_std))
        moved = jnp.square((old.mean - new.mean) * jnp.exp(-new.log_std))
        return (new.log_std - old.log_std + 0.5 * (spread + moved - 1)).sum(axis=-1)
    before, after = (jax.nn.log_softmax(jnp.asarray(each)) for each in (old, new))
    return (jnp.exp(before) * (before - after)).sum(axis=-1)


def mean_action(outputs: Outputs) -> Array:
    """What the policy does without noise, for pictures."""
    return outputs.mean if isinstance(outputs, Gaussian) else jnp.argmax(outputs, axis=-1).astype(jnp.int32)
