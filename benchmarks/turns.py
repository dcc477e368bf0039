"""What the claims' files share: calls in turns, and the median and range of what the turns gave."""

import os
import statistics
import time
from collections.abc import Callable, Sequence

IS_SMALL = "BENCHMARK_SMALL" in os.environ  # `run.py --small`: a trial of the commands, whose numbers say nothing
UNTIL = float(os.environ.get("BENCHMARK_UNTIL", "inf"))  # `run.py --minutes`: when to begin no further row


def is_over() -> bool:
    """Whether no further row is to begin; the rows that are there are then the column."""
    return time.time() > UNTIL


def in_turns(steps: dict[str, Callable[[], object]], count: int) -> dict[str, list[float]]:
    """Seconds of every function, one call a turn, so that a drift of the machine's speed meets all; the first warms."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range((1 if IS_SMALL else count) + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def spread(values: Sequence[float], digits: int = 2) -> list[float]:
    """Median, minimum and maximum."""
    return [round(f(values), digits) for f in (statistics.median, min, max)]


def shown(found: Sequence[float]) -> str:
    """A `spread` as a table has it, such as "1.71 [1.62, 1.74]"."""
    median, low, high = found
    return f"{median} [{low}, {high}]"
