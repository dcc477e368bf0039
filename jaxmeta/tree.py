"""Small helpers for arrays and pytrees."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import checks
from jaxmeta.types import Array, PyTree


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Frozen:
    """A part of meta_params that is never trained, such as a pretrained encoder's weights.

    Whoever trains passes it on as an argument: it has no gradient and no optimizer state, is not copied per task or per
    seed, and no checkpoint or saved run holds it.
    """

    value: PyTree


def trained(tree: PyTree) -> PyTree:
    """A pytree of bools of the tree's structure: False for what is `Frozen`."""
    is_frozen = lambda node: isinstance(node, Frozen)  # noqa: E731
    return jax.tree.map(lambda node: jax.tree.map(lambda leaf: not is_frozen(node), node), tree, is_leaf=is_frozen)


def masked_mean(values: Array, mask: Array | None) -> Array:
    """The mean of values [n] over the rows where mask [n] is True; 0 if there are none.

    Raises:
      ValueError: if the mask has another shape, with which it would be broadcast to pairs of rows.
      TypeError: if it is not of bools: numbers would weigh the rows and count otherwise.
    """
    values = values.astype(float) if values.dtype == bool else values
    if mask is None:
        return values.mean()
    if jnp.shape(mask) != values.shape:
        checks.fail("mask", f"an array of bools {list(values.shape)}, one a row", f"shape {jnp.shape(mask)}")
    if mask.dtype != bool:
        checks.fail("mask", "an array of bools", mask.dtype, "mask != 0 makes one", TypeError)
    # Half precision ends at 65,504, which a sum passes long before its mean.
    total = jnp.where(mask, values, 0).sum(dtype=jnp.promote_types(values.dtype, jnp.float32))
    mean = total / jnp.maximum(mask.sum(), 1)
    return mean.astype(values.dtype) if jnp.issubdtype(values.dtype, jnp.inexact) else mean


def wide(values: Array) -> Array:
    """The same in float32 where it is half precision, which solvers do not have and long sums do not bear."""
    return values.astype(jnp.promote_types(values.dtype, jnp.float32))


def unit(values: Array) -> Array:
    """The power of two near the largest size along the first axis of values [n, ...], 1 where there is none.

    To divide by it is exact, and squares of what is left neither overflow nor vanish, as those of 1e20 or 1e-25 do.
    """
    largest = jnp.abs(jax.lax.stop_gradient(values)).max(axis=0)
    known = jnp.isfinite(largest) & (largest > 0)
    _, exponent = jnp.frexp(jnp.where(known, largest, 1))
    return jnp.ldexp(jnp.ones_like(largest), exponent - 1)


def direction(values: Array, axis: int = -1) -> Array:
    """Values of length 1 along an axis, of whatever size they are; 0 stays 0, and its gradient is finite."""
    scaled = values / jnp.expand_dims(unit(jnp.moveaxis(values, axis, 0)), axis)
    squares = jnp.square(scaled).sum(axis=axis, keepdims=True)
    return scaled * jnp.where(squares > 0, jax.lax.rsqrt(jnp.where(squares > 0, squares, 1)), 0)


def leading_axis(tree: PyTree) -> int:
    """The size of the first axis, which all leaves must share.

    Raises:
      ValueError: if there is no leaf, a leaf has no axis, or the sizes differ.
    """
    sizes = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(tree)}
    if len(sizes) != 1 or () in sizes:
        raise ValueError(f"expected leaves that share one leading axis, got {sorted(sizes)}")
    return int(sizes.pop()[0])


def check_arrays(what: str, params: PyTree) -> None:
    """Raises TypeError if a leaf is a function or a text, such as the activation of an Equinox module."""
    for path, leaf in jax.tree.leaves_with_path(params):
        if isinstance(leaf, str) or callable(leaf):
            got = leaf if isinstance(leaf, str) else getattr(leaf, "__name__", type(leaf).__name__)
            hint = "give init's arrays alone, as eqx.partition(module, eqx.is_inexact_array)[0] has them"
            checks.fail(what, "leaves of real floats", f"{got} at {jax.tree_util.keystr(path)}", hint, TypeError)


def varying_as(tree: PyTree, *others: PyTree) -> PyTree:
    """The tree, as different between devices as the others are, within a `jax.shard_map` that keeps account of it.

    A gradient with respect to what all devices share is JAX's sum over them: each task's would hold all other tasks'.
    """
    axes = {axis for leaf in jax.tree.leaves((tree, others)) for axis in _varying(leaf)}

    def cast(leaf: Array) -> Array:
        missing = tuple(sorted(axes.difference(_varying(leaf)), key=str))
        return jax.lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(cast, tree) if axes else tree


def mean_over_devices(tree: PyTree, shared: PyTree) -> PyTree:
    """The mean over the devices that differ in the tree and have `shared` in common, within a `jax.shard_map`."""
    common = {axis for leaf in jax.tree.leaves(shared) for axis in _varying(leaf)}

    def mean(leaf: Array) -> Array:
        axes = tuple(sorted(_varying(leaf) - common, key=str))
        return jax.lax.pmean(leaf, axes) if axes else leaf

    return jax.tree.map(mean, tree)


def _varying(leaf: Any) -> frozenset:
    """The axes of a mesh along which an array differs; no axis outside of `jax.shard_map`."""
    kind = jax.typeof(leaf)
    return getattr(getattr(kind, "manual_axis_type", kind), "varying", getattr(kind, "vma", frozenset()))


def norm(tree: PyTree) -> Array:
    """The Euclidean norm of all leaves together; squares of half precision and of small integers are in float32."""
    return jnp.sqrt(sum(jnp.sum(jnp.square(wide(leaf))) for leaf in jax.tree.leaves(tree)))


def all_finite(tree: PyTree) -> Array:
    """Whether no leaf of real numbers holds NaN or infinity."""
    real = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.array([jnp.isfinite(leaf).all() for leaf in real]).all()


def paths(tree: PyTree) -> list[str]:
    """Where each leaf stands, such as "Dense_0/kernel", in the order of the leaves."""
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in jax.tree.leaves_with_path(tree)]


def mask(what: str, tree: PyTree, chosen: Callable[[str], bool] | PyTree) -> PyTree:
    """Marks the leaves that are chosen.

    Args:
      what: names the argument in errors.
      tree: any pytree.
      chosen: (path) -> bool, with paths as `paths` gives them; or a pytree of bools of the tree's structure.

    Returns:
      A pytree of bools of the tree's structure.

    Raises:
      ValueError: if the structures differ or nothing is chosen; it lists the paths that there are.
    """
    structure, names = jax.tree.structure(tree), paths(tree)
    if callable(chosen) and jax.tree.structure(chosen) != structure:  # a module in bools can be called, too
        chosen = structure.unflatten([bool(chosen(name)) for name in names])
    if jax.tree.structure(chosen) != structure:
        checks.fail(
            what, f"a path function, or bools at {', '.join(names)}", f"{', '.join(paths(chosen)) or 'nothing'}"
        )
    if not any(map(bool, jax.tree.leaves(chosen))):
        checks.fail(what, f"at least one of {', '.join(names)}", "none of them")
    return chosen


def split(tree: PyTree, mask: PyTree) -> tuple[PyTree, PyTree]:
    """Two trees, the leaves that mask marks and the others; None stands where a leaf is in the other tree."""
    marked = jax.tree.map(lambda keep, leaf: leaf if keep else None, mask, tree)
    return marked, jax.tree.map(lambda keep, leaf: None if keep else leaf, mask, tree)


def merge(marked: PyTree, rest: PyTree) -> PyTree:
    """Puts together what `split` took apart."""
    return jax.tree.map(lambda a, b: b if a is None else a, marked, rest, is_leaf=lambda leaf: leaf is None)
