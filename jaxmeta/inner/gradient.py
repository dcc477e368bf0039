"""How the inner gradient is made, and thereby how an outer gradient differentiates it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from jaxmeta import checks, tree
from jaxmeta.types import Array, Metrics, PyTree

InnerLoss = Callable[[PyTree, PyTree, Array], tuple[Array, Metrics]]
"""(params, data, key) -> (scalar, metrics)"""
Gradient = Callable[[InnerLoss], Callable[[PyTree, PyTree, Array], tuple[tuple[Array, Metrics], PyTree]]]
"""inner loss -> ((params, data, key) -> ((scalar, metrics), gradient with respect to params))"""


def nested(loss: InnerLoss) -> Any:
    """The inner gradient by plain reverse mode; an outer gradient differentiates it as it stands."""
    return jax.value_and_grad(loss, has_aux=True)


def first_order(loss: InnerLoss) -> Any:
    """The inner gradient as a constant: an outer gradient ignores how it depends on params and data."""
    gradient = nested(loss)

    def detached(params: PyTree, data: PyTree, key: Array) -> tuple[tuple[Array, Metrics], PyTree]:
        result, gradients = gradient(params, data, key)
        return result, jax.lax.stop_gradient(gradients)

    return detached


def mixed_mode(loss: InnerLoss) -> Any:
    """The derivatives of `nested`, with forward mode over the inner gradient in place of a second reverse mode.

    An outer gradient needs, for the cotangent u of the inner gradient, d/dx <u, dL/dparams> with respect to everything
    x that the loss L depends on. That is the derivative of dL/dx along u, which takes no more memory than an inner
    step: between the steps nothing is kept but the params. It is exact, whether x is an argument of the loss or closed
    over, if every derivative rule in the loss is a true one; `check_gradient` tells. A `jax.custom_vjp` need not be, so
    that one is warned of.

    Raises:
      TypeError: once it is differentiated, if the loss's gradient has no forward-mode derivative.

    References:
      Kemaev et al., Scalable Meta-Learning via Mixed-Mode Differentiation, 2025, section 3.
    """

    def value_and_gradient(params: PyTree, data: PyTree, key: Array) -> tuple[tuple[Array, Metrics], PyTree]:
        # Tracing makes arguments of all that the loss reads beside params: a custom_vjp must not close over it.
        traced, run = _trace(lambda params: loss(params, data, key), params)
        if rules := sorted(set(_own_rules(traced.jaxpr))):
            warnings.warn(
                f"mixed_mode takes the custom_vjp of {', '.join(rules)} for a true derivative, which one that reverses "
                "or clips gradients is not: inner.check_gradient tells, and gradient=inner.nested needs none",
                stacklevel=2,
            )
        floats, others = tree.split(traced.consts, list(map(_is_float, traced.consts)))
        plain = nested(lambda params, floats, others: run(tree.merge(floats, others), params))

        def backward(given: tuple[PyTree, PyTree, PyTree], cotangents: PyTree) -> tuple[PyTree, PyTree, None]:
            params, floats, others = given
            outputs, along = cotangents
            changes = list(filter(_is_float, jax.tree.leaves(outputs)))
            weights = [jnp.ones_like(changes[0]), *map(jnp.zeros_like, changes[1:])]

            def pull_back(params: PyTree, weights: list[Array]) -> tuple[PyTree, PyTree]:
                def results(params: PyTree, floats: PyTree) -> list[Array]:
                    return list(filter(_is_float, jax.tree.leaves(run(tree.merge(floats, others), params))))

                return jax.vjp(results, params, floats)[1](weights)

            # The gradient along u in params; moving the weights along their cotangents adds value's and metrics'.
            return *_forward_mode(pull_back, (params, weights), (along, changes)), None

        function = jax.custom_vjp(plain)
        # Forward it is the plain function, so that a derivative of the meta-gradient meets no custom rule.
        function.defvjp(lambda *given: (plain(*given), given), backward)
        return function(params, floats, others)

    return value_and_gradient


def _trace(function: Callable[..., PyTree], *given: PyTree) -> tuple[Any, Callable[..., PyTree]]:
    """The function's jaxpr, and (what it closes over, *given) -> its result by that jaxpr."""
    traced, shapes = jax.make_jaxpr(function, return_shape=True)(*given)

    def run(consts: Sequence[Array], *given: PyTree) -> PyTree:
        results = core.jaxpr_as_fun(core.ClosedJaxpr(traced.jaxpr, consts))(*jax.tree.leaves(given))
        return jax.tree.unflatten(jax.tree.structure(shapes), results)

    return traced, run


def _forward_mode(function: Callable[..., PyTree], at: tuple[PyTree, ...], along: tuple[PyTree, ...]) -> PyTree:
    """The function's derivative, or a TypeError if there is a custom_vjp in the way."""
    try:
        traced, run = _trace(lambda *given: jax.jvp(function, *given)[1], at, along)
        # JAX puts this placeholder where a custom_vjp has no jvp, and complains once it compiles.
        if "custom_lin" in primitives(traced):
            raise TypeError("can't apply forward-mode differentiation (jvp) to a custom_vjp function")
    except (TypeError, NotImplementedError) as error:
        checks.fail(
            "mixed_mode",
            "a loss whose gradient has a forward-mode derivative",
            f"{type(error).__name__}: {str(error).splitlines()[0]}",
            "use gradient=inner.nested",
            TypeError,
        )
    return run(traced.consts, at, along)


def primitives(traced: Any) -> set[str]:
    """The names of all primitives in a jaxpr and in those inside it."""
    inside = [leaf for equation in traced.eqns for leaf in jax.tree.leaves(equation.params) if hasattr(leaf, "eqns")]
    return {equation.primitive.name for equation in traced.eqns}.union(*map(primitives, inside))


def _own_rules(traced: Any) -> Iterator[str]:
    """Where the custom_vjps in a jaxpr and in those inside it come from, but for jax's and the package's own."""
    for equation in traced.eqns:
        rule = getattr(equation.params.get("bwd"), "f", None)
        module = getattr(rule, "__module__", None) or "a function"
        if equation.primitive.name.startswith("custom_vjp_call") and not module.startswith(("jax.", "jaxmeta.")):
            yield f"{module}.{getattr(rule, '__name__', '')}".rstrip(".")
        for leaf in jax.tree.leaves(equation.params):
            if hasattr(leaf, "eqns"):
                yield from _own_rules(leaf)


def check_gradient(loss: InnerLoss, params: PyTree, data: PyTree, key: Array) -> float:
    """Compares `mixed_mode` with `nested` on a loss, whose gradient may be that of no function.

    It is none if a custom_vjp in the loss has a rule that is no derivative: one that reverses or clips the gradient on
    its way back through a network, for example. Then the derivative of the inner gradient is not symmetric, on which
    `mixed_mode` relies.

    Args:
      loss: (params, data, key) -> (scalar, metrics).
      params: where to compare; what a rule does elsewhere is not seen.
      data: any pytree of arrays.
      key: a random key; the loss is given it, and the cotangents are drawn from it.

    Returns:
      The norm of the difference relative to that of nested's result.

    Raises:
      ValueError: if it is above the square root of the precision.
      TypeError: if forward mode over the loss's gradient is impossible.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxmeta import inner
      >>> loss = lambda params, data, key: (jnp.sum((params - data) ** 4), {})
      >>> error = inner.check_gradient(loss, jnp.ones(3), jnp.zeros(3), jax.random.key(0))
    """
    floats, others = tree.split(data, jax.tree.map(_is_float, data))

    @jax.jit
    def compare(params: PyTree, floats: PyTree) -> tuple[Array, Array]:
        def pulled(gradient: Gradient) -> PyTree:
            function = lambda params, floats: gradient(loss)(params, tree.merge(floats, others), key)[1]  # noqa: E731
            gradients, pull_back = jax.vjp(function, params, floats)
            keys = jax.random.split(key, len(jax.tree.leaves(gradients)))
            draw = lambda key, leaf: jax.random.normal(key, leaf.shape, leaf.dtype)  # noqa: E731
            return pull_back(jax.tree.map(draw, jax.tree.unflatten(jax.tree.structure(gradients), keys), gradients))

        expected, found = map(pulled, (nested, mixed_mode))
        return tree.norm(jax.tree.map(jnp.subtract, found, expected)), tree.norm(expected)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "mixed_mode takes")  # that is what is found out here
        difference, norm = map(float, compare(params, floats))
    error, precision = difference / max(norm, 1e-30), float(jnp.finfo(jnp.result_type(*jax.tree.leaves(params))).eps)
    if not error <= math.sqrt(precision):
        checks.fail(
            "check_gradient: mixed_mode",
            "what nested gives",
            f"a relative difference of {error:.1e}",
            "a derivative rule in the loss is no true one: use gradient=inner.nested",
        )
    return error


def _is_float(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)
