"""What matters where classes are outcomes: how well they are told apart at any threshold, and whether shares are true.

Accuracy alone flatters where outcomes are imbalanced: whoever always says "no" is right as often as "no" is.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxmeta.criteria.classification import cross_entropy, silence_absent
from jaxmeta.types import Array, Batch, Metrics, Predictor

_BINS = 10


def prognosis(predictor: Predictor, batch: Batch, key: Array) -> tuple[Array, Metrics]:
    """`cross_entropy` with the area under the curve and the calibration error beside accuracy.

    Args:
      predictor: maps inputs [n, ...] to logits [n, num_ways].
      batch: targets [n] are integers in [0, num_ways).
      key: not used.

    Returns:
      The mean cross-entropy, and {"loss", "accuracy", "area_under_curve", "calibration_error"}.

    Raises:
      ValueError: as `cross_entropy` does.
      TypeError: as `cross_entropy` does.
    """
    logits = predictor(batch.inputs, batch.mask)
    loss, metrics = cross_entropy(lambda inputs, mask=None: logits, batch, key)
    shares = jax.nn.softmax(silence_absent(logits, batch.classes), axis=-1)
    area = area_under_curve(shares, batch.targets, batch.mask)
    error = calibration_error(shares, batch.targets, batch.mask)
    return loss, {**metrics, "area_under_curve": area, "calibration_error": error}


def area_under_curve(shares: Array, targets: Array, mask: Array | None = None) -> Array:
    """How often a row of a class gets a larger share of that class than a row of another; ties count half.

    Of more than two classes the mean over those that have rows, each against all others. 0.5 is chance.

    Args:
      shares: [n, num_ways], of each class.
      targets: [n] integers in [0, num_ways).
      mask: [n] bool, which rows count; None: all.

    Returns:
      A scalar; 0.5 if all rows are of one class, for then nothing was told apart; NaN if shares are not finite.

    References:
      Hanley and McNeil, The meaning and use of the area under a receiver operating characteristic curve, 1982.
    """
    members = jax.nn.one_hot(targets, shares.shape[1], dtype=shares.dtype)
    real = jnp.ones(len(shares), shares.dtype) if mask is None else mask.astype(shares.dtype)
    members = members * real[:, None]
    others = real[:, None] - members
    ahead = jnp.where(shares[:, None] > shares[None], 1.0, jnp.where(shares[:, None] == shares[None], 0.5, 0.0))
    wins = jnp.einsum("nc,mc,nmc->c", members, others, ahead.astype(shares.dtype))
    pairs = members.sum(axis=0) * others.sum(axis=0)
    areas = jnp.where(pairs > 0, wins / jnp.maximum(pairs, 1), 0).sum() / jnp.maximum((pairs > 0).sum(), 1)
    areas = jnp.where((pairs > 0).any(), areas, 0.5)
    return jnp.where(jnp.isfinite(shares).all(), areas, jnp.nan)


def calibration_error(shares: Array, targets: Array, mask: Array | None = None) -> Array:
    """How far what is said to be certain is from what is right, on average: ten bins of the largest share.

    Of few rows it is above 0 even where shares are true, for the rows of a bin are a sample: compare it among methods
    on the same rows.

    Args:
      shares: [n, num_ways], of each class.
      targets: [n] integers in [0, num_ways).
      mask: [n] bool, which rows count; None: all.

    Returns:
      A scalar from 0 to 1; NaN if shares are not finite.

    References:
      Guo et al., On Calibration of Modern Neural Networks, 2017, section 2.
    """
    real = jnp.ones(len(shares), shares.dtype) if mask is None else mask.astype(shares.dtype)
    said = shares.max(axis=1)
    right = (jnp.argmax(shares, axis=1) == targets).astype(shares.dtype)
    place = jnp.clip((said * _BINS).astype(jnp.int32), 0, _BINS - 1)
    members = jax.nn.one_hot(place, _BINS, dtype=shares.dtype) * real[:, None]
    gaps = jnp.abs(((said - right)[:, None] * members).sum(axis=0))
    return jnp.where(jnp.isfinite(shares).all(), gaps.sum() / jnp.maximum(real.sum(), 1), jnp.nan)
