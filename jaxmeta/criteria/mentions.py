"""Criteria for mentions, runs of tokens of one class."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta import labels
from jaxmeta.criteria.classification import cross_entropy, silence_absent
from jaxmeta.types import Array, Batch, Metrics, Predictor


class Tagging(NamedTuple):
    """Targets that tell mentions side by side apart."""

    classes: Array
    """[n, L] integers in [0, num_ways), 0 of no mention."""
    starts: Array
    """[n, L] bool, where mentions begin."""


def span_f1(predictor: Predictor, batch: Batch, key: Array) -> tuple[Array, Metrics]:
    """F1 of mentions whose class and both ends are right, over all rows together.

    What is predicted is a mention wherever there is a run of tokens of one class other than 0, which is no mention; so
    is what is right, unless the targets say where mentions begin: two of one class side by side then are two, of which
    one run finds none, as `spans.score` and the script of CoNLL count. A token that is padding ends a mention.

    Args:
      predictor: maps inputs [n, ...] to logits [n, L, num_ways].
      batch: targets are a `Tagging`, or integers [n, L] in [0, num_ways).
      key: handed on.

    Returns:
      The cross-entropy, and {"loss": the same, "accuracy": of tokens, "span_f1", "span_precision", "span_recall"}.
    """
    starts = batch.targets.starts if isinstance(batch.targets, Tagging) else False
    batch = batch._replace(targets=batch.targets.classes) if isinstance(batch.targets, Tagging) else batch
    logits: list[Array] = []

    def kept(inputs: object, mask: Array | None = None) -> Array:
        logits.append(predictor(inputs, mask))
        return logits[0]

    loss, metrics = cross_entropy(kept, batch, key)
    classes = None if batch.classes is None else batch.classes[:, None]
    silenced = logits[0] if classes is None else silence_absent(logits[0], jnp.broadcast_to(classes, logits[0].shape))
    mask = jnp.ones(batch.targets.shape, bool) if batch.mask is None else labels.flat(batch).mask
    assert mask is not None
    real = mask.reshape(batch.targets.shape)
    right, said = (jnp.where(real, each, 0) for each in (batch.targets, jnp.argmax(silenced, axis=-1)))
    (start, ends), (said_start, said_ends) = _runs(right, starts), _runs(said)
    hits = (ends & said_ends & (right == said) & (start == said_start)).sum()
    found, there = said_ends.sum(), ends.sum()
    shares = {"span_precision": hits / jnp.maximum(found, 1), "span_recall": hits / jnp.maximum(there, 1)}
    return loss, {**metrics, "span_f1": 2 * hits / jnp.maximum(found + there, 1), **shares}


def _runs(classes: Array, starts: Array | bool = False) -> tuple[Array, Array]:
    """Where the run that a token is of begins [n, L], and which tokens end one that is no class 0 [n, L] bool.

    A run ends where the class changes, and before a token of `starts`.
    """
    edge = jnp.full_like(classes[:, :1], -1)
    begins = (classes != jnp.concatenate([edge, classes[:, :-1]], axis=1)) | starts
    places = jnp.broadcast_to(jnp.arange(classes.shape[1])[None], classes.shape)
    start = jax.lax.cummax(jnp.where(begins, places, 0), axis=1)
    last = jnp.concatenate([begins[:, 1:], jnp.ones_like(begins[:, :1])], axis=1)
    return start, (classes != 0) & last
