"""Folders of pictures: class folders for training, any folder for adaptation."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from typing import NamedTuple

import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import cache, examples, files, pictures

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")


class _Folder(NamedTuple):
    name: str  # relative to the root, "." for the root itself
    pictures: list[str]  # relative to the root
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
        found = [entry for entry in entries if entry.is_file() and entry.suffix.lower() in SUFFIXES]
        names = [entry.relative_to(path).as_posix() for entry in found]
        listed = [_Folder(folder.relative_to(path).as_posix(), names, bool(folders))]
        for entry in folders:
            real = os.path.realpath(entry)
            if real in parents:
                checks.fail(str(entry), "a folder that ends", "a link to a folder above it", error=checks.DataError)
            listed += below(entry, (*parents, real))
        return listed

    return below(path, (root,))


def classes(path: pathlib.Path) -> tuple[list[str], list[str]]:
    """Lists a folder of class folders; a class is a folder that holds pictures, named by its path below the root.

    Returns:
      names: the pictures, relative to the folder.
      labels: the class of each.
    """
    folders = _walk(path)
    if folders[0].pictures or not folders[0].has_folders:
        got = f"{len(folders[0].pictures)} pictures at the top" if folders[0].pictures else "an empty folder"
        checks.fail(str(path), "one folder of pictures for each class", got, error=checks.DataError)
    for folder in folders:
        if folder.pictures and folder.has_folders:
            got = "both"
            checks.fail(str(path / folder.name), "pictures or folders", got, "move either out", checks.DataError)
        if not folder.pictures and not folder.has_folders:
            hint = f"known are {', '.join(SUFFIXES)}"
            checks.fail(str(path / folder.name), "pictures of one class", "none", hint, checks.DataError)
    names = [name for folder in folders for name in folder.pictures]
    return names, [folder.name for folder in folders for _ in folder.pictures]


def labelled(path: pathlib.Path, form: pictures.Form | None) -> examples.Examples:
    """Reads a folder of class folders."""
    names, labels = classes(path)
    images, checksum = read(path, names, form)
    checksums = {pathlib.Path(os.path.abspath(path)).name: checksum}
    return examples.from_labels(images, labels, name=files.stem(path), checksums=checksums)


def unlabelled(path: pathlib.Path, form: pictures.Form | None) -> tuple[list[str], np.ndarray]:
    """Reads every picture in a folder and below it; names are relative to the folder."""
    names = [name for folder in _walk(path) for name in folder.pictures]
    if not names:
        hint = f"known are {', '.join(SUFFIXES)}"
        checks.fail(str(path), "a folder that holds pictures", "none", hint, checks.DataError)
    return names, read(path, names, form)[0]


def picture(path: pathlib.Path, form: pictures.Form | None) -> np.ndarray:
    """Reads one picture file as uint8 [1, height, width, channels]."""
    array = pictures.to_array(pictures.decode(str(path), str(path)), form)
    return pictures.with_polarity(array[None], form)


def read(path: pathlib.Path, names: list[str], form: pictures.Form | None) -> tuple[np.ndarray, str]:
    """Returns the pictures of these names and one checksum over all of their names and contents."""
    checksums = {name: files.checksum(path / name) for name in names}

    def decode() -> cache.Decoded:
        paths = (str(path / name) for name in names)
        return ((each, pictures.to_array(pictures.decode(each, each), form)) for each in paths)

    images = cache.images("folder", form, checksums, len(names), decode)
    joint = hashlib.sha256(json.dumps(sorted(checksums.items())).encode()).hexdigest()
    return pictures.with_polarity(images, form), joint
