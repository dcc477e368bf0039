"""A learner that trains its network on the support set alone before it reads it: task-specific adapters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmeta import inner
from jaxmeta.inner.loop import transformation
from jaxmeta.learners.protonet import protonet
from jaxmeta.learners.ridge_classifier import ridge_classifier
from jaxmeta.types import Array, Batch, Criterion, Episode, MetaLearner, Metrics, Model, PyTree


class MetaParams(NamedTuple):
    """Where the steps start, and how far they go in each leaf."""

    params: PyTree
    """The read learner's own meta_params, such as an encoder's adapters."""
    factors: PyTree
    """A number for every leaf of params, by which the optimizer's updates of it are multiplied; 1 at first."""


class Adapted(NamedTuple):
    """One task's own network and what it makes of the support set."""

    params: PyTree
    """After the steps."""
    read: PyTree
    """What the read learner's `adapt` returned under them."""


def tuned(
    learner: MetaLearner,
    inner_optimizer: optax.GradientTransformation,
    *,
    num_steps: int,
    read: MetaLearner | None = None,
    augment: Callable[[Array, Batch], Batch] | None = None,
    gradient: inner.Gradient = inner.mixed_mode,
    scan: inner.Scan = inner.adaptive_scan,
    select: inner.Select | None = None,
) -> MetaLearner:
    """Trains a learner's meta_params on each support set, as support and as queries at once, then adapts it.

    Over adapters that start at zero and without meta-training it is TSA, over a whole network and with `augment` the
    fine-tuning of P>M>F. Meta-training finds, with the exact second order, where the steps start and how far each leaf
    goes.

    Args:
      learner: what is trained by its own `loss`, such as `protonet`.
      inner_optimizer: any Optax transformation.
      num_steps: steps on the support set; 0 is the learner as it is.
      read: the learner over the same meta_params that adapts to the support set after the steps and predicts; None:
        `learner` itself.
      augment: (key, support) -> the queries of a step, such as changed pictures; None: the support set as it is. It
        sees what the network takes. Where an encoder's first layers run once (`recipes.kinds.adapted`) these are their
        maps, of which no changed picture can be made, and none is given: changed pictures would go through the first
        layers anew in every step of every task, and these are two thirds of EfficientNet-Lite0's products.
      gradient, scan, select: as in `maml`.

    Returns:
      A MetaLearner whose meta_params are `MetaParams(params, factors)` and whose adapted is `Adapted(params, read)`.

    Raises:
      ValueError: if num_steps is negative.

    Example:
      >>> import jax, optax
      >>> from jaxmeta import criteria, learners, models
      >>> encoder = models.conv4((28, 28, 1), None, norm="layer")
      >>> learner = learners.tuned(
      ...     learners.protonet(encoder, criteria.cross_entropy, num_ways=5), optax.sgd(0.1), num_steps=3)
      >>> learner.init(jax.random.key(0)).factors["Conv_0"]["kernel"].shape
      ()

    References:
      Li et al., Cross-domain Few-shot Learning with Task-specific Adapters, 2022, section 3.2 and equation 4; Hu et
      al., Pushing the Limits of Simple Pipelines for Few-Shot Learning, 2022, section 3.3 (augmented support sets);
      Antoniou et al., How to Train Your MAML, 2019, section 4 (rates of layers).
    """
    read = read or learner
    optimizer = transformation("tuned: inner_optimizer", inner_optimizer)

    def update(gradients: PyTree, state: PyTree, steered: inner.Steered, loss: Array) -> tuple[PyTree, PyTree]:
        updates, state = optimizer.update(gradients, state, steered.params, value=loss, grad=gradients)
        return jax.tree.map(lambda factor, change: factor * change, steered.by, updates), state

    def support_loss(params: PyTree, support: Batch, key: Array) -> tuple[Array, Metrics]:
        changed, own = jax.random.split(key)
        queries = support if augment is None else augment(changed, support)
        return learner.loss(params, Episode(support, queries), own)

    steps = inner.steer(lambda steered: optimizer.init(steered.params), update)
    solve = inner.unroll(inner.steered(support_loss), steps, num_steps, gradient=gradient, scan=scan, select=select)

    def init(key: Array) -> MetaParams:
        params = learner.init(key)
        return MetaParams(params, jax.tree.map(lambda leaf: jnp.ones((), leaf.dtype), params))

    def adapt(meta_params: MetaParams, support: Batch, key: Array) -> Adapted:
        solve_key, read_key = jax.random.split(key)
        (params, _), _ = solve(inner.Steered(*meta_params), support, solve_key)
        return Adapted(params, read.adapt(params, support, read_key))

    def predict(meta_params: MetaParams, adapted: Adapted, inputs: PyTree, mask: Array | None = None) -> PyTree:
        del meta_params
        return read.predict(adapted.params, adapted.read, inputs, mask)

    def loss(meta_params: MetaParams, episode: Episode, key: Array) -> tuple[Array, Metrics]:
        adapt_key, read_key = jax.random.split(key)
        (params, _), _ = solve(inner.Steered(*meta_params), episode.support, adapt_key)
        return read.loss(params, episode, read_key)

    return MetaLearner(init, adapt, predict, loss)


def tuned_protonet(
    encoder: Model,
    criterion: Criterion,
    inner_optimizer: optax.GradientTransformation,
    *,
    num_ways: int,
    num_steps: int,
    outer_criterion: Criterion | None = None,
    **options: Any,
) -> MetaLearner:
    """`tuned` by the loss of prototypes, and then read by a ridge regression.

    Args:
      encoder: maps inputs [n, ...] to embeddings [n, dim].
      criterion: the loss on the support set, and on the query set unless `outer_criterion` is given.
      inner_optimizer: any Optax transformation.
      num_ways: classes per episode; targets are integers in [0, num_ways).
      num_steps: steps on the support set; 0 is `ridge_classifier`.
      outer_criterion: the loss on the query set, if another.
      **options: what else `tuned` takes.

    Returns:
      `tuned`'s learner.

    Raises:
      ValueError: as `protonet`, `ridge_classifier` and `tuned` do.
    """
    read = ridge_classifier(encoder, outer_criterion or criterion, num_ways=num_ways)
    prototypes = protonet(encoder, criterion, num_ways=num_ways)
    return tuned(prototypes, inner_optimizer, num_steps=num_steps, read=read, **options)
