"""From linen modules and plain functions to `Model`; `jaxmeta.models.nnx` has the adapter of nnx."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
from flax.errors import InvalidRngError

from jaxmeta import checks
from jaxmeta.types import Array, Batch, Model, PyTree, no_context

STATELESS = "models hold no running averages; use jaxmeta.models.Norm, or another norm without state"
NO_NOISE = "dropout is not supported: noise that only training has enters through the inputs; remove the layer"


def from_functions(
    init: Callable[[Array], PyTree],
    apply: Callable[..., PyTree],
    context: Callable[[PyTree, PyTree], PyTree] = no_context,
) -> Model:
    """Makes a Model of plain functions, for example Haiku's or Equinox's.

    Args:
      init: (key) -> params.
      apply: (params, inputs), and (.., mask) or (.., mask, context) if it names them.
      context: (params, support) -> context.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxmeta import models
      >>> model = models.from_functions(lambda key: jnp.zeros(3), lambda params, inputs: inputs @ params)
      >>> model.apply(model.init(jax.random.key(0)), jnp.ones((2, 3))).shape
      (2,)
    """
    names = [name for name in ("mask", "context") if name in inspect.signature(apply).parameters]

    def full_apply(params: PyTree, inputs: PyTree, mask: Array | None = None, context: PyTree = ()) -> PyTree:
        given = {"mask": mask, "context": context}
        return apply(params, inputs, **{name: given[name] for name in names})

    return Model(init, full_apply, context)


def from_linen(module: nn.Module, example_inputs: PyTree) -> Model:
    """Makes a Model of a linen module.

    The module's variables are the collection "params" and, if it has one, "context": written when absent (from a
    support set), read when given. `mask` is passed on if the module's `__call__` names it.

    Args:
      module: called as module(inputs) or module(inputs, mask=...).
      example_inputs: inputs [n, ...], or their shapes, to initialise with.

    Raises:
      ValueError: if the module has other collections (running averages) or dropout.
    """
    masked = "mask" in inspect.signature(type(module).__call__).parameters

    def call(variables: PyTree, inputs: PyTree, mask: Array | None, **options: Any) -> Any:
        return module.apply(variables, inputs, **({"mask": mask} if masked else {}), **options)

    def variables(key: Array) -> PyTree:
        inputs = jax.tree.map(lambda leaf: jax.numpy.zeros(leaf.shape, leaf.dtype), example_inputs)
        return module.init(key, inputs)

    shapes = jax.eval_shape(variables, jax.random.key(0))
    try:
        jax.eval_shape(lambda given, inputs: call(given, inputs, None, mutable=True), shapes, example_inputs)
    except InvalidRngError as error:
        raise ValueError(
            f"from_linen: {type(module).__name__} asks for random numbers when applied; {NO_NOISE}"
        ) from error
    if extra := sorted(set(shapes) - {"params", "context"}):
        checks.fail(
            f"from_linen: {type(module).__name__}", 'the collections "params" and "context" alone', extra, STATELESS
        )

    def init(key: Array) -> PyTree:
        return variables(key).get("params", {})

    def apply(params: PyTree, inputs: PyTree, mask: Array | None = None, context: PyTree = ()) -> PyTree:
        return call({"params": params, **({"context": context} if context else {})}, inputs, mask)

    def context(params: PyTree, support: Batch) -> PyTree:
        return call({"params": params}, support.inputs, support.mask, mutable=["context"])[1]["context"]

    return Model(init, apply, context if "context" in shapes else no_context)
