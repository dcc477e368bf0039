"""The form in which a device computes convolutions fastest: known of a CPU, measured once elsewhere, and kept."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import memory
from jaxmeta.types import Array

FORMS = ("plain", "patches")
"""XLA's own convolution, which tasks with weights of their own turn into a grouped one; patches times a matrix, which
they turn into a batched matmul."""
FORMAT = 1  # raise when what is measured changes
_Result = TypeVar("_Result")
_given_up: set[str] = set()  # forms for which a program of this process did not compile


class Choice(NamedTuple):
    """How convolutions of several tasks are computed."""

    form: str
    """One of FORMS."""
    in_turn: bool
    """Whether tasks are computed one after the other, and not side by side."""

    def __str__(self) -> str:
        return f"{self.form}, {'tasks in turn' if self.in_turn else 'tasks side by side'}"


WAYS = tuple(Choice(form, in_turn) for form in FORMS for in_turn in (False, True))


def choice() -> Choice:
    """The fastest way on the devices of the default backend, of forms that compile.

    Of a CPU it is known (benchmarks/README.md); elsewhere it is `measure`d where it was not before, which takes some
    seconds, and kept in the user's cache, by the kind of device and the versions. Several processes, whose programs
    must be the same, take the plain form.
    """
    if memory.on_cpu():
        found = Choice("patches", True)
    elif jax.process_count() > 1:
        found = Choice("plain", False)
    else:
        found = _kept(jax.devices()[0].device_kind)
    left = [form for form in FORMS if form not in _given_up]
    return found if found.form in left else found._replace(form=left[0])


def falling_back(compiled: Callable[[], _Result]) -> _Result:
    """Calls what compiles a program; if the compiler gives up, once more with the other form of convolutions.

    The other one then holds for this process. On a CPU either compiles, and nothing is tried again.

    Args:
      compiled: () -> anything; it traces anew, and changes nothing before it has compiled.

    Warns:
      RuntimeWarning: that the form did not compile, with the compiler's first line.

    Raises:
      JaxRuntimeError: if it compiles in neither form, or memory does not suffice.
    """
    try:
        return compiled()
    except jax.errors.JaxRuntimeError as error:
        if memory.on_cpu() or "RESOURCE_EXHAUSTED" in str(error):
            raise
        form = choice().form
        others = [each for each in FORMS if each not in {form, *_given_up}]
        if not others:
            raise
        _given_up.add(form)
        jax.clear_caches()
        try:
            result = compiled()
        except jax.errors.JaxRuntimeError:
            _given_up.discard(form)  # it is not the convolutions' form
            raise error from None
        _warn(form, error, f"took {others[0]!r}")
        return result


def measure(
    *, num_tasks: int = 8, num_rows: int = 80, size: int = 28, num_filters: int = 64, num_repeats: int = 5
) -> dict[Choice, float]:
    """Seconds that each way takes for what a meta-gradient asks of two layers: forward mode over the gradient.

    Every task has kernels of its own, of 3 x 3 and stride 2, as Conv-4 has them on Omniglot. The defaults are the
    pictures of a 5-way 1-shot task with 15 queries a class.

    Args:
      num_tasks, num_rows, size, num_filters: tasks, pictures of a task, their height and width, and channels.
      num_repeats: runs of each way, of which the fastest counts.

    Returns:
      {way: seconds}, without ways that do not compile.

    Warns:
      RuntimeWarning: that one does not compile, with the compiler's first line.
    """
    draw, seconds = np.random.default_rng(0), {}
    shapes = ((num_rows, size, size, 1), (3, 3, 1, num_filters), (3, 3, num_filters, num_filters))
    points, along = (
        tuple(draw.normal(size=(num_tasks, *shape)).astype(np.float32) for shape in shapes) for _ in range(2)
    )
    for way in WAYS:
        work = jax.jit(functools.partial(_over_tasks, way))
        with jax.ensure_compile_time_eval():  # whoever asks may be tracing
            try:
                program = work.lower(points, along).compile()
                jax.block_until_ready(program(points, along))
            except jax.errors.JaxRuntimeError as error:
                _warn(str(way), error, "left it out")
                continue
            times = []
            for _ in range(num_repeats):
                began = time.perf_counter()
                jax.block_until_ready(program(points, along))
                times.append(time.perf_counter() - began)
        seconds[way] = min(times)
    return seconds


def _over_tasks(way: Choice, points: tuple[Array, ...], along: tuple[Array, ...]) -> Any:
    from jaxmeta.models.convolution import convolve

    def loss(x: Array, first: Array, second: Array) -> Array:
        x = jnp.tanh(convolve(x, first, stride=2, form=way.form))
        return jnp.square(convolve(x, second, stride=2, form=way.form)).mean()

    def one(given: tuple[tuple[Array, ...], tuple[Array, ...]]) -> Any:
        return jax.jvp(jax.grad(loss, (0, 1, 2)), *given)

    return (jax.lax.map if way.in_turn else lambda one, given: jax.vmap(one)(given))(one, (points, along))


@functools.lru_cache(maxsize=8)
def _kept(device_kind: str) -> Choice:
    """The choice from the user's cache, or measured and put there."""
    from jaxmeta.datasets import cache

    key = json.dumps([FORMAT, device_kind, *map(importlib.metadata.version, ("jax", "jaxlib"))])
    path = cache.folder() / f"convolutions-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # what cannot be read counts as none
        kept = json.loads(path.read_text())
        if kept["key"] == key and (found := Choice(kept["form"], kept["in_turn"])) in WAYS:
            return found
    seconds = measure()
    if not seconds:
        return Choice("plain", False)
    found = min(seconds, key=seconds.__getitem__)
    record = {"key": key, **found._asdict(), "seconds": {str(way): value for way, value in seconds.items()}}
    with contextlib.suppress(OSError):  # a cache that cannot be written is no error
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        part.write_text(json.dumps(record, indent=1))
        os.replace(part, path)
    return found


def _warn(form: str, error: Exception, done: str) -> None:
    line = (str(error).splitlines() or [""])[0]
    text = f"convolutions of the form {form!r} do not compile on {jax.devices()[0].device_kind}, {done}: {line}"
    warnings.warn(text, RuntimeWarning, stacklevel=3)
