import builtins
import importlib
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from jaxmeta import checks, datasets
from jaxmeta.datasets import loading


def test_names():
    known = datasets.names()
    assert {"omniglot", "mnist", "digits", "fonts", "caltech101", "emoji_styles:noto", "mini_imagenet"} <= set(known)
    assert known["omniglot"][1:4] == (1623, 32460, "files")
    for name, about in known.items():
        if about.classes == 0 and about.field not in ("strings", "tokens"):
            assert about.examples == len(datasets.load_table(name).inputs)
        elif about.source == "embedded":
            loaded = datasets.load(name)
            assert about[1:3] == (len(loaded.class_names), len(loaded.inputs))


def test_every_domain_has_a_reader():
    read = {name for reader in loading.READERS for name in reader.names}
    assert read == {name.partition(":")[0] for name in datasets.names()} | {"tfds"}


def test_what_is_damaged_is_not_listed(tmp_path):
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train-images-idx3-ubyte").touch()  # without its labels
    (tmp_path / "fc100").mkdir()
    (tmp_path / "fc100" / "FC100_train.pickle").touch()
    (tmp_path / "omniglot_28x28.npz").touch()
    assert set(datasets.found(tmp_path)) == {"omniglot"}
    for name, message in (("mnist", "its labels"), ("fc100", "a pickle"), ("omniglot", "a whole, readable file")):
        with pytest.raises(checks.DataError, match=message):
            datasets.load(name, data_dir=tmp_path)


@pytest.mark.parametrize("name", datasets.names())
def test_every_domain_says_what_is_missing(name, refused, tmp_path):
    if datasets.names()[name].source == "files":
        with refused(name, tmp_path, "--data-dir or JAXMETA_DATA"):
            datasets.load(name, data_dir=tmp_path)


@pytest.mark.parametrize("name", ["omniglott", ""])
def test_unknown_names(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"one of omniglot, mnist, .* or a path") as caught:
        datasets.load(name)
    assert not isinstance(caught.value, checks.DataError)


@pytest.mark.parametrize("read", [datasets.load, datasets.load_inputs])
@pytest.mark.parametrize("path", ["no/such", "nowhere.npz", "nowhere.csv", pathlib.Path("omniglot")])
def test_missing_paths(read, path, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    with refused(path, "no such file"):
        read(path)


@pytest.mark.parametrize("name", ["omniglot", ""])
def test_inputs_have_no_names(name, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    with refused(name or "path", "no such file"):
        datasets.load_inputs(name)


@pytest.mark.parametrize("name", ["omniglot", "mnist", "fashion_mnist"])
def test_missing_files(name, refused, tmp_path, monkeypatch):
    wanted = "images_background.zip and images_evaluation.zip" if name == "omniglot" else "train-images-idx3-ubyte.gz"
    with refused(name, wanted, "no data folder", "--data-dir or JAXMETA_DATA"):
        datasets.load(name)
    with refused(name, wanted, tmp_path / name, f"or {tmp_path}"):
        datasets.load(name, data_dir=tmp_path)
    monkeypatch.setenv("JAXMETA_DATA", str(tmp_path / "other"))
    with refused(name, tmp_path / "other" / name):
        datasets.load(name)


def test_data_folder_from_the_environment(real_data, monkeypatch, tmp_path, refused):
    monkeypatch.setenv("JAXMETA_DATA", str(real_data))
    assert len(datasets.load("mnist", split="test").inputs) == 10000
    with refused("mnist", tmp_path):
        datasets.load("mnist", split="test", data_dir=tmp_path)


@pytest.mark.parametrize(("name", "split"), [("omniglot", "dev"), ("mnist", "validation"), ("digits", "test")])
def test_unknown_splits(name, split):
    with pytest.raises(ValueError, match=f"split: expected one of None.*got '{split}'") as caught:
        datasets.load(name, split=split)
    assert not isinstance(caught.value, checks.DataError)


def test_own_files_are_split_by_class(tmp_path, class_folders):
    np.savez(tmp_path / "x.npz", inputs=np.arange(40).reshape(20, 2), labels=np.arange(20) // 2)
    parts = [datasets.load(tmp_path / "x.npz", split=split) for split in ("train", "validation", "test")]
    assert [len(part.class_names) for part in parts] == [6, 2, 2]
    assert [part.split for part in parts] == ["train", "validation", "test"]
    assert sorted(name for part in parts for name in part.class_names) == [str(index) for index in range(10)]
    with pytest.raises(ValueError, match="split of insects: expected at least 8 classes to share out, got 3"):
        datasets.load(class_folders, split="train")
    with pytest.raises(ValueError, match="split: expected one of None, train, validation, test"):
        datasets.load(class_folders, split="dev")


def test_other_kinds_of_files(tmp_path, refused):
    for name, hint in (
        ("x.txt", "as csv"),
        ("x.zip", "unpack it"),
        ("x.pkl", "not opened"),
        ("x.npy", "as npz"),
        ("x", ""),
    ):
        (tmp_path / name).write_text("")
        for read in (datasets.load, datasets.load_inputs):
            with refused(name, "got a file", hint):
                read(str(tmp_path / name))


def test_a_path_may_look_like_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    np.savez(tmp_path / "digits" / "x.npz", inputs=np.zeros((2, 2)), labels=np.arange(2))
    assert len(datasets.load("digits").inputs) == 1797
    with pytest.raises(checks.DataError, match="an empty folder"):
        datasets.load("./digits")


@pytest.mark.parametrize("bad", [datasets.Form(0, 1, 1), datasets.Form(1, 1, 2)])
def test_forms_are_checked_before_anything_is_read(bad):
    for read in (datasets.load, datasets.load_inputs):
        with pytest.raises(ValueError, match="form"):
            read("no such file", form=bad)


@pytest.mark.parametrize("module", ["PIL", "sklearn", "scipy", "matplotlib"])
def test_missing_packages(module, class_folders, monkeypatch):
    def find(name, *arguments):
        if name.partition(".")[0] == module:
            raise ModuleNotFoundError(f"No module named {module!r}")
        return importlib.__import__(name, *arguments)

    for loaded in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.setitem(sys.modules, loaded, None)
    monkeypatch.setattr(builtins, "__import__", find)
    source = {"PIL": class_folders, "sklearn": "digits", "scipy": "digits_moved", "matplotlib": "fonts"}[module]
    extra = "plots" if module == "matplotlib" else "data"
    with pytest.raises(ImportError, match=rf"{module}.*pip install 'jaxmeta\[{extra}\]'"):
        datasets.load(source)


def test_import_is_light():
    heavy = {"PIL", "sklearn", "scipy", "matplotlib", "tensorflow_datasets"}
    code = f"import sys, jaxmeta.datasets as _; print(*(set(sys.modules) & {heavy}))"
    root = pathlib.Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == ""
