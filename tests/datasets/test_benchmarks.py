"""Small trees in the published layouts: every class of a benchmark, with one or two tiny pictures each."""

import io
import pickle
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from jaxmeta import datasets
from jaxmeta.datasets import Form, benchmarks, splits

PARTS = {"train": "train", "validation": "val", "test": "test"}
SMALL = Form(4, 4, 3)


def draw(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((5, 6, 3), value % 251, np.uint8)).save(path, "BMP" if path.suffix != ".png" else None)


def sizes(name):
    return benchmarks._CLASSES[name]


def make_csv(root, name):
    for split, part in PARTS.items():
        rows = [f"{part}{index:08d}.jpg,n{part}{index:03d}" for index in range(sizes(name)[split])]
        (root / f"{part}.csv").write_text("\n".join(["filename,label", *rows]) + "\n")
        for row in rows:
            draw(root / "images" / row.partition(",")[0])


def make_folders(root, name):
    for split, part in PARTS.items():
        for index in range(sizes(name)[split]):
            draw(root / part / f"n{part}{index:03d}" / f"{index}.JPEG")


def make_archives(root, name):
    for split, part in PARTS.items():
        labels = np.array([f"n{part}{index:03d}" for index in range(sizes(name)[split])])
        np.savez(root / f"{part}.npz", images=np.zeros((len(labels), 5, 6, 3), np.uint8), labels=labels)


def make_lists(root, name):
    (root / "splits" / "bertinetto").mkdir(parents=True)
    for split, part in PARTS.items():
        classes = [f"n{part}{index:03d}" for index in range(sizes(name)[split])]
        (root / "splits" / "bertinetto" / f"{part}.txt").write_text("\n".join(classes) + "\n")
        for each in classes:
            draw(root / "data" / each / f"{each}.png")


SPLIT = [
    ("mini_imagenet", ".", make_csv),
    ("mini_imagenet", ".", make_folders),
    ("mini_imagenet", ".", make_archives),
    ("tiered_imagenet", ".", make_folders),
    ("tiered_imagenet", ".", make_archives),
    ("cifar_fs", "cifar100", make_lists),
    ("cifar_fs", ".", make_lists),
    ("cifar_fs", ".", make_folders),
    ("fc100", ".", make_folders),
    ("fc100", ".", make_archives),
]


@pytest.mark.parametrize(("name", "root", "make"), SPLIT)
def test_published_splits(name, root, make, tmp_path):
    folder = tmp_path / name / root
    folder.mkdir(parents=True)
    make(folder, name)
    for split, part in PARTS.items():
        loaded = datasets.load(name, data_dir=tmp_path, split=split, form=SMALL)
        assert loaded.class_names == tuple(f"n{part}{index:03d}" for index in range(sizes(name)[split]))
        assert (loaded.name, loaded.split) == (name, split)
        assert loaded.inputs.shape == (sizes(name)[split], 4, 4, 3)
        assert loaded.checksums
    whole = datasets.load(name, data_dir=tmp_path / name, form=SMALL)
    assert len(whole.class_names) == sum(sizes(name).values()) == datasets.names()[name].classes
    assert whole.split == "all"


def test_its_own_form(tmp_path):
    make_folders(tmp_path, "fc100")
    assert datasets.load("fc100", data_dir=tmp_path, split="test").inputs.shape == (20, 32, 32, 3)
    for path in tmp_path.iterdir():
        if path.name in PARTS.values():
            path.rename(tmp_path / f"old {path.name}")
    make_folders(tmp_path, "mini_imagenet")
    assert datasets.load("mini_imagenet", data_dir=tmp_path, split="test").inputs.shape == (20, 84, 84, 3)


@pytest.fixture
def birds(tmp_path):
    root = tmp_path / "cub" / "CUB_200_2011"
    for index in range(1, 201):
        draw(root / "images" / f"{index:03d}.Bird" / "one.png", index)
    (root / "classes.txt").write_text("")
    return tmp_path


def test_cub_takes_every_second_class(birds):
    parts = {split: datasets.load("cub", data_dir=birds, split=split, form=SMALL) for split in PARTS}
    numbers = {split: [int(name[:3]) for name in part.class_names] for split, part in parts.items()}
    assert numbers["train"] == list(range(1, 201, 2))
    assert numbers["validation"] == list(range(2, 201, 4))
    assert numbers["test"] == list(range(4, 201, 4))
    np.testing.assert_array_equal(parts["test"].inputs[:, 0, 0, 0], numbers["test"])
    assert len(datasets.load("cub", data_dir=birds, form=SMALL).class_names) == 200


def make_targets(name, root):
    if name == "crop_disease":
        for index in range(38):
            draw(root / "dataset" / "train" / f"Apple___{index}" / "x.JPG", index)
    if name == "eurosat":
        for index in range(10):
            draw(root / "2750" / f"Class{index}" / f"Class{index}_1.jpg", index)
    if name == "isic":
        classes = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
        rows = [f"ISIC_{i}," + ",".join("1.0" if i == j else "0.0" for j in range(7)) for i in range(7)]
        folder = root / "ISIC2018_Task3_Training_GroundTruth"
        folder.mkdir(parents=True)
        (folder / f"{folder.name}.csv").write_text("\n".join([f"image,{','.join(classes)}", *rows]))
        for index in range(7):
            draw(root / "ISIC2018_Task3_Training_Input" / f"ISIC_{index}.jpg", index)
    if name == "chestx":
        found = (*benchmarks._FINDINGS, "No Finding", "Hernia", "Mass|Nodule", "Pneumonia")
        rows = [f"{index}.png,{finding},0" for index, finding in enumerate(found)]
        root.mkdir(parents=True)
        (root / "Data_Entry_2017.csv").write_text("\n".join(["Image Index,Finding Labels,Follow-up #", *rows]))
        for index in range(7):
            draw(root / "images" / f"{index}.png", index)
    if name == "caltech101":
        for index in range(99):
            draw(root / "101_ObjectCategories" / f"object{index}" / "image_0001.jpg", index)
        for each in ("Faces", "Faces_easy", "BACKGROUND_Google"):
            draw(root / "101_ObjectCategories" / each / "image_0001.jpg", 200)
    if name == "ucmerced":
        for index in range(21):
            draw(root / "UCMerced_LandUse" / "Images" / f"land{index}" / "land00.tif", index)


@pytest.mark.parametrize("name", ["crop_disease", "eurosat", "isic", "chestx", "caltech101", "ucmerced"])
def test_sets_without_published_splits(name, tmp_path):
    make_targets(name, tmp_path / name)
    whole = datasets.load(name, data_dir=tmp_path, form=SMALL)
    assert len(whole.class_names) == len(whole.inputs) == datasets.names()[name].classes
    assert next(iter(whole.checksums)) == name
    if name in ("caltech101", "ucmerced"):
        parts = [datasets.load(name, data_dir=tmp_path, split=split, form=SMALL) for split in splits.SPLITS]
        assert len(set().union(*(part.class_names for part in parts))) == len(whole.class_names)
        if name == "caltech101":
            assert [len({"Faces", "Faces_easy"} & set(part.class_names)) for part in parts].count(2) == 1
    else:
        with pytest.raises(ValueError, match="split: expected one of None, got 'test'"):
            datasets.load(name, data_dir=tmp_path, split="test")


def test_findings_and_diagnoses(tmp_path):
    make_targets("chestx", tmp_path / "chestx")
    make_targets("isic", tmp_path / "isic")
    findings = datasets.load("chestx", data_dir=tmp_path, form=SMALL)
    assert findings.class_names == benchmarks._FINDINGS
    np.testing.assert_array_equal(findings.inputs[:, 0, 0, 0], range(7))
    assert list(findings.checksums) == ["chestx", "Data_Entry_2017.csv"]
    skin = datasets.load("isic", data_dir=tmp_path, form=SMALL)
    assert skin.class_names == ("AKIEC", "BCC", "BKL", "DF", "MEL", "NV", "VASC")
    np.testing.assert_array_equal(skin.inputs[:, 0, 0, 0], [3, 2, 4, 5, 0, 1, 6])


def test_parts_are_refused(tmp_path, refused):
    make_folders(tmp_path, "mini_imagenet")
    with refused(tmp_path, "test", "160 classes of tiered_imagenet", "20"):
        datasets.load("tiered_imagenet", data_dir=tmp_path, split="test", form=SMALL)
    with refused("all splits", "608 classes"):
        datasets.load("tiered_imagenet", data_dir=tmp_path, form=SMALL)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,label\n", "a column called 'filename', got file, label"),
        ("", "an empty file"),
        ("filename,label\nx.jpg\n", "train.csv, row 2: expected a cell in each column"),
        ("filename,label\nmissing.jpg,a\n", "images/missing.jpg: expected the picture that its table names"),
        ("filename,label\n../secret.jpg,a\n", "names of files inside the folder, got 'images/../secret.jpg'"),
        ("filename,label\n/etc/passwd,a\n", "/etc/passwd"),
        ("filename,label\nval00000000.jpg,a\nval00000000.jpg,b\n", "'images/val00000000.jpg' more than once"),
        ("filename,label\n", "64 classes of mini_imagenet, got 0"),
        ("filename,label\n" + "a" * 200_000 + ",b\n", "comma-separated text"),
    ],
)
def test_unfit_tables(tmp_path, refused, text, words):
    make_csv(tmp_path, "mini_imagenet")
    draw(tmp_path / "secret.jpg")
    (tmp_path / "train.csv").write_text(text)
    with refused(words):
        datasets.load("mini_imagenet", data_dir=tmp_path, split="train", form=SMALL)


def test_pictures_that_lead_out(tmp_path, refused):
    folder = tmp_path / "mini_imagenet"
    folder.mkdir()
    make_csv(folder, "mini_imagenet")
    draw(tmp_path / "secret.png")
    path = folder / "images" / "train00000000.jpg"
    path.unlink()
    path.symlink_to(tmp_path / "secret.png")
    with refused("names of files inside"):
        datasets.load("mini_imagenet", data_dir=tmp_path, split="train", form=SMALL)


def test_a_class_list_without_its_folder(tmp_path, refused):
    make_lists(tmp_path, "cifar_fs")
    path = tmp_path / "splits" / "bertinetto" / "test.txt"
    path.write_text(path.read_text() + "../data\nunicorn\n")
    with refused("test.txt, 'unicorn'", "a class folder in data"):
        datasets.load("cifar_fs", data_dir=tmp_path, split="test", form=SMALL)


def test_two_diagnoses(tmp_path, refused):
    make_targets("isic", tmp_path)
    (path,) = tmp_path.glob("*GroundTruth/*.csv")
    path.write_text(path.read_text().replace("ISIC_3,0.0", "ISIC_3,1.0"))
    with refused("'ISIC_3'", "one class marked 1.0", "MEL and AKIEC"):
        datasets.load("isic", data_dir=tmp_path, form=SMALL)


class _Attack:
    def __reduce__(self):
        return pytest.fail, ("unpickled",)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mini_imagenet", "mini-imagenet-cache-train.pkl"),
        ("mini_imagenet", "miniImageNet_category_split_val.pickle"),
        ("tiered_imagenet", "train_images_png.pkl"),
        ("fc100", "FC100_train.pickle"),
        ("cifar_fs", "CIFAR_FS_train.pickle"),
    ],
)
def test_pickles_are_refused(name, file, tmp_path, refused):
    (tmp_path / name).mkdir()
    (tmp_path / name / file).write_bytes(pickle.dumps(_Attack()))
    with refused(file, "never loaded", "train.npz", 'python -c "import io, numpy', file):
        datasets.load(name, data_dir=tmp_path)


def test_other_pickles_are_nobodys_business(tmp_path, refused):
    (tmp_path / "FC100_train.pickle").write_bytes(b"")
    for name in ("mini_imagenet", "eurosat"):
        with refused(name, f"not all of them in {tmp_path}"):
            datasets.load(name, data_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mini_imagenet", "mini-imagenet-cache-train.pkl"),
        ("fc100", "FC100_train.pickle"),
        ("tiered_imagenet", "train_images_png.pkl"),
    ],
)
def test_the_line_that_a_refusal_gives_works(name, file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = np.arange(3 * 48, dtype=np.uint8).reshape(3, 4, 4, 3)
    content = {
        "mini-imagenet-cache-train.pkl": {"image_data": images, "class_dict": {"n2": [1], "n1": [0, 2]}},
        "FC100_train.pickle": {"data": images, "labels": [1, 2, 1]},
        "train_images_png.pkl": [np.frombuffer(_png(image), np.uint8) for image in images],
    }[file]
    (tmp_path / file).write_bytes(pickle.dumps(content))
    (tmp_path / "train_labels.pkl").write_bytes(pickle.dumps({"label_specific": np.array([1, 2, 1])}))
    with pytest.raises(ValueError, match="never loaded") as caught:
        datasets.load(name, data_dir=tmp_path)
    line = str(caught.value).partition('python -c "')[2].rstrip('"')
    subprocess.run([sys.executable, "-c", line], check=True)
    made = datasets.load(tmp_path / "train.npz")
    assert len(made.class_names) == 2
    np.testing.assert_array_equal(made.inputs, images[[0, 2, 1]])


def _png(image):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()
