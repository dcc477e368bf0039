"""From a config to samplers, networks and learners."""

from __future__ import annotations

import functools
import pathlib
from typing import Any, NamedTuple

import numpy as np
import optax

from jaxmeta import baselines, checks, criteria, datasets, learners, models, tasks
from jaxmeta.cli.config import Train
from jaxmeta.types import Criterion, MetaLearner, Model

PICTURE = (28, 28, 1)


class Domain(NamedTuple):
    """Samplers of one domain, and what is recorded of it."""

    sample: tasks.Sample
    split: str
    checksums: dict[str, str]
    regression: bool


def is_regression(config: Train) -> bool:
    return config.domain == "sinusoid" or config.domain.endswith(".npz")


def domain(config: Train, split: str, *, ways: int, shots: int, queries: int) -> Domain:
    """The sampler of a domain's split: "train", "validation", "test", or "all" where a domain has no splits."""
    sizes: dict[str, int] = {"num_shots": shots, "num_queries": queries}
    if config.domain == "sinusoid":
        return Domain(tasks.sinusoid(**sizes), split, {}, True)
    if is_regression(config):
        return _from_file(config.domain, split, sizes)
    sizes["num_ways"] = ways
    if config.domain == "strokes":
        return Domain(tasks.strokes(**sizes, split=split), split, {}, False)
    form = datasets.Form(*PICTURE)
    has_splits = config.domain == "omniglot"
    if not has_splits and split != "test":
        checks.fail("domain", "omniglot, strokes, sinusoid or an npz of tasks to train on", repr(config.domain))
    examples = datasets.load(config.domain, data_dir=config.data_dir, split=split if has_splits else None, form=form)
    checksums = examples.checksums
    if split == "train":
        examples = datasets.rotated(examples)
    return Domain(tasks.few_shot(examples, **sizes), f"1100/100/423 {split}" if has_splits else "all", checksums, False)


def _from_file(path: str, split: str, sizes: dict[str, int]) -> Domain:
    """A user's regression tasks; every fifth task is test, every fifth validation."""
    from jaxmeta.datasets import files, npz

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
    return Domain(tasks.from_arrays((inputs[chosen], targets[chosen]), **sizes), split, checksums, True)


def criterion(config: Train) -> Criterion:
    return criteria.squared_error if is_regression(config) else criteria.cross_entropy


def metric(config: Train) -> str:
    return "loss" if is_regression(config) else "accuracy"


@functools.cache
def network(config: Train, widths: tuple[int, int] = (1, 1)) -> Model:
    if is_regression(config):
        return models.mlp(*widths, hidden=config.hidden)
    outputs = None if config.learner == "protonet" else config.ways
    return models.conv4(PICTURE, outputs, num_filters=config.num_filters, norm=config.norm)


# Cached, since a program is compiled once for each learner and not once for each that is equal to it.
@functools.cache
def learner(config: Train, *, ways: int, inner_steps: int, widths: tuple[int, int] = (1, 1)) -> MetaLearner:
    """The learner that a config names; `ways` is what a metric learner tells apart."""
    if config.learner == "protonet":
        if is_regression(config):
            checks.fail("learner", "maml or fomaml for regression", "protonet")
        return learners.protonet(network(config), criterion(config), num_ways=ways)
    if ways > config.ways:
        checks.fail("ways", f"at most the {config.ways} outputs of the trained head", ways, "or use a metric learner")
    make: Any = {"maml": learners.maml, "fomaml": learners.fomaml}[config.learner]
    return make(
        network(config, widths), criterion(config), optax.sgd(config.inner_learning_rate), num_steps=inner_steps
    )


@functools.cache
def raw_inputs(config: Train, ways: int) -> tuple[str, MetaLearner]:
    """The row that says how far raw inputs alone go."""
    if is_regression(config):
        return "raw inputs, nearest neighbour", baselines.nearest_neighbour(criterion(config))
    return "raw pixels, nearest centroid", baselines.nearest_centroid(criterion(config), num_ways=ways)


def steps(config: Train, inner_steps: int) -> int:
    return 0 if config.learner == "protonet" else inner_steps
