"""Scores of pairs whose members are known by features, such as a question and the sentences that may answer it."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.models.adapters import from_functions
from jaxmeta.types import Array, Model, PyTree


def pair_scores(num_features: int, *, rank: int = 16, scale: float = 20.0) -> Model:
    """How well each of some candidates goes with what is asked: their product, after a small learned projection.

    With q and s at length one the score is exp(c) <q + q A B, s>, with A [num_features, rank] and B [rank,
    num_features]. B is zero at first: before anything is learned the scores are cosines at a scale.

    Args:
      num_features: of a question and of a candidate.
      rank: of the projection.
      scale: exp(c) at first.

    Returns:
      A Model: inputs {"question": [n, num_features], "sentences": [n, S, num_features]} to scores [n, S].

    Raises:
      ValueError: if a number cannot be.
    """
    num_features = checks.integer("pair_scores: num_features", num_features, 1)
    rank = checks.integer("pair_scores: rank", rank, 1, num_features)
    if not scale > 0:
        checks.fail("pair_scores: scale", "a number above 0", scale)

    def init(key: Array) -> PyTree:
        down = jax.random.normal(key, (num_features, rank), float) / num_features**0.5
        return {"down": down, "up": jnp.zeros((rank, num_features), float), "scale": jnp.log(jnp.asarray(scale, float))}

    def apply(params: PyTree, inputs: PyTree) -> Array:
        asked, candidates = inputs["question"], inputs["sentences"]
        projected = asked + (asked @ params["down"]) @ params["up"]
        return jnp.exp(params["scale"]) * jnp.einsum("nd,nsd->ns", projected, candidates)

    return from_functions(init, apply)
