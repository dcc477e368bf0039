import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from jaxmeta.datasets import Form, pictures


def _saved(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    stream.seek(0)
    return stream


def _decoded(image, kind="PNG", **options):
    return pictures.to_array(pictures.decode(_saved(image, kind, **options), "it"), None)


def _png_header(width, height):
    """A PNG whose header claims a size and that has nothing else."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    data = b"IDAT" + zlib.compress(b"")
    end = b"IEND"
    tail = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    return b"\x89PNG\r\n\x1a\n" + chunk + tail + struct.pack(">I", 0) + end + struct.pack(">I", zlib.crc32(end))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF"])
def test_lossless_kinds(kind):
    array = np.arange(0, 240, 10, dtype=np.uint8).reshape(6, 4)
    np.testing.assert_array_equal(_decoded(Image.fromarray(array), kind)[..., 0], array)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_kinds(kind):
    array = np.full((8, 8, 3), (200, 100, 50), np.uint8)
    np.testing.assert_allclose(_decoded(Image.fromarray(array), kind), array, atol=4)


def test_modes_become_grey_or_colour():
    grey = np.array([[0, 255], [128, 7]], np.uint8)
    assert _decoded(Image.fromarray(grey).convert("1")).shape == (2, 2, 1)
    assert _decoded(Image.fromarray(grey).convert("LA")).shape == (2, 2, 1)
    assert _decoded(Image.fromarray(grey).convert("RGBA")).shape == (2, 2, 3)
    assert _decoded(Image.fromarray(grey).convert("RGB").convert("P")).shape == (2, 2, 3)


@pytest.mark.parametrize(("mode", "kind"), [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("YCbCr", "JPEG")])
def test_colours_of_printers_and_cameras(mode, kind):
    array = np.full((8, 8, 3), (200, 100, 50), np.uint8)
    np.testing.assert_allclose(_decoded(Image.fromarray(array).convert(mode), kind), array, atol=4)


def test_sixteen_bits_keep_their_high_byte():
    deep = Image.fromarray(np.array([[0, 256, 65535, 32768]], np.uint16))
    np.testing.assert_array_equal(_decoded(deep)[..., 0], [[0, 1, 255, 128]])


def test_transparent_parts_are_white():
    layer = np.array([[[10, 20, 30, 255], [10, 20, 30, 0]]], np.uint8)
    np.testing.assert_array_equal(_decoded(Image.fromarray(layer)), [[[10, 20, 30], [255, 255, 255]]])


def test_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees to view"
    assert _decoded(Image.fromarray(np.zeros((8, 16, 3), np.uint8)), "JPEG", exif=exif).shape == (16, 8, 3)


def test_float_pictures_are_refused(refused):
    with refused("it", "mode F"):
        _decoded(Image.fromarray(np.zeros((2, 2), np.float32)), "TIFF")


@pytest.mark.parametrize(("width", "height"), [(50_001, 1000), (10_000, 9_000), (2**30, 2**30)])
def test_bombs_are_refused_from_their_header(refused, width, height):
    with refused("big.png", "at most 50,000,000 pixels"):
        pictures.decode(io.BytesIO(_png_header(width, height)), "big.png")


def test_more_pixels_than_the_bytes_can_hold_are_refused(refused):
    with refused("long.png", "at most 67,108,864 bytes"):
        pictures.decode(io.BytesIO(_png_header(5, 2**23)), "long.png")


def test_small_header_passes_the_size_check(refused):
    with refused("small.png", "a whole picture"):
        pictures.decode(io.BytesIO(_png_header(100, 100)), "small.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP"])
def test_damaged_pictures(refused, kind):
    noise = np.random.RandomState(0).randint(0, 256, (32, 32, 3)).astype(np.uint8)
    whole = _saved(Image.fromarray(noise), kind).getvalue()
    for data in (whole[: len(whole) // 2], b"", b"not a picture"):
        with refused("it", "a whole picture"):
            pictures.decode(io.BytesIO(data), "it")


def test_form_shrinks_grows_and_converts():
    images = np.random.RandomState(0).randint(0, 256, (3, 8, 8, 1)).astype(np.uint8)
    assert pictures.fit(images, None) is images
    assert pictures.fit(images, Form(8, 8, 1)) is images
    assert pictures.fit(images, Form(4, 6, 1)).shape == (3, 4, 6, 1)
    assert pictures.fit(images, Form(16, 8, 1)).shape == (3, 16, 8, 1)
    colour = pictures.fit(images, Form(8, 8, 3))
    np.testing.assert_array_equal(colour, np.repeat(images, 3, -1))
    np.testing.assert_array_equal(pictures.fit(colour, Form(8, 8, 1)), images)


def test_shrinking_is_lanczos_and_growing_bicubic():
    picture = np.random.RandomState(0).randint(0, 256, (8, 8)).astype(np.uint8)
    for size, resampling in ((5, Image.Resampling.LANCZOS), (20, Image.Resampling.BICUBIC)):
        wanted = np.asarray(Image.fromarray(picture).resize((size, size), resampling))
        np.testing.assert_array_equal(pictures.fit(picture[None, ..., None], Form(size, size, 1))[0, ..., 0], wanted)


def test_polarity_is_decided_once_for_a_set():
    paper = np.full((3, 6, 6, 1), 255, np.uint8)
    paper[:, 2:4, 2:4] = 0
    mixed = np.concatenate([paper, 255 - paper[:1]])
    np.testing.assert_array_equal(pictures.fit(mixed, Form(6, 6, 1, "ink")), 255 - mixed)
    np.testing.assert_array_equal(pictures.fit(255 - mixed, Form(6, 6, 1, "ink")), 255 - mixed)
    np.testing.assert_array_equal(pictures.fit(mixed, Form(6, 6, 1, "invert")), 255 - mixed)
    np.testing.assert_array_equal(pictures.fit(mixed, Form(6, 6, 1)), mixed)


@pytest.mark.parametrize("border", [127, 128])
def test_polarity_reads_borders_only(border):
    images = np.full((2, 5, 5, 1), border, np.uint8)
    images[:, 1:-1, 1:-1] = 255 - border
    wanted = images if border == 127 else 255 - images
    np.testing.assert_array_equal(pictures.fit(images, Form(5, 5, 1, "ink")), wanted)


@pytest.mark.parametrize(
    ("form", "error"),
    [
        (Form(0, 28, 1), ValueError),
        (Form(28, 5000, 1), ValueError),
        (Form(28, 28.0, 1), TypeError),  # type: ignore[arg-type]
        (Form(28, 28, 4), ValueError),
        (Form(28, 28, 1, "negative"), ValueError),
    ],
)
def test_impossible_forms(form, error):
    with pytest.raises(error, match="form"):
        pictures.check_form(form)


def test_numbers_become_bytes():
    np.testing.assert_array_equal(
        pictures.from_numbers(np.array([[[0.0, 0.5, 1.0]]]), "it"),
        np.array([0, 128, 255], np.uint8).reshape(1, 1, 3, 1),
    )
    np.testing.assert_array_equal(pictures.from_numbers(np.array([[[False, True]]]), "it")[0, 0, :, 0], [0, 255])
    whole = pictures.from_numbers(np.array([[[0, 255]]], np.int64), "it")
    assert whole.dtype == np.uint8
    np.testing.assert_array_equal(whole[0, 0, :, 0], [0, 255])


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((2, 3)), "shape (2, 3)"),
        (np.zeros((2, 3, 3, 4)), "1 or 3"),
        (np.zeros((0, 3, 3)), "shape (0, 3, 3)"),
        (np.full((1, 2, 2), 1.5), "floats in [0, 1]"),
        (np.full((1, 2, 2), np.nan), "nan"),
        (np.full((1, 2, 2), 256), "0..255"),
        (np.full((1, 2, 2), -1), "-1"),
        (np.full((1, 2, 2), "a"), "numbers"),
    ],
)
def test_numbers_that_are_no_pictures(refused, array, words):
    with refused("it", words):
        pictures.from_numbers(array, "it")


@pytest.mark.parametrize("turned", [1, 6])
def test_a_large_jpeg_is_decoded_at_a_reduced_size(turned):
    """And looks as the whole one does, whichever way it was held."""
    waves = np.sin(np.arange(1200) / 90)[:, None] * np.cos(np.arange(1600) / 70)
    image = Image.fromarray(np.rint(127 + 120 * waves).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = turned
    form = pictures.Form(60, 80, 1)
    reduced = pictures.decode(_saved(image, "JPEG", exif=exif), "it", form)
    whole = pictures.decode(_saved(image, "JPEG", exif=exif), "it")
    assert whole.size == ((1600, 1200) if turned == 1 else (1200, 1600))
    assert (reduced.width * 4, reduced.height * 4) == whole.size
    gap = pictures.to_array(reduced, form).astype(int) - pictures.to_array(whole, form)
    assert np.abs(gap).max() <= 4
    small = pictures.decode(_saved(image.resize((90, 70)), "JPEG"), "it", form)
    assert small.size == (90, 70)
