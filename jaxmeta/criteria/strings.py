"""Criteria for sequences of symbols: how likely the right one is, and how far the one that is said is from it."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.symbols import END, PADDING
from jaxmeta.tree import masked_mean
from jaxmeta.types import Array, Batch, Metrics, Predictor


def transduction(predictor: Predictor, batch: Batch, key: Array) -> tuple[Array, Metrics]:
    """Mean cross-entropy over the symbols of the targets, each after the right ones before it.

    Args:
      predictor: maps (inputs [n, ...], previous [n, T]) to logits [n, T, num_symbols], as `models.transducer` does.
      batch: targets [n, T] are numbers of symbols; 0 is padding and what is negative is not scored.
      key: not used.

    Returns:
      The mean over symbols, and {"loss": the same, "symbol_accuracy": a fraction}.

    Raises:
      ValueError: if the logits are not [n, T, num_symbols].
    """
    del key
    targets = batch.targets
    previous = jnp.concatenate([jnp.full_like(targets[:, :1], END), targets[:, :-1]], axis=1)
    logits = predictor((batch.inputs, jnp.maximum(previous, 0)), batch.mask)
    if getattr(logits, "ndim", None) != 3 or logits.shape[:2] != targets.shape:
        got = f"shape {logits.shape}" if hasattr(logits, "shape") else type(logits).__name__
        checks.fail("transduction", f"logits [n, T, num_symbols] for targets {targets.shape}", got)
    scored = targets > 0 if batch.mask is None else (targets > 0) & batch.mask[:, None]
    # By a mask, as in `cross_entropy`.
    chosen = jax.nn.one_hot(targets, logits.shape[-1], dtype=bool)
    losses = jax.nn.logsumexp(logits, axis=-1) - jnp.where(chosen, logits, 0).sum(axis=-1)
    right = jnp.argmax(logits, axis=-1) == targets
    loss = masked_mean(losses.ravel(), scored.ravel())
    return loss, {"loss": loss, "symbol_accuracy": masked_mean(right.ravel(), scored.ravel())}


def error_rates(predictor: Predictor, batch: Batch, key: Array) -> tuple[Array, Metrics]:
    """How far sequences that are said are from the right ones; nothing of these is shown.

    Args:
      predictor: maps inputs [n, ...] to numbers of symbols [n, T], an end (1) after the last.
      batch: targets [n, T], likewise; a negative number is a symbol that counts and that nothing equals.
      key: not used.

    Returns:
      The phoneme error rate, and {"loss": the same, "phoneme_error_rate": insertions, deletions and substitutions over
      the symbols of all targets, "word_error_rate": the share of rows that are not right as a whole}.
    """
    del key
    said = predictor(batch.inputs, batch.mask)
    if getattr(said, "ndim", None) != 2 or len(said) != len(batch.targets):
        got = f"shape {said.shape}" if hasattr(said, "shape") else type(said).__name__
        checks.fail("error_rates", f"numbers [n, T] for targets {batch.targets.shape}", got)
    real = jnp.ones(len(said), bool) if batch.mask is None else batch.mask
    errors = jax.vmap(edit_distance)(said, batch.targets, length(said), length(batch.targets))
    total = jnp.where(real, length(batch.targets), 0).sum()
    phonemes = jnp.where(real, errors, 0).sum() / jnp.maximum(total, 1)
    metrics = {"phoneme_error_rate": phonemes, "word_error_rate": masked_mean(errors > 0, batch.mask)}
    return phonemes, {"loss": phonemes, **metrics}


def length(sequences: Array) -> Array:
    """How many numbers stand before the end or padding, [n] of [n, T]."""
    over = (sequences == END) | (sequences == PADDING)
    return jnp.where(over.any(axis=1), jnp.argmax(over, axis=1), sequences.shape[1])


def edit_distance(said: Array, right: Array, said_length: Array, right_length: Array) -> Array:
    """The fewest insertions, deletions and substitutions that make one sequence of the other.

    Args:
      said: [S] numbers.
      right: [T] numbers.
      said_length: how many of them there are.
      right_length: likewise.
    """
    places = jnp.arange(len(right) + 1)

    def row(above: Array, number: Array) -> tuple[Array, Array]:
        substituted = above[:-1] + (right != number)
        best = jnp.concatenate([above[:1] + 1, jnp.minimum(above[1:] + 1, substituted)])
        # Insertions: the best of any place before, and one for each step from there.
        best = jax.lax.cummin(best - places) + places
        return best, best

    _, rows = jax.lax.scan(row, places, said)
    return jnp.concatenate([places[None], rows])[said_length, right_length]
