"""One way in: a built-in name, or a path to files of the user's own. `READERS` has a row for each family of sets."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import (
    benchmarks,
    bundled,
    catalogue,
    corpora,
    digits,
    examples,
    files,
    folders,
    fonts,
    idx,
    npz,
    omniglot,
    pairs,
    pictures,
    reduced,
    sentences,
    sheets,
    splits,
    tables,
    tagged,
    tfds,
)

_OTHERS = {
    **dict.fromkeys((".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar"), "unpack it and give the folder"),
    **dict.fromkeys((".xlsx", ".xls", ".ods", ".arff", ".parquet", ".feather", ".txt", ".dat", ".data", ".json",
                     ".jsonl", ".sav", ".dta", ".rds"), "save the table as csv"),
    **dict.fromkeys((".npy", ".mat", ".h5", ".hdf5"), "save it as npz: np.savez(path, images=.., labels=..)"),
    **dict.fromkeys((".pkl", ".pickle", ".pt", ".pth", ".joblib"),
                    "a pickle may run anything and is not opened: np.savez(path, images=.., labels=..)"),
}  # fmt: skip
"""What to do with a file of another kind."""

_EMBEDDED = {"digits": digits.load, "digits_moved": digits.load_moved, "breast_cancer": bundled.breast_cancer}


class Asked(NamedTuple):
    """What is asked of a reader."""

    source: Any  # a name or path, as it was given
    split: str | None = None
    form: pictures.Form | None = None
    data_dir: files.PathLike | None = None
    target_column: str | None = None
    columns: Sequence[Any] = ()  # names of features, or of `load_inputs` the Columns of the labelled examples


class Reader(NamedTuple):
    """A family of sets that are read alike."""

    names: Collection[str]  # built-in ones, up to a colon; none: files of the user's own
    find: Callable[[pathlib.Path, Asked], Any]  # (folder or file, asked) -> what to read; what is false: not here
    read: Callable[[Any, Asked], Any] | None  # (what to read, asked) -> Examples
    inputs: Callable[[Any, Asked], Any] | None = None  # the same without labels -> names and inputs
    wanted: Callable[[str], str] | None = None  # name -> what a data folder must hold; None: read without one
    plain: bool = False  # whether the names of its files tell the set, so that they may lie in the data folder itself


def _base(name: str) -> str:
    return name.partition(":")[0]


def _benchmark(folder: pathlib.Path, asked: Asked) -> Any:
    # Where none lies, `load` returns None, or refuses a pickle and says how to make files of it.
    return folder if benchmarks.lies(folder, asked.source) else benchmarks.load(folder, asked.source, None, None)


def _own_pairs(folder: pathlib.Path) -> idx.Pairs:
    pairs = idx.find(folder)
    for path in [path for pair in pairs.values() for path in pair]:
        files.check_link(path, os.path.realpath(folder))
    return pairs


def _shared(asked: Asked, labelled: Callable[..., examples.Examples], *given: Any) -> examples.Examples:
    """Reads files of the user's own: their splits are what their folders say, else their classes are shared out."""
    checks.choice("split", asked.split, (None, *splits.SPLITS))
    everything = labelled(*given)
    return (splits.by_class if everything.parts is None else splits.by_part)(everything, asked.split)


def _corpus(folder: pathlib.Path, asked: Asked) -> examples.Examples:
    if asked.form is not None:
        checks.fail(asked.source, "pictures, as a form is asked for", "texts")
    return corpora.load(folder, asked.source, asked.split)


# The first that finds something reads it. A new family of sets is a new row.
READERS = (
    Reader(_EMBEDDED, lambda *_: True, lambda _, asked: _EMBEDDED[asked.source](asked.form)),
    Reader(("fonts",), lambda *_: True, lambda _, asked: splits.by_class(fonts.load(asked.form), asked.split)),
    Reader(("diabetes",), lambda *_: True,
           lambda *_: checks.fail("diabetes", "a set with classes", "values to predict", "use datasets.load_table")),
    Reader(("g2p",), lambda folder, asked: pairs.find(folder, asked.source),
           lambda *_: checks.fail("g2p", "a set with classes", "strings that become strings",
                                  "use datasets.load_pairs"),
           wanted=lambda name: "SIGMORPHON's LANGUAGE_train.tsv, _dev.tsv and _test.tsv", plain=True),
    Reader(("crossner",), lambda folder, asked: tagged.find(folder, asked.source),
           lambda *_: checks.fail("crossner", "a set with classes", "sentences with a tag for each word",
                                  "use datasets.load_sentences"),
           wanted=lambda name: "CrossNER's DOMAIN/train.txt, dev.txt and test.txt"),
    Reader(("tfds",), lambda *_: True,
           lambda _, asked: tfds.load(asked.source.removeprefix(tfds.PREFIX), asked.data_dir, asked.split, asked.form)),
    Reader(reduced.NPZ, lambda folder, asked: reduced.find(folder, _base(asked.source)),
           lambda path, asked: reduced.load(path, asked.source, asked.split, asked.form),
           wanted=reduced.NPZ.__getitem__, plain=True),
    Reader(benchmarks.LAYOUTS, _benchmark,
           lambda folder, asked: benchmarks.load(folder, asked.source, asked.split, asked.form),
           wanted=benchmarks.wanted),
    Reader(("omniglot",), lambda folder, asked: omniglot.find(folder, asked.form),
           lambda paths, asked: omniglot.load(paths, asked.split, asked.form),
           wanted=lambda _: omniglot.WANTED, plain=True),
    Reader(idx.CLASS_NAMES, lambda folder, asked: idx.find_splits(folder, asked.split),
           lambda pairs, asked: idx.load_published(pairs, asked.split, asked.form, name=asked.source),
           wanted=lambda _: idx.WANTED),
    Reader(corpora.CORPORA, lambda folder, asked: corpora.find(folder, asked.source), _corpus,
           wanted=corpora.wanted),
    Reader((), lambda path, _: path.is_dir() and _own_pairs(path),
           lambda pairs, asked: idx.load(pairs, asked.split, asked.form, name=files.stem(asked.source))),
    Reader((), lambda path, _: path.is_dir() and path,
           lambda path, asked: _shared(asked, folders.labelled, path, asked.form),
           lambda path, asked: folders.unlabelled(path, asked.form)),
    Reader((), lambda path, _: path.suffix.lower() in folders.SUFFIXES and path, None,
           lambda path, asked: ([path.name], folders.picture(path, asked.form))),
    Reader((), lambda path, _: sheets.is_table(path) and path,
           lambda path, asked: _shared(asked, tables.labelled, path, asked.form, asked.target_column,
                                      asked.columns),
           lambda path, asked: tables.unlabelled(path, asked.form, asked.target_column, asked.columns or None)),
    Reader((), lambda path, _: path.suffix.lower() == ".npz" and path,
           lambda path, asked: _shared(asked, npz.labelled, path, asked.form),
           lambda path, asked: npz.unlabelled(path, asked.form)),
)  # fmt: skip


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
    return {name: about for name, about in local.items() if _lies(name, data_dir)} | tfds.found(data_dir)


def load(
    name_or_path: files.PathLike,
    *,
    data_dir: files.PathLike | None = None,
    split: str | None = None,
    form: pictures.Form | None = None,
    target_column: str | None = None,
    columns: Sequence[str] = (),
) -> examples.Examples:
    """Loads a labelled set, grouped by class.

    Args:
      name_or_path: one of `names()`, such as "omniglot" or, for some drawing styles, "emoji_styles:noto+twemoji"; or a
        path to an npz (`images` or `inputs`, with `labels` [N] and perhaps `class_names` and `split` [N] of
        "train" and "test", or one array [classes, examples, ...] alone), a folder of class folders of pictures, perhaps
        below train and test, or of pictures with a csv that names their classes, a folder of IDX pairs, or a csv or tsv
        of numbers and categories with a target column; or "tfds:NAME" or "tfds:NAME/CONFIG", a set that
        tensorflow-datasets has prepared with file_format="array_record".
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
      columns: the features of a csv, by name or number; none: see `read_table`.

    Returns:
      Examples; pictures are uint8 [N, height, width, channels], vectors floats [N, d], in which NaN is a missing cell
      of a csv and a whole number the category of a column of texts (`tasks.encoded` makes numbers of both).

    Raises:
      ValueError: if there is no such domain, split or form, or there are too few classes to be split.
      DataError: if a file is missing, damaged or not as expected; the message names it.
      ImportError: if reading it needs the `data` extra.
    """
    pictures.check_form(form)
    for name, value in (("target_column", target_column), ("columns", tuple(columns))):
        if value and not sheets.is_table(name_or_path):
            checks.fail(name, "none, since this is no csv", repr(value))
    asked = Asked(name_or_path, split, form, data_dir, target_column, tuple(columns))
    if isinstance(name_or_path, str) and (name_or_path in catalogue.BUILTINS or name_or_path.startswith(tfds.PREFIX)):
        return _named(name_or_path, asked)
    given = name_or_path if isinstance(name_or_path, str) else os.sep
    if not (os.path.exists(given) or {"/", os.sep} & {*given} or pathlib.Path(given).suffix):  # a name, and no path
        known = f"one of {', '.join(catalogue.BUILTINS)}, tfds:NAME, or a path to an npz, a folder or a csv"
        checks.fail("domain", known, repr(name_or_path), "no such name or path")
    path = _existing(name_or_path, "an npz, a folder or a csv")
    for reader in READERS:
        if not reader.names and reader.read and (found := reader.find(path, asked)):
            return reader.read(found, asked)
    _refuse(path, "an npz, a csv or a folder")


def load_table(
    name_or_path: files.PathLike, *, target_column: str | None = None, columns: Sequence[str] = ()
) -> tables.Table:
    """Loads a regression set: rows of numbers with a value for each. Sets with classes are for `load`.

    Args:
      name_or_path: "diabetes", or a path to a csv or tsv of numbers and categories.
      target_column: the name or number (from 1) of the target in a csv; None: the one that its header calls so, see
        `read_table`, or the last where there is no header.
      columns: the features, by name or number; none: see `read_table`.

    Raises:
      ValueError: if there is no such name.
      DataError: if the file is missing or not as expected; the message names it, the row and the column.
      ImportError: if reading it needs the `data` extra.
    """
    if name_or_path == "diabetes":
        checks.choice("target_column", target_column, (None,))
        return bundled.diabetes()
    if not sheets.is_table(name_or_path):
        hint = "sets with classes are for datasets.load" if name_or_path in catalogue.BUILTINS else ""
        checks.fail("load_table", "diabetes, or a path to a csv", repr(name_or_path), hint)
    return tables.valued(_existing(name_or_path, "a csv"), target_column, columns)


def load_inputs(
    path: files.PathLike,
    *,
    data_dir: files.PathLike | None = None,
    form: pictures.Form | None = None,
    target_column: str | None = None,
    columns: Sequence[str | examples.Column] = (),
) -> tuple[list[str], np.ndarray]:
    """Loads examples without labels.

    Args:
      path: a picture file, a folder of pictures (also below it), an npz with `images` or `inputs` [N, ...], or a csv
        of features; a column that its header calls a target is left out. Or "tfds:NAME", whose labels are left out.
      data_dir: where prepared tensorflow-datasets lie, as for `load`.
      form: the size, channels and polarity of pictures. None keeps their own, which must then be one.
      target_column: the name of another column that is left out, if the header of a csv has it.
      columns: the features of a csv, by name where it has a header, in this order, whatever other columns it has: those
        of the labelled examples. A category that they do not have becomes NaN, as a missing cell does.

    Returns:
      names: N texts; a picture's path relative to the folder, a row's position in an npz or csv, where blank rows are
        passed over and yet counted; "CLASS/0", "CLASS/1" and so on of tensorflow-datasets.
      inputs: pictures uint8 [N, height, width, channels], or vectors floats [N, d].

    Raises:
      ValueError: if there is no such form.
      DataError: if a file is missing, damaged or not as expected; the message names it.
      ImportError: if pictures need the `data` extra.
    """
    pictures.check_form(form)
    if isinstance(path, str) and path.startswith(tfds.PREFIX):
        return tfds.unlabelled(path.removeprefix(tfds.PREFIX), data_dir, form)
    wanted = "a picture, a folder of pictures, an npz or a csv"
    given = tuple(examples.Column(each) if isinstance(each, str) else each for each in columns)
    asked, path = Asked(path, None, form, data_dir, target_column, given), _existing(path, wanted)
    for reader in READERS:
        if reader.inputs and (found := reader.find(path, asked)):
            return reader.inputs(found, asked)
    _refuse(path, wanted)


def load_texts(
    name_or_path: files.PathLike,
    *,
    data_dir: files.PathLike | None = None,
    split: str | None = None,
    text_column: str = "",
    target_column: str | None = None,
) -> examples.Examples:
    """Loads texts with a class each.

    Args:
      name_or_path: a built-in set of texts, "tfds:NAME", or the path of a csv, tsv or JSON lines.
      data_dir: as for `load`.
      split: as for `load`.
      text_column: of a file, the column of the texts, by name or by number from 1; "": as the header calls it, else the
        one of the longest texts.
      target_column: of a file, the column of the classes, likewise; None: as the header calls it, else the only other.

    Returns:
      Examples whose inputs are [N] of str; `ids` says which examples are translations of one sentence.

    Raises:
      ValueError: if there is no such domain or split, or too few classes to be split.
      DataError: if a file is missing, damaged or not as expected; the message names it and the row.
    """
    is_file = sheets.is_table(name_or_path) or sentences.is_texts(name_or_path)
    if is_file:
        path, asked = _existing(name_or_path, "a csv, tsv or jsonl"), Asked(name_or_path, split)
        return _shared(asked, sentences.labelled, path, text_column, target_column)
    if text_column:
        checks.fail("text_column", "none, since this is no csv or jsonl", repr(text_column))
    loaded = load(name_or_path, data_dir=data_dir, split=split)
    if not loaded.is_text:
        checks.fail(str(name_or_path), "texts", "pictures or numbers", error=checks.DataError)
    return loaded


def load_text_inputs(
    path: files.PathLike,
    *,
    data_dir: files.PathLike | None = None,
    text_column: str = "",
    target_column: str | None = None,
    like: str = "",
) -> tuple[list[str], np.ndarray]:
    """Loads texts without classes: of a csv, tsv or JSON lines as `load_texts` does, the lines of a .txt, or tfds:NAME.

    Args:
      path: the file, or "tfds:NAME".
      data_dir: as for `load`.
      text_column: as for `load_texts`.
      target_column: of a file, a column that has no texts.
      like: what the labelled examples call the column of the texts: taken where the header has it.

    Returns:
      names: N texts, their positions; blank rows and lines are passed over and yet counted.
      texts: [N] of str.

    Raises:
      DataError: if a file is missing, damaged or not as expected; the message names it and the row.
    """
    if isinstance(path, str) and path.startswith(tfds.PREFIX):
        return tfds.unlabelled(path.removeprefix(tfds.PREFIX), data_dir, None)
    wanted = "a csv, tsv, jsonl or txt"
    found = _existing(path, wanted)
    if not sheets.is_table(found) and not sentences.is_texts(found):
        _refuse(found, wanted)
    return sentences.unlabelled(found, text_column, target_column, like)


def _refuse(path: pathlib.Path, wanted: str) -> NoReturn:
    hint = _OTHERS.get(path.suffix.lower(), "")
    checks.fail(str(path), wanted, f"a file {path.suffix or 'without a suffix'}", hint, checks.DataError)


def _named(name: str, asked: Asked) -> examples.Examples:
    """Loads a built-in domain, or a prepared set of tensorflow-datasets."""
    if name in catalogue.BUILTINS:
        checks.choice("split", asked.split, (None, *catalogue.BUILTINS[name].splits))
    readers, places = _places(name, asked.data_dir or os.environ.get("JAXMETA_DATA"))
    for place in filter(pathlib.Path.is_dir, places) if readers[0].wanted else [pathlib.Path()]:
        for reader in readers:
            if reader.read and (found := reader.find(place, asked)):
                return reader.read(found, asked)
    wanted = ", or ".join(reader.wanted(_base(name)) for reader in readers if reader.wanted)
    got = f"not all of them in {' or '.join(map(str, places))}" if places else "no data folder"
    checks.fail(name, wanted, got, "name the folder that has them with --data-dir or JAXMETA_DATA", checks.DataError)


def _lies(name: str, data_dir: files.PathLike) -> bool:
    readers, places = _places(name, data_dir)
    # Several benchmarks and IDX sets have the same file names, so those count in a folder of their own alone.
    places = places if any(reader.plain for reader in readers) else places[:1]
    with contextlib.suppress(checks.DataError):
        return any(place.is_dir() and reader.find(place, Asked(name)) for place in places for reader in readers)
    return False


def _places(name: str, data_dir: files.PathLike | None) -> tuple[list[Reader], list[pathlib.Path]]:
    """Returns what reads a built-in domain, and the folders where its files may lie."""
    readers = [reader for reader in READERS if _base(name) in reader.names]
    return readers, [pathlib.Path(data_dir, _base(name)), pathlib.Path(data_dir)] if data_dir else []


def _existing(path: files.PathLike, wanted: str) -> pathlib.Path:
    found = pathlib.Path(path)
    if not str(path) or not found.exists():
        checks.fail(str(path) or "path", wanted, "no such file or folder", error=checks.DataError)
    if not found.is_file() and not found.is_dir():
        checks.fail(str(path), wanted, "a device or a pipe", error=checks.DataError)
    return found
