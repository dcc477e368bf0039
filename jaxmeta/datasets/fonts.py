"""Printed characters in the typefaces that come with matplotlib; nothing to download."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import cache, examples, files, pictures

NATIVE = pictures.Form(28, 28, 1)
DRAWINGS = 2  # of a character in one typeface
# One of those that a change of size, position or alphabet alone tells apart: no O and no o beside 0, no k beside K.
CHARACTERS = "0123456789ABCDEFGHIJKLMNPQRSTUVWXYZabdefghijkmnqrtyΓΔΘΛΞΠΣΦΨΩαβδεζηλμξστφωБДЖИЙЛЦЧШЩЪЫЭЮЯЂЉЊЏЄ"
TYPEFACES = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmb10", "cmmi10", "cmr10", "cmss10", "cmti10", "cmtt10"),
)
_SEED = 0
_CANVAS, _EXTENT = 112, 80  # pixels of the drawing before it is resized: the picture's side, the glyph's longer side


def load(form: pictures.Form | None) -> examples.Examples:
    """Returns the characters, ink 255 on 0 unless the form inverts them, 28 x 28 unless it says otherwise.

    A class is a character, an example is a typeface that has it, drawn twice: turned by up to 10 degrees, scaled by 0.8
    to 1.1 and shifted by up to 2/28 of the side. Digits, Latin, Greek and Cyrillic letters.

    Raises:
      DataError: if matplotlib came without its typefaces.
      ImportError: if matplotlib or Pillow is not installed.
    """
    form = form or NATIVE
    folder = pathlib.Path(files.extra("matplotlib", "plots").get_data_path(), "fonts", "ttf")
    paths = [folder / f"{typeface}.ttf" for typeface in TYPEFACES]
    checksums = {path.name: files.checksum(path) for path in paths}
    known = [(path, character) for path in paths for character in sorted(_characters(path))]
    labels = [character for _, character in known for _ in range(DRAWINGS)]

    images = cache.images(f"fonts {CHARACTERS} {_SEED}", form, checksums, len(labels), lambda: _drawings(known, form))
    images = pictures.with_polarity(images, form)
    return examples.grouped(images, labels, sorted(CHARACTERS), name="fonts", checksums=checksums)


def _characters(path: pathlib.Path) -> set[str]:
    """Returns the characters for which a typeface has a glyph."""
    present = files.extra("matplotlib.ft2font", "plots").FT2Font(str(path)).get_charmap()
    return {character for character in CHARACTERS if ord(character) in present}


def _drawings(known: list[tuple[pathlib.Path, str]], form: pictures.Form) -> Iterator[tuple[str, np.ndarray]]:
    # RandomState's streams are frozen for good, those of default_rng are not.
    moves = np.random.RandomState(_SEED).uniform(-1, 1, (len(known), DRAWINGS, 4))
    for (path, character), drawings in zip(known, moves, strict=True):
        what = f"{path}, {character!r}"
        glyph = _glyph(path, character, what)
        for move in drawings:
            yield what, pictures.to_array(_moved(glyph, *move), form)


def _glyph(path: pathlib.Path, character: str, what: str) -> Any:
    """Returns the character as a grey Pillow image, cut to its ink and in the one size."""
    image_module = files.extra("PIL.Image")
    font = files.extra("PIL.ImageFont").truetype(str(path), _CANVAS)
    image = image_module.new("L", (3 * _CANVAS, 3 * _CANVAS))
    files.extra("PIL.ImageDraw").Draw(image).text((_CANVAS, _CANVAS), character, fill=255, font=font)
    box = image.getbbox()
    if box is None:
        checks.fail(what, "a glyph", "nothing drawn", error=checks.DataError)
    image = image.crop(box)
    scale = _EXTENT / max(image.size)
    size = [max(1, round(side * scale)) for side in image.size]
    return image.resize(size, image_module.Resampling.BICUBIC)


def _moved(glyph: Any, turn: float, zoom: float, across: float, down: float) -> Any:
    """Draws the glyph in the middle of the canvas, moved by amounts in [-1, 1]."""
    image_module = files.extra("PIL.Image")
    canvas = image_module.new("L", (_CANVAS, _CANVAS))
    canvas.paste(glyph, tuple((_CANVAS - side) // 2 for side in glyph.size))
    angle, scale = np.deg2rad(10) * turn, 0.95 + 0.15 * zoom
    cosine, sine, middle = np.cos(angle) / scale, np.sin(angle) / scale, _CANVAS / 2
    x, y = middle + across * _CANVAS * 2 / 28, middle + down * _CANVAS * 2 / 28
    # From a pixel of the result back to the glyph.
    back = (cosine, sine, middle - cosine * x - sine * y, -sine, cosine, middle + sine * x - cosine * y)
    return canvas.transform(canvas.size, image_module.Transform.AFFINE, back, image_module.Resampling.BICUBIC)
