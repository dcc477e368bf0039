"""Criteria for labels."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.tree import masked_mean
from jaxmeta.types import Array, Batch, Metrics, Predictor


def cross_entropy(predictor: Predictor, batch: Batch, key: Array) -> tuple[Array, Metrics]:
    """Mean softmax cross-entropy over the rows that are not padding.

    Classes that `batch.classes` marks as absent get no probability. Which classes a task has is never read off
    the targets: a query scored alone would then get its class for free.

    Args:
      predictor: maps inputs [n, ...] to logits [n, num_ways].
      batch: targets [n] are integers in [0, num_ways).
      key: not used.

    Returns:
      The mean over rows, and {"loss": the same, "accuracy": a fraction}.

    Raises:
      ValueError: if the logits are not [n, num_ways], or not as many as the episode has classes.
      TypeError: if the targets are no integers.
    """
    del key
    logits, chosen = _logits("cross_entropy", predictor, batch)
    # The log-probability of the target class by a mask: a gather's second derivative is a slow scatter on CPU.
    losses = jax.nn.logsumexp(logits, axis=-1) - jnp.where(chosen, logits, 0).sum(axis=-1)
    loss = masked_mean(losses, batch.mask)
    return loss, {"loss": loss, "accuracy": _accuracy(logits, batch)}


def relation_score(predictor: Predictor, batch: Batch, key: Array) -> tuple[Array, Metrics]:
    """Mean squared error of sigmoid(score) against 1 for a query's own class and 0 for the others.

    The mean is over the pairs of a query that is not padding and a class that `batch.classes` has.

    Args:
      predictor: maps inputs [n, ...] to raw scores [n, num_ways]; `relation_net` has them.
      batch: targets [n] are integers in [0, num_ways).
      key: not used.

    Returns:
      The mean over pairs, and {"loss": the same, "accuracy": a fraction}.

    Raises:
      ValueError: if the scores are not [n, num_ways], or not as many as the episode has classes.
      TypeError: if the targets are no integers.

    References:
      Sung et al., Learning to Compare: Relation Network for Few-Shot Learning, 2018, equation 2 (a sum there, a mean
      in its reference code).
    """
    del key
    scores, chosen = _logits("relation_score", predictor, batch)
    errors = jnp.square(jax.nn.sigmoid(scores) - chosen)
    counted = jnp.ones(errors.shape, bool) if batch.classes is None else batch.classes
    counted = counted if batch.mask is None else counted & batch.mask[:, None]
    loss = masked_mean(errors.ravel(), counted.ravel())
    return loss, {"loss": loss, "accuracy": _accuracy(scores, batch)}


def _logits(what: str, predictor: Predictor, batch: Batch) -> tuple[Array, Array]:
    """Returns the logits with absent classes silenced, and which of them are the targets', [n, num_ways] bool."""
    logits, targets = predictor(batch.inputs, batch.mask), batch.targets
    if not jnp.issubdtype(targets.dtype, jnp.integer):
        checks.fail(what, "integer targets", targets.dtype, error=TypeError)
    if logits.ndim != 2 or targets.shape != logits.shape[:1]:
        checks.fail(what, "logits [n, num_ways] for targets [n]", f"{logits.shape} for {targets.shape}")
    return silence_absent(logits, batch.classes), jax.nn.one_hot(targets, logits.shape[-1], dtype=bool)


def _accuracy(logits: Array, batch: Batch) -> Array:
    return masked_mean(jnp.argmax(logits, axis=-1) == batch.targets, batch.mask)


def silence_absent(logits: Array, classes: Array | None) -> Array:
    """Gives the classes that a task does not have no probability.

    Args:
      logits: [n, num_ways].
      classes: [n, num_ways] bool, or None when all classes are there.

    Raises:
      ValueError: if the two shapes differ, for example from a network with the wrong output size.
    """
    if classes is None:
        return logits
    if logits.shape[-1] != classes.shape[-1]:
        checks.fail(
            "classification",
            f"logits for the episode's {classes.shape[-1]} classes",
            f"{logits.shape[-1]} (shape {logits.shape})",
            "change the network's output size or the sampler's num_ways",
        )
    # Finite, so that a target among the absent classes gives a huge loss and no NaN.
    return jnp.where(classes, logits, jnp.finfo(logits.dtype).min / 2)
