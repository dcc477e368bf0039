"""An optimizer whose state goes from task to task, as part of what is meta-learned."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxmeta import checks
from jaxmeta.inner.guards import check_descent, updated
from jaxmeta.inner.loop import transformation
from jaxmeta.inner.steering import Steered
from jaxmeta.types import Array, PyTree

# Steps are counted by the million, about: beside the params, with which they are averaged, compared and clipped by one
# norm, the count of a few steps would be all that is seen.
_STEPS = 2.0**20


def carried(optimizer: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Makes an optimizer over `Steered`, by a state that is there before the first step and moves with every step.

    Args:
      optimizer: any Optax transformation whose state is numbers; `memory` is the state it is steered by at first.
    """
    own = transformation("inner optimizer", optimizer)

    def init(start: Steered) -> tuple[()]:
        check_descent("inner optimizer", own, start.params)
        return ()

    def update(gradients: Steered, state: tuple[()], given: Steered, *, value: Array, **extra: Any) -> Any:
        del extra  # which are for the whole `Steered`
        before = jax.tree.map(_number, given.by, jax.eval_shape(own.init, given.params))
        changes, after = updated("inner optimizer", own, gradients.params, before, given.params, value)
        return Steered(changes, jax.tree.map(lambda new, old: _real(new) - old, after, given.by)), state

    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]


def memory(optimizer: optax.GradientTransformation, params: PyTree) -> PyTree:
    """An optimizer's state before its first step, as real numbers of which a meta-learner can take means.

    Raises:
      TypeError: if there is something else in it, such as a random key.
    """
    state = transformation("inner optimizer", optimizer).init(params)
    for path, leaf in jax.tree.leaves_with_path(state):
        if not any(jnp.issubdtype(jnp.result_type(leaf), kind) for kind in (jnp.floating, jnp.integer)):
            got = f"{jnp.result_type(leaf)} at {jax.tree_util.keystr(path)}"
            checks.fail("inner optimizer", "a state of real numbers, to be carried on", got, error=TypeError)
    return jax.tree.map(_real, state)


def _real(leaf: Array) -> Array:
    return leaf / _STEPS if jnp.issubdtype(jnp.result_type(leaf), jnp.integer) else leaf


def _number(leaf: Array, like: jax.ShapeDtypeStruct) -> Array:
    return jnp.round(leaf * _STEPS).astype(like.dtype) if jnp.issubdtype(like.dtype, jnp.integer) else leaf
