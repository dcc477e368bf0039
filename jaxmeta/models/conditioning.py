"""How a vector that belongs to a task enters a network."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from jaxmeta.tree import leading_axis
from jaxmeta.types import Array, PyTree


def concatenate(inputs: Array, vector: Array) -> Array:
    """Appends the vector to every example's last axis: more inputs for an mlp, constant channels for a picture.

    A normalisation right after the first layer takes constant channels out again ("layer" and "none" do not); use
    `beside` and a network that reads the vector behind its norms, such as `film_conv4`.

    Args:
      inputs: [n, ..., channels].
      vector: [k].

    Returns:
      [n, ..., channels + k].
    """
    return jnp.concatenate([inputs, jnp.broadcast_to(vector, (*inputs.shape[:-1], *vector.shape))], axis=-1)


def beside(inputs: PyTree, vector: Array) -> tuple[PyTree, Array]:
    """Gives a network the pair (inputs, vector for every example [n, k]), to use where it wants."""
    return inputs, jnp.broadcast_to(vector, (leading_axis(inputs), *vector.shape))


class FiLM(nn.Module):
    """Scales and shifts each channel as a vector says: x [n, ..., c], vector [n, k] -> x * (1 + scale) + shift.

    A vector of zeros at the start changes nothing.

    References:
      Perez et al., FiLM: Visual Reasoning with a General Conditioning Layer, 2018, section 2.1.
    """

    @nn.compact
    def __call__(self, x: Array, vector: Array) -> Array:
        both = nn.Dense(2 * x.shape[-1], param_dtype=float)(vector).reshape(
            len(x), *(1,) * (x.ndim - 2), 2, x.shape[-1]
        )
        return x * (1 + both[..., 0, :]) + both[..., 1, :]
