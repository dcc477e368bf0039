"""The layers of pretrained encoders; each is a submodule of its own, so that `nn.intercept_methods` can find it."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import checks
from jaxmeta.models import convolution
from jaxmeta.types import Array

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Conv(nn.Module):
    """A k x k convolution, [n, h, w, c] -> [n, h', w', features]; `padding` zeros before and after both axes."""

    features: int
    size: int = 3
    stride: int = 1
    padding: tuple[int, int] = (0, 0)
    use_bias: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, float)
        x = convolution.convolve_shared(x, jnp.asarray(kernel), stride=self.stride, padding=self.padding)
        if not self.use_bias:
            return x
        return x + jnp.asarray(self.param("bias", nn.initializers.zeros, (self.features,), float))[None, None, None]


class Depthwise(nn.Module):
    """A k x k convolution of every channel by itself, [n, h, w, features] -> [n, h', w', features]."""

    features: int
    size: int = 3
    stride: int = 1
    padding: tuple[int, int] = (0, 0)

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (self.size, self.size, self.features), float)
        return convolution.depthwise(x, jnp.asarray(kernel), stride=self.stride, padding=self.padding)


class BatchNorm(nn.Module):
    """Batch norm by the population's moments, the variables "mean" and "var" of the collection "context"."""

    features: int
    eps: float = 1e-5

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (self.features,)
        scale = jnp.asarray(self.param("scale", nn.initializers.ones, shape, float))
        bias = jnp.asarray(self.param("bias", nn.initializers.zeros, shape, float))
        mean = self.variable("context", "mean", jnp.zeros, shape).value
        var = self.variable("context", "var", jnp.ones, shape).value
        # One product and one sum for the whole map: what makes them is a vector.
        factor = scale * jax.lax.rsqrt(jnp.asarray(var) + self.eps)
        return x * factor[None, None, None] + (bias - mean * factor)[None, None, None]


def pooled(x: Array) -> Array:
    """[n, h, w, c] -> [n, c], the mean of the map."""
    return x.mean(axis=(1, 2))


def normalized(x: Array, mean: Any, deviation: Any) -> Array:
    """Pictures in [0, 1] as an encoder was trained on them."""
    mean, deviation = (np.asarray(each, x.dtype)[None, None, None] for each in (mean, deviation))
    return (x - mean) / deviation


def check_pictures(what: str, x: Array, least: int) -> None:
    """Raises ValueError if these are no RGB pictures of at least `least` rows and columns."""
    if x.ndim != 4 or x.shape[-1] != 3 or min(x.shape[1:3]) < least:
        expected = f"pictures [n, height, width, 3] of at least {least} x {least}"
        checks.fail(what, expected, f"shape {x.shape}", "resize them, or repeat a grey channel")
