"""`jaxmeta evaluate RUN`."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import pathlib
import typing
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta import baselines, checks, memory
from jaxmeta.cli import build, scoring, sources, train
from jaxmeta.cli.config import Evaluate, Train
from jaxmeta.runs import RunFolder, check_empty, check_plain, create, processes, read_json, results, table, write_json
from jaxmeta.runs.folder import FREE, MOST_RESULTS, RESULTS
from jaxmeta.types import PyTree

MOST = 2**31 - 1
"""Beyond it jax has no number, and no run an end."""


def load(path: str) -> tuple[RunFolder, Train]:
    """Opens a run folder of one learner and checks its config.

    Raises:
      DataError: if it is none, or a number in it cannot be.
    """
    run = RunFolder(path)
    config = _read(run)
    try:
        checks.integer("layers in hidden", len(config.hidden), 1, 100)
        for width in (*config.hidden, config.num_filters):
            checks.integer("width", width, 1, 65_536)
        checks.integer("numbers in picture", len(config.picture), 3, 3)
        for name, value in dataclasses.asdict(config).items():
            if type(value) is int:
                checks.integer(name, value, 0, MOST)
        train.check(config)
    except (ValueError, TypeError) as error:
        raise checks.DataError(f"{path}/config.json: {error}") from error
    return run, config


def _read(run: RunFolder) -> Train:
    """Reads a run's config field by field; names come from the built-in tables alone.

    Raises:
      DataError: if a field is unknown, of another type, or a name that is not there.
    """
    path, default = f"{run.path}/config.json", Train()
    if unknown := sorted(set(run.config) - {field.name for field in dataclasses.fields(Train)}):
        checks.fail(path, "the fields of a training", ", ".join(unknown), error=checks.DataError)
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in run.config.items()
    }
    for name, value in given.items():
        like = getattr(default, name)
        if type(value) is not type(like) and not (isinstance(like, float) and isinstance(value, int)):
            checks.fail(path, f"{name} of type {type(like).__name__}", repr(value), error=checks.DataError)
    try:
        given |= {name: float(value) for name, value in given.items() if isinstance(getattr(default, name), float)}
        config = Train(**given)
        for name, literal in typing.get_type_hints(Train).items():
            if names := typing.get_args(literal) if typing.get_origin(literal) is typing.Literal else ():
                checks.choice(name, getattr(config, name), names)
    except (ValueError, OverflowError) as error:
        raise checks.DataError(f"{path}: {error}") from error
    return config


def parameters(run: RunFolder, config: Train, shape: build.Shape) -> PyTree:
    """The run's meta_params, held against the shapes that its config asks for."""
    like = jax.eval_shape(build.training_learner(config, shape).init, jax.random.key(0))
    if config.seeds > 1:
        wanted = f"one of its {config.seeds} runs, such as {run.path / f'seed-{config.seed}'}"
        checks.fail(str(run.path), wanted, "the folder of all", error=checks.DataError)
    if build.is_pretrained(config):
        pictures = jax.ShapeDtypeStruct((1, *shape.inputs), "float32")
        finish = functools.partial(baselines.with_population, build.network(config, shape))
        like = jax.eval_shape(finish, like, pictures)
    memory.check(f"{run.path}/config.json, parameters", memory.size(like))
    return jax.tree.map(jnp.asarray, run.meta_params(like))


def trained_on(run: RunFolder) -> frozenset[str] | None:
    """The checksums of the data that a run was trained on, or None if it does not say."""
    try:
        return frozenset(map(str, read_json(run.path / RESULTS, MOST_RESULTS)["data"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


class _Opened(NamedTuple):
    """A run before its tasks."""

    config: Train
    """With the domain of the tasks."""
    meta_params: PyTree
    inner_steps: int
    test: scoring.Test
    out: pathlib.Path


def run(options: Evaluate) -> int:
    with contextlib.ExitStack() as held:
        with processes.alike():
            config, meta_params, inner_steps, test, out = _open(options, held)
        rows = [
            *scoring.raw_rows(config, test),
            *scoring.learner_rows(config, meta_params, test, inner_steps=inner_steps),
        ]
        print(table(rows))
        content = results.document(rows, seed=options.seed, checksums=test.checksums)
        print(f"results: {write_json(out / 'results.json', content)}")
    return 0


def _open(options: Evaluate, held: contextlib.ExitStack) -> _Opened:
    folder, config = load(options.run)
    sizes: dict[str, Any] = {
        name: getattr(config, name) if getattr(options, name) is None else getattr(options, name)
        for name in ("ways", "shots", "queries")
    }
    for name, low in (("ways", 2), ("shots", 1), ("queries", 1)):
        checks.integer(f"--{name}", sizes[name], low, MOST)
    checks.integer("--num-tasks", options.num_tasks, 2, MOST)
    checks.integer("--seed", options.seed, 0, MOST)
    inner_steps = config.inner_steps_test if options.inner_steps is None else options.inner_steps
    checks.integer("--inner-steps", inner_steps, 0, MOST)
    if build.has_head(config) and not build.is_regression(config) and sizes["ways"] != config.ways:
        checks.fail("--ways", f"the {config.ways} outputs of the trained head", sizes["ways"], "or use a metric run")
    if build.is_pretrained(config) and options.norm not in (None, config.norm):
        checks.fail("--norm", f"{config.norm}, whose statistics of the source the run has", options.norm)
    if options.domain is None and not sources.is_builtin(config.domain):
        # A run folder may be a stranger's, and the file of that name anybody's.
        checks.fail("--domain", f"the path of {config.domain!r}, which the run was trained on", "none")
    evaluation = folder.path / "evaluation"
    if options.out is None:
        check_plain(evaluation)
    out_path = options.out or evaluation
    if not options.force:
        check_empty(out_path, FREE)  # before anything is loaded
    domain = options.domain or config.domain
    own = config.target_column if sources.name(domain) == config.domain else ""
    target = dataclasses.replace(
        config, domain=domain, target_column=options.target_column or own, data_dir=options.data_dir,
        norm=options.norm or config.norm, polarity=options.polarity or config.polarity,
    )  # fmt: skip
    test = scoring.test(target, seed=options.seed, num_tasks=options.num_tasks, seen=trained_on(folder), **sizes)
    meta_params = parameters(folder, target, test.shape)
    out = held.enter_context(create(out_path, force=options.force))
    return _Opened(target, meta_params, inner_steps, test, out)
