"""What kinds share whose inputs are vectors of numbers: networks, floors, and how a person's own are read."""

from __future__ import annotations

import math
import pathlib
from typing import NoReturn

import jax
import numpy as np

from jaxmeta import baselines, checks, datasets, models
from jaxmeta.datasets import doubts, files
from jaxmeta.recipes.kinds.kind import Own, Shape
from jaxmeta.recipes.recipe import Network, Task
from jaxmeta.recipes.scoring import SCORINGS
from jaxmeta.types import MetaLearner, Model

WAYS = 20  # the most that an in-context network over features tells apart


def network(network: Network, shape: Shape, outputs: int | None, num_context_params: int) -> Model:
    num_inputs = math.prod(shape.inputs) + num_context_params
    return models.mlp(num_inputs, network.hidden[-1] if outputs is None else outputs, hidden=network.hidden)


def no_network(network: Network, shape: Shape, outputs: int | None, num_context_params: int) -> NoReturn:
    checks.fail("`learner`", "in_context, for inputs that are a table's cells", "another")


def reader(network: Network, shape: Shape) -> NoReturn:
    checks.fail("`learner` in_context", "pictures, features or tables of cells", f"inputs of shape {shape.inputs}",
                "for tables give `kind` cells")  # fmt: skip


def reading(encoder: Model, network: Network, shape: Shape) -> Model:
    """An in-context network over the features of an encoder."""
    sizes = {"width": network.width, "num_layers": network.num_layers, "num_heads": network.num_heads}
    example = jax.ShapeDtypeStruct((1, *shape.inputs), "float32")
    return models.caml(encoder, example, num_ways=WAYS, **sizes)


def maps(network: Network, shape: Shape) -> NoReturn:
    got = f"one of feature maps, for inputs of shape {shape.inputs}"
    checks.fail("`learner`", "one that takes features, such as protonet or maml", got)


def relation(network: Network, maps: tuple[int, ...]) -> NoReturn:
    checks.fail("`learner`", "one that takes features, such as protonet or maml", f"one of maps of shape {maps}")


def floors(task: Task, ways: int) -> dict[str, MetaLearner]:
    """For numbers linear models are floors, too."""
    scoring = SCORINGS[task.criterion]
    if scoring.has_classes:
        return {
            "raw inputs, nearest centroid": baselines.nearest_centroid(scoring.criterion, num_ways=ways),
            "raw inputs, logistic regression": baselines.logistic_regression(scoring.criterion, num_ways=ways),
        }
    if scoring.has_scale:
        return {"raw inputs, mean and deviation": baselines.support_moments(scoring.criterion)}
    return {
        "raw inputs, nearest neighbour": baselines.nearest_neighbour(scoring.criterion),
        "raw inputs, ridge regression": baselines.ridge_regression(scoring.criterion),
    }


def load_inputs(own: Own, columns: tuple[datasets.Column, ...]) -> tuple[list[str], np.ndarray]:
    """What is to be predicted; columns of a csv go by the names that the header of a labelled csv gives them."""
    return datasets.load_inputs(
        own.inputs,
        data_dir=own.data_dir,
        target_column=own.target_column if datasets.is_table(own.inputs) else None,
        columns=columns if datasets.is_table(own.inputs) else (),
    )


def check_like(own: Own, table: datasets.Examples | datasets.Table, inputs: np.ndarray) -> None:
    """Raises DataError unless inputs have the columns of the support set; says which numbers are far from its own."""
    support = table.inputs
    if inputs.shape[1:] != support.shape[1:]:
        wanted, got = f"{support.shape[1]} columns, as in {own.support}", inputs.shape[1:]
        checks.fail(own.inputs, wanted, got[0] if len(got) == 1 else f"shape {inputs.shape}", error=checks.DataError)
    if far := doubts.far(table.columns, support, inputs):
        files.said(pathlib.Path(own.inputs), *far)
