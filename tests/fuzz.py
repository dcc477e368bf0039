"""Damages small files by the thousand and has each reader read them: a valid result, or one line that names the file.

    python tests/fuzz.py --files 10000 --out OUT       # every reader; writes OUT/fuzz.md and OUT/READER.json
    python tests/fuzz.py --reader npz --first 123 --files 1      # one case again

Anything else is a finding, printed with its number: another exception, a message of several lines or without the name,
a warning, more memory or time than such files can ask for, a pickle that ran, a damaged entry in the cache. The exit
code is 1 if there is one. What is done to a file is drawn from its number and the seed; what a container packs is
damaged inside of it, too, and packed again, so that no checksum keeps it from the reader.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")


from damages import MARK, write
from fuzzed import READERS, Reader

from jaxmeta import checks
from jaxmeta.datasets import npz

SECONDS, STUCK = 5, 15  # beyond which a file of some kilobytes is a finding, and is given up
MEMORY = 3 * 2**30  # bytes that a reader may ask for


class Stuck(BaseException):
    """A file that takes too long."""


def outcome(reader: Reader, folder: pathlib.Path, rng: random.Random) -> str:
    """Returns "read", "refused", or what is wrong."""
    began = time.process_time()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            reader.read(folder, rng)
            came = "read"
        except ValueError as error:
            lines, named = len(str(error).splitlines()), reader.word in str(error)
            came = "refused" if lines == 1 and named else f"a message of {lines} lines, named {named}: {error}"
        except (Exception, Stuck) as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            came = f"{type(error).__name__}: {str(error)[:200]} ({pathlib.Path(place.filename).name}:{place.lineno})"
    if warned:
        return f"a warning: {warned[0].message}"
    if time.process_time() - began > SECONDS:
        return f"{time.process_time() - began:.0f} s, then {came}"
    if os.path.exists(MARK):
        os.rmdir(MARK)
        return f"a pickle ran, then {came}"
    return came


def check_cache(cache: pathlib.Path) -> str | None:
    """Says what is wrong with what a reader left in the cache, and clears it."""
    wrong = None
    for entry in cache.iterdir() if cache.exists() else ():
        try:
            assert "images" in npz.read_arrays(entry, ["images"])
        except (checks.DataError, AssertionError):
            wrong = f"a damaged entry in the cache, {entry.name[-9:]}"
        entry.unlink()
    return wrong


def fuzz(name: str, numbers: range, seed: int, folder: pathlib.Path) -> dict[str, Any]:
    """Has a reader read the cases of some numbers, and counts what came of them."""
    reader, counts, findings = READERS[name], {"read": 0, "refused": 0}, []
    made = reader.make()
    (folder / "outside").write_text("outside")
    for files in made:
        for each, content in files.items():
            (folder / "whole" / "fuzzed" / each).parent.mkdir(parents=True, exist_ok=True)
            (folder / "whole" / "fuzzed" / each).write_bytes(content)
        came = {outcome(reader, folder / "whole" / "fuzzed", random.Random(number)) for number in range(8)}
        if "read" not in came or came - {
            "read",
            "refused",
        }:  # refused: another form
            raise RuntimeError(f"{name}: files that are whole, and yet: {came}")
        shutil.rmtree(folder / "whole")
    check_cache(folder / "cache")
    for number in numbers:
        rng, case = random.Random(f"{seed} {name} {number}"), folder / f"fuzzed-{number}"
        case.mkdir()
        write(rng.choice(made), case, rng)
        signal.setitimer(signal.ITIMER_REAL, STUCK)
        came = outcome(reader, case, rng)
        signal.setitimer(signal.ITIMER_REAL, 0)
        shutil.rmtree(case)
        came = check_cache(folder / "cache") or came
        if came in counts:
            counts[came] += 1
        else:
            findings.append(f"{number}: {came}")
            print(f"{name} {number}, seed {seed}: {came}", flush=True)
    return {"reader": name, "files": len(numbers), "seed": seed, **counts, "findings": findings}


@contextlib.contextmanager
def limited(folder: pathlib.Path) -> Iterator[None]:
    """A cache in the folder, little more memory than is in use, and an alarm that raises."""

    def stop(*_: Any) -> None:
        raise Stuck(f"more than {STUCK} s")

    used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before, handler = resource.getrlimit(resource.RLIMIT_AS), signal.signal(signal.SIGALRM, stop)
    cache = os.environ.get("JAXMETA_CACHE")
    os.environ["JAXMETA_CACHE"] = str(folder / "cache")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.signal(signal.SIGALRM, handler)
        os.environ.pop("JAXMETA_CACHE") if cache is None else os.environ.update(JAXMETA_CACHE=cache)


def table(rows: list[dict[str, Any]]) -> str:
    head = ["reader", "files", "read", "refused in one line", "findings"]
    cells = [[row["reader"], row["files"], row["read"], row["refused"], len(row["findings"])] for row in rows]
    total = ["all", *(sum(column) for column in zip(*(line[1:] for line in cells), strict=True))]
    lines = [head, ["---", *["---:"] * 4], *cells, total]
    return "\n".join(
        "| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else cell for cell in line) + " |" for line in lines
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000, help="for each reader")
    parser.add_argument("--first", type=int, default=0, help="the number of the first")
    parser.add_argument("--reader", choices=READERS, help="all is the default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="a folder for fuzz.md and a json of each reader, those that are there included")
    options = parser.parse_args(arguments)
    rows = []
    for name in [options.reader] if options.reader else READERS:
        with tempfile.TemporaryDirectory() as temporary, limited(pathlib.Path(temporary)):
            numbers = range(options.first, options.first + options.files)
            rows.append(fuzz(name, numbers, options.seed, pathlib.Path(temporary)))
    if options.out:
        out = pathlib.Path(options.out)
        out.mkdir(parents=True, exist_ok=True)
        for row in rows:
            (out / f"{row['reader']}.json").write_text(json.dumps(row, indent=1) + "\n")
        rows = [json.loads((out / f"{name}.json").read_text()) for name in READERS if (out / f"{name}.json").exists()]
        command = f"python tests/fuzz.py --files {rows[0]['files']} --seed {rows[0]['seed']}"
        said = (
            "What came of the files that each reader was given, damaged: a valid result, a refusal in one line that\n"
            f"names the file, or else a finding. Made by `{command}`."
        )
        text = f"# Damaged files\n\n{said}\n\n{table(rows)}\n"
        (out / "fuzz.md").write_text(text)
    print(table(rows))
    return int(any(row["findings"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
