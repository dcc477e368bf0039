"""What the processes of one run say to each other; of a process alone all of it is what it has itself."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxmeta import checks

BLOCK = 1024  # bytes: messages of about one size meet one program


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return jax.process_index() == 0


def from_first(content: bytes) -> bytes:
    """What the first process has."""
    if jax.process_count() == 1:
        return content
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(content))))
    buffer = np.zeros(-(-size // BLOCK) * BLOCK, np.uint8)
    if is_first():
        buffer[:size] = np.frombuffer(content, np.uint8)
    return multihost_utils.broadcast_one_to_all(buffer)[:size].tobytes()


def agreed(value: Any) -> Any:
    """What the first process has; anything that JSON holds."""
    return value if jax.process_count() == 1 else json.loads(from_first(json.dumps(value).encode()))


def largest(number: int) -> int:
    """The largest number that a process has."""
    return number if jax.process_count() == 1 else int(multihost_utils.process_allgather(np.int32(number)).max())


@contextlib.contextmanager
def alike() -> Iterator[None]:
    """Fails in all processes if it fails in one of them, so that none waits for the others.

    Raises:
      DataError: where it fails in another process alone.
    """
    try:
        yield
    except Exception:
        largest(1)
        raise
    if largest(0):
        checks.fail("another process", "to go on", "an error, which it tells", error=checks.DataError)
