"""CrossTransformers."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.criteria import silence_absent
from jaxmeta.learners.support import embedded_maps, memberships, unless_mislabelled
from jaxmeta.types import Array, Batch, Criterion, MetaLearner, Model, PyTree, query_loss


class MetaParams(NamedTuple):
    """What is learned over tasks."""

    encoder: PyTree
    """The encoder's params."""
    keys: Array
    """[channels, dim] what makes of a place of a map how it is found."""
    values: Array
    """[channels, dim] what makes of it what is compared."""


class Adapted(NamedTuple):
    """The support set in the encoder's eyes."""

    keys: Array
    """[n, places, dim]"""
    values: Array
    """[n, places, dim]"""
    members: Array
    """[n, num_ways] bool, each example's class; none for padding."""
    context: PyTree
    """The encoder's context."""


def cross_transformer(
    encoder: Model, criterion: Criterion, *, num_ways: int, num_channels: int, dim: int | None = None
) -> MetaLearner:
    """Classifies a query by how well each class, place by place, can be put together to look like it.

    Every place p of a query's feature map attends to all places of all support maps of a class, by a softmax over
    <key(query, p), key(support, j)> / sqrt(dim), and takes the mean of their values: a prototype t(p) that is aligned
    with the query. The logit is minus the mean over p of ||t(p) - value(query, p)||^2. What moved or turned is found
    where it went, which one vector for each picture cannot do. Padded support rows are attended to by nobody, a class
    without support examples gets no probability.

    Args:
      encoder: maps inputs [n, ...] to feature maps [n, h, w, channels], for example `models.conv4_maps`.
      criterion: scores a predictor on query data.
      num_ways: classes per episode; targets are integers in [0, num_ways).
      num_channels: of the encoder's maps.
      dim: size of keys and values; None: half of num_channels. The paper has 128 of 512.

    Returns:
      A MetaLearner whose meta_params are `MetaParams(encoder, keys, values)` and whose adapted is
      `Adapted(keys, values, members, context)`.

    Raises:
      ValueError: if num_ways < 2, or the encoder's outputs are not [n, h, w, num_channels].

    References:
      Doersch et al., CrossTransformers: Spatially-Aware Few-Shot Transfer, 2020, section 3.2.
    """
    num_ways = checks.integer("cross_transformer: num_ways", num_ways, 2)
    num_channels = checks.integer("cross_transformer: num_channels", num_channels, 1)
    dim = max(1, num_channels // 2) if dim is None else checks.integer("cross_transformer: dim", dim, 1)

    def init(key: Array) -> MetaParams:
        encoder_key, *head_keys = jax.random.split(key, 3)
        start = jax.nn.initializers.lecun_normal()
        return MetaParams(encoder.init(encoder_key), *(start(key, (num_channels, dim)) for key in head_keys))

    def places(meta_params: MetaParams, inputs: PyTree, mask: Array | None, context: PyTree) -> Array:
        maps = embedded_maps("cross_transformer", encoder, meta_params.encoder, inputs, mask, context)
        if maps.shape[-1] != num_channels:
            checks.fail("cross_transformer: encoder", f"maps of {num_channels} channels", maps.shape[-1])
        return maps.reshape(len(maps), -1, num_channels)

    def adapt(meta_params: MetaParams, support: Batch, key: Array) -> Adapted:
        del key
        context = encoder.context(meta_params.encoder, support)
        maps = places(meta_params, support.inputs, support.mask, context)
        maps = unless_mislabelled("cross_transformer", maps, support, num_ways)
        members = memberships(support, num_ways)
        return Adapted(maps @ meta_params.keys, maps @ meta_params.values, members, context)

    def predict(meta_params: MetaParams, adapted: Adapted, inputs: PyTree, mask: Array | None = None) -> Array:
        maps = places(meta_params, inputs, mask, adapted.context)
        values = maps @ meta_params.values
        prototypes = _aligned(maps @ meta_params.keys, adapted)
        logits = -jnp.square(prototypes - values[None]).sum(axis=-1).mean(axis=-1).T
        return silence_absent(logits, jnp.broadcast_to(adapted.members.any(axis=0), logits.shape))

    return MetaLearner(init, adapt, predict, query_loss(adapt, predict, criterion))


def _aligned(keys: Array, adapted: Adapted) -> Array:
    """Every class as each place of the queries sees it, keys [m, places, dim] -> [num_ways, m, places, dim]."""

    # Computed again in the backward pass, one example after the other: the attention of all of them at once is what
    # takes the time, and the memory, of a task of many ways.
    @jax.checkpoint
    def attend(example: tuple[Array, Array]) -> tuple[Array, Array]:
        own_keys, own_values = example
        scores = keys @ own_keys.T / jnp.sqrt(keys.shape[-1]).astype(keys.dtype)
        total = jax.nn.logsumexp(scores, axis=-1)
        return jnp.exp(scores - total[..., None]) @ own_values, total

    found, totals = jax.lax.map(attend, (adapted.keys, adapted.values))
    # A softmax over the places of several examples is one over the examples, by their totals, of each one's own.
    shares = _softmax_by_class(totals, adapted.members)
    return jnp.einsum("nk,nmpd->kmpd", adapted.members.astype(found.dtype), shares[..., None] * found)


def _softmax_by_class(totals: Array, members: Array) -> Array:
    """Exponentials of totals [n, m, p] over their sum for the examples of one class; 0 for an example of none."""
    real = members.any(axis=1)[:, None, None]
    belongs = members.astype(totals.dtype)
    least = jnp.finfo(totals.dtype).min / 2
    highest = jnp.where(members.T[:, :, None, None], jax.lax.stop_gradient(totals)[None], least).max(axis=1)
    own = lambda of_classes: jnp.einsum("nk,kmp->nmp", belongs, of_classes)  # noqa: E731
    powers = jnp.where(real, jnp.exp(jnp.where(real, totals - own(highest), 0)), 0)
    return powers / jnp.where(real, own(jnp.einsum("nk,nmp->kmp", belongs, powers)), 1)
