"""The pages of what was measured are those that the commands make of the files beside them."""

import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]


def pages(folder):
    return {path.relative_to(folder): path.read_text() for path in folder.rglob("*.md")}


def made(tmp_path, name, *command):
    """The folder's pages, written anew in a copy of it."""
    copy = tmp_path / name
    shutil.copytree(ROOT / name, copy)
    subprocess.run([sys.executable, *command], cwd=copy, check=True, capture_output=True)
    return pages(copy)


def test_pages_of_experiments(tmp_path):
    found = made(tmp_path, "experiments", "pages.py")
    assert len(found) == 6
    assert found == pages(ROOT / "experiments")


def test_tables_of_benchmarks(tmp_path):
    assert made(tmp_path, "benchmarks", "run.py", "--tables") == pages(ROOT / "benchmarks")
