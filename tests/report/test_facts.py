"""What folders say: whole, unfinished, broken, a stranger's, of another version."""

import json
import os
import random
import sys

import folders
import mutations
import pytest

from jaxmeta import checks, recipes, runs
from jaxmeta.report import facts, making, writing
from jaxmeta.runs import results, training


def test_run(tmp_path):
    work = facts.read(folders.run_folder(tmp_path / "a", steps=50))
    assert (work.kind, work.name, work.state, work.preset) == ("run", "a", "finished", "protonet-strokes")
    assert [(row["method"], row["family"], row["source"]) for row in work.rows] == [
        ("raw inputs, nearest centroid", "floor", "strokes"), ("protonet, untrained", "floor", "strokes"),
        ("protonet", "learner", "strokes"),
    ]  # fmt: skip
    assert work.command == "jaxmeta train protonet-strokes --steps 50"
    assert work.missing == ("parameters: meta_params.msgpack is not there",)
    assert work.checksums == {"strokes": "cd" * 32}
    assert "jaxmeta" in work.versions
    assert "numpy" in work.made_by


def test_steps_of_a_run_are_its_own_and_none_is_a_floor(tmp_path):
    names = ("maml, untrained", "maml, 0 steps", "maml, 1 step", "maml, 2 steps", "maml")
    rows = [folders.row(name, "navigation", -9.0, metric="return", ways=0) for name in names]
    work = facts.read(folders.run_folder(tmp_path / "a", rows, preset="maml-navigation", kind="control"))
    assert [row["family"] for row in work.rows] == ["floor", "floor", "learner", "learner", "learner"]


def test_transfer(tmp_path):
    work = facts.read(folders.transfer_folder(tmp_path / "a"))
    assert (work.kind, work.state, len(work.rows), work.missing) == ("transfer", "finished", 8, ())
    assert work.command.startswith("jaxmeta transfer quick --sources strokes --targets digits fonts")
    assert all("checksums" not in row for row in work.rows)


def test_unfinished_transfer_says_what_is_missing(tmp_path):
    made = folders.cells(["strokes"], ["digits", "fonts"])
    kept = {
        name: rows for name, rows in made.items() if rows[0]["method"] != "fine_tune" or rows[0]["domain"] != "fonts"
    }
    work = facts.read(folders.transfer_folder(tmp_path / "a", made=dict(reversed(kept.items())), finished=False))
    assert work.state == "unfinished"
    assert work.missing[0] == "1 of 4 scores: fine_tune from strokes to fonts, 1-shot"
    assert "results.json is not there" in work.missing[1]
    assert work.checksums == {"digits.npz": "ab" * 32, "fonts.npz": "ab" * 32}
    # In the order of a finished one, whatever the files are called.
    assert [(row["domain"], row["method"]) for row in work.rows] == [
        (row["domain"], row["method"]) for rows in kept.values() for row in rows
    ]


def test_failed_and_impossible_cells_are_told(tmp_path):
    made = folders.cells(["strokes"], ["digits"])
    blank = {"joint": None, "single": None}
    made["2.json"] = [made["2.json"][0] | blank | {"note": "failed", "error": "MemoryError: 9 GB"}]
    work = facts.read(folders.transfer_folder(tmp_path / "a", targets=("digits",), made=made))
    assert work.missing == ("protonet on digits, 1-shot: MemoryError: 9 GB",)


def test_running(tmp_path):
    path = folders.run_folder(tmp_path / "a", finished=False)
    assert facts.read(path).state == "unfinished"
    assert "results.json is not there" in facts.read(path).missing[0]
    with runs.held(path):
        assert facts.is_held(path)
        assert facts.is_going_on(path)
        work = facts.read(path)
    assert work.state == "running"
    assert "it is running, at step 4 of 3,000" in work.missing[0]
    assert not facts.is_held(path)
    assert facts.is_going_on(path)
    assert not facts.is_going_on(path, patience=0.0)


def test_seeds(tmp_path):
    path = folders.run_folder(tmp_path / "a", finished=False, config={"seeds": 3})
    for seed in (0, 1):
        own = path / f"seed-{seed}"
        own.mkdir()
        folders.write(own / "results.json", results.document(folders.run_rows(seed=seed), seed=seed, checksums={}))
    work = facts.read(path)
    assert "scores of 1 of its 3 seeds" in work.missing
    assert [row["num_tasks"] for row in work.rows] == [60, 60, 60]
    assert sorted(work.seeds) == [0, 1]
    assert work.command == "jaxmeta train protonet-strokes --seeds 3"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ({"schema": 7, "config": {}}, "schema 7"),
        ({"schema": 1, "config": {"targets": ["a"], "learners": ["b"], "planets": 9}}, "planets"),
        ({"schema": 1, "config": {"targets": ["a"], "learners": [7]}}, "learners"),
        ({"schema": 1, "config": {"planets": 9}}, "planets"),
        ({"schema": 1, "config": {"learner": "os.system"}}, "os.system"),
        ([], "config"),
    ],
)
def test_strangers_configs(tmp_path, refused, content, word):
    folders.write(tmp_path / "config.json", content)
    with refused(word, "config.json"):
        facts.read(tmp_path)


def test_no_folder_and_no_run(tmp_path, refused):
    with refused("none"):
        facts.read(tmp_path / "none")
    with refused("config.json"):
        facts.read(tmp_path)
    with refused("config.json"):
        facts.read_all([tmp_path])


def test_results_of_another_version_are_refused_by_name(tmp_path, refused):
    path = folders.run_folder(tmp_path / "a")
    folders.write(path / "results.json", {"schema": 2, "rows": []})
    with refused("schema 2", "results.json", "another version"):
        facts.read(path)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_are_not_followed(tmp_path, refused):
    path = folders.run_folder(tmp_path / "a")
    os.rename(path / "results.json", tmp_path / "elsewhere.json")
    (path / "results.json").symlink_to(tmp_path / "elsewhere.json")
    with refused("link"):
        facts.read(path)


def damaged(tmp_path, change):
    path = folders.run_folder(tmp_path / "a")
    content = json.loads((path / "results.json").read_text())
    (path / "results.json").write_text(change(content))
    return facts.read(path)


@pytest.mark.parametrize(
    ("change", "rows"),
    [
        (lambda content: "{", 0),
        (lambda content: json.dumps(content | {"rows": {"a": 1}}), 0),
        (lambda content: json.dumps(content | {"rows": [None, 3, *content["rows"]]}), 3),
        (lambda content: json.dumps(content | {"rows": [content["rows"][0] | {"joint": {"mean": "high"}}]}), 1),
        (lambda content: json.dumps(content | {"rows": [content["rows"][0] | {"num_tasks": 29}]}), 1),
        (lambda content: json.dumps(content | {"rows": [content["rows"][0] | {"shots": "one"}]}), 0),
        (lambda content: json.dumps(content | {"versions": 3, "device": [], "training": "x", "read": 9}), 3),
    ],
)
def test_damaged_results_make_a_partial_report(tmp_path, change, rows):
    work = damaged(tmp_path, change)
    assert len(work.rows) == rows
    assert work.missing
    assert work.made_by == work.made_by.strip()
    assert facts.data_read(work) == []


def test_several_folders_have_names_of_their_own(tmp_path):
    for name in ("x/a", "y/a", "b"):
        folders.run_folder(tmp_path / name)
    works, refused = facts.read_all([tmp_path / "x/a", tmp_path / "y/a", tmp_path / "b", tmp_path / "nothing"])
    assert [work.name for work in works] == ["x/a", "y/a", "b"]
    assert len(refused) == 1
    assert "nothing" in refused[0]
    assert str(tmp_path) not in refused[0]
    with pytest.raises(checks.DataError):
        facts.read_all([tmp_path / "nothing"])


def test_every_preset_has_a_command_that_names_it():
    for name, recipe in recipes.PRESETS.items():
        config = training.recorded(recipe.replace(seed=5))
        assert making.train_command(config, name, 1) == f"jaxmeta train {name} --seed 5"


def test_scores_of_an_evaluation_beside_the_run(tmp_path):
    path = folders.run_folder(tmp_path / "a")
    (path / "evaluation").mkdir()
    rows = folders.run_rows(domain="digits")
    folders.write(path / "evaluation" / "results.json", results.document(rows, seed=1, checksums={}))
    assert [row["domain"] for row in facts.read(path).rows] == ["strokes"] * 3 + ["digits"] * 3


def test_a_wide_plan_is_counted_and_not_listed(tmp_path):
    names = [f"d{index}" for index in range(300)]
    made = folders.cells(names[:1], names[:1])
    work = facts.read(folders.transfer_folder(tmp_path / "a", names, names, made=made))
    assert work.missing == ("179,996 of about 180,000 scores",)


@pytest.mark.parametrize("seed", range(3))
def test_damaged_folders_are_told_or_refused(tmp_path, monkeypatch, seed):
    """Whatever a file holds: words, or one error of one line."""
    monkeypatch.setattr(writing, "_figures", lambda *given: ([], []))
    draw = random.Random(seed)
    run = folders.run_folder(tmp_path / "run")
    whole = folders.transfer_folder(tmp_path / "whole")
    part = folders.transfer_folder(tmp_path / "part", finished=False)
    files = [run / "config.json", run / "results.json", whole / "config.json", whole / "results.json",
             part / "cells" / "0.json"]  # fmt: skip
    ends = set()
    for _ in range(20):
        file = draw.choice(files)
        content = file.read_bytes()
        file.write_bytes(mutations.mutated(file.name, content, draw))
        folder = next(each for each in (run, whole, part) if each in file.parents)
        try:
            told = writing.gather([folder], num_tasks=0)
            assert writing.markdown(told, {})
            assert writing.latex(told, {})
            ends.add("told")
        except checks.DataError as error:
            ends.add("refused" if "\n" not in str(error) else "in lines")
        file.write_bytes(content)
    assert ends == {"told", "refused"}
