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
    logits = silence_absent(logits, batch.classes)
    shares = jax.nn.softmax(logits, axis=-1)
    area = _area(_log_odds(logits), batch.targets, batch.mask)
    area = jnp.where(_are_finite(shares, batch.mask), area, jnp.nan)
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
    return jnp.where(_are_finite(shares, mask), _area(shares, targets, mask), jnp.nan)


def _area(scores: Array, targets: Array, mask: Array | None) -> Array:
    """The area under the curve of what only grows with a share."""
    dtype = _counting(scores)
    real = _real(scores, mask).astype(dtype)
    members = jax.nn.one_hot(targets, scores.shape[1], dtype=dtype) * real[:, None]
    others = real[:, None] - members
    ahead = jnp.where(scores[:, None] > scores[None], 1.0, jnp.where(scores[:, None] == scores[None], 0.5, 0.0))
    wins = jnp.einsum("nc,mc,nmc->c", members, others, ahead.astype(dtype))
    pairs = members.sum(axis=0) * others.sum(axis=0)
    areas = jnp.where(pairs > 0, wins / jnp.maximum(pairs, 1), 0).sum() / jnp.maximum((pairs > 0).sum(), 1)
    return jnp.where((pairs > 0).any(), areas, 0.5)


def _counting(values: Array) -> jnp.dtype:
    """A dtype that counts rows and pairs: half precision ends at some hundred."""
    return jnp.promote_types(values.dtype, jnp.float32)


def _log_odds(logits: Array) -> Array:
    """[n, num_ways], of each class against all others: in the order of its shares, which are 1 from a gap of 17 on."""
    own = jnp.eye(logits.shape[1], dtype=bool)
    return logits - jax.nn.logsumexp(jnp.where(own[None], -jnp.inf, logits[:, None]), axis=-1)


def _real(shares: Array, mask: Array | None) -> Array:
    return jnp.ones(len(shares), bool) if mask is None else mask


def _are_finite(shares: Array, mask: Array | None) -> Array:
    """Whether those of real rows are."""
    return jnp.where(_real(shares, mask)[:, None], jnp.isfinite(shares), True).all()


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
    shares, real = shares.astype(_counting(shares)), _real(shares, mask)
    said = jnp.where(real, shares.max(axis=1), 0)
    right = (jnp.argmax(shares, axis=1) == targets).astype(shares.dtype)
    place = jnp.clip((said * _BINS).astype(jnp.int32), 0, _BINS - 1)
    members = jax.nn.one_hot(place, _BINS, dtype=shares.dtype) * real[:, None].astype(shares.dtype)
    gaps = jnp.abs(((said - right)[:, None] * members).sum(axis=0))
    return jnp.where(_are_finite(shares, mask), gaps.sum() / jnp.maximum(real.sum(), 1), jnp.nan)
