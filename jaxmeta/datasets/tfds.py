"""Prepared sets of tensorflow-datasets, read without TensorFlow and without a network."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import pathlib
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import cache, catalogue, examples, files, npz, pictures

PREFIX = "tfds:"
_NAME = re.compile(r"\w+(/\w[\w.+-]*)?(:[\d.]+)?")  # no namespace: those are looked for on the network
_VERSION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){2}")
_OWN = "tensorflow_datasets.core.features."
MOST_CLASSES, MOST_BYTES = 1_000_000, 100_000_000  # of a label, and of a description
FORMAT = "array_record"  # the one that is read at random places without TensorFlow


def load(
    name: str, data_dir: files.PathLike | None, split: str | None, form: pictures.Form | None
) -> examples.Examples:
    """Reads a set of pictures or texts with one label each.

    Args:
      name: "NAME", "NAME/CONFIG" or with a version, "NAME:1.0.0".
      data_dir: the folder it was prepared in; by default JAXMETA_DATA, then tensorflow-datasets' own.
      split: as tensorflow-datasets spells it, "train", "train+test", "train[:10%]"; None takes everything.
      form: the size, channels and polarity of pictures.

    Returns:
      Examples; pictures are uint8 [N, height, width, channels], texts an array [N] of NumPy's fixed-width text.
      Rows without a label (-1 there) are left out.

    Raises:
      ValueError: if tensorflow-datasets knows no such set or split, or texts are given a form.
      DataError: if it is not prepared here, is damaged, or has not one picture or text and one label.
      ImportError: if the `data` extra is not installed.
    """
    what = f"{PREFIX}{name}"
    builder = _prepared(name, data_dir)
    keys = _keys(what, builder.info)
    split_names = "+".join(builder.info.splits) if split is None else split
    try:
        with _quiet():
            parts = builder.info.splits[split_names].file_instructions
    except Exception as error:  # files of a set that say nonsense raise more than a split that is not there
        if split is None or not isinstance(error, (KeyError, ValueError)):
            checks.fail(what, "whole, readable files", _line(error), error=checks.DataError)
        raise ValueError(f"{what}, split: expected parts of {', '.join(builder.info.splits)}, got {split!r}") from error
    _check_files(what, builder, [pathlib.Path(part.filename) for part in parts])
    if not parts:
        error = checks.DataError if split is None else ValueError  # the files' fault, or the caller's
        checks.fail(f"{what}, split", "at least one example", f"none in {split_names!r}", error=error)
    is_text = isinstance(builder.info.features[keys[0]], _tfds().features.Text)
    if is_text and form is not None:
        checks.fail(what, "pictures, as a form is asked for", "texts")
    with _reading(what):
        checksums = {
            path.name: files.checksum(path) for path in sorted({pathlib.Path(part.filename) for part in parts})
        }
        # Undecoded pictures: jaxmeta.datasets.pictures refuses bombs, and brings any size to one form.
        decoders = None if is_text else {keys[0]: _tfds().decode.SkipDecoding()}
        rows = builder.as_data_source(split=split_names, decoders=decoders)
        labels = np.array([int(row[keys[1]]) for row in rows])
        kept = np.flatnonzero(labels >= 0)

        def decode() -> cache.Decoded:
            return _pictures(what, rows, keys[0], kept, form)

        if is_text:
            inputs = _texts(what, rows, keys[0], kept)
        else:
            reader = f"tfds {builder.info.full_name} {split_names} {keys[0]}"
            inputs = pictures.with_polarity(cache.images(reader, form, checksums, len(kept), decode), form)
        names = builder.info.features[keys[1]].names
        left = len(labels) - len(kept)
        notes = (f"{left} examples without a label left out",) if left else ()
        return examples.grouped(
            inputs, labels[kept], names, name=what, split=split or "all", checksums=checksums, notes=notes
        )


def unlabelled(name: str, data_dir: files.PathLike | None, form: pictures.Form | None) -> tuple[list[str], np.ndarray]:
    """Reads a whole set as examples that are named "CLASS/0", "CLASS/1" and so on."""
    loaded = load(name, data_dir, None, form)
    sizes = zip(loaded.class_names, np.diff(loaded.offsets).tolist(), strict=True)
    return [f"{name}/{index}" for name, size in sizes for index in range(size)], loaded.inputs


def prepare(name: str, data_dir: files.PathLike, manual_dir: files.PathLike) -> pathlib.Path:
    """Prepares a set from files that its publisher gives, so that `load` can read it.

    tensorflow-datasets checks the files against the checksums that it knows, and takes no others. It has no switch that
    forbids a download: where some of a set's files are in `manual_dir`, it looks for the rest on the network, and gives
    up after minutes if there is none. Its own builders need TensorFlow for this, though not for reading; a builder of
    one's own may do without.

    Args:
      name: "NAME" or "NAME/CONFIG".
      data_dir: the folder to prepare it in.
      manual_dir: the folder with the published files, under their published names.

    Returns:
      The folder of the prepared set.

    Raises:
      ValueError: if tensorflow-datasets knows no such set.
      DataError: if a file is missing or not the published one.
      ImportError: if the `data` extra, or TensorFlow where the set needs it, is not installed.
    """
    what, tfds = f"{PREFIX}{name}", _tfds()
    if not _NAME.fullmatch(name):
        _unknown(what)
    wanted, missing = f"its published files in {manual_dir}", []
    try:
        # Its progress goes to stdout otherwise, where the commands print results.
        with contextlib.redirect_stdout(sys.stderr):
            builder = tfds.builder(name, data_dir=os.fspath(pathlib.Path(data_dir)), file_format=FORMAT, try_gcs=False)
            known = sorted({each.filename for each in (builder.url_infos or {}).values() if each.filename})
            missing = [each for each in known if not pathlib.Path(manual_dir, each).is_file()]
            if known and missing == known:
                checks.fail(what, wanted, f"none of {', '.join(known)}", error=checks.DataError)
            config = tfds.download.DownloadConfig(
                manual_dir=os.fspath(manual_dir), try_download_gcs=False, force_checksums_validation=True
            )
            builder.download_and_prepare(download_config=config, file_format=FORMAT)
    except tfds.core.DatasetNotFoundError:
        _unknown(what)
    except checks.DataError:
        raise
    except Exception as error:  # builders raise whatever their files make them raise
        if "No module named 'tensorflow'" in str(error):
            needed = "TensorFlow, which preparing this set needs and reading it does not"
            checks.fail(what, needed, "none installed", "pip install tensorflow", ImportError)
        hint = f"there is no {', '.join(missing)}" if missing else ""
        checks.fail(what, wanted, _line(error), hint, checks.DataError)
    return pathlib.Path(builder.data_dir)


def found(data_dir: files.PathLike) -> dict[str, catalogue.Builtin]:
    """Returns the prepared array_record sets that have a label below a folder, without importing their library.

    The field is "tfds" unless the catalogue knows better.
    """
    sets: dict[str, catalogue.Builtin] = {}
    for path in sorted([*pathlib.Path(data_dir).glob("*/*/dataset_info.json"),
                        *pathlib.Path(data_dir).glob("*/*/*/dataset_info.json")]):  # fmt: skip
        try:
            content = _json(path)
            if content["fileFormat"] != FORMAT:
                continue
            count = sum(int(length) for part in content["splits"] for length in part.get("shardLengths", ()))
            classes = _num_classes(path.parent, content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
            continue
        name = PREFIX + path.parent.parent.relative_to(data_dir).as_posix()
        if not _NAME.fullmatch(name.removeprefix(PREFIX)):
            continue
        field = catalogue.SUGGESTED[name].field if name in catalogue.SUGGESTED else "tfds"
        sets[name] = catalogue.Builtin(field, classes, count, "tfds")
    return sets


def _json(path: pathlib.Path) -> Any:
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES:,} bytes")
    return json.loads(path.read_text(encoding="utf-8"))


def _num_classes(folder: pathlib.Path, info: dict[str, Any]) -> int:
    """Returns the classes of the label that `_keys` chooses; raises ValueError if there is none."""
    features = _json(folder / "features.json")["featuresDict"]["features"]
    labels = {key: int(kind["classLabel"]["numClasses"]) for key, kind in features.items() if "classLabel" in kind}
    supervised = [item["featureKey"] for item in info.get("supervisedKeys", {}).get("tuple", {}).get("items", ())]
    (label,) = [key for key in supervised if key in labels] or labels
    return labels[label]


def _tfds() -> Any:
    with warnings.catch_warnings():
        # Its generated protocol buffers use what Python deprecates.
        warnings.simplefilter("ignore", DeprecationWarning)
        files.extra(FORMAT)
        return files.extra("tensorflow_datasets")


def _prepared(name: str, data_dir: files.PathLike | None) -> Any:
    """Returns a builder that reads the files of a set, found without its code."""
    tfds, what = _tfds(), f"{PREFIX}{name}"
    if not _NAME.fullmatch(name):
        _unknown(what)
    known = (data_dir,) if data_dir else (os.environ.get("JAXMETA_DATA"), tfds.core.constants.DATA_DIR)
    folders = [os.path.expanduser(folder) for folder in known if folder]
    for folder in folders:
        with _reading(what):
            if (path := _folder(name, folder)) is None:
                continue
            for each in path.iterdir():
                if not each.is_file() and not each.is_dir():  # reading a pipe would not end
                    got = "a broken link, a device or a pipe"
                    checks.fail(f"{what}, {each.name}", "a file or folder", got, error=checks.DataError)
            for file in ("features.json", "dataset_info.json"):
                _check_features(f"{what}, {file}", _json(path / file))
            builder = tfds.builder_from_directory(os.fspath(path))
        if builder.info.file_format.file_suffix != FORMAT:
            got, hint = f"{builder.info.file_format.file_suffix} in {folder}", "prepare it again in another folder"
            checks.fail(what, f'a set prepared with file_format="{FORMAT}"', got, hint, checks.DataError)
        return builder
    if name.split("/")[0].split(":")[0] not in tfds.list_builders(with_community_datasets=False):
        _unknown(what)
    hint = f'prepare it with jaxmeta.datasets.tfds.prepare, or with tensorflow-datasets and file_format="{FORMAT}"'
    got = f"none in {' or '.join(folders)}"
    checks.fail(what, "a prepared set", got, hint, checks.DataError)


def _check_files(what: str, builder: Any, paths: list[pathlib.Path]) -> None:
    """Raises unless the files are the set's own: its description may say where they lie."""
    root = os.path.realpath(builder.data_dir)
    with _reading(what):
        for path in paths:
            if os.path.realpath(path.parent) != root:
                checks.fail(what, f"files in {root}", repr(str(path)), error=checks.DataError)
            files.check_link(path, root)


def _folder(name: str, data_dir: str) -> pathlib.Path | None:
    """Returns where a set lies: the version asked for or the latest, of its default config if none is named."""
    name, _, version = name.partition(":")
    root = pathlib.Path(data_dir, name)
    about = root / ".config" / "metadata.json"
    if "/" not in name and about.is_file():
        config = str(_json(about)["default_config_name"])
        root = root / config if _NAME.fullmatch(f"{name}/{config}") else root
    found = [each.parent for each in root.glob("*/features.json") if _VERSION.fullmatch(each.parent.name)]
    found = [each for each in found if version in ("", each.name)]
    return max(found, key=lambda each: [int(part) for part in each.name.split(".")], default=None)


def _check_features(what: str, description: Any) -> None:
    """Raises if a description names features that the library would import: only its own, or what is imported already.

    A description names classes as "pythonClassName", in older files as "type" beside "content", and both also in JSON
    that is a text within the JSON.
    """
    parts = [description]
    while parts:
        part = parts.pop()
        if isinstance(part, str) and part.lstrip()[:1] in ("{", "["):
            with contextlib.suppress(json.JSONDecodeError):
                parts.append(json.loads(part))
        elif isinstance(part, list):
            parts += part
        elif isinstance(part, dict):
            parts += part.values()
            named = [part.get(key) for key in ("pythonClassName", "python_class_name")]
            named += [part["type"]] if "type" in part and "content" in part else []
            for name in named:
                if isinstance(name, str) and not (name.startswith(_OWN) or name.rpartition(".")[0] in sys.modules):
                    hint = "import its module first, if you trust it"
                    checks.fail(what, "features of tensorflow-datasets", repr(name), hint, checks.DataError)


def _unknown(what: str) -> NoReturn:
    checks.fail(what, "a set that tensorflow-datasets knows, or one prepared here", "no such name")


def _keys(what: str, info: Any) -> tuple[str, str]:
    """Returns the names of the picture or text and of the label."""
    kinds = _tfds().features
    if not hasattr(info.features, "items"):
        checks.fail(what, "features with names", type(info.features).__name__, error=checks.DataError)
    images, texts, labels = (
        [key for key, feature in info.features.items() if isinstance(feature, kind)]
        for kind in (kinds.Image, kinds.Text, kinds.ClassLabel)
    )
    for key in labels:
        if not 1 <= (info.features[key].num_classes or 0) <= MOST_CLASSES:
            got = f"{info.features[key].num_classes} of {key}"
            checks.fail(what, f"1 to {MOST_CLASSES:,} classes", got, error=checks.DataError)
    supervised = info.supervised_keys or ()
    if len(supervised) == 2 and supervised[0] in images + texts and supervised[1] in labels:
        return supervised
    inputs = images or texts
    if len(inputs) != 1 or len(labels) != 1:
        got = ", ".join(f"{key} ({type(feature).__name__})" for key, feature in info.features.items())
        checks.fail(what, "one Image or Text and one ClassLabel feature", got, error=checks.DataError)
    return inputs[0], labels[0]


def _pictures(
    what: str, rows: Any, key: str, kept: np.ndarray, form: pictures.Form | None
) -> Iterator[tuple[str, np.ndarray]]:
    for index in kept.tolist():
        place = f"{what}, example {index}"
        yield place, pictures.to_array(pictures.decode(io.BytesIO(rows[index][key]), place, form), form)


def _texts(what: str, rows: Any, key: str, kept: np.ndarray) -> np.ndarray:
    texts = [rows[index][key].decode() for index in kept.tolist()]
    if 4 * len(texts) * max(map(len, texts), default=0) > npz.MAX_BYTES:
        got, hint = f"{len(texts):,} of up to {max(map(len, texts)):,} characters", "load a part, split='train[:10%]'"
        wanted = f"texts of {npz.MAX_BYTES:,} bytes at most, all as long as the longest"
        checks.fail(what, wanted, got, hint, checks.DataError)
    return np.array(texts, np.str_)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leaves the telling to what is raised: the library prints where TensorFlow is wanted, and logs empty splits."""
    logger = logging.getLogger("absl")
    before, logger.disabled = logger.disabled, True
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.disabled = before


@contextlib.contextmanager
def _reading(what: str) -> Iterator[None]:
    """Turns whatever damaged files raise into a DataError."""
    try:
        with _quiet():
            yield
    except checks.DataError:
        raise
    except ImportError as error:
        if error.name != "tensorflow":
            raise
        got = "one whose description asks for it"
        checks.fail(what, "a set that is read without TensorFlow", got, error=checks.DataError)
    except Exception as error:  # array_record, protobuf, json and zlib each raise their own
        checks.fail(what, "whole, readable files", _line(error), error=checks.DataError)


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
