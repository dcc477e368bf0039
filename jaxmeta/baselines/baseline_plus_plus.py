"""Baseline++."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from jaxmeta import checks, inner, tree
from jaxmeta.baselines.pretrained import Head, features, probe
from jaxmeta.types import Array, Criterion, MetaLearner, Model


def baseline_plus_plus(
    encoder: Model,
    criterion: Criterion,
    optimizer: optax.GradientTransformation,
    *,
    num_features: int,
    num_classes: int,
    num_ways: int,
    num_steps: int,
    scale: float = 10.0,
    outer_criterion: Criterion | None = None,
    gradient: inner.Gradient = inner.mixed_mode,
    scan: inner.Scan = inner.adaptive_scan,
    select: inner.Select | None = None,
) -> MetaLearner:
    """Pre-trains with a cosine head, then trains a new cosine head on frozen embeddings of the support set.

    With w_k the weights of class k, the logits are scale * cos(f(x), w_k). A task's own weights start from the mean
    embeddings of its classes, which favours none (at random in the paper).

    Args:
      encoder: maps inputs [n, ...] to embeddings [n, num_features].
      criterion: the loss of the steps, and of pre-training unless `outer_criterion` is given.
      optimizer: any Optax transformation, for the steps.
      num_features: the length of an embedding.
      num_classes: classes of the source.
      num_ways: classes per episode; targets are integers in [0, num_ways).
      num_steps: steps on the support set.
      scale: of the cosines, positive.
      outer_criterion, gradient, scan, select: as in `fine_tune`.

    Returns:
      A MetaLearner whose meta_params are `Pretrained(encoder, classifier, population)`.

    Raises:
      ValueError: if a number is too small.

    References:
      Chen et al., A Closer Look at Few-shot Classification, 2019, section 3.3.
    """
    if not 0 < scale < float("inf"):
        checks.fail("baseline_plus_plus: scale", "a positive number", scale)
    return probe(
        "baseline_plus_plus", encoder, _cosine_head(num_features, scale), criterion, optimizer,
        num_classes=num_classes, num_ways=num_ways, num_steps=num_steps,
        outer_criterion=outer_criterion, gradient=gradient, scan=scan, select=select,
    )  # fmt: skip


def _cosine_head(num_features: int, scale: float) -> Head:
    num_features = checks.integer("num_features", num_features, 1)

    def init(key: Array, num_classes: int) -> Array:
        return jax.nn.initializers.lecun_normal()(key, (num_features, num_classes))

    def start(embeddings: Array, members: Array) -> Array:
        members = members.astype(embeddings.dtype)
        return embeddings.T @ members / jnp.maximum(members.sum(axis=0), 1)[None]

    def apply(weights: Array, embeddings: Array) -> Array:
        return scale * (tree.direction(features(embeddings, num_features)) @ tree.direction(weights, axis=0))

    return Head(init, start, apply)
