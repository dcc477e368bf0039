"""Transformers that read a support set: its tokens attend to each other, queries attend to it alone."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.models.adapters import new_params
from jaxmeta.models.attention import attend
from jaxmeta.types import Array, Batch, Model, PyTree

_LEAST = 1e-10  # of squared deviations: features of length one that have thousands of numbers differ by little more


class Read(NamedTuple):
    """A support set as queries attend to it."""

    layers: tuple[tuple[Array, Array], ...]
    """Keys and values of every layer, [n, width] each."""
    keep: Array
    """[n] bool, the rows that are no padding."""
    context: PyTree = ()
    """The encoder's own."""
    moments: tuple[Array, Array] | tuple[()] = ()
    """Of the support set's features, mean [dim] and deviation [], by which a query's are scaled, too."""


class Reader(nn.Module):
    """A transformer without places: the order of what it reads is nothing."""

    width: int
    num_layers: int
    num_heads: int
    hidden: int
    layer: type[_Layer] | None = None
    """None: one whose queries and keys are projected apart."""

    def setup(self) -> None:
        layer = self.layer or _Layer
        self.layers = [layer(self.width, self.num_heads, self.hidden) for _ in range(self.num_layers)]
        self.last = nn.LayerNorm(param_dtype=float)

    def read(self, tokens: Array, keep: Array) -> Read:
        """Tokens [n, width] of a support set -> what `answer` takes."""
        layers = []
        for layer in self.layers:
            keys_values = layer.keys_values(tokens)
            layers.append(keys_values)
            tokens = layer(tokens, *keys_values, keep)
        return Read(tuple(layers), keep)

    def answer(self, tokens: Array, read: Read) -> Array:
        """Tokens [m, width] of queries -> outputs [m, width]; none of them sees another."""
        for layer, (keys, values) in zip(self.layers, read.layers, strict=True):
            tokens = layer(tokens, keys, values, read.keep)
        return self.last(tokens)


class _Layer(nn.Module):
    width: int
    num_heads: int
    hidden: int

    def setup(self) -> None:
        dense = lambda size: nn.Dense(size, param_dtype=float)  # noqa: E731
        self.first, self.second = nn.LayerNorm(param_dtype=float), nn.LayerNorm(param_dtype=float)
        self.queries, self.known, self.found = dense(self.width), dense(2 * self.width), dense(self.width)
        self.wide, self.narrow = dense(self.hidden), dense(self.width)

    def keys_values(self, tokens: Array) -> tuple[Array, Array]:
        keys, values = jnp.split(self.known(self.first(tokens)), 2, axis=-1)
        return keys, values

    def asked(self, tokens: Array) -> Array:
        return self.queries(self.first(tokens))

    def __call__(self, tokens: Array, keys: Array, values: Array, keep: Array) -> Array:
        tokens = tokens + self.found(attend(self.asked(tokens), keys, values, keep, num_heads=self.num_heads))
        return tokens + self.narrow(nn.relu(self.wide(self.second(tokens))))


class _Alike(_Layer):
    """Keys are projected as queries are, so that from the start a token attends to what is like it (Kitaev et al.,
    Reformer, 2020, section 2): with projections apart the test of many features stays near chance."""

    def setup(self) -> None:
        super().setup()
        self.values = nn.Dense(self.width, param_dtype=float)

    def keys_values(self, tokens: Array) -> tuple[Array, Array]:
        return self.asked(tokens), self.values(self.first(tokens))


class _Classes(nn.Module):
    """Features beside their class's code -> logits."""

    num_ways: int
    width: int
    num_layers: int
    num_heads: int

    def setup(self) -> None:
        dense = lambda size, **options: nn.Dense(size, param_dtype=float, **options)  # noqa: E731
        # Weights of size one over inputs that are small: a step of Adam, as large for each weight, would otherwise move
        # a sum over thousands of features by many times its size.
        self.seen = dense(self.width, kernel_init=nn.initializers.normal(1.0))
        self.label = dense(self.width, use_bias=False)
        self.unknown = self.param("unknown", nn.initializers.normal(0.02), (self.width,), float)
        self.reader = Reader(self.width, self.num_layers, self.num_heads, 2 * self.width, _Alike)
        self.out = dense(self.num_ways)

    def read(self, features: Array, targets: Array, keep: Array) -> Read:
        # Pretrained features are alike in most of what they are, and beside a code of length one small in each number:
        # what tells the task's examples apart is brought to the size of a code.
        moments = _moments(features, keep)
        codes = equiangular(self.num_ways).astype(features.dtype)
        members = jax.nn.one_hot(targets, self.num_ways, dtype=features.dtype)
        tokens = self.seen(_scaled(features, *moments)) + self.label(members @ codes)
        return self.reader.read(tokens, keep)._replace(moments=moments)

    def __call__(self, features: Array, read: Read) -> Array:
        codes = equiangular(self.num_ways).astype(features.dtype)
        tokens = self.seen(_scaled(features, *read.moments)) + self.unknown[None]
        return self.out(self.reader.answer(tokens, read)) @ codes.T


def _moments(features: Array, keep: Array) -> tuple[Array, Array]:
    """Mean [dim] and one deviation [] of the rows [n, dim] that are kept."""
    count = jnp.maximum(keep.sum(), 1)
    mean = jnp.where(keep[:, None], features, 0).sum(axis=0) / count
    squares = jnp.where(keep[:, None], jnp.square(features - mean[None]), 0).sum(axis=0) / count
    return mean, jnp.sqrt(squares.mean() + _LEAST)


def _scaled(features: Array, mean: Array, deviation: Array) -> Array:
    """Rows of about length one."""
    return (features - mean[None]) / (deviation * math.sqrt(features.shape[-1]))


def equiangular(num_ways: int) -> Array:
    """Codes [num_ways, num_ways] of length 1 whose angles are all equal and as large as can be: no class is nearer."""
    return jnp.sqrt(num_ways / (num_ways - 1)) * (jnp.eye(num_ways) - 1 / num_ways)


def caml(
    encoder: Model, example_inputs: PyTree, *, num_ways: int = 10, width: int = 64, num_layers: int = 2,
    num_heads: int = 4,
) -> Model:  # fmt: skip
    """An in-context network over the features of any encoder: its context is a support set as read.

    A support example's token is made of its features and of the fixed code of its class; the codes are equiangular. A
    query has one learned token in place of a code. In the paper a query and the support set are one sequence, of which
    all attend to all; here the support set is read once, and each query attends to it alone, so that reading it does
    not cost as often as there are queries. Train with labels that are permuted per episode, as samplers do.

    Args:
      encoder: maps inputs [n, ...] to features [n, dim]; it is learned, too, unless it has no params.
      example_inputs: inputs [n, ...], or their shapes, to initialise with.
      num_ways: the most classes.
      width: of a token.
      num_layers: of the transformer.
      num_heads: of attention; divides the width.

    Returns:
      Model: inputs [n, ...] -> logits [n, num_ways].

    References:
      Fifty et al., Context-Aware Meta-Learning, 2024.
    """
    num_ways = checks.integer("caml: num_ways", num_ways, 2)
    checked("caml", width, num_layers, num_heads)
    module = _Classes(num_ways, width, num_layers, num_heads)
    example = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape[1:]), leaf.dtype), example_inputs)

    def both(module: _Classes, features: Array) -> Array:
        return module(features, module.read(features, jnp.zeros(1, jnp.int32), jnp.ones(1, bool)))

    def init(key: Array) -> dict[str, PyTree]:
        encoder_key, own_key = jax.random.split(key)
        params = encoder.init(encoder_key)
        shape = jax.eval_shape(encoder.apply, params, example).shape
        if len(shape) != 2:
            checks.fail("caml", "features [n, dim]", f"shape {shape}", "flatten the encoder's outputs")
        return {"encoder": params, "reader": new_params(module, own_key, jnp.zeros(shape), method=both)}

    def context(params: dict[str, PyTree], support: Batch) -> Read:
        own = encoder.context(params["encoder"], support)
        features = encoder.apply(params["encoder"], support.inputs, support.mask, own)
        given: Any = (features, support.targets, kept(support))
        return module.apply({"params": params["reader"]}, *given, method="read")._replace(context=own)  # pyright: ignore

    def apply(params: dict[str, PyTree], inputs: PyTree, mask: Array | None = None, context: PyTree = ()) -> Array:
        features = encoder.apply(params["encoder"], inputs, mask, context.context)
        return module.apply({"params": params["reader"]}, features, context)  # pyright: ignore[reportReturnType]

    return Model(init, apply, context)


def kept(support: Batch) -> Array:
    """[n] bool, the rows that are no padding."""
    return jnp.ones(len(support.targets), bool) if support.mask is None else support.mask


def checked(what: str, width: int, num_layers: int, num_heads: int) -> None:
    """Raises ValueError unless these make a transformer."""
    checks.integer(f"{what}: num_layers", num_layers, 1)
    checks.integer(f"{what}: num_heads", num_heads, 1)
    if checks.integer(f"{what}: width", width, 1) % num_heads:
        checks.fail(f"{what}: width", f"a multiple of the {num_heads} heads", width)


class _Points(nn.Module):
    """Inputs beside targets -> outputs."""

    num_outputs: int
    width: int
    num_layers: int
    num_heads: int
    hidden: int

    def setup(self) -> None:
        dense = lambda size: nn.Dense(size, param_dtype=float)  # noqa: E731
        self.first, self.second = dense(self.hidden), dense(self.width)
        self.reader = Reader(self.width, self.num_layers, self.num_heads, self.hidden)
        self.wide, self.out = dense(self.hidden), dense(self.num_outputs)

    def _tokens(self, inputs: Array, targets: Array, is_seen: float) -> Array:
        seen = jnp.full((len(inputs), 1), is_seen, inputs.dtype)
        return self.second(nn.relu(self.first(jnp.concatenate([inputs, targets, seen], axis=1))))

    def read(self, inputs: Array, targets: Array, keep: Array) -> Read:
        return self.reader.read(self._tokens(inputs, targets, 1.0), keep)

    def __call__(self, inputs: Array, read: Read) -> Array:
        unknown = jnp.zeros((len(inputs), self.num_outputs // 2), inputs.dtype)
        found = self.reader.answer(self._tokens(inputs, unknown, 0.0), read)
        return self.out(nn.relu(self.wide(found)))


def point_network(
    num_inputs: int, num_values: int, *, width: int = 64, num_layers: int = 6, num_heads: int = 4, hidden: int = 128
) -> Model:
    """An in-context network for values: its context is a support set as read, its outputs a mean and a scale a value.

    A support point's token is made of input and target, a query's of its input and zeros. All attend to the tokens of
    the support set alone. The defaults are the paper's.

    Args:
      num_inputs: numbers in an input.
      num_values: numbers in a target.
      width: of a token.
      num_layers: of the transformer.
      num_heads: of attention; divides the width.
      hidden: width of a token's own layers.

    Returns:
      Model: inputs [n, num_inputs] -> [n, 2 num_values].

    References:
      Nguyen and Grover, Transformer Neural Processes, 2022.
    """
    num_inputs = checks.integer("point_network: num_inputs", num_inputs, 1)
    num_values = checks.integer("point_network: num_values", num_values, 1)
    checked("point_network", width, num_layers, num_heads)
    module = _Points(2 * num_values, width, num_layers, num_heads, hidden)

    def both(module: _Points, inputs: Array, targets: Array) -> Array:
        return module(inputs, module.read(inputs, targets, jnp.ones(1, bool)))

    def init(key: Array) -> PyTree:
        return new_params(module, key, jnp.zeros((1, num_inputs)), jnp.zeros((1, num_values)), method=both)

    def context(params: PyTree, support: Batch) -> Any:
        return module.apply({"params": params}, support.inputs, support.targets, kept(support), method="read")

    def apply(params: PyTree, inputs: Array, mask: Array | None = None, context: PyTree = ()) -> Any:
        del mask
        return module.apply({"params": params}, inputs, context)

    return Model(init, apply, context)
