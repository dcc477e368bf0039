"""Episodes of data that stay on the host: larger than a device's memory, or than the machine's."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from jaxmeta import checks, tree
from jaxmeta.tasks.finite import few_shot
from jaxmeta.tasks.sampling import Sample, as_floats, as_pytree, check_stream, episodes, on_batches
from jaxmeta.types import Array, Batch, Episode, PyTree


class _Host:
    """Arrays [N, ...] on the host, in memory or on the disk; two are the same if they are one."""

    def __init__(self, inputs: PyTree):
        self.inputs = inputs

    def take(self, rows: Any) -> PyTree:
        """The given rows, whatever their axes."""
        rows = np.asarray(rows)
        flat, order = np.unique(rows, return_inverse=True)  # in the order of the disk, each once
        return jax.tree.map(lambda leaf: np.asarray(leaf[flat])[order.reshape(rows.shape)], self.inputs)

    def shapes(self, rows: Array) -> PyTree:
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((*rows.shape, *leaf.shape[1:]), leaf.dtype), self.inputs)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class _Streamed:
    rows: Any  # a sampler whose inputs are row numbers
    host: Any = dataclasses.field(metadata={"static": True})  # _Host

    def __call__(self, key: Array) -> Episode:
        def fetched(batch: Batch) -> Batch:
            # Where a program asks, it calls back; `drawn` and `training.streamed_updates` need no such call.
            found = jax.pure_callback(
                self.host.take, self.host.shapes(batch.inputs), batch.inputs, vmap_method="broadcast_all"
            )
            return batch._replace(inputs=jax.tree.map(as_floats, found))

        return on_batches(fetched, self.rows(key))


def streamed(examples: Any, *, num_ways: int, num_shots: int, num_queries: int) -> Sample:
    """`few_shot` over data that stay where they are: the same episodes to the bit.

    Rows are chosen on the device and fetched by the host. `tasks.drawn` and `training.streamed_updates` fetch them
    ahead of the program that takes them; within a program of your own they are fetched by a callback.

    Args:
      examples: as for `few_shot`; inputs are NumPy arrays, such as `np.load(path, mmap_mode="r")` returns.
      num_ways: classes per episode.
      num_shots: support examples per class.
      num_queries: query examples per class.

    Returns:
      sample: key -> Episode, which all transformations take, but `mixture` does not.

    Raises:
      ValueError: as `few_shot`.

    Example:
      >>> import jax, jax.numpy as jnp, numpy as np
      >>> from jaxmeta import datasets, tasks
      >>> pictures, labels = np.zeros((40, 8, 8, 1), np.uint8), np.arange(40) // 10
      >>> sizes = {"num_ways": 3, "num_shots": 1, "num_queries": 2}
      >>> sample = tasks.streamed(datasets.from_labels(pictures, labels, name="mine"), **sizes)
      >>> tasks.drawn(sample, jax.random.key(0), jnp.arange(5)).query.inputs.shape
      (5, 6, 8, 8, 1)
    """
    inputs = examples.inputs
    for leaf in jax.tree.leaves(inputs):
        if not isinstance(leaf, np.ndarray):
            checks.fail("streamed: examples", "inputs that are NumPy arrays", type(leaf).__name__, error=TypeError)
    numbered = _Rows(np.arange(tree.leading_axis(inputs), dtype=np.int32), examples)
    rows = few_shot(numbered, num_ways=num_ways, num_shots=num_shots, num_queries=num_queries)
    return _Streamed(rows, _Host(inputs))


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Examples whose inputs are their row numbers."""

    inputs: np.ndarray
    examples: Any

    @property
    def offsets(self) -> Any:
        return self.examples.offsets

    @property
    def class_names(self) -> Any:
        return getattr(self.examples, "class_names", None)


def _is_base(node: Any) -> bool:
    return isinstance(node, _Streamed)


def bases(sample: Sample) -> list[_Streamed]:
    """The samplers over data on the host that a sampler is made of."""
    return [node for node in jax.tree.leaves(as_pytree(sample), is_leaf=_is_base) if _is_base(node)]


def is_streamed(sample: Sample) -> bool:
    """Whether a sampler's data are on the host."""
    return bool(bases(sample))


def drawn(sample: Sample, key: Array, indices: Array) -> Episode:
    """`episodes` outside of `jit`: in one program that takes the data as an argument, or from data on the host.

    What it compiles is kept for a sampler as it is then, and of a plain function for the function: make a new one
    rather than change an attribute of one that was used.
    """
    check_stream("drawn", key, indices)
    sample, found = as_pytree(sample), bases(sample)
    if not found:
        return _drawn(sample, key, indices)
    rows = _row_numbers(sample, key, indices)
    given = on_batches(lambda batch: batch._replace(inputs=found[0].host.take(batch.inputs)), rows)
    return _finished(sample, given, key, indices)


_drawn = jax.jit(episodes)


@jax.jit
def _row_numbers(sample: Sample, key: Array, indices: Array) -> Episode:
    def one(index: Array) -> Episode:
        caught: list[Episode] = []

        def catch(key: Array) -> Episode:
            (base,) = bases(sample)
            caught.append(base.rows(key))
            return base(key)

        _with_base(sample, catch)(jax.random.fold_in(key, index))
        return caught[0]

    return jax.vmap(one)(indices)


@jax.jit
def _finished(sample: Sample, given: Episode, key: Array, indices: Array) -> Episode:
    def one(index: Array, episode: Episode) -> Episode:
        floats = on_batches(lambda batch: batch._replace(inputs=jax.tree.map(as_floats, batch.inputs)), episode)
        return _with_base(sample, lambda key: floats)(jax.random.fold_in(key, index))

    return jax.vmap(one)(indices, given)


def _with_base(sample: Sample, base: Any) -> Any:
    """The sampler with another one in the place of that over data on the host."""
    return jax.tree.map(lambda node: base if _is_base(node) else node, sample, is_leaf=_is_base)
