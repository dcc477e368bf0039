"""Random tables: an endless source of tasks for tables of numbers."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.tasks.sampling import Sample, labelled_rows, static
from jaxmeta.types import Array, Batch, Episode

_HIDDEN = 16


def tabular(*, num_features: int, num_ways: int, num_shots: int, num_queries: int) -> Sample:
    """A task labels random correlated features by a random function.

    Features mix Gaussian causes, few of them strongly, and each is bent in its own way. The label is the interval in
    which a random function of the features lies; intervals hold equally many rows and are named at random. A task
    has 2 to num_features real features, the others are zero. Wrap it in `standardize`, as real tables are.

    Args:
      num_features: columns of the inputs.
      num_ways: classes per episode.
      num_shots: support examples per class.
      num_queries: query examples per class.

    Returns:
      sample: key -> Episode of inputs [n, num_features]; targets [n] are integers.

    References:
      Mueller et al., Transformers Can Do Bayesian Inference, 2022; Hollmann et al., TabPFN, 2023 (the
      causes there form a graph, the label is an interval of a node's value).
    """
    num_features = checks.integer("tabular: num_features", num_features, 1)
    num_ways = checks.integer("tabular: num_ways", num_ways, 2)
    num_shots = checks.integer("tabular: num_shots", num_shots, 1)
    num_queries = checks.integer("tabular: num_queries", num_queries, 1)

    return _Tabular(num_features, num_ways, num_shots, num_queries)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Tabular:
    num_features: int = static()
    num_ways: int = static()
    num_shots: int = static()
    num_queries: int = static()

    def __call__(self, key: Array) -> Episode:
        feature_key, function_key, class_key, order_key = jax.random.split(key, 4)
        num_rows = self.num_ways * (self.num_shots + self.num_queries)
        inputs, real = _features(feature_key, num_rows, self.num_features)
        # Sorted rows cut into equal parts are the intervals.
        rows = jnp.argsort(_values(function_key, inputs, real)).reshape(self.num_ways, -1)
        rows = jax.random.permutation(class_key, rows)
        rows = jax.random.permutation(order_key, rows, axis=1, independent=True)
        parts = (rows[:, : self.num_shots], rows[:, self.num_shots :])
        return Episode(*(labelled_rows(inputs[part.reshape(-1)], self.num_ways, part.shape[1]) for part in parts))


def tabular_regression(*, num_features: int, num_shots: int, num_queries: int) -> Sample:
    """`tabular` with the function's value as the target, mean 0 and deviation 1 over all rows of a task.

    Args:
      num_features: columns of the inputs.
      num_shots: support examples.
      num_queries: query examples.

    Returns:
      sample: key -> Episode of inputs [n, num_features] and targets [n, 1].
    """
    num_features = checks.integer("tabular_regression: num_features", num_features, 1)
    num_shots = checks.integer("tabular_regression: num_shots", num_shots, 1)
    num_queries = checks.integer("tabular_regression: num_queries", num_queries, 1)

    return _TabularRegression(num_features, num_shots, num_queries)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _TabularRegression:
    num_features: int = static()
    num_shots: int = static()
    num_queries: int = static()

    def __call__(self, key: Array) -> Episode:
        feature_key, function_key = jax.random.split(key)
        inputs, real = _features(feature_key, self.num_shots + self.num_queries, self.num_features)
        values = _values(function_key, inputs, real)
        targets = ((values - values.mean()) / values.std())[:, None]
        shots = self.num_shots
        return Episode(Batch(inputs[:shots], targets[:shots]), Batch(inputs[shots:], targets[shots:]))


def _features(key: Array, num_rows: int, num_features: int) -> tuple[Array, Array]:
    """Rows [num_rows, num_features], and how many columns are real; the others are zero."""
    count_key, decay_key, mixing_key, cause_key, bend_key, noise_key = jax.random.split(key, 6)
    real = jax.random.randint(count_key, (), min(2, num_features), num_features + 1)
    decay = jnp.exp(jax.random.uniform(decay_key, minval=-4.0, maxval=0.0))
    mixing = jax.random.normal(mixing_key, (num_features, num_features))
    mixing = mixing * jnp.exp(-decay * jnp.arange(num_features))[:, None]
    causes = jax.random.normal(cause_key, (num_rows, num_features))
    mixed = causes @ (mixing / jnp.linalg.norm(mixing, axis=0, keepdims=True))
    bend = jax.random.randint(bend_key, (num_features,), 0, 4)
    bent = jnp.select(
        [bend == 0, bend == 1, bend == 2], [mixed, jnp.tanh(2 * mixed), jnp.exp(mixed / 2) - 1], mixed * jnp.abs(mixed)
    )
    bent = bent + 0.1 * jax.random.normal(noise_key, bent.shape)
    return jnp.where(jnp.arange(num_features) < real, bent, 0), real


def _values(key: Array, inputs: Array, real: Array) -> Array:
    """[n] a random function of the rows: a linear one and a small network, in random shares, and noise."""
    weight_key, inner_key, outer_key, share_key, level_key, noise_key = jax.random.split(key, 6)
    num_features = inputs.shape[1]
    inputs = inputs / jnp.sqrt(real)
    linear = inputs @ jax.random.normal(weight_key, (num_features,))
    hidden = jnp.tanh(2 * inputs @ jax.random.normal(inner_key, (num_features, _HIDDEN)))
    curved = hidden @ jax.random.normal(outer_key, (_HIDDEN,)) / jnp.sqrt(_HIDDEN)
    share = jax.random.uniform(share_key)
    level = jax.random.uniform(level_key, minval=0.02, maxval=0.2)
    return share * linear + (1 - share) * curved + level * jax.random.normal(noise_key, linear.shape)
