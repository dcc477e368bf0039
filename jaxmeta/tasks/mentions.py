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
    sizes = {"num_ways": num_ways, "num_mentions": num_mentions}
    made = _checked("mentions", inputs, targets, starts, **sizes)
    total = tree.leading_axis(inputs)
    max_sentences = checks.integer("mentions: max_sentences", max_sentences, 1, total - 1)
    num_queries = checks.integer("mentions: num_queries", num_queries, 1, total - max_sentences)
    return _Mentions(made, num_queries, max_sentences)


def mentions_across(
    inputs: PyTree,
    targets: Any,
    ids: Any,
    query_inputs: PyTree,
    query_targets: Any,
    query_ids: Any,
    starts: Any = None,
    *,
    num_ways: int,
    num_mentions: int,
    num_queries: int,
    max_sentences: int,
) -> Sample:
    """Episodes whose support set is gathered of one domain, as in `mentions`, and whose queries are of another.

    Such as sentences and their translations: what a task shows it does not ask about in any language.

    Args:
      inputs, targets, starts: of the support's domain, as in `mentions`.
      ids: [N] integers, the same for what says the same in both domains.
      query_inputs: [M, ...] of the other domain.
      query_targets: [M, L] integers, the same types under the same numbers.
      query_ids: [M] integers.
      num_ways, num_mentions, num_queries, max_sentences: as in `mentions`.

    Returns:
      sample: as in `mentions`.

    Raises:
      ValueError: as in `mentions`, or if too few sentences are left to be asked where all that are shown are left out.
    """
    made = _checked("mentions_across", inputs, targets, starts, num_ways=num_ways, num_mentions=num_mentions)
    asked, both = np.asarray(query_targets), (np.asarray(ids), np.asarray(query_ids))
    max_sentences = checks.integer("mentions_across: max_sentences", max_sentences, 1, len(both[0]))
    # The rows of an id leave together.
    most = int(np.sort(np.unique(both[1], return_counts=True)[1])[::-1][:max_sentences].sum())
    num_queries = checks.integer("mentions_across: num_queries", num_queries, 1, len(asked) - most)
    if asked.max() > made.counts.shape[1]:
        checks.fail("mentions_across: query_targets", f"types up to {made.counts.shape[1]}", asked.max())
    other = as_arrays(query_inputs), jnp.asarray(asked, jnp.int32)
    own_ids, query_ids = (jnp.asarray(each, jnp.int32) for each in both)
    return _Across(made, *other, own_ids, query_ids, num_queries, max_sentences)


def _checked(what: str, inputs: PyTree, targets: Any, starts: Any, *, num_ways: int, num_mentions: int) -> _Sentences:
    targets = np.asarray(targets)
    total = tree.leading_axis(inputs)
    if targets.ndim != 2 or len(targets) != total or targets.dtype.kind not in "iu":
        checks.fail(f"{what}: targets", f"integers [{total}, L]", f"{targets.dtype} {list(targets.shape)}")
    if targets.size == 0 or targets.min() < PADDING:
        checks.fail(f"{what}: targets", "numbers from -1 on", targets.min() if targets.size else "none")
    num_types = int(targets.max())
    num_ways = checks.integer(f"{what}: num_ways", num_ways, 1, num_types)
    num_mentions = checks.integer(f"{what}: num_mentions", num_mentions, 1)
    if starts is None:
        starts = targets != np.pad(targets, ((0, 0), (1, 0)), constant_values=PADDING)[:, :-1]
    begun = np.asarray(starts, bool) & (targets > 0)
    counts = np.stack([(begun & (targets == kind)).sum(axis=1) for kind in range(1, num_types + 1)], axis=1)
    if counts.sum(axis=0).min() <= num_mentions:
        rare = int(counts.sum(axis=0).argmin()) + 1
        got = f"{counts.sum(axis=0).min()} of type {rare}"
        checks.fail(f"{what}: targets", f"more than {num_mentions} mentions of each type", got)
    arrays = as_arrays(inputs), jnp.asarray(targets, jnp.int32), jnp.asarray(counts, jnp.int32)
    return _Sentences(*arrays, num_ways, num_mentions)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class _Sentences:
    inputs: PyTree  # [N, ...]
    targets: Array  # [N, L]
    counts: Array  # [N, C] mentions of each type in a sentence
    num_ways: int = static()
    num_mentions: int = static()

    def gathered(self, key: Array, most: int) -> tuple[Array, Array, Array]:
        """The types of a task; all rows, those that are taken first, in their order, then the others in theirs; and how
        many are taken."""
        type_key, order_key = jax.random.split(key)
        total, num_types = self.counts.shape
        chosen = distinct(type_key, num_types, self.num_ways)
        order = jax.random.permutation(order_key, total)
        counts = self.counts[order][:, chosen]

        def take(so_far: tuple[Array, Array], own: Array) -> tuple[tuple[Array, Array], Array]:
            have, taken = so_far
            wanted = ((own > 0) & (have < self.num_mentions)).any() & (taken < most)
            return (have + jnp.where(wanted, own, 0), taken + wanted), wanted

        start = jnp.zeros(self.num_ways, jnp.int32), jnp.int32(0)
        _, taken = jax.lax.scan(take, start, counts)
        return chosen, order[jnp.argsort(~taken, stable=True)], taken.sum()

    def support(self, chosen: Array, rows: Array, number: Array, most: int) -> Batch:
        return self.batch(self.inputs, self.targets, chosen, rows[:most], jnp.arange(most) < number)

    def batch(self, inputs: PyTree, targets: Array, chosen: Array, rows: Array, real: Array) -> Batch:
        """Rows under the numbers of a task's types; what is of no type of this task is not scored."""
        num_types = self.counts.shape[1]
        numbers = jnp.zeros(num_types + 1, jnp.int32).at[chosen + 1].set(jnp.arange(1, self.num_ways + 1))
        known = jnp.zeros(num_types + 1, bool).at[chosen + 1].set(True).at[OUTSIDE].set(True)
        types = targets[rows]
        scored = (types != PADDING) & known[types] & real[:, None]
        classes = jnp.ones((len(rows), self.num_ways + 1), bool)
        return Batch(gathered(inputs, rows), jnp.where(scored, numbers[types], 0), scored, classes)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class _Mentions:
    sentences: _Sentences
    num_queries: int = static()
    max_sentences: int = static()

    def __call__(self, key: Array) -> Episode:
        own = self.sentences
        chosen, rows, number = own.gathered(key, self.max_sentences)
        asked = jnp.take(rows, number + jnp.arange(self.num_queries))
        query = own.batch(own.inputs, own.targets, chosen, asked, jnp.ones(self.num_queries, bool))
        return Episode(own.support(chosen, rows, number, self.max_sentences), query)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class _Across:
    sentences: _Sentences
    inputs: PyTree  # [M, ...]
    targets: Array  # [M, L]
    ids: Array  # [N]
    query_ids: Array  # [M]
    num_queries: int = static()
    max_sentences: int = static()

    def __call__(self, key: Array) -> Episode:
        support_key, query_key = jax.random.split(key)
        own, most = self.sentences, self.max_sentences
        chosen, rows, number = own.gathered(support_key, most)
        order = jax.random.permutation(query_key, len(self.query_ids))
        same = self.query_ids[order][:, None] == self.ids[rows[:most]][None]
        shown = (same & (jnp.arange(most) < number)[None]).any(axis=1)
        asked = order[jnp.argsort(shown, stable=True)][: self.num_queries]
        query = own.batch(self.inputs, self.targets, chosen, asked, jnp.ones(self.num_queries, bool))
        return Episode(own.support(chosen, rows, number, most), query)
