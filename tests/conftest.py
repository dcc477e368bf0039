import os
import pathlib

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")


@pytest.fixture(scope="session")
def data_dir() -> pathlib.Path:
    """Real data sets, read in place."""
    path = pathlib.Path(os.environ.get("JAXMETA_TEST_DATA", pathlib.Path(__file__).parents[2] / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no data sets at {path.name}; JAXMETA_TEST_DATA names their folder")
    return path
