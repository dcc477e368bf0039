"""`implicit`: the gradient of a solution from the equation that it satisfies."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmeta import checks, tree
from jaxmeta.inner.gradient import InnerLoss, nested
from jaxmeta.inner.loop import Select, Solve, Trace, select_first, transformation, unroll
from jaxmeta.inner.once import once
from jaxmeta.inner.scan import Body, Scan
from jaxmeta.types import Array, Metrics, PyTree, scored


def implicit(
    loss: InnerLoss,
    optimizer: optax.GradientTransformation,
    num_steps: int,
    *,
    regularization: float,
    num_cg_steps: int = 10,
    tolerance: float = 0.0,
    cg_tolerance: float = 1e-5,
    scan: Scan = jax.lax.scan,
    select: Select | None = None,
) -> Solve:
    """Makes a solver like `unroll`'s whose gradient does not look at the steps that were taken.

    It minimises loss(phi) + regularization / 2 ||phi - params||^2 from phi = params. At the minimum
    dphi/dparams = (I + H / regularization)^-1 with H the loss's Hessian, which conjugate gradients apply to a vector:
    memory does not grow with num_steps, and the gradient is exact as far as the minimum is reached. Conjugate gradients
    end where the curvature is not positive, which no minimum has: the best that they have found until then is kept.

    Args:
      loss: (params, data, key) -> (scalar, metrics).
      optimizer: any Optax transformation; it is never differentiated.
      num_steps: how many steps it takes, or at most takes if there is a tolerance.
      regularization: lambda, positive; how strongly the solution is held to the params that it started from.
      num_cg_steps: at most so many conjugate-gradient steps for the backward pass.
      tolerance: the steps end once the gradient's norm is at most this part of what it was before the first.
      cg_tolerance: conjugate gradients end once their residual's norm is at most this part of the vector's.
      scan: what runs the steps where there is no tolerance.
      select: (data, key, step) -> the data of that step; the gradient is that of a minimum over all of the data.

    Returns:
      solve: (params, data, key) -> (params, Trace); differentiable with respect to params and data. What the Trace
      observed is the residual [], the gradient's norm at the solution over that at the start. Rows of steps that were
      not taken are 0.

    Raises:
      TypeError: if the optimizer is no Optax transformation.
      ValueError: if a number is out of range.

    References:
      Rajeswaran et al., Meta-Learning with Implicit Gradients, 2019, section 3, equation 6.
    """
    options = {"regularization": regularization, "num_cg_steps": num_cg_steps}
    options |= {"tolerance": tolerance, "cg_tolerance": cg_tolerance, "scan": scan, "select": select}
    pose = _posed(loss, optimizer, num_steps, **options)

    def solve(params: PyTree, data: PyTree, key: Array) -> tuple[PyTree, Trace]:
        problem, data = pose(params, data, key)

        def stationary(solution: PyTree) -> PyTree:
            return problem.stationary(solution, params, data, key)

        def minimum(_: PyTree, start: PyTree) -> tuple[PyTree, Trace]:
            return jax.lax.stop_gradient(problem.minimum(start, data, key))

        def inverse(hessian: Callable[[PyTree], PyTree], vector: PyTree) -> PyTree:
            steps = lambda product, b: problem.inverse(product, b)[0]  # noqa: E731
            return jax.lax.custom_linear_solve(hessian, vector, steps, symmetric=True)

        return jax.lax.custom_root(stationary, params, minimum, inverse, has_aux=True)

    return solve


def implicit_loss(
    loss: InnerLoss,
    outer: Callable[[PyTree, PyTree, Array], tuple[Array, Metrics]],
    optimizer: optax.GradientTransformation,
    num_steps: int,
    **options: Any,
) -> Callable[[PyTree, PyTree, PyTree, Array, Array], tuple[Array, Metrics]]:
    """The outer loss at `implicit`'s solution, with the residuals that say how far its gradient can be trusted.

    The gradient is `implicit`'s. Its linear system is solved together with the value, so that what remains of it can be
    told; where nobody asks for either, as in a test, it is not solved.

    Args:
      loss, optimizer, num_steps, options: as `implicit` takes them.
      outer: (solution, outer data, key) -> (scalar, metrics).

    Returns:
      (params, data, outer data, key, outer key) -> (scalar, metrics), with "inner_residual" and "cg_residual": norms of
      what remains of the gradient and of the linear system, relative to what they were.

    References:
      Rajeswaran et al., 2019, Algorithm 2.
    """
    pose = _posed(loss, optimizer, num_steps, **options)

    def value(params: PyTree, data: PyTree, outer_data: PyTree, key: Array, outer_key: Array) -> tuple[Array, Metrics]:
        problem, data = pose(params, data, key)
        fixed = jax.lax.stop_gradient((params, data))  # no step is differentiated
        solution, trace = problem.minimum(*fixed, key)
        slope = jax.grad(lambda point: outer(point, jax.lax.stop_gradient(outer_data), outer_key)[0])(solution)

        def hessian(vector: PyTree) -> PyTree:
            return jax.jvp(lambda point: problem.stationary(point, *fixed, key), (solution,), (vector,))[1]

        direction, residual = jax.lax.stop_gradient(problem.inverse(hessian, slope))
        # Zero, and its derivative is what the solution's adds: - direction . d stationary / d (params, data).
        products = jax.tree.map(
            lambda a, b: jnp.vdot(a, b - jax.lax.stop_gradient(b)),
            direction,
            problem.stationary(solution, params, data, key),
        )
        score, metrics = outer(solution, outer_data, outer_key)
        score = score - jax.tree.reduce(jnp.add, products)
        return score, {**metrics, "inner_residual": trace.observed, "cg_residual": residual}

    return value


class _Problem(NamedTuple):
    """The inner problem, and the linear system at its solution."""

    minimum: Callable[[PyTree, PyTree, Array], tuple[PyTree, Trace]]
    """(params, data, key) -> (solution, trace)"""
    stationary: Callable[[PyTree, PyTree, PyTree, Array], PyTree]
    """(solution, params, data, key) -> the gradient, zero at a minimum"""
    inverse: Callable[[Callable[[PyTree], PyTree], PyTree], tuple[PyTree, Array]]
    """(product with the Hessian, vector) -> (what the product maps to it, relative residual)"""


def _posed(
    loss: InnerLoss, optimizer: optax.GradientTransformation, num_steps: int, **options: Any
) -> Callable[[PyTree, PyTree, Array], tuple[_Problem, PyTree]]:
    """(params, data, key) -> the problem and its data: what does without the params is computed once."""
    checked = lambda *given: scored("criterion", loss(*given))  # noqa: E731
    problem_of = functools.partial(_problem, optimizer=optimizer, num_steps=num_steps, **options)
    problem_of(checked)  # numbers are checked before anything is computed

    def pose(params: PyTree, data: PyTree, key: Array) -> tuple[_Problem, PyTree]:
        own, data = once(checked, params, data, key, options.get("select"))
        return problem_of(own), data

    return pose


def _problem(
    loss: InnerLoss,
    optimizer: optax.GradientTransformation,
    num_steps: int,
    *,
    regularization: float,
    num_cg_steps: int = 10,
    tolerance: float = 0.0,
    cg_tolerance: float = 1e-5,
    scan: Scan = jax.lax.scan,
    select: Select | None = None,
) -> _Problem:
    if not 0 < regularization < float("inf"):
        checks.fail("implicit: regularization", "a positive number", regularization)
    for name, part in (("tolerance", tolerance), ("cg_tolerance", cg_tolerance)):
        if not 0 <= part < 1:
            checks.fail(f"implicit: {name}", "a part of at least 0 and less than 1", part)
    num_cg_steps = checks.integer("implicit: num_cg_steps", num_cg_steps, 1)
    optimizer = transformation("implicit: optimizer", optimizer)

    def held(params: PyTree, data: tuple[PyTree, PyTree], key: Array) -> tuple[Array, Metrics]:
        data, anchor = data
        value, metrics = loss(params, data, key)
        gaps = jax.tree.map(lambda a, b: jnp.square(a - b).sum(), params, anchor)
        return value + regularization / 2 * jax.tree.reduce(jnp.add, gaps), metrics

    gradient = nested(held)

    def stationary(solution: PyTree, params: PyTree, data: PyTree, key: Array) -> PyTree:
        return gradient(solution, (data, params), key)[1]

    optimizer, scan = (_until(optimizer, tolerance), _while) if tolerance else (optimizer, scan)
    descend = unroll(held, optimizer, num_steps, gradient=nested, scan=scan, select=select_first(select))

    def minimum(params: PyTree, data: PyTree, key: Array) -> tuple[PyTree, Trace]:
        solution, trace = descend(params, (data, params), key)
        first, last = (tree.norm(stationary(point, params, data, key)) for point in (params, solution))
        return solution, trace._replace(observed=last / jnp.maximum(first, jnp.finfo(first.dtype).tiny))

    def inverse(product: Callable[[PyTree], PyTree], vector: PyTree) -> tuple[PyTree, Array]:
        return _conjugate_gradients(product, vector, num_cg_steps, cg_tolerance)

    return _Problem(minimum, stationary, inverse)


class _Until(NamedTuple):
    """The state of an optimizer that ends."""

    state: PyTree
    first: Array
    """The norm of the first gradient, infinite before it."""
    over: Array


def _until(optimizer: optax.GradientTransformationExtraArgs, part: float) -> optax.GradientTransformationExtraArgs:
    """An optimizer that stands still where the gradient's norm is at most a part of the first one's."""

    def init(params: PyTree) -> _Until:
        first = jnp.full((), jnp.inf, tree.norm(params).dtype)
        return _Until(optimizer.init(params), first, jnp.zeros((), bool))

    def update(gradients: PyTree, until: _Until, params: PyTree | None = None, **extra: Any) -> tuple[PyTree, _Until]:
        size = tree.norm(gradients)
        first = jnp.minimum(until.first, jnp.where(jnp.isinf(until.first), size, jnp.inf))
        updates, state = optimizer.update(gradients, until.state, params, **extra)
        over = size <= part * first
        return jax.tree.map(lambda leaf: jnp.where(over, 0, leaf), updates), _Until(state, first, over)

    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]


def _while(body: Body, init: PyTree, xs: PyTree, /) -> tuple[PyTree, PyTree]:
    """`jax.lax.scan` that ends with its optimizer, whose state is the second part of what it carries."""
    length = tree.leading_axis(xs)
    shapes = jax.eval_shape(body, init, jax.tree.map(lambda leaf: leaf[0], xs))[1] if length else ()
    rows = jax.tree.map(lambda leaf: jnp.zeros((length, *leaf.shape), leaf.dtype), shapes)

    def step(carry: tuple[Array, PyTree, PyTree]) -> tuple[Array, PyTree, PyTree]:
        index, inside, rows = carry
        inside, row = body(inside, jax.tree.map(lambda leaf: leaf[index], xs))
        return index + 1, inside, jax.tree.map(lambda rows, row: rows.at[index].set(row), rows, row)

    going = lambda carry: (carry[0] < length) & ~carry[1][1].over  # noqa: E731
    start = (jnp.zeros((), jnp.int32), init, rows)
    _, carry, rows = jax.lax.while_loop(going, step, tree.varying_as(start, init))
    return carry, rows


class _Found(NamedTuple):
    """Conjugate gradients between two steps."""

    index: Array
    solution: PyTree
    rest: PyTree
    direction: PyTree
    left: Array
    """The rest's squared norm."""
    positive: Array
    """Whether the last direction's curvature was."""
    best: PyTree
    least: Array
    """The smallest `left` so far, with the solution that has it."""


def _conjugate_gradients(
    product: Callable[[PyTree], PyTree], vector: PyTree, num_steps: int, tolerance: float
) -> tuple[PyTree, Array]:
    """Solves product(x) = vector, as far as the curvature is positive, and tells what remains, relative to the vector.

    Of the solutions on the way it is the one that leaves least. `jax.scipy.sparse.linalg.cg` takes the last, which is
    far away where a curvature is not positive, or next to nothing.

    References:
      Nocedal and Wright, Numerical Optimization, 2006, Algorithm 7.1.
    """
    dot = lambda a, b: jax.tree.reduce(jnp.add, jax.tree.map(jnp.vdot, a, b))  # noqa: E731
    along = lambda a, size, b: jax.tree.map(lambda a, b: a + size * b, a, b)  # noqa: E731
    whole = dot(vector, vector)

    def going(now: _Found) -> Array:
        return (now.index < num_steps) & now.positive & (now.left > tolerance**2 * whole)

    def step(now: _Found) -> _Found:
        image = product(now.direction)
        curvature = dot(now.direction, image)
        positive = curvature > 0
        size = jnp.where(positive, now.left / jnp.where(positive, curvature, 1), 0)
        solution, rest = along(now.solution, size, now.direction), along(now.rest, -size, image)
        left = dot(rest, rest)
        best = jax.tree.map(lambda new, old: jnp.where(left < now.least, new, old), solution, now.best)
        direction, least = along(rest, left / now.left, now.direction), jnp.minimum(left, now.least)
        return _Found(now.index + 1, solution, rest, direction, left, positive, best, least)

    zeros = jax.tree.map(jnp.zeros_like, vector)
    start = _Found(jnp.zeros((), jnp.int32), zeros, vector, vector, whole, jnp.ones((), bool), zeros, whole)
    found = jax.lax.while_loop(going, step, tree.varying_as(start, vector))
    return found.best, jnp.sqrt(found.least / jnp.maximum(whole, jnp.finfo(whole.dtype).tiny))
