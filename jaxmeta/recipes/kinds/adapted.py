"""Pictures before the last layers of a pretrained encoder, in which adapters learn; the first layers run once.

So support sets are not augmented: `learners.tuned` says what that would cost.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxmeta import baselines, learners, models
from jaxmeta.encoders import features as parts
from jaxmeta.models import FrozenModel
from jaxmeta.recipes.kinds import features
from jaxmeta.recipes.kinds.kind import Place, Shape
from jaxmeta.recipes.recipe import Task
from jaxmeta.recipes.scoring import SCORINGS
from jaxmeta.types import Array, Batch, MetaLearner, Model, PyTree

RULES = {"tsa": models.tsa, "film": models.film, "lora": models.lora(4)}


def _fits(task: Task, place: Place) -> bool:
    return task.adapters != "none" and features.FEATURES.fits(task, place)


def _shape(task: Task) -> Shape:
    return Shape(parts.trunk_shape(features.form(task)), task.ways)


def _rest(module: object, trunk: Array) -> tuple[Array, tuple[Array, ...]]:
    return module.rest(trunk)  # pyright: ignore[reportAttributeAccessIssue]


def _wrapped(task: Task) -> FrozenModel:
    """The encoder's last layers with adapters: what the first made of pictures -> (features, maps)."""
    encoder = features.form(task)
    example = jax.ShapeDtypeStruct((1, *parts.trunk_shape(encoder)), jnp.float32)
    if task.adapters == "all":
        return models.differences(encoder.module, encoder.variables, example, method=_rest)
    return models.wrap(encoder.module, encoder.variables, example, RULES[task.adapters], method=_rest)


def _frozen(task: Task, outputs: int | None) -> FrozenModel:
    """As for features: all parts for what compares them, a layer behind them for a head."""
    model = _wrapped(task).then(parts.gathered)
    if outputs is None:
        return model.then(lambda gathered: features.SCALE * gathered)
    example = jax.ShapeDtypeStruct((1, *_shape(task).inputs), jnp.float32)
    size = jax.eval_shape(lambda x: model.apply(model.frozen, model.init(jax.random.key(0)), x), example).shape[-1]
    return model.with_head(size, outputs)


def _floors(task: Task, ways: int) -> dict[str, MetaLearner]:
    """Those of features: the encoder's own, as they come."""
    criterion = SCORINGS[task.criterion].criterion
    own = _wrapped(task).then(lambda views: parts.unit(views[0]))
    regression = baselines.logistic_regression(criterion, num_ways=ways, penalty=features.PENALTY)

    def through(model: Model) -> MetaLearner:
        def adapt(params: PyTree, support: Batch, key: Array) -> PyTree:
            return regression.adapt({}, support._replace(inputs=model.apply(params, support.inputs)), key)

        def predict(params: PyTree, adapted: PyTree, inputs: PyTree, mask: Array | None = None) -> Array:
            return regression.predict({}, adapted, model.apply(params, inputs), mask)

        return regression._replace(init=model.init, adapt=adapt, predict=predict)

    return {
        features.CENTROID: learners.over_frozen(
            lambda model: baselines.cosine_centroid(model, criterion, num_ways=ways), own
        ),
        features.REGRESSION: learners.over_frozen(through, own),
    }


ADAPTED = features.FEATURES._replace(
    name="adapted", fits=_fits, shape=_shape, frozen=_frozen, floors=_floors, pretrains=False
)
"""What the first layers of a frozen encoder make of pictures; the last ones, with adapters, are the network."""
