"""A network that computes in another precision than its parameters are kept in."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.types import Array, Batch, Model, PyTree


def in_precision(model: Model, dtype: Any) -> Model:
    """Makes a Model that computes in `dtype`, over the same parameters.

    Parameters and inputs are cast when the network is applied, outputs and contexts are cast back, so that
    meta-parameters, inner steps, losses, sums over tasks and optimizer states stay in float32, and `Norm` takes its
    moments in float32. Integers, masks, keys and contexts enter as they are.

    In bfloat16, Conv-4's outputs differ from float32's by less than 3% of their norm, and with norm "layer" or "none"
    MAML's meta-gradient by less than 10%; tests/test_precision.py holds both. With "batch" and "support" it is of the
    gradient's own size for a dozen pictures, and so it is in float32 with noise of bfloat16's size, 2^-9, on the
    parameters: a ReLU whose input is that near to zero changes sides, and of few pictures each unit is a large share.
    With a smooth activation it is less than 10%, too.

    Args:
      model: any.
      dtype: a floating type, such as jax.numpy.bfloat16.

    Raises:
      ValueError: if dtype is not a floating type.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxmeta import models
      >>> model = models.in_precision(models.mlp(3, 2), jnp.bfloat16)
      >>> params = model.init(jax.random.key(0))
      >>> model.apply(params, jnp.ones((4, 3))).dtype, params["Dense_0"]["kernel"].dtype
      (dtype('float32'), dtype('float32'))
    """
    if not jnp.issubdtype(dtype, jnp.floating):
        checks.fail("in_precision: dtype", "a floating type, such as bfloat16", jnp.dtype(dtype).name)

    def apply(params: PyTree, inputs: PyTree, mask: Array | None = None, context: PyTree = ()) -> PyTree:
        return _cast(model.apply(_cast(params, dtype), _cast(inputs, dtype), mask, context), _own(params))

    def context(params: PyTree, support: Batch) -> PyTree:
        inner = support._replace(inputs=_cast(support.inputs, dtype))
        return _cast(model.context(_cast(params, dtype), inner), _own(params))

    return Model(model.init, apply, context)


def _cast(tree: PyTree, dtype: Any) -> PyTree:
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if _is_floating(leaf) else leaf, tree)


def _own(params: PyTree) -> Any:
    return jnp.result_type(jnp.float32, *filter(_is_floating, jax.tree.leaves(params)))


def _is_floating(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
