"""How runs and transfers are made again, and how they are cited."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from jaxmeta import checks, recipes, transfer
from jaxmeta.runs import training as trainings


def _words(config: Mapping[str, Any], base: Mapping[str, Any]) -> list[str]:
    """The flags by which a config differs from what it began with."""
    words = []
    for name, value in config.items():
        if name in base and base[name] == value:
            continue
        values = value if isinstance(value, list) else [value]
        words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return words


def train_command(config: Mapping[str, Any], preset: str, num_seeds: int) -> str:
    """The command that makes a run, empty if its preset is none that is known."""
    if preset not in recipes.PRESETS:
        return ""
    base = trainings.recorded(recipes.get(preset), num_seeds)
    # The kind follows from the domain.
    words = _words({name: value for name, value in config.items() if name not in ("seeds", "kind")}, base)
    more = ["--seeds", str(num_seeds)] if num_seeds > 1 else []
    return checks.line(shlex.join(["jaxmeta", "train", preset, *words, *more]))


def transfer_command(config: Mapping[str, Any], preset: str) -> str:
    """The command that makes a transfer, empty if its preset is none that is known."""
    if preset not in transfer.PLANS:
        return ""
    base = transfer.PLANS[preset].recorded()
    words = _words({name: value for name, value in config.items() if name != "in_domain"}, base)
    flag = [] if config["in_domain"] == base["in_domain"] else [f"--{'' if config['in_domain'] else 'no-'}in-domain"]
    return checks.line(shlex.join(["jaxmeta", "transfer", preset, *words, *flag]))


def training(results: Mapping[str, Any]) -> str:
    """How long a run was trained and what was kept of it, as far as its results say."""
    told = results.get("training")
    told = told if isinstance(told, dict) else {}
    steps, kept = told.get("steps"), told.get("kept_step")
    if not (isinstance(steps, int) and isinstance(kept, int)):
        return ""
    said = f"{steps:,} steps, kept: the parameters of step {kept:,}"
    ends = [f"it {word} ({told[word]})" for word in ("collapsed", "diverged") if told.get(word)]
    return "; ".join([said, *ends])


def bibtex(version: str) -> str:
    """How jaxmeta is cited."""
    return (
        f"@software{{jaxmeta,\n  title = {{jaxmeta: few-shot and cross-domain meta-learning in JAX}},\n"
        f"  version = {{{version}}},\n  license = {{Apache-2.0}}\n}}"
    )


def papers(configs: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The papers behind the methods of runs and transfers, as the docstrings of their learners name them."""
    names = [name for config in configs for name in (*config.get("learners", ()), config.get("learner"))]
    found = []
    for name in dict.fromkeys(filter(None, names)):
        entry = recipes.ENTRIES.get(name)
        _, _, told = (entry.learner.__doc__ or "").partition("References:\n") if entry else ("", "", "")
        paper = re.split(r"\n\s*\n", told)[0]
        if paper.strip():
            found.append((name, " ".join(paper.split())))
    return found
