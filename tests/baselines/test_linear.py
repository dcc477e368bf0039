import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from jaxmeta import baselines, criteria, datasets
from jaxmeta.types import Batch

KEY = jax.random.key(0)


def fitted(learner, support):
    return jax.jit(lambda support: learner.adapt({}, support, KEY))(support)


def wide(support, rows):
    """The same support set with rows of junk that its mask hides."""
    pad = lambda leaf: jnp.concatenate([leaf, jnp.full((rows, *leaf.shape[1:]), 2, leaf.dtype)])  # noqa: E731
    mask = jnp.arange(len(support.targets) + rows) < len(support.targets)
    return Batch(pad(support.inputs), pad(support.targets), mask)


@pytest.mark.parametrize("ways", [2, 3])
@pytest.mark.parametrize(("rows", "dim"), [(40, 5), (9, 30)])
@pytest.mark.parametrize("penalty", [1.0, 0.1])
@pytest.mark.product(ways=(3,), penalty=(1.0,))
def test_logistic_regression_is_scikit_learns(ways, rows, dim, penalty):
    rng = np.random.default_rng(0)
    targets = np.arange(rows) % ways
    inputs = (rng.normal(size=(rows, dim)) + rng.normal(size=(ways, dim))[targets]).astype(np.float32)
    reference = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=10_000).fit(inputs.astype(np.float64), targets)
    learner = baselines.logistic_regression(criteria.cross_entropy, num_ways=4, penalty=penalty)
    support = Batch(jnp.asarray(inputs), jnp.asarray(targets))
    adapted = fitted(learner, support)
    queries = rng.normal(size=(7, dim)).astype(np.float32)
    logits = learner.predict({}, adapted, jnp.asarray(queries))
    chances = jax.nn.softmax(logits)
    np.testing.assert_allclose(chances[:, :ways], reference.predict_proba(queries), rtol=1e-4, atol=2e-5)
    assert (chances[:, ways:] == 0).all()
    padded = fitted(learner, wide(support, 5))
    np.testing.assert_allclose(padded.weights, adapted.weights, atol=2e-5)


def test_breast_cancer():
    data = datasets.load("breast_cancer")
    inputs = StandardScaler().fit_transform(data.inputs).astype(np.float32)
    targets = np.repeat([0, 1], np.diff(data.offsets))
    learner = baselines.logistic_regression(criteria.cross_entropy, num_ways=2)
    adapted = fitted(learner, Batch(jnp.asarray(inputs), jnp.asarray(targets)))
    reference = LogisticRegression(tol=1e-8, max_iter=10_000).fit(inputs.astype(np.float64), targets)
    np.testing.assert_allclose(adapted.weights[:, 1] - adapted.weights[:, 0], reference.coef_[0], atol=1e-3)
    np.testing.assert_allclose(adapted.bias[1] - adapted.bias[0], reference.intercept_[0], atol=1e-3)


@pytest.mark.parametrize(("rows", "dim"), [(40, 5), (9, 30)])
@pytest.mark.parametrize("penalty", [1.0, 0.1])
def test_ridge_regression_is_scikit_learns(rows, dim, penalty):
    rng = np.random.default_rng(1)
    inputs, targets = (rng.normal(2, 1, (rows, width)).astype(np.float32) for width in (dim, 2))
    reference = Ridge(alpha=penalty).fit(inputs, targets)
    learner = baselines.ridge_regression(criteria.squared_error, penalty=penalty)
    support = Batch(jnp.asarray(inputs), jnp.asarray(targets))
    for given in (support, wide(support, 3), wide(support, 30)):
        adapted = fitted(learner, given)
        np.testing.assert_allclose(adapted.weights.T, reference.coef_, atol=2e-4)
        np.testing.assert_allclose(learner.predict({}, adapted, inputs), reference.predict(inputs), atol=2e-4)


def test_wrong_use():
    with pytest.raises(ValueError, match="num_ways"):
        baselines.logistic_regression(criteria.cross_entropy, num_ways=1)
    for penalty in (0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="a positive number"):
            baselines.ridge_regression(criteria.squared_error, penalty=penalty)
    learner = baselines.ridge_regression(criteria.squared_error)
    with pytest.raises(ValueError, match="num_outputs"):
        learner.adapt({}, Batch(jnp.ones((3, 2)), jnp.ones(3)), KEY)
