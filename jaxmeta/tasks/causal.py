"""Random tables whose columns cause each other: the endless prior of in-context learners of tables."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.tasks.sampling import Sample, static
from jaxmeta.types import CATEGORY, NUMBER, Array, Batch, Episode

_HIDDEN = 8  # causes that no column shows
_LEVELS = 6  # categories of a column


def causal_tables(*, num_features: int, num_ways: int, num_support: int, num_queries: int) -> Sample:
    """A task foretells a class from columns that a random structural causal model draws, as real tables have them.

    A random acyclic graph has a node for every column and some more: a node is a random function of a few earlier ones
    and noise. Each table has its own share of categories (skewed, two to six of them), bent and rounded numbers,
    missing cells and irrelevant columns. What is foretold is the noisy value of a node, an additive function of the
    columns or a mixture of both, cut into intervals; or the largest of several functions. Classes are 2 to num_ways,
    most often 2, unequally many, and named at random. In every other task support set and queries have as many of each
    class as of the others, else as many as the table has.

    Args:
      num_features: columns of the inputs, of which a task has at least two.
      num_ways: the most classes.
      num_support: the most support examples, of all classes; a task has at least a sixth, the others are padding.
      num_queries: query examples, of all classes.

    Returns:
      sample: key -> Episode of cells [n, num_features, 3], as `tasks.cells` has them, and integer targets [n]. A
      query's class is always one of the support set's.

    References:
      Hollmann et al., TabPFN, 2023, section 4 and appendix C; Mueller et al., Transformers Can Do Bayesian Inference,
      2022. nanoTabPFN trains on the same family.
    """
    sizes = _checked("causal_tables", num_features=num_features, num_support=num_support, num_queries=num_queries)
    return _Tables(checks.integer("causal_tables: num_ways", num_ways, 2), *sizes)


def causal_regression(*, num_features: int, num_support: int, num_queries: int) -> Sample:
    """`causal_tables` with values to foretell, mean 0 and deviation 1 over the rows of a task.

    Args:
      num_features: columns of the inputs, of which a task has at least two.
      num_support: the most support examples; a task has at least a sixth, the others are padding.
      num_queries: query examples.

    Returns:
      sample: key -> Episode of cells [n, num_features, 3] and targets [n, 1].
    """
    sizes = _checked("causal_regression", num_features=num_features, num_support=num_support, num_queries=num_queries)
    return _Values(*sizes)


def _checked(what: str, **sizes: int) -> list[int]:
    least = {"num_features": 2, "num_support": 2}
    return [checks.integer(f"{what}: {name}", size, least.get(name, 1)) for name, size in sizes.items()]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Tables:
    num_ways: int = static()
    num_features: int = static()
    num_support: int = static()
    num_queries: int = static()

    def __call__(self, key: Array) -> Episode:
        table_key, class_key, row_key = jax.random.split(key, 3)
        num_rows = 2 * (self.num_support + self.num_queries)
        columns, cells, real = _table(table_key, num_rows, self.num_features)
        labels = _labels(class_key, columns, real, self.num_ways)
        size_key, share_key, order_key = jax.random.split(row_key, 3)
        size = _support_size(size_key, self.num_support)
        # Rows in the order of weighted draws without replacement; weights as the class is rare, or equal.
        members = jax.nn.one_hot(labels, self.num_ways)
        rarity = -jnp.log(jnp.maximum(members.sum(axis=0), 1))[labels] * jax.random.bernoulli(share_key)
        order = jnp.argsort(-(rarity + jax.random.gumbel(order_key, (num_rows,))))
        shown, asked = order[: self.num_support], order[self.num_support : self.num_support + self.num_queries]
        present = jnp.arange(self.num_support) < size
        classes = (members[shown] * present[:, None]).sum(axis=0) > 0
        everywhere = lambda rows: jnp.broadcast_to(classes, (len(rows), self.num_ways))  # noqa: E731
        return Episode(
            Batch(cells[shown], labels[shown], present, everywhere(shown)),
            Batch(cells[asked], labels[asked], classes[labels[asked]], everywhere(asked)),
        )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Values:
    num_features: int = static()
    num_support: int = static()
    num_queries: int = static()

    def __call__(self, key: Array) -> Episode:
        table_key, score_key, noise_key, size_key = jax.random.split(key, 4)
        num_rows = self.num_support + self.num_queries
        columns, cells, real = _table(table_key, num_rows, self.num_features)
        scores = _noisy(noise_key, _scores(score_key, columns, real, 1))
        targets = _standard(scores)
        present = jnp.arange(self.num_support) < _support_size(size_key, self.num_support)
        cut = self.num_support
        return Episode(Batch(cells[:cut], targets[:cut], present), Batch(cells[cut:], targets[cut:]))


def _support_size(key: Array, most: int) -> Array:
    return jax.random.randint(key, (), max(2, most // 6), most + 1)


def _standard(values: Array) -> Array:
    """Columns [n, ...] with mean 0 and deviation 1."""
    centred = values - values.mean(axis=0, keepdims=True)
    return centred / (centred.std(axis=0, keepdims=True) + 1e-6)


def _between(key: Array, low: float, high: float, shape: tuple[int, ...] = ()) -> Array:
    return jax.random.uniform(key, shape, minval=low, maxval=high)


def _log_between(key: Array, low: float, high: float, shape: tuple[int, ...] = ()) -> Array:
    return jnp.exp(_between(key, math.log(low), math.log(high), shape))


def _bent(values: Array, which: Array) -> Array:
    """A node's function of its causes."""
    forms = (
        values, values, jnp.tanh(2 * values), jax.nn.relu(values), jnp.abs(values), jnp.sin(2 * values),
        jnp.where(values > 0.5, 1.0, -0.3), values * jnp.abs(values),
    )  # fmt: skip
    return jnp.select([which == index for index in range(len(forms))], forms)


_FORMS = 8


def _noise(key: Array, num_rows: int, num_nodes: int) -> Array:
    """[num_rows, num_nodes], each node's of its own distribution, deviation about 1."""
    kind_key, normal_key, uniform_key, heavy_key, side_key = jax.random.split(key, 5)
    shape = (num_rows, num_nodes)
    normal = jax.random.normal(normal_key, shape)
    sides = jnp.where(jax.random.bernoulli(side_key, 0.5, shape), 1.0, -1.0)
    kinds = (normal, normal, math.sqrt(3) * _between(uniform_key, -1, 1, shape),
             jax.random.laplace(heavy_key, shape) / math.sqrt(2), 0.9 * sides + 0.4 * normal)  # fmt: skip
    kind = jax.random.randint(kind_key, (num_nodes,), 0, len(kinds))[None]
    return jnp.select([kind == index for index in range(len(kinds))], kinds)


def _graph(key: Array, num_rows: int, num_nodes: int) -> Array:
    """The nodes [num_rows, num_nodes] of a random acyclic graph, each with mean 0 and deviation 1."""
    edge_key, weight_key, form_key, level_key, noise_key, density_key = jax.random.split(key, 6)
    earlier = jnp.tril(jnp.ones((num_nodes, num_nodes), bool), -1)
    parents = _log_between(density_key, 0.5, 6.0)  # of a node, on average
    share = jnp.minimum(parents / jnp.maximum(jnp.arange(num_nodes), 1), 1.0)
    edges = earlier & jax.random.bernoulli(edge_key, share[:, None], earlier.shape)
    weights = jax.random.normal(weight_key, earlier.shape) * edges
    weights = weights / (jnp.linalg.norm(weights, axis=1, keepdims=True) + 1e-6)
    forms = jax.random.randint(form_key, (num_nodes,), 0, _FORMS)
    levels = _log_between(level_key, 0.1, 1.5, (num_nodes,))
    noise = _noise(noise_key, num_rows, num_nodes)

    def grow(nodes: Array, index: Array) -> tuple[Array, None]:
        caused = _bent(nodes @ weights[index], forms[index])
        own = _standard(caused + levels[index] * noise[:, index])
        return nodes.at[:, index].set(own), None

    return jax.lax.scan(grow, jnp.zeros((num_rows, num_nodes)), jnp.arange(num_nodes))[0]


def _table(key: Array, num_rows: int, num_features: int) -> tuple[Array, Array, Array]:
    """Columns as the graph has them [n, num_features + 1], the last to be foretold; as cells; which are real."""
    graph_key, order_key, target_key, count_key, stray_key, share_key, cell_key = jax.random.split(key, 7)
    num_nodes = num_features + _HIDDEN
    nodes = _graph(graph_key, num_rows, num_nodes)
    # A late node has causes to be foretold from, as a prognosis is; an early one has signs, as a diagnosis has.
    target = jax.random.randint(target_key, (), num_nodes // 4, num_nodes)
    order = jax.random.uniform(order_key, (num_nodes,)) + (jnp.arange(num_nodes) == target)
    shown = jnp.argsort(order)[:num_features]
    real = jnp.arange(num_features) < jax.random.randint(count_key, (), 2, num_features + 1)
    columns = nodes[:, shown]
    cells = _cells(cell_key, columns, real)
    # Of an irrelevant column the rows are anyone's.
    irrelevant = jax.random.bernoulli(stray_key, jnp.clip(_between(share_key, -0.3, 0.6), 0, 1), (num_features,))
    mixed = jnp.roll(jnp.flip(cells, axis=0), 1, axis=0)
    cells = jnp.where(irrelevant[None, :, None], mixed, cells)
    return jnp.concatenate([columns, nodes[:, target][:, None]], axis=1), cells, real & ~irrelevant


def _cells(key: Array, columns: Array, real: Array) -> Array:
    """What a table shows of its columns: [n, num_features, 3], value, whether it is there, and what the column is."""
    keys = jax.random.split(key, 10)
    num_rows, num_features = columns.shape
    per_column = (num_features,)
    # Numbers: skewed, heavy-tailed, or rounded to few levels; units are anyone's.
    strength = _between(keys[0], 0.2, 1.5, per_column)[None]
    ranks = jnp.argsort(jnp.argsort(columns, axis=0), axis=0) / num_rows
    forms = (columns, jnp.exp(strength * columns), columns * jnp.abs(columns), ranks,
             jnp.round(columns * 2 * strength), jnp.maximum(columns, 0))  # fmt: skip
    form = jax.random.randint(keys[1], per_column, 0, len(forms))[None]
    numbers = jnp.select([form == index for index in range(len(forms))], forms)
    # Categories: intervals of unequal sizes, in any order; most columns have two.
    size = jnp.where(
        jax.random.bernoulli(keys[2], 0.6, per_column), 2, jax.random.randint(keys[3], per_column, 3, _LEVELS + 1)
    )
    shares = jnp.exp(1.2 * jax.random.normal(keys[4], (num_features, _LEVELS)))
    shares = jnp.where(jnp.arange(_LEVELS)[None] < size[:, None], shares, 0)
    cuts = jnp.cumsum(shares / shares.sum(axis=1, keepdims=True), axis=1)
    level = jnp.minimum((ranks[:, :, None] > cuts[None]).sum(axis=-1), size[None] - 1)
    names = jnp.argsort(jax.random.uniform(keys[5], (num_features, _LEVELS)), axis=1)
    codes = jnp.take_along_axis(names, level.T, axis=1).T
    codes = jnp.where(size[None] == 2, level, codes)
    most = jnp.clip(_between(keys[6], -0.5, 1.2), 0, 1)
    categorical = jax.random.bernoulli(keys[7], most, per_column)
    values = jnp.where(categorical[None], codes, numbers)
    # Two categories are as often 0 and 1.
    told = categorical & ((size > 2) | jax.random.bernoulli(keys[8], 0.5, per_column))
    gap_key, rate_key, some_key, any_key = jax.random.split(keys[9], 4)
    rates = _between(rate_key, 0.0, 0.3, per_column) * jax.random.bernoulli(some_key, 0.5, per_column)
    rates = rates * jax.random.bernoulli(any_key, 0.4)
    there = ~jax.random.bernoulli(gap_key, rates[None], columns.shape) & real[None]
    kind = jnp.where(real, jnp.where(told, CATEGORY, NUMBER), 0)
    parts = (jnp.where(there, values, 0), there, jnp.broadcast_to(kind[None], columns.shape))
    return jnp.stack([part.astype(columns.dtype) for part in parts], axis=-1)


def _scores(key: Array, columns: Array, real: Array, number: int) -> Array:
    """[n, number] what classes or values are made of: the target's node, additive functions of columns, or both."""
    share_key, dense_key, weight_key, which_key, form_key = jax.random.split(key, 5)
    known, node = columns[:, :-1], columns[:, -1]
    share = jnp.clip(_between(share_key, -0.6, 1.4), 0, 1)
    density = _between(dense_key, 0.1, 1.0)
    weights = jax.random.normal(weight_key, (known.shape[1], number)) * real[:, None]
    weights = weights * jax.random.bernoulli(which_key, density, weights.shape)
    form = jax.random.randint(form_key, (known.shape[1],), -6, _FORMS)[None]
    additive = _standard(_bent(known, jnp.maximum(form, 0)) @ weights)
    caused = node[:, None] if number == 1 else _standard(node[:, None] * weights.sum(axis=0)[None] + additive)
    return _standard((1 - share) * caused + share * additive)


def _noisy(key: Array, scores: Array) -> Array:
    level_key, noise_key = jax.random.split(key)
    # What is to come hangs mostly on what no column shows: at the upper end a hundredth of it can be foretold.
    return scores + _log_between(level_key, 0.05, 5.0) * jax.random.logistic(noise_key, scores.shape) / 1.8


def _labels(key: Array, columns: Array, real: Array, num_ways: int) -> Array:
    """Classes [n] in [0, num_ways)."""
    two_key, ways_key, score_key, noise_key, share_key, kind_key, name_key = jax.random.split(key, 7)
    more = jax.random.randint(ways_key, (), 2, num_ways + 1)
    ways = jnp.where(jax.random.bernoulli(two_key, 0.7), 2, more)
    scores = _noisy(noise_key, _scores(score_key, columns, real, num_ways))
    exists = jnp.arange(num_ways) < ways
    shares = jnp.where(exists, jnp.exp(0.8 * jax.random.normal(share_key, (num_ways,))), 0)
    cuts = jnp.cumsum(shares / shares.sum())
    # One function's intervals, or the largest of several functions.
    ranks = jnp.argsort(jnp.argsort(scores[:, 0])) / len(scores)
    interval = jnp.minimum((ranks[:, None] > cuts[None]).sum(axis=1), ways - 1)
    largest = jnp.argmax(jnp.where(exists[None], scores, -jnp.inf), axis=1)
    labels = jnp.where((ways > 2) & jax.random.bernoulli(kind_key), largest, interval)
    return jax.random.permutation(name_key, num_ways)[labels].astype(jnp.int32)
