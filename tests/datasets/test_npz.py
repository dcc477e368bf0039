import io
import pickle
import zipfile

import numpy as np
import pytest

from jaxmeta import datasets
from jaxmeta.datasets import Form, npz

PICTURES = np.arange(4 * 3 * 3, dtype=np.uint8).reshape(4, 3, 3)


@pytest.fixture
def save(tmp_path):
    def save(**arrays):
        np.savez(tmp_path / "toy.npz", **arrays)
        return tmp_path / "toy.npz"

    return save


def test_labelled_pictures(save):
    path = save(images=PICTURES, labels=np.array([1, 0, 1, 0]), class_names=np.array(["a", "b"]))
    toy = datasets.load(path)
    np.testing.assert_array_equal(toy.inputs[..., 0], PICTURES[[1, 3, 0, 2]])
    assert toy.class_names == ("a", "b")
    assert toy.name == "toy"
    assert toy.split == "all"
    assert list(toy.checksums) == ["toy.npz"]
    assert len(toy.checksums["toy.npz"]) == 64


def test_one_array_by_class(save):
    wider = np.arange(4 * 3 * 5, dtype=np.uint8).reshape(4, 3, 5)
    toy = datasets.load(save(images=wider.reshape(2, 2, 3, 5), class_names=np.array(["a", "b"])))
    np.testing.assert_array_equal(toy.inputs[..., 0], wider)
    np.testing.assert_array_equal(toy.offsets, [0, 2, 4])
    colour = datasets.load(save(images=np.zeros((2, 5, 4, 4, 3), np.uint8)))
    assert colour.inputs.shape == (10, 4, 4, 3)
    assert colour.class_names == ("0", "1")
    vectors = datasets.load(save(inputs=np.zeros((2, 5, 7))))
    assert vectors.inputs.shape == (10, 7)
    assert vectors.inputs.dtype == np.float32


def test_one_array_that_may_be_pictures_in_colour(save, refused):
    with refused("labels [N]", "images of shape (4, 3, 5, 3) alone"):
        datasets.load(save(images=np.zeros((4, 3, 5, 3), np.uint8)))


def test_forms(save):
    path = save(images=PICTURES / 255, labels=np.arange(4))
    assert datasets.load(path, form=Form(6, 5, 3)).inputs.shape == (4, 6, 5, 3)
    np.testing.assert_array_equal(datasets.load(path).inputs[..., 0], PICTURES)
    with pytest.raises(ValueError, match="vectors") as caught:
        datasets.load(save(inputs=np.zeros((2, 5, 7))), form=Form(6, 5, 3))
    assert type(caught.value) is ValueError


def test_fortran_order_and_foreign_bytes(save):
    values = np.arange(12.0).reshape(4, 3)
    toy = datasets.load(save(inputs=np.asfortranarray(values.astype(">f4")), labels=np.arange(4)))
    np.testing.assert_array_equal(toy.inputs, values)


def test_inputs_alone(save):
    names, inputs = datasets.load_inputs(save(images=PICTURES))
    assert names == ["0", "1", "2", "3"]
    np.testing.assert_array_equal(inputs[..., 0], PICTURES)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"labels": np.arange(4)}, "neither"),
        ({"images": PICTURES, "inputs": PICTURES, "labels": np.arange(4)}, "images and inputs"),
        ({"images": PICTURES[..., None]}, "labels [N]"),
        ({"images": PICTURES}, "images of shape (4, 3, 3) alone"),
        (
            {"images": np.zeros((2, 3, 4, 4, 4), np.uint8)},
            "images of shape (2, 3, 4, 4, 4) as [classes, examples, ...]",
        ),
        ({"inputs": np.eye(4), "labels": np.array(["a", "A", "b", "b"])}, "got 'A' beside 'a'"),
        ({"inputs": np.eye(4), "labels": np.array(["a", "n/a", "b", "b"])}, "a class for every example, got 'n/a'"),
        ({"inputs": np.eye(4), "labels": np.arange(4), "split": np.arange(4)}, "split: expected train, validation or"),
        ({"inputs": np.eye(4), "labels": np.arange(4), "split": np.array(["train", "fold"] * 2)}, "got 'fold'"),
        ({"images": PICTURES.reshape(4, 9), "labels": np.arange(4)}, "shape (4, 9)"),
        ({"images": PICTURES, "labels": np.arange(3)}, "one label for each of 4 examples"),
        ({"images": PICTURES, "labels": np.arange(4.0)}, "whole numbers or text"),
        ({"images": PICTURES, "labels": np.arange(4), "class_names": np.array(["a", "b"])}, "0 to 1"),
        ({"images": PICTURES, "labels": np.arange(4), "class_names": np.arange(4)}, "one text for each class"),
        ({"inputs": np.array([[1.0, np.nan]]), "labels": np.arange(1)}, "NaN"),
        ({"inputs": np.array([["1"]]), "labels": np.arange(1)}, "finite numbers"),
    ],
)
def test_unfit_arrays(save, refused, arrays, words):
    with refused("toy.npz", words):
        datasets.load(save(**arrays))


class _Attack:
    def __reduce__(self):
        return pytest.fail, ("unpickled",)


@pytest.mark.parametrize("key", ["images", "labels"])
def test_pickles_are_never_loaded(save, refused, key):
    arrays = {"images": PICTURES, "labels": np.arange(4), key: np.array([_Attack()], object)}
    with refused("toy.npz", key, "holds pickled objects, which are never loaded"):
        datasets.load(save(**arrays))


def test_not_an_archive(tmp_path, refused):
    path = tmp_path / "toy.npz"
    for content in (pickle.dumps([1]), b"", b"PK\x03\x04"):
        path.write_bytes(content)
        with refused("toy.npz"):
            datasets.load(path)


def test_every_truncation_is_refused(save, refused):
    path = save(images=PICTURES, labels=np.arange(4))
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with refused("toy.npz"):
            datasets.load(path)


def test_flipped_bytes_are_refused(save, refused):
    path = save(images=PICTURES, labels=np.arange(4))
    broken = bytearray(path.read_bytes())
    broken[broken.index(PICTURES.tobytes()) + 5] ^= 1
    path.write_bytes(broken)
    with refused("toy.npz"):
        datasets.load(path)


@pytest.mark.parametrize(
    "name", ["/images.npy", "../images.npy", "a/../../images.npy", "C:images.npy", "..\\images.npy"]
)
def test_members_that_lead_elsewhere(tmp_path, refused, name):
    with zipfile.ZipFile(tmp_path / "toy.npz", "w") as archive:
        archive.writestr(name, b"")
    with refused("toy.npz", "relative names"):
        datasets.load(tmp_path / "toy.npz")


@pytest.mark.parametrize("shape", [(2**40, 8, 8), (4, 3, 4), (2**62, 4, 4)])
def test_headers_that_lie_allocate_nothing(tmp_path, refused, shape):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(tmp_path / "toy.npz", "w") as archive:
        archive.writestr("images.npy", stream.getvalue() + PICTURES.tobytes())
    with refused("toy.npz", "images.npy", "bytes"):
        datasets.load(tmp_path / "toy.npz")


def test_arrays_above_the_limit(save, refused, monkeypatch):
    monkeypatch.setattr(npz, "MAX_BYTES", 35)
    with refused("toy.npz", "35 bytes at most"):
        datasets.load(save(images=PICTURES, labels=np.arange(4)))


@pytest.mark.parametrize("dtype", ["c8", "S3", "M8[s]", "V4"])
def test_other_dtypes_are_refused(save, refused, dtype):
    with refused("toy.npz, images", "numbers", "dtype"):
        datasets.load(save(images=np.zeros((2, 3, 3), dtype), labels=np.arange(2)))


def test_an_array_that_says_which_examples_train(save):
    arrays = {"inputs": np.arange(12).reshape(6, 2), "labels": np.array([1, 0, 1, 0, 1, 0])}
    path = save(**arrays, split=np.array(["test", "train", "Train", "train", "training", "eval"]))
    toy = datasets.load(path)
    assert toy.notes == ("splits of the array 'split'",)
    assert toy.parts.tolist() == ["train", "train", "test", "test", "train", "train"]
    assert datasets.load(path, split="test").inputs.tolist() == [[10, 11], [0, 1]]
    other = datasets.load(save(**arrays, split="train"))
    assert (other.parts, other.notes) == (None, ("array 'split' of shape () passed over",))


def test_classes_of_an_npz_split(save):
    path = save(
        images=np.repeat(PICTURES, 4, axis=0), labels=np.arange(16) // 2, class_names=np.array(list("abcdefgh"))
    )
    parts = [datasets.load(path, split=split) for split in ("train", "validation", "test")]
    assert [len(part.inputs) for part in parts] == [8, 4, 4]
    assert sorted(name for part in parts for name in part.class_names) == list("abcdefgh")
