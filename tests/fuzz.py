"""Damages small files in many ways and gives them to every reader: they are read right or refused in one line.

    python tests/fuzz.py                                     # 1,000 files for each reader
    python tests/fuzz.py --files 10000 --table tests/fuzz.md
    python tests/fuzz.py --reader npz --seed 3 --first 417 --files 1

A finding is anything else: another error than DataError, a message without the file's name, something read that cannot
be, a warning or a line from below, a process that dies, more than 5 s of CPU or 256 MB, a changed folder, or what is
left in the cache half written. Each file follows from the seed, the reader and its number. The exit code is 1 if there
is a finding.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import json
import os
import pathlib
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from unittest import mock

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import mutations
import readers

from jaxmeta import checks, provenance, tables

SECONDS, MEGABYTES, LONGEST = 5, 256, 3000  # the last: characters of a message
READ, REFUSED, FINDING = "read", "refused", "finding"


class Outcome(NamedTuple):
    """What became of one file."""

    number: int
    kind: str
    message: str


def run(name: str, numbers: Iterable[int], seed: int, folder: pathlib.Path) -> Iterator[Outcome]:
    """Gives damaged files to a reader in this process.

    Args:
      name: of the reader.
      numbers: of the files.
      seed: of all of them.
      folder: an empty one.
    """
    reader, work, cache = readers.READERS[name], folder / "given", folder / "cache"
    work.mkdir()
    (folder / "outside").write_bytes(b"a stranger may not have it")
    with mock.patch.dict(os.environ, {"JAXMETA_CACHE": str(cache)}):
        reader.make(work)
        shutil.rmtree(cache, ignore_errors=True)
        whole = {path.relative_to(work).as_posix(): path.read_bytes() for path in _files(work)}
        for file in whole:  # what is not damaged is read
            reader.read(work, work / file)
        for number in numbers:
            changed = _damage(work, whole, random.Random(f"{seed} {name} {number}"))
            shutil.rmtree(cache, ignore_errors=True)
            kind, message = _outcome(reader, work, changed, cache)
            yield Outcome(number, kind, message)
            shutil.rmtree(work)
            for file, content in whole.items():
                (work / file).parent.mkdir(parents=True, exist_ok=True)
                (work / file).write_bytes(content)


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in folder.rglob("*") if path.is_symlink() or path.is_file())


def _damage(work: pathlib.Path, whole: dict[str, bytes], draw: random.Random) -> pathlib.Path:
    """Changes one file, or puts something else in its place; returns where it is."""
    file = draw.choice(list(whole))
    path = work / file
    if draw.random() < 0.95:
        path.write_bytes(mutations.mutated(file, whole[file], draw))
        return path
    path.unlink()
    match draw.randrange(6):
        case 0:
            path.mkdir()
        case 1:
            path.symlink_to(work.parent / "outside")
        case 2:
            path.symlink_to("nowhere")
        case 3:
            path.symlink_to(path.name)
        case 4:
            path = path.with_name("ü\u202e<i>" + path.name)
            path.write_bytes(whole[file])
    return path


def _outcome(reader: readers.Reader, work: pathlib.Path, changed: pathlib.Path, cache: pathlib.Path) -> tuple[str, str]:
    before = _files(work)
    start, size, said = time.process_time(), _memory(), os.fstat(2).st_size
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            reader.read(work, changed)
            kind, message = READ, ""
        except checks.DataError as error:
            kind, message = REFUSED, str(error)
        except Exception as error:
            return FINDING, f"{type(error).__name__}: {error}"[:300]
    if caught:
        return FINDING, f"a warning: {caught[0].message}"[:300]
    if os.fstat(2).st_size != said:
        return FINDING, "something printed"
    if time.process_time() - start > SECONDS:
        return FINDING, f"{time.process_time() - start:.1f} s: {message}"[:300]
    if _memory() - size > MEGABYTES:
        return FINDING, f"{_memory() - size} MB: {message}"[:300]
    if _files(work) != before:
        return FINDING, "another folder than before"
    if list(cache.glob("*.part")):
        return FINDING, "a part of a file in the cache"
    names = (str(work), str(changed), *(path.name for path in before))
    if kind == REFUSED and not any(name in message for name in (*names, reader.named) if name):
        return FINDING, f"no file's name: {message}"[:300]
    if len(message) > LONGEST:
        return FINDING, f"{len(message)} characters: {message}"[:300]
    return kind, message


def _memory() -> int:
    """The most that this process ever had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (2**20 if sys.platform == "darwin" else 1024)


def work_through(name: str, first: int, files: int, seed: int) -> None:
    """What a process of its own does: a line an outcome."""
    with contextlib.suppress(OSError, StopIteration):
        status = pathlib.Path("/proc/self/status").read_text().splitlines()
        virtual = next(int(line.split()[1]) for line in status if line.startswith("VmSize"))
        resource.setrlimit(resource.RLIMIT_AS, (virtual * 1024 + 2**32,) * 2)
    with tempfile.TemporaryDirectory() as folder, os.fdopen(os.dup(1), "w") as told:
        os.dup2(2, 1)  # what is printed by others is found with the rest
        for outcome in run(name, range(first, first + files), seed, pathlib.Path(folder)):
            faulthandler.dump_traceback_later(120, exit=True)
            print(json.dumps(outcome), file=told, flush=True)
    faulthandler.cancel_dump_traceback_later()


def in_processes(name: str, first: int, files: int, seed: int) -> Iterator[Outcome]:
    """The same in a process that may die, and is followed by one that goes on after the file that it died of."""
    number, last = first, first + files
    while number < last:
        began = number
        arguments = ["--worker", "--reader", name, "--first", str(number), "--files", str(last - number)]
        with tempfile.TemporaryFile() as said:
            command = [sys.executable, "-u", __file__, *arguments, "--seed", str(seed)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True)
            assert process.stdout is not None
            for line in process.stdout:
                outcome = Outcome(*json.loads(line))
                number = outcome.number + 1
                yield outcome
            if process.wait() and number < last:
                said.seek(0)
                lines = said.read().decode(errors="replace").split("\n")
                message = f"the process ended with {process.returncode}: {' '.join(lines)[-300:]}"
                if number == began == first:
                    raise RuntimeError(message)
                yield Outcome(number, FINDING, message)
                number += 1


def markdown(rows: list[dict], seed: int) -> str:
    """The table, and what made it."""
    rows = [*rows, {"reader": "all"} | {name: sum(row[name] for row in rows) for name in list(rows[0])[1:]}]
    cells = [[row["reader"], *(f"{value:,}" for value in list(row.values())[1:])] for row in rows]
    said = "A file that is read gave valid examples or arrays; one that is refused gave one line with its name."
    made = f"Made by `python tests/fuzz.py --files {rows[0]['files']} --seed {seed} --table tests/fuzz.md`."
    head = ["reader", "files", "read", "refused", "findings"]
    return "\n".join(["# Damaged files", "", tables.markdown(head, cells), "", said, "",
                      f"{made} {provenance.line({'versions': provenance.versions()})}.", ""])  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000, help="for each reader")
    parser.add_argument("--reader", nargs="+", choices=list(readers.READERS), default=list(readers.READERS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the number of the first file")
    parser.add_argument("--table", help="a Markdown file for the table; one with .json stands beside it")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.worker:
        work_through(options.reader[0], options.first, options.files, options.seed)
        return 0
    found = []
    for name in options.reader:
        counts = {READ: 0, REFUSED: 0, FINDING: 0}
        for outcome in in_processes(name, options.first, options.files, options.seed):
            counts[outcome.kind] += 1
            if outcome.kind == FINDING:
                print(f"{name}, seed {options.seed}, file {outcome.number}: {outcome.message}", flush=True)
        found.append({"reader": name, "files": sum(counts.values()), READ: counts[READ], REFUSED: counts[REFUSED],
                      "findings": counts[FINDING]})  # fmt: skip
        print(json.dumps(found[-1]), flush=True)
        if options.table:  # after each reader: a long command may be broken off, or run in parts
            write_table(pathlib.Path(options.table), found[-1], options.seed)
    return int(any(row["findings"] for row in found))


def write_table(path: pathlib.Path, row: dict, seed: int) -> None:
    """Adds a reader's row to a table of the same seed, or begins one."""
    other, known = path.with_suffix(".json"), {}
    if other.exists() and (content := json.loads(other.read_text()))["seed"] == seed:
        known = {each["reader"]: each for each in content["rows"]}
    known[row["reader"]] = row
    rows = [known[name] for name in readers.READERS if name in known]
    other.write_text(json.dumps({"seed": seed, "versions": provenance.versions(), "rows": rows}, indent=1) + "\n")
    path.write_text(markdown(rows, seed), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
