"""What a run says of a person's inputs: a line for each thing that has a class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Answers(NamedTuple):
    """Lines of a table that people read."""

    header: list[str]
    """What `cells` are called."""
    cells: list[list[str]]
    """[m] what each line is about."""
    logits: np.ndarray
    """[m, classes]"""
    said: list[str]
    """[m] what is predicted."""


def of_inputs(given: Sequence[str], labels: Sequence[str], outputs: np.ndarray) -> Answers:
    """A line for each input, with the class of the largest of its outputs [n, classes]."""
    said = [labels[int(place)] for place in outputs.argmax(axis=1)]
    return Answers(["input"], [[name] for name in given], outputs, said)
