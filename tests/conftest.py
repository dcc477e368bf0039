import contextlib
import os
import pathlib
import resource

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# The second device is for what is shared out over a mesh; nothing else sees it.
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")
# Programs run once or a few times here: compiling them is what the suite costs.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")


@pytest.fixture(scope="session")
def data_dir() -> pathlib.Path:
    """Real data sets, read in place."""
    path = pathlib.Path(os.environ.get("JAXMETA_TEST_DATA", pathlib.Path(__file__).parents[2] / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no data sets at {path.name}; JAXMETA_TEST_DATA names their folder")
    return path


@pytest.fixture
def full_disk():
    """No file grows beyond `size` bytes while it is open: what a full disk is to a writer."""

    @contextlib.contextmanager
    def limited(size=4096):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
