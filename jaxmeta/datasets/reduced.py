"""Published sets reduced to small pictures, one npz each: caltech101, ucmerced, bccd_cells and emoji_styles."""

from __future__ import annotations

import pathlib

import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import examples, files, npz, pictures, splits

NPZ = {
    "caltech101": "caltech101_32.npz",
    "ucmerced": "ucmerced_64.npz",
    "bccd_cells": "bccd_cells_32.npz",
    "emoji_styles": "emoji_styles_32.npz",
}
GROUPS = {"Faces_easy": "Faces"}  # the same people are in both


def find(folder: pathlib.Path, name: str) -> pathlib.Path | None:
    """Returns the npz of a set if it lies in a folder."""
    path = folder / NPZ[name]
    return path if path.is_file() else None


def load(path: pathlib.Path, name: str, split: str | None, form: pictures.Form | None) -> examples.Examples:
    """Reads one of `NPZ`, or some styles of "emoji_styles"; the pictures' own form is 32 x 32 RGB, ucmerced's 64 x 64.

    caltech101 and ucmerced are split by class. bccd_cells has three classes, all of them in each split, and is split
    by the slide that a cell was cut out of.
    """
    if name.startswith("emoji_styles"):
        return _load_emoji(path, name, split, form)
    everything = npz.labelled(path, form)._replace(name=name)
    if name != "bccd_cells":
        return splits.by_class(everything, split, [GROUPS.get(each, each) for each in everything.class_names])
    arrays = _arrays(path, "source_image", "labels")
    slides = arrays["source_image"]
    if slides.shape != arrays["labels"].shape or slides.dtype.kind != "U":
        got = f"dtype {slides.dtype}, shape {slides.shape}"
        checks.fail(f"{path}, source_image", "one text for each picture", got, error=checks.DataError)
    order = np.argsort(arrays["labels"], kind="stable")
    return splits.by_source(everything, split, slides[order].tolist())


def _load_emoji(path: pathlib.Path, name: str, split: str | None, form: pictures.Form | None) -> examples.Examples:
    """Reads "emoji_styles", a class an emoji and an example a style in the order of the npz, or some styles alone.

    "emoji_styles:noto" and the other styles have one example a class, and the same classes in the same order: supports
    of one style and queries of another make the tasks of `tasks.across`. "emoji_styles:fluent3d+openmoji" has both of
    these: a target of styles that a training on "emoji_styles:noto+twemoji" has not seen. Emoji of one subcategory,
    such as the clock faces, look alike, and are on one side of a split.
    """
    arrays = _arrays(path, "images", "class_names", "subcategory", "styles")
    for key in ("class_names", "subcategory", "styles"):
        if arrays[key].ndim != 1 or arrays[key].dtype.kind != "U":
            got = f"dtype {arrays[key].dtype}, shape {arrays[key].shape}"
            checks.fail(f"{path}, {key}", "texts [N]", got, error=checks.DataError)
    images, classes, styles = arrays["images"], arrays["class_names"], arrays["styles"].tolist()
    shape = images.shape
    if len(shape) != 5 or shape[:2] != (len(classes), len(styles)) or len(arrays["subcategory"]) != len(classes):
        wanted = f"images [{len(classes)} classes, {len(styles)} styles, height, width, 3]"
        checks.fail(str(path), wanted, f"shape {shape}", error=checks.DataError)
    if asked := name.partition(":")[2]:
        for style in (chosen := asked.split("+")):
            if style not in styles:
                checks.fail(f"{path}, styles", f"{style!r} among them", ", ".join(styles), error=checks.DataError)
        images = images[:, [styles.index(style) for style in chosen]]
    rows = pictures.from_numbers(images.reshape(-1, *shape[2:]), str(path))
    labels = np.repeat(np.arange(len(classes)), images.shape[1])
    with files.reading(path):
        everything = examples.grouped(
            pictures.fit(rows, form), labels, classes.tolist(), name=name, checksums={path.name: files.checksum(path)}
        )
    return splits.by_class(everything, split, arrays["subcategory"].tolist())


def _arrays(path: pathlib.Path, *wanted: str) -> dict[str, np.ndarray]:
    arrays = npz.read_arrays(path, wanted)
    if missing := set(wanted) - set(arrays):
        got = ", ".join(arrays) or "none of them"
        checks.fail(
            str(path),
            f"arrays called {', '.join(wanted)}",
            f"no {' or '.join(sorted(missing))}",
            f"it has {got}",
            checks.DataError,
        )
    return arrays
