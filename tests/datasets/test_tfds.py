import functools
import hashlib
import importlib.util
import io
import pathlib
import shutil
import sys
import tempfile

import numpy as np
import pytest
from PIL import Image

from jaxmeta import checks, datasets
from jaxmeta.datasets import Form, tfds

library = pytest.importorskip("tensorflow_datasets")
pytest.importorskip("array_record")
checksums = pytest.importorskip("tensorflow_datasets.core.download.checksums")
features = library.features
NAMES = ["ant", "bee", "cat"]


def png(value, height=6):
    stream = io.BytesIO()
    Image.fromarray(np.full((height, 4), value, np.uint8)).save(stream, "png")
    stream.seek(0)
    return stream


class JaxmetaPictures(library.core.GeneratorBasedBuilder):
    """Pictures whose grey is their number; files of pictures are written as they are, without TensorFlow."""

    VERSION = library.core.Version("1.0.0")
    FEATURES = {"image": features.Image(shape=(None, 4, 1)), "label": features.ClassLabel(names=NAMES)}  # noqa: RUF012
    SUPERVISED = ("image", "label")

    def _info(self):
        described = features.FeaturesDict(self.FEATURES)
        return library.core.DatasetInfo(builder=self, features=described, supervised_keys=self.SUPERVISED)

    def _split_generators(self, dl_manager):
        (dl_manager.manual_dir / "given.txt").read_text()
        return {"train": self._generate_examples(range(9)), "test": self._generate_examples(range(100, 103))}

    def _generate_examples(self, numbers):
        for number in numbers:
            yield f"{number:03}", self.example(number)

    MANUAL_DOWNLOAD_INSTRUCTIONS = "given.txt"

    def example(self, number):
        return {"image": png(number), "label": number % 3}


class JaxmetaTexts(JaxmetaPictures):
    """Texts of several lengths, one of them without a label."""

    FEATURES = {"label": features.ClassLabel(names=NAMES), "text": features.Text()}  # noqa: RUF012
    SUPERVISED = None

    def example(self, number):
        return {"text": "é" * number, "label": -1 if number == 4 else number % 3}


class JaxmetaSizes(JaxmetaPictures):
    """Pictures of several heights."""

    def example(self, number):
        return {"image": png(number, 3 + number), "label": number % 3}


class JaxmetaNumbers(JaxmetaPictures):
    """No picture and no text."""

    FEATURES = {"age": features.Scalar(np.int64), "label": features.ClassLabel(names=NAMES)}  # noqa: RUF012
    SUPERVISED = None

    def example(self, number):
        return {"age": number, "label": number % 3}


class JaxmetaConfigs(JaxmetaPictures):
    """Two configs, of which the second is the default one."""

    BUILDER_CONFIGS = [library.core.BuilderConfig(name=name, version="1.0.0") for name in ("dark", "bright")]  # noqa: RUF012
    DEFAULT_BUILDER_CONFIG_NAME = "bright"

    def example(self, number):
        return {"image": png(number + 100 * (self.builder_config.name == "bright")), "label": number % 3}


class JaxmetaDownloads(JaxmetaPictures):
    """A set that wants the network."""

    def _split_generators(self, dl_manager):
        dl_manager.download("http://localhost:1/nowhere.zip")
        return {}


class JaxmetaPublished(JaxmetaPictures):
    """A set of two published files, both empty."""

    url_infos = {  # noqa: RUF012
        f"http://localhost:1/{name}": checksums.UrlInfo(size=0, checksum=hashlib.sha256().hexdigest(), filename=name)
        for name in ("a.zip", "b.zip")
    }

    def _split_generators(self, dl_manager):
        for url in self.url_infos:
            assert url.endswith(dl_manager.download(url).name)
        return super()._split_generators(dl_manager)


class JaxmetaStock(JaxmetaPictures):
    """A set that wants TensorFlow, as most do."""

    def _split_generators(self, dl_manager):
        raise ImportError("No module named 'tensorflow'")


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "given.txt").write_text("as published")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where the library leaves an empty folder

    def prepare(name):
        return tfds.prepare(name, tmp_path / "sets", tmp_path / "given")

    return prepare


def test_pictures(prepare, tmp_path, monkeypatch):
    folder = prepare("jaxmeta_pictures")
    loaded = datasets.load("tfds:jaxmeta_pictures", data_dir=tmp_path / "sets", split="train")
    assert loaded.inputs.shape == (9, 6, 4, 1)
    assert loaded.inputs.dtype == np.uint8
    assert loaded.class_names == tuple(NAMES)
    assert not loaded.is_text
    assert (loaded.name, loaded.split) == ("tfds:jaxmeta_pictures", "train")
    for index in range(3):
        rows = loaded.inputs[loaded.offsets[index] : loaded.offsets[index + 1]]
        assert sorted(rows[:, 0, 0, 0]) == [index, index + 3, index + 6]
    assert [file for file in loaded.checksums if "train.array_record" in file] == list(loaded.checksums)
    assert {path.name for path in folder.glob("*train*")} == set(loaded.checksums)
    monkeypatch.setenv("JAXMETA_DATA", str(tmp_path / "sets"))
    everything = datasets.load("tfds:jaxmeta_pictures:1.0.0", form=Form(2, 3, 3, "invert"))
    assert everything.inputs.shape == (12, 2, 3, 3)
    assert everything.split == "all"
    assert set(everything.inputs.ravel()) == {255 - value for value in (*range(9), 100, 101, 102)}
    half = datasets.load("tfds:jaxmeta_pictures", split="train[:4]+test[2:]")
    assert len(half.inputs) == 5
    assert "tensorflow" not in sys.modules


def test_texts(prepare, tmp_path):
    prepare("jaxmeta_texts")
    loaded = datasets.load("tfds:jaxmeta_texts", data_dir=tmp_path / "sets", split="train")
    assert loaded.inputs.dtype.kind == "U"
    assert loaded.is_text
    assert {len(text) for text in loaded.inputs.tolist()} == set(range(9)) - {4}
    assert np.diff(loaded.offsets).tolist() == [3, 2, 3]
    with pytest.raises(ValueError, match="tfds:jaxmeta_texts: expected pictures, as a form is asked for, got texts"):
        datasets.load("tfds:jaxmeta_texts", data_dir=tmp_path / "sets", form=Form(2, 2, 1))


def test_pictures_of_several_sizes_need_a_form(prepare, tmp_path, refused):
    prepare("jaxmeta_sizes")
    with refused("tfds:jaxmeta_sizes, example", "ask for one form"):
        datasets.load("tfds:jaxmeta_sizes", data_dir=tmp_path / "sets")
    assert len(datasets.load("tfds:jaxmeta_sizes", data_dir=tmp_path / "sets", form=Form(5, 5, 1)).inputs) == 12


def test_configs_and_versions(prepare, tmp_path):
    for name in ("dark", "bright"):
        folder = prepare(f"jaxmeta_configs/{name}")
    load = functools.partial(datasets.load, data_dir=tmp_path / "sets", split="train")
    for named, least in (("", 100), ("/dark", 0), ("/bright", 100), ("/dark:1.0.0", 0), (":1.0.0", 100)):
        assert load(f"tfds:jaxmeta_configs{named}").inputs.min() == least
    newer = folder.with_name("1.0.10")
    shutil.copytree(folder, newer)
    shutil.copytree(folder, folder.with_name("1.0.9"))
    about = newer / "dataset_info.json"
    about.write_text(about.read_text().replace('"1.0.0"', '"1.0.10"'))
    assert tfds._prepared("jaxmeta_configs", tmp_path / "sets").info.full_name == "jaxmeta_configs/bright/1.0.10"
    with pytest.raises(checks.DataError, match="a prepared set"):
        load("tfds:jaxmeta_configs:2.0.0")


@pytest.mark.parametrize("name", datasets.suggested())
def test_suggested_sets_over_mock_data(name, tmp_path, monkeypatch):
    """What tensorflow-datasets says of a set, over rows that are made up: a picture or text, and the classes, fit."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where the library leaves an empty folder
    builder = library.builder(name.removeprefix("tfds:"), data_dir=tmp_path, file_format="array_record", try_gcs=False)
    folder, about = pathlib.Path(builder.data_dir), datasets.suggested()[name]

    def row(index):
        values = {features.Image: png(index).getvalue(), features.Text: b"words", features.ClassLabel: index}
        return {key: values.get(type(feature)) for key, feature in builder.info.features.items()}

    template = library.core.ShardedFileTemplate(folder, "array_record", builder.name, "train")
    part = library.core.SplitInfo(name="train", shard_lengths=[about.classes], num_bytes=1, filename_template=template)
    builder.info.set_splits(library.core.splits.SplitDict([part]))
    folder.mkdir(parents=True)
    builder.info.write_to_directory(folder)
    (folder / part.filenames[0]).write_bytes(b"")
    rows = [row(index) for index in range(about.classes)]
    form = None if about.field == "text" else Form(2, 2, 1)
    monkeypatch.setattr(library.core.DatasetBuilder, "as_data_source", lambda *_, **__: rows)
    loaded = datasets.load(name, data_dir=tmp_path, form=form)
    assert loaded.class_names == tuple(builder.info.features["label"].names)
    assert loaded.inputs.dtype.kind == ("U" if about.field == "text" else "u")
    assert datasets.found(tmp_path) == {name: about._replace(examples=len(rows))}
    assert "tensorflow" not in sys.modules


def test_what_cannot_be_read(prepare, tmp_path, refused, monkeypatch):
    folder, sets = prepare("jaxmeta_pictures"), tmp_path / "sets"
    for split in ("validation", "train[:"):
        with pytest.raises(ValueError, match="parts of train, test"):
            datasets.load("tfds:jaxmeta_pictures", data_dir=sets, split=split)
    with pytest.raises(ValueError, match="at least one example"):
        datasets.load("tfds:jaxmeta_pictures", data_dir=sets, split="train[:0]")
    for name in ("no_such_set", "huggingface:mnist", "../x", ""):
        with pytest.raises(ValueError, match="no such name") as caught:
            datasets.load(f"tfds:{name}", data_dir=sets)
        assert not isinstance(caught.value, checks.DataError)
    with refused("tfds:mnist", "a prepared set", sets, "jaxmeta.datasets.tfds.prepare"):
        datasets.load("tfds:mnist", data_dir=sets)
    prepare("jaxmeta_numbers")
    with refused("one ClassLabel", "age (Scalar)"):
        datasets.load("tfds:jaxmeta_numbers", data_dir=sets)
    next(folder.glob("*train*")).write_bytes(b"no record")
    with refused("tfds:jaxmeta_pictures", "whole, readable files"):
        datasets.load("tfds:jaxmeta_pictures", data_dir=sets)
    next(folder.glob("*train*")).unlink()
    with refused("array_record-00000-of-00001", "a whole, readable file"):
        datasets.load("tfds:jaxmeta_pictures", data_dir=sets)
    monkeypatch.setitem(sys.modules, "array_record", None)
    with pytest.raises(ImportError, match=r"pip install 'jaxmeta\[data\]'"):
        datasets.load("tfds:jaxmeta_pictures", data_dir=sets)


def test_preparing_says_what_is_missing(prepare, tmp_path, refused, monkeypatch):
    with refused("http://localhost:1/nowhere.zip", tmp_path / "given"):
        prepare("jaxmeta_downloads")
    with pytest.raises(ImportError, match="TensorFlow, which preparing this set needs"):
        prepare("jaxmeta_stock")
    for name in ("no_such_set", "huggingface:mnist"):
        with pytest.raises(ValueError, match="no such name"):
            prepare(name)
    with refused("none of t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz, train-images-idx3-ubyte.gz"):
        prepare("mnist")
    with refused("none of a.zip, b.zip"):
        prepare("jaxmeta_published")
    (tmp_path / "given" / "a.zip").write_bytes(b"")
    with monkeypatch.context() as patch, refused("given", "localhost", "; there is no b.zip"):
        patch.setattr("time.sleep", lambda _: None)  # ten tries, minutes apart in the end
        prepare("jaxmeta_published")
    (tmp_path / "given" / "b.zip").write_bytes(b"damaged")
    with refused("given", "http://localhost:1/b.zip", "has wrong checksum"):
        prepare("jaxmeta_published")
    (tmp_path / "given" / "given.txt").unlink()
    with refused("tfds:jaxmeta_texts", "its published files"):
        prepare("jaxmeta_texts")
    assert not list((tmp_path / "sets").rglob("*.array_record*"))


def test_published_files_are_all_that_is_needed(prepare, tmp_path, capfd):
    for name in ("a.zip", "b.zip"):
        (tmp_path / "given" / name).touch()
    assert list(prepare("jaxmeta_published").glob("*.array_record*"))
    assert capfd.readouterr().out == ""


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="preparing a stock set needs TensorFlow")
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_stock_sets_are_the_published_files(name, real_data, tmp_path):
    tfds.prepare(name, tmp_path, real_data / name)
    ours, theirs = datasets.load(name, data_dir=real_data), datasets.load(f"tfds:{name}", data_dir=tmp_path)
    assert len(ours.inputs) == len(theirs.inputs) == 70_000
    for index in range(10):
        rows = [
            sorted(map(bytes, each.inputs[each.offsets[index] : each.offsets[index + 1]])) for each in (ours, theirs)
        ]
        assert rows[0] == rows[1]
