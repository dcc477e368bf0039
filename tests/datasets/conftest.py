"""Real data and small pictures."""

import os
import pathlib

import numpy as np
import pytest
from PIL import Image

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def cache_folder(monkeypatch, tmp_path):
    folder = tmp_path / "cache"
    monkeypatch.setenv("JAXMETA_CACHE", str(folder))
    monkeypatch.delenv("JAXMETA_DATA", raising=False)
    return folder


@pytest.fixture(scope="session")
def real_data():
    folder = pathlib.Path(os.environ.get("JAXMETA_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "omniglot" / "omniglot_28x28.npz").is_file():
        pytest.skip("no real data; JAXMETA_TEST_DATA names the folder that holds omniglot, mnist and fashion_mnist")
    return folder


@pytest.fixture
def class_folders(tmp_path):
    """Three class folders, with 1, 2 and 3 grey pictures of 6 x 4; picture i of class c is all 100 c + 10 i."""
    for index, name in enumerate(("ant", "bee", "cat")):
        (tmp_path / "insects" / name).mkdir(parents=True)
        for number in range(index + 1):
            picture = Image.fromarray(np.full((6, 4), 100 * index + 10 * number, np.uint8))
            picture.save(tmp_path / "insects" / name / f"{number}.png")
    return tmp_path / "insects"
