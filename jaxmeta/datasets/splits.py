"""Splits that are the same everywhere and for ever: dealt out in the order of a hash of names or contents."""

from __future__ import annotations

import bisect
import hashlib
import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import examples

SPLITS = ("train", "validation", "test")
MIN_CLASSES = 8  # two in each split, the fewest that make a task


def deal(names: Sequence[str], sizes: Mapping[str, int]) -> dict[str, list[int]]:
    """Deals out names in the order of the sha256 of each.

    Args:
      names: one for each thing that is dealt; those of equal name are dealt together.
      sizes: {split: how many it gets}, in the order in which the splits are filled; the last one gets what is left.
        Where a split is full in the middle of equal names, it takes them all.

    Returns:
      {split: sorted indices into names}.
    """
    bounds = list(itertools.accumulate(sizes.values()))[:-1]
    parts: dict[str, list[int]] = {split: [] for split in sizes}
    together: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        together.setdefault(name, []).append(index)
    dealt = 0
    for name in sorted(together, key=lambda name: hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()):
        parts[list(sizes)[bisect.bisect_right(bounds, dealt)]] += together[name]
        dealt += len(together[name])
    return {split: sorted(indices) for split, indices in parts.items()}


def halves(count: int) -> dict[str, int]:
    """Returns how many of `count` each split gets: a half, a quarter and a quarter, as in CUB's 100 / 50 / 50."""
    return {"train": count - 2 * (count // 4), "validation": count // 4, "test": count // 4}


def by_class(
    everything: examples.Examples, split: str | None, groups: Sequence[str] | None = None
) -> examples.Examples:
    """Returns the classes of one split, a half, a quarter or a quarter of them; None takes everything.

    Args:
      everything: the whole set.
      split: "train", "validation", "test" or None.
      groups: a name for each class; classes of one name stay on one side. By default the class names.

    Raises:
      ValueError: if there is no such split, or fewer than 8 classes.
    """
    checks.choice("split", split, (None, *SPLITS))
    if split is None:
        return everything
    count = len(everything.class_names)
    if count < MIN_CLASSES:
        hint = "load everything, with split None"
        checks.fail(f"split of {everything.name}", f"at least {MIN_CLASSES} classes to share out", count, hint)
    parts = deal(groups or everything.class_names, halves(count))
    return examples.select(everything, parts[split], split)


def share_rows(inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Shares out rows by their contents, a half, a quarter and a quarter; rows that float32 cannot tell apart stay on
    one side, and those of 64-bit mode on the side where they are without it.

    Args:
      inputs: [N, ...].

    Returns:
      {split: sorted indices into inputs}.
    """
    if inputs.dtype == np.float64:
        with np.errstate(over="ignore"):
            inputs = inputs.astype(np.float32)
    names = [hashlib.sha256(np.ascontiguousarray(row).tobytes()).hexdigest() for row in inputs]
    return {split: np.array(indices, int) for split, indices in deal(names, halves(len(names))).items()}


def by_example(everything: examples.Examples, split: str | None) -> examples.Examples:
    """Returns the examples of one split, a half, a quarter or a quarter of every class; None takes everything.

    For sets with too few classes to be shared out: tasks of the splits then ask about the same classes, and about
    examples that the others never saw.

    Args:
      everything: the whole set.
      split: "train", "validation", "test" or None; the result's is "train rows" and so on.

    Raises:
      ValueError: if there is no such split, or it gets no example.
    """
    checks.choice("split", split, (None, *SPLITS))
    if split is None:
        return everything
    sizes = np.diff(everything.offsets)
    keep = np.concatenate(
        [start + share_rows(everything.inputs[start : start + size])[split]
         for start, size in zip(everything.offsets[:-1].tolist(), sizes.tolist(), strict=True)]
    )  # fmt: skip
    return examples.from_labels(
        everything.inputs[keep],
        np.repeat(np.arange(len(sizes)), sizes)[keep],
        everything.class_names,
        name=everything.name,
        split=f"{split} rows",
        checksums=everything.checksums,
    )


def by_source(everything: examples.Examples, split: str | None, sources: Sequence[str]) -> examples.Examples:
    """Returns the examples of one split, all classes in each: a half, a quarter or a quarter of the sources.

    Args:
      everything: the whole set.
      split: "train", "validation", "test" or None.
      sources: [N] where each example comes from, such as a patient or a slide, which stays on one side.
    """
    checks.choice("split", split, (None, *SPLITS))
    if split is None:
        return everything
    distinct = sorted(set(sources))
    chosen = {distinct[index] for index in deal(distinct, halves(len(distinct)))[split]}
    keep = np.array([source in chosen for source in sources])
    labels = np.repeat(np.arange(len(everything.class_names)), np.diff(everything.offsets))
    return examples.from_labels(
        everything.inputs[keep],
        labels[keep],
        everything.class_names,
        name=everything.name,
        split=split,
        checksums=everything.checksums,
    )
