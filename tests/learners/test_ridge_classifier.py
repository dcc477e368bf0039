"""The ridge classifier beside leaving out by hand."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import Batch, criteria, learners, models

module = importlib.import_module("jaxmeta.learners.ridge_classifier")

RNG = np.random.default_rng(0)
LABELS = np.repeat(np.arange(3), 4)
INPUTS = (RNG.normal(size=(12, 6)) + 1.5 * np.eye(3, 6)[LABELS]).astype(np.float32)
LEARNER = learners.ridge_classifier(models.flat(), criteria.cross_entropy, num_ways=3)
KEY = jax.random.key(0)


def fitted(inputs, labels, penalty):
    """Weights and bias by the normal equations."""
    targets = np.eye(3)[labels]
    centre, level = inputs.mean(axis=0), targets.mean(axis=0)
    rows = inputs - centre
    weights = np.linalg.solve(rows.T @ rows + penalty * np.eye(6), rows.T @ (targets - level))
    return weights, level - centre @ weights


def test_the_choice_is_that_of_leaving_out_by_hand():
    size = np.square(INPUTS - INPUTS.mean(axis=0)).sum(axis=1).mean()
    errors, losses = [], []
    for share in module.PENALTIES:
        outputs = []
        for left in range(12):
            others = np.arange(12) != left
            # The centre moves with the row that is left out: what the smoother's own entry stands for.
            weights, bias = fitted(INPUTS[others], LABELS[others], share * size)
            outputs.append(INPUTS[left] @ weights + bias)
        outputs = np.array(outputs)
        errors.append(np.square(outputs - np.eye(3)[LABELS]).sum())
        losses.append([-jax.nn.log_softmax(scale * outputs)[np.arange(12), LABELS].sum() for scale in module.SCALES])
    best = int(np.argmin(errors))
    scale = module.SCALES[int(np.argmin(losses[best]))]
    weights, bias = fitted(INPUTS, LABELS, module.PENALTIES[best] * size)
    adapted = LEARNER.adapt({}, Batch(jnp.asarray(INPUTS), jnp.asarray(LABELS)), KEY)
    np.testing.assert_allclose(adapted.weights, scale * weights, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(adapted.bias, scale * bias, rtol=1e-3, atol=1e-3)


def test_one_example_of_a_class_takes_the_usual_penalty_and_scale():
    rows = np.array([0, 1, 2, 4, 5, 8])  # the last alone
    size = np.square(INPUTS[rows] - INPUTS[rows].mean(axis=0)).sum(axis=1).mean()
    weights, _ = fitted(INPUTS[rows], LABELS[rows], module.USUAL_PENALTY * size)
    adapted = LEARNER.adapt({}, Batch(jnp.asarray(INPUTS[rows]), jnp.asarray(LABELS[rows])), KEY)
    np.testing.assert_allclose(adapted.weights, module.USUAL_SCALE * weights, rtol=1e-3, atol=1e-4)


def test_gradients_are_finite_where_rows_are_equal():
    inputs = jnp.asarray(np.repeat(INPUTS[::4], 4, axis=0))  # eigenvalues that coincide

    def loss(inputs):
        adapted = LEARNER.adapt({}, Batch(inputs, jnp.asarray(LABELS)), KEY)
        return jnp.square(LEARNER.predict({}, adapted, inputs)).sum()

    assert bool(jnp.isfinite(jax.grad(loss)(inputs)).all())


@pytest.mark.fault(promised="one line")
def test_one_way_is_refused():
    with pytest.raises(ValueError, match=r"^ridge_classifier: num_ways: expected a whole number of at least 2, got 1"):
        learners.ridge_classifier(models.flat(), criteria.cross_entropy, num_ways=1)
