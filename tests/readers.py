"""Every reader of files that may be anybody's, with small files that it reads and what it may return."""

from __future__ import annotations

import functools
import json
import pathlib
import re
import shutil
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import serialization
from PIL import Image

from jaxmeta import checks, datasets, recipes, runs
from jaxmeta.datasets import omniglot, tfds
from jaxmeta.runs import Checkpoints, RunFolder, checkpoints, kept, run, training
from jaxmeta.types import Batch

FORM = datasets.Form(8, 8, 1)
PARAMS = {"dense": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.ones(3, np.float32)}}
PARAMS |= {"deep": [np.arange(4, dtype=np.float32), np.array(7, np.int32)]}
LIKE = jax.eval_shape(lambda: jax.tree.map(jax.numpy.asarray, PARAMS))
FACTS = {"config": {"steps": 9}, "data": {"a.npz": "0123"}}
FINDINGS = ("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumothorax")


class Reader(NamedTuple):
    """One way into the package."""

    make: Callable[[pathlib.Path], Any]
    """Writes files that can be read into an empty folder."""
    read: Callable[[pathlib.Path, pathlib.Path], Any]
    """(folder, the file that changed) -> None; raises AssertionError where what was read cannot be."""
    named: str = ""
    """What messages name, where it is not a file."""


def right(examples: datasets.Examples) -> None:
    """Asserts all that is promised of Examples."""
    inputs, offsets = examples.inputs, examples.offsets
    assert offsets[0] == 0
    assert offsets[-1] == len(inputs)
    assert (np.diff(offsets) > 0).all()
    assert len(examples.class_names) == len(offsets) - 1 == len(set(examples.class_names))
    assert all(isinstance(name, str) for name in examples.class_names)
    assert examples.checksums
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in examples.checksums.values())
    right_inputs(inputs)


def right_inputs(inputs: np.ndarray) -> None:
    """Asserts that inputs are pictures, finite vectors or texts."""
    if inputs.ndim == 4:
        assert inputs.dtype == np.uint8
        assert inputs.shape[3] in (1, 3)
    elif inputs.ndim == 2:
        assert inputs.dtype == np.float32
        assert np.isfinite(inputs).all()
    else:
        assert inputs.ndim == 1
        assert inputs.dtype.kind == "U"


def every(*reads: Callable[[], Any]) -> None:
    """Calls all, and refuses if one of them does."""
    refused = None
    for read in reads:
        try:
            read()
        except checks.DataError as error:
            refused = error
    if refused:
        raise refused


def _picture(value: int, side: int = 5) -> Image.Image:
    return Image.fromarray(np.arange(value, value + side * side, dtype=np.uint8).reshape(side, side))


def _npz(folder: pathlib.Path) -> None:
    pictures, names = np.arange(96, dtype=np.uint8).reshape(6, 4, 4), np.array(["ant", "bée", "<b>"])
    np.savez(folder / "pictures.npz", images=pictures, labels=np.arange(6) % 3, class_names=names)
    np.savez_compressed(folder / "classes.npz", images=pictures.reshape(2, 2, 4, 6) / 100)
    np.savez(folder / "vectors.npz", inputs=np.asfortranarray(np.ones((6, 3), ">f8")), labels=np.array(list("aabbcc")))


def _read_npz(folder: pathlib.Path, changed: pathlib.Path) -> None:
    rows = [lambda: right_inputs(datasets.load_inputs(changed)[1])] if changed.name != "classes.npz" else []
    every(lambda: right(datasets.load(changed)), *rows)


def _tasks(folder: pathlib.Path) -> None:
    np.savez(folder / "tasks.npz", inputs=np.ones((5, 4, 2)), targets=np.ones((5, 4, 1), np.float32))


def _read_tasks(folder: pathlib.Path, changed: pathlib.Path) -> None:
    task = recipes.Task(criterion="squared_error")
    domain = recipes.domains.open(str(changed), "train", task=task, shots=1, queries=1)
    episode = jax.eval_shape(domain.sample, jax.random.key(0))
    assert episode.support.inputs.dtype == np.float32


def _idx(folder: pathlib.Path) -> None:
    import gzip

    for split, count in (("train", 6), ("t10k", 3)):
        images = bytes([0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 4, 0, 0, 0, 4]) + bytes(range(16 * count))
        labels = bytes([0, 0, 8, 1, 0, 0, 0, count]) + bytes(index % 3 for index in range(count))
        (folder / f"{split}-images-idx3-ubyte").write_bytes(images)
        (folder / f"{split}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    path = folder / "t10k-images-idx3-ubyte"
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


def _read_folder(folder: pathlib.Path, changed: pathlib.Path) -> None:
    right(datasets.load(folder, form=FORM))


def _omniglot(folder: pathlib.Path) -> None:
    import io
    import zipfile

    for part in ("background", "evaluation"):
        with zipfile.ZipFile(folder / f"images_{part}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for number in (1, 2):
                stream = io.BytesIO()
                _picture(number).convert("1").save(stream, "PNG")
                name = f"images_{part}/Greek/character01/0394_0{number}.png"
                archive.writestr(zipfile.ZipInfo(name), stream.getvalue())
    names = np.array(["Greek/1", "Greek/2"])
    np.savez(folder / omniglot.NPZ, images=np.ones((2, 3, 28, 28), np.uint8), class_names=names)


def _read_omniglot(folder: pathlib.Path, changed: pathlib.Path) -> None:
    if changed.name == omniglot.NPZ:
        names, images = omniglot.read_npz(changed, FORM)
    else:
        names, images = omniglot.read_zips([folder / name for name in omniglot.ZIPS], FORM)
    assert len(names) == len(images)
    right_inputs(images)


def _folder(folder: pathlib.Path) -> None:
    for index, suffix in enumerate(("png", "jpg", "gif", "bmp", "tif", "webp")):
        name = folder / ("ant", "bée", "<b>c")[index % 3] / f"{index}.{suffix}"
        name.parent.mkdir(exist_ok=True)
        _picture(index + 100).save(name)


def _pictures(folder: pathlib.Path) -> None:
    _folder(folder)
    for mode in ("1", "P", "RGBA", "LA", "I;16"):
        image = Image.fromarray(np.full((5, 5), 60_000, np.uint16)) if mode == "I;16" else _picture(3).convert(mode)
        image.save(folder / f"{mode.replace(';', '')}.png", dpi=(72, 72))
    _picture(4).save(folder / "packed.tif", compression="tiff_lzw")
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "text"
    _picture(5).convert("RGB").save(folder / "turned.jpg", exif=exif)
    _picture(6).save(folder / "one.gif")


def _read_picture(folder: pathlib.Path, changed: pathlib.Path) -> None:
    right_inputs(datasets.load_inputs(changed)[1])


def _csv(folder: pathlib.Path) -> None:
    (folder / "named.csv").write_text('a,"b c",label\n1,2.5,3\n4,-1e3,10\n7,8,3\n9,9,10\n', encoding="utf-8")
    (folder / "plain.csv").write_text("\ufeff1,2,ant\r\n3,4,bée\r\n5,6,<b>\r\n", encoding="utf-8")


def _read_csv(folder: pathlib.Path, changed: pathlib.Path) -> None:
    values = [
        lambda: right_inputs(datasets.load_inputs(changed)[1]),
        lambda: right_inputs(datasets.load_table(changed).targets),
    ]
    every(lambda: right(datasets.load(changed)), *(values if changed.name == "named.csv" else []))


def _benchmarks(folder: pathlib.Path) -> None:
    pictures, table = folder / "ISIC2018_Task3_Training_Input", folder / "ISIC2018_Task3_Training_GroundTruth.csv"
    pictures.mkdir()
    lines = ["image,MEL,NV,BCC,AKIEC,BKL,DF,VASC"]
    for index in range(7):
        _picture(index).save(pictures / f"ISIC_{index}.jpg")
        lines.append(f"ISIC_{index}," + ",".join("1.0" if index == column else "0.0" for column in range(7)))
    table.write_text("\n".join(lines) + "\n")
    (folder / "images").mkdir()
    lines = ["Image Index,Finding Labels,Patient ID"]
    for index, finding in enumerate(FINDINGS):
        _picture(index).save(folder / "images" / f"{index}.png")
        lines.append(f"{index}.png,{finding},{index}")
    (folder / "Data_Entry_2017.csv").write_text("\n".join([*lines, "9.png,Mass|Nodule,9"]) + "\n")


def _read_benchmarks(folder: pathlib.Path, changed: pathlib.Path) -> None:
    name = "isic" if "ISIC" in str(changed.relative_to(folder)) else "chestx"
    right(datasets.load(name, data_dir=folder, form=FORM))


def _reduced(folder: pathlib.Path) -> None:
    styles, classes = np.array(["noto", "twemoji", "fluent3d", "openmoji"]), np.array(["a", "b", "c"])
    pixels = np.arange(3 * 4 * 4 * 4 * 3, dtype=np.uint8).reshape(3, 4, 4, 4, 3)
    groups = np.array(["x", "x", "y"])
    np.savez(folder / "emoji_styles_32.npz", images=pixels, class_names=classes, subcategory=groups, styles=styles)
    labels, slides = np.arange(12) % 3, np.array([f"slide{index // 3}" for index in range(12)])
    np.savez(folder / "bccd_cells_32.npz", images=pixels.reshape(12, 4, 4, 3), labels=labels, source_image=slides)


def _read_reduced(folder: pathlib.Path, changed: pathlib.Path) -> None:
    domains = ("bccd_cells",) if "bccd" in changed.name else ("emoji_styles", "emoji_styles:noto")
    every(*(lambda name=name: right(datasets.load(name, data_dir=folder, form=FORM)) for name in domains))


@functools.cache
def _builder() -> None:
    import io

    import tensorflow_datasets as library

    class JaxmetaReaders(library.core.GeneratorBasedBuilder):
        """Six pictures of three classes."""

        VERSION = library.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": library.features.Image(shape=(None, None, 1)),
                "label": library.features.ClassLabel(names=["ant", "bee", "cat"]),
            }
            described = library.features.FeaturesDict(features)
            return library.core.DatasetInfo(builder=self, features=described, supervised_keys=("image", "label"))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for number in range(6):
                stream = io.BytesIO()
                _picture(number).save(stream, "png")
                stream.seek(0)
                yield str(number), {"image": stream, "label": number % 3}


def _tfds(folder: pathlib.Path) -> None:
    _builder()
    tfds.prepare("jaxmeta_readers", folder, folder)


def _read_tfds(folder: pathlib.Path, changed: pathlib.Path) -> None:
    tfds.found(folder)
    right(datasets.load("tfds:jaxmeta_readers", data_dir=folder, form=FORM))


def _run(folder: pathlib.Path) -> None:
    content = {
        "schema": 1,
        "preset": "protonet-strokes",
        "config": training.recorded(recipes.Recipe().replace(domain="strokes")),
    }
    (folder / "config.json").write_text(json.dumps(content))


def _read_config(folder: pathlib.Path, changed: pathlib.Path) -> None:
    recipe = run.read(RunFolder(folder))
    recipes.check(recipe)
    assert all(type(width) is int for width in (*recipe.network.hidden, *recipe.task.picture))


def _params(folder: pathlib.Path) -> None:
    _run(folder)
    (folder / "meta_params.msgpack").write_bytes(serialization.to_bytes(PARAMS))


def _read_params(folder: pathlib.Path, changed: pathlib.Path) -> None:
    restored = RunFolder(folder).meta_params(LIKE)
    assert jax.tree.structure(restored) == jax.tree.structure(PARAMS)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(restored))


def _results(folder: pathlib.Path) -> None:
    _run(folder)
    rows = [{"method": "maml", "joint": {"mean": 0.5, "per_task": [0.5, 1.0]}}]
    content = {"schema": 1, "seed": 0, "data": {"a.npz": "01" * 32, "b.npz": "ab" * 32}, "rows": rows}
    (folder / "results.json").write_text(json.dumps(content))


def _read_results(folder: pathlib.Path, changed: pathlib.Path) -> None:
    seen = RunFolder(folder).checksums()
    if seen is None:  # then everything may have been seen: the cautious reading
        checks.fail(str(folder), "results", "none", error=checks.DataError)
    assert all(isinstance(value, str) for value in seen.values())


def _opened(folder: pathlib.Path) -> Checkpoints:
    return Checkpoints(folder, "maml", facts=FACTS, versions={"jax": "1"})


def _checkpoint(folder: pathlib.Path) -> None:
    _opened(folder).save(PARAMS, {"seconds": 0.5})


def _read_checkpoint(folder: pathlib.Path, changed: pathlib.Path) -> None:
    found = _opened(folder).restore(LIKE)
    if found is None:
        checks.fail(str(folder), "a checkpoint", "none", error=checks.DataError)
    jax.tree.map(np.testing.assert_array_equal, found.arrays, PARAMS)  # behind a seal there is no other state


def _sealed(folder: pathlib.Path) -> None:
    about = json.dumps({"notes": {"seconds": 0.5}, "facts": FACTS, "versions": {"jax": "1"}})
    content = {"about": about, "arrays": serialization.to_state_dict(PARAMS)}
    (folder / "sealed.msgpack").write_bytes(serialization.msgpack_serialize(content))


def _read_sealed(folder: pathlib.Path, changed: pathlib.Path) -> None:
    """What is behind the seal, by somebody who can make one."""
    try:
        content = changed.read_bytes()
    except OSError as error:
        checks.fail(str(changed), "a file", error, error=checks.DataError)
    sealed = folder / "checkpoints" / "maml" / "1.msgpack"
    sealed.parent.mkdir(parents=True)
    try:
        sealed.write_bytes(checkpoints.seal(content) + content)
        found = _opened(folder).restore(LIKE)
    finally:
        shutil.rmtree(folder / "checkpoints")
    assert found is not None
    assert jax.tree.structure(found.arrays) == jax.tree.structure(PARAMS)


@functools.cache
def _bees() -> tuple[runs.Run, Any]:
    """A run that nothing trained, and a support set."""
    recipe = recipes.get("protonet-tabular").replace(hidden=(4,), num_features=3)
    shape = recipes.Shape((3,), 2)
    params = jax.jit(recipes.training_learner(recipe, shape).init)(jax.random.key(0))
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    support = Batch(jax.numpy.asarray(rows), jax.numpy.arange(4) % 2)
    frame = recipes.Frame({"columns": [], "target_column": None}, {"rows": rows})
    return runs.Run(recipe, shape, params, None), recipes.Given(support, [], rows, ("ant", "bee"), frame=frame)


def _adapted(folder: pathlib.Path) -> None:
    run, given = _bees()
    runs.save_adapted(folder / "bees.adapted", run.adapt(given, none=0.5))


def _read_adapted(folder: pathlib.Path, changed: pathlib.Path) -> None:
    run, given = _bees()
    found, right = runs.load_adapted(changed, run), run.adapt(given, none=0.5)
    jax.tree.map(np.testing.assert_array_equal, found.state, right.state)  # behind a seal there is no other state
    assert (found.class_names, found.threshold) == (right.class_names, right.threshold)


def _words(folder: pathlib.Path) -> None:
    _adapted(folder)
    whole = (folder / "bees.adapted").read_bytes()
    start = len(kept.seal(b"", b""))
    end = start + json.JSONDecoder().raw_decode(whole[start:].decode("utf-8", "replace"))[1]
    (folder / "bees.adapted").unlink()
    (folder / "words.json").write_bytes(whole[start:end])
    (folder / "content").write_bytes(whole[end:])


def _read_words(folder: pathlib.Path, changed: pathlib.Path) -> None:
    """What is behind the seal, by somebody who can make one."""
    run, _ = _bees()
    try:
        words, content = (folder / "words.json").read_bytes(), (folder / "content").read_bytes()
    except OSError as error:
        checks.fail(str(changed), "a file", error, error=checks.DataError)
    stranger = folder / "stranger.adapted"
    try:
        stranger.write_bytes(kept.seal(words, content) + words + content)
        found = runs.load_adapted(stranger, run)
    finally:
        stranger.unlink(missing_ok=True)
    right = jax.eval_shape(found.learner.adapt, run.meta_params, found.support, jax.random.key(0))
    shapes = lambda tree: [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)]  # noqa: E731
    assert shapes(found.state) == shapes(right)
    assert len(found.class_names) == 2


READERS = {
    "npz": Reader(_npz, _read_npz),
    "npz of tasks": Reader(_tasks, _read_tasks),
    "reduced npz": Reader(_reduced, _read_reduced),
    "idx": Reader(_idx, _read_folder),
    "omniglot": Reader(_omniglot, _read_omniglot),
    "class folders": Reader(_folder, _read_folder),
    "picture": Reader(_pictures, _read_picture),
    "csv": Reader(_csv, _read_csv),
    "tables of pictures": Reader(_benchmarks, _read_benchmarks),
    "tensorflow-datasets": Reader(_tfds, _read_tfds, "tfds:jaxmeta_readers"),
    "config": Reader(_run, _read_config),
    "parameters": Reader(_params, _read_params),
    "results": Reader(_results, _read_results),
    "checkpoint": Reader(_checkpoint, _read_checkpoint),
    "sealed checkpoint": Reader(_sealed, _read_sealed),
    "adapted run": Reader(_adapted, _read_adapted),
    "sealed adapted run": Reader(_words, _read_words),
}
