import numpy as np
import pytest

from jaxmeta import datasets
from jaxmeta.datasets import Form, catalogue, reduced, splits

SIDES = {"caltech101": 32, "ucmerced": 64, "bccd_cells": 32, "emoji_styles": 32}
CLASSES = {"caltech101": (51, 25, 25), "ucmerced": (11, 5, 5), "bccd_cells": (3, 3, 3), "emoji_styles": (667, 312, 320)}


@pytest.fixture(scope="module")
def loaded(real_data):
    return {name: datasets.load(name, data_dir=real_data) for name in SIDES}


@pytest.mark.parametrize("name", SIDES)
def test_whole_sets(loaded, name):
    whole, known = loaded[name], datasets.names()[name]
    assert (len(whole.class_names), len(whole.inputs)) == known[1:3]
    assert whole.inputs.shape[1:] == (SIDES[name], SIDES[name], 3)
    assert whole.inputs.dtype == np.uint8
    assert (whole.name, whole.split) == (name, "all")
    assert list(whole.checksums) == [reduced.NPZ[name]]


@pytest.mark.parametrize("name", SIDES)
def test_splits_share_nothing(loaded, real_data, name):
    parts = [datasets.load(name, data_dir=real_data / name, split=split) for split in splits.SPLITS]
    assert tuple(len(part.class_names) for part in parts) == CLASSES[name]
    assert [(part.name, part.split) for part in parts] == [(name, split) for split in splits.SPLITS]
    assert sum(len(part.inputs) for part in parts) == len(loaded[name].inputs)
    if name != "bccd_cells":
        assert len(set().union(*(part.class_names for part in parts))) == len(loaded[name].class_names)
    if name == "caltech101":
        assert [("Faces" in part.class_names) + ("Faces_easy" in part.class_names) for part in parts].count(2) == 1


def test_domains_meet_in_one_form(real_data):
    for channels in (1, 3):  # of 28 x 28, since other sizes decode Omniglot's zips
        for name in (*SIDES, "mnist", "omniglot"):
            split = "validation" if name != "mnist" else "test"
            part = datasets.load(name, data_dir=real_data, split=split, form=Form(28, 28, channels))
            assert part.inputs.shape[1:] == (28, 28, channels)
            assert part.inputs.dtype == np.uint8


def test_slides_stay_together(real_data, loaded):
    with np.load(real_data / "bccd_cells" / reduced.NPZ["bccd_cells"]) as arrays:
        slide = dict(zip([image.tobytes() for image in arrays["images"]], arrays["source_image"], strict=True))
    parts = [datasets.load("bccd_cells", data_dir=real_data, split=split) for split in splits.SPLITS]
    slides = [{slide[image.tobytes()] for image in part.inputs} for part in parts]
    assert [len(each) for each in slides] == [183, 90, 90]
    assert len(set.union(*slides)) == 363
    for part in parts:
        assert part.class_names == loaded["bccd_cells"].class_names
        assert min(np.diff(part.offsets)) >= 20


def test_styles_are_aligned(real_data, loaded):
    whole = loaded["emoji_styles"].inputs.reshape(1299, 4, 32, 32, 3)
    for index, style in enumerate(catalogue.STYLES):
        one = datasets.load(f"emoji_styles:{style}", data_dir=real_data)
        assert one.name == f"emoji_styles:{style}"
        assert one.class_names == loaded["emoji_styles"].class_names
        assert set(np.diff(one.offsets)) == {1}
        np.testing.assert_array_equal(one.inputs, whole[:, index])
    styles = [
        datasets.load(f"emoji_styles:{style}", data_dir=real_data, split="test") for style in ("noto", "openmoji")
    ]
    assert styles[0].class_names == styles[1].class_names
    for together in catalogue.STYLES_TOGETHER:
        both = datasets.load(f"emoji_styles:{together}", data_dir=real_data)
        chosen = [catalogue.STYLES.index(style) for style in together.split("+")]
        np.testing.assert_array_equal(both.inputs.reshape(1299, 2, 32, 32, 3), whole[:, chosen])
        assert (both.class_names, len(both.inputs)) == (one.class_names, datasets.names()[both.name].examples)
    clocks = [sum(name.startswith("clock") for name in part.class_names) for part in _parts(real_data)]
    assert sorted(map(bool, clocks)) == [False, False, True]


def _parts(real_data):
    return [datasets.load("emoji_styles", data_dir=real_data, split=split) for split in splits.SPLITS]


def test_unknown_styles():
    with pytest.raises(ValueError, match="domain"):
        datasets.load("emoji_styles:apple")


@pytest.mark.parametrize("name", SIDES)
def test_missing_files(name, refused, tmp_path):
    with refused(name, reduced.NPZ[name], tmp_path):
        datasets.load(name, data_dir=tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"subcategory": None}, "no subcategory"),
        ({"images": np.zeros((2, 3, 4, 4, 3), np.uint8)}, "2 styles"),
        ({"images": np.zeros((2, 2, 4, 4, 3))[..., 0]}, "2 styles"),
        ({"images": np.full((2, 2, 4, 4, 3), 2.0)}, "floats in [0, 1]"),
        ({"class_names": np.array(["a", "a"])}, "more than once"),
        ({"styles": np.array(["a", "b"])}, "'noto' among them"),
    ],
)
def test_unfit_emoji(tmp_path, refused, change, words):
    arrays = {
        "images": np.zeros((2, 2, 4, 4, 3), np.uint8),
        "class_names": np.array(["a", "b"]),
        "subcategory": np.array(["x", "y"]),
        "styles": np.array(["noto", "twemoji"]),
    }
    arrays = {key: value for key, value in {**arrays, **change}.items() if value is not None}
    np.savez(tmp_path / reduced.NPZ["emoji_styles"], **arrays)
    with refused("emoji_styles_32.npz", words):
        datasets.load("emoji_styles:noto", data_dir=tmp_path)
    with refused("emoji_styles_32.npz", words):
        datasets.load("emoji_styles:noto+twemoji", data_dir=tmp_path)


def test_cells_without_slides(tmp_path, refused):
    arrays = {"images": np.zeros((4, 5, 5, 3), np.uint8), "labels": np.arange(4) % 2}
    np.savez(tmp_path / reduced.NPZ["bccd_cells"], **arrays)
    with refused("bccd_cells_32.npz", "no source_image"):
        datasets.load("bccd_cells", data_dir=tmp_path)
    np.savez(tmp_path / reduced.NPZ["bccd_cells"], **arrays, source_image=np.arange(4))
    with refused("bccd_cells_32.npz, source_image", "one text for each picture"):
        datasets.load("bccd_cells", data_dir=tmp_path)
