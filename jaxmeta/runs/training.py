"""From a recipe to a run: opens the data, meta-trains each seed, keeps what was learned in a folder."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from jaxmeta import baselines, checks, chunks, evaluation, memory, meshes, recipes, tasks, training
from jaxmeta.recipes import Recipe
from jaxmeta.recipes.scoring import Scoring
from jaxmeta.runs import fitting, processes, scores, stores
from jaxmeta.runs import folder as folders
from jaxmeta.runs.events import Event, Fitted, Report, silent
from jaxmeta.runs.run import Run
from jaxmeta.types import PyTree

SELECT_SEED = 1_000_003
POPULATION = 1024  # examples of the source whose moments a pre-trained network keeps
LENGTHENED = ("constant", "halving")
"""Schedules that do not hang on how many steps there will be: with these a run may be trained longer."""


class Source(NamedTuple):
    """What a recipe trains on."""

    sample: tasks.Sample
    validation: tasks.Sample
    """Tasks of classes that are neither training nor test classes."""
    checksums: dict[str, str]
    population: Callable[[int], Any] | None
    """seed -> inputs of which a pre-trained network takes its statistics; None for others."""
    known: recipes.Seen = recipes.Seen()
    """Which classes and examples are trained on and chosen by."""
    read: tuple[recipes.Facts, ...] = ()
    """What is to be said of them."""


def opened(recipe: Recipe, *, data_dir: str | None = None) -> tuple[Recipe, Source]:
    """Opens the training domains; returns the recipe with the sizes that their data alone can tell."""
    recipes.check(recipe)
    recipe = recipe.replace(task=recipes.complete(recipe.task, data_dir=data_dir))
    task = recipe.task
    if recipe.entry.is_pretrained and not recipes.kind(task).pretrains:
        wanted = f"one that trains on tasks, as {recipes.kind(task).name} are"
        checks.fail("`learner`", wanted, recipe.adaptation.learner)
    if recipe.entry.is_pretrained:
        return _labelled(recipe, data_dir)
    domain = recipes.domains.open(task.domain, "train", task=task, data_dir=data_dir)
    validation = _validation(recipe, data_dir)
    return recipe, _source(domain, validation, None)


def _source(domain: recipes.Domain, validation: recipes.Domain, population: Callable[[int], Any] | None) -> Source:
    return Source(
        domain.sample, validation.sample, domain.checksums | validation.checksums, population,
        domain.known | validation.known, domain.facts + validation.facts,
    )  # fmt: skip


def _labelled(recipe: Recipe, data_dir: str | None) -> tuple[Recipe, Source]:
    task = recipe.task
    examples, parts, known, read = recipes.domains.labelled(task, "train", data_dir=data_dir)
    recipe = recipe.replace(num_classes=task.num_classes or len(examples.class_names))
    if recipe.task.num_classes != len(examples.class_names):
        wanted = f"the {len(examples.class_names)} of `domain`, or 0"
        checks.fail("`num_classes`", wanted, recipe.task.num_classes)
    # Of each domain as much as a learner's tasks have of it, whose sampler is a mixture.
    most = min(POPULATION, min(parts) * len(parts))
    many = tasks.labelled_batches(examples, batch_size=most, parts=parts)
    sample = tasks.labelled_batches(examples, batch_size=recipe.budget.batch_size, parts=parts)
    sample = recipes.kind(task).augmented(task, sample)
    domain = recipes.Domain(sample, examples.split, examples.checksums, known, read)
    return recipe, _source(domain, _validation(recipe, data_dir), lambda seed: many(jax.random.key(seed)).query.inputs)


def _validation(recipe: Recipe, data_dir: str | None) -> recipes.Domain:
    return recipes.domains.open(recipe.task.domain, "validation", task=recipe.task, data_dir=data_dir)


def fitted(
    recipe: Recipe,
    source: Source,
    kept: Mapping[int, stores.Store],
    *,
    label: str = "",
    start: PyTree | None = None,
    report: Report = silent,
    stop: Callable[[], int] = lambda: 0,
) -> dict[int, Fitted]:
    """Meta-trains the seeds of a recipe from their last checkpoints on; the best by validation classes of the source.

    Args:
      recipe: as `opened` returned it, with its Source.
      source: what to train on.
      kept: the store of each seed.
      label: names the training to people; by default the learner.
      start: meta_params to begin with; None: the learner's own.
      report: is told how it goes.
      stop: asked often; a number other than 0 ends the training in good order.

    Returns:
      {seed: Fitted}, whose meta_params are finished: a pre-trained network has its population statistics.
    """
    shape, budget, scoring = recipes.shape(recipe, source.validation), recipe.budget, recipe.scoring
    learner = recipes.training_learner(recipe, shape)
    tester = recipes.learner(recipe, shape, ways=recipe.task.ways, inner_steps=recipe.adaptation.inner_steps_test)
    if start is not None:
        learner = learner._replace(init=lambda key: start)
    finish = {seed: _finisher(recipe, shape, source, seed) for seed in kept}

    def validator(seed: int) -> Callable[[PyTree], dict[str, float]]:
        select_on = scores.draw(source.validation, SELECT_SEED + seed, budget.validation_tasks)

        def validate(meta_params: PyTree) -> dict[str, float]:
            found = evaluation.evaluate(
                tester, scoring.judge, finish[seed](meta_params), select_on, jax.random.key(seed),
                columns={"joint": evaluation.as_is}, mesh=meshes.most(budget.validation_tasks),
                tasks_per_chunk=scores.chunk(recipe, budget.validation_tasks),
            )  # fmt: skip
            return {name: float(np.mean(values)) for name, values in found["joint"].items()}

        return validate

    mesh, name = meshes.most(budget.tasks_per_step), label or recipe.adaptation.learner
    used = 1 if mesh is None else mesh.size
    if used < jax.device_count() and budget.steps:
        text = f"{used} of {jax.device_count()} devices in use, for a step has {budget.tasks_per_step} task(s) to share"
        report(Event("note", name, 0, budget.steps, text=text))

    def trainer(size: int | None) -> training.MetaTrainer:
        return training.meta_trainer(learner, recipes.outer_optimizer(recipe), tasks_per_chunk=size, mesh=mesh)

    def fit(tasks_per_chunk: int | None) -> list[Fitted]:
        return fitting.fit_together(
            trainer(tasks_per_chunk),
            source.sample,
            [
                fitting.Training(
                    jax.random.key(seed), validator(seed), store, name if len(kept) == 1 else f"{name}, seed {seed}"
                )
                for seed, store in kept.items()
            ],
            num_tasks=budget.tasks_per_step,
            num_steps=budget.steps,
            report=report,
            stop=stop,
            mesh=mesh,
            on_divergence=fitting.ON_DIVERGENCE[recipe.outer.on_divergence],
            better=scoring.better,
            far=lambda last, best: _far(scoring, last[scoring.metric], best[scoring.metric]),
        )

    asked = scores.chunk(recipe, budget.tasks_per_step)
    if asked is not None or memory.on_cpu():
        learned = fit(asked)
    else:  # as many tasks go side by side as fit the memory; a training that it stopped goes on from its checkpoint
        keys = jax.random.split(jax.random.key(0), budget.tasks_per_step)
        chosen = training.fitting_chunk(trainer, jax.eval_shape(jax.vmap(source.sample), keys), keys[0], mesh=mesh)
        own = meshes.own_tasks(budget.tasks_per_step, mesh)
        learned = fit(chosen) if jax.process_count() > 1 else chunks.with_fewer(fit, chosen, own)
    return {
        seed: each._replace(meta_params=finish[seed](each.meta_params))
        for seed, each in zip(kept, learned, strict=True)
    }


def _far(scoring: Scoring, last: float, best: float) -> bool:
    """Whether a training has lost what it had learned: ten points of accuracy, or half of what it is to be low in."""
    if scoring.has_scale:  # a nat a point
        return last < best - 1
    if scoring.acts:  # returns have no zero to be measured from
        return last < best - 3 * abs(best)
    return last < best - 0.1 if scoring.has_classes else last > 2 * best


def _finisher(recipe: Recipe, shape: recipes.Shape, source: Source, seed: int) -> Callable[[PyTree], PyTree]:
    if source.population is None:
        return lambda meta_params: meta_params
    network, inputs = recipes.network(recipe, shape), source.population(seed)
    return lambda meta_params: baselines.with_population(network, meta_params, inputs)


def train(
    recipe: Recipe,
    *,
    folder: str | os.PathLike[str] | None = None,
    data_dir: str | None = None,
    seeds: Sequence[int] | None = None,
    source: Source | None = None,
    preset: str = "",
    existing: Literal["resume", "refuse", "replace"] = "resume",
    report: Report = silent,
    stop: Callable[[], int] = lambda: 0,
) -> Any:
    """Trains a recipe, or goes on with what its folder holds; what is trained already is opened.

    A folder may hold the same recipe with fewer steps, if the rate's schedule does not hang on their number: it is then
    trained on, to the state of a run that was that long from the start. The best of it is chosen among more validations
    than that run has.

    Args:
      recipe: what is learned and how.
      folder: the run folder; None: nothing is kept.
      data_dir: where the data sets lie; JAXMETA_DATA is the default.
      seeds: trainings in one program, each with a folder seed-N; None: the recipe's own seed alone.
      source: what `runs.training.opened` returned with this recipe, if that was done before.
      preset: the name under which the recipe is recorded.
      existing: what becomes of a folder that holds something: "resume" goes on with the same recipe's run and refuses
        another's, "refuse" takes an empty one alone, "replace" begins anew.
      report: is told how it goes: (Event) -> None.
      stop: asked often; a number other than 0 ends the training in good order.

    Returns:
      The Run, or a tuple of Runs if `seeds` are given. One that diverged ends alone: its `fitted.diverged` says so, its
      meta_params are the best before that, and a folder keeps its checkpoints and no meta_params.

    Raises:
      ValueError: if the recipe cannot be, or the folder is another recipe's.
      DataError: if data are missing, damaged or not as expected.
      DivergedError: if every training diverged; the last good states are saved.
      Stopped: if `stop` asked for it; the states are saved.
    """
    own = tuple(checks.seed("`seeds`", seed) for seed in ((recipe.seed,) if seeds is None else seeds))
    if not own or len(set(own)) < len(own):
        checks.fail("`seeds`", "one or more distinct seeds", own or "none")
    if folder is not None and own != tuple(range(own[0], own[0] + len(own))):
        checks.fail("`seeds`", "seeds that follow each other, as a folder records the first and their number", own)
    check_divide(recipe.budget.tasks_per_step)
    recipe = recipe.replace(seed=own[0])
    with contextlib.ExitStack() as held:
        with processes.alike():
            if source is None:
                recipe, source = opened(recipe, data_dir=data_dir)
            shape = recipes.shape(recipe, source.validation)
            paths = held.enter_context(_folders(recipe, shape, source, own, folder, preset, existing))
        kept = {
            seed: stores.nowhere if path is None else stores.within(path, recipe.adaptation.learner, facts)
            for seed, (path, facts) in paths.items()
        }
        learned = fitted(recipe, source, kept, label=preset, report=report, stop=stop)
        for seed, (path, _) in paths.items():
            if path is not None and learned[seed].diverged is None:
                folders.save_params(path, learned[seed].meta_params)
    seen = source.known._replace(checksums=frozenset(source.checksums.values()))
    ran = tuple(
        Run(recipe.replace(seed=seed), shape, own.meta_params, source.checksums, seen, paths[seed][0], data_dir, own)
        for seed, own in learned.items()
    )
    return ran[0] if seeds is None else ran


def check_divide(num_tasks: int) -> None:
    """Raises ValueError if the processes do not divide a number of tasks that they must share."""
    if num_tasks % jax.process_count():
        wanted = f"a number that the {jax.process_count()} processes divide"
        checks.fail("`tasks_per_step`", wanted, num_tasks)


def recorded(recipe: Recipe, num_seeds: int = 1) -> dict[str, Any]:
    """The recipe as it is written down: flat, and without directories, which are the user's own."""
    flat = recipe.flat() | {"domain": recipes.short(recipe.task.domain), "seeds": num_seeds}
    flat["encoder"] = recipes.short(recipe.task.encoder)
    return json.loads(json.dumps(flat))


@contextlib.contextmanager
def _folders(
    recipe: Recipe,
    shape: recipes.Shape,
    source: Source,
    seeds: Sequence[int],
    path: str | os.PathLike[str] | None,
    preset: str,
    existing: str,
) -> Iterator[dict[int, tuple[pathlib.Path | None, dict[str, Any]]]]:
    """Makes and holds the folder of each seed: {seed: (folder, facts that a resume must find as they were)}."""
    if path is None:
        yield {seed: (None, {}) for seed in seeds}
        return
    path = pathlib.Path(path)

    def facts(seed: int) -> dict[str, Any]:
        config = recorded(recipe.replace(seed=seed))
        if recipe.outer.schedule in LENGTHENED:
            del config["steps"]
        return {"config": config, "data": source.checksums}

    def write(place: pathlib.Path, config: dict[str, Any]) -> None:
        folders.save_seen(place, source.known)
        content = {"schema": folders.SCHEMA, "preset": preset, "config": config}
        content |= {"shape": shape._asdict(), "data": source.checksums}
        folders.write_json(place / folders.CONFIG, content)

    with contextlib.ExitStack() as held:
        held.enter_context(folders.create(path, force=existing != "refuse"))
        if existing == "replace":
            folders.clear(path)
        config = recorded(recipe, len(seeds))
        if not _goes_on(path, config):
            if existing != "replace":
                folders.check_empty(path, folders.FREE)
            write(path, config)
        elif folders.RunFolder(path).config["steps"] != recipe.budget.steps:
            write(path, config)
        if len(seeds) == 1:
            yield {seeds[0]: (path, facts(seeds[0]))}
            return
        places = {}
        for seed in seeds:
            place = path / f"seed-{seed}"
            folders.check_plain(place)
            held.enter_context(folders.create(place, force=True))
            own = recorded(recipe.replace(seed=seed))
            if not (place / folders.CONFIG).exists() or folders.RunFolder(place).config.get("steps") != own["steps"]:
                write(place, own)
            places[seed] = (place, facts(seed))
        yield places


def _goes_on(path: pathlib.Path, config: dict[str, Any]) -> bool:
    """Whether a folder holds a run of this very recipe, perhaps a shorter one; raises ValueError if another's."""
    if not (path / folders.CONFIG).exists():
        return False
    known = folders.RunFolder(path).config
    changed = [name for name, value in config.items() if known.get(name, value) != value]
    if changed == ["steps"] and config["schedule"] in LENGTHENED and known["steps"] < config["steps"]:
        return True
    if changed:
        got = ", ".join(f"{name} {config[name]!r} instead of {known.get(name)!r}" for name in changed)
        checks.fail(str(path), "the folder of this recipe's run", f"another: {got}", folders.FREE)
    return True
