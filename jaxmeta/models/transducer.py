"""A small network from strings to strings."""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.models.adapters import linen_model
from jaxmeta.symbols import BUCKETS, END, SHOWN, Room
from jaxmeta.types import Array, Model

REACH = 8
"""How far apart places in source and target are told from each other."""
SLOPE = 0.5
"""How much less likely, at first, is what stands one place farther away."""


class Transducer(nn.Module):
    """Convolutions over the source, a recurrence over what was said, attention between them.

    inputs [n, width] alone: numbers of symbols [n, T], each the likeliest after those before it. (inputs, previous
    [n, T]): logits [n, T, num_symbols] of each symbol after the given ones. A letter or symbol is the sum of what its
    marks are embedded as, so that one of another script or with another accent is not wholly new.
    """

    room: Room = Room()
    width: int = 64
    num_layers: int = 3
    num_heads: int = 4

    def setup(self) -> None:
        normal, width = nn.initializers.normal, self.width
        self.marks = self.param("marks", normal(0.5), (BUCKETS, width), float)
        self.near = self.param("near", _slope, (self.num_heads, 2 * REACH + 1), float)
        self.layers = [_Convolution(width) for _ in range(self.num_layers)]
        self.recurrence = _Recurrence(width)
        self.query, self.key, self.value, self.out = (nn.Dense(width, param_dtype=float) for _ in range(4))
        self.above = nn.Sequential([_norm(), nn.Dense(2 * width, param_dtype=float), nn.gelu, nn.Dense(width)])
        self.attended, self.said = _norm(), _norm()

    def __call__(self, inputs: Array | tuple[Array, Array]) -> Array:
        given, previous = inputs if isinstance(inputs, tuple) else (inputs, None)
        letters, symbols, there = self._tables(given)
        source = given[:, : self.room.longest]
        known = (source > 0)[..., None]
        encoded = jax.nn.one_hot(source - 1, self.room.letters, dtype=letters.dtype) @ letters
        for layer in self.layers:
            encoded = layer(encoded, known)
        keys, values = self.key(encoded), self.value(encoded)
        said = lambda numbers: jax.nn.one_hot(numbers, self.room.symbols, dtype=symbols.dtype) @ symbols  # noqa: E731

        def logits(states: Array, places: Array) -> Array:
            heard = self._attend(states, places, keys, values, source > 0)
            states = states + heard
            states = self.said(states + self.above(states))
            scores = states @ symbols.T / self.width**0.5
            return jnp.where(there[None, None], scores, jnp.finfo(scores.dtype).min / 2)

        start = jnp.zeros((len(source), self.width), encoded.dtype)
        if previous is not None:
            states = self.recurrence.all(start, said(previous))
            return logits(states, jnp.arange(previous.shape[1]))
        if self.is_initializing():  # parameters are made by the other form
            return self((given, jnp.zeros((len(source), self.room.longest + 1), jnp.int32)))
        step = self.recurrence.step()

        def say(carried: tuple[Array, Array, Array], place: Array) -> tuple[tuple[Array, Array, Array], Array]:
            state, last, over = carried
            state = step(state, said(last))
            number = jnp.argmax(logits(state[:, None], place[None])[:, 0], axis=-1)
            number = jnp.where(over, 0, number)
            return (state, number, over | (number == END)), number

        first = start, jnp.full(len(source), END), jnp.zeros(len(source), bool)
        _, numbers = jax.lax.scan(say, first, jnp.arange(self.room.longest + 1))
        return numbers.T

    def _tables(self, given: Array) -> tuple[Array, Array, Array]:
        """The embeddings of the task's letters and symbols, and which symbols it has."""
        # One table for all rows, of which some may be padding.
        marks = given[:, self.room.longest :].max(axis=0).reshape(-1, SHOWN)
        embedded = jnp.where(marks[..., None] > 0, self.marks[marks], 0).sum(axis=1)
        letters, symbols = jnp.split(embedded, [self.room.letters])
        return letters, symbols, marks[self.room.letters :, 0] > 0

    def _attend(self, states: Array, places: Array, keys: Array, values: Array, known: Array) -> Array:
        heads = lambda x: x.reshape(*x.shape[:-1], self.num_heads, -1)  # noqa: E731
        queries = heads(self.query(self.attended(states)))
        apart = jnp.clip(places[:, None] - jnp.arange(self.room.longest)[None], -REACH, REACH) + REACH
        scores = jnp.einsum("nthd,nshd->nhts", queries, heads(keys)) / queries.shape[-1] ** 0.5
        scores = jnp.where(known[:, None, None], scores + self.near[None, :, apart], jnp.finfo(scores.dtype).min / 2)
        heard = jnp.einsum("nhts,nshd->nthd", jax.nn.softmax(scores), heads(values))
        return self.out(heard.reshape(states.shape))


def _norm() -> nn.LayerNorm:
    return nn.LayerNorm(param_dtype=float)


def _slope(key: Array, shape: tuple[int, int], dtype: type) -> Array:
    """What is said in a place is mostly what is written there."""
    del key
    return jnp.broadcast_to(-SLOPE * jnp.abs(jnp.arange(-REACH, REACH + 1)), shape).astype(dtype)


class _Convolution(nn.Module):
    """Each place from itself and its two neighbours, added to what it was."""

    width: int

    @nn.compact
    def __call__(self, x: Array, known: Array) -> Array:
        normal = jnp.where(known, _norm()(x), 0)
        beside = jnp.pad(normal, ((0, 0), (1, 1), (0, 0)))
        seen = jnp.concatenate([beside[:, :-2], normal, beside[:, 2:]], axis=-1)
        return x + nn.Dense(self.width, param_dtype=float)(nn.gelu(nn.Dense(self.width, param_dtype=float)(seen)))


class _Recurrence(nn.Module):
    """A gated recurrent unit."""

    width: int

    def setup(self) -> None:
        glorot, shape = nn.initializers.glorot_uniform(), (self.width, 3 * self.width)
        self.given = self.param("given", glorot, shape, float)
        self.carried = self.param("carried", glorot, shape, float)
        self.bias = self.param("bias", nn.initializers.zeros, (2, 3 * self.width), float)

    def step(self) -> Callable[[Array, Array], Array]:
        given, carried, bias = self.given, self.carried, self.bias
        return lambda state, x: _gated(state, _affine(x, given, bias[0]), _affine(state, carried, bias[1]))

    def all(self, start: Array, x: Array) -> Array:
        """The states [n, T, width] after each of x [n, T, width]."""
        carried, bias = self.carried, self.bias

        def step(state: Array, now: Array) -> tuple[Array, Array]:
            state = _gated(state, now, _affine(state, carried, bias[1]))
            return state, state

        given = jnp.swapaxes(_affine(x, self.given, bias[0]), 0, 1)
        return jnp.swapaxes(jax.lax.scan(step, start, given)[1], 0, 1)


def _affine(x: Array, kernel: Array, bias: Array) -> Array:
    return x @ kernel + jnp.broadcast_to(bias, (*x.shape[:-1], len(bias)))


def _gated(state: Array, given: Array, carried: Array) -> Array:
    (reset, update, new), (old_reset, old_update, old) = (jnp.split(x, 3, axis=-1) for x in (given, carried))
    kept = jax.nn.sigmoid(update + old_update)
    return kept * state + (1 - kept) * jnp.tanh(new + jax.nn.sigmoid(reset + old_reset) * old)


def transducer(room: Room = Room(), *, width: int = 64, num_layers: int = 3, num_heads: int = 4) -> Model:  # noqa: B008
    """A network from strings to strings: convolutions, attention that begins where source and target run side by
    side, and a recurrence over what was said.

    Args:
      room: the sizes of tasks, as `tasks.transduction` has them; parameters do not hang on them.
      width: of every layer.
      num_layers: convolutions over the source.
      num_heads: of the attention.

    Returns:
      A Model: inputs [n, room.width] -> numbers of symbols [n, room.longest + 1], greedily; (inputs, previous [n, T])
      -> logits [n, T, room.symbols], which `criteria.transduction` asks for.

    References:
      Bahdanau et al., Neural Machine Translation by Jointly Learning to Align and Translate, 2015; the sum of marks in
      place of an embedding for every symbol as in Bojanowski et al., Enriching Word Vectors with Subword Information,
      2017.
    """
    checks.integer("transducer: width", width, num_heads)
    if width % num_heads:
        checks.fail("transducer: width", f"a multiple of num_heads, {num_heads}", width)
    checks.integer("transducer: num_layers", num_layers, 0)
    module = Transducer(room, width, num_layers, num_heads)
    return linen_model(module, jax.ShapeDtypeStruct((1, room.width), jnp.int32))
