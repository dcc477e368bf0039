"""The sources of a transfer, each with what is trained on it."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import baselines, checks, evaluation, meshes, recipes, runs, tasks
from jaxmeta.learners.over_frozen import MetaParams as OverFrozen
from jaxmeta.recipes import Recipe, Sizes
from jaxmeta.runs import folder as folders
from jaxmeta.runs import run, scores, stores, training
from jaxmeta.runs.events import Report
from jaxmeta.transfer import kept, methods
from jaxmeta.transfer.plan import Setting
from jaxmeta.types import Array, Episode, Model, PyTree

FEATURES = 512  # examples of each domain whose mean features are compared


class Ready(NamedTuple):
    """A method that can meet the targets."""

    name: str
    family: str
    recipe: Recipe
    """In test, with the rate that was chosen."""
    meta_params: PyTree


class Features(NamedTuple):
    """An encoder, and the source's features by it."""

    encode: Callable[[Array], Array]
    source: Array


class Source(NamedTuple):
    """A source with what was trained on it; nothing is trained before a cell wants it."""

    name: str
    """As it is shown; no two sources of a transfer have the same."""
    domain: str
    families: Mapping[str, str]
    """{method: "learner" or "baseline"}"""
    ready: Callable[[str], Ready]
    seen: Callable[[], recipes.Seen | None]
    """What was trained on; None: anything may have been."""
    read: Callable[[], tuple[recipes.Facts, ...]]
    """What there is to say of its data."""
    features: Callable[[], dict[str, Features]]
    """"untrained" and "trained" features; none where the source's examples are not known."""
    identity: Callable[[str], Any]
    """method -> anything that JSON holds and that differs where what was trained differs."""


class Watch(NamedTuple):
    """Who is told of trainings, and who may stop them."""

    report: Report
    stop: Callable[[], int]


def all_of(setting: Setting, folder: pathlib.Path | None, watch: Watch) -> list[Source]:
    """The sources of a plan, then the runs that take part as they are."""
    names = distinct([recipes.short(domain) for domain in setting.plan.sources])
    found = [
        _trained(setting, name, domain, folder, watch) for name, domain in zip(names, setting.plan.sources, strict=True)
    ]
    for source in _given(setting):
        alike = [other for other in found if other.name == source.name]
        known = recipes.is_builtin(source.domain) or any(_files(other) == _files(source) for other in alike)
        found.append(source if known or not alike else source._replace(name=f"{source.name} ({len(alike) + 1})"))
    return found


def _files(source: Source) -> frozenset[str] | None:
    seen = source.seen()
    return None if seen is None else seen.checksums


def distinct(names: list[str]) -> list[str]:
    """Names that people can tell apart: of equal ones the second is "NAME (2)"."""
    return [
        name if names.index(name) == index else f"{name} ({names[: index + 1].count(name)})"
        for index, name in enumerate(names)
    ]


def digest(content: Any) -> str:
    """Some letters that tell contents apart; anything that JSON holds."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _trained(setting: Setting, name: str, domain: str, folder: pathlib.Path | None, watch: Watch) -> Source:
    plan, shape = setting.plan, setting.shape

    def place(what: str, identity: Any) -> pathlib.Path | None:
        return None if folder is None else folder / "trained" / f"{what}--{digest(identity)}"

    @functools.cache
    def opened(training_name: str) -> tuple[Recipe, training.Source]:
        asked = methods.training(training_name, setting, domain).recipe
        return training.opened(_fitting(asked, setting.data_dir), data_dir=setting.data_dir)

    def training_identity(training_name: str) -> Any:
        recipe, source = opened(training_name)
        start = methods.training(training_name, setting, domain).start
        own = [training.recorded(recipe), source.checksums]
        return own if start is None else [*own, training_identity(start)]

    @functools.cache
    def fitted(training_name: str) -> tuple[Recipe, PyTree]:
        recipe, source = opened(training_name)
        path = place(training_name, training_identity(training_name))
        if path is not None and (path / folders.PARAMS).exists():
            opened_run = folders.RunFolder(path)
            own = run.with_encoder(run.read(opened_run), recipe.task.encoder, opened_run.checksums())
            return recipe, run.parameters(opened_run, own, shape)
        start = methods.training(training_name, setting, domain).start
        begun = None if start is None else fitted(start)[1].encoder
        store: stores.Store = stores.nowhere
        if path is not None:
            path.mkdir(parents=True, exist_ok=True)
            facts = {"config": training.recorded(recipe), "data": source.checksums}
            folders.write_json(path / folders.CONFIG, {"schema": folders.SCHEMA, "preset": training_name} | facts)
            store = stores.within(path, recipe.adaptation.learner, facts)
        options: dict[str, Any] = {"label": f"{training_name} on {name}", "report": watch.report, "stop": watch.stop}
        learned = training.fitted(recipe, source, {recipe.seed: store}, start=begun, **options)[recipe.seed].meta_params
        if path is not None:
            folders.save_params(path, learned)
        return recipe, learned

    @functools.cache
    def ready(method_name: str) -> Ready:
        found = methods.method(method_name)
        own, meta_params = (None, None) if found.training is None else fitted(found.training)
        tested = methods.tested(found, own, setting, domain)
        if meta_params is None:  # what it begins with, if anything
            meta_params = recipes.initial(tested, recipes.learner(tested, shape, ways=plan.ways, inner_steps=0))
        if found.tuned:
            path = place(f"{method_name}-rate", identity(method_name))
            tested = tested.replace(inner_learning_rate=_rate(setting, tested, meta_params, path))
        return Ready(method_name, found.family, tested, meta_params)

    @functools.cache
    def identity(method_name: str) -> Any:
        found = methods.method(method_name)
        tested = training.recorded(methods.tested(found, None, setting, domain))
        trained = sorted(seen().checksums) if found.training is None else training_identity(found.training)
        return [tested, setting.plan.tune_tasks, trained]

    @functools.cache
    def labelled(split: str) -> recipes.domains.Labelled:
        task = methods.plain(setting, domain).task
        return recipes.domains.labelled(task, split, data_dir=setting.data_dir)

    @functools.cache
    def features() -> dict[str, Features]:
        if not setting.kind.pretrains:
            return {}
        examples = labelled("train").examples
        draw = tasks.labelled_batches(examples, batch_size=min(FEATURES, len(examples.inputs)))
        inputs, untrained = draw(jax.random.key(plan.seed)).query.inputs, methods.plain(setting, domain)
        network = recipes.network(untrained, shape)
        encoders = {"untrained": _encoder(untrained, network, network.init(jax.random.key(plan.seed)))}
        for method_name in plan.learners:
            name = methods.method(method_name).training
            if name and not methods.training(name, setting, domain).recipe.entry.has_head:
                own, meta_params = fitted(name)
                if encode := _encoder(own, recipes.network(own, shape), meta_params):
                    encoders["trained"] = encode
                    break
        return {name: Features(encode, encode(inputs)) for name, encode in encoders.items() if encode}

    @functools.cache
    def looked_at() -> tuple[recipes.Seen, tuple[recipes.Facts, ...]]:
        least: dict[str, Any] = {"task": methods.plain(setting, domain).task, "ways": 2, "shots": 1, "queries": 1}
        train, validation = (
            labelled(split)
            if setting.kind.pretrains
            else recipes.domains.open(domain, split, **least, data_dir=setting.data_dir)
            for split in ("train", "validation")
        )
        return train.known | validation.known, train.facts + validation.facts

    def seen() -> recipes.Seen:
        return looked_at()[0]

    families = {method_name: methods.method(method_name).family for method_name in plan.learners}
    return Source(name, domain, families, ready, seen, lambda: looked_at()[1], features, identity)


def _queries(recipe: Recipe, split: str, shots: int, queries: int, data_dir: str | None) -> int:
    """As many queries a class as the smallest class of a source's domains leaves, up to `queries`."""
    for part in recipes.parts(recipe.task.domain):
        sizes = recipes.domains.class_sizes(recipe.replace(domain=part).task, split, data_dir=data_dir)
        if sizes is not None:
            queries = min(queries, int(sizes.min()) - shots)
    return max(0, queries)


def _fitting(recipe: Recipe, data_dir: str | None) -> Recipe:
    """A training with the queries that its source can give."""
    train, task = recipes.domains.training_sizes(recipe.task), recipe.task
    return recipe.replace(
        train_queries=_queries(recipe, "train", train.shots, train.queries, data_dir),
        queries=_queries(recipe, "validation", task.shots, task.queries, data_dir),
    )


def _encoder(recipe: Recipe, network: Model, meta_params: PyTree) -> Callable[[Array], Array] | None:
    """What maps examples to features that do not depend on which other examples are there."""
    if isinstance(meta_params, baselines.Pretrained) and meta_params.population:
        encoder, population = meta_params.encoder, meta_params.population
        return jax.jit(lambda inputs: network.apply(encoder, inputs, None, population.context))
    if recipe.network.norm in ("batch", "support", "task") or recipe.entry.network != "plain":
        return None
    params = _network_params(meta_params)
    return jax.jit(lambda inputs: network.apply(params, inputs))


def _network_params(meta_params: PyTree) -> PyTree:
    """The network's part of what a learner without a head learns, such as R2-D2's encoder beside its ridge."""
    if isinstance(meta_params, OverFrozen):
        return meta_params._replace(learned=_network_params(meta_params.learned))
    names = {"encoder", "params"}.intersection(getattr(meta_params, "_fields", ()))
    return getattr(meta_params, names.pop()) if names else meta_params


def _given(setting: Setting) -> list[Source]:
    """The runs of `jaxmeta train` that take part, each with a name and a method of its own."""
    encoder = setting.plan.encoder  # which `open` holds against the run's: features of another may have the same shape
    opened = [
        (os.path.basename(os.path.normpath(path)), runs.open(path, encoder=encoder)) for path in setting.plan.runs
    ]
    labels = distinct([f"{given.recipe.adaptation.learner}, {name}" for name, given in opened])
    return [_run(setting, label, given) for label, (_, given) in zip(labels, opened, strict=True)]


def _run(setting: Setting, label: str, given: runs.Run) -> Source:
    own, plan = given.recipe, setting.plan
    asked = recipes.SCORINGS[plan.criterion]
    alike = (own.scoring.has_classes, own.scoring.has_scale) == (asked.has_classes, asked.has_scale)
    fits = given.shape.inputs == setting.shape.inputs and alike
    if not fits or (own.entry.has_head and given.shape.outputs != setting.shape.outputs):
        wanted = (
            f"a run on inputs {list(setting.shape.inputs)} with {setting.shape.outputs} outputs, by {plan.criterion}"
        )
        got = f"one on {list(given.shape.inputs)} with {given.shape.outputs}, by {own.task.criterion}"
        checks.fail(f"`runs` {label}", wanted, got, error=checks.DataError)
    if own.task.encoder and own.task.picture != setting.task.picture:  # features do not tell
        wanted, got = (" x ".join(map(str, task.picture)) for task in (setting.task, own.task))
        checks.fail(f"`runs` {label}", f"an encoder's features of pictures of {wanted}", got, error=checks.DataError)
    name, family = label, methods.family(own.adaptation.learner)
    ready = Ready(name, family, own, given.meta_params)
    checksum = hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(given.meta_params)))
    identity = [training.recorded(own), checksum.hexdigest()]
    domain = own.task.domain
    own_identity = lambda name: identity  # noqa: E731
    return Source(domain, domain, {name: family}, lambda name: ready, lambda: given.seen, tuple, dict, own_identity)


def _rate(setting: Setting, tested: Recipe, meta_params: PyTree, path: pathlib.Path | None) -> float:
    """The rate of the steps in test that is best on the source's validation classes, over all numbers of shots."""
    file = None if path is None else path.with_suffix(".json")
    if file is not None and file.exists():
        found = kept.read(file)
        if not isinstance(found, dict) or found.get("chosen") not in methods.RATES:
            checks.fail(str(file), "a rate that was chosen", "something else", error=checks.DataError)
        return found["chosen"]
    plan, shape, scoring = setting.plan, setting.shape, tested.scoring
    rates, steps = jnp.array(methods.RATES), tested.adaptation.inner_steps_test
    key, means, mesh = jax.random.key(plan.seed), np.zeros(len(methods.RATES)), meshes.most(plan.tune_tasks)

    column = "single" if "single" in setting.kind.columns else "joint"
    columns = {column: setting.kind.columns[column]}

    @jax.jit
    def means_of(meta_params: PyTree, episodes: Episode) -> Array:
        def mean(rate: Array) -> Array:
            learner = recipes.learner_at(tested, shape, ways=plan.ways, inner_steps=steps, rate=rate)
            found = evaluation.evaluate(learner, scoring.judge, meta_params, episodes, key, columns=columns, mesh=mesh)
            return scoring.sign * found[column][scoring.metric].mean()

        return jax.lax.map(mean, rates)

    for shots in plan.shots:
        if queries := _queries(tested, "validation", shots, min(plan.queries, 5), setting.data_dir):
            sizes = Sizes(plan.ways, shots, queries)._asdict()
            domain = recipes.domains.open(
                tested.task.domain, "validation", task=tested.task, **sizes, data_dir=setting.data_dir
            )
            episodes = scores.draw(domain.sample, training.SELECT_SEED + plan.seed, plan.tune_tasks)
            means += np.asarray(means_of(meta_params, episodes)) / len(plan.shots)
    means = np.nan_to_num(means, nan=-np.inf)
    chosen = methods.RATES[int(means.argmax())]
    if file is not None:
        shown = {str(rate): round(float(mean), 4) if np.isfinite(mean) else None
                 for rate, mean in zip(methods.RATES, means, strict=True)}  # fmt: skip
        file.parent.mkdir(parents=True, exist_ok=True)
        folders.write_json(file, {scoring.metric: shown, "chosen": chosen})
    return chosen
