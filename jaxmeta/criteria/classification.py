"""Criteria for labels."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxmeta import checks, labels
from jaxmeta.tree import masked_mean
from jaxmeta.types import Array, Batch, Metrics, Predictor


def cross_entropy(predictor: Predictor, batch: Batch, key: Array) -> tuple[Array, Metrics]:
    """Mean softmax cross-entropy over the rows that are not padding, or over their tokens.

    Classes that `batch.classes` marks as absent get no probability. Which classes a task has is never read off
    the targets: a query scored alone would then get its class for free.

    Args:
      predictor: maps inputs [n, ...] to logits [n, num_ways], or of tokens [n, L, num_ways].
      batch: targets [n] are integers in [0, num_ways); another in a row that is not padding makes both results NaN.
        Where each token has a target, [n, L], the mask may be [n, L], too; predictors get that of the rows.
      key: not used.

    Returns:
      The mean over rows, and {"loss": the same, "accuracy": a fraction, NaN where logits are not finite}.

    Raises:
      ValueError: if the logits are not [n, num_ways] or the targets not [n], or there are not as many logits as the
        episode has classes.
      TypeError: if the targets are no integers.
    """
    del key
    logits, chosen, unknown, batch = _logits("cross_entropy", predictor, batch)
    # The log-probability of the target class by a mask: a gather's second derivative is a slow scatter on CPU.
    losses = jax.nn.logsumexp(logits, axis=-1) - jnp.where(chosen, logits, 0).sum(axis=-1)
    loss = masked_mean(losses * labels.nan_where(unknown, losses.dtype), batch.mask)
    return loss, {"loss": loss, "accuracy": _accuracy(logits, unknown, batch)}


def choice(predictor: Predictor, batch: Batch, key: Array) -> tuple[Array, Metrics]:
    """`cross_entropy` over the candidates of each row, with what one of them, drawn at random, would reach beside.

    Args:
      predictor: maps inputs [n, ...] to the scores of pairs [n, S], of what is asked and each candidate.
      batch: targets [n] are integers in [0, S); `classes` [n, S] says which candidates a row has.
      key: not used.

    Returns:
      The mean cross-entropy, and {"loss", "accuracy", "chance"}.

    Raises:
      ValueError: as `cross_entropy` does.
      TypeError: as `cross_entropy` does.
    """
    loss, metrics = cross_entropy(predictor, batch, key)
    if batch.classes is None:
        checks.fail("choice: classes", "which candidates each row has", "None")
    shares = 1 / batch.classes.sum(axis=1).astype(loss.dtype)
    return loss, {**metrics, "chance": masked_mean(shares, batch.mask)}


def relation_score(predictor: Predictor, batch: Batch, key: Array) -> tuple[Array, Metrics]:
    """Mean squared error of sigmoid(score) against 1 for a query's own class and 0 for the others.

    The mean is over the pairs of a query that is not padding and a class that `batch.classes` has.

    Args:
      predictor: maps inputs [n, ...] to raw scores [n, num_ways]; `relation_net` has them.
      batch: targets [n] are integers in [0, num_ways); another in a row that is not padding makes both results NaN.
      key: not used.

    Returns:
      The mean over pairs, and {"loss": the same, "accuracy": a fraction, NaN where scores are not finite}.

    Raises:
      ValueError: if the scores are not [n, num_ways] or the targets not [n], or there are not as many scores as the
        episode has classes.
      TypeError: if the targets are no integers.

    References:
      Sung et al., Learning to Compare: Relation Network for Few-Shot Learning, 2018, equation 2 (a sum there, a mean
      in its reference code).
    """
    del key
    scores, chosen, unknown, batch = _logits("relation_score", predictor, batch)
    errors = jnp.square(jax.nn.sigmoid(scores) - chosen)
    errors = errors * labels.nan_where(unknown, errors.dtype)[:, None]
    counted = jnp.ones(errors.shape, bool) if batch.classes is None else batch.classes
    counted = counted if batch.mask is None else counted & batch.mask[:, None]
    loss = masked_mean(errors.ravel(), counted.ravel())
    return loss, {"loss": loss, "accuracy": _accuracy(scores, unknown, batch)}


def _logits(what: str, predictor: Predictor, batch: Batch) -> tuple[Array, Array, Array, Batch]:
    """Returns the logits with absent classes silenced, which of them are the targets', and rows whose target is none.

    The second is [n, num_ways] bool, the third [n] bool. Tokens are rows; the last is the batch in which they are.
    """
    labels.check_mask("mask", batch)
    logits = predictor(batch.inputs, labels.rows(batch.mask))
    if getattr(logits, "ndim", None) == 3 and logits.shape[:2] == jnp.shape(batch.targets):
        logits, batch = logits.reshape(-1, logits.shape[2]), labels.flat(batch)
    targets = batch.targets
    if getattr(logits, "ndim", None) != 2:
        got = f"shape {logits.shape}" if hasattr(logits, "shape") else type(logits).__name__
        checks.fail(what, "logits [n, num_ways] for targets [n]", got)
    labels.check_form(what, targets, len(logits))
    num_ways = logits.shape[1]
    if num_ways < 2:
        hint = "give a logit to each class, two for yes and no"
        checks.fail(what, "logits [n, num_ways] of at least 2 classes", f"shape {logits.shape}", hint)
    chosen = jax.nn.one_hot(targets, num_ways, dtype=bool)
    return silence_absent(logits, batch.classes), chosen, labels.unknown(targets, num_ways, batch.mask), batch


def _accuracy(logits: Array, unknown: Array, batch: Batch) -> Array:
    right = jnp.argmax(logits, axis=-1) == batch.targets
    # The argmax of NaN is a class as good as any.
    scored = jnp.isfinite(logits).all(axis=-1) & ~unknown
    return masked_mean(jnp.where(scored, right, jnp.nan), batch.mask)


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
