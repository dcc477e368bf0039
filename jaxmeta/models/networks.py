"""The networks that the field's experiments use; parameters are of JAX's default float, so float64 in 64-bit mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.models import forms
from jaxmeta.models.adapters import linen_model
from jaxmeta.models.conditioning import FiLM
from jaxmeta.models.convolution import Conv, max_pool
from jaxmeta.models.normalization import NORMS, Norm
from jaxmeta.types import Array, Model


class MLP(nn.Module):
    """Dense layers with an activation between them, [n, ...] -> [n, num_outputs]."""

    num_outputs: int
    hidden: Sequence[int] = (40, 40)
    activation: Callable[[Array], Array] = nn.relu

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = x.reshape(x.shape[0], -1)
        for width in self.hidden:
            x = self.activation(nn.Dense(width, param_dtype=float)(x))
        return nn.Dense(self.num_outputs, param_dtype=float)(x)


def _block(
    x: Array,
    mask: Array | None,
    features: int,
    norm: str,
    downsampling: str,
    convolution: str,
    modulate: Callable[[Array], Array] = lambda x: x,
) -> Array:
    """Convolution, norm and ReLU, and what makes the map smaller ("stride", "max_pool" or "none")."""
    # A bias before a norm has no effect and no gradient.
    stride = 2 if downsampling == "stride" else 1
    x = Conv(features, stride=stride, use_bias=norm == "none", form=convolution)(x)
    x = nn.relu(modulate(Norm(norm)(x, mask)))
    return max_pool(x) if downsampling == "max_pool" else x


def _head(x: Array, num_outputs: int, downsampling: str) -> Array:
    x = x.mean(axis=(1, 2)) if downsampling == "stride" else x.reshape(x.shape[0], -1)
    return nn.Dense(num_outputs, param_dtype=float)(x)


class Conv4(nn.Module):
    """Four blocks of convolution, norm and ReLU that halve the picture, then a dense head if num_outputs is given."""

    num_outputs: int | None = None
    num_filters: int = 64
    norm: str = "batch"
    downsampling: str = "stride"
    convolution: str = "automatic"

    @nn.compact
    def __call__(self, x: Array, mask: Array | None = None) -> Array:
        for _ in range(4):
            x = _block(x, mask, self.num_filters, self.norm, self.downsampling, self.convolution)
        return x.reshape(x.shape[0], -1) if self.num_outputs is None else _head(x, self.num_outputs, self.downsampling)


class Conv4Maps(nn.Module):
    """Four blocks of convolution, norm and ReLU, the first two of which halve the picture; gives feature maps."""

    num_filters: int = 64
    norm: str = "batch"
    downsampling: str = "stride"
    convolution: str = "automatic"

    @nn.compact
    def __call__(self, x: Array, mask: Array | None = None) -> Array:
        for downsampling in (self.downsampling, self.downsampling, "none", "none"):
            x = _block(x, mask, self.num_filters, self.norm, downsampling, self.convolution)
        return x


class FiLMConv4(nn.Module):
    """`Conv4` on (pictures, vectors [n, k]): after each norm the vector scales and shifts the channels."""

    num_outputs: int
    num_filters: int = 64
    norm: str = "batch"
    downsampling: str = "stride"
    convolution: str = "automatic"

    @nn.compact
    def __call__(self, inputs: tuple[Array, Array], mask: Array | None = None) -> Array:
        x, vector = inputs
        for _ in range(4):
            film = FiLM()
            modulate = lambda x, film=film: film(x, vector)  # noqa: E731
            x = _block(x, mask, self.num_filters, self.norm, self.downsampling, self.convolution, modulate)
        return _head(x, self.num_outputs, self.downsampling)


class RelationModule(nn.Module):
    """Two blocks that halve the pair of maps, then dense layers to one score, [n, h, w, 2c] -> [n, 1]."""

    num_filters: int = 64
    hidden: int = 8
    norm: str = "batch"
    downsampling: str = "stride"
    convolution: str = "automatic"

    @nn.compact
    def __call__(self, x: Array, mask: Array | None = None) -> Array:
        for _ in range(2):
            x = _block(x, mask, self.num_filters, self.norm, self.downsampling, self.convolution)
        x = nn.relu(nn.Dense(self.hidden, param_dtype=float)(x.reshape(x.shape[0], -1)))
        return nn.Dense(1, param_dtype=float)(x)


def mlp(
    num_inputs: int,
    num_outputs: int,
    *,
    hidden: Sequence[int] = (40, 40),
    activation: Callable[[Array], Array] = nn.relu,
) -> Model:
    """A multi-layer perceptron, inputs [n, num_inputs] -> [n, num_outputs]; 40-40 ReLU is the sinusoid's network.

    References:
      Finn et al., 2017, section 5.1.
    """
    num_inputs = checks.integer("mlp: num_inputs", num_inputs, 1)
    num_outputs = checks.integer("mlp: num_outputs", num_outputs, 1)
    return linen_model(MLP(num_outputs, tuple(hidden), activation), jax.ShapeDtypeStruct((1, num_inputs), jnp.float32))


def conv4(
    input_shape: tuple[int, int, int],
    num_outputs: int | None,
    *,
    num_filters: int = 64,
    norm: str = "batch",
    downsampling: str = "stride",
    convolution: str = "automatic",
) -> Model:
    """The four-block convolutional network of the few-shot literature.

    Args:
      input_shape: (height, width, channels) of the pictures.
      num_outputs: size of the dense head; None for an encoder that returns flat features [n, dim].
      num_filters: channels of every block.
      norm: one of "batch", "support", "task", "instance", "layer", "group", "none".
      downsampling: "stride" (convolutions of stride 2, and the mean over the last map before the head, as MAML has it
        on Omniglot) or "max_pool" (2x2 pooling, and the flat map before the head).

    Raises:
      ValueError: for an unknown word, or pictures that are too small to be halved four times.

    References:
      Vinyals et al., Matching Networks, 2016, section 4.1; Finn et al., 2017, section 5.2.
    """
    num_filters = _checked("conv4", input_shape, num_filters, norm, downsampling, convolution, halvings=4)
    if num_outputs is not None:
        num_outputs = checks.integer("conv4: num_outputs", num_outputs, 1)
    module = Conv4(num_outputs, num_filters, norm, downsampling, convolution)
    return linen_model(module, jax.ShapeDtypeStruct((1, *input_shape), jnp.float32))


def conv4_maps(
    input_shape: tuple[int, int, int],
    *,
    num_filters: int = 64,
    norm: str = "batch",
    downsampling: str = "stride",
    convolution: str = "automatic",
) -> Model:
    """Relation Net's encoder: four blocks, the first two of which halve the picture, [n, ...] -> [n, h, w, channels].

    Args:
      input_shape: (height, width, channels) of the pictures.
      num_filters: channels of every block, and of the maps.
      norm: one of "batch", "support", "task", "instance", "layer", "group", "none".
      downsampling: "stride" (convolutions of stride 2, the faster) or "max_pool" (2x2 pooling, as the paper has it).
      convolution: the form of the convolutions, "automatic", "plain" or "patches", as in `convolve`.

    Raises:
      ValueError: for an unknown word, or pictures that are too small to be halved twice.

    References:
      Sung et al., Learning to Compare: Relation Network for Few-Shot Learning, 2018, section 3.4.
    """
    num_filters = _checked("conv4_maps", input_shape, num_filters, norm, downsampling, convolution, halvings=2)
    module = Conv4Maps(num_filters, norm, downsampling, convolution)
    return linen_model(module, jax.ShapeDtypeStruct((1, *input_shape), jnp.float32))


def relation_module(
    map_shape: tuple[int, int, int],
    *,
    num_filters: int = 64,
    hidden: int = 8,
    norm: str = "batch",
    downsampling: str = "stride",
    convolution: str = "automatic",
) -> Model:
    """Relation Net's comparison of two maps that lie on each other in depth, [n, h, w, 2 * channels] -> [n, 1].

    Args:
      map_shape: (height, width, channels) of the encoder's maps; pairs have twice the channels.
      num_filters: channels of its two blocks.
      hidden: width of the dense layer before the score.
      norm: one of "batch", "support", "task", "instance", "layer", "group", "none".
      downsampling: "stride" (convolutions of stride 2, the faster) or "max_pool" (2x2 pooling, as the paper has it).
      convolution: the form of the convolutions, "automatic", "plain" or "patches", as in `convolve`.

    Raises:
      ValueError: for an unknown word, or maps that are too small to be halved twice.

    References:
      Sung et al., Learning to Compare: Relation Network for Few-Shot Learning, 2018, section 3.4. The score is raw:
      its sigmoid is in `criteria.relation_score`.
    """
    num_filters = _checked("relation_module", map_shape, num_filters, norm, downsampling, convolution, halvings=2)
    hidden = checks.integer("relation_module: hidden", hidden, 1)
    height, width, channels = map_shape
    pairs = jax.ShapeDtypeStruct((1, height, width, 2 * channels), jnp.float32)
    return linen_model(RelationModule(num_filters, hidden, norm, downsampling, convolution), pairs)


def film_conv4(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    num_context_params: int,
    num_filters: int = 64,
    norm: str = "batch",
    downsampling: str = "stride",
    convolution: str = "automatic",
) -> Model:
    """`conv4` for `cavia`: its inputs are (pictures, vectors [n, num_context_params]), as `beside` makes them.

    After each norm, the vector scales and shifts the channels: a vector that went in as constant channels would be
    taken out again by the norm.

    Args:
      input_shape: (height, width, channels) of the pictures.
      num_outputs: size of the dense head.
      num_context_params: length of the vectors.
      num_filters: channels of every block.
      norm: one of "batch", "support", "task", "instance", "layer", "group", "none".
      downsampling: "stride" or "max_pool", as in `conv4`.
      convolution: the form of the convolutions, "automatic", "plain" or "patches", as in `convolve`.

    Raises:
      ValueError: for an unknown word, or pictures that are too small to be halved four times.

    References:
      Zintgraf et al., Fast Context Adaptation via Meta-Learning, 2019, section 3.3.
    """
    num_filters = _checked("film_conv4", input_shape, num_filters, norm, downsampling, convolution, halvings=4)
    num_outputs = checks.integer("film_conv4: num_outputs", num_outputs, 1)
    vectors = (1, checks.integer("film_conv4: num_context_params", num_context_params, 1))
    shapes = tuple(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((1, *input_shape), vectors))
    return linen_model(FiLMConv4(num_outputs, num_filters, norm, downsampling, convolution), shapes)


def _checked(
    what: str,
    input_shape: tuple[int, int, int],
    num_filters: int,
    norm: str,
    downsampling: str,
    convolution: str,
    halvings: int,
) -> int:
    checks.choice(f"{what}: norm", norm, NORMS)
    checks.choice(f"{what}: downsampling", downsampling, ("stride", "max_pool"))
    checks.choice(f"{what}: convolution", convolution, ("automatic", *forms.FORMS))
    least = 2**halvings
    if len(input_shape) != 3 or (downsampling == "max_pool" and min(input_shape[:2]) < least):
        expected = f"(height, width, channels), at least {least} x {least} with max_pool"
        checks.fail(f"{what}: shape", expected, input_shape)
    return checks.integer(f"{what}: num_filters", num_filters, 1)


def flat() -> Model:
    """The raw inputs as features [n, dim], without parameters: what every encoder has to beat."""
    return Model(lambda key: {}, lambda params, inputs, mask=None, context=(): inputs.reshape(inputs.shape[0], -1))
