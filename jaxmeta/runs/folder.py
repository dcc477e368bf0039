"""What lies in a run folder, written whole or not at all, and read without trust.

Of several processes the first writes it and holds it, and to the others writing is nothing.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import shutil
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from flax import serialization

from jaxmeta import checks, tree
from jaxmeta.datasets import npz
from jaxmeta.recipes import Seen
from jaxmeta.runs import processes
from jaxmeta.types import PyTree

SCHEMA = 1
CONFIG, PARAMS, RESULTS = "config.json", "meta_params.msgpack", "results.json"
SEEN = "seen.npz"
LOCK, METRICS, CHECKPOINTS, TENSORBOARD = ".lock", "metrics.jsonl", "checkpoints", "tensorboard"
PROBES = "probes"
"""What a report scored anew, so that the next one need not."""
OWN = (RESULTS, PARAMS, METRICS, SEEN, CONFIG)
"""The files of a run, by name; the folders beside them are checkpoints and what others read."""
REPORT = "report"
"""The folder in it where a report of a run or a transfer stands, unless another place is asked for."""
MOST_CONFIG, MOST_RESULTS = 100_000, 100_000_000  # bytes that are read
FREE = "choose another folder"


def check_empty(path: str | os.PathLike[str], hint: str) -> None:
    """Raises ValueError if a folder holds something."""
    path = pathlib.Path(path)
    with writing(path, "a folder"):
        occupied = processes.is_first() and path.exists() and any(entry.name != LOCK for entry in path.iterdir())
    if occupied:
        checks.fail(str(path), "an empty folder", "one that holds something", hint)


@contextlib.contextmanager
def create(path: str | os.PathLike[str], *, force: bool, hint: str = FREE) -> Iterator[pathlib.Path]:
    """Makes a folder and holds it; one that holds something is refused unless `force` is set.

    Raises:
      ValueError: if the folder holds something.
      DataError: if it cannot be made, or another process holds it.
    """
    path = pathlib.Path(path)
    if not force:
        check_empty(path, hint)
    if processes.is_first():
        with writing(path, "a folder"):
            path.mkdir(parents=True, exist_ok=True)
    with held(path):
        yield path


@contextlib.contextmanager
def held(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Holds a folder against other processes; the system lets go of it when this one ends, however it ends.

    Raises:
      DataError: if another process holds it.
    """
    if not processes.is_first():
        yield path
        return
    check_plain(path / LOCK)
    with writing(path / LOCK):
        stream = (path / LOCK).open("ab")
    with stream:
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                got, hint = "one that another process is using", "wait for it, or choose another folder"
                checks.fail(str(path), "a run folder", got, hint, checks.DataError)
            except OSError:
                pass  # a file system without locks
        yield path


@contextlib.contextmanager
def writing(path: pathlib.Path, what: str = "a file") -> Iterator[None]:
    """Turns what a full, read-only or vanished disk raises into a DataError that names the file."""
    try:
        yield
    except OSError as error:
        checks.fail(str(path), f"{what} that can be written", error.strerror or error, error=checks.DataError)


def check_plain(path: pathlib.Path) -> None:
    """Raises DataError if something in a run folder, perhaps a stranger's, is a link or no file and no folder."""
    if path.is_symlink():
        got, hint = "a link", "put there what it points to, if you trust it"
    elif not path.exists() or path.is_file() or path.is_dir():
        return
    else:
        got, hint = "a device or pipe", ""
    checks.fail(str(path), "a plain file or folder", got, hint, checks.DataError)


def clear(folder: pathlib.Path) -> None:
    """Removes what a run writes, by name, so that nothing of an old run stands beside a new one."""
    if not processes.is_first():
        return
    with writing(folder, "a folder"):
        for seed in folder.glob("seed-*/config.json"):
            check_plain(seed.parent)
            clear(seed.parent)
        for path in (*(folder / name for name in OWN), *folder.glob(named_metrics("*"))):
            path.unlink(missing_ok=True)
        for path in (folder / CHECKPOINTS, folder / TENSORBOARD, folder / PROBES):
            if path.is_symlink():
                path.unlink()
            elif path.exists():
                shutil.rmtree(path)
    clear_report(folder)


def clear_report(folder: pathlib.Path) -> None:
    """Removes the report that stands in a folder, of what was there before; other files beside it stay."""
    own = folder / REPORT
    check_plain(own)
    check_plain(own / "figures")
    if not own.is_dir():
        return
    with writing(own, "a folder"):
        for name in ("report.html", "report.md", "report.tex"):
            (own / name).unlink(missing_ok=True)
        shutil.rmtree(own / "figures", ignore_errors=True)
        if not any(own.iterdir()):
            own.rmdir()


def replace(path: pathlib.Path, *parts: bytes, what: str = "a file") -> None:
    """Puts a file in a place, whole or not at all: by the time this returns it is on the disk, and so is its name.

    Raises:
      DataError: if it cannot be written; what was there stays.
    """
    if not processes.is_first():
        return
    temporary = path.with_name(f".{path.name}.part")
    with writing(path, what):
        try:
            temporary.unlink(missing_ok=True)  # of a process that was killed, or a stranger's link
            with temporary.open("xb") as stream:
                stream.writelines(parts)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        if sys.platform != "win32":  # where no folder can be opened
            name = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(name)
            finally:
                os.close(name)


def finite(content: Any) -> Any:
    """What JSON holds, with None for each number that is not finite: JSON has none such."""
    if isinstance(content, Mapping):
        return {name: finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not np.isfinite(content) else content


def write_json(path: pathlib.Path, content: Any) -> pathlib.Path:
    """Writes JSON in one go; a number that is not finite is null."""
    replace(path, (json.dumps(finite(content), indent=1, allow_nan=False) + "\n").encode())
    return path


def write_text(path: pathlib.Path, content: str) -> pathlib.Path:
    """Writes text in one go; of a file's name, what is not UTF-8 is written as \\udcff."""
    replace(path, content.encode(errors="backslashreplace"))
    return path


def named_metrics(name: str) -> str:
    """The file of one training of several in a folder: lines in one file would be taken away with another's."""
    return f"metrics-{name}.jsonl"


def append_metrics(folder: pathlib.Path, line: dict[str, Any], name: str = METRICS) -> int:
    """Adds one line of metrics, whole or not at all, and returns where it ends; what is not finite is null."""
    if not processes.is_first():
        return 0
    content = (json.dumps(finite(line), allow_nan=False) + "\n").encode()
    path = folder / name
    with writing(path), path.open("ab", buffering=0) as stream:
        start = stream.tell()
        written = 0
        try:
            while written < len(content):
                written += stream.write(content[written:])
        except OSError:
            stream.truncate(start)
            raise
    return start + len(content)


def metrics_end(folder: pathlib.Path, name: str = METRICS) -> int:
    """The size of the metrics in bytes, 0 if there are none."""
    path = folder / name
    return path.stat().st_size if path.exists() else 0


def truncate_metrics(folder: pathlib.Path, end: int, name: str = METRICS) -> None:
    """Takes away the lines after a checkpoint.

    Raises:
      DataError: if there are fewer than the checkpoint has seen.
    """
    if not processes.is_first():
        return
    path, size = folder / name, metrics_end(folder, name)
    if size < end:
        checks.fail(str(path), f"the {end} bytes of its checkpoint", size, error=checks.DataError)
    if size > end:
        with writing(path):
            os.truncate(path, end)


# What is frozen is no part of a file: it is where it came from, and reading leaves it as it is there.
serialization.register_serialization_state(tree.Frozen, lambda frozen: {}, lambda frozen, state: frozen)


def trained(like: PyTree) -> PyTree:
    """What of meta_params or a state is in files, None elsewhere."""
    return tree.split(like, tree.trained(like))[0]


def save_params(folder: pathlib.Path, meta_params: PyTree) -> None:
    """Writes meta_params.msgpack; nothing is ever pickled."""
    replace(folder / PARAMS, serialization.msgpack_serialize(jax.device_get(serialization.to_state_dict(meta_params))))


def save_seen(folder: pathlib.Path, seen: Seen) -> None:
    """Writes seen.npz: fingerprints of the examples that are trained on, and the names of their classes."""
    stream = io.BytesIO()
    examples = np.array(sorted(seen.examples or ()), np.uint64)
    np.savez(stream, examples=examples, classes=np.array(sorted(seen.classes), str))
    replace(folder / SEEN, stream.getvalue())


def check_arrays(path: pathlib.Path, like: PyTree, restored: PyTree) -> PyTree:
    """Returns what was read from a file if it has the shapes and types of `like`, or raises DataError."""
    if jax.tree.structure(like) != jax.tree.structure(restored):
        checks.fail(str(path), "an array for each name", "something else for one of them", error=checks.DataError)
    for wanted, got in zip(jax.tree.leaves(trained(like)), jax.tree.leaves(trained(restored)), strict=True):
        if not isinstance(got, np.ndarray) or (wanted.shape, wanted.dtype) != (got.shape, got.dtype):
            found = f"{got.dtype} {got.shape}" if isinstance(got, np.ndarray) else str(type(got))
            kind = f"{wanted.dtype} {wanted.shape}"
            hint = "JAX_ENABLE_X64 must be as it was for this run" if "float64" in kind + found else ""
            checks.fail(str(path), f"an array {kind}", found, hint, checks.DataError)
    return restored


def _widened(wanted: Any, got: Any) -> Any:
    """Evaluating in 64 bits what was trained in 32 loses nothing; the other way is refused."""
    single = isinstance(got, np.ndarray) and got.dtype == np.float32
    return got.astype(np.float64) if single and wanted.dtype == np.float64 else got


def read_json(path: pathlib.Path, most_bytes: int) -> Any:
    """Reads JSON of at most so many bytes.

    Raises:
      OSError: if it cannot be read.
      ValueError: if it is larger, or no JSON.
    """
    with path.open("rb") as stream:
        content = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"more than {most_bytes:,} bytes")
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("JSON that is nested too deeply") from error


class RunFolder:
    """A finished run, perhaps a stranger's: nothing in it is executed, no link in it is followed, and sizes and shapes
    are checked before they are used."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = pathlib.Path(path)
        for name in (CONFIG, PARAMS, RESULTS, METRICS, SEEN, CHECKPOINTS, TENSORBOARD, LOCK, PROBES):
            check_plain(self.path / name)
        content = self._config()
        self.config: dict[str, Any] = content["config"]
        self.preset = content.get("preset")
        self.shape: Any = content.get("shape")
        self._data = content.get("data")

    def _config(self) -> dict[str, Any]:
        path = self.path / CONFIG
        try:
            content = read_json(path, MOST_CONFIG)
            if content["schema"] != SCHEMA or not isinstance(content["config"], dict):
                raise ValueError(f"schema {content['schema']!r}")
            if not isinstance(content.get("preset", ""), str):
                raise ValueError(f"preset {content['preset']!r}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = getattr(error, "strerror", None) or (str(error).splitlines() or ["no JSON"])[0]
            checks.fail(str(path), f"a run's config of schema {SCHEMA}", reason, "give a run folder", checks.DataError)
        return content

    def checksums(self) -> dict[str, str] | None:
        """{file: sha256} of the data that the run was trained on, or None if it does not say."""
        try:
            found = read_json(self.path / RESULTS, MOST_RESULTS)["data"] if self._data is None else self._data
            return {str(name): str(value) for name, value in found.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def seen(self) -> Seen | None:
        """What the run was trained on, or None if it does not say; a run that has no fingerprints knows its files."""
        if (sums := self.checksums()) is None:
            return None
        checksums, path = frozenset(sums.values()), self.path / SEEN
        if not path.exists():
            return Seen(checksums, None)
        arrays = npz.read_arrays(path, ("examples", "classes"))
        kinds = [(name, array.dtype.kind, array.ndim) for name, array in arrays.items()]
        if kinds != [("examples", "u", 1), ("classes", "U", 1)]:
            checks.fail(str(path), "fingerprints and names of classes", kinds, error=checks.DataError)
        return Seen(checksums, frozenset(arrays["examples"].tolist()), frozenset(arrays["classes"].tolist()))

    def meta_params(self, like: PyTree) -> PyTree:
        """Reads the parameters.

        Args:
          like: the shapes that the config asks for; float32 comes back as float64 where that is asked for.

        Raises:
          DataError: if the file is missing, damaged, or holds something else.
        """
        path = self.path / PARAMS
        expected = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(trained(like)))
        try:
            if path.stat().st_size > 2 * expected + 1_000_000:
                raise ValueError(f"{path.stat().st_size:,} bytes for parameters of {expected:,}")
            restored = jax.tree.map(_widened, like, serialization.from_bytes(like, path.read_bytes()))
        except Exception as error:  # msgpack and flax raise many kinds on foreign bytes
            reason = getattr(error, "strerror", None) or (str(error).splitlines() or ["damaged"])[0]
            checks.fail(str(path), "the parameters of this run", reason, error=checks.DataError)
        check_arrays(path, like, restored)
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(trained(restored))):
            checks.fail(str(path), "finite parameters", "NaN or infinity", error=checks.DataError)
        return restored
