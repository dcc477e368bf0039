"""Linear models of the raw inputs, fitted to the support set alone."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta import checks, inner
from jaxmeta.criteria import silence_absent
from jaxmeta.learners.support import memberships, unless_mislabelled
from jaxmeta.types import Array, Batch, Criterion, MetaLearner, PyTree, query_loss

_NEWTON_STEPS = 12
_STEP_SIZES = (*(0.5**power for power in range(8)), 0.0)


class Linear(NamedTuple):
    """One task's linear model."""

    weights: Array
    """[dim, num_outputs]"""
    bias: Array
    """[num_outputs]"""


class Classifier(NamedTuple):
    """One task's linear classifier."""

    weights: Array
    """[dim, num_ways]"""
    bias: Array
    """[num_ways]"""
    present: Array
    """[num_ways] bool, the classes that have a support example."""


def logistic_regression(criterion: Criterion, *, num_ways: int, penalty: float = 1.0) -> MetaLearner:
    """Multinomial logistic regression on the raw inputs, as scikit-learn's LogisticRegression(C=1 / penalty).

    Minimises the summed cross-entropy of the support set plus penalty / 2 times the squared weights, biases free, by
    twelve steps of Newton's method, which are enough for penalties of 1e-4 and more. Two classes have one vector of
    weights there, whose square is twice that of both here. Columns of different units want `tasks.standardize`.

    Args:
      criterion: scores a predictor on query data.
      num_ways: classes per episode; targets are integers in [0, num_ways).
      penalty: of the weights, positive.

    Returns:
      A MetaLearner without meta_params, whose adapted is `Classifier(weights, bias, present)`.

    Raises:
      ValueError: if num_ways < 2, or penalty is not positive.
    """
    num_ways = checks.integer("logistic_regression: num_ways", num_ways, 2)
    _check_penalty("logistic_regression", penalty)

    def adapt(meta_params: PyTree, support: Batch, key: Array) -> Classifier:
        del meta_params, key
        rows, real = _rows(support)
        basis = None
        if rows.shape[1] > rows.shape[0]:
            # The weights lie in the span of the rows: fewer unknowns, and the same square.
            basis, coordinates = jnp.linalg.qr(rows.T)
            rows = coordinates.T
        rows = unless_mislabelled("logistic_regression", rows, support, num_ways)
        members = memberships(support, num_ways).astype(rows.dtype)
        present = members.sum(axis=0) > 0
        strength = jnp.where(present.sum() == 2, 2 * penalty, penalty)

        def loss(model: Linear) -> Array:
            logits = rows @ model.weights + model.bias[None]
            highest = jax.nn.logsumexp(logits, axis=1, where=present[None])
            losses = highest * real - (members * logits).sum(axis=1)
            return losses.sum() + strength / 2 * jnp.square(model.weights).sum()

        def step(model: Linear, _: None) -> tuple[Linear, None]:
            gradient = jax.grad(loss)(model)

            def product(tangent: Linear) -> Linear:
                curved = jax.jvp(jax.grad(loss), (model,), (tangent,))[1]
                # Raising all biases together changes no loss, nor does an absent class's bias: pinned, or rounding
                # would make the system singular.
                pinned = jnp.where(present, jnp.where(present, tangent.bias, 0).sum(), tangent.bias)
                return curved._replace(bias=curved.bias + pinned)

            direction, _ = jax.scipy.sparse.linalg.cg(product, gradient, tol=1e-6, maxiter=200)
            move = lambda size: jax.tree.map(lambda leaf, change: leaf - size * change, model, direction)  # noqa: E731
            # The first step that does not overshoot; rounding alone must not shorten the last ones.
            sizes = jnp.array(_STEP_SIZES, rows.dtype)
            lower = jax.vmap(lambda size: loss(move(size)))(sizes) <= loss(model) * (1 + 1e-5)
            return move(sizes[jnp.argmax(lower)]), None

        # Conjugate gradients take no step at all where there is a NaN, and zeros would pass for a fit.
        zero = jnp.where(jnp.isfinite(rows).all(), 0, jnp.nan).astype(rows.dtype)
        start = Linear(jnp.full((rows.shape[1], num_ways), zero), jnp.full(num_ways, zero))
        fitted, _ = jax.lax.scan(step, start, length=_NEWTON_STEPS)
        return Classifier(fitted.weights if basis is None else basis @ fitted.weights, fitted.bias, present)

    def predict(meta_params: PyTree, adapted: Classifier, inputs: PyTree, mask: Array | None = None) -> Array:
        del meta_params, mask
        logits = inputs.reshape(len(inputs), -1) @ adapted.weights + adapted.bias[None]
        return silence_absent(logits, jnp.broadcast_to(adapted.present, logits.shape))

    return MetaLearner(lambda key: {}, adapt, predict, query_loss(adapt, predict, criterion))


def ridge_regression(criterion: Criterion, *, penalty: float = 1.0) -> MetaLearner:
    """Least squares on the raw inputs with penalised weights and free biases, as scikit-learn's Ridge(alpha=penalty).

    Args:
      criterion: scores a predictor on query data; targets [n, num_outputs] are values.
      penalty: of the squared weights, positive.

    Returns:
      A MetaLearner without meta_params, whose adapted is `Linear(weights, bias)`.

    Raises:
      ValueError: if penalty is not positive, or targets are not [n, num_outputs].
    """
    _check_penalty("ridge_regression", penalty)

    def adapt(meta_params: PyTree, support: Batch, key: Array) -> Linear:
        del meta_params, key
        if support.targets.ndim != 2:
            checks.fail("ridge_regression", "targets [n, num_outputs]", f"shape {support.targets.shape}")
        rows, real = _rows(support)
        keep, count = real[:, None], jnp.maximum(real.sum(), 1)
        targets = jnp.where(keep > 0, support.targets, 0)
        centre, level = rows.sum(axis=0) / count, targets.sum(axis=0) / count
        rows, targets = (rows - centre[None]) * keep, (targets - level[None]) * keep
        weights = inner.ridge(rows, targets, penalty)
        return Linear(weights, level - centre @ weights)

    def predict(meta_params: PyTree, adapted: Linear, inputs: PyTree, mask: Array | None = None) -> Array:
        del meta_params, mask
        return inputs.reshape(len(inputs), -1) @ adapted.weights + adapted.bias[None]

    return MetaLearner(lambda key: {}, adapt, predict, query_loss(adapt, predict, criterion))


def _check_penalty(what: str, penalty: float) -> None:
    if not 0 < penalty < float("inf"):
        checks.fail(f"{what}: penalty", "a positive number", penalty)


def _rows(support: Batch) -> tuple[Array, Array]:
    """Returns the inputs as vectors [n, dim], padded rows 0, and which are real, [n] of 0 and 1."""
    rows = support.inputs.reshape(len(support.inputs), -1)
    real = jnp.ones(len(rows), bool) if support.mask is None else support.mask
    return jnp.where(real[:, None], rows, 0), real.astype(rows.dtype)
