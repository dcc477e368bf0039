"""Tasks across two aligned domains: supports of one, queries of the other."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import checks
from jaxmeta.tasks.finite import as_arrays, class_name, class_offsets
from jaxmeta.tasks.sampling import Sample, distinct, gathered, labelled_rows, static
from jaxmeta.types import Array, Batch, Episode, PyTree


def across(support_examples: Any, query_examples: Any, *, num_ways: int, num_shots: int, num_queries: int) -> Sample:
    """N-way K-shot episodes whose support comes from one domain and whose queries come from another.

    The domains have the same classes in the same order, as two styles of "emoji_styles" have, and share no example.

    Args:
      support_examples: class-grouped examples as `datasets.load` returns; the domain that a task shows.
      query_examples: the domain that it asks about.
      num_ways: classes per episode.
      num_shots: support examples per class.
      num_queries: query examples per class.

    Returns:
      sample: key -> Episode; targets [n] are integers, `classes` [n, num_ways] is all True.

    Raises:
      ValueError: if classes or the inputs' form differ, there are fewer classes than ways, or a class has fewer
        examples than are drawn of it.
    """
    num_ways = checks.integer("across: num_ways", num_ways, 2)
    names, others = (_class_names(part) for part in (support_examples, query_examples))
    if names != others:
        pairs = zip(names, others, strict=False)
        odd = next((f"{ours!r} beside {theirs!r}" for ours, theirs in pairs if ours != theirs), None)
        got = odd or f"{len(names)} and {len(others)}"
        checks.fail("across: query_examples", "the classes of support_examples, in their order", got)
    wanted, got = (
        jax.tree.map(lambda leaf: f"{leaf.dtype} {list(leaf.shape[1:])}", part.inputs)
        for part in (support_examples, query_examples)
    )
    if wanted != got:
        checks.fail("across: query_examples", f"inputs like the support's, {wanted}", got, "load both with one form")
    if num_ways > len(names):
        checks.fail("across: num_ways", f"at most the {len(names)} classes there are", num_ways)
    support = _domain("across: num_shots", support_examples, num_shots)
    return _Across(support, _domain("across: num_queries", query_examples, num_queries), num_ways)


def _class_names(examples: Any) -> tuple[str, ...]:
    """Names of the classes, their numbers where they have none."""
    return getattr(examples, "class_names", None) or tuple(map(str, range(len(examples.offsets) - 1)))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class _Domain:
    inputs: PyTree  # [N, ...]
    starts: Array  # [C]
    sizes: Array  # [C]
    count: int = static()

    def draw(self, key: Array, chosen: Array) -> Batch:
        """`count` distinct examples of each of the classes [num_ways]."""
        of_class = jax.vmap(lambda key, size: distinct(key, size, self.count))
        rows = self.starts[chosen][:, None] + of_class(jax.random.split(key, len(chosen)), self.sizes[chosen])
        return labelled_rows(gathered(self.inputs, rows.reshape(-1)), len(chosen), self.count)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class _Across:
    support: _Domain
    query: _Domain
    num_ways: int = static()

    def __call__(self, key: Array) -> Episode:
        class_key, support_key, query_key = jax.random.split(key, 3)
        chosen = distinct(class_key, len(self.support.starts), self.num_ways)
        return Episode(self.support.draw(support_key, chosen), self.query.draw(query_key, chosen))


def _domain(what: str, examples: Any, count: int) -> _Domain:
    count = checks.integer(what, count, 1)
    offsets = class_offsets("across", examples)
    sizes = np.diff(offsets)
    if count > sizes.min():
        smallest, name = class_name(examples, int(sizes.argmin())), getattr(examples, "name", "")
        of = f"{name}'s class" if name else "class"
        checks.fail(what, f"at most {sizes.min()}, the examples of {of} {smallest}", count)
    starts = jnp.asarray(offsets[:-1])
    return _Domain(as_arrays(examples.inputs), starts, jnp.asarray(sizes, jnp.int32), count)
