import gzip
import struct

import numpy as np
import pytest

from jaxmeta import datasets
from jaxmeta.datasets import Form, idx

PICTURES = 5 * np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4)
LABELS = np.array([2, 0, 2], np.uint8)


def _idx(array, dtype=8, dims=None):
    dims = array.shape if dims is None else dims
    return struct.pack(f">HBB{len(dims)}I", 0, dtype, len(dims), *dims) + array.tobytes()


@pytest.fixture
def folder(tmp_path):
    """A training pair gzipped, and a test pair of one example that is not."""
    folder = tmp_path / "glyphs"
    folder.mkdir()
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(_idx(PICTURES), mtime=0))
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(_idx(LABELS), mtime=0))
    (folder / "t10k-images-idx3-ubyte").write_bytes(_idx(PICTURES[:1]))
    (folder / "t10k-labels-idx1-ubyte").write_bytes(_idx(LABELS[1:2]))
    return folder


def test_a_folder_of_pairs(folder):
    everything = datasets.load(folder)
    assert everything.name == "glyphs"
    assert everything.class_names == ("0", "2")
    assert everything.split == "all"
    np.testing.assert_array_equal(everything.offsets, [0, 2, 4])
    np.testing.assert_array_equal(everything.inputs[..., 0], PICTURES[[0, 1, 0, 2]])
    train = datasets.load(folder, split="train", form=Form(8, 8, 3))
    assert train.inputs.shape == (3, 8, 8, 3)
    assert train.split == "train"
    assert sorted(train.checksums) == ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"]
    assert datasets.load(folder, split="test").class_names == ("0",)
    with pytest.raises(ValueError, match="split: expected one of None, test, train, got 'dev'"):
        datasets.load(folder, split="dev")


def test_names_with_a_dot_and_gzip_told_by_content(folder):
    (folder / "train-images-idx3-ubyte.gz").rename(folder / "train-images.idx3-ubyte")
    (folder / "train-labels-idx1-ubyte.gz").rename(folder / "train-labels.idx1-ubyte")
    np.testing.assert_array_equal(datasets.load(folder, split="train").inputs[..., 0], PICTURES[[1, 0, 2]])


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_builtin_names(folder, name):
    labels = {"mnist": ("0", "2"), "fashion_mnist": ("T-shirt/top", "Pullover")}
    toy = datasets.load(name, data_dir=folder)
    assert toy.class_names == labels[name]
    assert toy.name == name
    assert toy.split == "all"
    folder.rename(folder.with_name(name))
    assert datasets.load(name, data_dir=folder.parent).checksums == toy.checksums
    assert datasets.load(name, data_dir=folder.parent, split="test").split == "test"


def test_builtin_names_need_all_of_a_split(folder, refused):
    (folder / "t10k-images-idx3-ubyte").unlink()
    assert len(datasets.load("mnist", data_dir=folder, split="train").inputs) == 3
    for split in (None, "test"):
        with refused("mnist", "train-images-idx3-ubyte.gz", folder, "--data-dir or JAXMETA_DATA"):
            datasets.load("mnist", data_dir=folder, split=split)


def test_labels_outside_of_the_names(folder, refused):
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(_idx(np.array([0, 1, 10], np.uint8)))
    with refused("train-labels-idx1-ubyte.gz", "0 to 9"):
        datasets.load("mnist", data_dir=folder, split="train")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (b"\0\0", "0000"),
        (b"junk" * 9, "IDX magic 00000803"),
        (_idx(PICTURES, dtype=0x0D), "00000d03"),
        (_idx(LABELS), "00000801"),
        (_idx(PICTURES)[:10], "12 bytes of sizes"),
        (_idx(PICTURES)[:-1], "48 bytes for shape [3, 4, 4], got 47"),
        (_idx(PICTURES) + b"\0", "got more"),
        (_idx(PICTURES, dims=(2**32 - 1, 2**32 - 1, 2**32 - 1)), "a header that says"),
        (_idx(PICTURES, dims=(0, 4, 4)), "0 bytes for shape [0, 4, 4], got more"),
        (gzip.compress(_idx(PICTURES), mtime=0)[:-12], "whole, readable"),
        (gzip.compress(_idx(PICTURES), mtime=0)[:5], "whole, readable"),
        (gzip.compress(_idx(PICTURES), mtime=0)[:-6] + b"\0\0\0\0\0\0", "whole, readable"),
    ],
)
def test_damaged_files(folder, refused, content, words):
    (folder / "train-images-idx3-ubyte.gz").write_bytes(content)
    with refused("train-images-idx3-ubyte.gz", words):
        datasets.load(folder)


def test_claims_above_the_limit_are_not_read(tmp_path, refused, monkeypatch):
    monkeypatch.setattr(idx, "MAX_BYTES", 47)
    (tmp_path / "x").write_bytes(_idx(PICTURES))
    with refused("x", "at most 47 bytes", "48"):
        idx.read(tmp_path / "x", 3)


def test_pairs_that_do_not_match(folder, refused):
    labels = folder / "train-labels-idx1-ubyte.gz"
    labels.write_bytes(_idx(LABELS[:2]))
    with refused(labels, "3 labels", "got 2"):
        datasets.load(folder)
    labels.unlink()
    with refused("train-images-idx3-ubyte.gz", "its labels"):
        datasets.load(folder)


def test_ambiguous_and_unequal_pairs(folder, refused):
    (folder / "t10k-images-idx3-ubyte").write_bytes(_idx(np.zeros((1, 5, 5), np.uint8)))
    with refused("train-images-idx3-ubyte.gz", "(5, 5)", "(4, 4)"):
        datasets.load(folder)
    (folder / "train-images-idx3-ubyte").write_bytes(_idx(PICTURES))
    with refused("train-images-idx3-ubyte.gz", "one file of the split 'train'"):
        datasets.load(folder)


def test_empty_sets(folder, refused):
    (folder / "train-images-idx3-ubyte.gz").write_bytes(_idx(PICTURES[:0]))
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(_idx(LABELS[:0]))
    with refused("shape (0, 4, 4)"):
        datasets.load(folder, split="train")


def test_links_out_of_a_folder(folder, tmp_path, refused):
    path = folder / "train-labels-idx1-ubyte.gz"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with refused(path, "a link out of it"):
        datasets.load(folder)


def test_real_files(real_data):
    mnist = datasets.load("mnist", data_dir=real_data, split="test")
    assert mnist.inputs.shape == (10000, 28, 28, 1)
    np.testing.assert_array_equal(np.diff(mnist.offsets), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])
    clothes = datasets.load("fashion_mnist", data_dir=real_data / "fashion_mnist", split="test")
    np.testing.assert_array_equal(np.diff(clothes.offsets), [1000] * 10)
    assert clothes.class_names[0] == "T-shirt/top"
    assert clothes.class_names[9] == "Ankle boot"
    assert len(datasets.load("mnist", data_dir=real_data, split="train").inputs) == 60000


def test_one_set_does_not_pass_for_the_other(real_data, refused):
    with refused("t10k-labels-idx1-ubyte.gz", "the labels of fashion_mnist", "those of mnist"):
        datasets.load("fashion_mnist", data_dir=real_data / "mnist", split="test")
