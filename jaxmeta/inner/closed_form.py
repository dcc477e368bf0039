"""Inner problems that need no steps."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxmeta.types import Array


def ridge(features: Array, targets: Array, penalty: Array | float) -> Array:
    """The weights W that minimise ||features W - targets||^2 + penalty ||W||^2.

    It solves the smaller of two equal systems, which the shapes decide: rows by rows, or features by features
    (Woodbury's identity). A row whose features are 0 does not count.

    Args:
      features: [n, dim].
      targets: [n, num_outputs].
      penalty: of the squared weights, positive.

    Returns:
      [dim, num_outputs], differentiable with respect to everything.

    References:
      Bertinetto et al., Meta-learning with Differentiable Closed-form Solvers, 2019, section 3.2.
    """
    if features.shape[0] <= features.shape[1]:
        return features.T @ _solve(features @ features.T, penalty, targets)
    return _solve(features.T @ features, penalty, features.T @ targets)


def _solve(matrix: Array, penalty: Array | float, right: Array) -> Array:
    return jax.scipy.linalg.solve(matrix + penalty * jnp.eye(len(matrix), dtype=matrix.dtype), right, assume_a="pos")
