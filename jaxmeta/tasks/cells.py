"""Tables as people have them: missing cells and categories become numbers by what the support set shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.tasks.sampling import Sample, as_pytree, on_batches, static
from jaxmeta.types import CATEGORY, NUMBER, Array, Batch, Episode

BINARY = 2  # categories that one column holds


def cells(sample: Sample, num_categories: Sequence[int], num_columns: int) -> Sample:
    """Tables as networks that read cells take them: each with its value, whether it is there, and what its column is.

    Nothing is filled in and nothing is scaled: that a cell is missing is something to be learned from.

    Args:
      sample: its inputs are floats [n, d], NaN where a cell is missing; a category is its number.
      num_categories: for each of the d columns how many categories it has, 0 for numbers.
      num_columns: the columns to come to; those that a table does not have are all 0.

    Returns:
      sample whose inputs are finite floats [n, num_columns, 3]: the value or the number of the category, 0 where it is
      missing; 1 where it is there, else 0; `NUMBER` or `CATEGORY`, 0 in a column of padding.

    Raises:
      ValueError: if there are more columns than num_columns, or, when first sampled, the inputs have others.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxmeta import Batch, Episode, tasks
      >>> batch = Batch(jnp.array([[1.5, jnp.nan]]), jnp.array([0]))
      >>> made = tasks.cells(lambda key: Episode(batch, batch), [0, 3], 3)(jax.random.key(0))
      >>> made.support.inputs[0].tolist()
      [[1.5, 1.0, 1.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]]
    """
    sizes = tuple(checks.integer("cells: num_categories", size, 0) for size in num_categories)
    num_columns = checks.integer("cells: num_columns", num_columns, 1)
    if len(sizes) > num_columns:
        checks.fail("cells", f"at most {num_columns} columns", len(sizes))
    return _Cells(as_pytree(sample), sizes, num_columns)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class _Cells:
    sample: Any
    num_categories: tuple[int, ...] = static()
    num_columns: int = static()

    def __call__(self, key: Array) -> Episode:
        return on_batches(self._taken, self.sample(key))

    def _taken(self, batch: Batch) -> Batch:
        inputs, width = batch.inputs, len(self.num_categories)
        if inputs.ndim != 2 or inputs.shape[1] != width:
            checks.fail("cells", f"inputs [n, {width}]", f"shape {inputs.shape}")
        there = ~jnp.isnan(inputs)
        kinds = jnp.array([CATEGORY if size else NUMBER for size in self.num_categories], inputs.dtype)
        parts = (jnp.where(there, inputs, 0), there.astype(inputs.dtype), jnp.broadcast_to(kinds[None], inputs.shape))
        missing = self.num_columns - width
        return batch._replace(inputs=jnp.pad(jnp.stack(parts, axis=-1), ((0, 0), (0, missing), (0, 0))))


def encoded(sample: Sample, num_categories: Sequence[int]) -> Sample:
    """Gives every category a column of 0 and 1, and every missing cell the mean that its column has in the support set.

    Nothing is taken from the query set: a category that the support set does not show is missing in a query, and so is
    the whole of a column without any value there, which becomes 0.

    Args:
      sample: its inputs are floats [n, d], NaN where a cell is missing; a category is its number.
      num_categories: for each of the d columns how many categories it has, 0 for numbers. One of two keeps its column.

    Returns:
      sample whose inputs are [n, width(num_categories)] finite floats.

    Raises:
      ValueError: if the inputs have other columns, when first sampled.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxmeta import Batch, Episode, tasks
      >>> support = Batch(jnp.array([[1.0, 0.0], [jnp.nan, 2.0], [3.0, 2.0]]), jnp.array([0, 1, 1]))
      >>> query = Batch(jnp.array([[5.0, 1.0]]), jnp.array([0]))
      >>> made = tasks.encoded(lambda key: Episode(support, query), [0, 3])(jax.random.key(0))
      >>> made.support.inputs[1].tolist()
      [2.0, 0.0, 0.0, 1.0]
      >>> [f"{value:.2f}" for value in made.query.inputs[0]]
      ['5.00', '0.33', '0.00', '0.67']
    """
    sizes = tuple(checks.integer("encoded: num_categories", size, 0) for size in num_categories)
    return _Encoded(as_pytree(sample), sizes)


def width(num_categories: Sequence[int]) -> int:
    """The columns that `encoded` gives."""
    return sum(1 if size <= BINARY else size for size in num_categories)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class _Encoded:
    sample: Any
    num_categories: tuple[int, ...] = static()

    def __call__(self, key: Array) -> Episode:
        episode = self.sample(key)
        support = episode.support
        if support.inputs.ndim != 2 or support.inputs.shape[1] != len(self.num_categories):
            checks.fail("encoded", f"inputs [n, {len(self.num_categories)}]", f"shape {support.inputs.shape}")
        real = jnp.ones(len(support.inputs), bool) if support.mask is None else support.mask
        known = [self._known(support.inputs[:, column], real, size) for column, size in enumerate(self.num_categories)]
        means = _means(self._wide(support.inputs, known), real)

        def complete(batch: Batch) -> Batch:
            wide = self._wide(batch.inputs, known)
            return batch._replace(inputs=jnp.where(jnp.isnan(wide), means[None], wide))

        return on_batches(complete, episode)

    def _known(self, cells: Array, real: Array, size: int) -> Array:
        """Which categories of a column the support set shows [size]."""
        return ((cells[:, None] == jnp.arange(size)[None]) & real[:, None]).any(axis=0)

    def _wide(self, inputs: Array, known: list[Array]) -> Array:
        """Inputs [n, d] as [n, width] with NaN for what is missing."""
        columns = []
        for column, size in enumerate(self.num_categories):
            cells = inputs[:, column]
            if size:
                index = jnp.nan_to_num(cells).astype(jnp.int32)
                cells = jnp.where(jnp.isnan(cells) | ~known[column][index], jnp.nan, cells)
            if size <= BINARY:
                columns.append(cells[:, None])
                continue
            ones = jax.nn.one_hot(index, size, dtype=inputs.dtype)
            columns.append(jnp.where(jnp.isnan(cells)[:, None], jnp.nan, ones))
        return jnp.concatenate(columns, axis=1)


def _means(wide: Array, real: Array) -> Array:
    """The mean of what is there in each column of the real rows, 0 where nothing is."""
    there = ~jnp.isnan(wide) & real[:, None]
    return jnp.where(there, wide, 0).sum(axis=0) / jnp.maximum(there.sum(axis=0), 1)
