import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta.models import table_kernels
from jaxmeta.types import CATEGORY

NAMES = ("linear", "gaussian", "additive", "forest", "ranked", "mixed")
LOG_SIZES = (0.0, 0.0, 0.0, 1.5, 0.0, -1.0)


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


@functools.cache
def cells() -> np.ndarray:
    """Numbers, categories and missing cells."""
    generator = np.random.default_rng(0)
    drawn = np.stack([generator.normal(size=(12, 5)), np.ones((12, 5)), np.ones((12, 5))], axis=-1)
    drawn[:, 3:, 0], drawn[:, 3:, 2] = generator.integers(3, size=(12, 2)), CATEGORY
    drawn[1, 0, :2] = drawn[2, 1, :2] = drawn[3, 3, :2] = 0
    return drawn


def gram(given, keep=None) -> np.ndarray:
    given, keep = jnp.asarray(given), jnp.ones(len(given)) if keep is None else keep
    own = table_kernels.units(given * keep[:, None, None], keep)
    known = table_kernels.known_rows(own, given, keep)
    pairs = table_kernels.pairs(own, known, known, jnp.log(0.5))
    weights = jnp.broadcast_to((own.kinds > 0) / (own.kinds > 0).sum(), (len(NAMES), len(own.kinds)))
    return np.asarray(table_kernels.kernels(NAMES, pairs, weights, jnp.array(LOG_SIZES)))


def test_no_kernel_has_a_negative_eigenvalue():
    assert np.linalg.eigvalsh(gram(cells())).min() > -1e-9


def test_a_forest_and_a_ranked_kernel_know_ranks_alone():
    bent = cells().copy()
    is_number = (bent[..., 2] == 1) & (bent[..., 1] > 0)
    bent[..., 0] = np.where(is_number, np.exp(np.arctan(bent[..., 0])), bent[..., 0])
    before, after = gram(cells()), gram(bent)
    np.testing.assert_allclose(after[[3, 4]], before[[3, 4]], atol=1e-12)
    assert np.abs(after[0] - before[0]).max() > 1e-3


def test_what_a_row_is_told_when_left_out_is_what_a_fit_without_it_tells():
    found, rows = gram(cells()), len(cells())
    classes = np.where(np.arange(rows)[:, None] % 3 == 0, [[0.5, -0.5]], [[-0.5, 0.5]])
    penalties = np.array([3.0, 1.0, 0.5, 2.0, 10.0, 1.0])
    fit = table_kernels.fit(jnp.asarray(found), jnp.asarray(classes), jnp.ones(rows), jnp.log(penalties))
    others = np.arange(rows) != 5
    for kernel, penalty, told in zip(found, penalties, np.asarray(fit.left_out), strict=True):
        rest = kernel[np.ix_(others, others)] + penalty * np.eye(rows - 1)
        np.testing.assert_allclose(told[5], kernel[5, others] @ np.linalg.solve(rest, classes[others]), atol=1e-9)


def test_rows_of_padding_weigh_nothing():
    keep = (jnp.arange(len(cells())) < 8).astype(float)
    np.testing.assert_allclose(gram(cells(), keep)[:, :8, :8], gram(cells()[:8]), atol=1e-12)


def test_what_foretells_rows_left_out_weighs_by_how_well_and_not_by_how_loudly():
    classes = jnp.tile(jnp.array([[0.5, -0.5], [-0.5, 0.5]]), (6, 1))
    noise = jnp.asarray(np.random.default_rng(1).normal(size=(12, 1)) * [[1, -1]])
    told = jnp.stack([classes, 100 * classes, 0 * classes, classes + 0.5 * noise, -classes])
    cosine, weights = table_kernels.agreement(told, classes)
    np.testing.assert_allclose(cosine[:3], [1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(weights[:2] * jnp.array([1, 100]), [1, 1], rtol=1e-5)
    sizes = jnp.sqrt(jnp.square(told).sum(axis=(1, 2)) / jnp.square(classes).sum())
    np.testing.assert_allclose(weights[3:] * sizes[3:], jnp.square(jnp.maximum(cosine[3:], 0.2)), rtol=1e-5)
    assert 0.2 < cosine[3] < 1
    slope = jax.grad(lambda told: sum(each.sum() for each in table_kernels.agreement(told, classes)))(told)
    assert np.isfinite(slope).all()
