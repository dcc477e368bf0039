"""From linen modules and plain functions to `Model`; `jaxmeta.models.nnx` has the adapter of nnx."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
from flax.errors import FlaxError, InvalidRngError

from jaxmeta import checks, labels, tree
from jaxmeta.models.rowmask import check_mask, checked_once
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
      apply: (params, inputs), and (.., mask) or (.., mask, context) if it names them; the mask is the rows'.
      context: (params, support) -> context.

    Raises:
      ValueError: once the model is given a mask, if `apply` takes it for something else.
      TypeError: once params are made, if a leaf of them is no array.

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

    def full_init(key: Array) -> PyTree:
        params = init(key)
        tree.check_arrays("from_functions: init", params)
        return params

    model = Model(full_init, full_apply, context)
    return checked_once("from_functions", model) if "mask" in names else model


def from_linen(module: nn.Module, example_inputs: PyTree) -> Model:
    """Makes a Model of a linen module.

    The module's variables are the collection "params" and, if it has one, "context": written when absent (from a
    support set), read when given. What stands in other collections is a constant of the model, made with
    `jax.random.key(0)`. `mask` is passed on if the module's `__call__` names it.

    Args:
      module: called as module(inputs) or module(inputs, mask=...), where mask [n] says which rows are no padding.
      example_inputs: inputs [n, ...], or their shapes, to initialise with.

    Raises:
      ValueError: if a call changes the module's other collections (running averages) or draws random numbers
        (dropout), or if its `mask` is something else, such as an attention mask.
      TypeError: if it is no linen module, but its class or a function.
    """
    if not isinstance(module, nn.Module):
        got = f"the class {module.__name__}" if isinstance(module, type) else type(module).__name__
        checks.fail("from_linen", "a linen module, such as nn.Dense(5)", got, error=TypeError)
    model = linen_model(module, example_inputs)
    if _takes_mask(module):
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape[1:]), leaf.dtype), example_inputs)
        leaves, structure = jax.tree.flatten(like)
        known = (module, structure, *leaves)
        if _is_hashable(known):
            _check_once(*known)
        else:
            _check_once.__wrapped__(*known)
    return model


@functools.lru_cache(maxsize=256)
def _check_once(module: nn.Module, structure: Any, *shapes: jax.ShapeDtypeStruct) -> None:
    """Kept, since two modules of the same fields are the same to a mask."""
    like = structure.unflatten(shapes)
    check_mask(f"from_linen: {type(module).__name__}", linen_model(module, like), like)


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _takes_mask(module: nn.Module) -> bool:
    return "mask" in inspect.signature(type(module).__call__).parameters


def new_params(module: nn.Module, key: Array, *like: PyTree, method: Callable[..., Any] | None = None) -> PyTree:
    """A module's first params, without its layers' outputs: outside of jit each operation would be a program."""
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), like)
    return module.lazy_init(key, *shapes, method=method, mutable=["params"]).get("params", {})


def linen_model(module: nn.Module, example_inputs: PyTree) -> Model:
    """`from_linen` of a module whose `mask` is known to be the rows'."""
    masked, name = _takes_mask(module), f"from_linen: {type(module).__name__}"

    def call(variables: PyTree, inputs: PyTree, mask: Array | None, **options: Any) -> Any:
        return module.apply(variables, inputs, **({"mask": mask} if masked else {}), **options)

    def variables(key: Array) -> PyTree:
        inputs = jax.tree.map(lambda leaf: jax.numpy.zeros(leaf.shape, leaf.dtype), example_inputs)
        return module.init(key, inputs)

    shapes = jax.eval_shape(variables, jax.random.key(0))
    others = sorted(set(shapes) - {"params", "context"})
    changed: list[str] = []

    def try_call(given: PyTree, inputs: PyTree) -> PyTree:
        outputs, after = call(given, inputs, None, mutable=True)
        was = jax.tree_util.tree_leaves_with_path({other: given[other] for other in others})
        now = dict(jax.tree_util.tree_leaves_with_path({other: after.get(other, {}) for other in others}))
        changed.extend(
            jax.tree_util.keystr(path, simple=True, separator="/") for path, leaf in was if now.get(path) is not leaf
        )
        return outputs

    try:
        jax.eval_shape(try_call, shapes, example_inputs)
    except InvalidRngError as error:
        raise ValueError(f"{name} asks for random numbers when applied; {NO_NOISE}") from error
    if changed:
        checks.fail(name, "a module that a call does not change", f"changes of {', '.join(changed)}", STATELESS)
    constants: PyTree = {}
    if others:
        with jax.ensure_compile_time_eval():
            constants = jax.jit(lambda key: {other: variables(key)[other] for other in others})(jax.random.key(0))

    def init(key: Array) -> PyTree:
        try:
            return new_params(module, key, example_inputs)
        except FlaxError:  # params hang on the inputs, or on variables of other kinds
            return variables(key).get("params", {})

    def apply(params: PyTree, inputs: PyTree, mask: Array | None = None, context: PyTree = ()) -> PyTree:
        return call({"params": params, **constants, **({"context": context} if context else {})}, inputs, mask)

    def context(params: PyTree, support: Batch) -> PyTree:
        given = {"params": params, **constants}
        return call(given, support.inputs, labels.rows(support.mask), mutable=["context"])[1]["context"]

    return Model(init, apply, context if "context" in shapes else no_context)
