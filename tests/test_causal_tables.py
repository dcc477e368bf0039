"""What the prior of tables draws; experiments/causal_tables.py says it of many more."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import tasks
from jaxmeta.types import CATEGORY, NUMBER


def test_tables_are_of_every_sort():
    sample = tasks.causal_tables(num_features=6, num_ways=4, num_support=12, num_queries=6)
    episodes = jax.jit(lambda: tasks.episodes(sample, jax.random.key(0), jnp.arange(100)))()
    support, query = (jax.tree.map(np.asarray, part) for part in episodes)
    kinds = support.inputs[..., 2].max(axis=1)
    for part in (support, query):
        assert np.isfinite(part.inputs).all()
        assert (part.inputs[..., 2] == kinds[:, None]).all()  # a column is of one kind, in support set and queries
        assert not part.inputs[part.inputs[..., 1] == 0][:, 0].any()  # what is missing or padding says nothing
    widths = (kinds > 0).sum(axis=1)
    assert widths.min() == 2
    assert widths.max() == 6
    assert 0.2 < (kinds == CATEGORY).sum() / (kinds > 0).sum() < 0.6
    assert (kinds == NUMBER).any()
    missing = ((support.inputs[..., 1] == 0) & (support.inputs[..., 2] > 0)).any(axis=(1, 2))
    assert 0.1 < missing.mean() < 0.6
    sizes = support.mask.sum(axis=1)
    assert sizes.min() >= 2
    assert sizes.max() == 12
    members = np.eye(4)[support.targets] * support.mask[..., None]
    np.testing.assert_array_equal(members.max(axis=1) > 0, support.classes[:, 0])
    asked = np.take_along_axis(support.classes[:, 0], query.targets, axis=1)
    np.testing.assert_array_equal(asked, query.mask)  # a class that was never shown is not asked about
    assert 0.5 < (support.classes[:, 0].sum(axis=1) <= 2).mean() < 0.95


@pytest.mark.long
def test_values_hang_on_the_columns():
    sample = tasks.causal_regression(num_features=4, num_support=60, num_queries=60)
    episodes = jax.jit(lambda: tasks.episodes(sample, jax.random.key(0), jnp.arange(60)))()
    support, query = (jax.tree.map(np.asarray, part) for part in episodes)
    explained, by_chance = [], []
    for known, asked, shown, mask, targets in zip(
        support.inputs, query.inputs, support.targets, support.mask, query.targets, strict=True
    ):
        columns = lambda cells: np.concatenate([np.tanh(cells[..., 0]), np.ones((len(cells), 1))], axis=1)  # noqa: E731
        weights = np.linalg.lstsq(columns(known[mask]), shown[mask], rcond=1e-3)[0]
        for found, values in ((explained, targets), (by_chance, targets[::-1])):
            found.append(1 - np.square(values - columns(asked) @ weights).mean() / values.var())
    # Of many tables little can be foretold, as of many patients.
    assert np.mean(np.asarray(explained) > 0.1) > 0.15
    assert np.mean(np.asarray(by_chance) > 0.1) < 0.05
