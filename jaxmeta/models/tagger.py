"""A small network over vectors of words that are known already: embeddings or tags of the words of sentences."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.models.adapters import linen_model
from jaxmeta.types import Array, Model

SCALE = 2.0  # of each layer's vector at first, of length one: else a softmax over distances is nearly flat
NEAR = 0.5  # of the neighbours' vectors against the word's own
LOUD = 4.0  # of what the dense layers see, likewise


class Tagger(nn.Module):
    """What is known of a word and of its neighbours, each layer at learned weights, and beside it what two dense layers
    make of the three: whether a word is of a mention is alike in all domains, which mention it is hardly."""

    num_layers: int
    num_known: int
    hidden: int = 64
    num_features: int = 16
    num_outputs: int | None = None

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        inputs = inputs.astype(float)
        known, seen, real = jnp.split(inputs, [self.num_known, inputs.shape[-1] - 1], axis=-1)
        dense = lambda size: nn.Dense(size, param_dtype=float)  # noqa: E731
        layers = known.reshape(*known.shape[:2], self.num_layers, -1) * self._weights("weights", SCALE)
        near = _beside(jnp.where(real > 0, (layers * self._weights("beside", NEAR)).sum(axis=2), 0))
        x = dense(self.hidden)(jnp.concatenate([LOUD * known, seen], axis=-1))
        before, after = _beside(jnp.where(real > 0, x, 0))
        x = nn.gelu(jnp.concatenate([before, x, after], axis=-1))
        x = dense(self.num_features)(nn.gelu(dense(self.hidden)(x)))
        found = jnp.concatenate([layers.reshape(known.shape), *near, x], axis=-1)
        return found if self.num_outputs is None else dense(self.num_outputs)(found)

    def _weights(self, name: str, first: float) -> Array:
        """A number for each layer."""
        return self.param(name, nn.initializers.constant(first), (self.num_layers, 1), float)[None, None]


def _beside(x: Array) -> tuple[Array, Array]:
    """What stands before each word and behind it, [n, L, d] each; 0 at the ends."""
    padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0)))
    return padded[:, :-2], padded[:, 2:]


def tagger(
    num_words: int,
    num_known: int,
    num_seen: int,
    num_outputs: int | None = None,
    *,
    num_layers: int = 1,
    hidden: int = 64,
    num_features: int = 16,
) -> Model:
    """A small network over vectors of words that a frozen encoder, or a count of n-grams, has made.

    Args:
      num_words: of a sentence, the last of them padding.
      num_known: numbers that are known of a word: vectors of length one, one of each layer, side by side.
      num_seen: other numbers that the dense layers see, such as how the word is written.
      num_outputs: of each word, the classes of a head; None: its embedding of num_known numbers, num_known / num_layers
        for each of its neighbours, and num_features.
      num_layers: of which there are vectors; each has learned weights, of a word and of its neighbours.
      hidden: width of the dense layers.
      num_features: of an embedding, that are learned.

    Returns:
      A Model: inputs [n, num_words, num_known + num_seen + 1], of which the last is 0 where a word is padding, to
      [n, num_words, num_outputs]. Where words are padding the outputs mean nothing, and no others depend on them.

    Raises:
      ValueError: if a number cannot be, or num_layers does not divide num_known.
    """
    sizes = {"num_words": num_words, "num_known": num_known, "num_layers": num_layers, "hidden": hidden}
    for name, value in {**sizes, "num_features": num_features}.items():
        checks.integer(f"tagger: {name}", value, 1)
    checks.integer("tagger: num_seen", num_seen, 0)
    if num_known % num_layers:
        checks.fail("tagger: num_known", f"a multiple of the {num_layers} layers", num_known)
    module = Tagger(num_layers, num_known, hidden, num_features, num_outputs)
    return linen_model(module, jax.ShapeDtypeStruct((1, num_words, num_known + num_seen + 1), jnp.float32))
