"""Tasks across two aligned domains: supports of one, queries of the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import checks
from jaxmeta.tasks.finite import as_floats, labelled_rows, on_device
from jaxmeta.tasks.sampling import Sample, distinct
from jaxmeta.types import Array, Batch, Episode


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
    names = support_examples.class_names
    if names != query_examples.class_names:
        pairs = zip(names, query_examples.class_names, strict=False)
        odd = next((f"{ours!r} beside {theirs!r}" for ours, theirs in pairs if ours != theirs), None)
        got = odd or f"{len(names)} and {len(query_examples.class_names)}"
        checks.fail("across: query_examples", "the classes of support_examples, in their order", got)
    forms = [(part.inputs.shape[1:], part.inputs.dtype) for part in (support_examples, query_examples)]
    if forms[0] != forms[1]:
        wanted, got = (f"{dtype} {list(shape)}" for shape, dtype in forms)
        checks.fail("across: query_examples", f"inputs like the support's, {wanted}", got, "load both with one form")
    if num_ways > len(names):
        checks.fail("across: num_ways", f"at most the {len(names)} classes there are", num_ways)
    draw_support = _drawing("across: num_shots", support_examples, num_shots)
    draw_query = _drawing("across: num_queries", query_examples, num_queries)

    def sample(key: Array) -> Episode:
        class_key, support_key, query_key = jax.random.split(key, 3)
        chosen = distinct(class_key, len(names), num_ways)
        return Episode(draw_support(support_key, chosen), draw_query(query_key, chosen))

    return sample


def _drawing(what: str, examples: Any, count: int) -> Callable[[Array, Array], Batch]:
    """Returns (key, classes [num_ways]) -> Batch of `count` distinct examples of each."""
    count = checks.integer(what, count, 1)
    sizes = np.diff(examples.offsets)
    if count > sizes.min():
        smallest = examples.class_names[int(sizes.argmin())]
        checks.fail(what, f"at most {sizes.min()}, the examples of {examples.name}'s class {smallest!r}", count)
    inputs, starts = on_device(f"across: {examples.name}", examples), jnp.asarray(examples.offsets[:-1])
    sizes = jnp.asarray(sizes, jnp.int32)

    def draw(key: Array, chosen: Array) -> Batch:
        of_class = jax.vmap(lambda key, size: distinct(key, size, count))
        rows = starts[chosen][:, None] + of_class(jax.random.split(key, len(chosen)), sizes[chosen])
        return labelled_rows(as_floats(inputs[rows.reshape(-1)]), len(chosen), count)

    return draw
