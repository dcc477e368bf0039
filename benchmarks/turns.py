"""What the claims' files share: calls in turns, versions, a Markdown table."""

import importlib.metadata
import platform
import time
from collections.abc import Callable, Sequence

PACKAGES = ("jaxmeta", "jax", "flax", "optax", "numpy")


def versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in PACKAGES} | {"python": platform.python_version()}


def in_turns(steps: dict[str, Callable[[], object]], count: int) -> dict[str, list[float]]:
    """Seconds of every function, one call a turn, so that a drift of the machine's speed meets all; the first warms."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(count + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def table_of(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    return [f"| {' | '.join(map(str, cells))} |" for cells in (header, ["---"] * len(header), *rows)]
