"""Deep kernel transfer: a Gaussian process on learned features."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp

from jaxmeta import tree
from jaxmeta.criteria.gaussian import Gaussian
from jaxmeta.learners import processes
from jaxmeta.types import Array, Batch, Episode, MetaLearner, Metrics, Model, PyTree

_NOISE = 0.1  # at first
_LEAST = 1000  # of the dtype's smallest step, times the functions' variance: with less noise Cholesky factors are NaN


class MetaParams(NamedTuple):
    """What is learned over tasks."""

    features: PyTree
    """The network's params."""
    log_length: Array
    """[] of the distance at which features count as far."""
    log_scale: Array
    """[] of the functions' deviation."""
    log_noise: Array
    """[] of the deviation of what is seen from the function."""


class Adapted(NamedTuple):
    """The posterior after the support set."""

    features: Array
    """[n, dim]"""
    keep: Array
    """[n] bool, the rows that are no padding."""
    posterior: processes.Posterior


def dkt(features: Model) -> MetaLearner:
    """Predicts values by a Gaussian process, RBF of learned features; adaptation is exact, by a Cholesky factor.

    The loss is the negative log marginal likelihood of support and query set together, in nats a point: nothing is
    told apart in training. Give targets mean 0 over tasks: the process has no mean of its own. Functions without noise
    are taken to have some, at least 0.01 of their deviation in float32.

    Args:
      features: maps inputs [n, ...] to features [n, dim].

    Returns:
      A MetaLearner whose meta_params are `MetaParams(features, log_length, log_scale, log_noise)` and whose adapted is
      `Adapted(features, keep, posterior)`. It predicts `criteria.Gaussian`.

    References:
      Patacchiola et al., Bayesian Meta-Learning for the Few-Shot Setting via Deep Kernels, 2020.
    """

    def init(key: Array) -> MetaParams:
        zero = jnp.zeros((), float)
        return MetaParams(features.init(key), zero, zero, zero + math.log(_NOISE))

    def noise(meta_params: MetaParams) -> Array:
        scale = tree.wide(meta_params.log_scale)
        least = _LEAST * jnp.finfo(scale.dtype).eps * jnp.exp(2 * scale)
        return jnp.exp(2 * meta_params.log_noise) + least

    def covariances(meta_params: MetaParams, one: Array, other: Array) -> Array:
        log_length, log_scale = tree.wide(meta_params.log_length), tree.wide(meta_params.log_scale)
        far = jnp.square(one[:, None] - other[None]).sum(axis=-1) * jnp.exp(-2 * log_length)
        return jnp.exp(2 * log_scale - far / 2)

    def seen(meta_params: MetaParams, batch: Batch) -> Adapted:
        processes.points("dkt", batch)
        # A covariance that is rounded to half precision is none any more, but for noise far above the data's.
        found = tree.wide(features.apply(meta_params.features, batch.inputs, batch.mask))
        keep = processes.real(batch)
        own = covariances(meta_params, found, found) + noise(meta_params) * jnp.eye(len(found), dtype=found.dtype)
        return Adapted(found, keep, processes.posterior(own, batch.targets, keep))

    def adapt(meta_params: MetaParams, support: Batch, key: Array) -> Adapted:
        del key
        return seen(meta_params, support)

    def predict(meta_params: MetaParams, adapted: Adapted, inputs: PyTree, mask: Array | None = None) -> Gaussian:
        found = tree.wide(features.apply(meta_params.features, inputs, mask))
        between = jnp.where(adapted.keep[None], covariances(meta_params, found, adapted.features), 0)
        variance = jnp.exp(2 * tree.wide(meta_params.log_scale)) + noise(meta_params)
        return processes.answer(adapted.posterior, between, jnp.broadcast_to(variance, len(found)))

    def loss(meta_params: MetaParams, episode: Episode, key: Array) -> tuple[Array, Metrics]:
        del key
        both = processes.joined(episode.support, episode.query)
        keep = processes.real(both)
        known = seen(meta_params, both).posterior
        value = -processes.log_marginal(known, both.targets, keep) / jnp.maximum(keep.sum(), 1)
        return value, {"loss": value}

    return MetaLearner(init, adapt, predict, loss)
