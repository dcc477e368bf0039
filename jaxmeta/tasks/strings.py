"""Tasks of strings to strings: a language each, of which some words and what they become are known."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import checks, symbols
from jaxmeta.symbols import Room
from jaxmeta.tasks.sampling import Sample, as_pytree, distinct, on_batches, static
from jaxmeta.types import Array, Batch, Episode


def transduction(
    sources: Sequence[str],
    targets: Sequence[Sequence[str]],
    *,
    num_shots: int,
    num_queries: int,
    query_rows: np.ndarray | None = None,
    room: Room = Room(),  # noqa: B008
) -> Sample:
    """Episodes of one language: some strings and what they become, and others to be asked.

    The symbols of a task are those that its support set shows: a query's other symbols are `UNKNOWN`, and an error
    whatever is said.

    Args:
      sources: [N] different strings.
      targets: [N] sequences of symbols.
      num_shots: support pairs.
      num_queries: query pairs; support and query share no string.
      query_rows: [N] bool, the pairs that are asked, while the others make the support sets; None: any.
      room: the sizes that all languages of a mixture share.

    Returns:
      sample: key -> Episode; inputs [n, room.width], targets [n, room.longest + 1].

    Raises:
      ValueError: if strings come twice, are too long or too few.
    """
    if len(set(sources)) < len(sources):
        checks.fail("transduction: sources", "different strings", f"{len(set(sources))} of {len(sources)}")
    num_shots = checks.integer("transduction: num_shots", num_shots, 1)
    num_queries = checks.integer("transduction: num_queries", num_queries, 1)
    asked = np.ones(len(sources), bool) if query_rows is None else np.asarray(query_rows, bool)
    shown = asked if query_rows is None else ~asked
    together = num_shots + num_queries if query_rows is None else num_shots
    for what, wanted, pool in (("num_shots", together, shown), ("num_queries", num_queries, asked)):
        if pool.sum() < wanted:
            checks.fail(f"transduction: {what}", f"at most the {pool.sum()} strings there are", wanted)
    known = symbols.alphabet(sources, targets)
    inputs = symbols.encoded_sources(sources, known, room)
    numbers = symbols.encoded_targets(targets, known, room)
    shown, asked = (jnp.asarray(np.flatnonzero(pool), jnp.int32) for pool in (shown, asked))
    words, table = jnp.asarray(inputs[:, : room.longest]), jnp.asarray(inputs[0, room.longest :])
    sizes = num_shots, num_queries, query_rows is None, room.letters
    return _Transduction(words, jnp.asarray(numbers), table, shown, asked, *sizes)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class _Transduction:
    sources: Array  # [N, longest]
    targets: Array  # [N, longest + 1]
    table: Array  # the marks of letters and symbols
    shown: Array  # rows of support sets
    asked: Array  # rows of query sets
    num_shots: int = static()
    num_queries: int = static()
    together: bool = static()  # whether both are drawn from the same rows
    num_letters: int = static()

    def __call__(self, key: Array) -> Episode:
        shown_key, asked_key = jax.random.split(key)
        if self.together:
            rows = self.shown[distinct(shown_key, len(self.shown), self.num_shots + self.num_queries)]
            support, query = rows[: self.num_shots], rows[self.num_shots :]
        else:
            support = self.shown[distinct(shown_key, len(self.shown), self.num_shots)]
            query = self.asked[distinct(asked_key, len(self.asked), self.num_queries)]
        letters, named = jnp.split(self.table.reshape(-1, symbols.SHOWN), [self.num_letters])
        there = jnp.zeros(len(named), bool).at[self.targets[support]].set(True)
        table = jnp.concatenate([letters, jnp.where(there[:, None], named, 0)]).ravel()
        return Episode(self._batch(support, table, there), self._batch(query, table, there))

    def _batch(self, rows: Array, table: Array, there: Array) -> Batch:
        inputs = [self.sources[rows], jnp.broadcast_to(table, (len(rows), len(table)))]
        targets = self.targets[rows]
        return Batch(jnp.concatenate(inputs, axis=1), jnp.where(there[targets], targets, symbols.UNKNOWN))


def renamed(sample: Sample, *, room: Room = Room()) -> Sample:  # noqa: B008
    """Makes half of the tasks languages that there are not: some of the letters stand for one another.

    Which letters, a share of them that is drawn anew for each task, and for which others, is the same in a task's
    support and query set. What a letter means is then to be read off the support set, and not to be remembered: few
    languages become many. For training alone.

    Args:
      sample: tasks of `transduction`.
      room: theirs.

    References:
      Rajendran et al., Meta-Learning Requires Meta-Augmentation, 2020.
    """
    return _Renamed(as_pytree(sample), room.longest, room.letters)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class _Renamed:
    sample: Any
    longest: int = static()
    num_letters: int = static()

    def __call__(self, key: Array) -> Episode:
        episode_key, half_key, share_key, letter_key, order_key = jax.random.split(key, 5)
        episode = self.sample(episode_key)
        stop = self.longest + self.num_letters * symbols.SHOWN
        letters = episode.support.inputs[0, self.longest : stop].reshape(self.num_letters, symbols.SHOWN)
        share = jnp.where(jax.random.bernoulli(half_key), jax.random.uniform(share_key), 0)
        places = jnp.arange(self.num_letters)
        chosen = (letters[:, 0] > 0) & (jax.random.uniform(letter_key, places.shape) < share)
        shuffled = jax.random.uniform(order_key, places.shape)
        # Both list the chosen first, one as they stand and one at random, and the others as they stand.
        last = jnp.asarray(self.num_letters, float)
        stand, drawn = (
            jnp.argsort(jnp.where(chosen, by, last), stable=True) for by in (places.astype(float), shuffled)
        )
        table = letters[places.at[stand].set(drawn)].ravel()
        return on_batches(lambda batch: batch._replace(inputs=self._with(table, batch.inputs)), episode)

    def _with(self, table: Array, inputs: Array) -> Array:
        stop = self.longest + len(table)
        return inputs.at[:, self.longest : stop].set(jnp.broadcast_to(table, (len(inputs), len(table))))
