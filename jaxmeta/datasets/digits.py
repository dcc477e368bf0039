"""scikit-learn's 1,797 handwritten digits, as they are and moved about; nothing to download."""

from __future__ import annotations

import hashlib

import numpy as np

from jaxmeta.datasets import examples, files, pictures

MOVED = pictures.Form(28, 28, 1)
_SEED = 0


def load(form: pictures.Form | None) -> examples.Examples:
    """Returns the digits, 8 x 8 grey unless a form says otherwise, bright on dark."""
    images, labels = _bundled()
    pixels = np.rint(images * (255 / 16)).astype(np.uint8)[..., None]
    return _examples(pictures.fit(pixels, form), labels, "digits", images)


def load_moved(form: pictures.Form | None) -> examples.Examples:
    """Returns the digits rotated by up to 20 degrees, shifted by up to 4/28 of the side and scaled by 0.8 to 1.2.

    Raw pixels tell the digits apart almost as well as a network does; once they are moved about they no longer do.
    """
    form = form or MOVED
    images, labels = _bundled()
    moved = pictures.fit(_move(images, form.height, form.width), form)
    return _examples(moved, labels, "digits_moved", images)


def _bundled() -> tuple[np.ndarray, np.ndarray]:
    """Returns pictures float64 [1797, 8, 8] in 0..16 and labels."""
    bundle = files.extra("sklearn.datasets").load_digits()
    return bundle.images, bundle.target


def _examples(images: np.ndarray, labels: np.ndarray, name: str, source: np.ndarray) -> examples.Examples:
    checksums = {"digits": hashlib.sha256(source.astype("<f8").tobytes()).hexdigest()}
    return examples.grouped(images, labels, name=name, checksums=checksums)


def _move(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """Draws every picture [N, size, size] in 0..16, moved at random, as uint8 [N, height, width, 1]."""
    count, size, _ = images.shape
    # RandomState's streams are frozen for good, those of default_rng are not.
    angle, rows, columns, zoom = np.random.RandomState(_SEED).uniform(-1, 1, (4, count, 1, 1))
    angle, scale = np.deg2rad(20) * angle, 1 + 0.2 * zoom
    # Each output pixel's centre, from the middle of the picture and in units of its side, back to the source.
    y = (np.arange(height)[None, :, None] + 0.5) / height - 0.5 - rows * 4 / 28
    x = (np.arange(width)[None, None, :] + 0.5) / width - 0.5 - columns * 4 / 28
    source_y = (np.cos(angle) * y - np.sin(angle) * x) / scale
    source_x = (np.sin(angle) * y + np.cos(angle) * x) / scale
    places = [(axis + 0.5) * size - 0.5 for axis in (source_y, source_x)]
    which = np.broadcast_to(np.arange(count)[:, None, None], places[0].shape)
    sample = files.extra("scipy.ndimage").map_coordinates
    values = sample(images, [which, *places], order=1, mode="grid-constant")
    return np.rint(values * (255 / 16)).clip(0, 255).astype(np.uint8)[..., None]
