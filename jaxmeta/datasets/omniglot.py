"""Omniglot: 1,623 handwritten characters of 50 alphabets, 20 drawings each (Lake et al., 2015)."""

from __future__ import annotations

import io
import pathlib
import re
from collections.abc import Iterator, Sequence

import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import cache, examples, files, npz, pictures, splits

NUM_CLASSES, NUM_DRAWINGS = 1623, 20
NATIVE = pictures.Form(28, 28, 1)
ZIPS = ("images_background.zip", "images_evaluation.zip")
NPZ = "omniglot_28x28.npz"
WANTED = f"{' and '.join(ZIPS)}, or {NPZ}"
SPLITS = ("train", "validation", "test", "train+validation")

_DRAWING = re.compile(r"images_(background|evaluation)/[^/]+/character\d+/\d+_\d+\.png")


def find(folder: pathlib.Path, form: pictures.Form | None) -> list[pathlib.Path]:
    """Returns the files in a folder to read for a form: the npz, the two zips, or none."""
    small = [path for path in [folder / NPZ] if path.is_file()]
    zips = [folder / name for name in ZIPS]
    complete = zips if all(path.is_file() for path in zips) else []
    # The npz is faster; other sizes are better made from the 105 x 105 originals.
    return small or complete if (form or NATIVE)[:2] == NATIVE[:2] else complete or small


def load(paths: Sequence[pathlib.Path], split: str | None, form: pictures.Form | None) -> examples.Examples:
    """Reads the files that `find` returned; pictures have ink 255 on 0 unless the form inverts them."""
    checks.choice("split", split, (None, *SPLITS))
    form = form or NATIVE
    names, images = read_npz(paths[0], form) if paths[0].name == NPZ else read_zips(paths, form)
    classes, sizes = np.unique(names, return_counts=True)
    if len(classes) != NUM_CLASSES or (sizes != NUM_DRAWINGS).any():
        got = f"{len(classes)} classes with {sizes.min(initial=0)} to {sizes.max(initial=0)} drawings"
        wanted = f"{NUM_CLASSES} classes with {NUM_DRAWINGS} drawings each"
        checks.fail(", ".join(map(str, paths)), wanted, got, "load a part of it as a folder", checks.DataError)
    checksums = {path.name: files.checksum(path) for path in paths}
    everything = examples.grouped(images, names, name="omniglot", checksums=checksums)
    return everything if split is None else examples.select(everything, partition(classes.tolist())[split], split)


def partition(class_names: Sequence[str]) -> dict[str, list[int]]:
    """Returns {split: sorted class indices}, 1100 / 100 / 423 classes.

    Classes are dealt out in the order of the sha256 of their names, so the partition is the same everywhere and for
    ever. "train+validation" and "test" are the 1200 / 423 partition.
    """
    parts = splits.deal(class_names, {"train": 1100, "validation": 100, "test": 423})
    return parts | {"train+validation": sorted(parts["train"] + parts["validation"])}


def read_npz(path: pathlib.Path, form: pictures.Form) -> tuple[list[str], np.ndarray]:
    """Returns the class name of every drawing and the drawings [N, height, width, channels]."""
    arrays = npz.read_arrays(path, ("images", "class_names"))
    if set(arrays) != {"images", "class_names"}:
        got = " and ".join(arrays) or "neither"
        checks.fail(str(path), "arrays called images and class_names", got, error=checks.DataError)
    images, classes = arrays["images"], arrays["class_names"]
    if images.ndim != 4 or images.dtype != np.uint8 or classes.shape != images.shape[:1] or classes.dtype.kind != "U":
        got = f"{images.dtype} {images.shape} and {classes.dtype} {classes.shape}"
        wanted = "images uint8 [classes, drawings, height, width] and one class name each"
        checks.fail(str(path), wanted, got, error=checks.DataError)
    names = np.repeat(classes, images.shape[1]).tolist()
    return names, pictures.fit(pictures.from_numbers(images.reshape(-1, *images.shape[2:]), str(path)), form)


def read_zips(paths: Sequence[pathlib.Path], form: pictures.Form) -> tuple[list[str], np.ndarray]:
    """The same from the published archives: images_background/ALPHABET/characterNN/NNNN_DD.png."""
    drawings = [each for path in paths for each in _drawings(path)]
    if not drawings:
        wanted = "drawings such as images_background/Greek/character01/0394_01.png"
        checks.fail(", ".join(map(str, paths)), wanted, "none", error=checks.DataError)
    checksums = {path.name: files.checksum(path) for path in paths}

    def decode() -> cache.Decoded:
        return (each for path in paths for each in _decode(path, form))

    images = cache.images("omniglot", form, checksums, len(drawings), decode)
    return [name.rpartition("/")[0] for name in drawings], pictures.with_polarity(images, form)


def _drawings(path: pathlib.Path) -> list[str]:
    with files.archive(path) as archive:
        return sorted(name for name in archive.namelist() if _DRAWING.fullmatch(name))


def _decode(path: pathlib.Path, form: pictures.Form) -> Iterator[tuple[str, np.ndarray]]:
    invert = files.extra("PIL.ImageOps").invert
    names = _drawings(path)
    with files.archive(path) as archive:
        for name in names:
            what = f"{path}, {name}"
            with files.reading(what):
                content = archive.read(name)
            image = pictures.decode(io.BytesIO(content), what)
            # Inverted first, then resized: the order that the reduced 28 x 28 set was made in.
            yield what, pictures.to_array(invert(image), form)
