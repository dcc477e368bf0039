"""A network that reads a table of labelled rows and foretells the class of others: a token a cell."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmeta import checks, inner
from jaxmeta.models.attention import attend
from jaxmeta.models.reading import checked, kept
from jaxmeta.types import Array, Batch, Model, PyTree

CATEGORY = 2
_PENALTIES = (10.0, 2.0, 1.0)  # of the first answers, in parts of a row's square: linear, linear, Gaussian
_LIMIT = 4.0  # deviations beyond which numbers are bent


class Rows(NamedTuple):
    """Rows of a table in the units of the support set."""

    numbers: Array
    """[n, d] deviations from the mean, 0 where there is none."""
    codes: Array
    """[n, d] the categories' own numbers."""
    there: Array
    """[n, d] 0 or 1."""


class Read(NamedTuple):
    """A support set that has been read."""

    mean: Array
    scale: Array
    kinds: Array
    """[d] what each column holds, 0: nothing."""
    rows: Rows
    members: Array
    """[n, num_ways] 0 or 1, each row's class; none for padding."""
    present: Array
    """[num_ways] 0 or 1, the classes that there are."""
    weights: tuple[Array, ...]
    """[n, num_ways] each, of the first answers."""
    layers: tuple[tuple[Array, Array], ...]
    """Keys and values of every layer, [n, d + 1, width]."""


class TableNetwork(nn.Module):
    """Cells as tokens, attention over the columns of a row, then over the support rows of a column."""

    num_ways: int
    width: int
    num_layers: int
    num_heads: int

    def setup(self) -> None:
        dense = lambda size, **options: nn.Dense(size, param_dtype=float, **options)  # noqa: E731
        self.cell = dense(self.width)
        self.evidence = dense(self.width, use_bias=False)
        self.own_class = dense(self.width, use_bias=False)
        self.label = dense(self.width)
        self.answers = [dense(self.width, use_bias=False) for _ in _PENALTIES]
        self.layers = [_Layer(self.width, self.num_heads) for _ in range(self.num_layers)]
        self.last = nn.LayerNorm(param_dtype=float)
        self.out = dense(self.num_ways, kernel_init=nn.initializers.zeros)
        self.gates = dense(len(_PENALTIES), kernel_init=nn.initializers.zeros)
        start = lambda key, values: jnp.array(values, float)  # noqa: E731
        self.log_penalties = self.param("log_penalties", start, [math.log(each) for each in _PENALTIES])
        self.log_widths = self.param("log_widths", start, [math.log(0.5), 0.0])  # of evidence, of the Gaussian answer

    def read(self, support: Batch) -> Read:
        keep = kept(support)
        cells = jnp.where(keep[:, None, None], support.inputs, 0)
        kinds = cells[..., 2].max(axis=0)
        there = cells[..., 1] * keep[:, None]
        count = jnp.maximum(there.sum(axis=0), 1)
        mean = (cells[..., 0] * there).sum(axis=0) / count
        variance = (jnp.square(cells[..., 0] - mean[None]) * there).sum(axis=0) / count
        # By comparison, since rounding gives a constant a small variance.
        low = jnp.where(there > 0, cells[..., 0], jnp.inf).min(axis=0)
        constant = jnp.where(there > 0, cells[..., 0], -jnp.inf).max(axis=0) <= low
        scale = jnp.where(constant, 0, jax.lax.rsqrt(jnp.where(constant, 1, variance)))
        members = jax.nn.one_hot(support.targets, self.num_ways, dtype=cells.dtype) * keep[:, None]
        present = members.max(axis=0)
        if support.classes is not None:
            own = support.classes[:, : self.num_ways].any(axis=0).astype(cells.dtype)
            present = jnp.pad(own, (0, self.num_ways - len(own)))
        read = Read(mean, scale, kinds, Rows(*[cells[..., 0]] * 3), members, present, (), ())
        rows = self._rows(read, cells)._replace(there=there)
        read = read._replace(rows=rows)
        weights, left_out = self._weights(read, keep)
        read = read._replace(weights=weights)
        tokens = self._tokens(read, rows, left_out, jnp.eye(len(keep), dtype=cells.dtype))
        own = self.own_class(self._centred(read, members))
        tokens = tokens + own[:, None]
        layers = []
        for layer in self.layers:
            tokens, keys_values = layer.read(tokens, kinds, keep)
            layers.append(keys_values)
        return read._replace(layers=tuple(layers))

    def __call__(self, cells: Array, read: Read, keep: Array) -> Array:
        rows = self._rows(read, cells)
        alike = self._alike(read, rows)
        answers = [kernel @ weights for kernel, weights in zip(alike, read.weights, strict=True)]
        tokens = self._tokens(read, rows, answers, jnp.zeros((len(cells), len(read.members)), cells.dtype))
        for layer, (keys, values) in zip(self.layers, read.layers, strict=True):
            tokens = layer.answer(tokens, read.kinds, keep, keys, values)
        answer = self.last(tokens[:, -1])
        gates = jax.nn.softplus(self.gates(answer) + 1.0)
        logits = self.out(answer)
        return logits + sum(gates[:, index, None] * each for index, each in enumerate(answers))

    def _rows(self, read: Read, cells: Array) -> Rows:
        there = cells[..., 1]
        numbers = (cells[..., 0] - read.mean[None]) * read.scale[None] * there
        return Rows(_LIMIT * jnp.tanh(numbers / _LIMIT), cells[..., 0], there)

    def _centred(self, read: Read, members: Array) -> Array:
        """Classes as differences from what all that there are have in common, 0 where there is none."""
        real = members.sum(axis=-1, keepdims=True)
        return members - real * read.present[None] / jnp.maximum(read.present.sum(), 1)

    def _alike(self, read: Read, rows: Rows) -> list[Array]:
        """How alike rows are to the support set's, [m, n] for each of the first answers; 1 for a row to itself."""
        known, is_real = read.rows, (read.kinds > 0).astype(rows.there.dtype)
        is_category = (read.kinds == CATEGORY).astype(rows.there.dtype)[None]
        numbers = (rows.numbers * (1 - is_category)) @ (known.numbers * (1 - is_category)).T
        here, there = rows.there * is_category, known.there * is_category
        same = self._same(rows, known, here)
        alike = same.sum(axis=-1)
        # What standardised columns of 0 and 1, one a category, would have for a product if two were equally frequent.
        count = jnp.maximum(there.sum(axis=0), 1)
        shares, own = same.sum(axis=1) / count[None], self._same(known, known, there).sum(axis=1) / count[None]
        level = (own * there).sum(axis=0) / count
        centred = alike - (shares * here) @ there.T - here @ (own * there).T + (here * level[None]) @ there.T
        product = numbers + 2 * centred
        square = lambda rows: jnp.square(rows.numbers * (1 - is_category)).sum(axis=1)  # noqa: E731
        # A missing category is a vector of zeros: it is a distance, so that the matrix has no negative eigenvalue.
        far = square(rows)[:, None] + square(known)[None] - 2 * numbers
        far = far + here.sum(axis=1)[:, None] + there.sum(axis=1)[None] - 2 * alike
        columns = jnp.maximum(is_real.sum(), 1)
        gaussian = jnp.exp(-jnp.exp(self.log_widths[1]) * jnp.maximum(far, 0) / columns)
        return [product / columns, product / columns, gaussian]

    def _same(self, rows: Rows, known: Rows, here: Array) -> Array:
        """[m, n, d] 1 where both rows have the same category."""
        return (rows.codes[:, None] == known.codes[None]) * here[:, None] * known.there[None]

    def _weights(self, read: Read, keep: Array) -> tuple[tuple[Array, ...], list[Array]]:
        """Ridge regression of the classes, and what each support row would have been told had it been left out."""
        targets = self._centred(read, read.members)
        pairs = (keep[:, None] & keep[None]).astype(targets.dtype)
        kernels = jnp.stack([(alike + alike.T) / 2 * pairs for alike in self._alike(read, read.rows)])
        inverses = inner.regularized_inverse(kernels, jnp.exp(self.log_penalties))
        found = [inverse @ targets for inverse in inverses]
        own = [jnp.diagonal(inverse)[:, None] for inverse in inverses]
        return tuple(found), [targets - weights / each for weights, each in zip(found, own, strict=True)]

    def _tokens(self, read: Read, rows: Rows, answers: list[Array], own: Array) -> Array:
        """[m, d + 1, width]: the cells, and last what is asked; `own` [m, n] marks a row itself in the support set."""
        is_category = (read.kinds == CATEGORY).astype(rows.there.dtype)[None]
        known = read.rows
        near = jnp.square(rows.numbers[:, None] - known.numbers[None]) * jnp.exp(-2 * self.log_widths[0])
        near = jnp.where(is_category[None] > 0, rows.codes[:, None] == known.codes[None], jnp.exp(-near / 2))
        near = near * known.there[None] * rows.there[:, None] * (1 - own)[..., None]
        counts = near.sum(axis=1)
        evidence = jnp.einsum("mnd,nc->mdc", near, self._centred(read, read.members)) / (counts[..., None] + 1)
        numbers = rows.numbers * (1 - is_category)
        kinds = jnp.broadcast_to(is_category, numbers.shape)
        told = jnp.stack([numbers, jnp.square(numbers) / 4, rows.there, kinds, jnp.log1p(counts) / 2], axis=-1)
        cells = self.cell(told) + self.evidence(evidence)
        frequency = self._centred(read, read.members).sum(axis=0) / jnp.maximum(read.members.sum(), 1)
        size = jnp.log(jnp.maximum(read.members.sum(), 1)) / 4
        label = self.label(jnp.concatenate([frequency, read.present, size[None]]))
        label = label[None] + sum(dense(each) for dense, each in zip(self.answers, answers, strict=True))
        return jnp.concatenate([cells, label[:, None]], axis=1)


class _Layer(nn.Module):
    width: int
    num_heads: int

    def setup(self) -> None:
        dense = lambda size: nn.Dense(size, param_dtype=float)  # noqa: E731
        self.norms = [nn.LayerNorm(param_dtype=float) for _ in range(3)]
        self.across = dense(3 * self.width)
        self.across_out = dense(self.width)
        self.down_query, self.down_known = dense(self.width), dense(2 * self.width)
        self.down_out = dense(self.width)
        self.wide, self.narrow = dense(2 * self.width), dense(self.width)

    def read(self, tokens: Array, kinds: Array, keep: Array) -> tuple[Array, tuple[Array, Array]]:
        tokens = self._across(tokens, kinds)
        normed = self.norms[1](tokens)
        keys, values = jnp.split(self.down_known(normed), 2, axis=-1)
        return self._rest(tokens, normed, keep, keys, values), (keys, values)

    def answer(self, tokens: Array, kinds: Array, keep: Array, keys: Array, values: Array) -> Array:
        tokens = self._across(tokens, kinds)
        return self._rest(tokens, self.norms[1](tokens), keep, keys, values)

    def _across(self, tokens: Array, kinds: Array) -> Array:
        """Attention over the columns of a row."""
        queries, keys, values = jnp.split(self.across(self.norms[0](tokens)), 3, axis=-1)
        keep = jnp.concatenate([kinds > 0, jnp.ones(1, bool)])
        return tokens + self.across_out(attend(queries, keys, values, keep, num_heads=self.num_heads))

    def _rest(self, tokens: Array, normed: Array, keep: Array, keys: Array, values: Array) -> Array:
        """Attention over the support rows of a column, and each token's own layers."""
        columns = lambda array: array.swapaxes(0, 1)  # noqa: E731
        queries = self.down_query(normed)
        found = attend(columns(queries), columns(keys), columns(values), keep, num_heads=self.num_heads)
        tokens = tokens + self.down_out(columns(found))
        return tokens + self.narrow(nn.relu(self.wide(self.norms[2](tokens))))


class TableContext(NamedTuple):
    """What `apply` takes of a support set."""

    read: Read
    keep: Array
    """[n] bool, the rows that are no padding."""


def table_network(*, num_ways: int = 10, width: int = 48, num_layers: int = 3, num_heads: int = 4) -> Model:
    """An in-context network for tables: its context is a support set as read, its outputs the logits of the classes.

    Every cell is a token, and so is what is asked of a row. A layer is attention over the columns of a row, attention
    over the support rows of a column, and each token's own two dense layers. A query's tokens attend to the support
    set alone: other queries change nothing. No token has a place, so that the order of columns and of rows is nothing.

    What a short training need not find out is told to the tokens: to a cell, which classes the support rows have whose
    cells in its column are like it (a row itself left out); to what is asked, three ridge regressions' answers with
    learned penalties, of the support rows the answers with each left out. The logits begin as the sum of the three.

    Args:
      num_ways: the most classes.
      width: of a token.
      num_layers: how often it attends both ways.
      num_heads: of attention; divides the width.

    Returns:
      Model: inputs [n, d, 3] as `tasks.cells` makes them, d any number of columns -> logits [n, num_ways].

    References:
      Hollmann et al., Accurate predictions on small data with a tabular foundation model, 2025 (two-way attention over
      cells); Pfefferle et al., nanoTabPFN, 2025 (its small form).
    """
    num_ways = checks.integer("table_network: num_ways", num_ways, 2)
    checked("table_network", width, num_layers, num_heads)
    module = TableNetwork(num_ways, width, num_layers, num_heads)

    def both(module: TableNetwork, support: Batch, cells: Array) -> Array:
        return module(cells, module.read(support), jnp.ones(len(support.inputs), bool))

    def init(key: Array) -> PyTree:
        cells = jnp.zeros((2, 2, 3))
        return module.init(key, Batch(cells, jnp.arange(2)), cells, method=both)["params"]

    def context(params: PyTree, support: Batch) -> TableContext:
        if support.inputs.ndim != 3:
            hint = "tasks.cells makes them"
            checks.fail("table_network", "cells [n, d, 3]", f"inputs of shape {support.inputs.shape}", hint)
        read: Any = module.apply({"params": params}, support, method="read")
        return TableContext(read, kept(support))

    def apply(params: PyTree, inputs: Array, mask: Array | None = None, context: PyTree = ()) -> Array:
        del mask
        logits: Any = module.apply({"params": params}, inputs, context.read, context.keep)
        return logits

    return Model(init, apply, context)
