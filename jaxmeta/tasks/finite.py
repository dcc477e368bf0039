"""Tasks from arrays: class-grouped examples, and a user's own list of tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import checks
from jaxmeta.tasks.sampling import Sample, distinct
from jaxmeta.types import Array, Batch, Episode


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
      ValueError: if there are fewer classes than ways, or a class with fewer examples than shots + queries.
    """
    num_classes = len(examples.offsets) - 1
    sizes = np.diff(examples.offsets)
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
            f"at most {sizes.min()}, the examples of class {examples.class_names[smallest]!r}",
            f"{num_shots} + {num_queries} = {count}",
        )
    inputs, starts = on_device("few_shot: examples", examples), jnp.asarray(examples.offsets[:-1])
    sizes = jnp.asarray(sizes, jnp.int32)

    def sample(key: Array) -> Episode:
        class_key, example_key = jax.random.split(key)
        chosen = distinct(class_key, num_classes, num_ways)
        draw = jax.vmap(lambda key, size: distinct(key, size, count))
        rows = starts[chosen][:, None] + draw(jax.random.split(example_key, num_ways), sizes[chosen])
        return Episode(batch(rows[:, :num_shots]), batch(rows[:, num_shots:]))

    def batch(rows: Array) -> Batch:
        return labelled_rows(as_floats(inputs[rows.reshape(-1)]), num_ways, rows.shape[1])

    return sample


def labelled_batches(examples: Any, *, batch_size: int) -> Sample:
    """Batches of labelled examples of all classes, for supervised pre-training.

    Args:
      examples: has `inputs` [N, ...] sorted by class and `offsets` [C + 1], as `datasets.load` returns.
      batch_size: distinct examples in a batch, at most N.

    Returns:
      sample: key -> Episode((), Batch); targets [batch_size] are integers in [0, C), every example equally likely.

    Raises:
      ValueError: if there are fewer examples than batch_size.
    """
    total = len(examples.inputs)
    batch_size = checks.integer("labelled_batches: batch_size", batch_size, 1, total)
    inputs = on_device("labelled_batches: examples", examples)
    targets = jnp.asarray(np.repeat(np.arange(len(examples.offsets) - 1), np.diff(examples.offsets)), jnp.int32)

    def sample(key: Array) -> Episode:
        rows = distinct(key, total, batch_size)
        return Episode((), Batch(as_floats(inputs[rows]), targets[rows]))

    return sample


def on_device(what: str, examples: Any) -> Array:
    """The inputs of examples as an array of JAX, which has none of texts: those raise ValueError."""
    if np.dtype(getattr(examples.inputs, "dtype", float)).kind in "USO":
        checks.fail(what, "numbers", "texts", "bring them to token ids or embeddings first")
    return jnp.asarray(examples.inputs)


def as_floats(inputs: Array) -> Array:
    """Pictures stored as uint8 as floats of JAX's default in [0, 1]; all else as it is."""
    return inputs.astype(float) / 255 if inputs.dtype == jnp.uint8 else inputs


def labelled_rows(inputs: Any, num_ways: int, per_class: int) -> Batch:
    """A Batch of rows sorted by class, `per_class` of each; every class is present."""
    targets = jnp.repeat(jnp.arange(num_ways, dtype=jnp.int32), per_class)
    return Batch(inputs, targets, classes=jnp.ones((num_ways * per_class, num_ways), bool))


def from_arrays(tasks: Any, *, num_shots: int, num_queries: int) -> Sample:
    """Episodes of a finite list of tasks that a user has as arrays.

    Args:
      tasks: a list of (inputs [n_i, ...], targets [n_i, ...]), whose sizes n_i may differ; or one pair of stacked
        arrays, inputs [num_tasks, n, ...] and targets [num_tasks, n, ...].
      num_shots: support examples per task.
      num_queries: query examples per task; support and query share none.

    Returns:
      sample: key -> Episode of one task drawn at random.

    Raises:
      ValueError: if shapes do not fit, or a task has fewer examples than shots + queries.

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
    sizes = np.array([len(inputs) for inputs, _ in pairs], np.int32)
    for index, (inputs, targets) in enumerate(pairs):
        first = pairs[0]
        if (
            len(inputs) != len(targets)
            or inputs.shape[1:] != first[0].shape[1:]
            or targets.shape[1:] != first[1].shape[1:]
        ):
            checks.fail(
                f"from_arrays: task {index}",
                f"inputs [n, {first[0].shape[1:]}] and targets [n, {first[1].shape[1:]}] like the first task's",
                f"shapes {inputs.shape} and {targets.shape}",
            )
        if len(inputs) < count:
            checks.fail(f"from_arrays: task {index}", f"at least {num_shots} + {num_queries} examples", len(inputs))
    starts = jnp.asarray(np.concatenate([[0], np.cumsum(sizes)[:-1]]), jnp.int32)
    all_inputs = jnp.asarray(np.concatenate([inputs for inputs, _ in pairs]))
    all_targets = jnp.asarray(np.concatenate([targets for _, targets in pairs]))
    sizes = jnp.asarray(sizes)

    def sample(key: Array) -> Episode:
        task_key, example_key = jax.random.split(key)
        task = jax.random.randint(task_key, (), 0, len(pairs))
        rows = starts[task] + distinct(example_key, sizes[task], count)
        batch = Batch(all_inputs[rows], all_targets[rows])
        return Episode(
            *(
                jax.tree.map(lambda leaf, part=part: leaf[part], batch)
                for part in (slice(num_shots), slice(num_shots, None))
            )
        )

    return sample


def _pairs(tasks: Any) -> Sequence[tuple[np.ndarray, np.ndarray]]:
    stacked = len(tasks) == 2 and all(hasattr(part, "ndim") for part in tasks)
    pairs = list(zip(*tasks, strict=True)) if stacked else list(tasks)
    if not pairs or any(len(pair) != 2 for pair in pairs):
        checks.fail("from_arrays: tasks", "pairs (inputs, targets), one a task", f"{len(pairs)} of another form")
    return [(np.asarray(inputs), np.asarray(targets)) for inputs, targets in pairs]
