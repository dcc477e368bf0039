"""Tasks that come with what is known of their classes beside examples, and tasks in two languages."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import checks
from jaxmeta.tasks.finite import as_arrays, few_shot
from jaxmeta.tasks.sampling import Sample, static
from jaxmeta.types import Array, Batch, Episode, PyTree


def with_names(sample: Sample, names: PyTree, *, num_ways: int) -> Sample:
    """Puts a row for each class into the support set, such as the features of its name.

    Args:
      sample: makes episodes whose inputs are {"inputs": [n, ...], "class": [n] integers}, sorted by target, each class
        with as many rows.
      names: [C, ...], of the form of "inputs", the row of each class.
      num_ways: classes per episode.

    Returns:
      sample: key -> Episode whose inputs are what "inputs" was; the last num_ways rows of the support set are names,
      with the targets 0 .. num_ways - 1.
    """
    return _WithNames(sample, as_arrays(names), checks.integer("with_names: num_ways", num_ways, 2))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class _WithNames:
    sample: Sample
    names: PyTree  # [C, ...]
    num_ways: int = static()

    def __call__(self, key: Array) -> Episode:
        support, query = self.sample(key)
        chosen = support.inputs["class"].reshape(self.num_ways, -1)[:, 0]
        rows = jax.tree.map(lambda known, own: jnp.concatenate([own, known[chosen]]), self.names,
                            support.inputs["inputs"])  # fmt: skip
        targets = jnp.concatenate([support.targets, jnp.arange(self.num_ways, dtype=support.targets.dtype)])
        classes = jnp.ones((len(targets), self.num_ways), bool)
        return Episode(Batch(rows, targets, None, classes), query._replace(inputs=query.inputs["inputs"]))


def parallel(support_examples: Any, query_examples: Any, *, num_ways: int, num_shots: int, num_queries: int) -> Sample:
    """Episodes whose support set is of one domain and whose queries are of another that has the same examples.

    Such as sentences and their translations: row for row the two show the same thing, and what a task shows it does
    not ask about.

    Args:
      support_examples: class-grouped examples as `datasets.load` returns; the domain that a task shows.
      query_examples: the domain that it asks about, with the same examples in the same order.
      num_ways: classes per episode.
      num_shots: support examples per class.
      num_queries: query examples per class.

    Returns:
      sample: key -> Episode; targets [n] are integers, `classes` [n, num_ways] is all True.

    Raises:
      ValueError: if the domains differ in classes or sizes, or in the ids of their examples, where they have some.
    """
    parts = support_examples, query_examples
    offsets = [np.asarray(part.offsets).tolist() for part in parts]
    ids = [getattr(part, "ids", None) for part in parts]
    same = None in [None if each is None else 0 for each in ids] or np.array_equal(*ids)  # type: ignore[arg-type]
    if offsets[0] != offsets[1] or not same:
        got = "others" if offsets[0] == offsets[1] else f"{offsets[0][-1]} and {offsets[1][-1]} in other classes"
        checks.fail("parallel: query_examples", "the examples of support_examples, in their order", got)
    both = support_examples._replace(inputs={"support": support_examples.inputs, "query": query_examples.inputs})
    options = {"num_ways": num_ways, "num_shots": num_shots, "num_queries": num_queries}
    return _Parallel(few_shot(both, **options))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class _Parallel:
    sample: Sample

    def __call__(self, key: Array) -> Episode:
        support, query = self.sample(key)
        return Episode(support._replace(inputs=support.inputs["support"]), query._replace(inputs=query.inputs["query"]))


def aligned(ours: Any, theirs: Any) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two sets with the same classes, in their order, that are one example each: of one class and one id.

    Returns:
      Two arrays of as many indices, in the order of the classes; an id that comes again is left out.
    """
    found = []
    for part in (ours, theirs):
        labels = np.repeat(np.arange(len(part.offsets) - 1), np.diff(part.offsets))
        keys: dict[tuple[int, str], int] = {}
        for row, key in enumerate(zip(labels.tolist(), part.ids.tolist(), strict=True)):
            keys.setdefault(key, row)
        found.append(keys)
    common = sorted(found[0].keys() & found[1].keys())
    return tuple(np.array([keys[key] for key in common], int) for keys in found)  # type: ignore[return-value]
