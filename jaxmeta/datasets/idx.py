"""IDX files, the format of MNIST: pictures and labels in pairs, gzipped or not."""

from __future__ import annotations

import gzip
import math
import pathlib
import re
from collections.abc import Sequence

import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import examples, files, pictures

MAX_BYTES = 2**31  # of one file's content; a header can claim any size
_IMAGES = re.compile(r"(?P<prefix>.*)-images[-.]idx3-ubyte(\.gz)?")
_CLOTHES = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
CLASS_NAMES = {"mnist": tuple("0123456789"), "fashion_mnist": tuple(_CLOTHES.split(","))}  # of the published sets
_SPLITS = {"t10k": "test"}  # other prefixes are the split's own name

WANTED = "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz and the two t10k-* files (gzipped or not)"

# Both sets have the same file names; the published label files tell which one a folder holds.
_PUBLISHED = {
    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c": "mnist",
    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6": "mnist",
    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845": "fashion_mnist",
    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5": "fashion_mnist",
}

Pairs = dict[str, tuple[pathlib.Path, pathlib.Path]]


def find(folder: pathlib.Path) -> Pairs:
    """Returns {split: (images file, labels file)} of the IDX pairs that lie in a folder.

    Raises:
      DataError: if pictures come without their labels, or twice.
    """
    pairs: Pairs = {}
    with files.reading(folder):
        entries = sorted(folder.iterdir())
    for entry in entries:
        if not (match := _IMAGES.fullmatch(entry.name)) or not entry.is_file():
            continue
        stem = f"{match['prefix']}-labels"
        labels = [folder / f"{stem}{dot}idx1-ubyte{gz}" for gz in ("", ".gz") for dot in "-."]
        found = [path for path in labels if path.is_file()]
        split = _SPLITS.get(match["prefix"], match["prefix"])
        if not found:
            checks.fail(str(entry), f"its labels beside it, {labels[0].name}", "no such file", error=checks.DataError)
        if split in pairs:
            got = f"also {pairs[split][0].name}"
            checks.fail(str(entry), f"one file of the split {split!r}", got, "remove either", checks.DataError)
        pairs[split] = (entry, found[0])
    return pairs


def load(
    pairs: Pairs,
    split: str | None,
    form: pictures.Form | None,
    *,
    name: str,
    class_names: Sequence[str] | None = None,
) -> examples.Examples:
    """Reads one split, or all of them in the order of their names."""
    checks.choice("split", split, (None, *pairs))
    images, labels, checksums = [], [], {}
    for images_path, labels_path in [pairs[each] for each in sorted(pairs) if split in (None, each)]:
        images.append(read(images_path, 3))
        labels.append(read(labels_path, 1))
        if images[-1].shape[1:] != images[0].shape[1:]:
            wanted, got = (f"pictures of shape {array.shape[1:]}" for array in (images[0], images[-1]))
            checks.fail(str(images_path), wanted, got, "load one split", checks.DataError)
        if len(images[-1]) != len(labels[-1]):
            wanted = f"{len(images[-1])} labels for the pictures of {images_path.name}"
            checks.fail(str(labels_path), wanted, len(labels[-1]), error=checks.DataError)
        checksums |= {path.name: files.checksum(path) for path in (images_path, labels_path)}
    what = ", ".join(checksums)
    rows, labels = pictures.fit(pictures.from_numbers(np.concatenate(images), what), form), np.concatenate(labels)
    with files.reading(what):
        return examples.from_labels(rows, labels, class_names, name=name, split=split or "all", checksums=checksums)


def find_splits(folder: pathlib.Path, split: str | None) -> Pairs:
    """Returns the pairs in a folder that make up a split of a published set, or none unless all are there."""
    wanted = ("train", "test") if split is None else (split,)
    pairs = {each: pair for each, pair in find(folder).items() if each in wanted}
    return pairs if len(pairs) == len(wanted) else {}


def load_published(pairs: Pairs, split: str | None, form: pictures.Form | None, *, name: str) -> examples.Examples:
    """Reads a set of `CLASS_NAMES`, and tells it from the other."""
    loaded = load(pairs, split, form, name=name, class_names=CLASS_NAMES[name])
    for file, checksum in loaded.checksums.items():
        if _PUBLISHED.get(checksum, name) != name:
            checks.fail(file, f"the labels of {name}", f"those of {_PUBLISHED[checksum]}", error=checks.DataError)
    return loaded


def read(path: pathlib.Path, num_dims: int) -> np.ndarray:
    """Reads one IDX file of unsigned bytes.

    Args:
      path: the file; whether it is gzipped is told from its content.
      num_dims: the axes it must have, 3 for pictures and 1 for labels.

    Raises:
      DataError: if it is truncated, longer than its header says, of another dtype or of other axes.
    """
    with files.reading(path):
        with path.open("rb") as raw:
            opener = gzip.open if raw.read(2) == b"\x1f\x8b" else open
        with opener(path, "rb") as stream:
            magic = stream.read(4)
            wanted = bytes([0, 0, 8, num_dims])
            if magic != wanted:
                meaning = f"IDX magic {wanted.hex()} (unsigned bytes, {num_dims} axes)"
                checks.fail(str(path), meaning, magic.hex() or "an empty file", error=checks.DataError)
            header = stream.read(4 * num_dims)
            if len(header) < 4 * num_dims:
                got = f"{len(header)} bytes"
                checks.fail(str(path), f"{4 * num_dims} bytes of sizes", got, error=checks.DataError)
            shape = [int(size) for size in np.frombuffer(header, ">u4")]
            claimed = math.prod(shape)
            if claimed > MAX_BYTES:
                got = f"a header that says {claimed:,}"
                checks.fail(str(path), f"at most {MAX_BYTES:,} bytes", got, error=checks.DataError)
            stored = path.stat().st_size
            files.check_ratio(path, claimed, stored)
            # The size is read off the header, and what holds less must not have that much set aside for it.
            data = stream.read(claimed + 1 if opener is gzip.open else min(claimed + 1, stored))
    if len(data) != claimed:
        got = "more" if len(data) > claimed else f"{len(data):,}"
        checks.fail(str(path), f"{claimed:,} bytes for shape {shape}", got, "fetch it again", checks.DataError)
    return np.frombuffer(data, np.uint8).reshape(shape)
