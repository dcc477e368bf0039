"""The examples, in a short form."""

import importlib.util
import pathlib

import pytest

EXAMPLES = pathlib.Path(__file__).parents[2] / "experiments" / "examples"
TINY = {"picture": (8, 8, 1), "num_filters": 4, "effort": 0.002, "num_tasks": 4, "tune_tasks": 2,
        "fine_tune_steps": 2, "queries": 3}  # fmt: skip


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


@pytest.mark.long
def test_own_learner(tmp_path, capsys):
    picture = example("own_learner")(tmp_path / "out", num_steps=4, num_tasks=4)
    assert picture.read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    assert "exact" in said
    assert "broken" not in said
    assert "squared error of waves never seen: Interval(mean=" in said


@pytest.mark.long
def test_compare(tmp_path, capsys):
    pytest.importorskip("jinja2")
    page = example("compare")(tmp_path / "out", **TINY)
    assert "| protonet |" in capsys.readouterr().out
    words = page.read_text()
    for said in ("Trained on strokes; adapted to digits: 5-way, 1 and 5 shots, 4 tasks each", "raw inputs, nearest",
                 "protonet, untrained", "linear_probe", "data:image/"):  # fmt: skip
        assert said in words
    assert "could not be drawn" not in words


@pytest.mark.long
def test_own_pictures(tmp_path):
    sheet = example("own_pictures")(tmp_path, num_steps=2)
    assert sheet.read_bytes().startswith(b"\x89PNG")
    assert len(list((tmp_path / "support").rglob("*.png"))) == 25
    assert len(list((tmp_path / "inputs").rglob("*.png"))) == 40
