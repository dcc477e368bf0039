"""Tasks of questions: a few paragraphs whose questions are answered, and others that are asked about."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import checks
from jaxmeta.tasks.finite import as_arrays
from jaxmeta.tasks.sampling import Sample, distinct, gathered, static
from jaxmeta.types import Array, Batch, Episode, PyTree


def questions(
    asked: PyTree,
    sentences: PyTree,
    sizes: Any,
    about: Any,
    answers: Any,
    *,
    num_paragraphs: int,
    num_queries: int,
    max_questions: int,
) -> Sample:
    """Episodes of questions, each of which one sentence of its paragraph answers.

    A row is a question beside all sentences of its paragraph; its classes are those sentences. Support and query share
    no paragraph. Of a paragraph with more than `max_questions` some are drawn; one with fewer has rows of padding.

    Args:
      asked: [N, ...] what a model takes of a question.
      sentences: [P, S, ...] what it takes of a paragraph's sentences, of which the last ones may be padding.
      sizes: [P] how many sentences each paragraph has, 1 .. S.
      about: [N] the paragraph of each question, rising; each has a question.
      answers: [N] the sentence that answers it.
      num_paragraphs: of a support set.
      num_queries: paragraphs that are asked about.
      max_questions: rows of a paragraph.

    Returns:
      sample: key -> Episode; inputs {"question": [n, ...], "sentences": [n, S, ...]}, targets [n] integers, mask [n],
      classes [n, S]; n is the number of paragraphs times `max_questions`.

    Raises:
      ValueError: if numbers do not fit together, or there are fewer paragraphs than are drawn.
    """
    sizes, about, answers = (np.asarray(each) for each in (sizes, about, answers))
    total, counts = len(sizes), np.bincount(about, minlength=len(sizes))
    if len(counts) > total or (np.diff(about) < 0).any() or not counts.all():
        checks.fail("questions: about", f"rising numbers, each of 0 to {total - 1} at least once", about.tolist()[:8])
    if (answers < 0).any() or (answers >= sizes[about]).any():
        row = int(np.flatnonzero((answers < 0) | (answers >= sizes[about]))[0])
        checks.fail("questions: answers", f"a sentence of {sizes[about[row]]}", f"{answers[row]} in row {row}")
    num_paragraphs = checks.integer("questions: num_paragraphs", num_paragraphs, 1)
    num_queries = checks.integer("questions: num_queries", num_queries, 1)
    max_questions = checks.integer("questions: max_questions", max_questions, 1)
    if num_paragraphs + num_queries > total:
        got = f"{num_paragraphs} + {num_queries}"
        checks.fail("questions: num_paragraphs + num_queries", f"at most the {total} paragraphs there are", got)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    inputs = as_arrays(asked), as_arrays(sentences)
    sizes, starts, counts, answers = (jnp.asarray(each, jnp.int32) for each in (sizes, starts, counts, answers))
    return _Questions(*inputs, sizes, starts, counts, answers, num_paragraphs, num_queries, max_questions)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class _Questions:
    asked: PyTree  # [N, ...]
    sentences: PyTree  # [P, S, ...]
    sizes: Array  # [P] sentences
    starts: Array  # [P] the first question
    counts: Array  # [P] questions
    answers: Array  # [N]
    num_paragraphs: int = static()
    num_queries: int = static()
    max_questions: int = static()

    def __call__(self, key: Array) -> Episode:
        paragraph_key, question_key = jax.random.split(key)
        chosen = distinct(paragraph_key, len(self.sizes), self.num_paragraphs + self.num_queries)
        draw = jax.vmap(lambda key, size: distinct(key, size, self.max_questions))
        drawn = draw(jax.random.split(question_key, len(chosen)), self.counts[chosen])
        return Episode(*(
            self._batch(chosen[part], drawn[part])
            for part in (slice(self.num_paragraphs), slice(self.num_paragraphs, None))
        ))  # fmt: skip

    def _batch(self, chosen: Array, drawn: Array) -> Batch:
        """Rows of paragraphs [k] and of the numbers [k, max_questions] of their questions, -1 of none."""
        real = (drawn >= 0).reshape(-1)
        rows = (self.starts[chosen][:, None] + jnp.maximum(drawn, 0)).reshape(-1)
        of = jnp.repeat(chosen, self.max_questions)
        inputs = {"question": gathered(self.asked, rows), "sentences": gathered(self.sentences, of)}
        longest = jax.tree.leaves(self.sentences)[0].shape[1]
        return Batch(inputs, self.answers[rows], real, jnp.arange(longest)[None] < self.sizes[of][:, None])
