"""A user's own files as domains of the commands: pictures, tables, tensorflow-datasets, several at once."""

import csv
import json

import numpy as np
import pytest
import readers
from PIL import Image

from jaxmeta import cli, datasets, recipes

TINY = ["--num-tasks", "4", "--validation-tasks", "4", "--queries", "2", "--hidden", "8", "--steps", "2"]


@pytest.fixture(autouse=True, scope="module")
def cache_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXMETA_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("JAXMETA_DATA", raising=False)
        yield


def write_patients(path, count=40, seed=0):
    """Two diagnoses that the first column tells apart; a word column is the target, and no column is called so."""
    rng = np.random.default_rng(seed)
    rows = [f"{'ill' if i % 2 else 'well'},{3 * (i % 2) + rng.normal():.4f},{1000 + rng.normal():.3f},{i}"
            for i in range(count)]  # fmt: skip
    path.write_text("diagnosis,marker,pressure,age\n" + "\n".join(rows) + "\n")
    return path


def write_glyphs(folder, classes, seed=0):
    rng = np.random.default_rng(seed)
    for label in range(classes):
        (folder / f"class {label}").mkdir(parents=True)
        for index in range(5):
            pixels = np.full((10, 12), 255, np.uint8)
            pixels[label % 9, :] = rng.integers(0, 100)
            pixels[:, 0] = 99 * seed
            Image.fromarray(pixels).save(folder / f"class {label}" / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def tables(files):
    """A run that was trained on two csv, which have other numbers of columns."""
    paths = f"{write_patients(files / 'patients.csv')},{files / 'short.csv'}"
    (files / "short.csv").write_text("size,diagnosis\n" + "".join(f"{i},{i % 2}\n" for i in range(40)))
    arguments = ["train", "protonet-tabular", "--domain", paths, "--target-column", "diagnosis"]
    sizes = ["--shots", "2", "--train-queries", "2", "--tasks-per-step", "2", "--num-features", "30"]
    assert cli.main([*arguments, *TINY, *sizes, "--out", str(files / "tables")]) == 0
    return files / "tables"


@pytest.fixture(scope="module")
def pictures(files):
    """A run that was trained on a folder of class folders."""
    folder = write_glyphs(files / "glyphs", 8)
    arguments = ["train", "protonet-strokes", "--domain", str(folder), "--picture", "16", "16", "1"]
    sizes = ["--ways", "2", "--train-ways", "3", "--train-queries", "2", "--num-filters", "4", "--polarity", "ink"]
    sizes += ["--downsampling", "max_pool", "--clip", "0.5", "--schedule", "halving"]
    assert cli.main([*arguments, *TINY, *sizes, "--out", str(files / "pictures")]) == 0
    return files / "pictures"


def rows(folder):
    return json.loads((folder / "results.json").read_text())["rows"]


def test_tables_have_linear_floors(tables):
    methods = ["raw inputs, nearest centroid", "raw inputs, logistic regression", "protonet, untrained", "protonet"]
    assert [row["method"] for row in rows(tables)] == methods
    assert {(row["domain"], row["split"]) for row in rows(tables)} == {("patients.csv,short.csv", "test rows")}
    assert json.loads((tables / "config.json").read_text())["config"]["num_features"] == 30


def test_a_csv_that_was_trained_on_is_tested_on_other_rows(tables, files, tmp_path, capsys):
    again = ["evaluate", str(tables), "--num-tasks", "4", "--out"]
    flags = ["--target-column", "diagnosis"]
    assert cli.main([*again, str(tmp_path / "a"), "--domain", str(files / "patients.csv"), *flags]) == 0
    assert {row["split"] for row in rows(tmp_path / "a")} == {"test rows"}
    other = write_patients(tmp_path / "others.csv", seed=1)
    assert cli.main([*again, str(tmp_path / "b"), "--domain", str(other), "--target-column", "1"]) == 0
    assert {row["split"] for row in rows(tmp_path / "b")} == {"all"}
    assert cli.main([*again, str(tmp_path / "c"), "--domain", "breast_cancer"]) == 0
    assert rows(tmp_path / "c")[1]["joint"]["mean"] > 0.6
    assert cli.main([*again, str(tmp_path / "d"), "--domain", "tabular"]) == 0
    capsys.readouterr()


def test_adapting_to_a_csv_looks_at_the_support_alone(tables, tmp_path, capsys):
    support, inputs = write_patients(tmp_path / "support.csv", 10), write_patients(tmp_path / "inputs.csv", 8, seed=2)
    given = ["adapt", str(tables), "--support", str(support), "--target-column", "diagnosis", "--out"]
    assert cli.main([*given, str(tmp_path / "all.csv"), "--inputs", str(inputs)]) == 0
    # The columns of the second are in another order, and one more: they go by their names.
    cells = [line.split(",") for line in inputs.read_text().splitlines()]
    turned = [["name", *cells[0][::-1]], ["ann", *cells[2][::-1]], ["bob", "1e6", "-1e6", "1e6", "ill"]]
    inputs.write_text("\n".join(map(",".join, turned)) + "\n")
    assert cli.main([*given, str(tmp_path / "one.csv"), "--inputs", str(inputs)]) == 0
    whole, one = (list(csv.DictReader((tmp_path / f"{name}.csv").read_text().splitlines())) for name in ("all", "one"))
    assert len(whole) == 8
    assert {row["prediction"] for row in whole} <= {"ill", "well"}
    assert (one[0]["prediction"], one[0]["probability"]) == (whole[1]["prediction"], whole[1]["probability"])
    inputs.write_text("diagnosis,marker,age\nill,1,2\n")
    assert cli.main([*given, str(tmp_path / "none.csv"), "--inputs", str(inputs)]) == 1
    assert "inputs.csv: expected one column 'pressure', as in the labelled examples" in capsys.readouterr().err
    assert not (tmp_path / "none.csv").exists()


@pytest.mark.fault(promised="class names are text; none is executed or drawn as HTML")
def test_class_names_are_text_and_nothing_else(tables, tmp_path, capsys):
    names = ["../../up", "<script>alert(1)</script>", "a,b"]
    lines = [f'"{name}",{index},{number}' for number, name in enumerate(names) for index in range(3)]
    (tmp_path / "odd.csv").write_text("class,a,b\n" + "\n".join(lines) + "\n")
    odd, before = str(tmp_path / "odd.csv"), sorted(tmp_path.parent.rglob("*"))
    out = tmp_path / "p.csv"
    assert cli.main(["adapt", str(tables), "--support", odd, "--inputs", odd, "--out", str(out)]) == 0
    predicted = {row["prediction"] for row in csv.DictReader(out.read_text().splitlines())}
    assert predicted
    assert predicted <= set(names)
    assert sorted(tmp_path.parent.rglob("*")) == sorted([*before, out])
    capsys.readouterr()


def test_values_of_a_csv(tmp_path, capsys):
    rng = np.random.default_rng(0)
    x = rng.normal(5, 100, (80, 3))
    values = 1e4 + x @ [5, 0, -3]
    text = "".join(f"{a},{b},{c},{value}\n" for (a, b, c), value in zip(x, values, strict=True))
    (tmp_path / "houses.csv").write_text(f"a,b,c,price\n{text}")
    run = ["train", "maml-tabular-regression", "--domain", str(tmp_path / "houses.csv"), "--target-column", "price"]
    sizes = ["--shots", "10", "--train-queries", "5", "--tasks-per-step", "2", "--out", str(tmp_path / "run")]
    assert cli.main([*run, *TINY, *sizes]) == 0
    methods = ["raw inputs, nearest neighbour", "raw inputs, ridge regression", "maml, untrained", "maml"]
    assert [row["method"] for row in rows(tmp_path / "run")] == methods
    assert {row["split"] for row in rows(tmp_path / "run")} == {"test rows"}
    assert rows(tmp_path / "run")[1]["joint"]["mean"] < 0.1
    given = ["--support", str(tmp_path / "houses.csv"), "--inputs", str(tmp_path / "houses.csv")]
    out = tmp_path / "p.csv"
    assert cli.main(["adapt", str(tmp_path / "run"), *given, "--target-column", "price", "--out", str(out)]) == 0
    predicted = np.array([float(row["prediction"]) for row in csv.DictReader(out.read_text().splitlines())])
    assert abs(predicted.mean() - values.mean()) < values.std()  # in the units of the file
    assert cli.main(["evaluate", str(tmp_path / "run"), "--domain", "diabetes"]) == 2
    assert "at most 3 columns, got 10; train with more --num-features" in capsys.readouterr().err


def test_pictures_of_a_person(pictures, files, tmp_path, capsys):
    assert {(row["domain"], row["split"]) for row in rows(pictures)} == {("glyphs", "test")}
    again = ["evaluate", str(pictures), "--num-tasks", "4", "--out"]
    assert cli.main([*again, str(tmp_path / "a"), "--domain", str(files / "glyphs")]) == 0
    assert {row["split"] for row in rows(tmp_path / "a")} == {"test"}
    few = write_glyphs(tmp_path / "few", 3, seed=1)
    assert cli.main([*again, str(tmp_path / "b"), "--domain", str(few), "--ways", "3"]) == 0
    assert {row["split"] for row in rows(tmp_path / "b")} == {"all"}
    table = ["--domain", str(write_patients(tmp_path / "p.csv")), "--target-column", "diagnosis"]
    assert cli.main([*again, str(tmp_path / "c"), *table]) == 2
    assert "--domain: expected pictures, as the network takes, got the table 'p.csv'" in capsys.readouterr().err


def test_a_prepared_set_of_tensorflow_datasets(pictures, tmp_path, capsys):
    pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("array_record")
    (tmp_path / "sets").mkdir()
    readers.READERS["tensorflow-datasets"].make(tmp_path / "sets")
    data = ["--data-dir", str(tmp_path / "sets")]
    out = ["--num-tasks", "4", "--ways", "3", "--shots", "1", "--queries", "1", "--out", str(tmp_path / "e")]
    assert cli.main(["evaluate", str(pictures), "--domain", "tfds:jaxmeta_readers", *data, *out]) == 0
    assert {(row["domain"], row["split"]) for row in rows(tmp_path / "e")} == {("tfds:jaxmeta_readers", "all")}
    given = ["--support", "tfds:jaxmeta_readers", "--inputs", "tfds:jaxmeta_readers", "--out", str(tmp_path / "p.csv")]
    assert cli.main(["adapt", str(pictures), *given, *data]) == 0
    named = [row["input"] for row in csv.DictReader((tmp_path / "p.csv").read_text().splitlines())]
    assert named == [f"{label}/{index}" for label in ("ant", "bee", "cat") for index in range(2)]
    capsys.readouterr()
    assert cli.main(["domains", *data]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("tfds:jaxmeta_readers")]
    assert line.split() == ["tfds:jaxmeta_readers", "tfds", "3", "6", "found"]


def test_domains_by_field(data_dir, capsys):
    assert cli.main(["domains", "--data-dir", str(data_dir)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    at = {words[0]: words for words in lines}
    assert {"tabular", "strokes", *datasets.names(), *datasets.suggested()} <= set(at)
    assert at["omniglot"] == ["omniglot", "glyph", "1,623", "32,460", "found"]
    assert at["mini_imagenet"][-2:] == ["not", "found"]
    assert at["diabetes"][1:3] == ["medical", "a"]
    assert {about.field for about in datasets.suggested().values()} >= {
        "glyph", "natural", "remote sensing", "medical", "plants", "text",
    }  # fmt: skip
    order = [datasets.names()[words[0]].field for words in lines if words[0] in datasets.names()]
    assert order == sorted(order, key=datasets.FIELDS.index)


def test_suggested_sets_are_known_to_tensorflow_datasets():
    library = pytest.importorskip("tensorflow_datasets")
    known = library.list_builders(with_community_datasets=False)
    assert {name.removeprefix("tfds:").partition("/")[0] for name in datasets.suggested()} <= set(known)


@pytest.mark.parametrize(
    ("domain", "flags", "code", "message"),
    [
        ("{}/patients.csv", ["--target-column", "weight"], 1, "patients.csv: expected a target column 'weight'"),
        (
            "{}/patients.csv",
            ["--target-column", "age"],
            2,
            "train: few_shot: num_shots + num_queries: expected at most 1",
        ),
        ("{}/none.csv", [], 1, "none.csv"),
        ("digits", ["--target-column", "age"], 2, "--target-column: expected a csv"),
        ("tabular,strokes", [], 2, "--domain: expected domains of one kind, got 'tabular' of tables, 'strokes' of pi"),
        ("digits", ["--num-features", "4"], 2, "expected a table, since the network takes 4 columns, got the pictures"),
        ("tfds:no_such_set", [], 2, "tfds:no_such_set"),
        ("tabular,", [], 2, "domain"),
        ("breast_cancer", [], 2, "a domain with train classes"),
        (
            "{}/few.csv",
            [],
            2,
            "few.csv, train rows: few_shot: num_shots + num_queries: expected at most 2, the examples",
        ),
        ("{}/text.csv", [], 1, "text.csv, row 3, column 2 (b): expected a finite number, got 'high'"),
        ("{}/ragged.csv", [], 1, "ragged.csv, row 2: expected 3 columns, got 2"),
    ],
)
@pytest.mark.fault(promised="one line and its exit code; nothing is written")
def test_bad_domains_are_one_line(files, tmp_path, monkeypatch, capsys, domain, flags, code, message):
    write_patients(files / "patients.csv")
    (files / "few.csv").write_text("1,x\n2,y\n3,x\n4,y\n")
    (files / "text.csv").write_text("a,b,label\n1,2,x\n3,high,y\n")
    (files / "ragged.csv").write_text("a,b,label\n1,x\n")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "protonet-tabular", "--domain", domain.format(files), *flags]) == code
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_names_hold_no_directory(tmp_path):
    assert recipes.short(f"strokes,{tmp_path}/a.csv,tfds:eurosat/rgb") == "strokes,a.csv,tfds:eurosat/rgb"
    (tmp_path / "a,b").mkdir()
    assert recipes.parts(str(tmp_path / "a,b")) == (str(tmp_path / "a,b"),)
    assert recipes.is_builtin("strokes, fonts")
    assert not recipes.is_builtin(f"strokes,{tmp_path}")
