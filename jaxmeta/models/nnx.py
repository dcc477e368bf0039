"""Flax's nnx: the adapter and the norm. Apart, since importing nnx takes longer than all of jaxmeta."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jaxmeta import checks
from jaxmeta.models.adapters import NO_NOISE, STATELESS
from jaxmeta.models.normalization import NORMS, standardize
from jaxmeta.types import Array, Batch, Model, PyTree, no_context


class Context(nnx.Variable):
    """The nnx variable type of what a module takes from a support set; `from_nnx` fills it or leaves it empty."""


class NnxNorm(nnx.Module):
    """`Norm` as an nnx layer; its Context variable holds None until a support set is given."""

    def __init__(self, channels: int, *, kind: str = "batch", groups: int = 8, eps: float = 1e-5):
        self.kind, self.groups, self.eps = checks.choice("norm", kind, NORMS), groups, eps
        if kind != "none":
            self.scale, self.bias = nnx.Param(jnp.ones(channels)), nnx.Param(jnp.zeros(channels))
        if kind == "task":
            self.blend_scale, self.blend_offset = nnx.Param(jnp.zeros(())), nnx.Param(jnp.zeros(()))
        if kind in ("support", "task"):
            self.moments = Context(None)

    def __call__(self, x: Array, mask: Array | None = None) -> Array:
        if self.kind == "none":
            return x
        task = self.kind == "task"
        blend = (self.blend_scale[...], self.blend_offset[...]) if task else (jnp.zeros(()), jnp.zeros(()))
        has_context = self.kind in ("support", "task")
        given = self.moments.get_value() if has_context else None
        y, moments = standardize(self.kind, x, mask, given, blend, self.groups, self.eps, self.scale[...])
        if has_context and given is None:
            self.moments.set_value(moments)
        return y + jax.lax.broadcast_to_rank(self.bias[...], y.ndim)


def from_nnx(make: Callable[[nnx.Rngs], nnx.Module]) -> Model:
    """Makes a Model of an nnx module.

    The module's variables are `nnx.Param` and, if it has some, `models.Context`, which hold None until the module
    writes them from a support set. `mask` is passed on if the module's `__call__` names it.

    Args:
      make: (rngs) -> module.

    Raises:
      ValueError: if the module has other variables (running averages, dropout's random state).
    """
    graph, shapes, empty, rest = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))), nnx.Param, Context, ...)
    if jax.tree.leaves(rest):
        kinds = sorted({type(leaf).__name__ for _, leaf in nnx.to_flat_state(rest)})
        hint = NO_NOISE if any("Rng" in kind for kind in kinds) else STATELESS
        checks.fail("from_nnx", "the variable types Param and Context alone", kinds, hint)
    masked = "mask" in inspect.signature(type(nnx.merge(graph, shapes, empty, rest)).__call__).parameters

    def bind(params: PyTree, context: PyTree) -> Any:
        state = nnx.clone(shapes)
        nnx.replace_by_pure_dict(state, params)
        return nnx.merge(graph, state, context or empty, rest, copy=True)

    def call(module: Any, inputs: PyTree, mask: Array | None) -> PyTree:
        return module(inputs, mask=mask) if masked else module(inputs)

    def init(key: Array) -> PyTree:
        return nnx.to_pure_dict(nnx.state(make(nnx.Rngs(key)), nnx.Param))

    def apply(params: PyTree, inputs: PyTree, mask: Array | None = None, context: PyTree = ()) -> PyTree:
        return call(bind(params, context), inputs, mask)

    def context(params: PyTree, support: Batch) -> PyTree:
        module = bind(params, ())
        call(module, support.inputs, support.mask)
        return nnx.state(module, Context)

    return Model(init, apply, context if nnx.to_flat_state(empty) else no_context)
