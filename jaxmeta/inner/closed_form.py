"""Inner problems that need no steps."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxmeta import tree
from jaxmeta.types import Array

_NEWTON_STEPS = 24


def ridge(features: Array, targets: Array, penalty: Array | float) -> Array:
    """The weights W that minimise ||features W - targets||^2 + penalty ||W||^2.

    It solves the smaller of two equal systems, which the shapes decide: rows by rows, or features by features
    (Woodbury's identity), in single precision at least. A row whose features are 0 does not count. A penalty that
    rounding hides, less than its relative size times all squared features, is raised to that.

    Args:
      features: [n, dim].
      targets: [n, num_outputs].
      penalty: of the squared weights, positive.

    Returns:
      [dim, num_outputs], differentiable with respect to everything.

    References:
      Bertinetto et al., Meta-learning with Differentiable Closed-form Solvers, 2019, section 3.2.
    """
    dtype = features.dtype
    features, targets = tree.wide(features), tree.wide(targets)
    hidden = jnp.finfo(features.dtype).eps * jnp.square(jax.lax.stop_gradient(features)).sum()
    penalty = jnp.maximum(penalty, hidden)
    if features.shape[0] <= features.shape[1]:
        weights = features.T @ _solve(features @ features.T, penalty, targets)
    else:
        weights = _solve(features.T @ features, penalty, features.T @ targets)
    return weights.astype(dtype)


@jax.custom_jvp
def regularized_inverse(matrices: Array, penalties: Array) -> Array:
    """The inverses of positive semi-definite matrices plus a penalty on the diagonal, by products alone.

    Newton's iteration doubles the digits: 24 steps are exact to rounding where the largest row sum is less than a
    million penalties. LAPACK's factorizations of several small matrices at once can wait for each other on CPU, and are
    slow on accelerators.

    Args:
      matrices: [k, n, n], symmetric.
      penalties: [k], positive.

    Returns:
      [k, n, n], differentiable with respect to everything.

    References:
      Schulz, Iterative Berechnung der reziproken Matrix, 1933.
    """
    unit = jnp.eye(matrices.shape[-1], dtype=matrices.dtype)[None]
    matrices = matrices + penalties[:, None, None] * unit
    most = jnp.abs(matrices).sum(axis=-1).max(axis=-1)
    start = 2 / (most + penalties)[:, None, None] * unit
    step = lambda _, inverse: inverse @ (2 * unit - matrices @ inverse)  # noqa: E731
    return jax.lax.fori_loop(0, _NEWTON_STEPS, step, start)


@regularized_inverse.defjvp
def _inverse_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    inverse = regularized_inverse(*primals)
    changes, penalties = tangents
    unit = jnp.eye(inverse.shape[-1], dtype=inverse.dtype)[None]
    return inverse, -inverse @ (changes + penalties[:, None, None] * unit) @ inverse


def _solve(matrix: Array, penalty: Array | float, right: Array) -> Array:
    return jax.scipy.linalg.solve(matrix + penalty * jnp.eye(len(matrix), dtype=matrix.dtype), right, assume_a="pos")
