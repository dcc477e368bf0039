"""One masked normalisation layer for every mode; `jaxmeta.models.nnx` has it for nnx, over the same arithmetic."""

from __future__ import annotations

from typing import NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.types import Array

NORMS = ("batch", "support", "task", "instance", "layer", "group", "none")


class Moments(NamedTuple):
    """What a norm remembers of the support set."""

    mean: Array
    """[channels]"""
    variance: Array
    """[channels]"""
    count: Array
    """[] how many examples"""


def row_moments(x: Array, mask: Array | None) -> Moments:
    """The moments of each channel over the rows that are not padding, x [n, ..., channels]."""
    if mask is None:
        # In x's own shape, so that the compiler meets `x - mean` of the norm itself once, not twice.
        axes = tuple(range(x.ndim - 1))
        mean = x.mean(axes)
        return Moments(
            mean, jnp.square(x - jax.lax.broadcast_to_rank(mean, x.ndim)).mean(axes), jnp.asarray(x.shape[0], x.dtype)
        )
    rows = x.reshape(x.shape[0], -1, x.shape[-1])
    weights = mask.astype(x.dtype)
    count = weights.sum()
    shares = (weights / jnp.maximum(count, 1))[:, None]
    mean = (rows.mean(axis=1) * shares).sum(axis=0)
    variance = (jnp.square(rows - mean[None, None]).mean(axis=1) * shares).sum(axis=0)
    return Moments(mean, variance, count)


def standardize(
    kind: str,
    x: Array,
    mask: Array | None,
    given: Moments | None,
    blend: tuple[Array, Array],
    groups: int,
    eps: float,
    scale: Array,
) -> tuple[Array, Moments | None]:
    """Subtracts the mean, divides by the deviation that `kind` asks for and multiplies by the learned scale.

    Args:
      kind: one of NORMS but "none".
      x: [n, ..., channels].
      mask: [n] bool or None; padded rows enter no moment.
      given: the support set's moments, or None when the rows of this call are the support set.
      blend: TaskNorm's scale and offset, scalars; the support's weight is sigmoid(scale * count + offset).
      groups: how many groups of channels "group" makes.
      eps: added to the variance.
      scale: [channels].

    Returns:
      The result, and the support set's moments for the kinds that have them.
    """
    dtype, shape, spatial, moments = x.dtype, x.shape, tuple(range(1, x.ndim - 1)), None
    # Moments are sums over many entries, which half precision would round away.
    x = x.astype(jnp.promote_types(dtype, jnp.float32))
    if kind in ("instance", "task") and not spatial:
        checks.fail(f"norm {kind!r}", "inputs with a spatial axis", f"shape {shape}", 'use "layer" or "support"')
    if kind in ("layer", "instance", "group"):
        if kind == "group":
            if shape[-1] % groups:
                checks.fail('norm "group"', f"channels that divide into {groups} groups", shape[-1])
            x, scale = x.reshape(*shape[:-1], groups, shape[-1] // groups), scale.reshape(groups, -1)
        axes = spatial if kind == "instance" else (*spatial, -1)
        mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    else:
        moments = row_moments(x, mask) if given is None else given
        chex.assert_shape([moments.mean, moments.variance], shape[-1:])
        mean, variance = (jax.lax.broadcast_to_rank(each, x.ndim) for each in (moments.mean, moments.variance))
        if kind == "task":
            weight = jax.nn.sigmoid(blend[0] * moments.count + blend[1])
            own_mean, own_variance = x.mean(spatial, keepdims=True), x.var(spatial, keepdims=True)
            both = weight * mean + (1 - weight) * own_mean
            variance = weight * (variance + jnp.square(mean - both)) + (1 - weight) * (
                own_variance + jnp.square(own_mean - both)
            )
            mean = both
    # One factor for the whole map: two in a row cost more in the derivatives (benchmarks/convolution.py).
    y = (x - mean) * (jax.lax.rsqrt(variance + eps) * jax.lax.broadcast_to_rank(scale, x.ndim))
    return y.reshape(shape).astype(dtype), None if kind == "batch" else moments


class Norm(nn.Module):
    """Normalisation as a linen layer, [n, ..., channels] -> the same shape.

    kind is "batch" (moments of the inputs of one call), "support" (moments of the support set: MetaBN), "task"
    (TaskNorm-I: the support's moments blended with the instance's own), "instance", "layer", "group" or "none".
    The support's moments are the variable "moments" of the collection "context": written when absent, read when given.

    No model keeps running averages: inner steps change the params, and averages of other params would be wrong. What
    PyTorch's batch norm does in `eval` is the context of many examples, given in place of the support set's. Baselines
    do so by themselves (`baselines.with_population`); with a learner of your own, once it is trained:

    Example:
      >>> import jax, numpy as np
      >>> from jaxmeta import models
      >>> from jaxmeta.types import Batch, Model
      >>> model, key = models.conv4((16, 16, 1), 5, num_filters=4, norm="support"), jax.random.key(0)
      >>> params, many = model.init(key), jax.random.normal(key, (512, 16, 16, 1))
      >>> population = model.context(params, Batch(many, None))
      >>> apply = lambda params, inputs, mask=None, context=(): model.apply(params, inputs, mask, population)
      >>> in_test = Model(model.init, apply)  # fixed moments, whatever the support set: each query alone
      >>> together, alone = in_test.apply(params, many[:3]), in_test.apply(params, many[:1])
      >>> bool(np.allclose(together[:1], alone, atol=1e-5))
      True

    References:
      Bronskill et al., TaskNorm: Rethinking Batch Normalization for Meta-Learning, 2020, sections 3 and 4.
    """

    kind: str = "batch"
    groups: int = 8
    eps: float = 1e-5

    @nn.compact
    def __call__(self, x: Array, mask: Array | None = None) -> Array:
        checks.choice("norm", self.kind, NORMS)
        if self.kind == "none":
            return x
        zero, task = nn.initializers.zeros, self.kind == "task"
        blend = (
            self.param("blend_scale", zero, (), float) if task else jnp.zeros(()),
            self.param("blend_offset", zero, (), float) if task else jnp.zeros(()),
        )
        given = self.get_variable("context", "moments") if self.has_variable("context", "moments") else None
        channels = (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, channels, float)
        y, moments = standardize(self.kind, x, mask, given, blend, self.groups, self.eps, scale)
        if moments is not None and self.is_mutable_collection("context"):
            self.put_variable("context", "moments", moments)
        return y + jax.lax.broadcast_to_rank(self.param("bias", nn.initializers.zeros, channels, float), y.ndim)
