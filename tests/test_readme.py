import pathlib
import re

import pytest

README = pathlib.Path(__file__).parents[1] / "README.md"


PYTHON = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_the_python_in_the_readme_runs(number, capsys):
    exec(compile(PYTHON[number].replace("range(200)", "range(3)"), f"README.md, block {number}", "exec"), {})
    out = capsys.readouterr().out
    assert out
    assert "broken" not in out
    assert ("mean_interval" in PYTHON[number]) == ("Interval(mean=" in out)


def test_the_first_two_blocks_are_one_line_each():
    blocks = re.findall(r"```bash\n(.*?)```", README.read_text(), re.DOTALL)[:2]
    assert [len(block.strip().splitlines()) for block in blocks] == [1, 1]
    assert all("$ " not in block for block in blocks)
    if len(blocks) != 2 or not PYTHON:
        pytest.fail("README.md opens with the main job and the tests, and has a program in Python")
