"""`jaxmeta evaluate RUN`."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.cli import build, scoring, train
from jaxmeta.cli.config import Evaluate, Train
from jaxmeta.runs import RunFolder, create, results, table, write_json
from jaxmeta.types import MetaLearner, PyTree


def load(path: str) -> tuple[RunFolder, Train]:
    """Opens a run folder and checks its config field by field; names come from the built-in tables alone.

    Raises:
      DataError: if it is no run of one learner, or a field is unknown or of another type.
    """
    run = RunFolder(path)
    known = {field.name: field for field in dataclasses.fields(Train)}
    if unknown := sorted(set(run.config) - set(known)):
        hint = "the embedded default trains two learners; evaluate a preset's run"
        checks.fail(f"{path}/config.json", "the fields of a preset's run", ", ".join(unknown), hint, checks.DataError)
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in run.config.items()
    }
    for name, value in given.items():
        default = getattr(Train(), name)
        if type(value) is not type(default) and not (isinstance(default, float) and isinstance(value, int)):
            wanted = f"{name} of type {type(default).__name__}"
            checks.fail(f"{path}/config.json", wanted, repr(value), error=checks.DataError)
    config = Train(**given)
    try:
        checks.choice("learner", config.learner, ("maml", "fomaml", "protonet"))
        for width in (*config.hidden, config.num_filters):
            checks.integer("width", width, 1, 65_536)
        train.check(config)
    except (ValueError, TypeError) as error:
        raise checks.DataError(f"{path}/config.json: {error}") from error
    return run, config


def parameters(run: RunFolder, learner: MetaLearner) -> PyTree:
    """The run's meta_params, held against the shapes that its config asks for."""
    return run.meta_params(jax.eval_shape(learner.init, jax.random.key(0)))


def run(options: Evaluate) -> int:
    folder, config = load(options.run)
    sizes: dict[str, Any] = {
        name: getattr(config, name) if getattr(options, name) is None else getattr(options, name)
        for name in ("ways", "shots", "queries")
    }
    for name, low in (("ways", 2), ("shots", 1), ("queries", 1)):
        checks.integer(f"--{name}", sizes[name], low)
    checks.integer("--num-tasks", options.num_tasks, 2)
    checks.integer("--seed", options.seed, 0)
    inner_steps = config.inner_steps_test if options.inner_steps is None else options.inner_steps
    target = dataclasses.replace(
        config, domain=options.domain or config.domain, norm=options.norm or config.norm, data_dir=options.data_dir
    )
    if build.is_regression(target) != build.is_regression(config):
        checks.fail("--domain", f"tasks like those of {config.domain!r}, which the run was trained on", target.domain)
    domain = build.domain(target, "test", **sizes)
    episodes = scoring.draw(domain.sample, options.seed, options.num_tasks)
    widths = scoring.widths(episodes) if domain.regression else (1, 1)
    learner = build.learner(
        target,
        ways=min(sizes["ways"], config.ways) if config.learner != "protonet" else sizes["ways"],
        inner_steps=inner_steps,
        widths=widths,
    )
    if config.learner != "protonet" and sizes["ways"] != config.ways and not domain.regression:
        checks.fail(
            "--ways", f"the {config.ways} outputs of the trained head", sizes["ways"], "or use a metric learner"
        )
    meta_params = jax.tree.map(jnp.asarray, parameters(folder, learner))
    out = create(options.out or folder.path / "evaluation", force=options.force)
    rows = scoring.standard_rows(
        target, meta_params, domain, episodes, **sizes, inner_steps=inner_steps, domain_name=_name(target.domain)
    )
    print(table(rows))
    content = results.document(rows, seed=options.seed, checksums=domain.checksums)
    print(f"results: {write_json(out / 'results.json', content)}")
    return 0


def _name(domain: str) -> str:
    """A path's last component: no file records a directory."""
    return domain.replace("\\", "/").rstrip("/").rpartition("/")[2]
