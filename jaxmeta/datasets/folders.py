"""Folders of pictures: class folders for training, any folder for adaptation."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from typing import NamedTuple

import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import cache, examples, files, pictures, sheets

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pbm",
            ".pnm")  # fmt: skip
_BEGINNINGS = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*")
"""Of pictures without a suffix that tells."""

OTHERS = (".heic", ".heif", ".avif", ".svg", ".jp2", ".j2k", ".jxl", ".tga", ".ico", ".psd", ".eps", ".pdf", ".exr",
          ".hdr", ".raw", ".dng", ".cr2", ".nef", ".dcm", ".nii", ".mha", ".nrrd", ".czi", ".svs", ".ndpi",
          ".npy")  # fmt: skip
"""Pictures of kinds that are not read."""

PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval"), "test"),
}
"""What folders are called that hold a split."""


class _Folder(NamedTuple):
    name: str  # relative to the root, "." for the root itself
    pictures: list[str]  # relative to the root
    others: list[str]  # files that are none, relative to the root
    has_folders: bool


def _walk(path: pathlib.Path) -> list[_Folder]:
    """Lists a folder and all below it in sorted order, without hidden entries and without leaving it."""
    root = os.path.realpath(path)

    def below(folder: pathlib.Path, parents: tuple[str, ...]) -> list[_Folder]:
        with files.reading(folder):
            entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        for entry in entries:
            files.check_link(entry, root)
        folders = [entry for entry in entries if entry.is_dir()]
        kinds: dict[bool, list[str]] = {True: [], False: []}
        for entry in entries:
            if entry.is_file():
                kinds[_is_picture(entry)].append(entry.relative_to(path).as_posix())
        listed = [_Folder(folder.relative_to(path).as_posix(), kinds[True], kinds[False], bool(folders))]
        for entry in folders:
            real = os.path.realpath(entry)
            if real in parents:
                checks.fail(str(entry), "a folder that ends", "a link to a folder above it", error=checks.DataError)
            listed += below(entry, (*parents, real))
        return listed

    return below(path, (root,))


def _is_picture(path: pathlib.Path) -> bool:
    if path.suffix.lower() in SUFFIXES:
        return True
    with files.reading(path), path.open("rb") as stream:
        first = stream.read(12)
    return first.startswith(_BEGINNINGS) or (first[:4] == b"RIFF" and first[8:] == b"WEBP")


def _read_otherwise(path: pathlib.Path, folders: list[_Folder]) -> tuple[str, ...]:
    """What is said of files that are no pictures; raises DataError if one is, of a kind that is not read."""
    others = [name for folder in folders for name in folder.others]
    for name in others:
        if pathlib.PurePath(name).suffix.lower() in OTHERS:
            hint = f"convert it, to {', '.join(SUFFIXES[:2])} for example, or move it out"
            got = f"a picture of the kind {pathlib.PurePath(name).suffix}, which is not read"
            checks.fail(str(path / name), "pictures that can be read", got, hint, checks.DataError)
    if not others:
        return ()
    shown = ", ".join(others[:5]) + (" .." if len(others) > 5 else "")
    return (f"{len(others)} files passed over, which are no pictures: {shown}",)


def classes(path: pathlib.Path) -> tuple[list[str], list[str]]:
    """Lists a folder of class folders; a class is a folder that holds pictures, named by its path below the root.

    Returns:
      names: the pictures, relative to the folder.
      labels: the class of each.
    """
    return _classes(path, _walk(path))


def _classes(path: pathlib.Path, folders: list[_Folder]) -> tuple[list[str], list[str]]:
    if folders[0].pictures or not folders[0].has_folders:
        got = f"{len(folders[0].pictures)} pictures at the top" if folders[0].pictures else "an empty folder"
        hint = "or put a csv beside them, with a column of their names and one of their classes"
        checks.fail(str(path), "one folder of pictures for each class", got, hint, checks.DataError)
    for folder in folders:
        if folder.pictures and folder.has_folders:
            got = "both"
            checks.fail(str(path / folder.name), "pictures or folders", got, "move either out", checks.DataError)
        if not folder.pictures and not folder.has_folders:
            hint = f"known are {', '.join(SUFFIXES)}"
            checks.fail(str(path / folder.name), "pictures of one class", "none", hint, checks.DataError)
    names = [name for folder in folders for name in folder.pictures]
    return names, [folder.name for folder in folders for _ in folder.pictures]


class _Listed(NamedTuple):
    names: list[str]  # the pictures, relative to the folder
    labels: list[str]
    parts: list[str] | None
    notes: tuple[str, ...]


def _listed(path: pathlib.Path) -> _Listed:
    """Lists what a person has: class folders, perhaps below train, validation and test, or pictures and a csv."""
    folders = _walk(path)
    if folders[0].pictures and len(_tables(folders)) == 1:
        return _from_table(path, folders, _tables(folders)[0])
    notes = _read_otherwise(path, folders)
    names, labels = _classes(path, folders)
    above, below = _above(labels)
    tops = {label.partition("/")[0] for label in below}
    parts = {top for top in tops if top.lower() in PARTS}
    nested = {top for top in parts if any(label.startswith(f"{top}/") for label in below)}
    if not (len(nested) > 1 or (parts == tops and (nested or len(parts) > 1))):
        return _Listed(names, labels, None, notes)
    for label in below:
        if label.partition("/")[0] not in parts:
            hint = f"move it out, or give the folder {sorted(parts)[0]} alone"
            checks.fail(str(path / above / label), "splits of classes, as train/CLASS", "another folder", hint,
                        checks.DataError)  # fmt: skip
        if "/" not in label:
            hint = "give the folder with the classes alone"
            checks.fail(str(path / above / label), "classes, as in train/CLASS", "pictures", hint, checks.DataError)
    splits = [PARTS[label.partition("/")[0].lower()] for label in below]
    note = f"folders {', '.join(sorted(parts))} taken for splits"
    return _Listed(names, [label.partition("/")[2] for label in below], splits, (*notes, note))


def _above(labels: list[str]) -> tuple[str, list[str]]:
    """The folder that all classes lie in if splits are what comes next, and the labels below it."""
    first, _, _ = labels[0].partition("/")
    below = [label.partition("/")[2] for label in labels]
    inside = all(label.startswith(f"{first}/") for label in labels) and first.lower() not in PARTS
    return (first, below) if inside and any(each.partition("/")[0].lower() in PARTS for each in below) else ("", labels)


def _tables(folders: list[_Folder]) -> list[str]:
    return [name for name in folders[0].others if sheets.is_table(name)]


def _from_table(path: pathlib.Path, folders: list[_Folder], table: str) -> _Listed:
    """Pictures whose classes stand in a csv beside them, in the row that names the picture."""
    known = {name: name for folder in folders for name in folder.pictures}
    for name in list(known):  # a table may leave out the folder or the suffix, where that tells them apart
        for short in (pathlib.PurePath(name).name, pathlib.PurePath(name).stem, name.rpartition(".")[0]):
            known[short] = name if known.get(short, name) == name else ""
    sheet = sheets.read(path / table)
    columns = [column for column in range(sheet.width) if all(known.get(cell) for cell in sheet.cells(column))]
    if len(columns) != 1 or sheet.width < 2:
        found = [sum(bool(known.get(cell)) for cell in sheet.cells(column)) for column in range(sheet.width)]
        got = f"at most {max(found)} of {len(sheet.rows)} cells of a column" if not columns else "several"
        hint = "name every picture once, and pictures alone"
        checks.fail(str(path / table), "one column of the names of pictures", got, hint, checks.DataError)
    rest = [column for column in range(sheet.width) if column != columns[0]]
    target = rest[0] if len(rest) == 1 else sheets.target(sheet, None, is_class=True)
    assert target is not None
    names = [known[cell] for cell in sheet.cells(columns[0])]
    if len(set(names)) < len(names):
        twice = next(row for row, name in enumerate(names) if name in names[:row])
        sheet.fail(twice, columns[0], "every picture once", repr(sheet.cells(columns[0])[twice]))
    others = [folder._replace(others=[name for name in folder.others if name != table]) for folder in folders]
    notes = [f"classes of the column {sheet.name(target)!r} of {table}", *_read_otherwise(path, others)]
    if left := sorted(set(known.values()) - {"", *names}):
        notes.append(f"{len(left)} pictures passed over, which {table} does not name: {', '.join(left[:5])}")
    return _Listed(names, sheets.classes(sheet, target), None, tuple(notes))


def labelled(path: pathlib.Path, form: pictures.Form | None) -> examples.Examples:
    """Reads a folder of pictures of classes."""
    listed = _listed(path)
    images, checksum = read(path, listed.names, form)
    checksums = {pathlib.Path(os.path.abspath(path)).name: checksum}
    labels = [examples.composed(label) for label in listed.labels]
    return examples.grouped(
        images, labels, name=files.stem(path), checksums=checksums, parts=listed.parts, notes=listed.notes
    )


def unlabelled(path: pathlib.Path, form: pictures.Form | None) -> tuple[list[str], np.ndarray]:
    """Reads every picture in a folder and below it; names are relative to the folder."""
    folders = _walk(path)
    names = [name for folder in folders for name in folder.pictures]
    _read_otherwise(path, folders)
    if not names:
        hint = f"known are {', '.join(SUFFIXES)}"
        checks.fail(str(path), "a folder that holds pictures", "none", hint, checks.DataError)
    return names, read(path, names, form)[0]


def picture(path: pathlib.Path, form: pictures.Form | None) -> np.ndarray:
    """Reads one picture file as uint8 [1, height, width, channels]."""
    array = pictures.to_array(pictures.decode(str(path), str(path), form), form)
    return pictures.with_polarity(array[None], form)


def read(path: pathlib.Path, names: list[str], form: pictures.Form | None) -> tuple[np.ndarray, str]:
    """Returns the pictures of these names and one checksum over all of their names and contents."""
    told = files.told(names, len(names), f"reading {path.name}")
    checksums = {name: files.checksum(path / name) for name in told}

    def decode() -> cache.Decoded:
        paths = (str(path / name) for name in names)
        return ((each, pictures.to_array(pictures.decode(each, each, form), form)) for each in paths)

    images = cache.images("folder", form, checksums, len(names), decode)
    joint = hashlib.sha256(json.dumps(sorted(checksums.items())).encode()).hexdigest()
    return pictures.with_polarity(images, form), joint
