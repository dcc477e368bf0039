"""Splits that are the same everywhere and for ever: dealt out in the order of a hash of names or contents."""

from __future__ import annotations

import bisect
import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import examples

SPLITS = ("train", "validation", "test")
PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval"), "test"),
}
"""What people call a split."""
MIN_CLASSES = 8  # two in each split, the fewest that make a task


def deal(names: Sequence[str], sizes: Mapping[str, int]) -> dict[str, list[int]]:
    """Deals out names in the order of the sha256 of each.

    Args:
      names: one for each thing that is dealt; those of equal name are dealt together, also where its Unicode is
        composed in one and decomposed in another, as file systems do it.
      sizes: {split: how many it gets}, in the order in which the splits are filled; the last one gets what is left.
        Where a split is full in the middle of equal names, it takes them all.

    Returns:
      {split: sorted indices into names}.
    """
    bounds = list(itertools.accumulate(sizes.values()))[:-1]
    parts: dict[str, list[int]] = {split: [] for split in sizes}
    together: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        together.setdefault(examples.composed(name), []).append(index)
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


def share_rows(inputs: np.ndarray, sizes: Callable[[int], Mapping[str, int]] = halves) -> dict[str, np.ndarray]:
    """Shares out rows by their contents; rows that float32 cannot tell apart stay on one side, and those of 64-bit mode
    on the side where they are without it.

    Args:
      inputs: [N, ...].
      sizes: count -> {split: how many it gets}; by default a half, a quarter and a quarter.

    Returns:
      {split: sorted indices into inputs}.
    """
    if inputs.dtype == np.float64:
        with np.errstate(over="ignore"):
            inputs = inputs.astype(np.float32)
    names = [hashlib.sha256(np.ascontiguousarray(row).tobytes()).hexdigest() for row in inputs]
    return {split: np.array(indices, int) for split, indices in deal(names, sizes(len(names))).items()}


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
    keep = [start + share_rows(everything.inputs[start:end])[split]
            for start, end in itertools.pairwise(everything.offsets.tolist())]  # fmt: skip
    return examples.rows(everything, np.concatenate(keep), f"{split} rows")


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
    return examples.rows(everything, np.array([source in chosen for source in sources]), split)


def by_part(everything: examples.Examples, split: str | None) -> examples.Examples:
    """Returns the examples of one split as the files have it, such as folders train and test; None takes everything.

    Where there is no part for validation, a quarter of the training part is: of its classes if those of the parts
    differ, else of the rows of each class. A part for validation alone serves as the test.

    Args:
      everything: a set whose `parts` say where each example belongs.
      split: "train", "validation", "test" or None.

    Raises:
      ValueError: if there is no such split, or no such part.
    """
    checks.choice("split", split, (None, *SPLITS))
    assert everything.parts is not None
    if split is None:
        return everything
    there = set(everything.parts.tolist())
    if split == "test" or {"validation", "test"} <= there:
        wanted = split if split in there or split != "test" else "validation"
        if wanted not in there:
            checks.fail(f"split of {everything.name}", f"a part {split}", ", ".join(sorted(there)))
        return examples.rows(everything, everything.parts == wanted, split)
    if "train" not in there:
        checks.fail(f"split of {everything.name}", "a part train", ", ".join(sorted(there)))
    known = examples.rows(everything, everything.parts == "train", split)
    others = everything.parts != "train"
    tested = examples.rows(everything, others, "test").class_names if others.any() else ()
    quarters = lambda count: {"train": count - count // 4, "validation": count // 4}  # noqa: E731
    if set(tested).isdisjoint(known.class_names) and len(known.class_names) >= MIN_CLASSES:
        return examples.select(known, deal(known.class_names, quarters(len(known.class_names)))[split], split)
    keep = [start + share_rows(known.inputs[start:end], quarters)[split]
            for start, end in itertools.pairwise(known.offsets.tolist())]  # fmt: skip
    return examples.rows(known, np.concatenate(keep), split)


def own(everything: examples.Examples, split: str | None) -> examples.Examples:
    """Returns a split of a person's own set: as its files have it, else of its classes, else of the rows of each."""
    if everything.parts is not None:
        return by_part(everything, split)
    few = len(everything.class_names) < MIN_CLASSES
    return by_example(everything, split) if few else by_class(everything, split)
