"""NumPy archives: read without ever unpickling, and checked before anything is allocated."""

from __future__ import annotations

import math
import pathlib
import warnings
import zipfile
from collections.abc import Iterable

import numpy as np

from jaxmeta import checks, floats
from jaxmeta.datasets import examples, files, pictures, splits

MAX_BYTES = 2**33  # of one array; a small archive can claim any size


def read_arrays(path: pathlib.Path, wanted: Iterable[str]) -> dict[str, np.ndarray]:
    """Returns those of the wanted arrays that a .npz file holds.

    Raises:
      DataError: if the file is missing, truncated, or an array holds objects or is not as large as it claims.
    """
    with files.archive(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
        return {key: _array(archive, members[f"{key}.npy"], path) for key in wanted if f"{key}.npy" in members}


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: pathlib.Path) -> np.ndarray:
    what = f"{path}, {member.filename}"
    with archive.open(member) as stream:
        with files.reading(what):
            version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            checks.fail(what, "npy format 1.0 or 2.0", f"{version[0]}.{version[1]}", error=checks.DataError)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        with files.reading(what), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote
            shape, fortran_order, dtype = header(stream)
        if dtype.hasobject:
            got = "an array that holds pickled objects, which are never loaded"
            checks.fail(what, "numbers or text", got, "save it with a plain dtype", checks.DataError)
        claimed = math.prod(shape) * dtype.itemsize
        if claimed != member.file_size - stream.tell() or claimed > MAX_BYTES:
            got = f"{member.file_size - stream.tell():,} bytes for shape {shape}"
            wanted = f"{min(claimed, MAX_BYTES):,} bytes" + (" at most" if claimed > MAX_BYTES else "")
            checks.fail(what, wanted, got, error=checks.DataError)
        with files.reading(what):
            flat = np.frombuffer(stream.read(), dtype)
            return flat.reshape(shape, order="F" if fortran_order else "C")


def _inputs(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> tuple[str, np.ndarray]:
    present = [key for key in ("images", "inputs") if key in arrays]
    if len(present) != 1:
        got = " and ".join(present) or "neither"
        checks.fail(str(path), "an array called images or inputs", got, error=checks.DataError)
    return present[0], arrays[present[0]]


def _rows(what: str, key: str, array: np.ndarray, form: pictures.Form | None) -> np.ndarray:
    """Returns examples [N, ...] as pictures in the form asked for, or as vectors."""
    if array.ndim == 2 and key == "inputs":
        return vectors(what, array, form)
    if array.ndim == 3 and key == "inputs":
        wanted, hint = "vectors [N, d] or pictures [N, height, width, channels]", "grey pictures are called images"
        checks.fail(what, wanted, f"shape {array.shape}", hint, checks.DataError)
    return pictures.fit(pictures.from_numbers(array, what), form)


def vectors(what: str, array: np.ndarray, form: pictures.Form | None) -> np.ndarray:
    """Returns finite numbers [N, d] as floats; a form is refused."""
    if form is not None:
        checks.fail(what, "pictures, as a form is asked for", f"vectors of {array.shape[-1]} numbers")
    return numbers(what, array)


def numbers(what: str, array: np.ndarray) -> np.ndarray:
    """Returns an array as floats, in which all of its numbers must be finite."""
    if array.dtype.kind not in "biuf":
        checks.fail(what, "finite numbers", f"dtype {array.dtype}", error=checks.DataError)
    number_type = floats.number_type()
    with np.errstate(over="ignore"):
        values = array.astype(number_type)
    if not np.isfinite(values).all():
        checks.fail(what, "finite numbers", f"NaN, infinity or more than {number_type} holds", error=checks.DataError)
    if array.dtype.itemsize > 2 and array.dtype != number_type:
        flat = floats.flattened(array.reshape(len(array), -1))
        if flat.any():
            got, hint = f"others in column {int(flat.argmax()) + 1}", "subtract the smallest of each column"
            checks.fail(what, f"numbers that {number_type} tells apart", got, hint, checks.DataError)
    return values


LABELS = ("label", "y", "target", "targets", "class", "classes", "y_train", "train_labels", "train_y")
"""What people call labels that this reader does not take for them."""


def labelled(path: pathlib.Path, form: pictures.Form | None) -> examples.Examples:
    """Reads images or inputs with labels [N], perhaps class_names and split, or one array [classes, examples, ...]."""
    arrays = read_arrays(path, ("images", "inputs", "labels", "class_names", "split", *LABELS))
    key, array = _inputs(path, arrays)
    said = key
    if "labels" in arrays:
        labels = arrays["labels"]
    elif other := next((name for name in LABELS if name in arrays), None):
        checks.fail(str(path), "labels [N]", f"an array {other!r}", "save it as labels", checks.DataError)
    elif array.ndim < (4 if key == "images" else 3) or (
        array.ndim == 4 and (array.shape[3] in (1, 3, 4) or array.shape[1] in (1, 3))
    ):
        # Pictures [N, height, width, channels] or [N, channels, height, width] would otherwise pass for classes.
        wanted = "labels [N], or one array [classes, examples, ...]"
        checks.fail(str(path), wanted, f"{key} of shape {array.shape} alone", error=checks.DataError)
    else:
        labels = np.repeat(np.arange(array.shape[0]), array.shape[1])
        said = f"{key} of shape {array.shape} as [classes, examples, ...]"
        array = array.reshape(-1, *array.shape[2:])
    rows, names = _rows(f"{path}, {said}", key, array, form), _names(path, arrays.get("class_names"))
    said_parts, notes = parts(path, arrays.get("split"), len(rows))
    checksums = {path.name: files.checksum(path)}
    with files.reading(path):
        rows, labels = examples.judged(rows, labels, names)
        return examples.grouped(
            rows, labels, names, name=files.stem(path), checksums=checksums, parts=said_parts, notes=notes
        )


def parts(path: pathlib.Path, split: np.ndarray | None, count: int) -> tuple[list[str] | None, tuple[str, ...]]:
    """The split of each example where an array says it, and what is said of that."""
    if split is None:
        return None, ()
    if split.shape != (count,):
        return None, (f"array 'split' of shape {split.shape} passed over",)
    words = list(map(str, split.tolist()))
    said = [splits.PARTS.get(word.strip().lower(), "") for word in words]
    if "" in said:
        got, hint = repr(words[said.index("")]), "save what says something else by another name"
        checks.fail(f"{path}, split", "train, validation or test for each example", got, hint, checks.DataError)
    return said, ("splits of the array 'split'",)


def _names(path: pathlib.Path, names: np.ndarray | None) -> list[str] | None:
    if names is None:
        return None
    if names.ndim != 1 or names.dtype.kind != "U":
        got = f"dtype {names.dtype}, shape {names.shape}"
        checks.fail(f"{path}, class_names", "one text for each class", got, error=checks.DataError)
    return names.tolist()


def unlabelled(path: pathlib.Path, form: pictures.Form | None) -> tuple[list[str], np.ndarray]:
    """Reads images or inputs [N, ...]; examples are named by their position."""
    key, array = _inputs(path, read_arrays(path, ("images", "inputs")))
    rows = _rows(f"{path}, {key}", key, array, form)
    files.said(path, f"{len(rows)} of {key!r}")
    return [str(index) for index in range(len(rows))], rows
