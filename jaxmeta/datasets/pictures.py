"""Pictures as arrays: decoding, and the one form in which they reach a model."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterable, Iterator
from typing import IO, Any, NamedTuple, NoReturn

import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import files

MAX_PIXELS = 50_000_000
MAX_SIDE = 4096  # of the form a user asks for
MAX_BYTES = 2**33  # of all pictures of a set
_FAINT = 16  # shades of 256: what differs by fewer is not seen
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")


class Form(NamedTuple):
    """The one form in which pictures of any source reach a model."""

    height: int
    width: int
    channels: int  # 1 grey, 3 RGB
    polarity: str = "as_is"  # "as_is", "invert", or "ink": bright on dark, so a set whose border is bright is inverted


def check_form(form: Form | None) -> None:
    """Raises ValueError or TypeError if pictures cannot be brought to this form."""
    if form is not None:
        checks.integer("form.height", form.height, 1, MAX_SIDE)
        checks.integer("form.width", form.width, 1, MAX_SIDE)
        checks.choice("form.channels", form.channels, (1, 3))
        checks.choice("form.polarity", form.polarity, ("as_is", "invert", "ink"))


def decode(source: str | IO[bytes], what: str, form: Form | None = None) -> Any:
    """Returns a picture as a Pillow image of mode "L" (grey) or "RGB"; transparent parts show white paper.

    A JPEG that is far larger than the form is decoded at a half, a quarter or an eighth of its size, still at least
    twice the form's.

    Raises:
      DataError: if it is corrupt, of an unknown kind, above 50 megapixels or of more pixels than its bytes can hold;
        this is known from its header, before anything is decoded. Also if it has several frames or pages, if it has
        16 bits a channel of which the upper two are not used, or if white paper makes it blank.
    """
    image_module = files.extra("PIL.Image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is odd and can yet be read
            warnings.simplefilter("error", image_module.DecompressionBombWarning)
            with image_module.open(source, formats=_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise image_module.DecompressionBombError(f"{image.width} x {image.height} pixels")
                files.check_ratio(what, 4 * image.width * image.height, _size(source))
                _check_frames(image, what)
                if form is not None:  # of the longer side, for a picture may lie on its side until it is turned
                    image.draft(None, (2 * max(form.width, form.height),) * 2)
                wide = any(";16" in str(tile[3]) for tile in image.tile)
                with _quiet() if image.format == "TIFF" else contextlib.nullcontext():
                    made = _plain(files.extra("PIL.ImageOps").exif_transpose(image), what)
                if wide and 0 < (most := np.asarray(made).max()) < 64:  # of each number the upper half was taken
                    _fail_dark(what, f"up to {256 * (int(most) + 1) - 1}")
                return made
    except checks.DataError:
        raise
    except (image_module.DecompressionBombError, image_module.DecompressionBombWarning) as error:
        checks.fail(what, f"at most {MAX_PIXELS:,} pixels", str(error), error=checks.DataError)
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, IndexError and more on bad bytes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        hint = "replace or remove the file"
        checks.fail(what, "a whole picture (png, jpg, bmp, gif, tif, webp)", reason, hint, checks.DataError)


def _check_frames(image: Any, what: str) -> None:
    # Telephones keep a preview beside the picture, as a second one of the format MPO.
    if image.format != "MPO" and (frames := getattr(image, "n_frames", 1)) > 1:
        hint = "save the one that is meant"
        checks.fail(what, "one picture", f"{frames} frames or pages", hint, checks.DataError)


def _fail_dark(what: str, got: str) -> NoReturn:
    hint = "bring it to 8 bits, or spread it over the 16"
    checks.fail(what, "16 bits that are used", f"numbers {got}", hint, checks.DataError)


def _size(source: str | IO[bytes]) -> int:
    if isinstance(source, str):
        return os.path.getsize(source)
    where = source.tell()
    size = source.seek(0, os.SEEK_END)
    source.seek(where)
    return size


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Takes away what libtiff writes to the terminal on its own, of files that are then refused in one line."""
    with open(os.devnull, "wb") as nowhere:
        before = os.dup(2)
        try:
            os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)


def _plain(image: Any, what: str) -> Any:
    image_module = files.extra("PIL.Image")
    if image.mode.startswith("I;16"):
        # Pillow's own conversion clips 16 bits at 255.
        array = np.asarray(image)
        if 0 < (most := int(array.max())) < 2**14:
            _fail_dark(what, f"up to {most}")
        return image_module.fromarray((array >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        checks.fail(what, "8 or 16 bits a channel", f"Pillow mode {image.mode}", error=checks.DataError)
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = image_module.new("RGBA", layer.size, "white")
        image.alpha_composite(layer)
        low, high = layer.getextrema()[3]
        drawn = any(least < most for least, most in layer.getextrema()[:3])
        faint = high - low > _FAINT and all(most - least < _FAINT for least, most in image.convert("RGB").getextrema())
        if faint or (drawn and not high):
            got = "white on a transparent ground" if high else "colours that are all transparent"
            hint = "flatten it on a darker ground" if high else "remove its transparency"
            checks.fail(what, "a picture that is seen on white paper", got, hint, checks.DataError)
    return image.convert(mode)


def to_array(image: Any, form: Form | None) -> np.ndarray:
    """Returns a grey or RGB Pillow image as uint8 [height, width, channels], in the size and channels of the form."""
    if form is not None:
        image = image.convert("L" if form.channels == 1 else "RGB")
        if image.size != (form.width, form.height):
            # Lanczos keeps thin strokes when a picture shrinks; bicubic rings less when it grows.
            shrinks = image.width > form.width or image.height > form.height
            resampling = files.extra("PIL.Image").Resampling
            image = image.resize((form.width, form.height), resampling.LANCZOS if shrinks else resampling.BICUBIC)
    array = np.asarray(image)
    return array if array.ndim == 3 else array[:, :, None]


def stack(decoded: Iterable[tuple[str, np.ndarray]]) -> np.ndarray:
    """Joins (name, picture [height, width, channels]) pairs, which must all have one shape.

    Raises:
      DataError: names the first picture that differs.
    """
    arrays: list[np.ndarray] = []
    for what, array in decoded:
        if (len(arrays) + 1) * array.nbytes > MAX_BYTES:
            got, hint = f"more in the first {len(arrays) + 1:,} pictures", "ask for a smaller form"
            checks.fail(what, f"pictures of {MAX_BYTES:,} bytes at most", got, hint, checks.DataError)
        if arrays and array.shape != arrays[0].shape:
            wanted, got = (_describe(each.shape) for each in (arrays[0], array))
            checks.fail(what, f"{wanted}, like the first picture", got, "ask for one form", checks.DataError)
        arrays.append(array)
    return np.stack(arrays)


def _describe(shape: tuple[int, ...]) -> str:
    height, width, channels = shape
    return f"{height} x {width} {'grey' if channels == 1 else 'RGB'} (height x width)"


def fit(images: np.ndarray, form: Form | None) -> np.ndarray:
    """Brings pictures uint8 [N, height, width, channels] of 1 or 3 channels to a form; None leaves them."""
    if form is None:
        return images
    if images.shape[1:] != (form.height, form.width, form.channels):
        fromarray = files.extra("PIL.Image").fromarray
        grey = images.shape[3] == 1
        images = np.stack([to_array(fromarray(each[:, :, 0] if grey else each), form) for each in images])
    return with_polarity(images, form)


def with_polarity(images: np.ndarray, form: Form | None) -> np.ndarray:
    """Inverts all pictures or none, as the form's polarity says."""
    if form is None or form.polarity == "as_is":
        return images
    return 255 - images if form.polarity == "invert" or bright_border(images) else images


def bright_border(images: np.ndarray) -> bool:
    """Whether pictures uint8 [N, height, width, channels] show dark ink on bright paper."""
    # One decision for the whole set: a class must not be told apart by what was inverted.
    return bool(np.median(border(images)) > 127)


def border(images: np.ndarray) -> np.ndarray:
    """The numbers at the edges of each picture, [N, numbers]."""
    edges = (images[:, 0], images[:, -1], images[:, 1:-1, 0], images[:, 1:-1, -1])
    return np.concatenate([edge.reshape(len(images), -1) for edge in edges], axis=1)


def from_numbers(array: np.ndarray, what: str) -> np.ndarray:
    """Returns numeric pictures [N, height, width] or [N, height, width, channels] as uint8 with a channel axis.

    Whole numbers must lie in 0..255 and use that range, or be 0 and 1 alone; floats must lie in [0, 1]. What lies in
    [0, 1] is scaled.

    Raises:
      DataError: for another shape, dtype or range.
    """
    images = array[..., None] if array.ndim == 3 else array
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape:
        wanted = "pictures [N, height, width] or [N, height, width, 1 or 3]"
        first = array.ndim == 4 and array.shape[1] in (1, 3)
        hint = "channels come last: np.moveaxis(images, 1, -1)" if first else ""
        checks.fail(what, wanted, f"shape {array.shape}", hint, checks.DataError)
    if images.dtype.kind not in "biuf":
        checks.fail(what, "numbers", f"dtype {images.dtype}", error=checks.DataError)
    low, high = images.min(), images.max()
    binary = images.dtype.kind in "iu" and high == 1
    scale = 255 if images.dtype.kind in "bf" or binary else 1
    if not 0 <= low <= high <= 255 // scale:  # false for NaN too
        wanted = "whole numbers in 0..255" if scale == 1 else "floats in [0, 1]"
        checks.fail(what, wanted, f"{low} to {high}", "rescale the pictures", checks.DataError)
    if scale == 1:
        images = images.astype(np.uint8, copy=False)
        checks.picture_range(what, images, checks.DataError)
        return images
    return np.rint(images.astype(np.float64) * scale).astype(np.uint8)
