import pathlib

import matplotlib
import numpy as np
import pytest

from jaxmeta import datasets
from jaxmeta.datasets import Form, fonts, pictures, splits


@pytest.fixture(scope="module")
def drawings(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def printed(drawings):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXMETA_CACHE", drawings)
        return datasets.load("fonts")


def test_characters(printed):
    assert printed.class_names == tuple(sorted(fonts.CHARACTERS))
    assert len(set(fonts.CHARACTERS)) == len(fonts.CHARACTERS)
    assert printed.inputs.shape[1:] == (28, 28, 1)
    assert printed.inputs.dtype == np.uint8
    assert set(np.diff(printed.offsets)) == {32, 44}
    assert len(printed.checksums) == len(fonts.TYPEFACES)


def test_each_has_ink_that_is_not_cut_off(printed):
    ink = printed.inputs[..., 0] / 255
    share = ink.mean((1, 2))
    assert share.min() > 0.015
    assert share.max() < 0.5
    assert np.maximum(ink[:, [0, -1]].max((1, 2)), ink[:, :, [0, -1]].max((1, 2))).mean() < 0.02


def test_drawings_differ_and_classes_differ(printed):
    assert len({image.tobytes() for image in printed.inputs}) == len(printed.inputs)
    means = np.stack(
        [printed.inputs[a:b].mean(0).ravel() for a, b in zip(printed.offsets, printed.offsets[1:], strict=False)]
    )
    apart = np.square(means[:, None] - means).mean(-1) + 1e9 * np.eye(len(means))
    assert apart.min() > 50


def test_typefaces_without_a_character_leave_it_out():
    folder = pathlib.Path(matplotlib.get_data_path(), "fonts", "ttf")
    assert fonts._characters(folder / "cmr10.ttf") == set(fonts.CHARACTERS[:51])
    assert fonts._characters(folder / "STIXSizOneSymReg.ttf") == set()


def test_splits(printed, drawings, monkeypatch):
    monkeypatch.setenv("JAXMETA_CACHE", drawings)
    parts = [datasets.load("fonts", split=split) for split in splits.SPLITS]
    assert [len(part.class_names) for part in parts] == [48, 23, 23]
    assert set().union(*(part.class_names for part in parts)) == set(printed.class_names)


def test_drawn_once_and_the_same_each_time(printed, monkeypatch):
    np.testing.assert_array_equal(datasets.load("fonts").inputs, printed.inputs)
    monkeypatch.setattr(pictures, "stack", lambda _: pytest.fail("drawn again"))
    np.testing.assert_array_equal(datasets.load("fonts").inputs, printed.inputs)
    paper = datasets.load("fonts", form=Form(28, 28, 1, "invert"))
    np.testing.assert_array_equal(paper.inputs, 255 - printed.inputs)


def test_forms(monkeypatch):
    monkeypatch.setattr(fonts, "TYPEFACES", fonts.TYPEFACES[:1])
    assert fonts.load(Form(20, 40, 3)).inputs.shape == (2 * len(fonts.CHARACTERS), 20, 40, 3)


def test_a_missing_typeface(monkeypatch, refused):
    monkeypatch.setattr(fonts, "TYPEFACES", ("Helvetica",))
    with refused("Helvetica.ttf"):
        datasets.load("fonts")
