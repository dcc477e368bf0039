"""Training on the support set alone."""

from __future__ import annotations

from typing import Any

import jax
import optax

from jaxmeta.learners.maml import maml
from jaxmeta.learners.network import Adapted
from jaxmeta.types import Array, Criterion, MetaLearner, Model, PyTree, query_loss


def from_scratch(
    model: Model,
    criterion: Criterion,
    optimizer: optax.GradientTransformation,
    *,
    num_steps: int,
    outer_criterion: Criterion | None = None,
    **options: Any,
) -> MetaLearner:
    """A network initialised anew for every task and trained on its support set: what adapting without learning gives.

    Args:
      model: the network.
      criterion: the loss on the support set, and on the query set unless `outer_criterion` is given.
      optimizer: any Optax transformation.
      num_steps: steps on the support set.
      outer_criterion: the loss on the query set, if another.
      **options: gradient, scan and select, as in `maml`.

    Returns:
      A MetaLearner without meta_params, whose adapted is `maml`'s.
    """
    trained = maml(model, criterion, optimizer, num_steps=num_steps, **options)

    def adapt(meta_params: PyTree, support: PyTree, key: Array) -> Adapted:
        del meta_params
        init_key, adapt_key = jax.random.split(key)
        return trained.adapt(model.init(init_key), support, adapt_key)

    return MetaLearner(
        lambda key: {}, adapt, trained.predict, query_loss(adapt, trained.predict, outer_criterion or criterion)
    )
