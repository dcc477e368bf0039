"""The residual network of the few-shot literature."""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.models import forms
from jaxmeta.models.adapters import linen_model
from jaxmeta.models.convolution import Conv, max_pool
from jaxmeta.models.normalization import NORMS, Norm
from jaxmeta.types import Array, Model


class ResNet12(nn.Module):
    """Four residual blocks of three convolutions that halve the picture, the mean of the map, then perhaps a head."""

    num_outputs: int | None = None
    widths: Sequence[int] = (64, 160, 320, 640)
    norm: str = "batch"
    convolution: str = "automatic"

    @nn.compact
    def __call__(self, x: Array, mask: Array | None = None) -> Array:
        def convolved(x: Array, width: int, size: int) -> Array:
            # A bias before a norm has no effect and no gradient.
            conv = Conv(width, size=size, use_bias=self.norm == "none", form=self.convolution)
            return Norm(self.norm)(conv(x), mask)

        def activated(x: Array) -> Array:
            return nn.leaky_relu(x, 0.1)

        for width in self.widths:
            y = activated(convolved(x, width, 3))
            y = convolved(activated(convolved(y, width, 3)), width, 3)
            x = max_pool(activated(y + convolved(x, width, 1)))
        x = x.mean(axis=(1, 2))
        return x if self.num_outputs is None else nn.Dense(self.num_outputs, param_dtype=float)(x)


def resnet12(
    input_shape: tuple[int, int, int],
    num_outputs: int | None,
    *,
    widths: Sequence[int] = (64, 160, 320, 640),
    norm: str = "batch",
    convolution: str = "automatic",
) -> Model:
    """ResNet-12: blocks of three 3x3 convolutions with a 1x1 shortcut, leaky ReLU of slope 0.1, 2x2 max-pooling.

    With the widths by default it has 12.4 million parameters, as published. The published network trains with
    DropBlock; a model here draws no noise, so it is left out.

    Args:
      input_shape: (height, width, channels) of the pictures, which every block halves.
      num_outputs: size of the dense head; None for an encoder that returns features [n, widths[-1]].
      widths: channels of each block.
      norm: one of "batch", "support", "task", "instance", "layer", "group", "none".
      convolution: the form of the convolutions, "automatic", "plain" or "patches", as in `convolve`.

    Raises:
      ValueError: for an unknown word, no widths, or pictures that are too small to be halved by every block.

    References:
      Oreshkin et al., TADAM, 2018, section 3; Lee et al., Meta-Learning with Differentiable Convex Optimization, 2019,
      section 4.1.
    """
    checks.choice("resnet12: norm", norm, NORMS)
    checks.choice("resnet12: convolution", convolution, ("automatic", *forms.FORMS))
    widths = tuple(checks.integer("resnet12: widths", width, 1) for width in widths)
    least = 2 ** len(widths)
    if not widths:
        checks.fail("resnet12: widths", "at least one block", "none")
    if len(input_shape) != 3 or min(input_shape[:2]) < least:
        checks.fail("resnet12: input_shape", f"(height, width, channels), at least {least} x {least}", input_shape)
    if num_outputs is not None:
        num_outputs = checks.integer("resnet12: num_outputs", num_outputs, 1)
    module = ResNet12(num_outputs, widths, norm, convolution)
    return linen_model(module, jax.ShapeDtypeStruct((1, *input_shape), jnp.float32))
