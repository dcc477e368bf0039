import pathlib
import re

import pytest

README = pathlib.Path(__file__).parents[1] / "README.md"


def test_the_python_in_the_readme_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    exec(compile(code.replace("range(200)", "range(3)"), "README.md", "exec"), {})
    assert "Interval(mean=" in capsys.readouterr().out


def test_the_first_two_blocks_are_one_line_each():
    blocks = re.findall(r"```bash\n(.*?)```", README.read_text(), re.DOTALL)[:2]
    assert [len(block.strip().splitlines()) for block in blocks] == [1, 1]
    assert all("$ " not in block for block in blocks)
    if len(blocks) != 2:
        pytest.fail("README.md opens with the main job and the tests")
