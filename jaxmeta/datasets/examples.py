"""Labelled examples grouped by class, and the sets made from them."""

from __future__ import annotations

import collections
import hashlib
import unicodedata
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, NamedTuple

import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import spellings


class Column(NamedTuple):
    """A feature of a table."""

    name: str
    categories: tuple[str, ...] = ()
    """What the numbers of a column of texts stand for; () in a column of numbers."""


class Examples(NamedTuple):
    """A labelled set, sorted by class; classes may differ in size and none is empty."""

    inputs: Any  # [N, ...]: pictures uint8 [N, height, width, channels], vectors floats [N, d], texts [N] of str; or a
    # pytree of arrays, such as a dict of token ids and token mask [N, length]
    offsets: np.ndarray  # [C + 1] int32; class c is inputs[offsets[c]:offsets[c + 1]]
    class_names: tuple[str, ...]
    name: str  # the domain, e.g. "omniglot"; for a path its last component's stem, never a directory
    split: str  # "train", "validation", "test", "train+validation", "all"; "train rows" if examples were shared out
    checksums: dict[str, str]  # {file name without directories: sha256}
    columns: tuple[
        Column, ...
    ] = ()  # the d features of a csv, in which a category stands as its number and NaN is missing
    target: str = ""  # what a csv calls the classes
    notes: tuple[str, ...] = ()  # what a reader left out or took for granted
    parts: np.ndarray | None = None  # [N] "train", "validation" or "test", where the files say which is which
    ids: np.ndarray | None = None  # [N] of str: examples of one id, such as a sentence and its translations, are one
    text: str = ""  # what a csv calls the texts

    @property
    def is_text(self) -> bool:
        """Whether the inputs are texts, which no network takes as they are."""
        return isinstance(self.inputs, np.ndarray) and self.inputs.dtype.kind == "U"

    @property
    def count(self) -> int:
        """How many examples there are."""
        return int(self.offsets[-1])


def composed(name: str) -> str:
    """A name in the one form of Unicode in which names are compared; file systems and typists have two."""
    return unicodedata.normalize("NFC", name)


def from_labels(
    inputs: Any,
    labels: Any,
    class_names: Sequence[str] | None = None,
    *,
    name: str,
    split: str = "all",
    checksums: Mapping[str, str] | None = None,
) -> Examples:
    """Groups examples by class; within a class they keep their order.

    Args:
      inputs: examples [N, ...]; pictures [N, height, width, 1 or 3] are uint8 in 0..255 or floats in [0, 1]. Or a dict
        of such arrays.
      labels: [N] whole numbers or text.
      class_names: what the classes are called. Labels that are numbers index it, text labels are members of it.
        Names without examples are left out. Without it, the classes are the sorted distinct labels.
      name: the domain.
      split: the part of it that these examples are.
      checksums: {file name: sha256} of where the examples came from; by default one over the arrays themselves.

    Returns:
      Examples with at least one class.

    Raises:
      ValueError: if there is no example, or labels do not fit the inputs or the names, or pictures are on another
        scale; without class_names also if a label is a word for none, or two differ in case, blanks or zeros alone.
    """
    inputs, labels = judged(inputs, labels, class_names)
    return grouped(inputs, labels, class_names, name=name, split=split, checksums=checksums)


def judged(inputs: Any, labels: Any, class_names: Sequence[str] | None) -> tuple[Any, Any]:
    """Inputs as arrays and labels in one spelling each; raises as `from_labels` does of what people hardly mean."""
    inputs = inputs if isinstance(inputs, Mapping) else np.asanyarray(inputs)
    inputs = _each(np.asanyarray, inputs)
    for leaf in _leaves(inputs):
        checks.picture_scale("inputs", leaf)
        checks.picture_range("inputs", leaf)
    if isinstance(class_names, str | bytes | Mapping | Set):
        hint = "take sorted(names, key=names.get)" if isinstance(class_names, Mapping) else ""
        kind = type(class_names).__name__
        checks.fail("class_names", "a list of names, in the order of their numbers", kind, hint)
    if class_names is not None or np.asarray(labels).dtype.kind != "U" or np.ndim(labels) != 1:
        return inputs, labels
    texts = np.asarray(labels).tolist()
    missing = spellings.missing_in([*dict.fromkeys(texts)])
    if gaps := [text for text in dict.fromkeys(texts) if text.strip().lower() in missing]:
        hint = "remove these examples, or give class_names if it is a class"
        checks.fail("labels", "a class for every example", repr(gaps[0]), hint)
    hint = "write both alike, or give class_names if they are two"
    spelled = spellings.spelled(texts, lambda row, got: checks.fail("labels", "one spelling for a class", got, hint))
    return inputs, labels if spelled == texts else np.array(spelled)


def grouped(
    inputs: Any,
    labels: Any,
    class_names: Sequence[str] | None = None,
    *,
    name: str,
    split: str = "all",
    checksums: Mapping[str, str] | None = None,
    parts: Sequence[str] | None = None,
    notes: Sequence[str] = (),
    ids: Sequence[str] | None = None,
) -> Examples:
    """`from_labels` of what a reader knows to be right, with parts and ids of examples and the reader's notes."""
    labels = np.asarray(labels)
    leaves = _leaves(inputs)
    sizes_found = {leaf.shape[:1] for leaf in leaves}
    if sizes_found != {labels.shape} or () in sizes_found:
        same = len(sizes_found) == 1 and () not in sizes_found
        wanted = f"one label for each of {len(leaves[0])} examples" if same else "inputs of shape [N, ...]"
        hint = "take labels.argmax(axis=1)" if labels.ndim == 2 and labels.shape[1] > 1 else "take labels.ravel()"
        checks.fail("labels", wanted, f"shape {labels.shape}", hint if labels.ndim == 2 else "")
    if labels.dtype.kind not in "iuU":
        hint = "take labels.astype(int)" if labels.dtype.kind in "bf" else "take labels.astype(str)"
        checks.fail("labels", "whole numbers or text", f"dtype {labels.dtype}", hint)
    if not len(labels):
        checks.fail("inputs", "at least one example", "none")
    if checksums is None:
        digest = hashlib.sha256()
        for leaf in leaves:
            digest.update(np.ascontiguousarray(leaf).tobytes())
        digest.update(np.ascontiguousarray(labels).tobytes())
        checksums = {name: digest.hexdigest()}
    if class_names is not None:
        labels = _indices(labels, class_names)
    values, codes = np.unique(labels, return_inverse=True)
    names = [str(value) if class_names is None else str(class_names[value]) for value in values]
    first: dict[str, str] = {}
    for each in names:
        if (other := first.setdefault(" ".join(composed(each).split()) or each, each)) != each:
            hint = "they differ in blanks or in the form of Unicode alone"
            checks.fail("class names", "one spelling for a class", f"{each!r} beside {other!r}", hint)
    order = np.argsort(codes, kind="stable")
    is_sorted = (np.diff(codes) >= 0).all()  # then it is not copied: it may be on the disk
    inputs = inputs if is_sorted else _each(lambda leaf: leaf[order], inputs)
    own, same = (None if each is None else np.asarray(each)[order] for each in (parts, ids))
    sizes = _offsets(np.bincount(codes))
    return Examples(inputs, sizes, tuple(names), name, split, dict(checksums), (), "", tuple(notes), own, same)


def _each(change: Callable[[Any], Any], inputs: Any) -> Any:
    """Inputs with every array changed; NumPy knows no pytrees, and this package none but dicts of arrays."""
    if isinstance(inputs, Mapping):
        return {name: _each(change, each) for name, each in inputs.items()}
    return change(inputs)


def _leaves(inputs: Any) -> list[np.ndarray]:
    """The arrays of inputs."""
    found: list[np.ndarray] = []
    _each(found.append, inputs)
    return found


def rows(examples: Examples, keep: np.ndarray, split: str) -> Examples:
    """Returns some of the examples; classes of which none is left are left out.

    Args:
      examples: the set to take from.
      keep: rising indices into it, or [N] bool.
      split: the name of the part that they make.

    Raises:
      ValueError: if nothing is kept.
    """
    keep = np.flatnonzero(keep) if keep.dtype == bool else keep
    if not len(keep):
        checks.fail(f"{split} of {examples.name}", "at least one example", "none")
    labels = np.repeat(np.arange(len(examples.class_names)), np.diff(examples.offsets))[keep]
    present, codes = np.unique(labels, return_inverse=True)
    return examples._replace(
        inputs=_each(lambda leaf: leaf[keep], examples.inputs),
        offsets=_offsets(np.bincount(codes)),
        class_names=tuple(examples.class_names[index] for index in present),
        split=split,
        parts=None if examples.parts is None else examples.parts[keep],
        ids=None if examples.ids is None else examples.ids[keep],
    )


def _indices(labels: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """Returns labels as indices into class_names."""
    names = [str(name) for name in class_names]
    if len(set(names)) < len(names):
        repeated = next(name for name, number in collections.Counter(names).items() if number > 1)
        checks.fail("class_names", "distinct names", f"{repeated!r} more than once")
    if labels.dtype.kind == "U":
        index = {name: position for position, name in enumerate(names)}
        if unknown := sorted(set(labels.tolist()) - set(names)):
            checks.fail("labels", "members of class_names", repr(unknown[0]))
        return np.array([index[label] for label in labels.tolist()])
    for extreme in (labels.min(), labels.max()):
        if not 0 <= extreme < len(names):
            checks.fail("labels", f"whole numbers from 0 to {len(names) - 1}, one for a name", extreme)
    return labels


def _offsets(sizes: Any) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)


def select(examples: Examples, class_indices: Sequence[int] | np.ndarray, split: str) -> Examples:
    """Returns the examples of some classes, in the order given.

    Args:
      examples: the set to take from.
      class_indices: distinct whole numbers in [0, C).
      split: the name of the part that they make.

    Raises:
      ValueError: if there is no index, or one is out of range or given twice.
      TypeError: if an index is no whole number.
    """
    count = len(examples.class_names)
    indices = [checks.integer("class_indices", index, 0, count - 1) for index in class_indices]
    if not indices or len(set(indices)) < len(indices):
        checks.fail("class_indices", "one or more distinct classes", "none" if not indices else "a class twice")
    starts, ends = examples.offsets[:-1], examples.offsets[1:]
    taken = lambda array: np.concatenate([array[starts[index] : ends[index]] for index in indices])  # noqa: E731
    return examples._replace(
        inputs=_each(taken, examples.inputs),
        parts=None if examples.parts is None else taken(examples.parts),
        ids=None if examples.ids is None else taken(examples.ids),
        offsets=_offsets([ends[index] - starts[index] for index in indices]),
        class_names=tuple(examples.class_names[index] for index in indices),
        split=split,
    )


def union(parts: Sequence[Examples], *, name: str, split: str = "all") -> Examples:
    """Joins sets of several domains into one that has the classes of all.

    Args:
      parts: sets whose inputs have one shape and dtype. A part's name is put before the names of its classes and of
        its files: "mnist/7", "mnist:train-images-idx3-ubyte.gz".
      name: what the joint domain is called.
      split: the name of the part of it.

    Raises:
      ValueError: if there is no part, inputs differ in shape or dtype, or two classes get one name.
    """
    if not parts:
        checks.fail("parts", "at least one set of examples", "none")
    for part in parts:
        wanted, got = (_form(each.inputs) for each in (parts[0], part))
        # Texts are of one form, whatever the longest.
        if wanted != got:
            checks.fail(part.name, f"inputs like those of {parts[0].name}, {wanted}", got, "load both with one form")
    names = tuple(f"{part.name}/{each}" for part in parts for each in part.class_names)
    if len(set(names)) < len(names):
        checks.fail("parts", "distinct classes", "a domain's class twice")
    sums = {f"{part.name}:{file}": value for part in parts for file, value in part.checksums.items()}
    sizes = np.concatenate([np.diff(part.offsets) for part in parts])
    together = _joined([part.inputs for part in parts])
    ids = None if any(part.ids is None for part in parts) else np.concatenate([part.ids for part in parts])  # type: ignore[misc]
    return Examples(together, _offsets(sizes), names, name, split, sums, ids=ids)


def _form(inputs: Any) -> str:
    """The form of one example."""
    if isinstance(inputs, Mapping):
        return ", ".join(f"{name}: {_form(each)}" for name, each in sorted(inputs.items()))
    return "texts" if inputs.dtype.kind == "U" else f"{inputs.dtype} {list(inputs.shape[1:])}"


def _joined(inputs: Sequence[Any]) -> Any:
    """Inputs of one form, one behind the other."""
    if isinstance(inputs[0], Mapping):
        return {name: _joined([each[name] for each in inputs]) for name in inputs[0]}
    return np.concatenate(inputs)


def rotated(examples: Examples) -> Examples:
    """Adds every class turned by 90, 180 and 270 degrees (counter-clockwise) as three new classes.

    A way to have more classes to train on; test classes are never rotated.

    Args:
      examples: square pictures [N, size, size, channels] of C classes.

    Returns:
      Examples of 4 C classes: the C given, then their copies "NAME/rot90", "NAME/rot180", "NAME/rot270".

    Raises:
      ValueError: if the inputs are no square pictures.
    """
    shape = examples.inputs.shape
    if len(shape) != 4 or shape[1] != shape[2]:
        checks.fail(examples.name, "square pictures [N, size, size, channels]", f"inputs of shape {shape}")
    names = [f"{name}{suffix}" for suffix in ("", "/rot90", "/rot180", "/rot270") for name in examples.class_names]
    return examples._replace(
        inputs=np.concatenate([np.rot90(examples.inputs, turns, axes=(1, 2)) for turns in range(4)]),
        offsets=_offsets(np.tile(np.diff(examples.offsets), 4)),
        class_names=tuple(names),
        parts=None,
    )
