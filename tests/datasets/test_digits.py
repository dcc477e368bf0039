import numpy as np
import pytest
from sklearn.datasets import load_digits

from jaxmeta import datasets
from jaxmeta.datasets import Form, digits


def test_digits_as_they_are():
    loaded = datasets.load("digits")
    bundle = load_digits()
    assert loaded.inputs.shape == (1797, 8, 8, 1)
    assert loaded.inputs.dtype == np.uint8
    assert loaded.class_names == tuple("0123456789")
    assert loaded.name == "digits"
    zeros = bundle.images[bundle.target == 0]
    np.testing.assert_array_equal(loaded.inputs[: loaded.offsets[1], ..., 0], np.rint(zeros * 255 / 16))
    assert datasets.load("digits", form=Form(28, 28, 3, "ink")).inputs.shape == (1797, 28, 28, 3)


def test_moved_digits_are_always_the_same():
    first, second = (datasets.load("digits_moved") for _ in range(2))
    np.testing.assert_array_equal(first.inputs, second.inputs)
    assert first.inputs.shape == (1797, 28, 28, 1)
    assert first.inputs.dtype == np.uint8
    assert first.offsets.tolist() == datasets.load("digits").offsets.tolist()
    assert first.checksums == datasets.load("digits").checksums
    # A last bit of the sine may differ between machines, a whole row of pixels does not.
    np.testing.assert_allclose(first.inputs[0, 14, ::4, 0], GOLDEN, atol=1)
    assert datasets.load("digits_moved", form=Form(14, 20, 3)).inputs.shape == (1797, 14, 20, 3)


GOLDEN = [0, 80, 115, 0, 84, 129, 3]


class _Draws:
    """Stands for RandomState: the same draws in [-1, 1] for every picture."""

    def __init__(self, angle, rows, columns, zoom):
        self.draws = np.array([angle, rows, columns, zoom], float).reshape(4, 1, 1, 1)

    def __call__(self, seed):
        return self

    def uniform(self, low, high, shape):
        return np.broadcast_to(self.draws, shape)


def _blob(monkeypatch, **draws):
    """Centre and area of a square in the middle, in units of 28 pixels, once moved."""
    monkeypatch.setattr(np.random, "RandomState", _Draws(**{"angle": 0, "rows": 0, "columns": 0, "zoom": 0, **draws}))
    square = np.zeros((1, 28, 28))
    square[:, 10:18, 10:18] = 16
    moved = digits._move(square, 28, 28)[0, ..., 0] / 255
    y, x = ((moved.sum(axis) * np.arange(28)).sum() / moved.sum() for axis in (1, 0))
    return y - 13.5, x - 13.5, moved.sum() / 64


def test_unmoved_digits_stay(monkeypatch):
    np.testing.assert_allclose(_blob(monkeypatch), (0, 0, 1), atol=1e-9)


@pytest.mark.parametrize("sign", [-1, 1])
def test_extremes_are_those_promised(monkeypatch, sign):
    np.testing.assert_allclose(_blob(monkeypatch, rows=sign), (4 * sign, 0, 1), atol=1e-6)
    np.testing.assert_allclose(_blob(monkeypatch, columns=sign), (0, 4 * sign, 1), atol=1e-6)
    # The square's edges fall between the pixels, so its area is met to a tenth of a pixel a side.
    np.testing.assert_allclose(_blob(monkeypatch, zoom=sign), (0, 0, (1 + 0.2 * sign) ** 2), atol=0.04)


def test_rotation_is_by_twenty_degrees(monkeypatch):
    monkeypatch.setattr(np.random, "RandomState", _Draws(1, 0, 0, 0))
    bar = np.zeros((1, 56, 56))
    bar[:, 10:46, 26:30] = 16
    moved = digits._move(bar, 56, 56)[0, ..., 0].astype(float)
    y, x = np.nonzero(moved > 128)
    axis = np.linalg.eigh(np.cov(x, y))[1][:, -1]
    assert np.rad2deg(np.arctan(abs(axis[0] / axis[1]))) == pytest.approx(20, abs=1)


def test_digits_have_no_splits():
    for name in ("digits", "digits_moved"):
        with pytest.raises(ValueError, match="split"):
            datasets.load(name, split="train")
