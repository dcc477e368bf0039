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
    logits = predictor(batch.inputs, batch.mask)
    targets = batch.targets
    if not jnp.issubdtype(targets.dtype, jnp.integer):
        checks.fail("cross_entropy", "integer targets", targets.dtype, error=TypeError)
    if logits.ndim != 2 or targets.shape != logits.shape[:1]:
        checks.fail("cross_entropy", "logits [n, num_ways] for targets [n]", f"{logits.shape} for {targets.shape}")
    logits = silence_absent(logits, batch.classes)
    # The log-probability of the target class by a mask: a gather's second derivative is a slow scatter on CPU.
    chosen = jax.nn.one_hot(targets, logits.shape[-1], dtype=bool)
    losses = jax.nn.logsumexp(logits, axis=-1) - jnp.where(chosen, logits, 0).sum(axis=-1)
    loss = masked_mean(losses, batch.mask)
    accuracy = masked_mean(jnp.argmax(logits, axis=-1) == targets, batch.mask)
    return loss, {"loss": loss, "accuracy": accuracy}


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
