"""Any learner over a model of which a part, such as a pretrained encoder, is frozen."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from jaxmeta.models import FrozenModel
from jaxmeta.tree import Frozen
from jaxmeta.types import Array, MetaLearner, Metrics, Model, PyTree


class MetaParams(NamedTuple):
    """What is learned over tasks, beside what is not."""

    frozen: Frozen
    learned: PyTree
    """The learner's own meta_params."""


def whole(model: FrozenModel) -> Model:
    """The model whose params are `MetaParams(frozen, learned)`, for whoever only applies it."""

    def context(params: MetaParams, support: PyTree) -> PyTree:
        return model.context(params.frozen.value, params.learned, support)

    def apply(params: MetaParams, inputs: PyTree, mask: Array | None = None, context: PyTree = ()) -> PyTree:
        return model.apply(params.frozen.value, params.learned, inputs, mask, context)

    return Model(lambda key: MetaParams(Frozen(model.frozen), model.init(key)), apply, context)


def over_frozen(make: Callable[[Model], MetaLearner], model: FrozenModel) -> MetaLearner:
    """Makes a learner of a model's params alone; the frozen weights come along in its meta_params, as `tree.Frozen`.

    So they are an argument of every program that uses them, and no part of its text.

    Args:
      make: (model) -> learner, such as `lambda model: jaxmeta.maml(model, criterion, optimizer, num_steps=5)`.
      model: what is frozen, and what is not.

    Returns:
      A MetaLearner whose meta_params are `MetaParams(frozen, learned)`.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> from jaxmeta import criteria, learners, maml, models
      >>> head = models.FrozenModel(
      ...     jnp.ones((3, 4)), lambda key: jnp.zeros((4, 2)),
      ...     lambda frozen, head, inputs, mask=None, context=(): inputs @ frozen @ head)
      >>> learner = learners.over_frozen(
      ...     lambda model: maml(model, criteria.cross_entropy, optax.sgd(0.1), num_steps=2), head)
      >>> learner.init(jax.random.key(0)).learned.shape
      (4, 2)
    """

    def of(meta_params: MetaParams) -> MetaLearner:
        return make(model.bound(meta_params.frozen.value))

    def init(key: Array) -> MetaParams:
        return MetaParams(Frozen(model.frozen), make(model.bound(model.frozen)).init(key))

    def adapt(meta_params: MetaParams, support: PyTree, key: Array) -> PyTree:
        return of(meta_params).adapt(meta_params.learned, support, key)

    def predict(meta_params: MetaParams, adapted: PyTree, inputs: PyTree, mask: Array | None = None) -> PyTree:
        return of(meta_params).predict(meta_params.learned, adapted, inputs, mask)

    def loss(meta_params: MetaParams, episode: PyTree, key: Array) -> tuple[Array, Metrics]:
        return of(meta_params).loss(meta_params.learned, episode, key)

    return MetaLearner(init, adapt, predict, loss)
