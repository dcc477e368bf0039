"""Flax's nnx: the adapter and the norm. Apart, since importing nnx takes longer than all of jaxmeta."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.core import Tracer
from jax.interpreters import partial_eval as pe

from jaxmeta import checks, labels
from jaxmeta.models.adapters import NO_NOISE, STATELESS
from jaxmeta.models.normalization import NORMS, standardize
from jaxmeta.models.rowmask import checked_once
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
    writes them from a support set. Variables of other types are constants of the model, made with `nnx.Rngs(0)`. `mask`
    is passed on if the module's `__call__` names it.

    Args:
      make: (rngs) -> module, called as module(inputs) or module(inputs, mask=...), where mask [n] says which rows are
        no padding.

    Raises:
      ValueError: if a call would change a variable (running averages) or its outputs depend on random numbers
        (dropout), or if its `mask` is something else; once the model is called, where the module itself does not tell.
    """
    if isinstance(make, nnx.Module):
        got, hint = f"the module itself, a {type(make).__name__}", "give lambda rngs: Net(.., rngs=rngs)"
        checks.fail("from_nnx", "what makes a module", got, hint, TypeError)
    graph, shapes, empty, rest = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))), nnx.Param, Context, ...)
    whole = nnx.merge(graph, shapes, empty, rest)
    for path, part in nnx.iter_modules(whole):
        name = "/".join(map(str, path)) or type(part).__name__
        if isinstance(part, nnx.BatchNorm) and not part.use_running_average:
            checks.fail("from_nnx", "a module that a call does not change", f"running averages at {name}", STATELESS)
        if isinstance(part, nnx.Dropout) and not part.deterministic and part.rate > 0:
            checks.fail("from_nnx", "outputs that depend on no random numbers", f"dropout at {name}", NO_NOISE)
    masked = "mask" in inspect.signature(type(whole).__call__).parameters
    if jax.tree.leaves(rest):
        with jax.ensure_compile_time_eval():
            rest = jax.jit(lambda: nnx.split(make(nnx.Rngs(0)), nnx.Param, Context, ...)[3])()
    for path, part in nnx.iter_modules(nnx.merge(graph, shapes, empty, rest)):
        if hidden := [key for key, value in vars(part).items() if _is_hidden(value)]:
            got, hint = (
                f"some in {hidden[0]} of {'/'.join(map(str, path)) or type(part).__name__}",
                "make Params of them, or nnx.Variables where they stay as they are, in an nnx.Dict or nnx.List",
            )
            checks.fail("from_nnx", "arrays that nnx sees", got, hint)

    def bind(params: PyTree, context: PyTree, constants: PyTree) -> Any:
        state = nnx.clone(shapes)
        nnx.replace_by_pure_dict(state, params)
        return nnx.merge(graph, state, context or empty, constants, copy=True)

    def call(module: Any, inputs: PyTree, mask: Array | None) -> PyTree:
        return module(inputs, mask=mask) if masked else module(inputs)

    def checked_call(params: PyTree, context: PyTree, inputs: PyTree, mask: Array | None) -> tuple[Any, PyTree]:
        module = bind(params, context, rest)
        before = _values(module)
        outputs = call(module, inputs, mask)
        changed = [path for path, leaf in _values(module).items() if before.get(path) is not leaf]
        random = [path for path in changed if path in _random(module)]
        if other := sorted(set(changed) - set(random)):
            checks.fail("from_nnx", "a module that a call does not change", f"changes of {', '.join(other)}", STATELESS)
        if random:
            # A key that is drawn and not used, as for a carry of zeros, is the same in every call.
            traced = jax.make_jaxpr(lambda constants: call(bind(params, context, constants), inputs, mask))(rest)
            used = pe.dce_jaxpr(traced.jaxpr, [True] * len(traced.jaxpr.outvars))[1]
            names = [_name(path) for path, _ in nnx.to_flat_state(rest)]
            if drawn := [name for name, use in zip(names, used, strict=True) if use and name in _random(module)]:
                got = f"some of {', '.join(drawn)}"
                checks.fail("from_nnx", "outputs that depend on no random numbers", got, NO_NOISE)
        return module, outputs

    def init(key: Array) -> PyTree:
        return nnx.to_pure_dict(nnx.state(make(nnx.Rngs(key)), nnx.Param))

    def apply(params: PyTree, inputs: PyTree, mask: Array | None = None, context: PyTree = ()) -> PyTree:
        return checked_call(params, context, inputs, mask)[1]

    def context(params: PyTree, support: Batch) -> PyTree:
        return nnx.state(checked_call(params, (), support.inputs, labels.rows(support.mask))[0], Context)

    model = Model(init, apply, context if nnx.to_flat_state(empty) else no_context)
    return checked_once("from_nnx", model) if masked else model


def _values(module: Any) -> dict[str, Any]:
    """The values of a module's variables and arrays by path, but for Context and what is sown for others to look at."""
    state: Any = nnx.split(module, (Context, nnx.Intermediate), ...)[2]
    leaves = nnx.to_flat_state(state)
    return {_name(path): leaf.get_value() if isinstance(leaf, nnx.Variable) else leaf for path, leaf in leaves}


def _is_hidden(value: Any) -> bool:
    """Whether a plain array, dict or list, which nnx takes for a constant, has arrays that nothing gave values."""
    leaves = jax.tree.leaves(value) if isinstance(value, dict | list | tuple) else [value]
    return any(isinstance(leaf, jax.ShapeDtypeStruct | Tracer) for leaf in leaves)


def _random(module: Any) -> set[str]:
    return {_name(path) for path, _ in nnx.to_flat_state(nnx.state(module, nnx.RngState))}


def _name(path: Any) -> str:
    return "/".join(map(str, path))
