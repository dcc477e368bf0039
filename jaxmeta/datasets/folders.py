"""Folders of pictures: class folders for training, any folder for adaptation."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import pathlib
import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import cache, examples, files, pictures, sheets, spellings, splits

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pbm",
            ".pnm")  # fmt: skip
_BEGINNINGS = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*")
"""Of pictures without a suffix that tells."""

OTHERS = (".heic", ".heif", ".avif", ".svg", ".jp2", ".j2k", ".jxl", ".tga", ".ico", ".psd", ".eps", ".pdf", ".exr",
          ".hdr", ".raw", ".dng", ".cr2", ".nef", ".dcm", ".nii", ".mha", ".nrrd", ".czi", ".svs", ".ndpi",
          ".npy")  # fmt: skip
"""Pictures of kinds that are not read."""

_PART = re.compile(r"(train|training|val|valid|validation|dev|test|testing|eval)(set|data|images?|imgs?|pictures)?")
_AGAIN = re.compile(r"(fold|split)[\W_]*\d+|support|query|hold[\W_]?out|original|augmented|aug|masks?", re.IGNORECASE)
"""What folders are called that hold the same classes again."""
_HOLDER = re.compile(r"jpe?gs?|pngs?|(jpeg)?(images?|imgs?|pictures?|photos?)", re.IGNORECASE)
"""What folders are called that hold pictures of any class."""


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
            entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith((".", "__MACOSX")))
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
    one = sum(bool(folder.pictures) for folder in folders) == 1  # a folder beside the table, and no class
    if (folders[0].pictures or one) and (tables := _tables(folders)):
        if len(tables) > 1:
            hint = "keep the one that names their classes, and move the others out"
            got = f"{len(tables)}: {', '.join(tables[:5])}"
            checks.fail(str(path), "one csv beside the pictures", got, hint, checks.DataError)
        return _from_table(path, folders, tables[0])
    notes = _read_otherwise(path, folders)
    names, labels = _classes(path, folders)
    places, note = _parts(path, sorted(set(labels)))
    _check_case(path, {*labels} if not places else {name for _, name in places.values()})
    if not places:
        return _Listed(names, labels, None, (*notes, *note))
    return _Listed(names, [places[label][1] for label in labels], [places[label][0] for label in labels],
                   (*notes, *note))  # fmt: skip


def _part(name: str) -> str:
    """The split that a folder's name says: train, seg_train, Training Data, val2017, test_set; "" where none or two."""
    words = [_PART.fullmatch(word) for word in re.split(r"[\W_\d]+", name.lower())]
    found = {splits.PARTS[word[1]] for word in words if word}
    return found.pop() if len(found) == 1 else ""


def _parts(path: pathlib.Path, labels: list[str]) -> tuple[dict[str, tuple[str, str]], tuple[str, ...]]:
    """The split and the class of each folder of pictures, none where no folder is called as splits are, and notes.

    Splits stand above the classes, perhaps below folders that all classes lie in, or in each class.
    """
    paths = [tuple(label.split("/")) for label in labels]
    together = itertools.takewhile(lambda level: len(set(level)) == 1, zip(*paths, strict=False))
    common = len(list(together)) if len(paths) > 1 else 0
    depth = next((at for at in range(common + 1) if any(_part(each[at]) for each in paths if at < len(each))), None)
    if depth is not None and (found := _splits_above(path, paths, depth)):
        return found
    for at in range(1, max(map(len, paths))):
        inside: dict[tuple[str, ...], set[str]] = {}
        for each in paths:
            inside.setdefault(each[:at], set()).add(splits.PARTS.get("".join(each[at : at + 1]).lower(), ""))
        if any(len(found) > 1 and "" not in found for found in inside.values()):
            if odd := [above for above, found in inside.items() if "" in found]:
                got, hint = "splits in one class and none in another", f"look at {'/'.join(odd[0])}"
                checks.fail(str(path), "splits above the classes, or in each", got, hint, checks.DataError)
            made = {
                "/".join(each): (splits.PARTS[each[at].lower()], "/".join(each[:at] + each[at + 1 :])) for each in paths
            }
            return made, ("folders in each class taken for splits",)
    ends: dict[str, set[str]] = {}
    for each in paths:
        ends.setdefault("/".join(each[1:]), set()).add(each[0])
    if any(re.fullmatch("un_?label+ed", each[0], re.IGNORECASE) for each in paths) and len(paths) > 1:
        checks.fail(str(path), "one folder for each class", "unlabelled pictures", "move them out", checks.DataError)
    _check_no_split(path, paths)
    again = [end for end, tops in ends.items() if end and len(tops) > 1]
    if again and any(map(_AGAIN.fullmatch, ends[again[0]])):
        got, hint = f"{again[0]!r} in {', '.join(sorted(ends[again[0]]))}", "give one of them, or merge them"
        checks.fail(str(path), "one folder for each class", got, hint, checks.DataError)
    return {}, (f"{again[0]!r} in several folders is a class of each",) if again else ()


def _check_no_split(path: pathlib.Path, paths: list[tuple[str, ...]]) -> None:
    """Raises if a split that holds pictures itself stands among classes; a train may be one that runs on rails."""
    plain = {each: re.sub(r"[\W_\d]+", "", each[-1].lower()) for each in paths}
    others = [each for each in paths if not _PART.fullmatch(plain[each])]
    for each in paths:
        if not _PART.fullmatch(plain[each]) or plain[each] == "train":
            continue
        if beside := [other for other in others if other[: len(each) - 1] == each[:-1]]:
            got = f"pictures in {'/'.join(each)!r} beside the class {'/'.join(beside[0])!r}"
            hint = "put classes into folders train and test, or rename this one or move it out"
            checks.fail(str(path), "splits of classes, as test/CLASS", got, hint, checks.DataError)


def _splits_above(
    path: pathlib.Path, paths: list[tuple[str, ...]], depth: int
) -> tuple[dict[str, tuple[str, str]], tuple[str, ...]] | None:
    below = [each[depth:] for each in paths]
    tops = {each[0] for each in below}
    nested = {top for top in tops if _part(top) and any(each[0] == top and each[1:] for each in below)}
    # A class may be called train station: only what is called as no class is says a split without classes below.
    parts = {top for top in tops if top.lower() in splits.PARTS} | nested
    others = {each[1:] for each in below if each[0] not in parts}
    shared = any(each[1:] in others for each in below if each[0] in nested)
    if not (len(nested) > 1 or shared or (parts == tops and (nested or len(parts) > 1))):
        return None
    made = {}
    for whole, each in zip(paths, below, strict=True):
        label = "/".join(whole)
        if each[0] not in parts:
            hint = f"move it out, or give the folder {sorted(parts)[0]} alone"
            checks.fail(
                str(path / label), "splits of classes, as train/CLASS", "another folder", hint, checks.DataError
            )
        rest = each[1:]
        while rest[1:] and rest[0] == each[0]:  # an archive unpacked into a folder of its own name
            rest = rest[1:]
        if not rest:
            hint = "give the folder with the classes alone"
            checks.fail(str(path / label), "classes, as in train/CLASS", "pictures", hint, checks.DataError)
        made[label] = (_part(each[0]), "/".join(rest))
    _check_names(path, made.values())
    for label, (part, name) in made.items():  # as in Tiny ImageNet, whose classes a file tells
        alone = {other for own, other in made.values() if own == part} == {name}
        if alone and _HOLDER.fullmatch(name) and any(other != name for _, other in made.values()):
            hint = "put them into folders of their classes, or give the folder with the classes alone"
            got = "pictures of any class"
            checks.fail(str(path / label), "classes, as in train/CLASS", got, hint, checks.DataError)
    return made, (f"folders {', '.join(sorted(parts))} taken for splits",)


def _check_case(path: pathlib.Path, names: Iterable[str]) -> None:
    """Raises if classes differ in case alone, unless they are letters."""
    first: dict[str, str] = {}
    for name in sorted(names):
        other = first.setdefault(examples.composed(name).casefold(), name)
        if examples.composed(other) != examples.composed(name) and len(pathlib.PurePath(name).name) > 1:
            got = f"{name!r} beside {other!r}"
            checks.fail(str(path), "one spelling for a class", got, "rename one, or merge them", checks.DataError)


def _check_names(path: pathlib.Path, places: Iterable[tuple[str, str]]) -> None:
    """Raises if a class is written otherwise in another split: it would count as one that nobody trained on."""
    classes = sorted({examples.composed(name) for _, name in places})
    having = {name: {part for part, other in places if examples.composed(other) == name} for name in classes}
    first: dict[object, str] = {}
    for name in classes:
        other = first.setdefault(spellings.alike(re.sub(r"[_-]+", " ", name)), name)
        if other != name and having[other].isdisjoint(having[name]):
            got, hint = f"{name!r} beside {other!r}", "rename one"
            checks.fail(str(path), "one spelling for a class in all splits", got, hint, checks.DataError)


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
    said = sheets.parts(sheet.cells(column) if column in rest else () for column in range(sheet.width))
    rest = [column for column in rest if said is None or column != said[0]]
    target = rest[0] if len(rest) == 1 else sheets.target(sheet, None, is_class=True)
    assert target is not None
    names = [known[cell] for cell in sheet.cells(columns[0])]
    if len(set(names)) < len(names):
        twice = next(row for row, name in enumerate(names) if name in names[:row])
        sheet.fail(twice, columns[0], "every picture once", repr(sheet.cells(columns[0])[twice]))
    others = [folder._replace(others=[name for name in folder.others if name != table]) for folder in folders]
    notes = [f"classes of the column {sheet.name(target)!r} of {table}", *_read_otherwise(path, others)]
    notes += [f"splits of its column {sheet.name(said[0])!r}"] if said else []
    if left := sorted(set(known.values()) - {"", *names}):
        notes.append(f"{len(left)} pictures passed over, which {table} does not name: {', '.join(left[:5])}")
    return _Listed(names, sheets.classes(sheet, target), said[1] if said else None, tuple(notes))


def labelled(path: pathlib.Path, form: pictures.Form | None) -> examples.Examples:
    """Reads a folder of pictures of classes."""
    listed = _listed(path)
    images, checksum = _own(path, listed.names, form)
    checksums = {pathlib.Path(os.path.abspath(path)).name: checksum}
    labels = [examples.composed(label) for label in listed.labels]
    return examples.grouped(
        images, labels, name=files.stem(path), checksums=checksums, parts=listed.parts, notes=listed.notes
    )


def unlabelled(path: pathlib.Path, form: pictures.Form | None) -> tuple[list[str], np.ndarray]:
    """Reads every picture in a folder and below it; names are relative to the folder."""
    folders = _walk(path)
    names = [name for folder in folders for name in folder.pictures]
    notes = _read_otherwise(path, folders)
    if not names:
        hint = f"known are {', '.join(SUFFIXES)}"
        checks.fail(str(path), "a folder that holds pictures", "none", hint, checks.DataError)
    files.said(path, f"{len(names)} pictures", *notes)
    return names, _own(path, names, form)[0]


def _own(path: pathlib.Path, names: list[str], form: pictures.Form | None) -> tuple[np.ndarray, str]:
    """`read` of a person's own; raises DataError if all are so dark that their scale is another, as in label maps."""
    images, checksum = read(path, names, form and form._replace(polarity="as_is"))
    if len(names) > 1:  # one may be of the night
        hint = "if they hold numbers of classes, spread these over 0..255"
        checks.picture_range(str(path), images, checks.DataError, hint)
    return pictures.with_polarity(images, form), checksum


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
