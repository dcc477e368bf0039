"""Folders as people have them, and pictures on another scale: taken for what they are, or refused by name."""

import struct
import types
import unicodedata
import zlib

import jax
import numpy as np
import pytest
from PIL import Image

from jaxmeta import datasets, tasks
from jaxmeta.datasets import Form

READ = "read, and what was passed over or taken for granted is said"


def picture(path, seed=0, mode="L", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 5) if mode == "L" else (6, 5, 3), np.uint8)
    Image.fromarray(pixels, mode).save(path, **options)


@pytest.fixture
def animals(tmp_path):
    """animals(parts, classes, count): a folder of pictures PART/CLASS/NUMBER.png."""

    def make(parts=("",), classes=("cat", "cow", "dog"), count=4):
        for index, part in enumerate(parts):
            for label, name in enumerate(classes):
                for number in range(count):
                    picture(tmp_path / "animals" / part / name / f"{number}.png", 100 * index + 10 * label + number)
        return tmp_path / "animals"

    return make


@pytest.mark.parametrize(
    ("parts", "sizes"),
    [
        (("train", "val", "test"), (12, 12, 12)),
        (("Train", "Valid", "Test"), (12, 12, 12)),
        (("training", "validation", "testing"), (12, 12, 12)),
        (("train", "dev", "eval"), (12, 12, 12)),
        (("train", "test"), (9, 3, 12)),
        (("train", "val"), (9, 3, 12)),
        (("train",), (9, 3, 0)),
    ],
)
@pytest.mark.fault(promised=READ)
def test_folders_of_splits(animals, parts, sizes):
    path = animals(parts)
    loaded = datasets.load(path)
    assert loaded.class_names == ("cat", "cow", "dog")
    assert loaded.notes == (f"folders {', '.join(sorted(parts))} taken for splits",)
    for split, size in zip(("train", "validation", "test"), sizes, strict=True):
        if size:
            part = datasets.load(path, split=split)
            assert (len(part.inputs), part.split) == (size, split)
        else:
            with pytest.raises(ValueError, match="split of animals: expected a part test, got train"):
                datasets.load(path, split=split)


def test_splits_of_other_classes_validate_on_classes(tmp_path):
    for part, first in (("train", 0), ("test", 12)):
        for label in range(first, first + 12):
            picture(tmp_path / "all" / part / f"class {label}" / "0.png", label)
    parts = {split: datasets.load(tmp_path / "all", split=split) for split in ("train", "validation", "test")}
    assert [len(part.class_names) for part in parts.values()] == [9, 3, 12]
    assert len({name for part in parts.values() for name in part.class_names}) == 24


def test_train_and_test_without_classes_are_no_classes(tmp_path, refused):
    for part in ("train", "test"):
        picture(tmp_path / "all" / part / "0.png")
    picture(tmp_path / "all" / "train" / "more" / "0.png".replace("0", "1"))
    (tmp_path / "all" / "train" / "0.png").unlink()
    with refused("test", "expected classes, as in train/CLASS, got pictures"):
        datasets.load(tmp_path / "all")


def test_splits_of_pictures_alone_are_no_classes(tmp_path, refused):
    for part in ("train", "test"):
        picture(tmp_path / "all" / part / "0.png")
    with refused("expected classes, as in train/CLASS, got pictures"):
        datasets.load(tmp_path / "all")


def test_splits_beside_other_folders_are_refused(animals, refused):
    path = animals(("train", "test", "unlabelled"))
    with refused("unlabelled/cat", "expected splits of classes, as train/CLASS, got another folder"):
        datasets.load(path)


def test_splits_in_a_folder_of_their_own(animals, refused):
    path = animals(("data/train", "data/test"))
    assert datasets.load(path).class_names == ("cat", "cow", "dog")
    assert len(datasets.load(path, split="test").inputs) == 12
    with refused("animals", "splits above the classes, or in each, got splits in one class and none in another"):
        datasets.load(animals(("more/cats",), classes=("tom", "tim")))


def test_classes_that_are_called_train_among_others_are_classes(animals):
    assert datasets.load(animals(classes=("boat", "train", "plane"))).class_names == ("boat", "plane", "train")


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "jpe", "jfif", "pgm", "PNG", "bmp", "gif", "tif", "webp", "ppm"])
def test_pictures_by_their_suffix(tmp_path, suffix):
    for label in "ab":
        picture(tmp_path / "two" / label / f"0.{suffix}", format={"jpe": "JPEG", "jfif": "JPEG"}.get(suffix))
    assert len(datasets.load(tmp_path / "two", form=Form(6, 5, 1)).inputs) == 2


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP"])
@pytest.mark.fault(promised="a picture is one without a suffix, too")
def test_pictures_without_a_suffix(tmp_path, kind):
    for label in "ab":
        picture(tmp_path / "two" / label / "0", format=kind)
        picture(tmp_path / "two" / label / "1.image", format=kind)
    assert len(datasets.load(tmp_path / "two", form=Form(6, 5, 1)).inputs) == 4


@pytest.mark.parametrize("suffix", ["heic", "avif", "svg", "dcm", "nii", "pdf", "tga", "CR2", "npy"])
def test_pictures_of_kinds_that_are_not_read(animals, refused, suffix):
    path = animals()
    (path / "cat" / f"9.{suffix}").write_bytes(b"something")
    for read in (datasets.load, datasets.load_inputs):
        with refused(f"9.{suffix}", "a picture of the kind", "convert it"):
            read(path)


@pytest.mark.parametrize("name", ["notes.txt", "Thumbs.db", "labels.json", "README", "cat/info.csv"])
@pytest.mark.fault(promised=READ)
def test_other_files_are_passed_over_aloud(animals, name):
    path = animals()
    (path / name).write_text("something")
    (note,) = datasets.load(path).notes
    assert note == f"1 files passed over, which are no pictures: {name}"


@pytest.mark.parametrize(
    "table",
    [
        "file,label\n0.png,a\n1.png,b\n2.png,a\n",
        "label,file\na,0.png\nb,1.png\na,2.png\n",
        "id,breed\n0,a\n1,b\n2,a\n",
        "image;class;size\n0.png;a;3\n1.png;b;4\n2.png;a;5\n",
    ],
)
@pytest.mark.fault(promised=READ)
def test_pictures_with_a_table_of_their_classes(tmp_path, table):
    for number in range(3):
        picture(tmp_path / "flat" / f"{number}.png", number)
    (tmp_path / "flat" / "labels.csv").write_text(table)
    loaded = datasets.load(tmp_path / "flat")
    assert (loaded.class_names, loaded.offsets.tolist()) == (("a", "b"), [0, 2, 3])
    assert loaded.notes[0].startswith("classes of the column")


def test_pictures_that_the_table_leaves_out_are_passed_over_aloud(tmp_path):
    for number in range(3):
        picture(tmp_path / "flat" / f"{number}.png", number)
    (tmp_path / "flat" / "labels.csv").write_text("file,label\n0.png,a\n1.png,b\n")
    assert datasets.load(tmp_path / "flat").notes[1] == "1 pictures passed over, which labels.csv does not name: 2.png"


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("file,label\n0.png,a\n7.png,b\n", "one column of the names of pictures"),
        ("file,label\n0.png,a\n0.png,b\n", "every picture once, got '0.png'"),
        ("file,label\n0.png,a\n1.png,\n", "a class or value in every row"),
        ("file,x,z\n0.png,1.5,2.5\n1.png,2.5,3.25\n2.png,1.25,4.75\n", "a column of classes"),
        ("label\na\nb\n", "one column of the names of pictures"),
    ],
)
def test_tables_that_do_not_fit_their_pictures(tmp_path, refused, table, words):
    for number in range(3):
        picture(tmp_path / "flat" / f"{number}.png", number)
    (tmp_path / "flat" / "labels.csv").write_text(table)
    with refused("labels.csv", words):
        datasets.load(tmp_path / "flat")


@pytest.mark.parametrize("below", ["", "images"])
def test_several_tables_beside_pictures(tmp_path, refused, below):
    for number in range(3):
        picture(tmp_path / "flat" / below / f"{number}.png", number)
    for name in ("sample_submission.csv", "train.csv"):
        (tmp_path / "flat" / name).write_text("file,label\n0.png,a\n1.png,b\n")
    with refused(
        "flat", "one csv beside the pictures, got 2: sample_submission.csv, train.csv; keep the one that names"
    ):
        datasets.load(tmp_path / "flat")


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_several_frames_are_refused(animals, refused, kind):
    path = animals()
    frames = [Image.fromarray(np.full((6, 5), 50 * index, np.uint8)) for index in range(3)]
    frames[0].save(path / "cat" / f"9.{kind.lower()}", kind, save_all=True, append_images=frames[1:])
    with refused("9.", "one picture, got 3 frames or pages"):
        datasets.load(path)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_white_ink_on_a_transparent_ground(animals, refused, mode):
    path = animals()
    ink = np.full((6, 5, 4), 255, np.uint8)
    ink[..., 3] = 255 * (np.arange(30).reshape(6, 5) % 3 == 0)
    Image.fromarray(ink).convert(mode).save(path / "cat" / "9.png")
    with refused("9.png", "white on a transparent ground; flatten it"):
        datasets.load(path)


@pytest.mark.parametrize("most", [1, 255, 4095])
def test_sixteen_bits_that_are_not_used(animals, refused, most):
    path = animals()
    Image.fromarray(np.linspace(0, most, 30).astype(np.uint16).reshape(6, 5)).save(path / "cat" / "9.png")
    with refused("9.png", f"16 bits that are used, got numbers up to {most}"):
        datasets.load(path)


def test_sixteen_bits_of_colours_that_are_not_used(animals, refused):
    path, rows = animals(), np.full((6, 5, 3), 4095, ">u2").reshape(6, -1)
    chunk = lambda name, data: struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))  # noqa: E731
    header = struct.pack(">IIBBBBB", 5, 6, 16, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    (path / "cat" / "9.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    with refused("9.png", "16 bits that are used, got numbers up to 4095"):
        datasets.load(path)


def npz(tmp_path, array, key="images"):
    np.savez(tmp_path / "set.npz", **{key: array}, labels=np.arange(len(array)) % 2)
    return tmp_path / "set.npz"


INK = np.random.default_rng(0).random((6, 8, 8)) < 0.3


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int32", "int64", "float16", "float32", "float64"])
@pytest.mark.fault(promised="pictures of 0 and 1 are black and white, whatever their dtype")
def test_black_and_white_of_any_dtype(tmp_path, dtype):
    np.testing.assert_array_equal(datasets.load(npz(tmp_path, INK.astype(dtype))).inputs[..., 0] // 255,
                                  np.concatenate([INK[::2], INK[1::2]]))  # fmt: skip


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (INK.astype(np.uint8) * 16, "got uint8 in 0..16; give floats, such as inputs / 16"),
        (INK.astype(np.int32) * 2, "got uint8 in 0..2"),
        (INK.astype(np.uint16) * 4095, "expected whole numbers in 0..255, got 0 to 4095"),
        (INK.astype(np.float32) * 255, "expected floats in [0, 1], got 0.0 to 255.0"),
        (INK.astype(np.float32) * 2 - 1, "expected floats in [0, 1], got -1.0 to 1.0"),
        (INK.astype(np.int16) * -1, "expected whole numbers in 0..255"),
        (np.where(INK, np.nan, 0.5), "expected floats in [0, 1]"),
        (np.zeros((4, 3, 8, 8), np.uint8), "channels come last: np.moveaxis(images, 1, -1)"),
        (np.zeros((4, 1, 8, 8), np.float32), "channels come last"),
        (np.zeros((4, 8, 8, 4), np.uint8), "[N, height, width, 1 or 3]"),
        (INK.astype(complex), "numbers, got dtype complex128"),
    ],
)
def test_other_scales_and_axes(tmp_path, refused, array, words):
    with refused("set.npz, images", words):
        datasets.load(npz(tmp_path, array))


def test_three_axes_under_inputs_may_be_anything(tmp_path, refused):
    with refused("set.npz, inputs", "grey pictures are called images"):
        datasets.load(npz(tmp_path, INK.astype(np.float32), "inputs"))


@pytest.mark.parametrize(
    ("array", "got"),
    [
        (INK[..., None].astype(np.int32) * 255, "int32 in 0..255"),
        (INK[..., None].astype(np.int64), "int64 in 0..1"),
        (INK[..., None], "bool in False..True"),
        (INK[..., None].astype(np.float32) * 255, "float32 in 0..255"),
        (INK[..., None].astype(np.float64) * 16, "float64 in 0..16"),
        (INK[..., None].astype(np.uint8), "uint8 in 0..1"),
        (INK[..., None].astype(np.uint8) * 16, "uint8 in 0..16"),
        (INK[..., None].astype(np.uint16) * 4095, "uint16 in 0..4095"),
    ],
)
@pytest.mark.fault(promised="one line that says what was expected, what came and what to do")
def test_the_scale_of_ones_own_arrays(array, got):
    with pytest.raises(ValueError, match=r"inputs: expected pictures of uint8 in 0\.\.255 or floats in ") as caught:
        datasets.from_labels(array, np.arange(6) % 2, name="own")
    assert f"got {got}; give" in str(caught.value)


@pytest.mark.parametrize("dtype", ["int32", "int64", "bool", "float32", "uint16"])
@pytest.mark.fault(promised="one line that says what was expected, what came and what to do")
def test_the_scale_of_examples_and_tasks_of_ones_own(dtype):
    pictures = (255 * INK[..., None]).astype(dtype)
    own = types.SimpleNamespace(inputs=pictures, offsets=np.array([0, 3, 6]))
    sizes = {"num_shots": 1, "num_queries": 1}
    for make in (
        lambda: tasks.few_shot(own, num_ways=2, **sizes),
        lambda: tasks.labelled_batches(own, batch_size=2),
        lambda: tasks.from_arrays([(pictures, np.arange(6) % 2)] * 2, **sizes),
    ):
        with pytest.raises(ValueError, match="expected pictures of uint8"):
            make()


def test_tasks_of_ones_own_pictures_come_out_as_floats():
    pictures = 255 * INK[None, ..., None].astype(np.uint8)
    sample = tasks.from_arrays((pictures, np.arange(6)[None] % 2), num_shots=3, num_queries=3)
    inputs = sample(jax.random.key(0)).support.inputs
    assert float(inputs.max()) == 1


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.eye(2)[[0, 1, 0]], r"shape \(3, 2\); take labels.argmax"),
        (np.array([[0], [1], [0]]), r"shape \(3, 1\); take labels.ravel"),
        (np.array([0.0, 1.0, 0.0]), "dtype float64; take labels.astype"),
        (np.array([True, False, True]), "dtype bool; take labels.astype"),
        (np.array([b"a", b"b", b"a"]), "take labels.astype"),
        (np.array([0, 1]), r"one label for each of 3 examples, got shape \(2,\)"),
        (np.array(["a", None, "b"], object), "dtype object"),
        (np.array(["a", "nan", "b"]), "a class for every example, got 'nan'"),
        (np.array(["a", None, "b"]).astype(str), "a class for every example, got 'None'"),
        (np.array(["a", "", "b"]), "a class for every example, got ''"),
    ],
)
@pytest.mark.fault(promised="one line that says what was expected, what came and what to do")
def test_labels_of_another_form(labels, words):
    with pytest.raises(ValueError, match=words):
        datasets.from_labels(np.zeros((3, 2)), labels, name="own")


def test_names_that_differ_in_unicode_alone_are_dealt_alike(tmp_path):
    names = [f"caf\u00e9 {index}" for index in range(12)]
    parts = []
    for form in ("NFC", "NFD"):
        for index, name in enumerate(names):
            picture(tmp_path / form / unicodedata.normalize(form, name) / "0.png", index)
        parts.append([datasets.load(tmp_path / form, split=split) for split in ("train", "validation", "test")])
    for composed, decomposed in zip(*parts, strict=True):
        assert composed.class_names == decomposed.class_names
        np.testing.assert_array_equal(composed.inputs, decomposed.inputs)
