"""From a config to networks and learners."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import optax

from jaxmeta import baselines, criteria, learners, models, tasks
from jaxmeta.cli.config import Train
from jaxmeta.types import Criterion, MetaLearner, Model


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
        return models.conv4(
            (height, width, channels), outputs, num_filters=config.num_filters, norm=config.norm,
            downsampling=config.downsampling,
        )  # fmt: skip
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
def raw_inputs(config: Train, shape: Shape, ways: int) -> dict[str, MetaLearner]:
    """The rows that say how far raw inputs alone go; for numbers they are linear models, too."""
    loss = criterion(config)
    if is_regression(config):
        return {
            "raw inputs, nearest neighbour": baselines.nearest_neighbour(loss),
            "raw inputs, ridge regression": baselines.ridge_regression(loss),
        }
    rows = {"raw inputs, nearest centroid": baselines.nearest_centroid(loss, num_ways=ways)}
    if not is_picture(shape):
        rows["raw inputs, logistic regression"] = baselines.logistic_regression(loss, num_ways=ways)
    return rows


def steps(config: Train, inner_steps: int) -> int:
    return 0 if is_metric(config) else inner_steps
