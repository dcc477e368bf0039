"""A criterion for values of which it is said how sure one is."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.tree import masked_mean
from jaxmeta.types import Array, Batch, Metrics, Predictor

LEAST_SCALE = 0.01  # of what a network says: below it a single point outweighs all others


class Gaussian(NamedTuple):
    """What is predicted of values: independent normal distributions."""

    mean: Array
    """[n, ...] as the targets."""
    scale: Array
    """[n, ...] deviations, positive."""


def from_outputs(outputs: Array) -> Gaussian:
    """The distributions that a network's outputs [n, 2 m] stand for: m means, and what m deviations are made of.

    Raises:
      ValueError: if the outputs are not [n, an even number].
    """
    if getattr(outputs, "ndim", None) != 2 or outputs.shape[1] % 2:
        got = getattr(outputs, "shape", type(outputs).__name__)
        checks.fail("Gaussian", "outputs [n, 2 m], a mean and a scale for each value", got)
    mean, raw = jnp.split(outputs, 2, axis=1)
    return Gaussian(mean, LEAST_SCALE + (1 - LEAST_SCALE) * jax.nn.softplus(raw))


def gaussian_likelihood(predictor: Predictor, batch: Batch, key: Array) -> tuple[Array, Metrics]:
    """Mean negative log-likelihood of the targets, in nats a row, over the rows that are not padding.

    Args:
      predictor: maps inputs [n, ...] to `Gaussian(mean, scale)` of the targets' shape.
      batch: targets [n, m] are values.
      key: not used.

    Returns:
      The mean over rows, and {"loss": the same, "log_likelihood": its negative, "squared_error": of the means}.

    Raises:
      TypeError: if the predictor gives anything else.
      ValueError: if means or scales differ from the targets in shape (they would broadcast without a word).
    """
    del key
    found = predictor(batch.inputs, batch.mask)
    if not isinstance(found, Gaussian):
        hint = "criteria.from_outputs makes one of a network's outputs"
        checks.fail("gaussian_likelihood", "a Gaussian", type(found).__name__, hint, TypeError)
    for name, value in found._asdict().items():
        if value.shape != batch.targets.shape:
            checks.fail("gaussian_likelihood", f"a {name} of the targets' shape {batch.targets.shape}", value.shape)
    errors = batch.targets - found.mean
    losses = jnp.square(errors / found.scale) / 2 + jnp.log(found.scale) + math.log(2 * math.pi) / 2
    rows = lambda values: values.reshape(len(values), -1)  # noqa: E731
    loss = masked_mean(rows(losses).sum(axis=1), batch.mask)
    error = masked_mean(rows(jnp.square(errors)).mean(axis=1), batch.mask)
    return loss, {"loss": loss, "log_likelihood": -loss, "squared_error": error}
