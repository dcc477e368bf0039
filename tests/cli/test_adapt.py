"""`jaxmeta adapt`: what is kept of it, how it answers, and what it refuses."""

import csv

import numpy as np
import pytest
from PIL import Image

from jaxmeta import cli, recipes, runs

TINY = {"steps": 1, "num_tasks": 2, "validation_tasks": 2, "tasks_per_step": 2, "queries": 2, "hidden": (8,)}
PRESETS = {
    "proto": ("protonet-tabular", {"train_queries": 2, "num_features": 5}),
    "maml": ("maml-tabular", {"ways": 3, "train_ways": 3, "train_queries": 2, "num_features": 5}),
    "table of values": ("maml-tabular-regression", {"num_features": 5}),
    "function": ("maml-regression", {}),
    "diverging": ("maml-tabular", {"ways": 3, "train_ways": 3, "num_features": 5, "inner_steps": 0,
                                   "inner_learning_rate": 1e38}),
    "pictures": ("protonet-strokes", {"num_filters": 4, "train_ways": 3, "train_queries": 2, "picture": (16, 16, 1)}),
}  # fmt: skip
SCALES = {"a": 1, "b": 100, "c": 0.01, "x": 1}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(name) -> a run folder, trained once."""
    folder, made = tmp_path_factory.mktemp("runs"), {}

    def train(name):
        if name not in made:
            preset, changes = PRESETS[name]
            runs.train(recipes.get(preset).replace(**TINY, **changes), folder=folder / name)
            made[name] = str(folder / name)
        return made[name]

    return train


@pytest.fixture(scope="module")
def kept(trained, tmp_path_factory):
    """What --save wrote for two of the runs: {name of a file: bytes}."""
    folder = tmp_path_factory.mktemp("kept")
    words = list(map(str, ["--inputs", folder / "inputs.csv", "--out", folder / "predictions.csv", "--force"]))
    words += ["--support", str(folder / write(folder, "proto")[0])]
    for learner, name in (("proto", "kept"), ("maml", "maml kept")):
        assert cli.main(["adapt", trained(learner), *words, "--save", str(folder / name)]) == 0
    return {name: (folder / name).read_bytes() for name in ("kept", "maml kept")}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXMETA_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("JAXMETA_DATA", raising=False)


def write_table(path, count, target, seed=0, columns="abc", names=("ill", "well", "=1+1")):
    rng = np.random.default_rng(seed)
    lines = []
    for index in range(count):
        numbers = [SCALES[column] * rng.normal(index % 3, 1) for column in columns]
        cells = {"label": names[index % 3], "y": f"{1e4 + numbers[0]:.3f}"}
        lines.append([*(f"{number:.5f}" for number in numbers), cells.get(target, "")])
    path.write_text("\n".join(",".join(line) for line in [[*columns, target], *lines]) + "\n")


def write_pictures(folder, paper, count, rng):
    """Strokes of two classes that are darker than the paper, or brighter."""
    for name, slope in (("rising", 1), ("falling", -1)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            picture = np.full((40, 40), paper, np.uint8)
            for x in range(5, 35):
                y = int(20 + slope * (x - 20) * 0.8 + rng.integers(-1, 2))
                picture[y - 2 : y + 2, x] = 255 - paper
            Image.fromarray(picture).save(folder / name / f"{index}.png")


def write(here, name):
    """Labelled examples, and others, of the kind of a run; returns where they are."""
    if name == "pictures":
        rng = np.random.default_rng(0)
        write_pictures(here / "support", 255, 3, rng)
        write_pictures(here / "inputs", 255, 2, rng)
        write_pictures(here / "inputs" / "inverted", 0, 2, rng)
        return "support", "inputs"
    if name == "function":
        write_table(here / "support.csv", 9, "y", columns="x")
        write_table(here / "inputs.csv", 5, "y", seed=1, columns="x")
    else:
        write_table(here / "support.csv", 24, "y" if "values" in name else "label")
        write_table(here / "inputs.csv", 7, "unknown", seed=1, columns="cba")
    return "support.csv", "inputs.csv"


def told(capsys):
    """The lines on stdout, but for what was read."""
    return [line for line in capsys.readouterr().out.splitlines() if not line.startswith("read ")]


def rows(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "diverging"])
@pytest.mark.product(name=("pictures", "function"))
def test_an_adapted_run_predicts_without_the_labelled_examples(trained, tmp_path, name, capsys):
    support, inputs = write(tmp_path, name)
    words = ["adapt", trained(name), "--inputs", inputs]
    share = [] if "values" in name or name == "function" else ["--none", "0.2"]
    assert cli.main([*words, "--support", support, "--save", "new/kept", *share]) == 0
    first = told(capsys)
    (tmp_path / support).rename(tmp_path / "gone")
    assert cli.main([*words, "--adapted", "new/kept", "--out", "again.csv"]) == 0
    again = told(capsys)
    assert (tmp_path / "predictions.csv").read_bytes() == (tmp_path / "again.csv").read_bytes()
    assert first[0] == "adapted: new/kept"
    assert first[1:-1] == again[:-1]
    assert first[-2].startswith(f"{len(rows('again.csv'))} predicted: ")
    assert first[-1] == "results: predictions.csv"
    assert str(tmp_path).encode() not in (tmp_path / "new" / "kept").read_bytes()
    if share:
        assert first[1].startswith("none of these: what is less probable than 0.")
        assert "known examples are, each left out once" in first[1]


def test_missing_cells_and_categories_are_read_alike(trained, tmp_path, capsys):
    rows = [
        f"{index},{index % 3 if index % 4 else ''},{'red' if index % 2 else 'blue'},{index % 2}" for index in range(12)
    ]
    (tmp_path / "support.csv").write_text("\n".join(["key,size,colour,label", *rows]))
    (tmp_path / "inputs.csv").write_text("colour,more,size\nred,1,2\ngreen,1,\nblue,1,0\n,1,9\n")
    words = ["adapt", trained("proto"), "--inputs", "inputs.csv"]
    given = ["--support", "support.csv", "--columns", "size", "colour"]
    assert cli.main([*words, *given, "--save", "kept", "--none", "0.1"]) == 0
    (tmp_path / "support.csv").unlink()
    assert cli.main([*words, "--adapted", "kept", "--out", "again.csv"]) == 0
    assert (tmp_path / "predictions.csv").read_bytes() == (tmp_path / "again.csv").read_bytes()
    assert cli.main([*words, "--adapted", "kept", "--columns", "size", "--force"]) == 2
    assert "--columns: expected none with --adapted" in capsys.readouterr().err


@pytest.mark.fault(promised="blank rows are counted in the names of the others, and said")
def test_blank_rows_of_inputs_are_told_of(trained, tmp_path, capsys):
    support, inputs = write(tmp_path, "proto")
    lines = (tmp_path / inputs).read_text().splitlines()
    (tmp_path / inputs).write_text("\n".join([*lines[:2], ",,,", *lines[2:], "", ""]))
    assert cli.main(["adapt", trained("proto"), "--inputs", inputs, "--support", support]) == 0
    said = "read inputs.csv, inputs: 7 rows; 1 blank row passed over"
    assert said in capsys.readouterr().out.splitlines()
    assert [row["input"] for row in rows("predictions.csv")] == ["0", *"234567"]


def test_classes_by_their_probability(trained, tmp_path, capsys):
    support, inputs = write(tmp_path, "proto")
    words = ["adapt", trained("proto"), "--inputs", inputs, "--support", support]
    assert cli.main(words) == 0
    assert cli.main([*words, "--top", "4", "--probabilities", "--out", "all.csv"]) == 0  # three, as there are no more
    plain, full = rows("predictions.csv"), rows("all.csv")
    assert list(plain[0]) == ["input", "prediction", "probability"]
    names = ["=1+1", "ill", "well"]  # as they stand in the file: a reader of csv takes them for what they are
    assert list(full[0])[3:] == [
        "prediction_2", "probability_2", "prediction_3", "probability_3", *(f"probability of {name}" for name in names),
    ]  # fmt: skip
    for one, row in zip(plain, full, strict=True):
        assert {name: row[name] for name in one} == one
        ranked = [(row[f"prediction{rank}"], row[f"probability{rank}"]) for rank in ("", "_2", "_3")]
        assert sorted(ranked) == sorted((name, row[f"probability of {name}"]) for name in names)
        assert [each for _, each in ranked] == sorted((each for _, each in ranked), reverse=True)
        assert sum(float(each) for _, each in ranked) == pytest.approx(1, abs=1e-5)
    counts = [sum(row["prediction"] == name for row in plain) for name in names]
    said = told(capsys)[0]
    assert said.startswith("7 predicted: ")
    assert sorted(said.removeprefix("7 predicted: ").split(", ")) == sorted(
        f"{count} {name}" for count, name in zip(counts, names, strict=True) if count
    )


def test_what_is_none_of_these(trained, tmp_path, capsys):
    support, inputs = write(tmp_path, "proto")
    words = ["adapt", trained("proto"), "--inputs", inputs, "--support", support, "--top", "2"]
    assert cli.main(words) == 0
    assert cli.main([*words, "--none", "0.5", "--out", "none.csv"]) == 0
    out = told(capsys)
    threshold = float(out[2].removeprefix("none of these: what is less probable than ").split(",")[0])
    assert "as 12 of 24 known examples are" in out[2]
    plain, found = rows("predictions.csv"), rows("none.csv")
    for one, row in zip(plain, found, strict=True):
        called = "none of these" if float(one["probability"]) < threshold else one["prediction"]
        assert row == one | {"prediction": called}
    count = sum(row["prediction"] == "none of these" for row in found)
    assert 0 < count < 7
    assert f"{count} none of these" in out[3]


def test_the_counts_of_many_classes_are_one_line(trained, tmp_path, capsys):
    names = [f"class\x1b[2J{index}" for index in range(30)]
    lines = [f"{index * 1000},{copy},{name}" for index, name in enumerate(names) for copy in range(2)]
    (tmp_path / "many.csv").write_text("\n".join(["a,b,label", *lines]))
    assert cli.main(["adapt", trained("proto"), "--support", "many.csv", "--inputs", "many.csv"]) == 0
    out = told(capsys)
    assert out[0].startswith("60 predicted: ")
    assert out[0].isprintable()
    assert out[0].count(",") <= 20


@pytest.mark.fault(promised="it is said what of the inputs is not as in the labelled rows")
@pytest.mark.parametrize(
    ("support", "inputs", "said"),
    [
        (
            "sex,age,b,label\nmale,2,3,x\nmale,3,3,x\nfemale,7,8,y\nfemale,8,9,y\n",
            "sex;age;b\nM;2,5;3\nF;;9\n",
            "2 rows; separated by semicolons; decimal commas; 3 cells missing; "
            "column 'sex': 2 cells are 'F', 'M', where labelled rows have 'female', 'male'",
        ),
        ("1,2,3,x\n2,3,3,x\n7,8,8,y\n8,9,9,y\n", "a,b,c\n1,2,3\n", "1 rows; columns by their places"),
    ],
)
def test_inputs_are_told_as_they_were_read(trained, tmp_path, capsys, support, inputs, said):
    (tmp_path / "support.csv").write_text(support)
    (tmp_path / "inputs.csv").write_text(inputs)
    assert cli.main(["adapt", trained("proto"), "--support", "support.csv", "--inputs", "inputs.csv"]) == 0
    assert f"read inputs.csv, inputs: {said}\n" in capsys.readouterr().out


@pytest.mark.fault(promised="it is said how many: no answer suits both classes")
def test_an_example_of_two_classes_is_told(trained, tmp_path, capsys):
    (tmp_path / "both.csv").write_text("a,b,c,label\n1,2,3,x\n1,2,3,y\n7,8,9,y\n")
    (tmp_path / "asked.csv").write_text("a,b,c\n1,2,3\n")
    assert cli.main(["adapt", trained("proto"), "--support", "both.csv", "--inputs", "asked.csv"]) == 0
    assert "1 examples come again in another class" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "words", "code", "message"),
    [
        ("proto", [], 2, "labelled examples as --support, or a file that --save wrote as --adapted, got neither"),
        ("proto", ["--support", "support.csv", "--adapted", "kept"], 2, "as --adapted, got both"),
        ("proto", ["--support", "nowhere.csv"], 1, "nowhere.csv"),
        ("proto", ["--adapted", "nowhere"], 1, "nowhere: expected a file that --save wrote, got no such file"),
        ("proto", ["--adapted", "."], 1, "expected a file that --save wrote, got something else"),
        ("proto", ["--adapted", "support.csv"], 1, "support.csv: expected an adapted run, whole, got another kind of"),
        ("proto", ["--adapted", "cut"], 1, "cut: expected an adapted run, whole, got"),
        ("proto", ["--adapted", "flipped"], 1, "flipped: expected an adapted run, whole, got other bytes"),
        ("maml", ["--adapted", "kept"], 1, "kept: expected maml, got protonet; give the run that was adapted"),
        ("proto", ["--adapted", "kept", "--inner-steps", "3"], 2, "--inner-steps: expected none with --adapted"),
        ("proto", ["--adapted", "kept", "--none", "0.1"], 2, "--none: expected none with --adapted, which is settled"),
        ("proto", ["--adapted", "kept", "--save", "other"], 2, "--save: expected none with --adapted"),
        ("proto", ["--support", "support.csv", "--inner-steps", "3"], 2, "--inner-steps: expected none, for protonet"),
        ("proto", ["--support", "support.csv", "--text-column", "a"], 2, "--text-column: expected none for tables"),
        ("proto", ["--support", "support.csv", "--polarity", "invert"], 2, "--polarity: expected none for tables"),
        ("proto", ["--support", "support.csv", "--top", "0"], 2, "--top: expected a whole number of at least 1"),
        ("proto", ["--support", "support.csv", "--none", "2"], 2, "--none: expected a share of the known examples"),
        ("proto", ["--support", "once.csv", "--none", "0.1"], 1, "the class 'x': expected at least 2 labelled"),
        ("maml", ["--support", "four.csv"], 1, "four.csv: expected at most the 3 classes of the run, got 4"),
        ("proto", ["--support", "support.csv", "--save", "kept"], 2, "got one that exists; choose another --save"),
        ("proto", ["--support", "support.csv", "--save", "./predictions.csv"], 2, "--save: expected another file"),
        ("proto", ["--support", "support.csv", "--save", "support.csv/x"], 1, "support.csv"),
        ("table of values", ["--support", "values.csv", "--top", "2"], 2, "--top: expected a run of classes"),
        ("table of values", ["--support", "values.csv", "--probabilities"], 2, "--probabilities: expected a run"),
        ("table of values", ["--support", "values.csv", "--none", "0.1"], 2, "--none: expected a run of classes"),
        ("diverging", ["--support", "support.csv"], 3, "adaptation: expected finite numbers, got NaN or infinity"),
        ("maml", ["--adapted", "maml kept", "--inputs", "far.csv"], 1, "predictions: expected finite numbers, got NaN"),
    ],
)  # fmt: skip
@pytest.mark.fault(promised="one line and its exit code; nothing is written")
def test_what_is_refused_is_one_line(trained, kept, tmp_path, capsys, name, words, code, message):
    _, inputs = write(tmp_path, "proto")
    write_table(tmp_path / "values.csv", 24, "y")
    for path, content in kept.items():
        (tmp_path / path).write_bytes(content)
    whole = kept["kept"]
    (tmp_path / "cut").write_bytes(whole[:-9])
    (tmp_path / "flipped").write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    (tmp_path / "once.csv").write_text("a,b,c,label\n1,2,3,x\n4,5,6,y\n7,8,9,y\n")
    (tmp_path / "four.csv").write_text("a,b,c,label\n" + "".join(f"{i},2,3,{i % 4}\n" for i in range(8)))
    (tmp_path / "far.csv").write_text("a,b,c\n1,2,3\n1,2,3e38\n")
    capsys.readouterr()
    before = sorted(tmp_path.iterdir())
    assert cli.main(["adapt", trained(name), *([] if "--inputs" in words else ["--inputs", inputs]), *words]) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert len(captured.err.splitlines()) == 1
    assert "results:" not in captured.out
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.fault(promised="one line, even with --force; what is read stays as it is")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "support.csv"], "--out: expected another file than --support, got support.csv"),
        (["--out", "./sub/../inputs.csv"], "--out: expected another file than --inputs"),
        (["--save", "inputs.csv"], "--save: expected another file than --inputs"),
        (["--save", "RUN/meta_params.msgpack"], "--save: expected another file than the run's meta_params.msgpack"),
        (["--sheet", "predictions.csv"], "--sheet: expected another file than --out"),
        (["--inputs", "sub", "--sheet", "sub/sheet.png"], "--sheet: expected a file outside of --inputs"),
    ],
)
def test_nothing_is_written_over_what_is_read(trained, tmp_path, capsys, words, message):
    support, inputs = write(tmp_path, "proto")
    (tmp_path / "sub").mkdir()
    run = trained("proto")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.csv")}
    words = [word.replace("RUN", str(run)) for word in words]
    given = ["adapt", run, "--support", support, "--inputs", inputs, "--force"]
    assert cli.main([*given, *words]) == 2
    assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.csv")} == before


@pytest.mark.fault(promised="one line; the file that was there stays")
def test_a_full_disk_leaves_the_old_file(trained, tmp_path, capsys, full_disk):
    support, inputs = write(tmp_path, "proto")
    words = ["adapt", trained("proto"), "--inputs", inputs, "--support", support, "--save", "kept", "--force"]
    assert cli.main(words) == 0
    before = (tmp_path / "kept").read_bytes()
    with full_disk(len(before) // 2):
        assert cli.main([*words, "--seed", "1"]) == 1
    assert "kept: expected a file that can be written" in capsys.readouterr().err
    assert (tmp_path / "kept").read_bytes() == before


@pytest.mark.fault(promised="values in as many digits as are read as themselves again")
def test_values_are_written_whole(trained, here, tmp_path, capsys):
    rows = np.random.default_rng(0).normal(size=(30, 2))
    lines = [f"{a:.4f},{b:.4f},{1500000 + 3 * a - b:.3f}" for a, b in rows]
    (tmp_path / "support.csv").write_text("\n".join(["a,b,y", *lines]) + "\n")
    (tmp_path / "inputs.csv").write_text("a,b\n0,0\n1,0\n0,1\n-1,1\n2,-2\n")
    run = runs.open(trained("table of values"))
    given = recipes.kind(run.recipe.task).read(
        run.recipe.task, recipes.Own("support.csv", "inputs.csv", None, "as_is", None), 0
    )
    values = run.adapt(given).outputs(given.inputs)[:, 0]
    words = ["--support", "support.csv", "--inputs", "inputs.csv", "--out", "out.csv"]
    assert cli.main(["adapt", trained("table of values"), *words]) == 0
    with open("out.csv", newline="") as stream:
        said = [row["prediction"] for row in csv.DictReader(stream)]
    assert len(set(said)) == 5
    assert not any("e" in text for text in said)
    np.testing.assert_array_equal(np.array(said, np.float32), values)
    low, high = capsys.readouterr().out.partition("5 predicted: from ")[2].split("\n")[0].split(" to ")
    assert float(low) < float(high)
