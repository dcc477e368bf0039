"""`jaxmeta audit MODULE:NAME`: anybody's learner."""

from __future__ import annotations

import importlib
import inspect
import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxmeta import checks, criteria, tasks
from jaxmeta.auditing import Report, audit, merged
from jaxmeta.cli.config import Audit
from jaxmeta.runs.folder import finite
from jaxmeta.types import Episode, MetaLearner


def run(options: Audit) -> int:
    path = None if options.json is None else pathlib.Path(options.json)
    if path is not None and path.exists() and not options.force:
        checks.fail(str(path), "no such file yet", "one that exists", "choose another --json, or give --force")
    checks.seed("--seed", options.seed)
    promises = merged(dict(_promise(text) for text in options.promise))
    sys.path.insert(0, str(pathlib.Path.cwd()))
    try:
        report = _audit(options, promises)
    finally:
        sys.path.pop(0)
    print(report)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        found = {"schema": 1, "learner": options.learner, "checks": report.as_json()}
        path.write_text(json.dumps(finite(found), indent=1) + "\n", encoding="utf-8")
        print(f"results: {path}")
    return 1 if report.broken else 0


def _promise(text: str) -> tuple[str, str | None]:
    name, equals, word = text.partition("=")
    if not equals:
        checks.fail("--promise", "CHECK=WORD", repr(text))
    return name, None if word == "none" else word


def _audit(options: Audit, promises: dict[str, str | None]) -> Report:
    name, named = options.learner, _load(options.learner)
    make: Callable[[int], MetaLearner] | None = None
    if callable(named):
        build, parameters = named, inspect.signature(named).parameters.values()
        empty = [each.name for each in parameters if each.default is each.empty and each.kind < each.VAR_POSITIONAL]
        if empty:
            checks.fail(name, "a function that can be called without arguments", f"one that needs {', '.join(empty)}")
        if any(each.name == "num_steps" for each in parameters):
            make = lambda num_steps: _learner_and_sample(options, build(num_steps=num_steps))[0]  # noqa: E731
        named = _theirs(name, build)
    learner, sample = _learner_and_sample(options, named)

    def audited() -> Report:
        query = jax.eval_shape(sample, jax.random.key(0)).query
        labels = jnp.issubdtype(query.targets.dtype, jnp.integer)
        criterion = criteria.cross_entropy if labels else criteria.squared_error
        key = jax.random.key(options.seed)
        return audit(learner, sample, key, criterion=criterion, promises=promises, make=make)

    return _theirs(name, audited)


def _load(name: str) -> Any:
    """What MODULE:NAME names; importing it runs it."""
    module, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), attribute)):
        checks.fail("audit", "MODULE:NAME", repr(name))
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise
        checks.fail("audit", "a module that can be imported from the current directory", repr(module))
    except (Exception, SystemExit) as error:
        raise _failure(name, error) from error
    if not hasattr(loaded, attribute):
        checks.fail("audit", f"a name in {module}", repr(attribute))
    return getattr(loaded, attribute)


def _learner_and_sample(options: Audit, named: Any) -> tuple[MetaLearner, tasks.Sample]:
    if isinstance(named, MetaLearner):
        return named, _domain(options)
    if isinstance(named, tuple) and len(named) == 2 and isinstance(named[0], MetaLearner) and callable(named[1]):
        return named
    checks.fail(options.learner, "a MetaLearner or (MetaLearner, sampler)", type(named).__name__, error=TypeError)


def _domain(options: Audit) -> Callable[[jax.Array], Episode]:
    sizes: dict[str, Any] = {"num_shots": options.shots, "num_queries": options.queries}
    if options.domain == "sinusoid":
        return tasks.sinusoid(**sizes)
    if options.domain == "strokes":
        return tasks.strokes(num_ways=options.ways, **sizes)
    return tasks.tabular(num_features=options.features, num_ways=options.ways, **sizes)


def _theirs(name: str, function: Callable[[], Any]) -> Any:
    """Calls code of the user's; whatever it raises becomes one line that names it."""
    try:
        return function()
    except (Exception, SystemExit) as error:  # an exit of theirs would pass for a verdict
        raise _failure(name, error) from error


def _failure(name: str, error: BaseException) -> checks.DataError:
    return checks.DataError(f"{name}: {type(error).__name__}: {error}")
