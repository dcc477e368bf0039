"""Episodes whose ways and shots vary, padded to one shape."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import checks
from jaxmeta.tasks.finite import as_arrays, class_name, class_offsets
from jaxmeta.tasks.sampling import Sample, distinct, gathered, static
from jaxmeta.types import Array, Batch, Episode, PyTree


def variable(
    examples: Any,
    *,
    max_ways: int = 50,
    max_shots: int = 100,
    num_queries: int = 10,
    min_ways: int = 5,
    max_support: int = 500,
) -> Sample:
    """Episodes of varying ways and imbalanced shots, by Meta-Dataset's rules; the defaults are its numbers.

    The ways are uniform. All classes have as many queries, at most half of the smallest class. The size of the
    support set is a random share of what there is, dealt to the classes by their sizes times exp(u), u uniform in
    +-log 2, at least one each. Classes and examples are distinct, support and query share no example.

    Shapes depend on the parameters alone, so domains can be mixed: `mask` hides the rows that an episode does not
    have, and `classes` says that it has the labels 0 .. ways - 1.

    Args:
      examples: has `inputs` [N, ...] sorted by class and `offsets` [C + 1], as `datasets.load` returns.
      max_ways: most classes per episode, and the width of `classes`; there may be fewer of them to draw from.
      max_shots: most support examples per class.
      num_queries: most query examples per class.
      min_ways: fewest classes per episode.
      max_support: most support examples in all; the support has min(max_support, max_ways * max_shots) rows.

    Returns:
      sample: key -> Episode; the query has max_ways * num_queries rows.

    Raises:
      ValueError: if there are fewer classes than min_ways, a class has one example only, or the limits do not fit.

    References:
      Triantafillou et al., Meta-Dataset, 2020, section 3.2.
    """
    offsets = class_offsets("variable", examples)
    num_classes, sizes = len(offsets) - 1, np.diff(offsets)
    min_ways = checks.integer("variable: min_ways", min_ways, 2)
    max_ways = checks.integer("variable: max_ways", max_ways, min_ways)
    max_shots = checks.integer("variable: max_shots", max_shots, 1)
    num_queries = checks.integer("variable: num_queries", num_queries, 1)
    max_support = checks.integer("variable: max_support", max_support, max_ways)
    if num_classes < min_ways:
        checks.fail("variable: min_ways", f"at most the {num_classes} classes there are", min_ways)
    if sizes.min() < 2:
        alone = class_name(examples, int(sizes.argmin()))
        checks.fail("variable: examples", "at least 2 examples of every class", f"{sizes.min()} of {alone}")
    starts, sizes = jnp.asarray(offsets[:-1]), jnp.asarray(sizes, jnp.int32)
    num_support = min(max_support, max_ways * max_shots)
    limits = min_ways, max_ways, max_shots, num_queries, max_support, num_support
    return _Variable(as_arrays(examples.inputs), starts, sizes, *limits)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class _Variable:
    inputs: PyTree  # [N, ...]
    starts: Array  # [C]
    sizes: Array  # [C]
    min_ways: int = static()
    max_ways: int = static()
    max_shots: int = static()
    num_queries: int = static()
    max_support: int = static()
    num_support: int = static()

    def __call__(self, key: Array) -> Episode:
        ways_key, class_key, example_key, size_key, weight_key = jax.random.split(key, 5)
        num_classes, max_ways, num_queries = len(self.starts), self.max_ways, self.num_queries
        ways = jax.random.randint(ways_key, (), self.min_ways, min(max_ways, num_classes) + 1)
        present = jnp.arange(max_ways) < ways
        chosen = jnp.maximum(distinct(class_key, num_classes, max_ways), 0)
        size = self.sizes[chosen]
        queries = jnp.minimum(num_queries, jnp.where(present, size, size.max()).min() // 2)
        shots = self._shots(size_key, weight_key, jnp.where(present, size, 0), size - queries, ways)
        draw = jax.vmap(lambda key, size: distinct(key, size, num_queries + self.max_shots))
        drawn = self.starts[chosen][:, None] + draw(jax.random.split(example_key, max_ways), size)

        def batch(way: Array, place: Array, mask: Array) -> Batch:
            way = jnp.where(mask, way, 0)
            rows = jnp.where(mask, drawn[way, jnp.where(mask, place, 0)], 0)
            classes = jnp.broadcast_to(present, (rows.size, max_ways))
            return Batch(gathered(self.inputs, rows), way, mask, classes)

        # A class's first draws are its queries.
        support_rows = jnp.arange(self.num_support)
        ends = jnp.cumsum(shots)
        way = jnp.searchsorted(ends, support_rows, side="right").astype(jnp.int32)
        support = batch(way, support_rows - (ends - shots)[way] + queries, support_rows < ends[-1])
        way, place = jnp.divmod(jnp.arange(max_ways * num_queries, dtype=jnp.int32), num_queries)
        return Episode(support, batch(way, place, present[way] & (place < queries)))

    def _shots(self, size_key: Array, weight_key: Array, size: Array, free: Array, ways: Array) -> Array:
        """[max_ways] support examples of each class, 0 of an absent one."""
        present = size > 0
        share = 1 - jax.random.uniform(size_key)
        wanted = jnp.where(present, jnp.ceil(share * jnp.minimum(self.max_shots, free)), 0).sum()
        total = jnp.minimum(self.max_support, wanted)
        weights = size * jnp.exp2(jax.random.uniform(weight_key, (self.max_ways,), minval=-1.0))
        shots = jnp.floor(weights / weights.sum() * (total - ways)).astype(jnp.int32) + 1
        return jnp.where(present, jnp.minimum(shots, jnp.minimum(self.max_shots, free)), 0)
