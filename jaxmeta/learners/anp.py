"""Attentive neural processes."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.criteria.gaussian import Gaussian, from_outputs
from jaxmeta.learners import processes
from jaxmeta.models.attention import attend
from jaxmeta.types import (
    Array,
    Batch,
    Criterion,
    Episode,
    MetaLearner,
    Metrics,
    Model,
    PyTree,
    adapted_predictor,
    scored,
)


class MetaParams(NamedTuple):
    """What is learned over tasks."""

    encoder: PyTree
    embedding: PyTree
    latent: PyTree
    decoder: PyTree


class Adapted(NamedTuple):
    """The support set as queries attend to it, and what is common to the whole task."""

    keys: Array
    """[n, r]"""
    values: Array
    """[n, r]"""
    keep: Array
    """[n] bool, the rows that are no padding."""
    latent: Array
    """[z]"""


def anp(
    encoder: Model, embedding: Model, latent: Model, decoder: Model, criterion: Criterion, *, num_heads: int = 4
) -> MetaLearner:
    """Predicts values by attention to the support points, and by a latent vector of the whole function.

    The loss is the negative evidence lower bound: the criterion with a latent vector that is drawn as the support set
    and the queries together let expect it, plus the divergence from what the support set alone lets expect, over the
    number of queries. Predictions take the mean of the latter, so that they are the same each time.

    Args:
      encoder: maps points [n, dim + m], an input beside its target, to what is attended to, [n, r].
      embedding: maps inputs [n, dim] to keys and queries of attention [n, r].
      latent: maps points to [n, 2 z], whose mean over the points makes the mean and the scale of the latent vector.
      decoder: maps inputs beside what attention finds and the latent vector, [n, dim + r + z], to [n, 2 m].
      criterion: scores a predictor of `criteria.Gaussian` on query data.
      num_heads: of attention; divides r.

    Returns:
      A MetaLearner whose meta_params are `MetaParams(encoder, embedding, latent, decoder)` and whose adapted is
      `Adapted(keys, values, keep, latent)`.

    Raises:
      ValueError: if num_heads < 1.

    References:
      Kim et al., Attentive Neural Processes, 2019.
    """
    num_heads = checks.integer("anp: num_heads", num_heads, 1)

    def init(key: Array) -> MetaParams:
        return MetaParams(
            *(model.init(own) for model, own in processes.keyed(key, encoder, embedding, latent, decoder))
        )

    def expected(meta_params: MetaParams, batch: Batch) -> Gaussian:
        outputs = latent.apply(meta_params.latent, processes.points("anp", batch), batch.mask)
        mean, raw = jnp.split(processes.mean(outputs, batch), 2)
        return Gaussian(mean, 0.1 + 0.9 * jax.nn.sigmoid(raw))

    def adapt(meta_params: MetaParams, support: Batch, key: Array) -> Adapted:
        del key
        values = encoder.apply(meta_params.encoder, processes.points("anp", support), support.mask)
        keys = embedding.apply(meta_params.embedding, support.inputs, support.mask)
        return Adapted(keys, values, processes.real(support), expected(meta_params, support).mean)

    def predict(meta_params: MetaParams, adapted: Adapted, inputs: PyTree, mask: Array | None = None) -> Gaussian:
        queries = embedding.apply(meta_params.embedding, inputs, mask)
        found = attend(queries, adapted.keys, adapted.values, adapted.keep, num_heads=num_heads)
        return from_outputs(decoder.apply(meta_params.decoder, processes.beside(inputs, found, adapted.latent), mask))

    def loss(meta_params: MetaParams, episode: Episode, key: Array) -> tuple[Array, Metrics]:
        draw_key, query_key = jax.random.split(key)
        adapted = adapt(meta_params, episode.support, key)
        before = expected(meta_params, episode.support)
        after = expected(meta_params, processes.joined(episode.support, episode.query))
        drawn = after.mean + after.scale * jax.random.normal(draw_key, after.mean.shape, after.mean.dtype)
        predictor = adapted_predictor(predict, meta_params, adapted._replace(latent=drawn))
        value, metrics = scored("criterion", criterion(predictor, episode.query, query_key))
        total = value + _divergence(after, before) / jnp.maximum(processes.real(episode.query).sum(), 1)
        return total, {**metrics, "loss": total}

    return MetaLearner(init, adapt, predict, loss)


def _divergence(one: Gaussian, other: Gaussian) -> Array:
    """The Kullback-Leibler divergence of the first from the second."""
    ratio, shift = one.scale / other.scale, (one.mean - other.mean) / other.scale
    return (jnp.square(ratio) + jnp.square(shift) - 1 - 2 * jnp.log(ratio)).sum() / 2
