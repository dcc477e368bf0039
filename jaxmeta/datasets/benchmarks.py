"""The field's benchmarks from a user's disk, in the layouts in which they are published; nothing is downloaded.

What a folder must hold stands in `LAYOUTS`; the first layout that is there is read. References: mini-ImageNet, Ravi &
Larochelle, 2017; tiered-ImageNet, Ren et al., 2018; CIFAR-FS, Bertinetto et al., 2019; FC100, Oreshkin et al., 2018;
CUB, Wah et al., 2011, split as in Chen et al., A Closer Look at Few-shot Classification, 2019; CropDisease, EuroSAT,
ISIC and ChestX as in Guo et al., A Broader Study of Cross-Domain Few-Shot Learning, 2020.
"""

from __future__ import annotations

import collections
import csv
import functools
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import catalogue, examples, files, folders, npz, pictures, reduced, splits

Rows = tuple[list[str], list[str]]  # pictures' paths below the root, and their classes

_SIDE = 84  # of the pictures, unless a form says otherwise
_SIDES = {"cifar_fs": 32, "fc100": 32, "caltech101": 32, "eurosat": 64, "ucmerced": 64}  # of those that differ

_PARTS = {"train": "train", "validation": "val", "test": "test"}  # our names and those of the published files
_CLASSES = {
    "mini_imagenet": {"train": 64, "validation": 16, "test": 20},
    "tiered_imagenet": {"train": 351, "validation": 97, "test": 160},
    "cifar_fs": {"train": 64, "validation": 16, "test": 20},
    "fc100": {"train": 60, "validation": 20, "test": 20},
    "cub": {"train": 100, "validation": 50, "test": 50},
}
_FINDINGS = ("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumothorax")


class Layout(NamedTuple):
    """One way in which a benchmark lies on a disk."""

    needs: tuple[str, ...]  # files and folders that tell it
    rows: Callable[[pathlib.Path, str | None], Rows] | None  # (root, split) -> rows; None: an npz a split
    root: str = "."  # below the benchmark's folder

    def __str__(self) -> str:
        return " and ".join((pathlib.PurePosixPath(self.root) / each).as_posix() for each in self.needs)


def wanted(name: str) -> str:
    """Says what a folder must hold."""
    return ", or ".join(map(str, LAYOUTS[name]))


def lies(folder: pathlib.Path, name: str) -> bool:
    """Whether a folder holds a benchmark in a layout that is known."""
    return any(all((folder / layout.root / each).exists() for each in layout.needs) for layout in LAYOUTS[name])


def load(folder: pathlib.Path, name: str, split: str | None, form: pictures.Form | None) -> examples.Examples | None:
    """Reads a benchmark, or returns None if the folder holds it in no layout that is known.

    Pictures are 84 x 84 RGB unless the form says otherwise, 32 x 32 for CIFAR and Caltech, 64 x 64 from above.

    Raises:
      DataError: if it is not whole, or a pickle, which is never loaded.
    """
    for layout in LAYOUTS[name]:
        root = folder / layout.root
        if all((root / each).exists() for each in layout.needs):
            side = _SIDES.get(name, _SIDE)
            return _read(root, layout, name, split, form or pictures.Form(side, side, 3))
    _refuse_pickles(folder, name)
    return None


def _read(root: pathlib.Path, layout: Layout, name: str, split: str | None, form: pictures.Form) -> examples.Examples:
    for each in layout.needs:
        files.check_link(root / each, os.path.realpath(root))
        if not (root / each).is_file() and not (root / each).is_dir():
            checks.fail(str(root / each), "a file or folder", "a device or a pipe", error=checks.DataError)
    if layout.rows is None:
        return _archives(root, name, split, form)
    published = split if name in _CLASSES else None
    # Sorted by class, so that an array that is mapped to a file stays where it is.
    rows = sorted(zip(*layout.rows(root, published), strict=True), key=lambda row: row[1])
    names, labels = [name for name, _ in rows], [label for _, label in rows]
    _check_classes(root, set(labels), name, published)
    images, checksum = folders.read(root, names, form)
    sums = {path.name: files.checksum(path) for path in (root / each for each in layout.needs) if path.is_file()}
    checksums = {name: checksum} | sums
    loaded = examples.grouped(images, labels, name=name, split=published or "all", checksums=checksums)
    groups = [reduced.GROUPS.get(each, each) for each in loaded.class_names]
    return loaded if split == published else splits.by_class(loaded, split, groups)


def _check_classes(root: pathlib.Path, names: set[str], name: str, split: str | None) -> None:
    """Raises unless there are as many classes as were published, before any picture is decoded."""
    sizes = _CLASSES.get(name, {"all": catalogue.BUILTINS[name].classes})
    published = sum(size for part, size in sizes.items() if split in (None, part))
    if len(names) != published:
        what, hint = f"{root}, {split or 'all splits'}", "load a part of it as a folder"
        checks.fail(what, f"{published} classes of {name}", len(names), hint, checks.DataError)


def _chosen(split: str | None) -> list[str]:
    return list(_PARTS.values()) if split is None else [_PARTS[split]]


def _archives(root: pathlib.Path, name: str, split: str | None, form: pictures.Form) -> examples.Examples:
    """Reads train.npz, val.npz and test.npz, whose classes are all distinct."""
    parts = [npz.labelled(root / f"{part}.npz", form) for part in _chosen(split)]
    labels = np.concatenate([np.repeat(part.class_names, np.diff(part.offsets)) for part in parts])
    checksums = {file: value for part in parts for file, value in part.checksums.items()}
    _check_classes(root, set(labels.tolist()), name, split)
    inputs = np.concatenate([part.inputs for part in parts])
    return examples.grouped(inputs, labels, name=name, split=split or "all", checksums=checksums)


def _csv_of_a_split(root: pathlib.Path, split: str | None) -> Rows:
    """train.csv, val.csv and test.csv, "filename,label", over a folder images."""
    rows = [row for part in _chosen(split) for row in _table(root / f"{part}.csv", "filename", "label")]
    return _existing(root, [f"images/{file}" for file, _ in rows]), [label for _, label in rows]


def _folder_of_a_split(root: pathlib.Path, split: str | None) -> Rows:
    """Folders train, val and test of class folders."""
    listed = [folders.classes(root / part) for part in _chosen(split)]
    names = [f"{part}/{name}" for part, (found, _) in zip(_chosen(split), listed, strict=True) for name in found]
    return names, [label for _, labels in listed for label in labels]


def _lists_of_classes(root: pathlib.Path, split: str | None) -> Rows:
    """Class folders below data, and the classes of a split a line in splits/bertinetto/*.txt."""
    chosen: set[str] = set()
    for part in _chosen(split):
        path = root / "splits/bertinetto" / f"{part}.txt"
        with files.reading(path):
            listed = {line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()}
        for label in sorted(listed):
            if not (root / "data" / label).is_dir():
                checks.fail(f"{path}, {label!r}", "a class folder in data", "none", error=checks.DataError)
        chosen |= listed
    return _of_classes(root, "data", chosen.__contains__)


def _every_second_class(root: pathlib.Path, split: str | None) -> Rows:
    """Class folders below images; of the sorted classes 0, 2, 4, .. train, 1, 5, .. validation, 3, 7, .. test."""
    kinds = ("train", "validation", "train", "test")
    order = sorted(set(folders.classes(root / "images")[1]))
    return _of_classes(root, "images", lambda label: split in (None, kinds[order.index(label) % 4]))


def _of_classes(root: pathlib.Path, folder: str, keep: Callable[[str], bool]) -> Rows:
    names, labels = folders.classes(root / folder)
    kept = [(f"{folder}/{name}", label) for name, label in zip(names, labels, strict=True) if keep(label)]
    return [name for name, _ in kept], [label for _, label in kept]


def _class_folders(root: pathlib.Path, _: str | None, *, folder: str, skip: str = "") -> Rows:
    return _of_classes(root, folder, lambda label: label != skip)


def _one_hot_csv(root: pathlib.Path, _: str | None, *, table: str, folder: str) -> Rows:
    """A csv of "image" and a column a class, of which one holds 1.0, over a folder of jpg files."""
    path = root / table
    diagnoses = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
    names, labels = [], []
    for image, *cells in _table(path, "image", *diagnoses):
        marked = [label for label, cell in zip(diagnoses, cells, strict=True) if cell.strip() in ("1", "1.0")]
        if len(marked) != 1:
            got = " and ".join(marked) or "none"
            checks.fail(f"{path}, {image!r}", "one class marked 1.0", got, error=checks.DataError)
        names.append(f"{folder}/{image}.jpg")
        labels += marked
    return _existing(root, names), labels


def _one_finding(root: pathlib.Path, _: str | None) -> Rows:
    """Data_Entry_2017.csv: the pictures with a single finding, one of seven, in the folder images."""
    table = _table(root / "Data_Entry_2017.csv", "Image Index", "Finding Labels")
    rows = [(f"images/{image}", finding) for image, finding in table if finding in _FINDINGS]
    return _existing(root, [name for name, _ in rows]), [label for _, label in rows]


def _table(path: pathlib.Path, *columns: str) -> list[list[str]]:
    """Returns the cells of some columns of a csv file with a header."""
    with files.reading(path), path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        rows = []
        try:
            if missing := [column for column in columns if column not in (reader.fieldnames or ())]:
                got = ", ".join(reader.fieldnames or ()) or "an empty file"
                checks.fail(str(path), f"a column called {missing[0]!r}", got, error=checks.DataError)
            for row in reader:
                if any(row[column] is None for column in columns):
                    got = "fewer columns"
                    checks.fail(f"{path}, row {reader.line_num}", "a cell in each column", got, error=checks.DataError)
                rows.append([row[column] for column in columns])
        except csv.Error as error:
            checks.fail(f"{path}, row {reader.line_num}", "comma-separated text", error, error=checks.DataError)
    return rows


def _existing(root: pathlib.Path, names: list[str]) -> list[str]:
    """Returns names that a table gives, all of which must be files below the root."""
    real = os.path.realpath(root)
    for name in names:
        path = root / name
        with files.reading(root):  # a name may be too long for a file, or hold what no name can
            inside = ".." not in pathlib.PurePath(name).parts and os.path.realpath(path).startswith(real + os.sep)
            there = inside and path.is_file()
        if not inside:
            checks.fail(str(root), "names of files inside the folder", repr(name), error=checks.DataError)
        if not there:
            checks.fail(str(path), "the picture that its table names", "no such file", error=checks.DataError)
    if len(set(names)) < len(names):
        repeated = next(name for name, number in collections.Counter(names).items() if number > 1)
        checks.fail(str(root), "each picture once", f"{repeated!r} more than once", error=checks.DataError)
    return names


# The one line of Python that makes train.npz of a release; likewise val and test.
_FROM_CACHE = (
    "d = np.load('{file}', allow_pickle=True); y = np.empty(len(d['image_data']), 'U9'); "
    "[y.__setitem__(i, c) for c, i in d['class_dict'].items()]; np.savez('train.npz', images=d['image_data'], labels=y)"
)
_FROM_LABELS = (
    "d = np.load('{file}', allow_pickle=True, encoding='latin1'); "
    "np.savez('train.npz', images=d['data'], labels=np.char.add('train', np.array(d['labels'], str)))"
)
_FROM_PNG = (
    "from PIL import Image; read = lambda file: np.load(file, allow_pickle=True, encoding='latin1'); "
    "x, y = read('train_images_png.pkl'), read('train_labels.pkl')['label_specific']; "
    "np.savez('train.npz', images=np.stack([Image.open(io.BytesIO(bytes(each))) for each in x]), "
    "labels=np.char.add('train', np.array(y, str)))"
)
_PICKLES = {
    "mini_imagenet": {
        "mini-imagenet-cache-*.pkl": _FROM_CACHE,
        "miniImageNet_category_split_*.pickle": _FROM_LABELS,
    },
    "tiered_imagenet": {"*_images_png.pkl": _FROM_PNG},
    "cifar_fs": {"CIFAR_FS_*.pickle": _FROM_LABELS},
    "fc100": {"FC100_*.pickle": _FROM_LABELS},
}


def _refuse_pickles(folder: pathlib.Path, name: str) -> None:
    for pattern, line in _PICKLES.get(name, {}).items():
        if found := sorted(folder.glob(pattern)):
            hint = (
                "if you trust its origin, make train.npz, val.npz and test.npz beside it, each with a line like "
                f'python -c "import io, numpy as np; {line.replace("{file}", found[0].name)}"'
            )
            got = "a pickle, which can run any code and is never loaded"
            checks.fail(str(found[0]), "pictures, or npz files", got, hint, checks.DataError)


def _class_folder(folder: str, root: str = ".", skip: str = "") -> Layout:
    return Layout((folder,), functools.partial(_class_folders, folder=folder, skip=skip), root)


_CSVS = Layout(("train.csv", "val.csv", "test.csv", "images"), _csv_of_a_split)
_FOLDERS = Layout(("train", "val", "test"), _folder_of_a_split)
_ARCHIVES = Layout(("train.npz", "val.npz", "test.npz"), None)
_LISTS = tuple(f"splits/bertinetto/{part}.txt" for part in _PARTS.values())
_ISIC, _TRUTH = "ISIC2018_Task3_Training_Input", "ISIC2018_Task3_Training_GroundTruth"


def _isic(table: str) -> Layout:
    return Layout((table, _ISIC), functools.partial(_one_hot_csv, table=table, folder=_ISIC))


LAYOUTS: dict[str, Sequence[Layout]] = {
    "mini_imagenet": (_CSVS, _FOLDERS, _ARCHIVES),
    "tiered_imagenet": (_FOLDERS, _ARCHIVES),
    "cifar_fs": (
        Layout(("data", *_LISTS), _lists_of_classes, "cifar100"),
        Layout(("data", *_LISTS), _lists_of_classes),
        _FOLDERS,
        _ARCHIVES,
    ),
    "fc100": (_FOLDERS, _ARCHIVES),
    "cub": (
        Layout(("images", "classes.txt"), _every_second_class, "CUB_200_2011"),
        Layout(("images", "classes.txt"), _every_second_class),
    ),
    "crop_disease": (_class_folder("train", "dataset"), _class_folder("train")),
    "eurosat": (_class_folder("2750", "EuroSAT"), _class_folder("2750")),
    "isic": (_isic(f"{_TRUTH}/{_TRUTH}.csv"), _isic(f"{_TRUTH}.csv")),
    "chestx": (Layout(("Data_Entry_2017.csv", "images"), _one_finding),),
    "caltech101": (_class_folder("101_ObjectCategories", skip="BACKGROUND_Google"),),
    "ucmerced": (_class_folder("Images", "UCMerced_LandUse"), _class_folder("Images")),
}
