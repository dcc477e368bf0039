"""Whether a model's `mask` is that of the rows: found by marking rows as padding."""

from __future__ import annotations

import math
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import checks, memory
from jaxmeta.types import Array, Model, PyTree

_REAL, _ROWS = 3, 5
TOLERANCE = 3e-2
"""Of the largest output: half precision stays below it, and a mask of something else does not."""


def check_mask(what: str, model: Model, example_inputs: PyTree) -> None:
    """Marks random rows as padding, and compares with what the model says of the other rows alone.

    Args:
      what: names the model in the error.
      model: whose params are made up at random.
      example_inputs: inputs [n, ...], or their shapes.

    Raises:
      ValueError: if the real rows' outputs differ, or a mask that marks nothing changes them.
    """
    keep = np.arange(_ROWS) < _REAL

    def gaps(params: PyTree, inputs: PyTree) -> Array:
        real = jax.tree.map(lambda leaf: leaf[:_REAL], inputs)
        plain, alone = model.apply(params, inputs), model.apply(params, real)
        pairs = [
            (model.apply(params, inputs, jnp.ones(_ROWS, bool)), plain),
            (jax.tree.map(lambda leaf: leaf[:_REAL], model.apply(params, inputs, jnp.asarray(keep))), alone),
        ]
        return jnp.array([_gap(*pair) for pair in pairs])

    with jax.ensure_compile_time_eval():
        rng = np.random.default_rng(0)
        inputs = jax.tree.map(lambda leaf: _random(rng, (_ROWS, *leaf.shape[1:]), leaf.dtype), example_inputs)
        try:
            shapes = jax.eval_shape(model.init, jax.random.key(0))
            # Not from init, which takes long to compile, and where a last layer of zeros would hide everything.
            params = jax.tree.map(lambda leaf: _random(rng, leaf.shape, leaf.dtype) * _scale(leaf.shape), shapes)
            jax.eval_shape(model.apply, params, inputs)
        except Exception:
            return  # inputs or params that this check cannot make up
        try:
            lowered = jax.jit(gaps).lower(params, inputs)
        except Exception as error:
            _fail(what, f"an error ({str(error).strip().splitlines()[0]})")
        # It runs once.
        compiled = lowered.compile({"xla_backend_optimization_level": "0"} if memory.on_cpu() else None)
        largest = np.asarray(compiled(params, inputs)).max()
    if not largest <= TOLERANCE:
        _fail(what, f"other outputs of the real rows where rows are masked, by {largest:.2g} of the largest")


def checked_once(what: str, model: Model) -> Model:
    """The model, whose mask is checked when it first comes, with inputs of the shapes that then come."""
    unchecked = [model]

    def apply(params: PyTree, inputs: PyTree, mask: Array | None = None, context: PyTree = ()) -> PyTree:
        if mask is not None and unchecked:
            like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), inputs)
            check_mask(what, unchecked[0], like)
            unchecked.clear()
        return model.apply(params, inputs, mask, context)

    return model._replace(apply=apply)


def _fail(what: str, got: str) -> NoReturn:
    wanted = "a `mask` [n] that says which rows are no padding, and leaves the others as they are"
    checks.fail(what, wanted, got, "rename the argument, such as to attention_mask, or wrap the module")


def _random(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Normal floats, small integers, all True."""
    if jnp.issubdtype(dtype, jnp.floating):
        return rng.normal(size=shape).astype(dtype)
    return rng.integers(0, 2, shape).astype(dtype) if jnp.issubdtype(dtype, jnp.integer) else np.ones(shape, dtype)


def _scale(shape: tuple[int, ...]) -> Any:
    """What keeps a layer's outputs of the size of its inputs."""
    return np.float32(1 / math.sqrt(math.prod(shape[:-1]) or 1)) if len(shape) > 1 else 1


def _gap(found: PyTree, expected: PyTree) -> Array:
    """The largest difference relative to the largest output; what is not finite in both has none."""
    gaps = [jnp.zeros(())]
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        a, b = (jnp.asarray(leaf, float) for leaf in ((a, b) if a.shape == b.shape else (jnp.inf, 0)))
        finite = jnp.isfinite(b)
        gap = jnp.where(finite, jnp.abs(a - b), 0).max(initial=0)
        gaps.append(jnp.where(jnp.isnan(gap), jnp.inf, gap / (jnp.where(finite, jnp.abs(b), 0).max(initial=0) + 1e-30)))
    return jnp.stack(gaps).max()
