"""What a stranger's file may try, case by case; tests/fuzz.py tries the rest at random."""

import gzip
import io
import json
import tracemalloc
import zipfile

import numpy as np
import pytest
from PIL import Image

from jaxmeta import checks, datasets
from jaxmeta.datasets import Form, files, omniglot, pictures

PICTURES = np.arange(4 * 3 * 3, dtype=np.uint8).reshape(4, 3, 3)


@pytest.fixture
def small_memory():
    """Fails where more than 64 MB are set aside."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**26


def pack(path, members, kind=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("header", ["-" * 9000, "(" * 5000, "{", '"""', "[" * 150 + "]" * 150, "9" * 5000])
def test_npy_headers_that_break_their_parser(tmp_path, refused, header):
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    with refused("toy.npz, images.npy", "readable"):
        datasets.load(pack(tmp_path / "toy.npz", [("images.npy", content)]))


def test_archives_that_explode(tmp_path, refused, small_memory):
    """A valid array of zeros, a thousandth of its size on the disk."""
    size = files.FREE_BYTES + 1
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": (1, size, 1)})
    archive = zipfile.ZipFile(tmp_path / "toy.npz", "w", zipfile.ZIP_DEFLATED)
    with archive, archive.open("images.npy", "w") as member:
        member.write(stream.getvalue())
        for start in range(0, size, 2**20):
            member.write(bytes(min(2**20, size - start)))
    assert (tmp_path / "toy.npz").stat().st_size < size // 500
    with refused("toy.npz, images.npy", "at most", "if you trust it"):
        datasets.load(tmp_path / "toy.npz")


def test_drawings_that_explode(tmp_path, refused, monkeypatch):
    monkeypatch.setattr(files, "FREE_BYTES", 1000)
    name = "images_{}/Greek/character01/0394_01.png"
    paths = [
        pack(tmp_path / f"images_{part}.zip", [(name.format(part), bytes(10**6))])
        for part in ("background", "evaluation")
    ]
    with refused("images_background.zip", "0394_01.png", "at most"):
        omniglot.read_zips(paths, omniglot.NATIVE)


def test_members_that_are_there_twice(tmp_path, refused):
    stream = io.BytesIO()
    np.save(stream, PICTURES)
    with pytest.warns(UserWarning, match="Duplicate"):
        path = pack(tmp_path / "toy.npz", [("images.npy", stream.getvalue()), ("images.npy", b"")])
    with refused("toy.npz", "each member once", "images.npy"):
        datasets.load(path)


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_way_of_packing_can_be_damaged(tmp_path, refused, kind):
    stream = io.BytesIO()
    np.save(stream, PICTURES)
    path = pack(tmp_path / "toy.npz", [("images.npy", stream.getvalue())], kind)
    whole = path.read_bytes()
    packed = whole.index(b"images.npy") + len("images.npy")
    for place in range(packed, packed + 100, 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        with refused("toy.npz"):
            datasets.load(path)


def test_idx_headers_that_lie(tmp_path, refused, small_memory):
    header = bytes([0, 0, 8, 3]) + (2**31 - 4).to_bytes(4, "big") + (1).to_bytes(4, "big") * 2
    for suffix, write in (("", bytes), (".gz", gzip.compress)):
        images = tmp_path / f"train-images-idx3-ubyte{suffix}"
        images.write_bytes(write(header + bytes(50)))
        (tmp_path / "train-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 0]))
        with refused(images.name, "bytes"):
            datasets.load(tmp_path)
        images.unlink()


def test_many_pictures_that_explode(class_folders, refused, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_BYTES", 100)
    with refused("cat/1.png", "100 bytes at most", "a smaller form"):
        datasets.load(class_folders)
    assert datasets.load(class_folders, form=Form(4, 4, 1)).inputs.nbytes == 96


def test_a_damaged_tiff_writes_nothing_of_its_own(tmp_path, refused, capfd):
    Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20)).save(tmp_path / "a.tif", compression="tiff_lzw")
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(whole[:8] + b"\xff" * 40 + whole[48:])
    with refused("a.tif", "a whole picture"):
        datasets.load_inputs(tmp_path / "a.tif")
    assert capfd.readouterr().err == ""


def test_labels_of_any_length(tmp_path, small_memory):
    long = "9" * 5000
    (tmp_path / "toy.csv").write_text(f"1,{long}\n" + "1,2\n2,10\n" * 3000)
    assert datasets.load(tmp_path / "toy.csv").class_names == ("2", "10", long)
    (tmp_path / "toy.csv").write_text(f"1,{'x' * 100_000}\n" + "1,b\n" * 3000)
    assert datasets.load(tmp_path / "toy.csv").class_names == ("b", "x" * 100_000)


def test_numbers_that_are_slips(tmp_path, refused):
    (tmp_path / "toy.csv").write_text("1,2,0\n3,1_0,1\n")
    with refused("toy.csv, row 2, column 2", "1_0"):
        datasets.load(tmp_path / "toy.csv")
    for value in (1e300, -1e39):
        np.savez(tmp_path / "toy.npz", inputs=np.array([[value, 1.0]]), labels=np.array([0]))
        with refused("toy.npz, inputs", "more than float32 holds"):
            datasets.load(tmp_path / "toy.npz")


def test_a_message_has_a_length(tmp_path):
    (tmp_path / "toy.csv").write_text(",".join(f"column{index}" for index in range(10_000)) + "\n" + "1," * 9999 + "1")
    with pytest.raises(checks.DataError) as caught:
        datasets.load(tmp_path / "toy.csv", target_column="no such column")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", ["../../secret", "a\0b", "x" * 5000])
def test_pictures_that_a_table_may_not_name(tmp_path, refused, name):
    (tmp_path / "images").mkdir()
    (tmp_path / "Data_Entry_2017.csv").write_text(f"Image Index,Finding Labels\n{name}.png,Mass\n")
    with refused(tmp_path):
        datasets.load("chestx", data_dir=tmp_path)


def test_a_field_without_end(tmp_path, refused):
    (tmp_path / "images").mkdir()
    (tmp_path / "Data_Entry_2017.csv").write_text("x" * 200_000)
    with refused("Data_Entry_2017.csv", "field larger"):
        datasets.load("chestx", data_dir=tmp_path)


@pytest.mark.parametrize("key", ["class_names", "subcategory", "styles"])
def test_emoji_without_names(tmp_path, refused, key):
    arrays = {"class_names": np.array(["a"]), "subcategory": np.array(["x"]), "styles": np.array(["noto"])}
    arrays["images"] = np.zeros((1, 1, 2, 2, 3), np.uint8)
    for value in (np.array("a"), np.array([1]), np.zeros((1, 1))):
        np.savez(tmp_path / "emoji_styles_32.npz", **arrays | {key: value})
        with refused("emoji_styles_32.npz", key):
            datasets.load("emoji_styles", data_dir=tmp_path)


class TestPrepared:
    """Descriptions of tensorflow-datasets, which say what is imported and which files are read."""

    @pytest.fixture(autouse=True)
    def prepared(self, tmp_path):
        pytest.importorskip("tensorflow_datasets")
        pytest.importorskip("array_record")
        import readers

        readers.READERS["tensorflow-datasets"].make(tmp_path)
        self.data_dir, self.folder = tmp_path, tmp_path / "jaxmeta_readers" / "1.0.0"

    def change(self, file, function):
        content = json.loads((self.folder / file).read_text())
        function(content)
        (self.folder / file).write_text(json.dumps(content))

    def load(self):
        return datasets.load("tfds:jaxmeta_readers", data_dir=self.data_dir)

    def hide(self, name, monkeypatch):
        """Puts a module where Python would find it."""
        (self.data_dir / f"{name}.py").write_text("raise SystemExit('code of a stranger')")
        monkeypatch.syspath_prepend(self.data_dir)

    @pytest.mark.parametrize("name", ["hostile.Feature", "tensorflow_datasets.scripts.cli.main.Feature", "nothing"])
    def test_no_module_is_imported(self, refused, monkeypatch, name):
        self.hide("hostile", monkeypatch)
        legacy, spelled = {"type": name, "content": {}}, {"python_class_name": name, "text": {}}
        named = {"pythonClassName": name, "text": {}}
        ways = [named, spelled, legacy, {"type": name, "content": "{}", "proto_cls": "tensorflow_datasets.TextFeature"}]
        own = "tensorflow_datasets.core.features.sequence_feature.Sequence"
        ways += [{"pythonClassName": own, "sequence": {"feature": each}} for each in (named, spelled)]
        ways += [
            {"pythonClassName": own, "jsonFeature": {"json": json.dumps({"feature": each, "length": None})}}
            for each in (named, legacy)
        ]
        ways += [{"type": own, "content": json.dumps({"feature": named}), "proto_cls": "tensorflow_datasets.Sequence"}]
        whole = (self.folder / "features.json").read_text()
        for way in ways:
            self.change("features.json", lambda content, way=way: content["featuresDict"]["features"].update(more=way))
            with refused("tfds:jaxmeta_readers, features.json", f"got {name!r}", "if you trust it"):
                self.load()
            self.change("features.json", lambda content, way=way: (content.clear(), content.update(way)))
            with refused("tfds:jaxmeta_readers, features.json", f"got {name!r}", "if you trust it"):
                self.load()
            (self.folder / "features.json").write_text(whole)
            self.change("dataset_info.json", lambda content, way=way: content.update(features=way))
            with refused("tfds:jaxmeta_readers, dataset_info.json", f"got {name!r}", "if you trust it"):
                self.load()
            self.change("dataset_info.json", lambda content: content.pop("features"))

    def test_what_is_imported_already_is_left_to_the_library(self, refused):
        self.change("features.json", lambda content: content.update(pythonClassName=f"{__name__}.Feature"))
        with refused("tfds:jaxmeta_readers", "Unrecognized FeatureConnector"):
            self.load()

    def test_what_is_checked_is_what_is_read(self, refused, monkeypatch):
        """The description of another folder, by way of a link or of the default config."""
        self.hide("hostile", monkeypatch)
        (self.data_dir / "evil").mkdir()
        self.change("features.json", lambda content: content.update(pythonClassName="hostile.Feature"))
        self.folder.rename(self.data_dir / "evil" / "1.0.0")
        self.folder.symlink_to(self.data_dir / "evil" / "1.0.0")
        with refused("features.json", "hostile.Feature"):
            self.load()
        self.folder.unlink()
        (self.folder.parent / ".config").mkdir()
        for config in ("../evil", str(self.data_dir / "evil")):
            (self.folder.parent / ".config" / "metadata.json").write_text(json.dumps({"default_config_name": config}))
            with refused("tfds:jaxmeta_readers", "a prepared set"):
                self.load()

    def test_a_description_nested_without_end(self, refused):
        (self.folder / "features.json").write_text("[" * 100_000)
        with refused("tfds:jaxmeta_readers", "whole, readable files"):
            self.load()

    def test_files_lie_in_the_folder(self, refused):
        (self.data_dir / "secret").mkdir()
        for path in self.folder.glob("*array_record*"):
            path.rename(self.data_dir / "secret" / path.name)
        for where in ("../../secret/", f"{self.data_dir}/secret/"):
            template = where + "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
            self.change(
                "dataset_info.json", lambda content, t=template: content["splits"][0].update(filepathTemplate=t)
            )
            with refused("tfds:jaxmeta_readers", "expected files in"):
                self.load()

    def test_classes_without_number(self, refused):
        (self.folder / "label.labels.txt").unlink()
        label = lambda content: content["featuresDict"]["features"]["label"]["classLabel"]  # noqa: E731
        self.change("features.json", lambda content: label(content).update(numClasses=str(10**12)))
        with refused("tfds:jaxmeta_readers", "1 to 1,000,000 classes"):
            self.load()

    def test_what_is_listed_can_be_loaded(self):
        assert list(datasets.found(self.data_dir)) == ["tfds:jaxmeta_readers"]
        (self.data_dir / "jaxmeta_readers").rename(self.data_dir / "bad\x1b[2J")
        assert datasets.found(self.data_dir) == {}
        (self.data_dir / "bad\x1b[2J").rename(self.data_dir / "deep")
        about = self.data_dir / "deep" / "1.0.0" / "dataset_info.json"
        about.write_text("[" * 100_000)
        assert datasets.found(self.data_dir) == {}
        with about.open("ab") as stream:
            stream.truncate(10**11)
        assert datasets.found(self.data_dir) == {}
