"""What a claim's file writes: results/CLAIM.json, one column a backend, with the machine and the versions."""

import importlib.metadata
import json
import os
import pathlib
import platform
import time
from collections.abc import Callable, Sequence

RESULTS = pathlib.Path(__file__).parent / "results"
PACKAGES = ("jaxmeta", "jax", "flax", "optax", "numpy")


def record(claim: str, column: dict, table: Callable[[dict], list[str]]) -> None:
    """Writes the column of this backend beside those of others, and prints its table."""
    column["machine"] = f"{_processor()}, {os.cpu_count()} cores"
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    column["versions"] = {**versions, "python": platform.python_version(), **column.get("versions", {})}
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{claim}.json"
    columns = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(columns | {column["backend"]: column}, indent=1) + "\n")
    print("\n".join(table(column)))


def in_turns(steps: dict[str, Callable[[], object]], turns: int) -> dict[str, list[float]]:
    """Seconds of every function, one call a turn, so that a drift of the machine's speed meets all; the first warms."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(turns + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def rows_of(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A Markdown table."""
    return [f"| {' | '.join(map(str, cells))} |" for cells in (header, ["---"] * len(header), *rows)]


def _processor() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()
