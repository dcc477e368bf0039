"""Supervised pre-training on all source classes, and what the baselines that start from it share."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmeta import checks, inner
from jaxmeta.criteria import silence_absent
from jaxmeta.learners.support import embed, memberships
from jaxmeta.types import Array, Batch, Criterion, Episode, Init, Loss, MetaLearner, Metrics, Model, PyTree, scored


class Population(NamedTuple):
    """What a pre-trained encoder remembers of its source: it has no running averages, and wants none."""

    context: PyTree
    """The encoder's context over a large batch of the source, in the place of running averages."""
    centre: Array
    """[dim] the mean embedding of that batch."""


class Pretrained(NamedTuple):
    """The meta_params of the pre-trained baselines."""

    encoder: PyTree
    """The encoder's params."""
    classifier: PyTree
    """The head over the source classes, which no task uses."""
    population: Population | tuple[()] = ()
    """() in training; `with_population` fills it in afterwards."""


class Head(NamedTuple):
    """A classifier of embeddings [n, dim]."""

    init: Callable[[Array, int], PyTree]
    """(key, num_classes) -> params, before pre-training"""
    start: Callable[[Array, Array], PyTree]
    """(embeddings [n, dim], members [n, num_ways]) -> params, before a task's own steps"""
    apply: Callable[[PyTree, Array], Array]
    """(params, embeddings [n, dim]) -> logits"""


class Adapted(NamedTuple):
    """What one task's support set leaves behind; the encoder is the shared one."""

    head: PyTree
    """The task's own head."""
    present: Array
    """[num_ways] bool, the classes that have a support example."""
    context: PyTree
    """The encoder's context."""


def linear_head(num_features: int) -> Head:
    """Logits x @ weights + bias; a task's own starts from zero, which favours no class."""
    num_features = checks.integer("num_features", num_features, 1)

    def init(key: Array, num_classes: int) -> tuple[Array, Array]:
        return jax.nn.initializers.lecun_normal()(key, (num_features, num_classes)), jnp.zeros(num_classes)

    def start(embeddings: Array, members: Array) -> tuple[Array, Array]:
        ways = members.shape[1]
        return jnp.zeros((num_features, ways), embeddings.dtype), jnp.zeros(ways, embeddings.dtype)

    def apply(params: tuple[Array, Array], embeddings: Array) -> Array:
        return features(embeddings, num_features) @ params[0] + params[1][None]

    return Head(init, start, apply)


def features(embeddings: Array, num_features: int) -> Array:
    """Returns the embeddings as they are, if they are [n, num_features]."""
    if embeddings.ndim != 2 or embeddings.shape[1] != num_features:
        checks.fail("the encoder", f"embeddings [n, {num_features}], as num_features says", embeddings.shape)
    return embeddings


def with_population(encoder: Model, meta_params: Pretrained, inputs: PyTree) -> Pretrained:
    """Gives a pre-trained network its population statistics, so that missing running averages do not handicap it.

    With norm "support" this is what batch normalisation does: moments of the batch in training, moments of the source
    in test. Call it once, after the training.

    Args:
      encoder: the one that was trained.
      meta_params: as training left them.
      inputs: [n, ...] many inputs of the source; at least some hundred.

    Returns:
      The meta_params with `Population(context, centre)`.
    """
    context = encoder.context(meta_params.encoder, Batch(inputs, None))
    centre = encoder.apply(meta_params.encoder, inputs, None, context).mean(axis=0)
    return meta_params._replace(population=Population(context, centre))


def population_context(encoder: Model, meta_params: Pretrained, params: PyTree, support: Batch) -> PyTree:
    """The source's context if it is known, else the support set's under the given params."""
    if isinstance(meta_params.population, Population):
        return meta_params.population.context
    return encoder.context(params, support)


def pretraining(encoder: Model, head: Head, criterion: Criterion, num_classes: int) -> tuple[Init, Loss]:
    """The init and the loss of a supervised classifier; its episodes are Episode((), Batch)."""
    num_classes = checks.integer("num_classes", num_classes, 2)

    def init(key: Array) -> Pretrained:
        encoder_key, head_key = jax.random.split(key)
        return Pretrained(encoder.init(encoder_key), head.init(head_key, num_classes))

    def loss(meta_params: Pretrained, episode: Episode, key: Array) -> tuple[Array, Metrics]:
        def predictor(inputs: PyTree, mask: Array | None = None) -> Array:
            embeddings = encoder.apply(meta_params.encoder, inputs, mask)
            return head.apply(meta_params.classifier, embeddings)

        return scored("criterion", criterion(predictor, episode.query, key))

    return init, loss


def silenced(logits: Array, present: Array) -> Array:
    """Gives the classes without a support example no probability."""
    return silence_absent(logits, jnp.broadcast_to(present, logits.shape))


def probe(
    what: str,
    encoder: Model,
    head: Head,
    criterion: Criterion,
    optimizer: optax.GradientTransformation,
    *,
    num_classes: int,
    num_ways: int,
    num_steps: int,
    outer_criterion: Criterion | None,
    gradient: inner.Gradient,
    scan: inner.Scan,
    select: inner.Select | None,
) -> MetaLearner:
    """A head trained on the frozen embeddings of the support set."""
    num_ways = checks.integer(f"{what}: num_ways", num_ways, 2)
    init, loss = pretraining(encoder, head, outer_criterion or criterion, num_classes)

    def support_loss(params: PyTree, data: tuple[Batch, Array], key: Array) -> tuple[Array, Metrics]:
        support, present = data
        predictor = lambda inputs, mask=None: silenced(head.apply(params, inputs), present)  # noqa: E731
        return criterion(predictor, support, key)

    solve = inner.unroll(
        support_loss, optimizer, num_steps, gradient=gradient, scan=scan, select=inner.select_first(select)
    )

    def adapt(meta_params: Pretrained, support: Batch, key: Array) -> Adapted:
        context = population_context(encoder, meta_params, meta_params.encoder, support)
        embeddings = embed(what, encoder, meta_params.encoder, support, context, num_ways)
        members = memberships(support, num_ways)
        present = members.any(axis=0)
        data = support._replace(inputs=embeddings), present
        params, _ = solve(head.start(embeddings, members), data, key)
        return Adapted(params, present, context)

    def predict(meta_params: Pretrained, adapted: Adapted, inputs: PyTree, mask: Array | None = None) -> Array:
        embeddings = encoder.apply(meta_params.encoder, inputs, mask, adapted.context)
        return silenced(head.apply(adapted.head, embeddings), adapted.present)

    return MetaLearner(init, adapt, predict, loss)
