"""`unroll`: gradient steps on one task as a scan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from jaxmeta import checks, tree
from jaxmeta.inner.gradient import Gradient, InnerLoss, mixed_mode
from jaxmeta.inner.guards import differentiable, start, updated
from jaxmeta.inner.once import once
from jaxmeta.inner.scan import Scan, adaptive_scan
from jaxmeta.types import Array, Metrics, PyTree, scored


class Trace(NamedTuple):
    """What happened in the loop; every leaf has the leading axis num_steps. Costs no extra gradient."""

    loss: Array
    """[num_steps] the loss before each step."""
    metrics: Metrics
    """What else the loss reported before each step."""
    observed: PyTree
    """`observe(params)` after each step; () if nothing was observed."""


Select = Callable[[PyTree, Array, Array], PyTree]
"""(data, key, step) -> the data of that step, for example a minibatch of the support set"""


class Solve(Protocol):
    def __call__(self, params: PyTree, data: PyTree, key: Array) -> tuple[PyTree, Trace]: ...


def unroll(
    loss: InnerLoss,
    optimizer: optax.GradientTransformation,
    num_steps: int,
    *,
    gradient: Gradient = mixed_mode,
    scan: Scan = adaptive_scan,
    select: Select | None = None,
    observe: Callable[[PyTree], PyTree] | None = None,
) -> Solve:
    """Makes the solver that takes `num_steps` optimiser steps from given params.

    The result is differentiable with respect to params and data, exactly, through the optimiser's own arithmetic. What
    the loss computes of the data without the params, such as the features under a head, is computed once for all steps.

    Args:
      loss: (params, data, key) -> (scalar, metrics). Data is any pytree: the support set, slow weights, the
        parameters of a learned loss. It is an argument because what a transformation closes over it may lose.
      optimizer: any Optax transformation; its state starts afresh at every call, random keys in it with `key`. Its
        update is given `value`, the loss before the step, and `grad`, if it takes extra arguments.
      num_steps: how many steps; 0 returns the params as they came.
      gradient: how the inner gradient is made, and thereby how it is differentiated.
      scan: what runs the steps, and thereby what an outer gradient keeps of them.
      select: (data, key, step) -> the data of that step; `minibatch` makes one.
      observe: (params) -> anything worth keeping after each step, for example a multi-step loss's query loss.

    Returns:
      solve: (params, data, key) -> (params, Trace).

    Raises:
      TypeError: if the optimizer is no Optax transformation, or needs more than `value` and `grad`, or params of its
        own; once the solver is called, if a leaf of params holds no real floats.
      ValueError: if num_steps is negative; once the solver is called, if the optimizer goes up the gradient at some
        leaves (`optax.masked`, a negative rate), moves nothing in all steps, or draws noise from a key that is not in
        its state; or, once it is differentiated, if the optimizer's own derivative is not finite where gradients or
        params are zero (`optax.adam` with eps_root=0), which would turn meta-gradients into NaN.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> from jaxmeta import inner
      >>> loss = lambda params, data, key: (jnp.sum((params - data) ** 2), {})
      >>> solve = inner.unroll(loss, optax.sgd(0.25), num_steps=2)
      >>> params, trace = solve(jnp.array([1.0]), jnp.array([0.0]), jax.random.key(0))
      >>> print(params, trace.loss)
      [0.25] [1.   0.25]
    """
    num_steps = checks.integer("unroll: num_steps", num_steps, 0)
    optimizer = transformation("unroll: optimizer", optimizer)
    checked = lambda *given: scored("criterion", loss(*given))  # noqa: E731

    def solve(params: PyTree, data: PyTree, key: Array) -> tuple[PyTree, Trace]:
        params = tree.varying_as(params, data, key)
        own, data = once(checked, params, data, key, select)
        value_and_gradient = gradient(own)

        def step(carry: tuple[PyTree, PyTree], index: Array) -> tuple[tuple[PyTree, PyTree], Trace]:
            params, state = carry
            select_key, loss_key = jax.random.split(jax.random.fold_in(key, index))
            chosen = data if select is None else select(data, select_key, index)
            (value, metrics), gradients = value_and_gradient(params, chosen, loss_key)
            given = differentiable(optimizer, gradients, params)
            updates, state = updated("inner optimizer", optimizer, given[0], state, given[1], value)
            params = optax.apply_updates(params, updates)
            return (params, state), Trace(value, metrics, () if observe is None else observe(params))

        state = tree.varying_as(start(optimizer, params, key, num_steps), params)
        (params, _), trace = scan(step, (params, state), jnp.arange(num_steps))
        return params, trace

    return solve


def minibatch(batch_size: int) -> Select:
    """Draws a step's rows of the support set anew and without repetition, every leaf alike.

    Args:
      batch_size: how many; padding is among them only if there are fewer real rows.

    Raises:
      ValueError: if batch_size < 1; or, when traced, if it is more than the support set has rows.
    """
    batch_size = checks.integer("minibatch: batch_size", batch_size, 1)

    def select(support: PyTree, key: Array, step: Array) -> PyTree:
        del step
        num_rows = tree.leading_axis(support)
        checks.integer("minibatch: batch_size", batch_size, 1, num_rows, "the support set has no more rows")
        order = jax.random.uniform(key, (num_rows,))
        if (mask := getattr(support, "mask", None)) is not None:
            order = jnp.where(mask, order, 2)  # padding is drawn only where the real rows run out
        rows = jnp.argsort(order)[:batch_size]
        return jax.tree.map(lambda leaf: leaf[rows], support)

    return select


def select_first(select: Select | None) -> Select | None:
    """What `select` does to a support set, done to the first entry of data that holds more."""
    if select is None:
        return None
    return lambda data, key, step: (select(data[0], key, step), *data[1:])


def transformation(what: str, optimizer: Any) -> optax.GradientTransformationExtraArgs:
    """Returns an Optax transformation in the form that takes extra arguments.

    Raises:
      TypeError: if it is something else, such as a function or a schedule.
    """
    if not all(callable(getattr(optimizer, name, None)) for name in ("init", "update")):
        checks.fail(what, "an Optax transformation, such as optax.sgd(0.1)", repr(optimizer), error=TypeError)
    return optax.with_extra_args_support(optimizer)
