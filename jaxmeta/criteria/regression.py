"""Criteria for values."""

from __future__ import annotations

import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.tree import masked_mean
from jaxmeta.types import Array, Batch, Metrics, Predictor


def squared_error(predictor: Predictor, batch: Batch, key: Array) -> tuple[Array, Metrics]:
    """Mean squared error over the rows that are not padding.

    Args:
      predictor: maps inputs [n, ...] to predictions of the targets' shape.
      batch: targets [n, ...] are values; a row's error is the mean over its axes.
      key: not used.

    Returns:
      The mean over rows, and {"loss": the same}.

    Raises:
      ValueError: if predictions and targets differ in shape (they would broadcast without a word), or the predictions
        are no floats, which have no gradient.
    """
    del key
    predictions = predictor(batch.inputs, batch.mask)
    got = getattr(predictions, "dtype", type(predictions).__name__)
    if isinstance(got, str) or not jnp.issubdtype(got, jnp.inexact):
        checks.fail("squared_error", "one array of floats as predictions", got, "wrap the model: lambda x: model(x)[0]")
    if predictions.shape != batch.targets.shape:
        checks.fail(
            "squared_error",
            f"predictions of the targets' shape {batch.targets.shape}",
            predictions.shape,
            "change the network's output size or reshape the targets",
        )
    errors = jnp.square(predictions - batch.targets)
    loss = masked_mean(errors.reshape(errors.shape[0], -1).mean(axis=1), batch.mask)
    return loss, {"loss": loss}
