"""Convolution and pooling in the form that is fast when the weights differ from task to task."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmeta import checks, memory
from jaxmeta.models import forms
from jaxmeta.types import Array


def convolve(x: Array, kernel: Array, *, stride: int = 1, form: str = "automatic") -> Array:
    """A two-dimensional convolution with padding "SAME".

    Vmapped over weights, patches times a matrix stay a batched matmul, where XLA's own convolution becomes a grouped
    one: 8 to 20 times slower on CPU, and elsewhere as it may be.

    Args:
      x: [n, height, width, channels].
      kernel: [k, k, channels, features].
      stride: step in both directions.
      form: "plain", "patches", or "automatic": patches on a CPU, elsewhere what `forms.choice` measures and keeps.

    Returns:
      [n, ceil(height / stride), ceil(width / stride), features].
    """
    dtype = jnp.result_type(x, kernel)
    x, kernel = x.astype(dtype), kernel.astype(dtype)
    if form != "automatic":
        checks.choice("convolve: form", form, tuple(_CONVOLUTIONS))
        return _CONVOLUTIONS[form](x, kernel, stride)
    chosen = functools.partial(_CONVOLUTIONS[forms.choice().form], stride=stride)
    return _by_platform(x, kernel, cpu=functools.partial(_by_patches, stride=stride), default=chosen)


def _by_platform(x: Array, kernel: Array, *, cpu: Callable[..., Array], default: Callable[..., Array]) -> Array:
    """The platform's form, chosen when the program is lowered; where there is only a CPU, when it is traced.

    To trace and differentiate both takes a sixth more tracing than one.
    """
    if memory.on_cpu():
        return cpu(x, kernel)
    return jax.lax.platform_dependent(x, kernel, cpu=cpu, default=default)


def _plain(x: Array, kernel: Array, stride: int) -> Array:
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _by_patches(x: Array, kernel: Array, stride: int) -> Array:
    found, features = _patches(x, kernel.shape[0], stride), kernel.shape[-1]
    # As a matmul of two axes: XLA copies and transposes the gradients of one with more.
    flat = found.reshape(math.prod(found.shape[:-1]), found.shape[-1]) @ kernel.reshape(-1, features)
    return flat.reshape(*found.shape[:-1], features)


_CONVOLUTIONS: dict[str, Callable[..., Array]] = dict(zip(forms.FORMS, (_plain, _by_patches), strict=True))


def convolve_shared(x: Array, kernel: Array, *, stride: int = 1, padding: tuple[int, int] = (0, 0)) -> Array:
    """A two-dimensional convolution in the form that is fast when all rows share the weights, as frozen ones are.

    XLA's own convolution, and a matmul where the kernel is a single tap or the steps do not overlap. Vmapped over
    weights it is slow on CPU, where `convolve` is not.

    Args:
      x: [n, height, width, channels].
      kernel: [k, k, channels, features].
      stride: step in both directions.
      padding: zeros before and after, in both directions.

    Returns:
      [n, height', width', features]; rows that no whole step reaches are dropped.
    """
    dtype = jnp.result_type(x, kernel)
    x, kernel = x.astype(dtype), kernel.astype(dtype)
    size, channels, features = kernel.shape[0], *kernel.shape[2:]
    if padding == (0, 0) and size == 1:
        x, stride = x[:, ::stride, ::stride], 1
    if padding == (0, 0) and size == stride:
        rows, columns = x.shape[1] // size, x.shape[2] // size
        x = x[:, : rows * size, : columns * size].reshape(-1, rows, size, columns, size, channels)
        x = x.transpose(0, 1, 3, 2, 4, 5).reshape(-1, size * size * channels)
        return (x @ kernel.reshape(-1, features)).reshape(-1, rows, columns, features)
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), (padding, padding), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def depthwise(x: Array, kernel: Array, *, stride: int = 1, padding: tuple[int, int] = (0, 0)) -> Array:
    """A convolution of every channel by itself.

    On CPU it is a sum of shifted products: XLA's grouped convolution is 14 to 40 times slower there.

    Args:
      x: [n, height, width, channels].
      kernel: [k, k, channels].
      stride: step in both directions.
      padding: zeros before and after, in both directions.

    Returns:
      [n, height', width', channels].
    """
    dtype = jnp.result_type(x, kernel)
    x, kernel = x.astype(dtype), kernel.astype(dtype)

    def grouped(x: Array, kernel: Array) -> Array:
        numbers, groups = ("NHWC", "HWIO", "NHWC"), x.shape[-1]
        return jax.lax.conv_general_dilated(
            x, kernel[:, :, None], (stride, stride), (padding, padding), None, None, numbers, groups
        )

    return _by_platform(x, kernel, cpu=functools.partial(_shifted, stride, padding), default=grouped)


def _sum_of_shifts(stride: int, padding: tuple[int, int], x: Array, kernel: Array) -> Array:
    """The products of every tap with the map, moved by slices, summed."""
    x, size = jnp.pad(x, ((0, 0), padding, padding, (0, 0))), kernel.shape[0]
    rows, columns = ((extent - size) // stride * stride + 1 for extent in x.shape[1:3])
    taps = [(i, j) for i in range(size) for j in range(size)]
    pieces = [x[:, i : i + rows : stride, j : j + columns : stride] * kernel[i, j][None, None, None] for i, j in taps]
    return functools.reduce(jnp.add, pieces)


# Its own derivative pads once for every tap; XLA fuses what comes before into each, and computes it as often. The true
# derivative, written as shifts as well, pads once.
_shifted = jax.custom_vjp(_sum_of_shifts, nondiff_argnums=(0, 1))


def _shifted_forward(stride: int, padding: tuple[int, int], x: Array, kernel: Array) -> tuple[Array, tuple]:
    return _sum_of_shifts(stride, padding, x, kernel), (x, kernel)


def _shifted_backward(stride: int, padding: tuple[int, int], kept: tuple, slope: Array) -> tuple[Array, Array]:
    x, kernel = kept
    size, before = kernel.shape[0], kernel.shape[0] - 1 - padding[0]
    edges = [
        (before, extent + size - 2 - before - (steps - 1) * stride, stride - 1)
        for extent, steps in zip(x.shape[1:3], slope.shape[1:3], strict=True)
    ]
    spread = jax.lax.pad(slope, jnp.zeros((), slope.dtype), ((0, 0, 0), *edges, (0, 0, 0)))
    of_x = _sum_of_shifts(1, (0, 0), spread, kernel[::-1, ::-1])
    return of_x, jax.vjp(lambda kernel: _sum_of_shifts(stride, padding, x, kernel), kernel)[1](slope)[0]


_shifted.defvjp(_shifted_forward, _shifted_backward)


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
    form: str = "automatic"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        if x.ndim != 4:
            checks.fail("convolution", "pictures [n, height, width, channels]", f"shape {x.shape}")
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, float)
        x = convolve(x, kernel, stride=self.stride, form=self.form)
        if not self.use_bias:
            return x
        return x + self.param("bias", nn.initializers.zeros, (self.features,), float)[None, None, None]
