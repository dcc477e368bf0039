"""What neural processes and Gaussian processes share: points of a support set, and posteriors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta import checks, tree
from jaxmeta.criteria.gaussian import Gaussian
from jaxmeta.types import Array, Batch, Model


class Posterior(NamedTuple):
    """A Gaussian process that has seen a support set."""

    root: Array
    """[n, n] the Cholesky factor of the covariances; a padded row is one of the identity's."""
    weights: Array
    """[n, m] the covariances' inverse times the targets."""


def points(what: str, batch: Batch) -> Array:
    """Inputs beside targets, [n, dim + m].

    Raises:
      ValueError: if the targets are not [n, m], or there is no row.
    """
    if batch.targets.ndim != 2:
        checks.fail(what, "targets [n, m]", f"shape {batch.targets.shape}")
    if not len(batch.targets):
        checks.fail(what, "a support set of one row at least", "none", "for what is said without one, mask a row")
    return jnp.concatenate([batch.inputs.reshape(len(batch.inputs), -1), batch.targets], axis=1)


def real(batch: Batch) -> Array:
    """[n] bool, the rows that are no padding."""
    return jnp.ones(len(batch.targets), bool) if batch.mask is None else batch.mask


def joined(first: Batch, second: Batch) -> Batch:
    """The rows of both."""
    stack = lambda one, other: jnp.concatenate([one, other])  # noqa: E731
    return Batch(
        stack(first.inputs, second.inputs), stack(first.targets, second.targets), stack(real(first), real(second))
    )


def posterior(covariances: Array, targets: Array, keep: Array) -> Posterior:
    """What is known after a support set.

    Args:
      covariances: [n, n] of what is seen, noise included.
      targets: [n, m].
      keep: [n] bool, the rows that are no padding.
    """
    covariances, targets = tree.wide(covariances), tree.wide(targets)
    unit = jnp.eye(len(targets), dtype=covariances.dtype)
    root = jnp.linalg.cholesky(jnp.where(keep[:, None] & keep[None], covariances, unit))
    return Posterior(root, jax.scipy.linalg.cho_solve((root, True), jnp.where(keep[:, None], targets, 0)))


def answer(known: Posterior, covariances: Array, variances: Array) -> Gaussian:
    """What is predicted.

    Args:
      known: of `posterior`.
      covariances: [q, n] of queries with the support set; 0 for padding.
      variances: [q] of what is seen at the queries, noise included.
    """
    covariances = covariances.astype(known.root.dtype)
    mean = covariances @ known.weights
    explained = jax.scipy.linalg.solve_triangular(known.root, covariances.T, lower=True)
    left = jnp.maximum(variances - jnp.square(explained).sum(axis=0), 1e-8)
    return Gaussian(mean, jnp.broadcast_to(jnp.sqrt(left)[:, None], mean.shape))


def log_marginal(known: Posterior, targets: Array, keep: Array) -> Array:
    """The logarithm of the density of what is seen, for each of the m values: a scalar, their sum."""
    targets = jnp.where(keep[:, None], targets, 0)
    fit = (targets * known.weights).sum() / 2
    volume = targets.shape[1] * (jnp.log(jnp.diagonal(known.root)).sum() + keep.sum() * jnp.log(2 * jnp.pi) / 2)
    return -fit - volume


def keyed(key: Array, *models: Model) -> Iterator[tuple[Model, Array]]:
    """Each model with a key of its own."""
    yield from zip(models, jax.random.split(key, len(models)), strict=True)


def mean(values: Array, batch: Batch) -> Array:
    """The mean [r] of values [n, r] over the rows that are no padding."""
    keep = real(batch)[:, None]
    return jnp.where(keep, values, 0).sum(axis=0) / jnp.maximum(keep.sum(), 1)


def beside(inputs: Array, *vectors: Array) -> Array:
    """Inputs [n, ...] as rows, with the same vectors [r] or own ones [n, r] beside each."""
    rows = [jnp.broadcast_to(each, (len(inputs), each.shape[-1])) if each.ndim == 2 else
            jnp.broadcast_to(each[None], (len(inputs), len(each))) for each in vectors]  # fmt: skip
    return jnp.concatenate([inputs.reshape(len(inputs), -1), *rows], axis=1)
