"""The sources of a transfer, each with what is trained on it."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import baselines, checks, datasets, evaluation, tasks
from jaxmeta.cli import build, cells, devices, evaluate, methods, scoring, session, signals, sources, train
from jaxmeta.cli.config import Train, Transfer
from jaxmeta.runs import write_json
from jaxmeta.types import Array, Episode, Model, PyTree

FEATURES = 512  # pictures of each domain whose mean features are compared


class Ready(NamedTuple):
    """A method that can meet the targets."""

    name: str
    family: str
    config: Train
    """In test, with the rate that was chosen."""
    meta_params: PyTree


class Features(NamedTuple):
    """An encoder, and the source's features by it."""

    encode: Callable[[Array], Array]
    source: Array


class Source(NamedTuple):
    """A source with what was trained on it; nothing is trained before a cell wants it."""

    name: str
    domain: str
    methods: tuple[str, ...]
    ready: Callable[[str], Ready]
    seen: Callable[[], frozenset[str] | None]
    """The checksums of what was trained on; None: anything may have been."""
    features: Callable[[], dict[str, Features]]
    """"untrained" and "trained" features; none where the source's pictures are not known."""


def all_of(config: Transfer, folder: pathlib.Path, stop: signals.Stop) -> list[Source]:
    """The sources of a transfer, then the runs that take part as they are."""
    found = [
        _trained_source(config, domain, folder / "trained", f"{index}-", stop)
        for index, domain in enumerate(config.sources)
    ]
    return [*found, *(_given_source(config, path) for path in config.runs)]


def _trained_source(config: Transfer, domain: str, folder: pathlib.Path, prefix: str, stop: signals.Stop) -> Source:
    shape = build.Shape(config.picture, config.ways)

    @functools.cache
    def fitted(name: str) -> tuple[Train, PyTree]:
        made, path = methods.training(name, config, domain), folder / f"{prefix}{name}"
        if (path / "meta_params.msgpack").exists():
            run, own = evaluate.load(str(path))
            own = dataclasses.replace(own, domain=domain, data_dir=config.data_dir)
            return own, evaluate.parameters(run, own, shape)
        start = None if made.start is None else fitted(made.start)[1].encoder
        own, given = train.source(_fitting(made.config))
        path.mkdir(exist_ok=True)
        recorded, label = train.recorded(own), f"{name} on {sources.name(domain)}"
        write_json(path / "config.json", {"schema": 1, "preset": name, "config": recorded})
        opened = session.Run(path, {"config": recorded, "data": given.checksums}, stop)
        return own, train.fit(own, given, {own.seed: opened}, label, start=start)[own.seed]

    @functools.cache
    def ready(name: str) -> Ready:
        found = methods.method(name)
        own, meta_params = (None, {}) if found.training is None else fitted(found.training)
        tested = methods.tested(found, own, config, domain)
        if found.tuned:
            rate = _rate(config, tested, meta_params, folder / f"{prefix}{name}.json")
            tested = dataclasses.replace(tested, inner_learning_rate=rate)
        return Ready(name, found.family, tested, meta_params)

    @functools.cache
    def examples() -> datasets.Examples:
        return sources.labelled(methods.plain(config, domain), "train")

    @functools.cache
    def features() -> dict[str, Features]:
        draw = tasks.labelled_batches(examples(), batch_size=min(FEATURES, len(examples().inputs)))
        pictures, untrained = draw(jax.random.key(config.seed)).query.inputs, methods.plain(config, domain)
        network = build.network(untrained, shape)
        encoders = {"untrained": _encoder(untrained, network, network.init(jax.random.key(config.seed)))}
        for name in config.learners:
            training = methods.method(name).training
            if training and not build.has_head(methods.training(training, config, domain).config):
                own, meta_params = fitted(training)
                if encode := _encoder(own, build.network(own, shape), meta_params):
                    encoders["trained"] = encode
                    break
        return {name: Features(encode, encode(pictures)) for name, encode in encoders.items() if encode}

    def seen() -> frozenset[str]:
        return frozenset(examples().checksums.values())

    return Source(sources.name(domain), domain, tuple(config.learners), ready, seen, features)


def _queries(config: Train, split: str, shots: int, queries: int) -> int:
    """As many queries a class as the smallest class of a source's domains leaves, up to `queries`."""
    for part in sources.parts(config.domain):
        sizes = sources.class_sizes(dataclasses.replace(config, domain=part), split, None)
        if sizes is not None:
            queries = min(queries, int(sizes.min()) - shots)
    return max(0, queries)


def _fitting(config: Train) -> Train:
    """A training with the queries that its source can give."""
    shots = config.train_shots or config.shots
    return dataclasses.replace(
        config,
        train_queries=_queries(config, "train", shots, config.train_queries),
        queries=_queries(config, "validation", config.shots, config.queries),
    )


def _encoder(config: Train, network: Model, meta_params: PyTree) -> Callable[[Array], Array] | None:
    """What maps pictures to features that do not depend on which other pictures are there."""
    if isinstance(meta_params, baselines.Pretrained) and meta_params.population:
        encoder, population = meta_params.encoder, meta_params.population
        return jax.jit(lambda pictures: network.apply(encoder, pictures, None, population.context))
    if config.norm in ("batch", "support", "task") or config.learner == "relation_net":
        return None
    return jax.jit(lambda pictures: network.apply(meta_params, pictures))


def _given_source(config: Transfer, path: str) -> Source:
    """A run of `jaxmeta train` takes part as a source with one method."""
    run, own = evaluate.load(path)
    shape = build.Shape(own.picture, own.ways)
    if own.picture != config.picture or own.num_features or (build.has_head(own) and own.ways != config.ways):
        wanted = f"a run on pictures of {config.picture} with {config.ways} ways"
        checks.fail(f"--runs {path}", wanted, f"one on {own.picture} with {own.ways}", error=checks.DataError)
    own = dataclasses.replace(own, data_dir=config.data_dir)
    meta_params = evaluate.parameters(run, own, shape)
    family = "baseline" if build.is_pretrained(own) else "learner"
    ready = Ready(own.learner, family, own, meta_params)
    seen = evaluate.trained_on(run)
    return Source(own.domain, own.domain, (own.learner,), lambda name: ready, lambda: seen, dict)


def _rate(config: Transfer, tested: Train, meta_params: PyTree, path: pathlib.Path) -> float:
    """The rate of the steps in test that is best on the source's validation classes, over all numbers of shots."""
    if path.exists():
        found = cells.read(path)
        if not isinstance(found, dict) or found.get("chosen") not in methods.RATES:
            checks.fail(str(path), "a rate that was chosen", "something else", error=checks.DataError)
        return found["chosen"]
    rates, shape = jnp.array(methods.RATES), build.Shape(config.picture, config.ways)
    steps, key, means = tested.inner_steps_test, jax.random.key(config.seed), np.zeros(len(methods.RATES))
    mesh = devices.mesh(config.tune_tasks)

    @jax.jit
    def accuracies(meta_params: PyTree, episodes: Episode) -> Array:
        def accuracy(rate: Array) -> Array:
            learner = build.learner_at(tested, shape, ways=config.ways, inner_steps=steps, rate=rate)
            scores = evaluation.evaluate(
                learner, build.criterion(tested), meta_params, episodes, key, columns={"single": evaluation.single},
                mesh=mesh,
            )  # fmt: skip
            return scores["single"]["accuracy"].mean()

        return jax.lax.map(accuracy, rates)

    for shots in config.shots:
        if queries := _queries(tested, "validation", shots, min(config.queries, 5)):
            domain = sources.domain(tested, "validation", ways=config.ways, shots=shots, queries=queries)
            episodes = scoring.draw(domain.sample, train.SELECT_SEED + config.seed, config.tune_tasks)
            means += np.asarray(accuracies(meta_params, episodes)) / len(config.shots)
    chosen = methods.RATES[int(means.argmax())]
    found = dict(zip(map(str, methods.RATES), means.round(4).tolist(), strict=True))
    write_json(path, {"accuracy": found, "chosen": chosen})
    return chosen
