"""Experiments and benchmarks: what they are made of, and pages that their commands make of the files beside them."""

import ast
import importlib
import json
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
FILES = [path for name in ("experiments", "benchmarks") for path in sorted((ROOT / name).rglob("*.py"))]
EXPERIMENTS = [path for path in FILES if path.parent.name == "experiments" and path.name != "pages.py"]


def pages(folder):
    return {path.relative_to(folder): path.read_text() for path in folder.rglob("*.md")}


def made(tmp_path, name, *command):
    """The folder's pages, written anew in a copy of it."""
    copy = tmp_path / name
    shutil.copytree(ROOT / name, copy)
    for page in (copy / "results").rglob("*.md"):
        page.unlink()
    subprocess.run([sys.executable, *command], cwd=copy, check=True, capture_output=True)
    return pages(copy)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_none_stands_on_the_command_line(path):
    code = path.read_text()
    assert "jaxmeta.cli" not in code  # in programs of other processes, which are strings, either
    froms = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
    assert not [node for node in froms if node.module == "jaxmeta" and "cli" in [name.name for name in node.names]]


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_the_head_of_an_experiment_is_a_contract(path):
    head = ast.get_docstring(ast.parse(path.read_text())).split("\n")
    names = [line.split(":")[0] for line in head if line[:1].isupper() and line[:11].rstrip().endswith(":")]
    assert names == ["Paper", "Command", "Hardware", "Time", "Expected", "Measured"]


@pytest.mark.long
def test_pages_of_experiments(tmp_path):
    assert made(tmp_path, "experiments", "pages.py") == pages(ROOT / "experiments")


def test_tables_of_benchmarks(tmp_path):
    assert made(tmp_path, "benchmarks", "run.py", "--tables") == pages(ROOT / "benchmarks")


@pytest.mark.long
def test_presets_in_short(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "experiments")
    experiment = importlib.import_module("presets")
    monkeypatch.setattr(experiment, "SEEDS", 2)
    command = ["presets.py", "--steps", "2", "--num-tasks", "2", "--out", str(tmp_path), "--presets"]
    for names in (["reptile-sinusoid"], ["reptile-sinusoid", "anil-sinusoid"]):
        monkeypatch.setattr(sys, "argv", [*command, *names])
        experiment.main()
    kept = json.loads((tmp_path / "presets.json").read_text())["rows"]
    assert list(kept) == ["reptile-sinusoid", "anil-sinusoid"]
    row = kept["anil-sinusoid"]
    assert (row["steps"], row["of"], row["metric"], row["diverged"], len(row["last"])) == (2, 20_000, "loss", [], 2)
    assert row["best"] == row["last"]
    page = (tmp_path / "presets.md").read_text()
    assert "| anil-sinusoid | 2 of 20,000 |" in page
    assert capsys.readouterr().out.count("  anil, seed 1, step      2, validation") == 1
    good = {"metric": "loss", "diverged": [], "raw": [1.0, 1.0], "untrained": [4.0, 900.0]}
    good |= {"best": [0.1, 0.2], "last": [0.1, 0.3]}
    assert experiment.learned(good)
    assert not experiment.learned(good | {"last": [0.1, 3.0]})
    assert not experiment.learned(good | {"best": [2.1, 0.2], "last": [2.1, 0.2]})
    assert not experiment.learned(good | {"diverged": [1]})
    assert experiment.ahead(good)
    assert not experiment.ahead(good | {"last": [0.1, 1.1]})
