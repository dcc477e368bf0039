"""Tasks of tokens: a few mentions of each type, and sentences in which others are looked for."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import checks, tree
from jaxmeta.tasks.finite import as_arrays
from jaxmeta.tasks.sampling import Sample, distinct, gathered, static
from jaxmeta.types import Array, Batch, Episode, PyTree

OUTSIDE, PADDING = 0, -1


def mentions(
    inputs: PyTree,
    targets: Any,
    starts: Any = None,
    *,
    num_ways: int,
    num_mentions: int,
    num_queries: int,
    max_sentences: int,
) -> Sample:
    """Episodes of sentences whose tokens are of types; a task has some of the types, under numbers dealt at random.

    A support set is gathered sentence by sentence, in random order: one that has a mention of a type of which there are
    fewer than `num_mentions` is taken. So of some types there are more, as mentions come together. Tokens of types that
    the task does not have are not scored. Support and query share no sentence.

    Args:
      inputs: [N, ...] what a model takes of a sentence, an array or a dict of arrays, with a mask of tokens among them.
      targets: [N, L] integers: 0 for tokens of no mention, 1 .. C for those of types, -1 for padding.
      starts: [N, L] bool, where mentions begin; None: wherever the type changes.
      num_ways: types of a task, at most C; its classes are one more, of which 0 is that of no mention.
      num_mentions: that a support set has of each type at least, if the first `max_sentences` that are taken do.
      num_queries: sentences that are asked.
      max_sentences: rows of a support set, of which the rest is padding.

    Returns:
      sample: key -> Episode; targets and masks are [n, L], `classes` [n, num_ways + 1] is all True.

    Raises:
      ValueError: if there are too few types, mentions or sentences, or numbers are no types.
    """
    targets = np.asarray(targets)
    total = tree.leading_axis(inputs)
    if targets.ndim != 2 or len(targets) != total or targets.dtype.kind not in "iu":
        checks.fail("mentions: targets", f"integers [{total}, L]", f"{targets.dtype} {list(targets.shape)}")
    if targets.size == 0 or targets.min() < PADDING:
        checks.fail("mentions: targets", "numbers from -1 on", targets.min() if targets.size else "none")
    num_types = int(targets.max())
    num_ways = checks.integer("mentions: num_ways", num_ways, 1, num_types)
    num_mentions = checks.integer("mentions: num_mentions", num_mentions, 1)
    max_sentences = checks.integer("mentions: max_sentences", max_sentences, 1, total - 1)
    num_queries = checks.integer("mentions: num_queries", num_queries, 1, total - max_sentences)
    if starts is None:
        starts = targets != np.pad(targets, ((0, 0), (1, 0)), constant_values=PADDING)[:, :-1]
    begun = np.asarray(starts, bool) & (targets > 0)
    counts = np.stack([(begun & (targets == kind)).sum(axis=1) for kind in range(1, num_types + 1)], axis=1)
    if counts.sum(axis=0).min() <= num_mentions:
        rare = int(counts.sum(axis=0).argmin()) + 1
        got = f"{counts.sum(axis=0).min()} of type {rare}"
        checks.fail("mentions: targets", f"more than {num_mentions} mentions of each type", got)
    arrays = as_arrays(inputs), jnp.asarray(targets, jnp.int32), jnp.asarray(counts, jnp.int32)
    return _Mentions(*arrays, num_ways, num_mentions, num_queries, max_sentences)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class _Mentions:
    inputs: PyTree  # [N, ...]
    targets: Array  # [N, L]
    counts: Array  # [N, C] mentions of each type in a sentence
    num_ways: int = static()
    num_mentions: int = static()
    num_queries: int = static()
    max_sentences: int = static()

    def __call__(self, key: Array) -> Episode:
        type_key, order_key = jax.random.split(key)
        total, num_types = self.counts.shape
        chosen = distinct(type_key, num_types, self.num_ways)
        order = jax.random.permutation(order_key, total)
        counts = self.counts[order][:, chosen]

        def take(so_far: tuple[Array, Array], own: Array) -> tuple[tuple[Array, Array], Array]:
            have, taken = so_far
            wanted = ((own > 0) & (have < self.num_mentions)).any() & (taken < self.max_sentences)
            return (have + jnp.where(wanted, own, 0), taken + wanted), wanted

        start = jnp.zeros(self.num_ways, jnp.int32), jnp.int32(0)
        _, taken = jax.lax.scan(take, start, counts)
        # Those that are taken first, in their order, then the others in theirs.
        sorted_rows = order[jnp.argsort(~taken, stable=True)]
        number = taken.sum()
        numbers = jnp.zeros(num_types + 1, jnp.int32).at[chosen + 1].set(jnp.arange(1, self.num_ways + 1))
        # Of no type of this task: not scored.
        known = jnp.zeros(num_types + 1, bool).at[chosen + 1].set(True).at[OUTSIDE].set(True)

        def batch(rows: Array, real: Array) -> Batch:
            types = self.targets[rows]
            scored = (types != PADDING) & known[types] & real[:, None]
            classes = jnp.ones((len(rows), self.num_ways + 1), bool)
            return Batch(gathered(self.inputs, rows), jnp.where(scored, numbers[types], 0), scored, classes)

        support = batch(sorted_rows[: self.max_sentences], jnp.arange(self.max_sentences) < number)
        asked = jnp.take(sorted_rows, number + jnp.arange(self.num_queries))
        return Episode(support, batch(asked, jnp.ones(self.num_queries, bool)))
