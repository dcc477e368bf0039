"""Encoders of texts with BERT's and XLM-R's tensors: token ids in, a vector of each text or token out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.encoders import weights
from jaxmeta.types import Array, PyTree

MARK = "embeddings.word_embeddings.weight"
PREFIXES = ("", "bert.", "roberta.")
LEFT_OUT = r"position_ids$|pooler\.|^cls\.|^lm_head\.|^classifier\."
ROBERTAS = ("roberta", "xlm-roberta", "camembert")
EXAMPLE = {"ids": jax.ShapeDtypeStruct((1, 8), jnp.int32), "mask": jax.ShapeDtypeStruct((1, 8), jnp.bool_)}
ACTIVATIONS = {"gelu": lambda x: nn.gelu(x, approximate=False), "gelu_new": nn.gelu, "relu": nn.relu}


class Layer(nn.Module):
    """Self-attention among the tokens of a text and an MLP, a norm behind each sum: [n, L, width] -> the same."""

    heads: int
    hidden: int
    activation: str
    eps: float

    @nn.compact
    def __call__(self, x: Array, together: Array) -> Array:
        """`together` [n, 1, L, L] bool says which tokens see each other."""
        *rows, width = x.shape
        dense = lambda size, name: nn.Dense(size, param_dtype=float, name=name)  # noqa: E731
        query, key, value = (
            dense(width, f"attention_self_{each}")(x).reshape(*rows, self.heads, width // self.heads)
            for each in ("query", "key", "value")
        )
        seen = jax.nn.dot_product_attention(query, key, value, mask=together).reshape(x.shape)
        x = _norm(self.eps, "attention_output_LayerNorm")(x + dense(width, "attention_output_dense")(seen))
        y = ACTIVATIONS[self.activation](dense(self.hidden, "intermediate_dense")(x))
        return _norm(self.eps, "output_LayerNorm")(x + dense(width, "output_dense")(y))


def _norm(eps: float, name: str) -> nn.LayerNorm:
    return nn.LayerNorm(eps, param_dtype=float, use_fast_variance=False, name=name)


class Bert(nn.Module):
    """Texts -> one vector each [n, width]: the mean of their tokens', or the first one's.

    Inputs are a dict: "ids" [n, L] and "mask" [n, L], False where a row has no token. In place of the mask there may be
    "texts" [n, L], the number of the text in the row that a token is of, from 1; 0: none. So a row holds several texts,
    one after the other, none of which sees another, and few rows are padded. Method "lower" ends before a layer, and
    what it returns, "hidden" in place of "ids", is what "upper" starts from.

    References:
      Devlin et al., BERT, 2019; Conneau et al., Unsupervised Cross-lingual Representation Learning at Scale, 2020;
      Reimers and Gurevych, Sentence-BERT, 2019.
    """

    vocabulary: int
    places: int
    """How many positions there are, those before the first included."""
    depth: int
    width: int
    heads: int
    hidden: int
    first_place: int = 0
    """The position of the first token: RoBERTa's come after the padding's."""
    types: int = 2
    activation: str = "gelu"
    eps: float = 1e-12
    pooling: str = "mean"

    def setup(self) -> None:
        embed = lambda count: nn.Embed(count, self.width, param_dtype=float)  # noqa: E731
        self.embeddings_word_embeddings = embed(self.vocabulary)
        self.embeddings_position_embeddings = embed(self.places)
        self.embeddings_token_type_embeddings = embed(self.types)
        self.embeddings_LayerNorm = nn.LayerNorm(self.eps, param_dtype=float, use_fast_variance=False)
        layer = lambda: Layer(self.heads, self.hidden, self.activation, self.eps)  # noqa: E731
        self.encoder_layer = [layer() for _ in range(self.depth)]

    def __call__(self, inputs: Mapping[str, Array]) -> Array:
        return self.pooled(self.tokens(inputs), inputs)

    def tokens(self, inputs: Mapping[str, Array]) -> Array:
        """The vectors of all tokens [n, L, width]."""
        return self.above(self.lower(inputs, 0), 0)

    def upper(self, inputs: Mapping[str, Array], layer: int) -> Array:
        """A vector of each text, from what `lower` returned for the same layer."""
        return self.pooled(self.above(inputs, layer), inputs)

    def packed(self, inputs: Mapping[str, Array], count: int) -> Array:
        """Vectors [n, count, width] of the texts 1 .. count of each row; what is not there is 0."""
        tokens, texts = self.tokens(inputs), inputs["texts"]
        own = texts[:, None] == jnp.arange(1, count + 1, dtype=texts.dtype)[None, :, None]  # [n, count, L]
        if self.pooling == "cls":
            own &= (jnp.cumsum(own, axis=-1) == 1) & own
        share = own / jnp.maximum(own.sum(axis=-1, keepdims=True), 1)
        return share.astype(tokens.dtype) @ tokens

    def lower(self, inputs: Mapping[str, Array], layer: int) -> dict[str, Array]:
        """What stands before a layer; its "hidden" is [n, L, width]."""
        ids, texts = jnp.asarray(inputs["ids"]), numbers(inputs)
        at = jnp.arange(ids.shape[1])[None]
        starts = jnp.concatenate([jnp.ones_like(texts[:, :1], bool), texts[:, 1:] != texts[:, :-1]], axis=1)
        place = at - jax.lax.cummax(jnp.where(starts, at, 0), axis=1) + self.first_place
        place = jnp.minimum(place, self.places - 1)  # of padding, which may go on beyond the last
        x = self.embeddings_word_embeddings(ids) + self.embeddings_position_embeddings(place)
        x = self.embeddings_LayerNorm(x + self.embeddings_token_type_embeddings(jnp.zeros_like(ids)))
        hidden = self._layers(x, texts, 0, layer)
        return {"hidden": hidden, **{name: each for name, each in inputs.items() if name != "ids"}}

    def above(self, inputs: Mapping[str, Array], layer: int) -> Array:
        """The vectors of all tokens, from what `lower` returned for the same layer."""
        return self._layers(jnp.asarray(inputs["hidden"]), numbers(inputs), layer, self.depth)

    def _layers(self, x: Array, texts: Array, start: int, stop: int) -> Array:
        together = (texts[:, None, :, None] == texts[:, None, None]) if start < stop else texts
        for layer in self.encoder_layer[start:stop]:
            x = layer(x, together)
        return x

    def pooled(self, tokens: Array, inputs: Mapping[str, Array]) -> Array:
        if self.pooling == "cls":
            return tokens[:, 0]
        own = inputs["mask"][..., None].astype(tokens.dtype)
        return (tokens * own).sum(axis=1) / jnp.maximum(own.sum(axis=1), 1)


def numbers(inputs: Mapping[str, Array]) -> Array:
    """[n, L] int32, the number of the text that a token is of; 0: padding."""
    return jnp.asarray(inputs["texts"] if "texts" in inputs else inputs["mask"]).astype(jnp.int32)


def build(checkpoint: weights.Checkpoint, pooling: str) -> tuple[Bert, PyTree]:
    """The module and its variables.

    Raises:
      DataError: if config.json or the tensors are of another architecture or shape.
    """
    what, config = f"{checkpoint.path}, config.json", checkpoint.config
    tensors = checkpoint.tensors
    prefix = next((each for each in PREFIXES if each + MARK in tensors), None)
    if prefix is None:
        first = next(iter(tensors), "no tensor")
        checks.fail(str(checkpoint.path), f"BERT's tensors, such as {MARK}", f"{first} first", error=checks.DataError)
    own = {name.removeprefix(prefix): each for name, each in tensors.items()}
    model = config.get("model_type", "bert")
    if model not in ("bert", *ROBERTAS) or config.get("position_embedding_type", "absolute") != "absolute":
        got = f"{model!r}, {config.get('position_embedding_type', 'absolute')} positions"
        checks.fail(what, f"model_type bert or {', '.join(ROBERTAS)}, absolute positions", got, error=checks.DataError)
    activation = config.get("hidden_act", "gelu")
    if activation not in ACTIVATIONS:
        checks.fail(what, f"hidden_act {' or '.join(ACTIVATIONS)}", repr(activation), error=checks.DataError)
    number = lambda name, default: _number(what, config, name, default)  # noqa: E731
    width, heads = number("hidden_size", 768), number("num_attention_heads", 12)
    if width % heads:
        wanted = f"a number of heads that divides the width of {width}"
        checks.fail(f"{what}, num_attention_heads", wanted, heads, error=checks.DataError)
    module = Bert(
        vocabulary=number("vocab_size", 30522),
        places=number("max_position_embeddings", 512),
        depth=number("num_hidden_layers", 12),
        width=width,
        heads=heads,
        hidden=number("intermediate_size", 4 * width),
        first_place=number("pad_token_id", 1) + 1 if model in ROBERTAS else 0,
        types=number("type_vocab_size", 2),
        activation=activation,
        eps=float(config.get("layer_norm_eps", 1e-12)),
        pooling=pooling,
    )
    return module, weights.variables(checkpoint._replace(tensors=own), module, _torch_name, LEFT_OUT, EXAMPLE)


def _number(what: str, config: Mapping[str, Any], name: str, default: int) -> int:
    value = config.get(name, default)
    if type(value) is not int or not 0 <= value < 2**24:
        checks.fail(f"{what}, {name}", "a whole number", repr(value), error=checks.DataError)
    return value


def _torch_name(name: str) -> str:
    """ "encoder_layer.0.attention_self_query.weight" -> "encoder.layer.0.attention.self.query.weight"."""
    *modules, leaf = name.split(".")
    plain = ".".join(each.replace("word_embeddings", "word-embeddings") for each in modules)
    for joined in ("position_embeddings", "token_type_embeddings"):
        plain = plain.replace(joined, joined.replace("_", "-"))
    return f"{plain.replace('_', '.').replace('-', '_')}.{'weight' if leaf == 'embedding' else leaf}"
