"""A small encoder of texts in place of a large one."""

import jax
import jax.numpy as jnp
import pytest

from jaxmeta.encoders import bert, texts
from jaxmeta.recipes.kinds import features


@pytest.fixture
def encoder_with(tmp_path, monkeypatch):
    """(tokenizer, tokens of the longest text) -> the encoder that recipes then open under any name."""
    monkeypatch.setenv("JAXMETA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(texts, "TOKENS", 128)

    def put(tokenizer, places):
        module = bert.Bert(vocabulary=48, places=places, depth=1, width=8, heads=2, hidden=8)
        example = {"ids": jnp.zeros((1, 4), int), "mask": jnp.ones((1, 4))}
        variables = jax.device_get(module.init(jax.random.key(0), example))
        encoder = texts.TextEncoder("small", module, variables, tokenizer, places, 0, "", "0123456789abcdef")
        monkeypatch.setattr(features, "encoder", lambda name: encoder)
        return encoder

    return put
