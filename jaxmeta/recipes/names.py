"""The names of domains: lists of them, paths among them, and what is written down of a path."""

from __future__ import annotations

import os
import pathlib

from jaxmeta import datasets

CONTROL = (
    "navigation", "arm", "arm:crossed", "arm:swapped", "arm:long", "pendulum", "cartpole", "grid",
    "cheetah:direction", "cheetah:velocity",
)  # fmt: skip
PROCESSES = ("gaussian_process:rbf", "gaussian_process:matern52", "gaussian_process:periodic")
PROCEDURAL = ("strokes", "drawn_strokes", "sinusoid", *PROCESSES, "tabular", "causal_tables", *CONTROL)


def parts(domain: str) -> tuple[str, ...]:
    """The domains of a comma-separated list; a path that has a comma in it is one domain."""
    return (domain,) if os.path.exists(domain) else tuple(part.strip() for part in domain.split(","))


def is_function(part: str) -> bool:
    """Whether a domain is one of functions that there is no end of; a name behind a colon may be wrong."""
    return part == "sinusoid" or part.partition(":")[0] == "gaussian_process"


def is_builtin(domain: str) -> bool:
    """Whether all domains are known by name, so that no path of anybody's choosing is read."""
    known = (*PROCEDURAL, *datasets.names())
    return all(part in known or part.startswith("tfds:") for part in parts(domain))


def short(domain: str) -> str:
    """The last components of paths: no file records a directory."""
    last = lambda part: part.replace("\\", "/").rstrip("/").rpartition("/")[2]  # noqa: E731
    return ",".join(part if part.startswith("tfds:") else last(part) for part in parts(domain))


def suffix(part: str) -> str:
    """The ending of a file's name, ".csv" or ".npz"; "" of anything else."""
    return pathlib.PurePath(part).suffix.lower()


def with_classes(*splits: str) -> str:
    """The built-in domains that have classes for all of these splits, as errors list them."""
    return ", ".join(each for each, about in datasets.names().items() if {*splits} <= {*about.splits})
