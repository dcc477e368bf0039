"""The devices of a command: all that can share its tasks."""

from __future__ import annotations

import os

import jax

FORCED = "xla_force_host_platform_device_count"


def all_cores() -> None:
    """Makes each core that this process may use a device of its own, before jax starts, unless the user said how many.

    One device leaves cores idle on CPU, where tasks go one after the other.
    """
    if "JAX_NUM_CPU_DEVICES" in os.environ or FORCED in os.environ.get("XLA_FLAGS", ""):
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    jax.config.update("jax_num_cpu_devices", cores or 1)


def mesh(num_tasks: int) -> jax.sharding.Mesh | None:
    """The most devices that divide a number of tasks, or None if that is one."""
    devices = jax.devices()
    count = max(size for size in range(1, len(devices) + 1) if num_tasks % size == 0)
    return None if count == 1 else jax.make_mesh((count,), ("tasks",), devices=devices[:count])
