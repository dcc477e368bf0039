import io
import re
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageOps

from jaxmeta import datasets
from jaxmeta.datasets import Form, omniglot, pictures

CLASSES = {
    "images_background": ("Greek/character01", "Alphabet_of_the_Magi/character20"),
    "images_evaluation": ("Angelic/character03", "ULOG/character26"),
}


@pytest.fixture
def small_zips(tmp_path, real_data):
    """Two archives in the published layout that hold four of the real classes."""
    for name, classes in CLASSES.items():
        with (
            zipfile.ZipFile(real_data / "omniglot" / f"{name}.zip") as source,
            zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as target,
        ):
            target.writestr("__MACOSX/._x.png", b"")
            for member in source.namelist():
                if member.startswith(tuple(f"{name}/{each}/" for each in reversed(classes))):
                    target.writestr(member, source.read(member))
    return [tmp_path / name for name in omniglot.ZIPS]


@pytest.fixture(scope="module")
def glyphs(real_data):
    return datasets.load("omniglot", data_dir=real_data)


def test_archives_and_npz_give_equal_arrays(small_zips, glyphs):
    names, images = omniglot.read_zips(small_zips, omniglot.NATIVE)
    assert sorted(set(names)) == sorted(f"{root}/{each}" for root, classes in CLASSES.items() for each in classes)
    for name in set(names):
        index = glyphs.class_names.index(name)
        wanted = glyphs.inputs[glyphs.offsets[index] : glyphs.offsets[index + 1]]
        np.testing.assert_array_equal(images[[each == name for each in names]], wanted)


def test_originals_in_another_form(small_zips):
    _, images = omniglot.read_zips(small_zips, Form(105, 105, 1))
    assert images.shape == (80, 105, 105, 1)
    assert set(np.unique(images)) == {0, 255}
    assert images.mean() < 60
    _, inverted = omniglot.read_zips(small_zips, Form(105, 105, 3, "invert"))
    np.testing.assert_array_equal(inverted, np.repeat(255 - images, 3, axis=-1))


def test_archives_are_decoded_once(small_zips, monkeypatch):
    first = omniglot.read_zips(small_zips, omniglot.NATIVE)
    monkeypatch.setattr(pictures, "decode", lambda *_: pytest.fail("decoded again"))
    second = omniglot.read_zips(small_zips, omniglot.NATIVE)
    assert first[0] == second[0]
    np.testing.assert_array_equal(first[1], second[1])
    with pytest.raises(pytest.fail.Exception, match="decoded again"):
        omniglot.read_zips(small_zips[:1], omniglot.NATIVE)


def test_partition_of_the_real_classes(glyphs, real_data):
    assert glyphs.inputs.shape == (32460, 28, 28, 1)
    assert glyphs.inputs.dtype == np.uint8
    assert glyphs.class_names == tuple(sorted(glyphs.class_names))
    assert glyphs.split == "all"
    assert set(np.diff(glyphs.offsets)) == {20}
    assert list(glyphs.checksums) == [omniglot.NPZ]
    parts = {split: datasets.load("omniglot", data_dir=real_data, split=split) for split in omniglot.SPLITS}
    names = {split: set(part.class_names) for split, part in parts.items()}
    assert [len(names[split]) for split in omniglot.SPLITS] == [1100, 100, 423, 1200]
    assert names["train"] | names["validation"] == names["train+validation"]
    assert names["train"] | names["validation"] | names["test"] == set(glyphs.class_names)
    assert not names["train"] & names["validation"]
    assert not names["train+validation"] & names["test"]
    index = glyphs.class_names.index(parts["test"].class_names[5])
    np.testing.assert_array_equal(parts["test"].inputs[100:120], glyphs.inputs[20 * index : 20 * index + 20])


def test_partition_is_frozen(glyphs):
    names = glyphs.class_names
    first = {split: [names[index] for index in part[:2]] for split, part in omniglot.partition(names).items()}
    magi, futhorc = (
        "images_background/Alphabet_of_the_Magi/character",
        "images_background/Anglo-Saxon_Futhorc/character",
    )
    assert first == {
        "train": [f"{magi}01", f"{magi}02"],
        "validation": [f"{magi}11", f"{futhorc}19"],
        "test": [f"{magi}03", f"{magi}04"],
        "train+validation": [f"{magi}01", f"{magi}02"],
    }


def test_splits_keep_classes_and_drawings_together(tmp_path):
    numbers = np.arange(1623)
    names = np.array([f"images_background/A{number % 50:02}/character{number // 50:02}" for number in numbers])
    images = np.zeros((1623, 20, 28, 28), np.uint8)
    images[:, :, 0, :2] = np.stack(np.divmod(numbers, 256), axis=-1)[:, None]
    np.savez(tmp_path / omniglot.NPZ, images=images, class_names=names)
    seen = {}
    for split in ("train", "validation", "test"):
        part = datasets.load("omniglot", data_dir=tmp_path, split=split)
        assert part.split == split
        assert part.inputs.shape == (20 * len(part.class_names), 28, 28, 1)
        number = part.inputs[:, 0, 0, 0].astype(int) * 256 + part.inputs[:, 0, 1, 0]
        np.testing.assert_array_equal(names[number], np.repeat(part.class_names, 20))
        seen[split] = set(part.class_names)
    assert {split: len(names) for split, names in seen.items()} == {"train": 1100, "validation": 100, "test": 423}
    assert len(set.union(*seen.values())) == 1623


def test_partition_does_not_depend_on_the_order():
    names = [f"images_background/A/character{index:04d}" for index in range(1623)]
    forward, backward = omniglot.partition(names), omniglot.partition(names[::-1])
    for split, part in forward.items():
        assert {names[index] for index in part} == {names[::-1][index] for index in backward[split]}
        assert part == sorted(part)


def test_npz_in_another_form(real_data):
    glyphs = datasets.load("omniglot", data_dir=real_data / "omniglot", split="validation", form=Form(28, 28, 3, "ink"))
    plain = datasets.load("omniglot", data_dir=real_data, split="validation")
    np.testing.assert_array_equal(glyphs.inputs, np.repeat(plain.inputs, 3, axis=-1))


def test_which_files_are_read(tmp_path):
    both = [tmp_path / name for name in omniglot.ZIPS]
    assert omniglot.find(tmp_path, None) == []
    both[0].touch()
    assert omniglot.find(tmp_path, None) == []
    both[1].touch()
    assert omniglot.find(tmp_path, None) == both
    (tmp_path / omniglot.NPZ).touch()
    assert omniglot.find(tmp_path, None) == [tmp_path / omniglot.NPZ]
    assert omniglot.find(tmp_path, Form(28, 28, 3, "invert")) == [tmp_path / omniglot.NPZ]
    assert omniglot.find(tmp_path, Form(32, 32, 1)) == both
    both[1].unlink()
    assert omniglot.find(tmp_path, Form(32, 32, 1)) == [tmp_path / omniglot.NPZ]


def _zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_parts_are_refused(tmp_path, refused):
    stream = io.BytesIO()
    ImageOps.invert(Image.new("L", (5, 5))).save(stream, "PNG")
    drawing = "images_background/Greek/character01/0394_01.png"
    for name, members in zip(omniglot.ZIPS, ({drawing: stream.getvalue()}, {}), strict=True):
        _zip(tmp_path / name, members)
    with refused("images_background.zip", "1623 classes with 20 drawings", "1 classes"):
        datasets.load("omniglot", data_dir=tmp_path)
    np.savez(tmp_path / omniglot.NPZ, images=np.zeros((2, 20, 28, 28), np.uint8), class_names=np.array(["a", "b"]))
    with refused(omniglot.NPZ, "1623 classes", "2 classes"):
        datasets.load("omniglot", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"other/Greek/character01/0394_01.png": b""}, "drawings such as"),
        (
            {"images_background/Greek/character01/0394_01.png": b"junk"},
            "character01/0394_01.png: expected a whole picture",
        ),
        ({"../images_background/Greek/character01/0394_01.png": b""}, "relative names"),
        ({"/images_background/Greek/character01/0394_01.png": b""}, "relative names"),
    ],
)
def test_unfit_archives(tmp_path, refused, members, words):
    _zip(tmp_path / "images_background.zip", members)
    with refused("images_background.zip", words):
        omniglot.read_zips([tmp_path / "images_background.zip"], omniglot.NATIVE)


def test_truncated_archives(small_zips, refused):
    whole = small_zips[0].read_bytes()
    for content in (whole[:-30], whole[:100], b"", re.sub(b"IHDR", b"IHDX", whole)):
        small_zips[0].write_bytes(content)
        with refused("images_background.zip"):
            omniglot.read_zips(small_zips, omniglot.NATIVE)


@pytest.mark.parametrize(
    "arrays",
    [
        {"images": np.zeros((2, 20, 28, 28), np.uint8)},
        {"images": np.zeros((2, 20, 28, 28)), "class_names": np.array(["a", "b"])},
        {"images": np.zeros((2, 20, 28, 28), np.uint8), "class_names": np.array(["a"])},
        {"images": np.zeros((2, 20, 28), np.uint8), "class_names": np.array(["a", "b"])},
    ],
)
def test_unfit_npz(tmp_path, refused, arrays):
    np.savez(tmp_path / omniglot.NPZ, **arrays)
    with refused(omniglot.NPZ, "images"):
        datasets.load("omniglot", data_dir=tmp_path)
