"""What pictures are drawn on, dark or bright, and what is said where some are on another ground than the rest."""

from __future__ import annotations

import numpy as np

from jaxmeta import datasets

PLAIN = 0.75  # of a border's pixels that are dark, or bright, where that is the picture's ground
MOST = 0.9  # of the pictures of a set that has one ground; photographs have many
KINDS = ("dark", "bright")
SHOWN = 5  # classes that are named


def of(images: np.ndarray) -> str:
    """The ground of pictures uint8 [N, height, width, channels], "" where they have none in common."""
    each = _of_each(images)
    return next((kind for kind in KINDS if (each == kind).mean() >= MOST), "")


def _of_each(images: np.ndarray) -> np.ndarray:
    bright = (datasets.border(images) > 127).mean(axis=1)
    return np.where(bright >= PLAIN, "bright", np.where(bright <= 1 - PLAIN, "dark", ""))


def _blank(images: np.ndarray) -> np.ndarray:
    flat = images.reshape(len(images), -1)
    return flat.min(axis=1) == flat.max(axis=1)


def unlike(images: np.ndarray, ground: str, others: str) -> list[str]:
    """What is said of pictures that are blank, or on another ground than others are."""
    blank, count = _blank(images), len(images)
    swapped = int((~blank & (_of_each(images) == _other(ground))).sum()) if ground in KINDS else 0
    said = []
    if swapped:  # more is not known of what is drawn on them
        said.append(f"{swapped} of {count} have {_other(ground)} borders where {others} have {ground} ones")
    return said + ([f"{int(blank.sum())} of {count} are blank"] if blank.any() else [])


def _other(ground: str) -> str:
    return KINDS[1 - KINDS.index(ground)]


def notes(loaded: datasets.Examples) -> list[str]:
    """What is said of labelled pictures: classes of another ground than the rest would be told by that alone."""
    starts, ends = loaded.offsets[:-1], loaded.offsets[1:]
    found: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for name, start, end in zip(loaded.class_names, starts, ends, strict=True):
        if ground := of(loaded.inputs[start:end]):
            found[ground].append(name)
    if not all(found.values()):
        return unlike(loaded.inputs, of(loaded.inputs), "the others")
    fewer = min(KINDS, key=lambda kind: len(found[kind]))
    shown = ", ".join(found[fewer][:SHOWN]) + (" .." if len(found[fewer]) > SHOWN else "")
    told = f"{fewer} borders in {shown}, {_other(fewer)} ones in other classes: that may be all that tells them apart"
    return [told, *unlike(loaded.inputs, "", "")]
