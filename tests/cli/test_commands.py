import csv
import importlib.util
import json
import os
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import cli, datasets, memory, recipes, runs
from jaxmeta.runs import training

TINY = ["--num-tasks", "4", "--validation-tasks", "4", "--queries", "3"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    tiny = [*TINY, "--num-filters", "4", "--train-ways", "5", "--steps", "4"]
    assert cli.main(["train", "protonet-strokes", *tiny, "--out", str(folder / "proto")]) == 0
    tiny += ["--tasks-per-step", "2"]
    assert cli.main(["train", "maml-strokes", *tiny, "--out", str(folder / "maml")]) == 0
    return folder


def test_a_run_folder(trained):
    results = json.loads((trained / "maml" / "results.json").read_text())
    assert [row["method"] for row in results["rows"]] == ["raw inputs, nearest centroid", "maml, untrained", "maml"]
    for row in results["rows"]:
        assert len(row["joint"]["per_task"]) == len(row["single"]["per_task"]) == row["num_tasks"] == 4
        np.testing.assert_allclose(row["joint"]["mean"], row["single"]["mean"], atol=1e-6)
    assert set(results) == {"schema", "seed", "versions", "device", "processor", "data", "read", "rows", "training"}
    lines = [json.loads(line) for line in (trained / "maml" / "metrics.jsonl").read_text().splitlines()]
    assert {line["split"] for line in lines} == {"train", "validation"}
    everything = "".join(path.read_text() for path in (trained / "maml").glob("*.json*"))
    assert str(trained) not in everything


@pytest.mark.fault(promised="one line and exit code 2; what is there stays")
def test_a_full_folder_is_refused(trained, capsys):
    assert cli.main(["train", "maml-strokes", "--out", str(trained / "maml")]) == 2
    assert "--force" in capsys.readouterr().err


def test_evaluate_elsewhere(trained, capsys):
    arguments = ["evaluate", str(trained / "proto"), "--domain", "digits", "--ways", "10", "--num-tasks", "4"]
    assert cli.main([*arguments, "--queries", "3"]) == 0
    out = capsys.readouterr().out
    assert "digits" in out
    assert "10-way 1-shot" in out
    assert out.splitlines()[-1].startswith("results: ")


def write_pictures(folder, split, count, rng):
    from PIL import Image

    for name, slope in (("rising", 1), ("falling", -1)):
        for index in range(count):
            picture = np.full((40, 40), 255, np.uint8)
            for x in range(5, 35):
                y = int(20 + slope * (x - 20) * 0.8 + rng.integers(-1, 2))
                picture[y - 2 : y + 2, x] = 0
            target = folder / split / (name if split == "support" else ".")
            target.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(target / f"{name}{index}.png")


@pytest.mark.parametrize("learner", ["proto", "maml"])
def test_adapt_to_a_persons_pictures(trained, tmp_path, learner, monkeypatch, full_disk, capsys):
    monkeypatch.setenv("JAXMETA_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    write_pictures(tmp_path, "support", 3, rng)
    write_pictures(tmp_path, "inputs", 4, rng)
    out = tmp_path / "predictions.csv"
    arguments = ["adapt", str(trained / learner), "--support", str(tmp_path / "support"), "--out", str(out)]
    assert cli.main([*arguments, "--inputs", str(tmp_path / "inputs")]) == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert len(rows) == 8
    assert set(rows[0]) == {"input", "prediction", "probability"}
    assert {row["prediction"] for row in rows} <= {"rising", "falling"}
    if learner == "proto":
        assert all(row["input"].startswith(row["prediction"]) for row in rows)
    again = [*arguments, "--inputs", str(tmp_path / "inputs")]
    assert cli.main(again) == 2  # the file exists
    if learner == "proto":
        written = out.read_bytes()
        with full_disk(len(written) // 2):
            assert cli.main([*again, "--force"]) == 1
        assert "predictions.csv: expected a file that can be written" in capsys.readouterr().err
        assert out.read_bytes() == written


@pytest.mark.long
def test_regression_from_a_file_of_tasks(tmp_path, capsys):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (20, 30, 2)).astype(np.float32)
    y = (x @ rng.normal(size=(20, 2, 1))).astype(np.float32)
    np.savez(tmp_path / "tasks.npz", inputs=x, targets=y)
    run = tmp_path / "run"
    arguments = [
        "train",
        "maml-regression",
        "--domain",
        str(tmp_path / "tasks.npz"),
        "--steps",
        "4",
        "--num-tasks",
        "4",
    ]
    assert cli.main([*arguments, "--validation-tasks", "4", "--queries", "10", "--out", str(run)]) == 0
    (tmp_path / "support.csv").write_text("a,b,y\n0,1,2\n1,0,3\n1,1,5\n")
    (tmp_path / "inputs.csv").write_text("a,b\n0,0\n1,2\n")
    out = tmp_path / "p.csv"
    given = ["--support", str(tmp_path / "support.csv"), "--inputs", str(tmp_path / "inputs.csv"), "--out", str(out)]
    assert cli.main(["adapt", str(run), *given]) == 0
    assert len(list(csv.DictReader(out.read_text().splitlines()))) == 2
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train"], 2, "preset: expected one of maml-regression"),
        (["train", "nonsense"], 2, "expected one of maml-regression"),
        (["train", "maml-strokes", "--nonsense", "3"], 2, "--nonsense"),
        (["train", "maml-strokes", "--steps", "many"], 2, "many"),
        (["train", "maml-strokes", "--ways", "1"], 2, "--ways: expected"),
        (["train", "maml-strokes", "--norm", "batches"], 2, "batches"),
        (["train", "maml-strokes", "--learning-rate", "-1"], 2, "positive"),
        (["train", "maml-omniglot-5w1s", "--data-dir", "/nowhere"], 1, "/nowhere"),
        (["train", "maml-strokes", "--train-ways", "4"], 2, "--train-ways"),
        (["train", "maml-strokes", "--resume", "/nowhere"], 2, "maml-strokes"),
        (["train", "maml-strokes", "--seed", "4294967296"], 2, "a seed has 32 bits"),
        (["transfer", "--seed", "4294967296"], 2, "a seed has 32 bits"),
        (["audit", "nowhere:mine", "--seed", "4294967296"], 2, "a seed has 32 bits"),
        (["train", "--resume", "/nowhere"], 1, "/nowhere"),
        (["evaluate", "/nowhere"], 1, "/nowhere"),
        (["nonsense"], 2, "one of train"),
    ],
)
@pytest.mark.fault(promised="one line and its exit code; nothing is written")
def test_bad_input_is_one_line(arguments, code, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == code
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("extra", "code", "message"),
    [
        (["--domain", "digits", "--ways", "11"], 2, "the 10 classes"),
        (["--domain", "digits", "--shots", "170", "--queries", "15"], 2, "170 + 15"),
        (["--domain", "sinusoid"], 2, "--domain"),
    ],
)
@pytest.mark.fault(promised="one line and its exit code")
def test_what_evaluate_refuses(trained, extra, code, message, capsys):
    assert cli.main(["evaluate", str(trained / "proto"), *extra, "--force"]) == code
    assert message in capsys.readouterr().err


@pytest.mark.fault(promised="one line and its exit code")
def test_a_strangers_run_folder(trained, tmp_path, capsys):
    config = json.loads((trained / "proto" / "config.json").read_text())
    for name, value in {"num_filters": 5, "learner": "os.system", "hidden": "x", "unknown": 1}.items():
        folder = tmp_path / name
        folder.mkdir()
        content = dict(config, config={**config["config"], name: value})
        (folder / "config.json").write_text(json.dumps(content))
        (folder / "meta_params.msgpack").write_bytes((trained / "proto" / "meta_params.msgpack").read_bytes())
        assert cli.main(["evaluate", str(folder)]) == 1
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "meta_params.msgpack").write_bytes(b"junk")
    assert cli.main(["evaluate", str(folder)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden", []), ("hidden", [40] * 1000), ("hidden", [True]), ("picture", [28, 28]),
        ("picture", [28, 28, 1, "ink"]), ("steps", 10**30), ("inner_steps_test", 2**40), ("seed", 2**63),
        ("learning_rate", 10**400), ("clip", float("nan")), ("domain", "/etc/hostname.npz"), ("out", "/tmp"),
        ("ways", None), ("norm", "é\x1b[2J"),
    ],
)  # fmt: skip
def test_a_strangers_numbers(tmp_path, capsys, name, value):
    recorded = training.recorded(recipes.get("protonet-strokes")) | {name: value}
    content = {"schema": 1, "preset": "protonet-strokes", "config": recorded}
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert cli.main(["evaluate", str(tmp_path)]) == (2 if name == "domain" else 1)
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert err.strip().isprintable()
    assert ("--domain" if name == "domain" else "config.json") in err


@pytest.mark.parametrize(
    "extra",
    [["--num-tasks"], ["--queries"], ["--shots"], ["--ways", "--shots", "--queries", "--num-tasks"], ["--domain"]],
)
@pytest.mark.fault(promised="one line before the memory is asked for")
def test_what_no_memory_holds_is_not_asked_for(trained, extra, tmp_path, capsys):
    if extra == ["--domain"]:  # a stranger's network
        config = json.loads((trained / "proto" / "config.json").read_text())
        config["config"]["num_filters"] = 65_536
        (tmp_path / "config.json").write_text(json.dumps(config))
        (tmp_path / "meta_params.msgpack").touch()
        command = ["evaluate", str(tmp_path), "--num-tasks", "2"]
    else:
        command = ["evaluate", str(trained / "proto"), *(word for name in extra for word in (name, "2000000000"))]
    assert cli.main([*command, "--out", str(tmp_path / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "bytes of memory that there are, got " in line
    assert not (tmp_path / "out").exists()


def test_memory_that_a_device_refuses_is_one_line_with_what_to_do(trained, tmp_path, monkeypatch, capsys):
    def full(self, *given, **options):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 13.93GiB")

    monkeypatch.setattr(runs.Run, "rows", full)
    monkeypatch.setattr(runs.Run, "score", full)
    assert cli.main(["evaluate", str(trained / "proto"), "--out", str(tmp_path / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("allocate 13.93GiB; a smaller --tasks-per-chunk asks for less at once")


def test_a_program_is_weighed_before_it_runs(monkeypatch):
    square = jax.jit(lambda x: jnp.sort(jnp.outer(x, x).ravel()).sum())
    assert memory.checked("it", square, jnp.ones(500)) == 500**2
    monkeypatch.setattr(memory, "available", lambda: 900_000)
    with pytest.raises(MemoryError, match="it: expected at most the 900,000 bytes"):
        memory.checked("it", square, jnp.ones(500))


def test_evaluate_refuses_a_place_before_it_loads(trained, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    arguments = ["evaluate", str(trained / "proto"), "--domain", str(tmp_path / "nowhere.npz")]
    assert cli.main([*arguments, "--out", str(tmp_path / "out")]) == 2
    assert "out: expected an empty folder" in capsys.readouterr().err


@pytest.mark.fault(promised="one line, even with --force; the run's own results stay")
def test_evaluate_writes_over_no_results_of_a_training(trained, tmp_path, capsys):
    before = (trained / "maml" / "results.json").read_bytes()
    (tmp_path / "link").symlink_to(trained / "maml")
    for run in ("proto", "maml"):
        for out in (trained / "maml", tmp_path / "link"):
            assert cli.main(["evaluate", str(trained / run), "--out", str(out), "--force"]) == 2
            assert f"--out: expected a folder that holds no run, got {out}; its results" in capsys.readouterr().err
    assert cli.main(["transfer", "--runs", str(trained / "maml"), "--out", str(tmp_path / "link"), "--force"]) == 2
    assert "--out: expected another folder than those of --runs" in capsys.readouterr().err
    assert (trained / "maml" / "results.json").read_bytes() == before


@pytest.mark.fault(promised="one line that names the file: an empty list is no list that is missing")
def test_a_list_of_no_classes(trained, tmp_path, capsys):
    path = tmp_path / "classes.txt"
    path.write_text("\n \n")
    given = ["--test-classes", str(path), "--out", str(tmp_path / "out")]
    for command in (["train", "protonet-strokes"], ["evaluate", str(trained / "proto")]):
        assert cli.main([*command, *given]) == 1
        assert "classes.txt: expected the name of a class in each line, got none" in capsys.readouterr().err


def test_evaluate_writes_through_no_link(trained, tmp_path, capsys):
    shutil.copytree(trained / "proto", tmp_path / "run", ignore=shutil.ignore_patterns("evaluation"))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run" / "evaluation").symlink_to(tmp_path / "elsewhere")
    assert cli.main(["evaluate", str(tmp_path / "run"), "--force"]) == 1
    assert "evaluation: expected a plain file or folder, got a link" in capsys.readouterr().err
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_predictions_of_names_that_are_no_utf8(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXMETA_CACHE", str(tmp_path / "cache"))
    write_pictures(tmp_path, "support", 3, np.random.default_rng(0))
    shutil.copytree(tmp_path / "support" / "rising", tmp_path / "inputs")
    (tmp_path / "inputs" / "rising0.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/inputs/\xff.png"))
    arguments = ["adapt", str(trained / "proto"), "--support", str(tmp_path / "support"), "--inputs"]
    assert cli.main([*arguments, str(tmp_path / "inputs"), "--out", str(tmp_path / "p.csv")]) == 0
    rows = list(csv.DictReader((tmp_path / "p.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["input"] for row in rows] == ["rising1.png", "rising2.png", "\\udcff.png"]


@pytest.mark.fault(promised="one line and its exit code")
def test_adapt_names_the_corrupt_picture(trained, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("JAXMETA_CACHE", str(tmp_path / "cache"))
    write_pictures(tmp_path, "support", 3, np.random.default_rng(0))
    (tmp_path / "support" / "rising" / "rising1.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    arguments = [
        "adapt",
        str(trained / "proto"),
        "--support",
        str(tmp_path / "support"),
        "--out",
        str(tmp_path / "p.csv"),
    ]
    assert cli.main([*arguments, "--inputs", str(tmp_path / "support")]) == 1
    assert "rising1.png" in capsys.readouterr().err
    assert not (tmp_path / "p.csv").exists()


def test_domains(capsys):
    assert cli.main(["domains"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in datasets.names())


@pytest.mark.fault(promised="one line and its exit code")
def test_without_the_extra_the_line_that_installs_it(monkeypatch, capsys):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tyro" else find_spec(name))
    assert cli.main(["train"]) == 2
    assert "pip install 'jaxmeta[cli,data]'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["domains"], ["train", "--help"]])
@pytest.mark.fault(promised="one line and its exit code")
def test_a_reader_that_has_gone(arguments):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "jaxmeta.cli", *arguments]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")
