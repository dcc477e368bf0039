import csv
import json
import shutil

import numpy as np
import pytest

from jaxmeta import cli, recipes, transfer
from jaxmeta.transfer import kept, meetings, trained

TINY = [
    "--picture", "8", "8", "1", "--num-filters", "4", "--effort", "0.002", "--num-tasks", "4", "--tune-tasks", "2",
    "--fine-tune-steps", "2", "--shots", "1", "--queries", "3",
]  # fmt: skip
MATRIX = ["--sources", "strokes", "--targets", "digits", "fonts", "--learners", "protonet", "fine_tune", "from_scratch"]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("transfer") / "out"
    assert cli.main(["transfer", *MATRIX, *TINY, "--out", str(out)]) == 0
    return out


def test_what_a_transfer_writes(done):
    content = json.loads((done / "results.json").read_text())
    rows = content["rows"]
    assert [(row["method"], row["family"]) for row in rows[:5]] == [
        ("raw inputs, nearest centroid", "floor"), ("protonet, untrained", "floor"), ("protonet", "learner"),
        ("fine_tune", "baseline"), ("from_scratch", "baseline"),
    ]  # fmt: skip
    assert [row["domain"] for row in rows] == ["digits"] * 5 + ["fonts"] * 5
    for row in rows:
        assert len(row["single"]["per_task"]) == len(row["joint"]["per_task"]) == 4
        assert row["source"] == "strokes"
        assert row["chance"] == 0.2
        assert row["distance_untrained"] > 0
        assert row["distance_trained"] is not None
    assert {row["inner_learning_rate"] for row in rows if row["method"] == "fine_tune"} <= {
        0.001,
        0.003,
        0.01,
        0.03,
        0.1,
    }
    assert {row["inner_steps_test"] for row in rows if row["method"] == "fine_tune"} == {2}
    assert {entry["second"] for entry in content["comparisons"]} == {"fine_tune", "from_scratch"}
    assert len(list(csv.DictReader((done / "results.csv").read_text().splitlines()))) == len(rows)
    assert (done / "results.md").read_text().startswith("### From strokes, 1-shot")
    written = "".join(path.read_text() for path in done.rglob("*.json*"))
    assert str(done.parent) not in written


@pytest.mark.fault(promised="the line that resumes; the same table")
@pytest.mark.long
def test_an_interrupted_transfer_resumes_to_the_same_table(done, tmp_path, capsys, monkeypatch):
    command = ["transfer", *MATRIX, *TINY, "--out", str(tmp_path / "again")]
    whole, calls = meetings._cell, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(meetings, "_cell", interrupted)
    assert cli.main(command) == 130
    assert cli.main(command) == 2
    assert "--resume" in capsys.readouterr().err
    calls.clear()
    calls += [()] * 6
    assert cli.main([*command, "--resume"]) == 0
    assert len(calls) == 6 + 3
    first, again = (json.loads((folder / "results.json").read_text()) for folder in (done, tmp_path / "again"))
    assert first == again
    assert (done / "results.md").read_text() == (tmp_path / "again" / "results.md").read_text()
    assert cli.main([*command, "--resume", "--seed", "1"]) == 2
    assert "seed" in capsys.readouterr().err


def changed(row, name, value):
    place, _, part = name.partition(".")
    return row | {place: row[place] | {part: value} if part else value}


@pytest.mark.fault(promised="one line that names the file")
def test_a_strangers_cells_are_not_trusted(done, tmp_path, refused):
    (path,) = (done / "cells").glob("strokes--digits--1-shot--protonet--*.json")
    written = json.loads(path.read_text())
    names = ("source", "domain", "shots", "method", "family")
    facts = {name: written[1][name] for name in names}
    assert kept.rows(path, facts, 4) == written
    wrong = [b"", b"{", b"[]", b"null", b"{}", b"[1]", b"[" * 100_000, b"\xff", b" " * 1000 + b"9" * 5000]
    for name, value in (
        ("source", "digits"), ("method", "maml"), ("method", []), ("family", "baseline"), ("family", None),
        ("ways", "5"), ("ways", None),
        ("distance_trained", "far"), ("distance_trained", float("nan")), ("chance", None), ("num_tasks", 10**400),
        ("checksums", None), ("checksums", {"a": {}}), ("single", None), ("single", 1), ("single.mean", None),
        ("single.per_task", [1.0]), ("joint.per_task", ["a"] * 4), ("joint.high", float("inf")), ("other", {}),
    ):  # fmt: skip
        wrong.append(json.dumps([changed(written[1], name, value)]).encode())
    copy = tmp_path / "cell.json"
    for content in wrong:
        copy.write_bytes(content)
        with refused(copy):
            kept.rows(copy, facts, 4)
    with copy.open("wb") as stream:
        stream.truncate(10**12)
    with refused(copy, "more than 100,000,000 bytes"):
        kept.rows(copy, facts, 4)
    copy.unlink()
    copy.symlink_to(path)
    with refused(copy, "a link"):
        kept.rows(copy, facts, 4)
    copy.unlink()
    for content in ("{}", "[]", '{"chosen": 1e9}', '{"chosen": [0.01]}'):
        copy.write_text(content)
        with refused(copy, "a rate"):
            trained._rate(transfer.setting(transfer.Plan(), None), recipes.Recipe(), {}, copy)


@pytest.mark.fault(promised="one line that names the file")
def test_a_damaged_transfer_is_one_line(done, tmp_path, capsys):
    shutil.copytree(done, tmp_path / "out")
    command = ["transfer", *MATRIX, *TINY, "--out", str(tmp_path / "out"), "--resume"]
    config, cell = tmp_path / "out" / "config.json", next((tmp_path / "out" / "cells").iterdir())
    whole = config.read_bytes()
    for content in (b"", b"[]", b'{"config": 1}', b"[" * 50_000, b" " * 200_000):
        config.write_bytes(content)
        assert cli.main(command) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert str(config) in line
    config.write_bytes(whole)
    cell.write_text("[{}]")
    assert cli.main(command) == 1
    assert str(cell) in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("source", ["digits", "mnist", "sinusoid", "breast_cancer", "strokes,digits"])
@pytest.mark.fault(promised="one line and exit code 2; nothing is written")
def test_a_source_that_cannot_be_trained_on_is_refused_at_once(source, tmp_path, capsys):
    assert cli.main(["transfer", "--sources", source, "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("jaxmeta: --sources: expected domains with training classes: strokes, omniglot")
    assert repr(source.rpartition(",")[2]) in line
    assert not (tmp_path / "out").exists()


@pytest.mark.fault(promised="the failed cell is told, the others go on")
def test_a_failed_cell_is_told_and_the_others_go_on(done, tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / "torn" / name).mkdir(parents=True)
        (tmp_path / "torn" / name / "0.png").write_bytes(b"torn")
    targets = ["--targets", str(tmp_path / "torn"), "digits"]
    command = ["transfer", *MATRIX[:2], *targets, "--learners", "from_scratch", *TINY, "--out", str(tmp_path / "out")]
    assert cli.main(command) == 1
    out, err = capsys.readouterr()
    assert "failed: strokes to torn, 1-shot, from_scratch: DataError" in err
    assert "| from_scratch | failed |" in out
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    assert [row["domain"] for row in rows if row["single"]] == ["digits", "digits"]


@pytest.mark.fault(promised="one line and exit code 2; nothing is written")
def test_domains_of_two_kinds_are_refused(tmp_path, capsys):
    command = ["transfer", *MATRIX[:2], "--targets", "digits", "breast_cancer", "--out", str(tmp_path / "out")]
    assert cli.main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--sources and --targets: expected domains of one kind, got 'strokes' of pictures" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_a_target_gives_what_it_has(done, tmp_path):
    pictures = np.random.default_rng(0).integers(0, 255, (14, 8, 8, 1), np.uint8)
    np.savez(tmp_path / "few.npz", images=pictures, labels=np.repeat([0, 1, 2], [4, 5, 5]))
    command = ["transfer", *MATRIX[:2], "--targets", str(tmp_path / "few.npz"), "--learners", "from_scratch", *TINY]
    assert cli.main([*command, "--shots", "2", "4", "--out", str(tmp_path / "out")]) == 0
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    found = [(row["shots"], row["ways"], row.get("queries"), row.get("note")) for row in content["rows"]]
    assert found[::2] == [(2, 3, 2, None), (4, 3, None, "not possible: 4 examples a class")]
    assert str(tmp_path) not in (tmp_path / "out" / "results.json").read_text()
    assert content["rows"][0]["chance"] == pytest.approx(1 / 3)


@pytest.mark.long
def test_runs_of_train_take_part(done, tmp_path, capsys):
    """Each with a row of its own, and none of the preset's own methods, which nobody asked for."""
    tiny = ["--num-tasks", "4", "--validation-tasks", "4", "--queries", "3", "--num-filters", "4", "--steps", "4"]
    tiny += ["--picture", "8", "8", "1", "--train-ways", "5"]
    for seed in ("0", "7"):
        run = ["train", "protonet-strokes", *tiny, "--seed", seed, "--out", str(tmp_path / f"r{seed}")]
        assert cli.main(run) == 0
    capsys.readouterr()
    command = ["transfer", "--targets", "digits", "--runs", str(tmp_path / "r0"), str(tmp_path / "r7"), *TINY]
    assert cli.main([*command, "--out", str(tmp_path / "out")]) == 0
    assert "0 trainings a source, 2 cells" in capsys.readouterr().err
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    assert [row["method"] for row in rows] == [
        "raw inputs, nearest centroid", "protonet, r0, untrained", "protonet, r0", "protonet, r7, untrained",
        "protonet, r7",
    ]  # fmt: skip
    assert rows[2]["single"]["per_task"] != rows[4]["single"]["per_task"]
    assert not list((tmp_path / "out" / "trained").iterdir())
    assert cli.main([*command, "--picture", "10", "10", "1", "--out", str(tmp_path / "other")]) == 1
    beside = ["--sources", "strokes", "--learners", "protonet"]
    assert cli.main([*command, *beside, "--out", str(tmp_path / "beside")]) == 0
    found = json.loads((tmp_path / "beside" / "results.json").read_text())["rows"]
    assert [row["method"] for row in found if row["family"] == "learner"] == [
        "protonet",
        "protonet, r0",
        "protonet, r7",
    ]
    for row in rows:
        assert next(other for other in found if other["method"] == row["method"])["single"] == row["single"]


@pytest.mark.long
def test_targets_of_one_name_are_two(tmp_path):
    """Cells are kept by what they are, not by the names of files."""
    for name, seed in (("A", 0), ("B", 1)):
        (tmp_path / name).mkdir()
        pictures = np.random.default_rng(seed).integers(0, 255, (30, 8, 8, 1), np.uint8)
        np.savez(tmp_path / name / "cells.npz", images=pictures, labels=np.repeat(np.arange(3), 10))
    targets = [str(tmp_path / name / "cells.npz") for name in ("A", "B")]
    command = ["transfer", *MATRIX[:2], "--targets", *targets, "--learners", "from_scratch", *TINY]
    command += ["--out", str(tmp_path / "out")]
    assert cli.main(command) == 0
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    assert [row["domain"] for row in rows] == ["cells.npz"] * 2 + ["cells.npz (2)"] * 2
    assert rows[0]["single"]["per_task"] != rows[2]["single"]["per_task"]
    shutil.copy(targets[0], targets[1])  # other data under the old name are another cell
    assert cli.main([*command, "--resume"]) == 0
    again = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    assert again[2]["single"] == again[0]["single"] == rows[0]["single"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--ways", "1"], "--ways"), (["--shots", "0"], "--shots"), (["--queries", "0"], "--queries"),
        (["--num-tasks", "1"], "--num-tasks"), (["--effort", "0"], "--effort"), (["--targets"], "--targets"),
        (["--targets", "digits,fonts"], "--targets"), (["--sources"], "--sources"),
        (["--targets", "diggits"], "diggits"), (["--sources", "strokes,mars"], "mars"),
        (["--learners", "nobody"], "nobody"),
        (["--learners", "maml", "maml"], "each once"), (["--fine-tune-steps", "-1"], "--fine-tune-steps"),
        (["--runs", "nowhere"], "nowhere"), (["--norm", "some"], "some"), (["--episodes", "3"], "--episodes"),
        (["--seed", "-1"], "--seed"), (["--tune-tasks", "1"], "--tune-tasks"),
        (["--num-filters", "0"], "--num-filters"),
    ],
)  # fmt: skip
@pytest.mark.fault(promised="one line and its exit code")
def test_wrong_use(wrong, said, tmp_path, capsys):
    assert cli.main(["transfer", *wrong, "--out", str(tmp_path / "out")]) in (1, 2)
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert not (tmp_path / "out" / "results.json").exists()


def test_a_source_of_small_classes_gives_the_queries_it_has(tmp_path):
    pictures = np.random.default_rng(0).random((60, 4, 8, 8), np.float32)
    np.savez(tmp_path / "small.npz", images=pictures)
    domain = f"{tmp_path / 'small.npz'},fonts"
    asked = recipes.Recipe().replace(domain=domain, kind="pictures", picture=(8, 8, 1), train_queries=5, queries=2)
    fitting = trained._fitting(asked, None).task
    assert (fitting.train_queries, fitting.queries) == (3, 2)
    assert trained._queries(asked, "validation", 4, 5, None) == 0
