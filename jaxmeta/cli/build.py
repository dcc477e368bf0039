"""From a config to networks and learners."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import jax
import optax

from jaxmeta import baselines, checks, criteria, learners, models, tasks
from jaxmeta.cli.config import Train
from jaxmeta.types import Array, Criterion, MetaLearner, Model


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
    return getattr(criteria, config.criterion)


def metric(config: Train) -> str:
    return "loss" if is_regression(config) else "accuracy"


def higher_is_better(config: Train) -> bool:
    return metric(config) == "accuracy"


METRIC = ("protonet", "matching_net", "relation_net", "r2d2")
RULE = 8  # units of the learned optimizer, which run over every parameter
PRETRAINED = ("fine_tune", "linear_probe", "baseline_plus_plus", "simple_shot")


def has_steps(config: Train) -> bool:
    """Whether the learner adapts by steps; the others read a support set once."""
    return config.learner not in (*METRIC, "simple_shot")


def has_head(config: Train) -> bool:
    """Whether the network has an output for every class, so that ways in test are those in training."""
    return config.learner not in (*METRIC, *PRETRAINED, "proto_maml")


def is_pretrained(config: Train) -> bool:
    """Whether training is supervised, on labelled batches of all source classes."""
    return config.learner in PRETRAINED


@functools.cache
def network(config: Train, shape: Shape) -> Model:
    outputs = shape.outputs if has_head(config) else None
    context = config.num_context_params if config.learner == "cavia" else 0
    if is_picture(shape):
        (height, width, channels), options = shape.inputs, _convolutions(config)
        picture = height, width, channels
        if config.learner == "relation_net":
            return models.conv4_maps(picture, **options)
        if context:
            return models.film_conv4(picture, shape.outputs, num_context_params=context, **options)
        return models.conv4(picture, outputs, **options)
    if config.learner == "relation_net":
        checks.fail("--learner relation_net", "pictures, which have feature maps", f"inputs of shape {shape.inputs}")
    num_inputs = math.prod(shape.inputs) + context
    return models.mlp(num_inputs, config.hidden[-1] if outputs is None else outputs, hidden=config.hidden)


def _convolutions(config: Train) -> dict[str, Any]:
    return {"num_filters": config.num_filters, "norm": config.norm, "downsampling": config.downsampling}


def _relation(config: Train, shape: Shape, encoder: Model) -> Model:
    picture = jax.ShapeDtypeStruct((1, *shape.inputs), "float32")
    maps = jax.eval_shape(lambda key, picture: encoder.apply(encoder.init(key), picture), jax.random.key(0), picture)
    return models.relation_module(maps.shape[1:], **_convolutions(config))


def _num_features(shape: Shape, encoder: Model) -> int:
    inputs = jax.ShapeDtypeStruct((1, *shape.inputs), "float32")
    return jax.eval_shape(lambda key, x: encoder.apply(encoder.init(key), x), jax.random.key(0), inputs).shape[1]


def inner_optimizer(config: Train, rate: float | Array) -> optax.GradientTransformation:
    if config.inner_optimizer == "adam":
        return optax.adam(rate, b1=0, eps_root=1e-10)
    return optax.sgd(rate, momentum=0.9 if config.inner_optimizer == "momentum" else None)


def training_learner(config: Train, shape: Shape) -> MetaLearner:
    """The learner that a config trains."""
    return _learner(_any_seed(config), shape, config.train_ways, config.inner_steps, config.inner_batch_size or None)


def learner(config: Train, shape: Shape, *, ways: int, inner_steps: int) -> MetaLearner:
    """The learner over the same meta_params that is tested; `ways` is what one without a head tells apart."""
    return _learner(_any_seed(config), shape, ways, inner_steps, None)


def learner_at(config: Train, shape: Shape, *, ways: int, inner_steps: int, rate: Array) -> MetaLearner:
    """`learner` with another rate of its steps, which may be traced: one program serves a whole search."""
    return _made(config, shape, ways, inner_steps, None, inner_optimizer(config, rate))


def _any_seed(config: Train) -> Train:
    """The config whose learners serve all seeds, so that their programs do, too."""
    return dataclasses.replace(config, seed=0, seeds=1)


# Cached, since a program is compiled once for each learner and not once for each that is equal to it.
@functools.cache
def _learner(config: Train, shape: Shape, ways: int, num_steps: int, batch_size: int | None) -> MetaLearner:
    return _made(config, shape, ways, num_steps, batch_size, inner_optimizer(config, config.inner_learning_rate))


def _made(
    config: Train,
    shape: Shape,
    ways: int,
    num_steps: int,
    batch_size: int | None,
    optimizer: optax.GradientTransformation,
) -> MetaLearner:
    model, loss, name = network(config, shape), criterion(config), config.learner
    given: tuple[Any, ...] = (model, loss)
    options: dict[str, Any] = {"num_steps": num_steps} if has_steps(config) else {}
    if not has_head(config):
        options["num_ways"] = ways
    if is_pretrained(config):
        options |= {"num_features": _num_features(shape, model), "num_classes": config.num_classes}
    if name in ("meta_sgd", "maml_plus_plus"):
        options["initial_learning_rate"] = config.inner_learning_rate
    elif name == "learned_optimizer":
        given += (models.lstm_update_rule(hidden=RULE, initial_learning_rate=config.inner_learning_rate),)
    elif name == "relation_net":
        given = (model, _relation(config, shape, model), loss)
    elif has_steps(config):
        given += (optimizer,)
    if name == "reptile":
        options["batch_size"] = batch_size
    elif name == "imaml":
        options["regularization"] = config.regularization
    elif name == "cavia":
        condition = models.beside if is_picture(shape) else models.concatenate
        options |= {"num_context_params": config.num_context_params, "condition": condition}
    return getattr(learners if hasattr(learners, name) else baselines, name)(*given, **options)


def raw_inputs(config: Train, shape: Shape, ways: int) -> dict[str, MetaLearner]:
    """The rows that say how far raw inputs alone go; for numbers they are linear models, too."""
    return _raw_inputs(_any_seed(config), shape, ways)


@functools.cache
def _raw_inputs(config: Train, shape: Shape, ways: int) -> dict[str, MetaLearner]:
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
    return inner_steps if has_steps(config) else 0
