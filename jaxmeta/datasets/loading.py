"""One way in: a built-in name, or a path to files of the user's own."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import (
    benchmarks,
    bundled,
    catalogue,
    digits,
    examples,
    files,
    folders,
    fonts,
    idx,
    npz,
    omniglot,
    pictures,
    reduced,
    splits,
    tables,
    tfds,
)

_CLOTHES = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
_EMBEDDED = {"digits": digits.load, "digits_moved": digits.load_moved, "breast_cancer": bundled.breast_cancer}
_CLASS_NAMES = {"mnist": tuple("0123456789"), "fashion_mnist": tuple(_CLOTHES.split(","))}

# Both sets have the same file names; the published label files tell which one a folder holds.
_PUBLISHED = {
    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c": "mnist",
    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6": "mnist",
    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845": "fashion_mnist",
    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5": "fashion_mnist",
}


def names() -> dict[str, catalogue.Builtin]:
    """Returns the built-in domains and what is known of them."""
    return dict(catalogue.BUILTINS)


def suggested() -> dict[str, catalogue.Builtin]:
    """Returns sets of tensorflow-datasets that `load` reads once they are prepared, and what is known of them."""
    return dict(catalogue.SUGGESTED)


def found(data_dir: files.PathLike | None = None) -> dict[str, catalogue.Builtin]:
    """Returns the domains whose files lie in the data folder, prepared tensorflow-datasets among them.

    Nothing is read but the descriptions of tensorflow-datasets; a file may yet turn out to be damaged.

    Args:
      data_dir: as for `load`.
    """
    data_dir = data_dir or os.environ.get("JAXMETA_DATA")
    if not data_dir:
        return {}
    local = {name: about for name, about in catalogue.BUILTINS.items() if about.source == "files"}
    return {name: about for name, about in local.items() if _lies(name, pathlib.Path(data_dir))} | tfds.found(data_dir)


def _lies(name: str, data_dir: pathlib.Path) -> bool:
    base = name.partition(":")[0]
    # Several benchmarks and IDX sets have the same file names, so those count in a folder of their own alone.
    plain = base == "omniglot" or base in reduced.NPZ
    for folder in (data_dir / base, *([data_dir] if plain else [])):
        if (
            (base in reduced.NPZ and (folder / reduced.NPZ[base]).is_file())
            or (base in benchmarks.LAYOUTS and benchmarks.lies(folder, base))
            or (base == "omniglot" and omniglot.find(folder, None))
            or (base in _CLASS_NAMES and folder.is_dir() and _idx_splits(folder, None))
        ):
            return True
    return False


def load(
    name_or_path: files.PathLike,
    *,
    data_dir: files.PathLike | None = None,
    split: str | None = None,
    form: pictures.Form | None = None,
    target_column: str | None = None,
) -> examples.Examples:
    """Loads a labelled set, grouped by class.

    Args:
      name_or_path: one of `names()`, such as "omniglot" or, for one drawing style, "emoji_styles:noto"; or a path to an
        npz (`images` or `inputs`, with `labels` [N] and perhaps `class_names`, or one array [classes, examples, ...]
        alone), a folder of class folders of pictures, a folder of IDX pairs, or a csv of numbers with a target column;
        or "tfds:NAME" or "tfds:NAME/CONFIG", a set that tensorflow-datasets has prepared with
        file_format="array_record".
      data_dir: where the files of built-in domains lie, in a folder of the domain's name or directly; by default the
        environment variable JAXMETA_DATA.
      split: "train", "validation" or "test", whose classes are all distinct. omniglot's have 1100, 100 and 423 classes
        ("train+validation" is the first two); the benchmarks' (mini_imagenet, tiered_imagenet, cifar_fs, fc100, cub)
        are the published ones; all others get a half, a quarter and a quarter of the classes by a hash of their names,
        those of a user's path too. There the classes that look alike stay together (caltech101's faces, emoji of one
        subcategory), and bccd_cells splits its slides instead of its three classes. "train" or "test" of the IDX
        sets are examples of the same classes. `names()` says which splits a domain has. None takes everything.
      form: the size, channels and polarity of pictures. None keeps their own, which must then be one; a benchmark's
        photographs become 84 x 84 RGB (CIFAR 32 x 32, EuroSAT 64 x 64).
      target_column: the name or number (from 1) of a csv's target; None: see `read_table`.

    Returns:
      Examples; pictures are uint8 [N, height, width, channels], vectors floats [N, d].

    Raises:
      ValueError: if there is no such domain, split or form, or there are too few classes to be split.
      DataError: if a file is missing, damaged or not as expected; the message names it.
      ImportError: if reading it needs the `data` extra.
    """
    pictures.check_form(form)
    if target_column is not None and pathlib.Path(name_or_path).suffix.lower() != ".csv":
        checks.fail("target_column", "None, since this is no csv", repr(target_column))
    if isinstance(name_or_path, str) and name_or_path.startswith(tfds.PREFIX):
        return tfds.load(name_or_path.removeprefix(tfds.PREFIX), data_dir, split, form)
    if isinstance(name_or_path, str) and name_or_path in catalogue.BUILTINS:
        return _builtin(name_or_path, data_dir, split, form)
    if not _looks_like_path(name_or_path) and not (name_or_path and os.path.exists(name_or_path)):
        known = f"one of {', '.join(catalogue.BUILTINS)}, tfds:NAME, or a path to an npz, a folder or a csv"
        checks.fail("domain", known, repr(name_or_path), "no such name or path")
    path = _existing(name_or_path, "an npz, a folder or a csv")
    if path.is_dir() and (pairs := _idx_pairs(path)):
        return idx.load(pairs, split, form, name=files.stem(path))
    checks.choice("split", split, (None, *splits.SPLITS))
    if path.is_dir():
        loaded = folders.labelled(path, form)
    elif path.suffix.lower() == ".csv":
        loaded = tables.labelled(path, form, target_column)
    elif path.suffix.lower() == ".npz":
        loaded = npz.labelled(path, form)
    else:
        checks.fail(str(path), "an npz, a csv or a folder", "another kind of file", error=checks.DataError)
    return splits.by_class(loaded, split)


def load_table(name_or_path: files.PathLike, *, target_column: str | None = None) -> tables.Table:
    """Loads a regression set: rows of numbers with a value for each. Sets with classes are for `load`.

    Args:
      name_or_path: "diabetes", or a path to a csv of numbers.
      target_column: the name or number (from 1) of the target in a csv; None: see `read_table`.

    Raises:
      ValueError: if there is no such name.
      DataError: if the file is missing or not as expected; the message names it, the row and the column.
      ImportError: if reading it needs the `data` extra.
    """
    if name_or_path == "diabetes":
        checks.choice("target_column", target_column, (None,))
        return bundled.diabetes()
    if pathlib.Path(name_or_path).suffix.lower() != ".csv":
        hint = "sets with classes are for datasets.load" if name_or_path in catalogue.BUILTINS else ""
        checks.fail("load_table", "diabetes, or a path to a csv", repr(name_or_path), hint)
    return tables.valued(_existing(name_or_path, "a csv"), target_column)


def load_inputs(
    path: files.PathLike,
    *,
    data_dir: files.PathLike | None = None,
    form: pictures.Form | None = None,
    target_column: str | None = None,
    column_names: Sequence[str] | None = None,
) -> tuple[list[str], np.ndarray]:
    """Loads examples without labels.

    Args:
      path: a picture file, a folder of pictures (also below it), an npz with `images` or `inputs` [N, ...], or a csv
        of features; a column that its header calls a target is left out. Or "tfds:NAME", whose labels are left out.
      data_dir: where prepared tensorflow-datasets lie, as for `load`.
      form: the size, channels and polarity of pictures. None keeps their own, which must then be one.
      target_column: the name of another column that is left out, if the header of a csv has it.
      column_names: the features of a csv that has a header, in this order, whatever other columns it has: those of the
        labelled examples.

    Returns:
      names: N texts; a picture's path relative to the folder, a row's position in an npz or csv; "CLASS/0", "CLASS/1"
        and so on of tensorflow-datasets.
      inputs: pictures uint8 [N, height, width, channels], or vectors floats [N, d].

    Raises:
      ValueError: if there is no such form.
      DataError: if a file is missing, damaged or not as expected; the message names it.
      ImportError: if pictures need the `data` extra.
    """
    pictures.check_form(form)
    if isinstance(path, str) and path.startswith(tfds.PREFIX):
        loaded = tfds.load(path.removeprefix(tfds.PREFIX), data_dir, None, form)
        sizes = zip(loaded.class_names, np.diff(loaded.offsets).tolist(), strict=True)
        return [f"{name}/{index}" for name, size in sizes for index in range(size)], loaded.inputs
    path = _existing(path, "a picture, a folder of pictures, an npz or a csv")
    if path.is_dir():
        return folders.unlabelled(path, form)
    if path.suffix.lower() in folders.SUFFIXES:
        return [path.name], folders.picture(path, form)
    if path.suffix.lower() == ".csv":
        return tables.unlabelled(path, form, target_column, column_names)
    if path.suffix.lower() != ".npz":
        wanted = "a picture, a folder of pictures, an npz or a csv"
        checks.fail(str(path), wanted, "another kind of file", error=checks.DataError)
    return npz.unlabelled(path, form)


def _existing(path: files.PathLike, wanted: str) -> pathlib.Path:
    found = pathlib.Path(path)
    if not str(path) or not found.exists():
        checks.fail(str(path) or "path", wanted, "no such file or folder", error=checks.DataError)
    if not found.is_file() and not found.is_dir():
        checks.fail(str(path), wanted, "a device or a pipe", error=checks.DataError)
    return found


def _looks_like_path(name: files.PathLike) -> bool:
    """Tells a mistyped path from a mistyped name."""
    if not isinstance(name, str):
        return True
    return any(each in name for each in {"/", os.sep}) or pathlib.Path(name).suffix != ""


def _idx_pairs(folder: pathlib.Path) -> idx.Pairs:
    pairs = idx.find(folder)
    for path in [path for pair in pairs.values() for path in pair]:
        files.check_link(path, os.path.realpath(folder))
    return pairs


def _builtin(
    name: str, data_dir: files.PathLike | None, split: str | None, form: pictures.Form | None
) -> examples.Examples:
    checks.choice("split", split, (None, *catalogue.BUILTINS[name].splits))
    if name in _EMBEDDED:
        return _EMBEDDED[name](form)
    if name == "fonts":
        return splits.by_class(fonts.load(form), split)
    if name == "diabetes":
        checks.fail(name, "a set with classes", "values to predict", "use datasets.load_table")
    data_dir = data_dir or os.environ.get("JAXMETA_DATA")
    base = name.partition(":")[0]
    candidates = [pathlib.Path(data_dir, base), pathlib.Path(data_dir)] if data_dir else []
    for folder in filter(pathlib.Path.is_dir, candidates):
        if loaded := _in_folder(folder, name, split, form):
            return loaded
    got = f"not all of them in {' or '.join(map(str, candidates))}" if candidates else "no data folder"
    hint = "name the folder that has them with --data-dir or JAXMETA_DATA"
    checks.fail(name, _wanted(base), got, hint, checks.DataError)


def _in_folder(
    folder: pathlib.Path, name: str, split: str | None, form: pictures.Form | None
) -> examples.Examples | None:
    """Reads a built-in domain, or returns None if its files are not in this folder."""
    base = name.partition(":")[0]
    if base in reduced.NPZ and (path := folder / reduced.NPZ[base]).is_file():
        read = reduced.load_emoji if base == "emoji_styles" else reduced.load
        return read(path, name, split, form)
    if name in benchmarks.LAYOUTS:
        return benchmarks.load(folder, name, split, form)
    if name == "omniglot":
        paths = omniglot.find(folder, form)
        return omniglot.load(paths, split, form) if paths else None
    pairs = _idx_splits(folder, split) if name in _CLASS_NAMES else None
    return _digits_or_clothes(name, pairs, split, form) if pairs else None


def _wanted(name: str) -> str:
    ways = [reduced.NPZ[name]] if name in reduced.NPZ else []
    ways += [benchmarks.wanted(name)] if name in benchmarks.LAYOUTS else []
    return ", or ".join(ways) or (omniglot.WANTED if name == "omniglot" else idx.WANTED)


def _idx_splits(folder: pathlib.Path, split: str | None) -> idx.Pairs:
    """Returns the pairs in a folder that make up a split, or none unless all are there."""
    wanted = ("train", "test") if split is None else (split,)
    pairs = {each: pair for each, pair in idx.find(folder).items() if each in wanted}
    return pairs if len(pairs) == len(wanted) else {}


def _digits_or_clothes(name: str, pairs: idx.Pairs, split: str | None, form: pictures.Form | None) -> examples.Examples:
    loaded = idx.load(pairs, split, form, name=name, class_names=_CLASS_NAMES[name])
    for file, checksum in loaded.checksums.items():
        if _PUBLISHED.get(checksum, name) != name:
            checks.fail(file, f"the labels of {name}", f"those of {_PUBLISHED[checksum]}", error=checks.DataError)
    return loaded
