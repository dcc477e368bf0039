"""The one form of tables and intervals."""

import re

import pytest

from jaxmeta import tables

COLUMN = {"mean": 0.97349, "low": 0.97, "high": 0.976}


def cells(line):
    """As GitHub's Markdown splits a row: a backslash escapes the character after it."""
    return [cell.strip() for cell in re.findall(r"((?:\\.|[^|\\])*)\|", line.removeprefix("|"))]


def test_intervals_have_one_form():
    assert tables.interval(COLUMN, "accuracy") == "97.3 [97.0, 97.6]"
    assert tables.interval(COLUMN, "loss") == "0.973 [0.970, 0.976]"
    assert tables.difference({"mean": 0.012, "low": -0.004, "high": 0.02}, "accuracy") == "+1.2 [-0.4, +2.0]"
    assert tables.difference({"mean": 0.012, "low": -0.004, "high": 0.02}, "loss") == "+0.012 [-0.004, +0.020]"
    assert tables.interval(None, "accuracy") == tables.difference(None, "loss") == "-"
    assert (tables.number(0.5, "accuracy"), tables.number(0.5, "loss")) == ("50.0", "0.500")


def test_markdown_has_a_cell_for_each_value():
    lines = tables.markdown(["method", "steps"], [["maml", 5], ["**r2d2**", ""]]).split("\n")
    assert lines == ["| method | steps |", "|---|---|", "| maml | 5 |", "| **r2d2** |  |"]
    assert tables.markdown(["method"], []) == "| method |\n|---|"


@pytest.mark.parametrize(
    "name", ["a|b", "a\\|b", "a\\\\|b", "|", "<img src=x>|\n# a", "a\r\n| b", "\x1b[2Ja", "a\u2028b"]
)
def test_a_strangers_name_stays_in_its_cell_and_is_no_markup(name):
    for cell in (name, tables.Code(name)):
        _, _, line = text = tables.markdown(["method", "next"], [[cell, "next"]]).split("\n")
        assert len(text) == 3
        assert line.isprintable()
        assert "<" not in line or isinstance(cell, tables.Code)
    assert cells(tables.markdown([name, "next"], []).split("\n")[0])[1:] == ["next"]


def test_code_is_shown_letter_for_letter():
    assert tables.markdown(["given"], [[tables.Code("<U1 | `x` &")]]).split("\n")[2] == "| `<U1 \\| 'x' &` |"
    assert tables.markdown(["given"], [[tables.Code("")]]).split("\n")[2] == "|  |"


def test_text_is_aligned_and_steers_no_terminal():
    text = tables.text(["method", "steps", "joint"], [["proto", 10, "-"], ["\x1b[2Jmaml\nx", 5, "97.3"]])
    assert text.split("\n") == [
        "method         steps  joint",
        "---------------------------",
        "proto          10     -",
        "\\x1b[2Jmaml x  5      97.3",
    ]


@pytest.mark.parametrize("write", [tables.markdown, tables.text])
def test_rows_fit_the_head(write):
    with pytest.raises(ValueError, match="expected 2 cells, got 1"):
        write(["method", "joint"], [["maml", 1], ["maml"]])
