"""What a training has seen: its classes and its examples, known again however the files were saved since."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxmeta import checks, datasets

SAME = 0.5  # of its classes: a set in which so many have names that are known is no set of new ones
STRAY = 0.01  # of its examples: fewer that are known, such as blank pictures, do not make it a set that is known


class Seen(NamedTuple):
    """What was trained on, and chosen by."""

    checksums: frozenset[str] = frozenset()
    """Of the files."""
    examples: frozenset[int] | None = frozenset()
    """Fingerprints; None in runs that do not have them, of which the checksums alone are known."""
    classes: frozenset[str] = frozenset()
    """Names of classes that were set apart from others; none where the rows of each class were shared out."""

    def __or__(self, other: object) -> Seen:
        if not isinstance(other, Seen):
            return NotImplemented
        known = None if self.examples is None or other.examples is None else self.examples | other.examples
        return Seen(self.checksums | other.checksums, known, self.classes | other.classes)


def of(examples: datasets.Examples) -> Seen:
    """What a training on these examples sees; classes count where the split is one of classes."""
    classes = () if examples.split.endswith(" rows") else map(datasets.composed, examples.class_names)
    return Seen(frozenset(examples.checksums.values()), frozenset(fingerprints(examples).tolist()), frozenset(classes))


def of_table(table: datasets.Table, rows: np.ndarray) -> Seen:
    """What a training on these rows sees."""
    prints = _prints(table.inputs[rows], table.columns)
    return Seen(frozenset(table.checksums.values()), frozenset(prints.tolist()))


def of_tasks(inputs: np.ndarray, targets: np.ndarray, checksums: Mapping[str, str]) -> Seen:
    """What a training on these tasks sees."""
    return Seen(frozenset(checksums.values()), frozenset(_task_prints(inputs, targets).tolist()))


def fingerprints(examples: datasets.Examples) -> np.ndarray:
    """[N] uint64, equal for examples of equal content: pictures as they were decoded, rows of a table by the names of
    their columns and categories, in whatever order."""
    if examples.is_text:  # a sentence and its translations are one, and so is a sentence in capitals
        names = map(datasets.identity, examples.inputs.tolist()) if examples.ids is None else examples.ids.tolist()
        return prints(names)
    return _prints(examples.inputs, examples.columns)


def prints(names: Iterable[str]) -> np.ndarray:
    """[N] uint64, the fingerprints of examples that go by names, such as the words of a sentence."""
    return np.array([_number(name.encode("utf-8", "surrogatepass")) for name in names], np.uint64)


def _prints(inputs: np.ndarray, columns: Sequence[datasets.Column]) -> np.ndarray:
    if columns:
        inputs = np.stack(
            [
                _named(inputs[:, index], column)
                for index, column in sorted(enumerate(columns), key=lambda each: each[1])
            ],
            axis=1,
        )
    rows = (inputs[index] for index in range(len(inputs)))
    return np.array([_number(np.ascontiguousarray(row).tobytes()) for row in rows], np.uint64)


def _named(cells: np.ndarray, column: datasets.Column) -> np.ndarray:
    """The cells of a column, a category by its name, since its number hangs on which others there are."""
    cells = cells.astype(np.float32).astype(np.float64)
    if not column.categories:
        return cells
    numbers = np.array([*(_number(text.encode("utf-8", "surrogatepass")) % 2**52 for text in column.categories), 0.0])
    return np.where(np.isnan(cells), np.nan, numbers[np.nan_to_num(cells, nan=-1).astype(int)])


def _number(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def unseen(everything: datasets.Examples, seen: Seen) -> datasets.Examples:
    """Returns what of a person's set a training has not seen, all of it if nothing.

    A class is known by its examples, or by its name where that tells: if an example of the set is known, or most of its
    names are. Where there are too few classes to share out, the rows that are known are left out instead.

    Raises:
      ValueError: if nothing is left, or the file is one that was trained on and no example is known again.
    """
    if seen.examples is None:  # of older runs the checksums alone are known
        same = not seen.checksums.isdisjoint(everything.checksums.values())
        return datasets.own(everything, "test") if same else everything
    known = _known(fingerprints(everything), seen)
    _check_known(known, everything, seen)
    if everything.parts is not None:
        if not known.any():
            return everything
        return unseen_examples(datasets.own(everything, "test"), seen)._replace(split="test")
    if len(everything.class_names) < datasets.MIN_CLASSES:
        return unseen_examples(everything, seen)
    same = known.mean() >= STRAY or not seen.checksums.isdisjoint(everything.checksums.values())
    named = np.array([datasets.composed(name) in seen.classes for name in everything.class_names])
    telling = named & np.array([not name.isdecimal() for name in everything.class_names])
    left_out = np.add.reduceat(known, everything.offsets[:-1]) > 0
    left_out |= named if same else telling & (telling.mean() >= SAME)
    if not left_out.any():
        return everything
    return _left(everything, np.repeat(~left_out, np.diff(everything.offsets)), "test", known)


def parts(everything: datasets.Examples, seen: Seen, names: Iterable[str]) -> dict[str, str]:
    """{class: "1 of 8"} of those of some names of which not every example is known; none where no example is."""
    if seen.examples is None:
        return {}
    counts = np.add.reduceat(_known(fingerprints(everything), seen).astype(int), everything.offsets[:-1])
    sizes = np.diff(everything.offsets)
    found = dict(zip(everything.class_names, zip(counts.tolist(), sizes.tolist(), strict=True), strict=True))
    return {name: f"{found[name][0]} of {found[name][1]}" for name in names if 0 < found[name][0] < found[name][1]}


def unseen_examples(everything: datasets.Examples, seen: Seen) -> datasets.Examples:
    """`unseen` where every class may be known, since the rows of each were shared out."""
    if seen.examples is None:
        same = not seen.checksums.isdisjoint(everything.checksums.values())
        return datasets.by_example(everything, "test") if same else everything
    known = _known(fingerprints(everything), seen)
    return _left(everything, ~known, "test rows", known) if known.any() else everything


def unseen_rows(table: datasets.Table, seen: Seen) -> np.ndarray:
    """Rising indices of the rows that a training has not seen."""
    if seen.examples is None:
        same = not seen.checksums.isdisjoint(table.checksums.values())
        return datasets.share_rows(table.inputs)["test"] if same else np.arange(len(table.inputs))
    known = _known(_prints(table.inputs, table.columns), seen)
    _check_known(known, table, seen)
    return np.flatnonzero(~known)


def known_tasks(inputs: np.ndarray, targets: np.ndarray, seen: Seen) -> np.ndarray:
    """Which tasks [tasks] a training has seen, in whatever order they and their examples are."""
    return _known(_task_prints(inputs, targets), seen)


def _task_prints(inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """[tasks] uint64, of inputs [tasks, n, d] and targets [tasks, n, m]."""
    rows = np.concatenate([inputs, targets], axis=2).astype(np.float32) + 0.0  # -0.0 is 0.0
    contents = (b"".join(sorted(row.tobytes() for row in task)) for task in rows)
    return np.array([_number(content) for content in contents], np.uint64)


def _known(prints: np.ndarray, seen: Seen) -> np.ndarray:
    return np.isin(prints, np.array(sorted(seen.examples or ()), np.uint64))


def _check_known(known: np.ndarray, everything: datasets.Examples | datasets.Table, seen: Seen) -> None:
    """Raises ValueError if nothing is known of a file that was trained on: with other columns no row is itself."""
    if not known.any() and not seen.checksums.isdisjoint(everything.checksums.values()):
        got, hint = "no row that is known again", "leave `columns` out, or give those of the training"
        checks.fail(everything.name, "the columns of this file that were trained on", got, hint)


def _left(everything: datasets.Examples, keep: np.ndarray, split: str, known: np.ndarray) -> datasets.Examples:
    if not keep.any():
        told = f"{known.sum()} of {len(known)} examples were trained on, and so were a part or the name of every class"
        hint = f"name the classes to test on with `test_classes`, all for every one; {told}"
        checks.fail(f"{everything.name}", "something that was not trained on", "nothing that was not", hint)
    return datasets.rows(everything, keep, split)
