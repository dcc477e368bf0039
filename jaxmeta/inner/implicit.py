"""`implicit`: the gradient of a solution from the equation that it satisfies."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jax.scipy.sparse.linalg import cg

from jaxmeta import checks
from jaxmeta.inner.gradient import InnerLoss, nested
from jaxmeta.inner.loop import Select, Solve, Trace, select_first, transformation, unroll
from jaxmeta.inner.scan import Scan
from jaxmeta.types import Array, Metrics, PyTree, scored


def implicit(
    loss: InnerLoss,
    optimizer: optax.GradientTransformation,
    num_steps: int,
    *,
    regularization: float,
    num_cg_steps: int = 10,
    scan: Scan = jax.lax.scan,
    select: Select | None = None,
) -> Solve:
    """Makes a solver like `unroll`'s whose gradient does not look at the steps that were taken.

    It minimises loss(phi) + regularization / 2 ||phi - params||^2 from phi = params. At the minimum
    dphi/dparams = (I + H / regularization)^-1 with H the loss's Hessian, which conjugate gradients apply to a vector:
    memory does not grow with num_steps, and the gradient is exact as far as the minimum is reached.

    Args:
      loss: (params, data, key) -> (scalar, metrics).
      optimizer: any Optax transformation; it is never differentiated.
      num_steps: how many steps it takes.
      regularization: lambda, positive; how strongly the solution is held to the params that it started from.
      num_cg_steps: conjugate-gradient steps for the backward pass.
      scan: what runs the steps.
      select: (data, key, step) -> the data of that step; the gradient is that of a minimum over all of the data.

    Returns:
      solve: (params, data, key) -> (params, Trace); differentiable with respect to params and data.

    Raises:
      TypeError: if the optimizer is no Optax transformation.
      ValueError: if a number is out of range.

    References:
      Rajeswaran et al., Meta-Learning with Implicit Gradients, 2019, section 3, equation 6.
    """
    if not 0 < regularization < float("inf"):
        checks.fail("implicit: regularization", "a positive number", regularization)
    num_cg_steps = checks.integer("implicit: num_cg_steps", num_cg_steps, 1)
    optimizer = transformation("implicit: optimizer", optimizer)

    def held(params: PyTree, data: tuple[PyTree, PyTree], key: Array) -> tuple[Array, Metrics]:
        data, anchor = data
        value, metrics = scored("criterion", loss(params, data, key))
        gaps = jax.tree.map(lambda a, b: jnp.square(a - b).sum(), params, anchor)
        return value + regularization / 2 * jax.tree.reduce(jnp.add, gaps), metrics

    descend = unroll(held, optimizer, num_steps, gradient=nested, scan=scan, select=select_first(select))
    gradient = nested(held)

    def solve(params: PyTree, data: PyTree, key: Array) -> tuple[PyTree, Trace]:
        def stationary(solution: PyTree) -> PyTree:
            return gradient(solution, (data, params), key)[1]

        def minimum(_: PyTree, start: PyTree) -> tuple[PyTree, Trace]:
            return jax.lax.stop_gradient(descend(start, (data, params), key))

        def inverse(hessian: PyTree, vector: PyTree) -> PyTree:
            # `cg` itself cannot be transposed here: its start hangs on the vector through a joint device_put.
            steps = lambda product, b: cg(product, b, maxiter=num_cg_steps)[0]  # noqa: E731
            return jax.lax.custom_linear_solve(hessian, vector, steps, symmetric=True)

        return jax.lax.custom_root(stationary, params, minimum, inverse, has_aux=True)

    return solve
