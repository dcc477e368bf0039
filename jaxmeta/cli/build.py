"""From a config to samplers, networks and learners."""

from __future__ import annotations

import functools
import math
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from jaxmeta import baselines, checks, criteria, datasets, learners, models, tasks
from jaxmeta.cli.config import Train
from jaxmeta.types import Criterion, MetaLearner, Model

PROCEDURAL = ("strokes", "sinusoid")


class Domain(NamedTuple):
    """Samplers of one domain, and what is recorded of it."""

    sample: tasks.Sample
    split: str
    checksums: dict[str, str]


class Shape(NamedTuple):
    """What a network takes and gives."""

    inputs: tuple[int, ...]
    """(height, width, channels) of pictures or (d,) of vectors."""
    outputs: int
    """Ways of a classification, values of a regression."""


def is_picture(shape: Shape) -> bool:
    return len(shape.inputs) == 3


def is_regression(config: Train) -> bool:
    return config.criterion == "squared_error"


def is_builtin(name: str) -> bool:
    """Whether a domain is known by name, so that no path of anybody's choosing is read."""
    return name in PROCEDURAL or name in datasets.names()


def domain(config: Train, split: str, *, ways: int, shots: int, queries: int) -> Domain:
    """The sampler of a domain's split: "train", "validation", "test", or "all" where a domain has no splits."""
    sizes: dict[str, int] = {"num_shots": shots, "num_queries": queries}
    if (config.domain == "sinusoid") > is_regression(config):
        checks.fail("--domain", "classes, for cross_entropy", "sinusoid", "use a preset of regression")
    if config.domain == "sinusoid":
        return Domain(tasks.sinusoid(**sizes), split, {})
    if is_regression(config):
        return _from_file(config.domain, split, sizes)
    sizes["num_ways"] = ways
    if config.domain == "strokes":
        if config.picture[0] != config.picture[1] or config.picture[2] != 1:
            checks.fail("strokes", "square grey pictures", config.picture, "use --picture 28 28 1")
        return Domain(tasks.strokes(**sizes, split=split, size=config.picture[0]), split, {})
    form = datasets.Form(*config.picture)
    part = split if config.domain not in datasets.names() or split in datasets.names()[config.domain].splits else None
    if part is None and split != "test":
        trainable = ", ".join(name for name, known in datasets.names().items() if split in known.splits)
        checks.fail("--domain", f"a domain with {split} classes: strokes, {trainable}, or a path", repr(config.domain))
    examples = datasets.load(config.domain, data_dir=config.data_dir, split=part, form=form)
    checksums = examples.checksums
    if split == "train" and config.domain == "omniglot":
        examples = datasets.rotated(examples)
    # Splits of one name differ from paper to paper.
    named = f"1100/100/423 {split}" if config.domain == "omniglot" else examples.split
    return Domain(tasks.few_shot(examples, **sizes), named, checksums)


def _from_file(path: str, split: str, sizes: dict[str, int]) -> Domain:
    """A user's regression tasks; every fifth task is test, every fifth validation."""
    from jaxmeta.datasets import files, npz

    if pathlib.Path(path).suffix.lower() != ".npz":
        checks.fail("--domain", "sinusoid or an npz of tasks, for squared_error", repr(path))
    arrays = npz.read_arrays(pathlib.Path(path), ("inputs", "targets"))
    if set(arrays) != {"inputs", "targets"}:
        checks.fail(path, "arrays inputs and targets", " and ".join(arrays) or "neither", error=checks.DataError)
    inputs, targets = (arrays[name].astype(np.float32) for name in ("inputs", "targets"))
    if inputs.ndim != 3 or targets.ndim != 3 or inputs.shape[:2] != targets.shape[:2] or len(inputs) < 5:
        got = f"{inputs.shape} and {targets.shape}"
        checks.fail(
            path, "inputs [tasks, n, d] and targets [tasks, n, m], at least 5 tasks", got, error=checks.DataError
        )
    kinds = np.array(["train", "train", "train", "validation", "test"])[np.arange(len(inputs)) % 5]
    chosen = kinds == split
    checksums = {pathlib.Path(path).name: files.checksum(pathlib.Path(path))}
    return Domain(tasks.from_arrays((inputs[chosen], targets[chosen]), **sizes), split, checksums)


def shape(config: Train, sample: tasks.Sample) -> Shape:
    """The shape of the network that a sampler's episodes ask for."""
    support = jax.eval_shape(sample, jax.random.key(0)).support
    outputs = support.targets.shape[-1] if is_regression(config) else config.ways
    return Shape(support.inputs.shape[1:], outputs)


def criterion(config: Train) -> Criterion:
    return {"cross_entropy": criteria.cross_entropy, "squared_error": criteria.squared_error}[config.criterion]


def metric(config: Train) -> str:
    return "loss" if is_regression(config) else "accuracy"


def higher_is_better(config: Train) -> bool:
    return metric(config) == "accuracy"


@functools.cache
def network(config: Train, shape: Shape) -> Model:
    outputs = None if is_metric(config) else shape.outputs
    if is_picture(shape):
        height, width, channels = shape.inputs
        return models.conv4((height, width, channels), outputs, num_filters=config.num_filters, norm=config.norm)
    num_inputs = math.prod(shape.inputs)
    return models.mlp(num_inputs, config.hidden[-1] if outputs is None else outputs, hidden=config.hidden)


def is_metric(config: Train) -> bool:
    """Whether the learner compares embeddings, so that ways in test may differ from those in training."""
    return config.learner == "protonet"


# Cached, since a program is compiled once for each learner and not once for each that is equal to it.
@functools.cache
def learner(config: Train, shape: Shape, *, ways: int, inner_steps: int) -> MetaLearner:
    """The learner that a config names; `ways` is what a metric learner tells apart."""
    model, loss = network(config, shape), criterion(config)
    if config.learner == "protonet":
        return learners.protonet(model, loss, num_ways=ways)
    make: Any = {"maml": learners.maml, "fomaml": learners.fomaml}[config.learner]
    return make(model, loss, optax.sgd(config.inner_learning_rate), num_steps=inner_steps)


@functools.cache
def raw_inputs(config: Train, ways: int) -> tuple[str, MetaLearner]:
    """The row that says how far raw inputs alone go."""
    if is_regression(config):
        return "raw inputs, nearest neighbour", baselines.nearest_neighbour(criterion(config))
    return "raw inputs, nearest centroid", baselines.nearest_centroid(criterion(config), num_ways=ways)


def steps(config: Train, inner_steps: int) -> int:
    return 0 if is_metric(config) else inner_steps
