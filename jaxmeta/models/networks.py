"""The networks that the field's experiments use."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.models.adapters import from_linen
from jaxmeta.models.convolution import Conv, max_pool
from jaxmeta.models.normalization import NORMS, Norm
from jaxmeta.types import Array, Model


class MLP(nn.Module):
    """Dense layers with an activation between them, [n, ...] -> [n, num_outputs]."""

    num_outputs: int
    hidden: Sequence[int] = (40, 40)
    activation: Callable[[Array], Array] = nn.relu

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = x.reshape(x.shape[0], -1)
        for width in self.hidden:
            x = self.activation(nn.Dense(width)(x))
        return nn.Dense(self.num_outputs)(x)


class Conv4(nn.Module):
    """Four blocks of convolution, norm and ReLU that halve the picture, then a dense head if num_outputs is given."""

    num_outputs: int | None = None
    num_filters: int = 64
    norm: str = "batch"
    downsampling: str = "stride"

    @nn.compact
    def __call__(self, x: Array, mask: Array | None = None) -> Array:
        strided = self.downsampling == "stride"
        for _ in range(4):
            # A bias before a norm has no effect and no gradient.
            x = Conv(self.num_filters, stride=2 if strided else 1, use_bias=self.norm == "none")(x)
            x = nn.relu(Norm(self.norm)(x, mask))
            x = x if strided else max_pool(x)
        if self.num_outputs is None:
            return x.reshape(x.shape[0], -1)
        x = x.mean(axis=(1, 2)) if strided else x.reshape(x.shape[0], -1)
        return nn.Dense(self.num_outputs)(x)


def mlp(
    num_inputs: int,
    num_outputs: int,
    *,
    hidden: Sequence[int] = (40, 40),
    activation: Callable[[Array], Array] = nn.relu,
) -> Model:
    """A multi-layer perceptron, inputs [n, num_inputs] -> [n, num_outputs]; 40-40 ReLU is the sinusoid's network.

    References:
      Finn et al., 2017, section 5.1.
    """
    num_inputs = checks.integer("mlp: num_inputs", num_inputs, 1)
    num_outputs = checks.integer("mlp: num_outputs", num_outputs, 1)
    return from_linen(MLP(num_outputs, tuple(hidden), activation), jax.ShapeDtypeStruct((1, num_inputs), jnp.float32))


def conv4(
    input_shape: tuple[int, int, int],
    num_outputs: int | None,
    *,
    num_filters: int = 64,
    norm: str = "batch",
    downsampling: str = "stride",
) -> Model:
    """The four-block convolutional network of the few-shot literature.

    Args:
      input_shape: (height, width, channels) of the pictures.
      num_outputs: size of the dense head; None for an encoder that returns flat features [n, dim].
      num_filters: channels of every block.
      norm: one of "batch", "support", "task", "instance", "layer", "group", "none".
      downsampling: "stride" (convolutions of stride 2, and the mean over the last map before the head, as MAML has it
        on Omniglot) or "max_pool" (2x2 pooling, and the flat map before the head).

    Raises:
      ValueError: for an unknown norm or downsampling, or pictures that are too small to be halved four times.

    References:
      Vinyals et al., Matching Networks, 2016, section 4.1; Finn et al., 2017, section 5.2.
    """
    checks.choice("conv4: norm", norm, NORMS)
    checks.choice("conv4: downsampling", downsampling, ("stride", "max_pool"))
    if len(input_shape) != 3 or (downsampling == "max_pool" and min(input_shape[:2]) < 16):
        checks.fail("conv4: input_shape", "(height, width, channels), at least 16 x 16 with max_pool", input_shape)
    if num_outputs is not None:
        num_outputs = checks.integer("conv4: num_outputs", num_outputs, 1)
    module = Conv4(num_outputs, checks.integer("conv4: num_filters", num_filters, 1), norm, downsampling)
    return from_linen(module, jax.ShapeDtypeStruct((1, *input_shape), jnp.float32))


def flat() -> Model:
    """The raw inputs as features [n, dim], without parameters: what every encoder has to beat."""
    return Model(lambda key: {}, lambda params, inputs, mask=None, context=(): inputs.reshape(inputs.shape[0], -1))
