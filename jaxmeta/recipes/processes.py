"""The networks of neural processes, which read points: an input beside its target."""

from __future__ import annotations

import math
from collections.abc import Callable

from jaxmeta import criteria, models
from jaxmeta.recipes.kinds import Shape
from jaxmeta.recipes.recipe import Network
from jaxmeta.types import Array, Model, PyTree

KERNEL_FEATURES = 16  # numbers between which a deep kernel measures distances


def parts(network: Network, shape: Shape) -> dict[str, Callable[[], Model]]:
    """What learners of the table take, by name: {part: () -> Model}."""
    hidden, dim, values = network.hidden, math.prod(shape.inputs), shape.outputs
    width = hidden[-1]
    deep, latent = (*hidden, width), max(1, width // 2)
    return {
        "encoder": lambda: models.mlp(dim + values, width, hidden=hidden),
        "embedding": lambda: models.mlp(dim, width, hidden=(width,)),
        "latent": lambda: models.mlp(dim + values, 2 * latent, hidden=hidden),
        "decoder": lambda: models.mlp(dim + width, 2 * values, hidden=deep),
        "latent_decoder": lambda: models.mlp(dim + width + latent, 2 * values, hidden=deep),
        "transformer": lambda: models.point_network(
            dim, values, width=network.width, num_layers=network.num_layers, num_heads=network.num_heads,
            hidden=2 * network.width,
        ),
        "kernel_features": lambda: models.mlp(dim, KERNEL_FEATURES, hidden=hidden),
    }  # fmt: skip


def with_scale(model: Model) -> Model:
    """A network of two outputs a value as a predictor of distributions, for learners that take gradient steps on it."""

    def apply(params: PyTree, inputs: PyTree, mask: Array | None = None, context: PyTree = ()) -> criteria.Gaussian:
        return criteria.from_outputs(model.apply(params, inputs, mask, context))

    return Model(model.init, apply, model.context)
