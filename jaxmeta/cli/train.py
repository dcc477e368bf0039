"""`jaxmeta train PRESET` and `jaxmeta train --resume RUN`."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shlex
from typing import Any

from jaxmeta import checks, encoders, recipes, runs
from jaxmeta.cli import config, signals, watching
from jaxmeta.recipes import Recipe
from jaxmeta.runs import folder as folders
from jaxmeta.runs import processes, results, run, scores, seeds, training


def begin(options: config.Train, preset: str) -> int:
    """Trains a preset and evaluates it."""
    checks.integer("--seeds", options.seeds, 1)
    path = pathlib.Path(options.out or f"runs/{preset}")
    with processes.alike():
        if not options.force:
            broken = (path / "config.json").exists()
            again = f"{_command(path, options.recipe.task, options)} continues a broken run; or {config.FREE}"
            runs.check_empty(path, again if broken else config.FREE)
    lists = {name: config.classes(getattr(options.recipe.task, name))
             for name in ("train_classes", "validation_classes", "test_classes")}  # fmt: skip
    return _carry_out(
        options.recipe.replace(**lists), preset, path, options, options.seeds, "replace" if options.force else "refuse"
    )


def resume(options: config.Resume) -> int:
    """Goes on with a run."""
    with processes.alike():
        found = runs.RunFolder(options.resume)
        recipe, num_seeds = run.read_all(found)
        own = recipe.task.domain
        domain = options.domain or own
        if recipes.short(domain) != own:
            checks.fail("--domain", f"the {own!r} that the run began with", repr(recipes.short(domain)))
        if options.domain is None and not recipes.is_builtin(domain):
            # A run folder may be a stranger's, and the file of that name anybody's.
            checks.fail("--domain", f"the path of {domain!r}, which the run began with", "none")
        if options.steps is not None and options.steps != recipe.budget.steps:
            if recipe.outer.schedule not in training.LENGTHENED:
                wanted = f"the {recipe.budget.steps} that the run's schedule {recipe.outer.schedule} was made for"
                checks.fail("--steps", wanted, options.steps, "train anew")
            checks.integer("--steps", options.steps, recipe.budget.steps, run.MOST)
            recipe = recipe.replace(steps=options.steps)
    recipe = run.with_encoder(recipe.replace(domain=domain), options.encoder, found.checksums())
    return _carry_out(recipe, found.preset or "", found.path, options, num_seeds, "resume")


def _carry_out(
    recipe: Recipe,
    preset: str,
    path: pathlib.Path,
    options: config.Train | config.Resume,
    num_seeds: int,
    existing: Any,
) -> int:
    several, board = num_seeds > 1, path / folders.TENSORBOARD if options.tensorboard else None
    hint = f"to go on: {_command(path, recipe.task, options)}"
    with signals.watched(hint) as stop, watching.Watch(stop, board) as watch:
        with processes.alike():
            recipe, source = training.opened(recipe, data_dir=options.data_dir)
            task, number = recipe.task, recipe.budget.num_tasks
            sizes: dict[str, Any] = {"ways": task.ways, "shots": task.shots, "queries": task.queries}
            seed = run.TEST_SEED + recipe.seed  # drawn before anything is trained: what cannot be is told at once
            test = scores.drawn(recipe, seed=seed, num_tasks=number, seen=None, **sizes, data_dir=options.data_dir)
        read = (*source.read, *test.read)
        watching.told(read)
        chosen = range(recipe.seed, recipe.seed + num_seeds) if several else None
        ran = runs.train(
            recipe, folder=path, data_dir=options.data_dir, seeds=chosen, source=source, preset=preset,
            existing=existing, report=watch, stop=stop,
        )  # fmt: skip
    rows: dict[int, list[scores.Row]] = {}
    trainings = {each.recipe.seed: each.fitted for each in (ran if several else (ran,))}
    diverged = {own: fitted for own, fitted in trainings.items() if fitted.diverged}
    for each in ran if several else (ran,):
        own = each.recipe.seed
        if own in diverged:
            continue
        drawn = test if own == recipe.seed else scores.redrawn(test, run.TEST_SEED + own)
        rows[own] = each.rows(drawn)
        table = f"{each.table(rows[own])}\n{results.kept(trainings[own])}"
        print(f"seed {own}\n{table}\n" if several else table)
        written = each.write(rows[own], test.checksums, read)
    if several:
        found = seeds.spreads(rows) if len(rows) > 1 else []
        print(seeds.text(found) if found else "one seed is left, and has no spread")
        every = [{"seed": own} | row for own, inside in rows.items() for row in inside]
        content = results.document(every, seed=recipe.seed, checksums=source.checksums | test.checksums, read=read)
        content |= {"seeds": found, "trainings": {own: results.training(fitted) for own, fitted in trainings.items()}}
        written = runs.write_json(path / "results.json", content)
    print(f"results: {written}")
    if diverged:
        said = (f"seed {own} {fitted.diverged}; {results.kept(fitted)}" for own, fitted in diverged.items())
        raise runs.DivergedError(" | ".join(said))
    return 0


def _command(path: str | os.PathLike[str], task: recipes.Task, options: config.Train | config.Resume) -> str:
    """The command that resumes a run; no file records directories, so it names those of the data."""
    words = ["jaxmeta", "train", "--resume", os.fspath(path)]
    words += ["--domain", task.domain] if not recipes.is_builtin(task.domain) else []
    words += ["--encoder", task.encoder] if task.encoder and task.encoder not in encoders.NAMES else []
    words += ["--data-dir", options.data_dir] if options.data_dir else []
    words += [f"--{name}" for name in ("tensorboard", "distributed") if dataclasses.asdict(options)[name]]
    return shlex.join(words)
