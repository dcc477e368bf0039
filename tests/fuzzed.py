"""What tests/fuzz.py reads: each reader, small files that it takes, and whether what it returns is valid.

A case is read in milliseconds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gzip
import io
import json
import pathlib
import random
import re
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from damages import Files
from flax import serialization
from PIL import Image

from jaxmeta import datasets
from jaxmeta.cli import config, evaluate, train
from jaxmeta.datasets import omniglot
from jaxmeta.runs import Checkpoints


class Reader(NamedTuple):
    """A reader, and what it reads."""

    make: Callable[[], list[Files]]
    read: Callable[[pathlib.Path, random.Random], None]  # raises AssertionError if what it returns is not valid
    word: str = "fuzzed"  # that is in every refusal


def _check(examples: datasets.Examples) -> None:
    inputs, offsets = examples.inputs, examples.offsets
    pictures = inputs.dtype == np.uint8 and inputs.ndim == 4 and inputs.shape[3] in (1, 3)
    texts = inputs.dtype.kind == "U" and inputs.ndim == 1
    assert pictures or texts or (inputs.dtype == np.float32 and inputs.ndim == 2 and np.isfinite(inputs).all())
    assert offsets[0] == 0
    assert offsets[-1] == len(inputs)
    assert (np.diff(offsets) > 0).all()
    assert len(examples.class_names) == len(set(examples.class_names)) == len(offsets) - 1
    assert all(isinstance(name, str) for name in examples.class_names)
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in examples.checksums.values())


def _form(rng: random.Random) -> datasets.Form | None:
    return rng.choice([None, datasets.Form(5, 4, 1), datasets.Form(6, 6, 3, "ink")])


def _read_set(folder: pathlib.Path, rng: random.Random, name: str = "") -> None:
    path = folder / name
    if rng.random() < 0.7:
        _check(datasets.load(path, form=None if name.endswith(".csv") else _form(rng)))
        return
    names, inputs = datasets.load_inputs(path, form=None if name.endswith(".csv") else _form(rng))
    assert len(names) == len(inputs) > 0


def _packed(compressed: bool, **arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **arrays)
    return stream.getvalue()


PIXELS = np.random.default_rng(0).integers(0, 256, (6, 5, 4), np.uint8)
COLOURS = np.random.default_rng(1).integers(0, 256, (8, 6, 5, 3), np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def _npz_files() -> list[Files]:
    names = np.array(["ant", "bée", "cat"])
    sets: list[dict[str, np.ndarray]] = [
        {"images": PIXELS, "labels": LABELS, "class_names": names},
        {"inputs": PIXELS.reshape(6, 20) / np.float32(3), "labels": names[LABELS]},
        {"images": PIXELS.reshape(3, 2, 5, 4)},
    ]
    return [{"set.npz": _packed(compressed, **arrays)} for arrays in sets for compressed in (False, True)]


def _idx_files() -> list[Files]:
    images = bytes([0, 0, 8, 3]) + struct.pack(">3I", *PIXELS.shape) + PIXELS.tobytes()
    labels = bytes([0, 0, 8, 1]) + struct.pack(">I", 6) + LABELS.astype(np.uint8).tobytes()
    plain = {"train-images-idx3-ubyte": images, "train-labels-idx1-ubyte": labels}
    return [plain, {f"{name}.gz": gzip.compress(content) for name, content in plain.items()}]


def _picture(array: np.ndarray, suffix: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, suffix)
    return stream.getvalue()


def _omniglot_files() -> list[Files]:
    zips = {}
    for number, name in enumerate(omniglot.ZIPS):
        stream, root = io.BytesIO(), name.removesuffix(".zip")
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for drawing in (1, 2):
                content = _picture(PIXELS[2 * number + drawing], "png")
                archive.writestr(f"{root}/Greek/character0{number}/000{number}_0{drawing}.png", content)
        zips[name] = stream.getvalue()
    names = np.array(["Greek/character00", "Greek/character01"])
    small = np.stack([PIXELS[:2], PIXELS[2:4]])
    return [zips, zips, {omniglot.NPZ: _packed(True, images=small, class_names=names)}]


def _read_omniglot(folder: pathlib.Path, rng: random.Random) -> None:
    size, count = omniglot.NUM_CLASSES, omniglot.NUM_DRAWINGS
    omniglot.NUM_CLASSES, omniglot.NUM_DRAWINGS = 2, 2
    try:
        _check(datasets.load("omniglot", data_dir=folder, form=_form(rng)))
    finally:
        omniglot.NUM_CLASSES, omniglot.NUM_DRAWINGS = size, count


def _folder_files() -> list[Files]:
    kinds = ("png", "jpeg", "bmp", "gif", "tiff", "webp")
    return [
        {f"{name}/{number}.{kind}": _picture(array[number + place], kind) for place, name in enumerate(("ant", "bée"))
         for number in range(2)}
        for kind in kinds for array in (PIXELS, COLOURS)
    ]  # fmt: skip


def _csv_files() -> list[Files]:
    rows = [f"{index},{index / 3:.3f},{'ab'[index % 2]}" for index in range(6)]
    numbers = [f"{index};{index / 3:.3f};{index % 2}".replace(";", ",") for index in range(6)]
    tables = [
        "\n".join(["height,width,label", *rows]),
        "\n".join(rows),
        "\n".join(["u,v,y", *numbers]),
        "\n".join(numbers),
    ]
    return [{"set.csv": table.encode()} for table in tables]


def _read_csv(folder: pathlib.Path, rng: random.Random) -> None:
    if rng.random() < 0.7:
        _read_set(folder, rng, "set.csv")
        return
    table = datasets.load_table(folder / "set.csv", target_column=rng.choice([None, "3", "y", "9"]))
    assert np.isfinite(table.inputs).all()
    assert np.isfinite(table.targets).all()
    assert table.inputs.shape == (len(table.targets), len(table.column_names))


def _benchmark_files() -> list[Files]:
    truth, folder = "ISIC2018_Task3_Training_GroundTruth", "ISIC2018_Task3_Training_Input"
    kinds = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
    rows = [[f"p{row}", *("1.0" if row == column else "0.0" for column in range(7))] for row in range(7)]
    table = "\n".join(",".join(row) for row in [["image", *kinds], *rows])
    pictures = {f"{folder}/p{row}.jpg": _picture(COLOURS[row], "jpeg") for row in range(7)}
    return [{f"isic/{truth}.csv": table.encode()} | {f"isic/{name}": content for name, content in pictures.items()}]


def _reduced_files() -> list[Files]:
    cells = {"images": COLOURS[:6], "labels": LABELS, "class_names": np.array(["a", "b", "c"]),
             "source_image": np.array(list("uvwxyz"))}  # fmt: skip
    emoji = {"images": COLOURS.reshape(4, 2, 6, 5, 3), "class_names": np.array(list("abcd")),
             "subcategory": np.array(list("ssst")), "styles": np.array(["noto", "twemoji"])}  # fmt: skip
    return [{"bccd_cells_32.npz": _packed(True, **cells)}, {"emoji_styles_32.npz": _packed(True, **emoji)}]


def _read_reduced(folder: pathlib.Path, rng: random.Random) -> None:
    first = next(iter(folder.glob("*.npz")), folder / "bccd_cells_32.npz").name
    name = "emoji_styles" if first.startswith("emoji") else "bccd_cells"
    _check(datasets.load(name, data_dir=folder, split="train" if name == "bccd_cells" else None, form=_form(rng)))


def _tfds_files() -> list[Files]:
    """A set prepared by a builder of its own, which needs no TensorFlow."""
    import tensorflow_datasets as library

    from jaxmeta.datasets import tfds

    class FuzzedPictures(library.core.GeneratorBasedBuilder):
        """Pictures."""

        VERSION = library.core.Version("1.0.0")
        MANUAL_DOWNLOAD_INSTRUCTIONS = "none"

        def _info(self) -> Any:
            kinds = library.features
            described = {
                "image": kinds.Image(shape=(None, 4, 1)),
                "label": kinds.ClassLabel(names=["ant", "bee", "cat"]),
            }
            return library.core.DatasetInfo(
                builder=self, features=kinds.FeaturesDict(described), supervised_keys=("image", "label")
            )

        def _split_generators(self, dl_manager: Any) -> Any:
            return {"train": self._generate_examples()}

        def _generate_examples(self) -> Iterator[Any]:
            for number, label in enumerate(LABELS.tolist()):
                yield str(number), {"image": io.BytesIO(_picture(PIXELS[number], "png")), "label": label}

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        path = tfds.prepare("fuzzed_pictures", folder, folder)
        return [{str(file.relative_to(folder)): file.read_bytes() for file in path.rglob("*") if file.is_file()}]


def _read_tfds(folder: pathlib.Path, rng: random.Random) -> None:
    if rng.random() < 0.1:
        datasets.found(folder)
    _check(datasets.load("tfds:fuzzed_pictures", data_dir=folder, form=_form(rng)))


PARAMS = {"layer": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.zeros(3, np.float32)}}


@functools.cache
def _like() -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), PARAMS)


def _same_shapes(arrays: Any) -> None:
    jax.tree.map(lambda wanted, got: np.testing.assert_equal(got.shape, wanted.shape), PARAMS, arrays)


def _run_files() -> list[Files]:
    recorded = train.recorded(dataclasses.replace(config.Train(), domain="strokes"))
    row = {"method": "maml", "domain": "strokes", "joint": {"mean": 0.5, "per_task": [0.5, 0.5]}}
    return [
        {
            "config.json": json.dumps({"schema": 1, "preset": "maml-strokes", "config": recorded}).encode(),
            "meta_params.msgpack": serialization.to_bytes(PARAMS),
            "results.json": json.dumps({"schema": 1, "data": {"a.npz": "0" * 64}, "rows": [row]}).encode(),
        }
    ]


def _read_run(folder: pathlib.Path, rng: random.Random) -> None:
    run, given = evaluate.load(str(folder))
    assert given.data_dir is given.out is None
    seen = evaluate.trained_on(run)
    assert seen is None or all(isinstance(value, str) for value in seen)
    _same_shapes(run.meta_params(_like()))


def _checkpoint_files() -> list[Files]:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for step in range(2):
            Checkpoints(folder, "maml", facts={"config": {}}, versions={}).save(PARAMS, {"step": step})
        return [{str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}]


def _read_checkpoint(folder: pathlib.Path, rng: random.Random) -> None:
    found = Checkpoints(folder, "maml", facts={"config": {}}, versions={}).restore(_like())
    if found is not None:
        _same_shapes(found.arrays)


READERS = {
    "npz": Reader(_npz_files, functools.partial(_read_set, name="set.npz")),
    "idx": Reader(_idx_files, lambda folder, rng: _check(datasets.load(folder, form=_form(rng)))),
    "omniglot": Reader(_omniglot_files, _read_omniglot),
    "folder": Reader(_folder_files, _read_set),
    "csv": Reader(_csv_files, _read_csv),
    "benchmark": Reader(_benchmark_files, lambda folder, rng: _check(datasets.load("isic", data_dir=folder))),
    "reduced": Reader(_reduced_files, _read_reduced),
    "tfds": Reader(_tfds_files, _read_tfds, "fuzzed_pictures"),
    "run": Reader(_run_files, _read_run),
    "checkpoint": Reader(_checkpoint_files, _read_checkpoint),
}
