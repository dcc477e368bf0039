"""What made a number: versions, devices and the machine; never the name of a host, a user or a folder."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import platform
from collections.abc import Mapping
from typing import Any

import jax

from jaxmeta import checks
from jaxmeta.version import VERSION

_CPU_INFO = pathlib.Path("/proc/cpuinfo")


def versions() -> dict[str, str]:
    """The code that makes a number what it is."""
    others = {name: importlib.metadata.version(name) for name in ("jax", "flax", "optax", "numpy")}
    return {"jaxmeta": VERSION, **others, "python": platform.python_version()}


def device() -> str:
    """What computes, such as "2 x cpu"."""
    return f"{jax.device_count()} x {jax.devices()[0].device_kind}"


def processor() -> str:
    """The model of the CPU as far as the system tells, and how many cores it has, such as "AMD EPYC, 2 cores"."""
    try:
        facts = [line.partition(":") for line in _CPU_INFO.read_text(errors="replace").splitlines()]
    except OSError:  # only Linux has the file
        facts = []
    models = [value for name, _, value in facts if name.strip() == "model name"]
    model = models[0] if models else platform.processor() or platform.machine()
    return f"{checks.line(model).strip()}, {os.cpu_count()} cores"


def compiler_flags() -> str:
    """Those of XLA_FLAGS that may change a result: without devices, which `device` counts, and without paths."""
    flags = {flag.partition("=")[0]: flag for flag in os.environ.get("XLA_FLAGS", "").split()}
    silent = ("--xla_force_host_platform_device_count", "--xla_dump")
    kept = [flag for name, flag in flags.items() if not (name.startswith(silent) or "/" in flag or "\\" in flag)]
    return " ".join(sorted(kept)) or "none"


def record() -> dict[str, Any]:
    """What a file of results says of its making: the fields `versions`, `device` and `processor`."""
    return {"versions": versions(), "device": device(), "processor": processor()}


def line(content: Mapping[str, Any]) -> str:
    """The sentence under a table, such as "2 x cpu (AMD EPYC, 2 cores); jaxmeta 0.1.0, jax 0.10.2, python 3.11.7".

    Args:
      content: of a file of results; of the fields of `record` what it has.
    """
    machine = " ".join(
        filter(None, [content.get("device"), f"({content['processor']})" if "processor" in content else ""])
    )
    code = ", ".join(f"{name} {version}" for name, version in content.get("versions", {}).items())
    return "; ".join(filter(None, [machine, code]))
