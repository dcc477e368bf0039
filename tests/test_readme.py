"""What the documents say is run, parsed or looked up."""

import pathlib
import re
import shlex

import pytest

from jaxmeta import cli

ROOT = pathlib.Path(__file__).parents[1]
DOCUMENTS = [path for path in sorted(ROOT.rglob("README.md")) if ".venv" not in path.parts]
EXECUTED = "<!-- executed by tests/test_readme.py -->\n"


def blocks(language, marker=""):
    return [
        pytest.param(block, id=f"{path.relative_to(ROOT)}, {number}")
        for path in DOCUMENTS
        for number, block in enumerate(re.findall(rf"{marker}```{language}\n(.*?)```", path.read_text(), re.DOTALL))
        if marker or path.parent == ROOT
    ]


def commands():
    """Each `jaxmeta ...` that a document shows in a block of shell, without what stands before it."""
    for path in DOCUMENTS:
        for block in re.findall(r"```bash\n(.*?)```", path.read_text(), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if path.parent != ROOT and (at := [index for index, word in enumerate(words) if word == "jaxmeta"]):
                    yield pytest.param(words[at[0] + 1 :], id=line)


@pytest.mark.parametrize("block", blocks("python") + blocks("python", EXECUTED))
@pytest.mark.long
def test_the_python_of_the_documents_runs(block, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    short = re.sub(r"((?:tasks|steps|updates)=|range\()\d\d+", r"\g<1>4", block)  # of each four, instead of dozens
    exec(compile(short, "a document", "exec"), {"__name__": "document"})
    out = capsys.readouterr().out
    assert out
    assert "broken" not in out
    assert "nan" not in out


@pytest.mark.parametrize("words", [*commands()])
def test_the_commands_of_the_documents_parse(words):
    if "PRESET" not in words:
        cli.parsed(words)


def test_the_first_two_blocks_are_one_line_each():
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[:2]
    assert [len(block.strip().splitlines()) for block in blocks] == [1, 1]
    assert all("$ " not in block for block in blocks)


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text()) <= 9000


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert "://" in target or (path.parent / target).exists(), target
