import contextlib
import resource

import pytest


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
