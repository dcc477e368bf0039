"""Tasks from arrays: class-grouped examples, and a user's own list of tasks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxmeta import checks, floats, labels, tree
from jaxmeta.tasks.sampling import Sample, distinct, gathered, labelled_rows, static
from jaxmeta.types import Array, Batch, Episode, PyTree


def few_shot(examples: Any, *, num_ways: int, num_shots: int, num_queries: int) -> Sample:
    """N-way K-shot episodes of class-grouped examples, drawn on the device.

    Classes and examples are distinct, the labels 0 .. num_ways - 1 are dealt at random in every episode, support and
    query share no example. Pictures stored as uint8 come out as floats in [0, 1].

    Args:
      examples: has `inputs` [N, ...] sorted by class and `offsets` [C + 1], as `datasets.load` returns; classes may
        differ in size.
      num_ways: classes per episode.
      num_shots: support examples per class.
      num_queries: query examples per class.

    Returns:
      sample: key -> Episode; targets [n] are integers, `classes` [n, num_ways] is all True.

    Raises:
      ValueError: if there are fewer classes than ways, a class with fewer examples than shots + queries, or numbers of
        64 bits that would become others in JAX's 32.
    """
    offsets = class_offsets("few_shot", examples)
    num_classes, sizes = len(offsets) - 1, np.diff(offsets)
    num_ways = checks.integer("few_shot: num_ways", num_ways, 2)
    num_shots = checks.integer("few_shot: num_shots", num_shots, 1)
    num_queries = checks.integer("few_shot: num_queries", num_queries, 1)
    if num_ways > num_classes:
        checks.fail("few_shot: num_ways", f"at most the {num_classes} classes there are", num_ways)
    count = num_shots + num_queries
    if count > sizes.min():
        smallest = int(sizes.argmin())
        checks.fail(
            "few_shot: num_shots + num_queries",
            f"at most {sizes.min()}, the examples of class {class_name(examples, smallest)}",
            f"{num_shots} + {num_queries} = {count}",
        )
    sizes = jnp.asarray(sizes, jnp.int32)
    return _FewShot(as_arrays(examples.inputs), jnp.asarray(offsets[:-1]), sizes, num_ways, num_shots, count)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class _FewShot:
    inputs: PyTree  # [N, ...]
    starts: Array  # [C]
    sizes: Array  # [C]
    num_ways: int = static()
    num_shots: int = static()
    count: int = static()  # shots and queries

    def __call__(self, key: Array) -> Episode:
        class_key, example_key = jax.random.split(key)
        chosen = distinct(class_key, len(self.starts), self.num_ways)
        draw = jax.vmap(lambda key, size: distinct(key, size, self.count))
        rows = self.starts[chosen][:, None] + draw(jax.random.split(example_key, self.num_ways), self.sizes[chosen])
        return Episode(self._batch(rows[:, : self.num_shots]), self._batch(rows[:, self.num_shots :]))

    def _batch(self, rows: Array) -> Batch:
        return labelled_rows(gathered(self.inputs, rows.reshape(-1)), self.num_ways, rows.shape[1])


def as_arrays(inputs: Any) -> PyTree:
    """Inputs [N, ...], one array or a pytree of them, on the device.

    Raises:
      ValueError: if there are texts, which JAX does not have, pictures on another scale than [0, 1] or uint8, or
        numbers of 64 bits that would become others.
    """
    for leaf in jax.tree.leaves(inputs):
        if isinstance(leaf, str) or np.dtype(getattr(leaf, "dtype", float)).kind in "USO":
            checks.fail("examples", "numbers", "texts", "bring them to token ids or embeddings first")
        if not isinstance(leaf, Tracer):
            checks.picture_scale("examples", leaf)
        floats.check_held("examples", leaf)
    return jax.tree.map(jnp.asarray, inputs)


def class_offsets(what: str, examples: Any) -> np.ndarray:
    """Where the classes of examples begin and end [C + 1].

    Raises:
      ValueError: if these are not all of the examples.
      TypeError: if examples are something else, such as a pair of arrays.
    """
    if not (hasattr(examples, "inputs") and hasattr(examples, "offsets")):
        wanted, hint = "examples with inputs and offsets", "datasets.from_labels(inputs, labels, name=..) makes them"
        checks.fail(f"{what}: examples", wanted, type(examples).__name__, hint, TypeError)
    offsets, total = np.asarray(examples.offsets, np.int32), tree.leading_axis(examples.inputs)
    if offsets.ndim != 1 or len(offsets) < 2 or offsets[0] or offsets[-1] != total or (np.diff(offsets) < 1).any():
        wanted = f"rising numbers [C + 1] from 0 to {total}, the examples"
        checks.fail(f"{what}: offsets", wanted, offsets.tolist())
    return offsets


def class_name(examples: Any, index: int) -> str:
    """What a class is called, as far as the examples say."""
    names = getattr(examples, "class_names", None)
    return repr(names[index]) if names is not None else str(index)


def labelled_batches(examples: Any, *, batch_size: int, parts: Sequence[int] | None = None) -> Sample:
    """Batches of labelled examples of all classes, for supervised pre-training.

    Args:
      examples: has `inputs` [N, ...] sorted by class and `offsets` [C + 1], as `datasets.load` returns.
      batch_size: distinct examples in a batch, at most N.
      parts: the sizes of consecutive parts of the examples, such as domains, of which a batch has equally many (the
        first ones one more where batch_size is not divisible); None: one part.

    Returns:
      sample: key -> Episode((), Batch); targets [batch_size] are integers in [0, C), every example of a part equally
        likely.

    Raises:
      ValueError: if there are fewer examples than are drawn, or the parts are not the whole.
    """
    offsets = class_offsets("labelled_batches", examples)
    total = int(offsets[-1])
    batch_size = checks.integer("labelled_batches: batch_size", batch_size, 1, total)
    sizes = [total] if parts is None else [checks.integer("labelled_batches: parts", size, 1) for size in parts]
    if sum(sizes) != total:
        checks.fail("labelled_batches: parts", f"the {total} examples in all", sum(sizes))
    counts = [batch_size // len(sizes) + (index < batch_size % len(sizes)) for index in range(len(sizes))]
    for size, count in zip(sizes, counts, strict=True):
        if count > size:
            checks.fail(
                "labelled_batches: batch_size", f"at most {size * len(sizes)}, for the smallest part", batch_size
            )
    targets = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    drawn = tuple(zip(sizes, counts, strict=True))
    return _LabelledBatches(as_arrays(examples.inputs), jnp.asarray(targets, jnp.int32), drawn)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class _LabelledBatches:
    inputs: PyTree  # [N, ...]
    targets: Array  # [N]
    parts: tuple[tuple[int, int], ...] = static()  # of each part its size, and how many are drawn of it

    def __call__(self, key: Array) -> Episode:
        keys = [key] if len(self.parts) == 1 else jax.random.split(key, len(self.parts))
        starts = np.cumsum([0, *(size for size, _ in self.parts)])
        rows = jnp.concatenate(
            [start + distinct(own, *part) for start, own, part in zip(starts, keys, self.parts, strict=False)]
        )
        return Episode((), Batch(gathered(self.inputs, rows), self.targets[rows]))


def from_arrays(tasks: Any, *, num_shots: int, num_queries: int, num_ways: int | None = None) -> Sample:
    """Episodes of a finite list of tasks that a user has as arrays. Pictures stored as uint8 come out in [0, 1].

    Args:
      tasks: a list of (inputs [n_i, ...], targets [n_i, ...]), whose sizes n_i may differ; or one pair of stacked
        arrays, inputs [num_tasks, n, ...] and targets [num_tasks, n, ...]. Integers [n] are labels; the values of a
        regression are floats.
      num_shots: support examples per task.
      num_queries: query examples per task; support and query share none.
      num_ways: the labels are 0 .. num_ways - 1; None: as many as there are different ones in all tasks.

    Returns:
      sample: key -> Episode of one task drawn at random.

    Raises:
      ValueError: if shapes do not fit, a task has fewer examples than shots + queries, labels are not 0 ..
        num_ways - 1, or numbers of 64 bits would become others in JAX's 32.

    Example:
      >>> import jax, numpy as np
      >>> from jaxmeta import tasks
      >>> x, y = np.zeros((3, 12, 2), np.float32), np.ones((3, 12, 1), np.float32)
      >>> episode = tasks.from_arrays((x, y), num_shots=5, num_queries=4)(jax.random.key(0))
      >>> episode.support.inputs.shape, episode.query.targets.shape
      ((5, 2), (4, 1))
    """
    count = checks.integer("from_arrays: num_shots", num_shots, 1) + checks.integer(
        "from_arrays: num_queries", num_queries, 1
    )
    pairs = _pairs(tasks)
    sizes = np.array([tree.leading_axis(inputs) for inputs, _ in pairs], np.int32)
    for index, (inputs, targets) in enumerate(pairs):
        got, like = _forms(inputs, targets), _forms(*pairs[0])
        if got != like or tree.leading_axis(targets) != sizes[index]:
            shapes = " and ".join(str(jax.tree.map(np.shape, part)) for part in (inputs, targets))
            wanted = f"inputs [n, {like[0]}] and targets [n, {like[1]}] like the first task's"
            checks.fail(f"from_arrays: task {index}", wanted, f"shapes {shapes}")
        if sizes[index] < count:
            wanted = f"at least {num_shots} + {num_queries} examples"
            checks.fail(f"from_arrays: task {index}", wanted, int(sizes[index]))
        for leaf in jax.tree.leaves(inputs):
            checks.picture_scale(f"from_arrays: task {index}, inputs", leaf)
    _check_labels([targets for _, targets in pairs], num_ways)
    starts = jnp.asarray(np.concatenate([[0], np.cumsum(sizes)[:-1]]), jnp.int32)
    examples = jax.tree.map(lambda *leaves: np.concatenate(leaves), *pairs)
    for name, part in zip(("inputs", "targets"), examples, strict=True):
        for leaf in jax.tree.leaves(part):
            floats.check_held(f"from_arrays: {name}", leaf)
    return _FromArrays(Batch(*jax.tree.map(jnp.asarray, examples)), starts, jnp.asarray(sizes), num_shots, count)


def _check_labels(targets: Sequence[Any], num_ways: int | None) -> None:
    if num_ways is not None:
        num_ways = checks.integer("from_arrays: num_ways", num_ways, 2)
    elif not all(isinstance(each, np.ndarray) and each.ndim == 1 and each.dtype.kind in "iu" for each in targets):
        return
    for index, each in enumerate(targets):
        labels.check_form(f"from_arrays: targets of task {index}", each, len(each))
    together = np.concatenate(targets)
    hint = "" if num_ways else ", num_ways= says how many there are if some are missing"
    labels.judge("from_arrays: targets", together, None, num_ways or len(np.unique(together)), labels.RELABEL + hint)


def _forms(*parts: Any) -> tuple[Any, ...]:
    """The shape of one example in each part."""
    forms = (jax.tree.map(lambda leaf: leaf.shape[1:], part) for part in parts)
    return tuple(form if isinstance(form, tuple) else str(form) for form in forms)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class _FromArrays:
    examples: Batch  # [N, ...] of all tasks
    starts: Array  # [num_tasks]
    sizes: Array  # [num_tasks]
    num_shots: int = static()
    count: int = static()  # shots and queries

    def __call__(self, key: Array) -> Episode:
        task_key, example_key = jax.random.split(key)
        task = jax.random.randint(task_key, (), 0, len(self.starts))
        rows = self.starts[task] + distinct(example_key, self.sizes[task], self.count)
        parts = rows[: self.num_shots], rows[self.num_shots :]
        inputs, targets = self.examples.inputs, self.examples.targets
        chosen = lambda part: jax.tree.map(lambda leaf: leaf[part], targets)  # noqa: E731
        return Episode(*(Batch(gathered(inputs, part), chosen(part)) for part in parts))


def _pairs(tasks: Any) -> Sequence[tuple[Any, Any]]:
    if not isinstance(tasks, Iterable):
        checks.fail("from_arrays: tasks", "pairs (inputs, targets), one a task", type(tasks).__name__, error=TypeError)
    tasks = tasks if isinstance(tasks, Sequence | Mapping | np.ndarray | jax.Array) else list(tasks)
    stacked = len(tasks) == 2 and all(all(hasattr(leaf, "ndim") for leaf in jax.tree.leaves(part)) for part in tasks)
    stacked = stacked and not any(isinstance(part, tuple | list) for part in tasks)
    if stacked:
        count = tree.leading_axis(tasks)
        pairs = [jax.tree.map(lambda leaf, index=index: leaf[index], tuple(tasks)) for index in range(count)]
    else:
        pairs = list(tasks)
    if len(pairs) == 2 and all(isinstance(pair, list) for pair in pairs) and _is_alike([*pairs[0], *pairs[1]]):
        # ([x, x], [y, y]) reads like [[x, y], [x, y]] where x and y look alike, and is another thing.
        hint = "list(zip(inputs, targets)) makes tuples"
        checks.fail("from_arrays: tasks", "a tuple (inputs, targets) for each task", "two lists of arrays alike", hint)
    if not pairs or not all(map(_is_pair, pairs)):
        checks.fail("from_arrays: tasks", "pairs (inputs, targets), one a task", f"{len(pairs)} of another form")
    return [(_arrays(inputs), _arrays(targets)) for inputs, targets in pairs]


def _is_alike(parts: list[Any]) -> bool:
    return len({str(_forms(_arrays(part))) for part in parts}) == 1


def _is_pair(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str | Mapping) and len(value) == 2


def _arrays(part: Any) -> Any:
    """One array, also of nested lists, or a dict of arrays."""
    try:
        arrays = np.asarray(part) if isinstance(part, list | tuple) else jax.tree.map(np.asarray, part)
    except ValueError:
        checks.fail("from_arrays", "arrays [n, ...]", "nested lists of several lengths")
    for leaf in jax.tree.leaves(arrays):
        if leaf.dtype.kind in "USO":
            checks.fail("from_arrays", "numbers", "texts", "bring them to token ids or embeddings first")
    return arrays
