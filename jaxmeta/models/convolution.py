"""Convolution and pooling in the form that is fast when the weights differ from task to task."""

from __future__ import annotations

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.types import Array


def convolve(x: Array, kernel: Array, *, stride: int = 1) -> Array:
    """A two-dimensional convolution with padding "SAME".

    On CPU it is patches times a matrix: vmapped over weights it stays a batched matmul, where the plain form becomes
    a grouped convolution that is 8 to 20 times slower. The choice is made when the program is lowered.

    Args:
      x: [n, height, width, channels].
      kernel: [k, k, channels, features].
      stride: step in both directions.

    Returns:
      [n, ceil(height / stride), ceil(width / stride), features].
    """

    dtype = jnp.result_type(x, kernel)
    x, kernel = x.astype(dtype), kernel.astype(dtype)

    def plain(x: Array, kernel: Array) -> Array:
        return jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    def patches(x: Array, kernel: Array) -> Array:
        found, features = _patches(x, kernel.shape[0], stride), kernel.shape[-1]
        # As a matmul of two axes: XLA copies and transposes the gradients of one with more.
        flat = found.reshape(math.prod(found.shape[:-1]), found.shape[-1]) @ kernel.reshape(-1, features)
        return flat.reshape(*found.shape[:-1], features)

    return jax.lax.platform_dependent(x, kernel, cpu=patches, default=plain)


def _patches(x: Array, size: int, stride: int) -> Array:
    """[n, h, w, c] -> [n, h', w', size * size * c], by slices: a gather would be slow in the backward pass."""
    rows, columns = (-(-extent // stride) for extent in x.shape[1:3])
    pads = [
        max((steps - 1) * stride + size - extent, 0)
        for steps, extent in zip((rows, columns), x.shape[1:3], strict=True)
    ]
    x = jnp.pad(x, ((0, 0), *((pad // 2, pad - pad // 2) for pad in pads), (0, 0)))
    span = [(steps - 1) * stride + 1 for steps in (rows, columns)]
    pieces = [x[:, i : i + span[0] : stride, j : j + span[1] : stride] for i in range(size) for j in range(size)]
    return jnp.concatenate(pieces, axis=-1)


def max_pool(x: Array) -> Array:
    """Maximum over 2x2 windows, [n, h, w, c] -> [n, h // 2, w // 2, c]; an odd last row or column is dropped.

    A reshape and two comparisons are faster than `reduce_window`, above all in the backward pass. The gradient goes to
    the first of equals; that of `max` is shared among the entries that equal the maximum, and is 0 / 0 where the
    compiler rounds the maximum otherwise than its recomputed entries.
    """
    n, height, width, channels = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2].reshape(n, height // 2, 2, width // 2, 2, channels)
    larger = lambda first, second: jnp.where(first >= second, first, second)  # noqa: E731
    x = larger(x[:, :, 0], x[:, :, 1])
    return larger(x[:, :, :, 0], x[:, :, :, 1])


class Conv(nn.Module):
    """A k x k convolution with padding "SAME", [n, h, w, c] -> [n, h', w', features]."""

    features: int
    size: int = 3
    stride: int = 1
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: Array) -> Array:
        if x.ndim != 4:
            checks.fail("convolution", "pictures [n, height, width, channels]", f"shape {x.shape}")
        shape = (self.size, self.size, x.shape[-1], self.features)
        x = convolve(x, self.param("kernel", nn.initializers.lecun_normal(), shape, float), stride=self.stride)
        if not self.use_bias:
            return x
        return x + self.param("bias", nn.initializers.zeros, (self.features,), float)[None, None, None]
