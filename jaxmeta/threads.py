"""XLA's threads on a CPU: `import jaxmeta` gives its pool one more than there are cores or devices.

Baselines of scikit-learn (jax#24255) and LAPACK's kernels wait on a thread of the pool for others of it, and where
every one of them does, none goes on. The pool is made when jax is first used: in a program that has used it before,
NPROC has to be set outside.
"""

import os


def cores() -> int:
    """The cores that this process may use."""
    return (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()) or 1


_devices = os.environ.get("JAX_NUM_CPU_DEVICES", "")
os.environ.setdefault("NPROC", str(max(cores(), int(_devices) if _devices.isdecimal() else 1) + 1))
