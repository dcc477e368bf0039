"""Adapted runs in files, read without trust.

A file is what it is, sizes and sha256 of its two parts, then JSON that says of which run it is and what its arrays are,
then their bytes. So nothing is unpickled, a flipped bit is found, and sizes are checked before anything is allocated.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import pathlib
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import checks, memory, recipes
from jaxmeta.recipes import Frame
from jaxmeta.runs.adapted import Adapted, Threshold, is_finite
from jaxmeta.runs.folder import replace
from jaxmeta.runs.run import MOST, Run
from jaxmeta.types import Batch, PyTree

MAGIC = b"jaxmeta adapted 1\n"
MOST_ABOUT = 10_000_000  # bytes
_SEAL = struct.Struct(f"<{len(MAGIC)}sQ32sQ32s")  # what it is; of both parts the bytes and their sha256


def save_adapted(path: str | os.PathLike[str], adapted: Adapted) -> pathlib.Path:
    """Writes an adapted run into a file, whole or not at all; of the run itself there are checksums alone in it.

    Of tables it holds the rows that it was adapted to, by which others are scaled.

    Raises:
      DataError: if it cannot be written; what was there stays.
    """
    path, frame = pathlib.Path(path), adapted.frame
    state = [np.asarray(leaf) for leaf in jax.tree.leaves(adapted.state)]
    about = {
        "run": _facts(adapted.run),
        "inner_steps": adapted.inner_steps,
        "support": [None if leaf is None else _told(leaf) for leaf in adapted.support],
        "class_names": adapted.class_names,
        "scale": adapted.scale,
        "threshold": adapted.threshold,
        "facts": dict(frame.facts),
        "arrays": {name: _told(array) for name, array in frame.arrays.items()},
        "state": [_told(leaf) for leaf in state],
    }
    words = json.dumps(about, allow_nan=False).encode()
    content = b"".join(array.tobytes() for array in (*state, *frame.arrays.values()))
    replace(path, seal(words, content), words, content)
    return path


def seal(words: bytes, content: bytes) -> bytes:
    """What stands before the two parts of a file."""
    return _SEAL.pack(
        MAGIC, *(each for part in (words, content) for each in (len(part), hashlib.sha256(part).digest()))
    )


def load_adapted(path: str | os.PathLike[str], run: Run) -> Adapted:
    """Reads what `save_adapted` wrote, perhaps a stranger's file.

    Args:
      path: the file.
      run: the one that was adapted.

    Raises:
      DataError: if the file is missing, damaged, or of another run.
      MemoryError: if it needs more memory than there is.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        got = "something else" if path.exists() else "no such file"
        checks.fail(str(path), "a file that `save` wrote", got, error=checks.DataError)
    with _whole(path), path.open("rb") as stream:
        about_size, about_digest, size, digest = _sizes(stream.read(_SEAL.size), os.fstat(stream.fileno()).st_size)
        about = json.loads(_part(stream.read(about_size), about_digest))
        _check_run(path, about["run"], run)
        like, frame = _described(about, run)
        leaves, structure = jax.tree.flatten(like.state)
        _check_state(path, leaves, about["state"])
        leaves = [*leaves, *frame.values()]
        if size != (expected := memory.size(leaves)):
            raise ValueError(f"{size:,} bytes for arrays of {expected:,}")
        memory.check(str(path), size)
        arrays = list(_arrays(_part(stream.read(size), digest), leaves))
    num_leaves = structure.num_leaves
    state = jax.tree.unflatten(structure, map(jnp.asarray, arrays[:num_leaves]))
    if not is_finite(state):
        checks.fail(str(path), "finite numbers", "NaN or infinity", error=checks.DataError)
    found = Frame(like.frame.facts, dict(zip(frame, arrays[num_leaves:], strict=True)))
    return dataclasses.replace(like, state=state, frame=found)


@contextlib.contextmanager
def _whole(path: pathlib.Path) -> Iterator[None]:
    """Turns whatever a damaged file raises into a DataError that names it."""
    try:
        yield
    except (checks.DataError, MemoryError):
        raise
    except Exception as error:  # foreign bytes raise many kinds
        line = (str(error).splitlines() or [""])[0]
        got = getattr(error, "strerror", None) or line[:200] or type(error).__name__
        checks.fail(str(path), "an adapted run, whole", got, "adapt again, and `save` it", checks.DataError)


def _sizes(first: bytes, stored: int) -> tuple[int, bytes, int, bytes]:
    if not first.startswith(MAGIC):
        raise ValueError("another kind of file")
    if len(first) < _SEAL.size:
        raise ValueError(f"{stored:,} bytes")
    _, about_size, about_digest, size, digest = _SEAL.unpack(first)
    if stored != (whole := _SEAL.size + about_size + size):
        raise ValueError(f"{stored:,} bytes where its size is {whole:,}")
    if about_size > MOST_ABOUT:
        raise ValueError(f"{about_size:,} bytes of JSON")
    return about_size, about_digest, size, digest


def _part(content: bytes, digest: bytes) -> bytes:
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("other bytes than were written")
    return content


def _facts(run: Run) -> dict[str, str]:
    """What tells a run from others: its learner, and a checksum of its network and parameters."""
    own, digest = run.recipe, hashlib.sha256()
    digest.update(json.dumps(dataclasses.asdict(own.network)).encode())
    if own.task.encoder:
        digest.update(f"{recipes.encoder(own.task.encoder).checksum} {own.task.picture}".encode())
    for name, leaf in jax.tree_util.tree_leaves_with_path(run.meta_params):
        array = np.asarray(leaf)
        digest.update(f"{jax.tree_util.keystr(name)} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return {"learner": own.adaptation.learner, "floats": str(jnp.result_type(float)), "sha256": digest.hexdigest()}


def _check_run(path: pathlib.Path, found: Any, run: Run) -> None:
    own = _facts(run)
    for name, hint in (("learner", ""), ("floats", "JAX_ENABLE_X64 must be as it was"), ("sha256", "")):
        if (got := found[name]) != own[name]:
            wanted, got = ("an adaptation of this run", "one of another") if name == "sha256" else (own[name], got)
            checks.fail(str(path), wanted, got, hint or "give the run that was adapted", checks.DataError)


def _told(array: Any) -> list[Any]:
    return [str(array.dtype), list(array.shape)]


def _shape(told: Any) -> jax.ShapeDtypeStruct:
    """The shape and type of an array, as JSON tells them."""
    name, shape = told
    dtype = np.dtype(name)
    if dtype.kind not in "biuf":
        raise ValueError(f"arrays of type {checks.shown(name)}")
    return jax.ShapeDtypeStruct([checks.integer("shape", size, 0, MOST) for size in shape], dtype)


def _described(about: Any, run: Run) -> tuple[Adapted, dict[str, jax.ShapeDtypeStruct]]:
    """What the file says of itself: its state as shapes, and those of the frame's arrays."""
    task, names, threshold = run.recipe.task, about["class_names"], about["threshold"]
    named = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not named or bool(names) != run.recipe.scoring.has_classes:
        raise ValueError(f"classes {names}")
    if len(set(names)) < len(names) or (run.recipe.entry.has_head and len(names) > task.ways):
        raise ValueError(f"{len(names)} classes, {len(set(names))} of them different")
    shapes: Any = [None if told is None else _shape(told) for told in about["support"]]
    support = Batch(*shapes)
    if support.inputs is None or support.targets is None or support.inputs.shape[1:] != run.shape.inputs:
        raise ValueError(f"examples of {about['support']}")
    if (needed := memory.size(support)) > memory.available():
        raise ValueError(f"{needed:,} bytes of examples")
    if threshold is not None:
        probability, below, known = threshold
        below, known = checks.integer("below", below, 0), checks.integer("known", known, 1)
        threshold = Threshold(_number(probability), below, known)
    mean, deviation = map(_number, about["scale"])
    steps, facts = checks.integer("inner_steps", about["inner_steps"], 0, MOST), dict(about["facts"])
    made = Adapted(run, (), support, steps, tuple(names), (mean, deviation), Frame(facts), threshold)
    state: PyTree = jax.eval_shape(made.learner.adapt, run.meta_params, support, jax.random.key(0))
    return dataclasses.replace(made, state=state), {name: _shape(told) for name, told in about["arrays"].items()}


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"the number {value!r}")
    return float(value)


def _check_state(path: pathlib.Path, leaves: Sequence[Any], told: Sequence[Any]) -> None:
    for wanted, got in zip(leaves, map(_shape, told), strict=True):
        if (wanted.shape, wanted.dtype) != (tuple(got.shape), got.dtype):
            found = f"{got.dtype} {got.shape}"
            checks.fail(str(path), f"an array {wanted.dtype} {wanted.shape}", found, error=checks.DataError)


def _arrays(content: bytes, shapes: Sequence[jax.ShapeDtypeStruct]) -> Iterator[np.ndarray]:
    start = 0
    for each in shapes:
        count = math.prod(each.shape)
        yield np.frombuffer(content, each.dtype, count, start).reshape(each.shape).copy()
        start += count * each.dtype.itemsize
