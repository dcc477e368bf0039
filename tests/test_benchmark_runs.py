"""The benchmarks' commands, tried on small sizes: what fills a GPU's column unattended must not stop half-way."""

import importlib
import json
import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parents[1] / "benchmarks"


def run(*arguments):
    environment = {**os.environ, "PYTHONPATH": f"{HERE.parent}:{os.environ.get('PYTHONPATH', '')}"}
    return subprocess.run(
        [sys.executable, HERE / "run.py", *map(str, arguments)], env=environment, capture_output=True, text=True
    )


@pytest.mark.long
def test_claims_fill_a_column(tmp_path):
    claims = ("forms", "meta_step", "inner_gradient", "learner_cost", "devices", "scale")
    page = (HERE / "README.md").read_text()
    done = run("--small", "--out", tmp_path, "--minutes", 25, *claims)
    assert done.returncode == 0, done.stderr
    sys.path.insert(0, str(HERE))
    try:
        for claim in claims:
            (column,) = json.loads((tmp_path / f"{claim}.json").read_text()).values()
            assert column["rows"]
            assert importlib.import_module(claim).table(column)
    finally:
        sys.path.remove(str(HERE))
    forms = json.loads((tmp_path / "forms.json").read_text()).popitem()[1]
    assert {row["way"] for row in forms["rows"]} == {
        f"{form}, tasks {how}" for form in ("plain", "patches") for how in ("in turn", "side by side")
    }
    assert all(row["seconds"] > 0 for row in forms["rows"])
    assert (HERE / "README.md").read_text() == page


@pytest.mark.long
def test_what_no_time_is_left_for_is_told_and_left_out(tmp_path):
    done = run("--small", "--out", tmp_path, "--minutes", 0, "forms")
    assert done.returncode == 0, done.stderr
    assert "forms: not measured, the time was over" in done.stderr
    assert not list(tmp_path.iterdir())
    wrong = run("--small")
    assert wrong.returncode == 2
    assert "expected --out with --small" in wrong.stderr


def test_collectives_are_counted_in_a_programs_text():
    sys.path.insert(0, str(HERE))
    try:
        scale = importlib.import_module("scale")
    finally:
        sys.path.remove(str(HERE))
    text = """
  %all-reduce = (f32[3,4]{1,0}, f32[]) all-reduce(%a, %b), channel_id=1
  %x = bf16[8]{0} all-gather(%c), dimensions={0}
  %fusion = f32[9] fusion(%d), calls=%all-reduce-like"""
    assert scale.collectives(text) == [52, 16]
    row = {"devices": 1, "tasks": 32, "operations": 1e10, "collective_bytes": 4e5}
    alone, many = (scale.on_paper(row | {"devices": count, "tasks": 32 * count}) for count in (1, 256))
    assert alone["efficiency"] == 1
    assert 0 < many["efficiency"] < 1
    assert many["tasks_a_second"] < 256 * alone["tasks_a_second"]
