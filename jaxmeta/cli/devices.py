"""The devices of a command: all that can share its tasks, of one process or of several that the user has started."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

import jax

from jaxmeta import checks, threads

FORCED = "xla_force_host_platform_device_count"
COORDINATOR, PROCESSES, PROCESS = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
LEAVE = 10.0
"""Seconds that a process which leaves waits for the others."""


def all_cores() -> None:
    """Makes each core that this process may use a device of its own, before jax starts, unless the user said how many.

    One device leaves cores idle on CPU, where tasks go one after the other.
    """
    if "JAX_NUM_CPU_DEVICES" in os.environ or FORCED in os.environ.get("XLA_FLAGS", ""):
        return
    jax.config.update("jax_num_cpu_devices", threads.cores())


@contextlib.contextmanager
def joined(distributed: bool) -> Iterator[None]:
    """Joins the processes of a command, before jax starts; all but the first keep silent.

    Args:
      distributed: whether there are others. JAX finds them under Slurm, Open MPI, Kubernetes and on TPU pods; elsewhere
        JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID say where they meet.

    Raises:
      ValueError: if neither says it.
    """
    if not distributed:
        yield
        return
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    given = {name: os.environ.get(name) for name in (PROCESSES, PROCESS)}
    for name, value in given.items():
        if value is not None and not value.isdecimal():
            checks.fail(name, "a whole number", repr(value))
    count, index = (None if value is None else int(value) for value in given.values())
    try:
        jax.distributed.initialize(num_processes=count, process_id=index)
    except ValueError as error:
        hint = f"set {COORDINATOR}, {PROCESSES} and {PROCESS}, or start it by a launcher that JAX knows, such as srun"
        checks.fail("--distributed", "to be told of the other processes", error, hint)
    first = jax.process_index() == 0
    with open(os.devnull, "w") as nowhere, open(os.dup(1), "w") as out:
        os.dup2(nowhere.fileno(), 1)  # where gloo counts its connections
        with (
            contextlib.redirect_stdout(out if first else nowhere),
            contextlib.nullcontext() if first else contextlib.redirect_stderr(nowhere),
        ):
            yield


def part(code: int) -> None:
    """Leaves the other processes together with them, or ends this one if they do not come: they may wait for it.

    Args:
      code: the exit code of the latter.
    """
    if jax.distributed.is_initialized():
        leaving = threading.Thread(target=jax.distributed.shutdown, daemon=True)
        leaving.start()
        leaving.join(LEAVE)
        if leaving.is_alive():
            os._exit(code)
