"""A network that reads a table of labelled rows and foretells the class of others: a token a cell."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.models import table_kernels
from jaxmeta.models.adapters import new_params
from jaxmeta.models.attention import attend
from jaxmeta.models.reading import checked, kept
from jaxmeta.models.table_kernels import Pairs, Rows, Units
from jaxmeta.types import CATEGORY, Array, Batch, Model, PyTree

_EVEN = ("mixed", "mixed", "ranked", "gaussian", "forest")  # kernels whose columns weigh alike
_CHOSEN = ("mixed", "gaussian", "additive", "forest")  # kernels whose columns weigh as the network finds
_PENALTIES = (3.0, 1.0, 10.0, 0.1, 1.0, 3.0, 0.3, 0.5, 1.0)
_LOG_SIZES = (-1.0, -1.0, 0.0, -2.0, 0.5, -1.0, -1.0, 0.0, 1.5)
_NUMBER = len(_PENALTIES)
_OPEN = -0.2  # at the start, before softplus: what foretells better than chance has odds of about the right size


class Read(NamedTuple):
    """A support set that has been read."""

    units: Units
    rows: Rows
    keep: Array
    """[n] bool, the rows that are no padding."""
    classes: Array
    """[n, num_ways] each row's class, less what all classes that there are have in common; 0 for padding."""
    shares: Array
    """[num_ways] of the classes, likewise."""
    weights: tuple[Array, Array]
    """[k, n, num_ways] of the regressions on even and on chosen columns."""
    columns: tuple[Array, Array]
    """[k, d] the columns' weights in them."""
    merit: tuple[Array, Array]
    """[all k] how well each foretells the rows that it is not shown, and what its answer weighs therefore."""
    known: Array
    """[n, width] what the support rows' answers are recognised by."""
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
        nothing = {"kernel_init": nn.initializers.zeros}
        self.cell = dense(self.width)
        self.evidence = dense(self.width, use_bias=False)
        self.own_class = dense(self.width, use_bias=False)
        self.label = dense(self.width)
        self.answers = dense(self.width, use_bias=False)
        self.layers = [_Layer(self.width, self.num_heads) for _ in range(self.num_layers)]
        self.last, self.last_column = nn.LayerNorm(param_dtype=float), nn.LayerNorm(param_dtype=float)
        self.relevant, self.relevance = dense(self.width), dense(len(_CHOSEN), **nothing)
        self.strict = dense(len(_CHOSEN), **nothing)
        self.asked, self.known = dense(self.width), dense(self.width)
        self.judged, self.gates = dense(self.width), dense(_NUMBER + 1 + self.num_heads, **nothing)
        self.out = dense(self.num_ways, **nothing)
        start = lambda key, values: jnp.array(values, float)  # noqa: E731
        self.log_penalties = self.param("log_penalties", start, [math.log(each) for each in _PENALTIES])
        self.log_width = self.param("log_width", start, math.log(0.5))
        self.log_sizes = self.param("log_sizes", start, _LOG_SIZES)

    def read(self, support: Batch) -> Read:
        keep = kept(support)
        cells = jnp.where(keep[:, None, None], support.inputs, 0)
        real = keep.astype(cells.dtype)
        units = table_kernels.units(cells, real)
        rows = table_kernels.known_rows(units, cells, real)
        pairs = table_kernels.pairs(units, rows, rows, self.log_width)
        classes, shares = self._classes(support, real)
        even = self._even(units)
        penalties = jnp.split(self.log_penalties, [len(_EVEN)])
        first = table_kernels.fit(self._kernels(0, pairs, even), classes, real, penalties[0])
        none = (shares, shares)
        weights = (first.weights, first.weights)
        read = Read(units, rows, keep, classes, shares, weights, (even, even), none, shares, ())
        # A row is not told of its own class by itself.
        others = 1 - jnp.eye(len(keep), dtype=cells.dtype)
        tokens, evidence = self._tokens(read, rows, pairs, first.left_out, others)
        tokens = tokens + self.own_class(classes)[:, None]
        layers = []
        for layer in self.layers:
            tokens, keys_values = layer.read(tokens, units.kinds, keep)
            layers.append(keys_values)
        pooled = lambda tokens: jnp.einsum("n...,n->...", tokens, real) / jnp.maximum(real.sum(), 1)  # noqa: E731
        labels = self.last(tokens[:, -1])
        told = jnp.einsum("ndc,nc->d", evidence, classes) / jnp.maximum(jnp.square(classes).sum(), 1e-6)
        chosen = self._chosen(units, pooled(tokens[:, :-1]), told)
        later = table_kernels.fit(
            self._kernels(1, pairs, chosen), classes, real, penalties[1] + self.strict(pooled(labels))
        )
        left_out = jnp.concatenate([first.left_out, later.left_out])
        return read._replace(
            weights=(first.weights, later.weights), columns=(even, chosen),
            merit=table_kernels.agreement(left_out, classes), known=self.known(labels), layers=tuple(layers),
        )  # fmt: skip

    def __call__(self, cells: Array, read: Read) -> Array:
        rows = table_kernels.rows(read.units, cells, read.rows)
        pairs = table_kernels.pairs(read.units, rows, read.rows, self.log_width)
        first, later = (self._kernels(i, pairs, read.columns[i]) @ read.weights[i] for i in range(2))
        tokens, _ = self._tokens(read, rows, pairs, first, jnp.ones((len(cells), len(read.keep)), cells.dtype))
        for layer, (keys, values) in zip(self.layers, read.layers, strict=True):
            tokens = layer.answer(tokens, read.units.kinds, read.keep, keys, values)
        answer = self.last(tokens[:, -1])
        # These know nothing of the classes' names: of the regressions, of the shares, of support rows that are alike.
        shares = jnp.broadcast_to(read.shares, (1, len(cells), self.num_ways))
        answers = jnp.concatenate([first, later, shares, self._alike(answer, read)])
        merit, weights = read.merit
        judged = jnp.concatenate([answer, jnp.broadcast_to(merit, (len(cells), _NUMBER))], axis=1)
        gates = self.gates(nn.relu(self.judged(judged)))
        open_by = jax.nn.softplus(gates[:, :_NUMBER] + _OPEN) * weights[None]
        gates = jnp.concatenate([open_by, gates[:, _NUMBER:]], axis=1)
        return self.out(answer) + jnp.einsum("mk,kmc->mc", gates, answers)

    def _classes(self, support: Batch, keep: Array) -> tuple[Array, Array]:
        members = jax.nn.one_hot(support.targets, self.num_ways, dtype=keep.dtype) * keep[:, None]
        present = members.max(axis=0)
        if support.classes is not None:
            own = support.classes[:, : self.num_ways].any(axis=0).astype(keep.dtype)
            present = jnp.pad(own, (0, self.num_ways - len(own)))
        common = present / jnp.maximum(present.sum(), 1)
        shares = members.sum(axis=0) / jnp.maximum(keep.sum(), 1)
        return members - keep[:, None] * common[None], shares - common

    def _even(self, units: Units) -> Array:
        real = (units.kinds > 0).astype(units.mean.dtype)
        return jnp.broadcast_to(real / jnp.maximum(real.sum(), 1), (len(_EVEN), len(real)))

    def _chosen(self, units: Units, tokens: Array, told: Array) -> Array:
        """[k, d] a column weighs as its tokens, and what it tells of rows that it was not shown, let it."""
        columns = jnp.concatenate([self.last_column(tokens), 4 * told[:, None]], axis=1)
        relevance = self.relevance(nn.relu(self.relevant(columns)))
        weights = jax.nn.softmax(jnp.where(units.kinds[:, None] > 0, relevance, -jnp.inf), axis=0).T
        return jnp.where(units.kinds.max() > 0, weights, 0)

    def _kernels(self, which: int, pairs: Pairs, columns: Array) -> Array:
        sizes = jnp.split(self.log_sizes, [len(_EVEN)])[which]
        return table_kernels.kernels((_EVEN, _CHOSEN)[which], pairs, columns, sizes)

    def _alike(self, answer: Array, read: Read) -> Array:
        """[num_heads, m, num_ways] the classes of the support rows whose answers are like a query's."""
        heads = lambda array: array.reshape(len(array), self.num_heads, -1)  # noqa: E731
        scores = jnp.einsum("mhw,nhw->hmn", heads(self.asked(answer)), heads(read.known))
        scores = scores / math.sqrt(self.width // self.num_heads)
        return jax.nn.softmax(jnp.where(read.keep[None, None], scores, -jnp.inf), axis=-1) @ read.classes

    def _tokens(self, read: Read, rows: Rows, pairs: Pairs, answers: Array, others: Array) -> tuple[Array, Array]:
        """[m, d + 1, width]: the cells, and last what is asked; and the cells' evidence [m, d, num_ways].

        Evidence are the classes of the rows near in a column, of those for which `others` [m, n] is 1.
        """
        near = pairs.near * others[..., None]
        counts = near.sum(axis=1)
        evidence = jnp.einsum("mnd,nc->mdc", near, read.classes) / (counts[..., None] + 1)
        is_category = jnp.broadcast_to((read.units.kinds == CATEGORY)[None], counts.shape).astype(counts.dtype)
        told = [rows.numbers, jnp.square(rows.numbers) / 4, rows.there, is_category, jnp.log1p(counts) / 2]
        cells = self.cell(jnp.stack(told, axis=-1)) + self.evidence(evidence)
        size = jnp.log(jnp.maximum(read.keep.sum(), 1).astype(counts.dtype)) / 4
        present = jnp.square(read.classes).sum(axis=0) > 0
        label = self.label(jnp.concatenate([read.shares, present.astype(size.dtype), size[None]]))
        label = label[None] + self.answers(answers.swapaxes(0, 1).reshape(len(cells), -1))
        return jnp.concatenate([cells, label[:, None]], axis=1), evidence


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


def table_network(*, num_ways: int = 10, width: int = 48, num_layers: int = 3, num_heads: int = 4) -> Model:
    """An in-context network for tables: its context is a support set as read, its outputs the logits of the classes.

    Every cell is a token, and so is what is asked of a row. A layer is attention over the columns of a row, attention
    over the support rows of a column, and each token's own two dense layers. A query's tokens attend to the support
    set alone: other queries change nothing. No token has a place, so that the order of columns and of rows is nothing.

    What a short training need not find out is told to the tokens: to a cell, which classes the support rows have whose
    cells in its column are like it (a row itself left out); to what is asked, the answers of five ridge regressions:
    on ranks, Gaussian, of a forest of random splits, and two on sums of these and of a linear kernel; of the support
    rows the answers with each left out. From the tokens of a column comes its weight in four more, with penalties that
    are found likewise. The logits are a sum of all nine, each weighed by the square of how well it foretells rows left
    out and as the query's token lets it, of what support rows with like tokens are, and of the token's own. They begin
    as the sum of the nine.

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
        return module(cells, module.read(support))

    def init(key: Array) -> PyTree:
        cells = jnp.zeros((2, 2, 3))
        return new_params(module, key, Batch(cells, jnp.arange(2)), cells, method=both)

    def context(params: PyTree, support: Batch) -> Any:
        if support.inputs.ndim != 3:
            hint = "tasks.cells makes them"
            checks.fail("table_network", "cells [n, d, 3]", f"inputs of shape {support.inputs.shape}", hint)
        return module.apply({"params": params}, support, method="read")

    def apply(params: PyTree, inputs: Array, mask: Array | None = None, context: PyTree = ()) -> Array:
        del mask
        logits: Any = module.apply({"params": params}, inputs, context)
        return logits

    return Model(init, apply, context)
