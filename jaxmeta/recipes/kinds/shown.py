"""What of a kind's episodes people see: pictures, words, cells and curves, and not what a network takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from jaxmeta import datasets, symbols, tasks

Form = Literal["pictures", "texts", "rows", "functions", "policies", "strings", "tokens"]


def zeroed(inputs: np.ndarray, places: tuple[int, ...]) -> np.ndarray:
    """Rows [n, d] that are standardised by their support set, of which some columns have its mean."""
    changed = inputs.copy()
    changed[:, list(places)] = 0
    return changed


class Shown(NamedTuple):
    """How episodes of a domain are shown; a report draws each form in its own way."""

    form: Form
    numbered: tasks.Sample | None = None
    """The episodes of the domain's own sampler, key for key, whose inputs are the numbers [n] of rows of `examples`.
    None: the inputs themselves are shown, and classes have no names."""
    examples: datasets.Examples | None = None
    """Pictures uint8, texts or rows of a table, as they were read."""
    columns: tuple[str, ...] = ()
    """What a table's columns are called."""
    places: tuple[tuple[int, ...], ...] = ()
    """Of each column of a table, where its value stands in a network's row."""
    missing: Callable[[np.ndarray, tuple[int, ...]], np.ndarray] = zeroed
    """(a network's rows [n, ...], places) -> the same without what stands there, as if nobody knew it."""
    sentences: tuple[tuple[tuple[str, str], ...], ...] = ()
    """Of sentences with tags, or of their pieces, each word with its own, in place of `examples`."""
    alphabet: symbols.Alphabet | None = None
    """The letters and symbols that numbers stand for."""


def of_examples(form: Form, examples: datasets.Examples, *, ways: int, shots: int, queries: int) -> Shown:
    """Episodes of labelled examples, whose rows can be looked up."""
    numbers = np.arange(examples.count, dtype=np.int32)
    sample = tasks.few_shot(examples._replace(inputs=numbers), num_ways=ways, num_shots=shots, num_queries=queries)
    return Shown(form, sample, examples)
