"""EfficientNet-Lite0, as the package `efficientnet-lite-pytorch` builds it."""

from __future__ import annotations

import re

import flax.linen as nn
import jax.numpy as jnp

from jaxmeta.encoders import layers, weights
from jaxmeta.types import Array, PyTree

MARKS = ("_conv_stem.weight",)

# (blocks, kernel's size, stride, expansion, features)
GROUPS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
EPS, LEAST = 1e-3, 32
TRUNK = 5  # the stage whose map is computed once where only what follows is adapted


def _padding(size: int, stride: int) -> tuple[int, int]:
    """TensorFlow's "SAME" of an even map, which the reference fixes by the picture it was trained on."""
    return (size - stride) // 2, size - stride - (size - stride) // 2


class Block(nn.Module):
    """An inverted bottleneck: expand, filter every channel, project; with a shortcut where the shapes allow one."""

    size: int
    stride: int
    expansion: int
    features: int

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        x, width = inputs, inputs.shape[-1] * self.expansion
        if self.expansion != 1:
            x = layers.Conv(width, size=1, name="expand_conv")(x)
            x = nn.relu6(layers.BatchNorm(width, EPS, name="bn0")(x))
        padding = _padding(self.size, self.stride)
        x = layers.Depthwise(width, self.size, self.stride, padding, name="depthwise_conv")(x)
        x = nn.relu6(layers.BatchNorm(width, EPS, name="bn1")(x))
        x = layers.Conv(self.features, size=1, name="project_conv")(x)
        x = layers.BatchNorm(self.features, EPS, name="bn2")(x)
        return x + inputs if x.shape == inputs.shape else x


class EfficientNetLite0(nn.Module):
    """Pictures [n, h, w, 3] in [0, 1] -> features [n, 1280].

    References:
      Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, 2019; the Lite variants
      leave out squeeze-and-excitation and take ReLU6 for swish.
    """

    def __call__(self, pictures: Array) -> Array:
        return self.stages(pictures)[-1]

    def stages(self, pictures: Array) -> tuple[Array, ...]:
        """The pooled maps of the stem, of the seven groups of blocks, and of the head."""
        return tuple(map(layers.pooled, self.maps(pictures, 0, len(GROUPS) + 1)))

    def views(self, pictures: Array) -> tuple[Array, tuple[Array, ...]]:
        """The features, and the maps of the last three groups of blocks, the last first."""
        return self.rest(self.trunk(pictures))

    def trunk(self, pictures: Array) -> Array:
        """The map [n, h, w, 112] of the third group from the end, where `rest` goes on."""
        return self.maps(pictures, 0, TRUNK)[-1]

    def rest(self, trunk: Array) -> tuple[Array, tuple[Array, ...]]:
        """The views of what `trunk` returned."""
        second, first, head = self.maps(trunk, TRUNK + 1, len(GROUPS) + 1)
        return layers.pooled(head), (first, second, trunk)

    @nn.compact
    def maps(self, x: Array, first: int, last: int) -> list[Array]:
        """Maps [n, h, w, c] of the stages from `first` on to `last`: stem, groups, head; x is what the first takes."""
        found, number = [], 0
        if first == 0:
            layers.check_pictures("efficientnet_lite0", x, LEAST)
            x = (jnp.asarray(x) * 255 - 127) / 128
            x = layers.Conv(32, 3, 2, _padding(3, 2), name="conv_stem")(x)
            x = nn.relu6(layers.BatchNorm(32, EPS, name="bn0")(x))
            found.append(x)
        for stage, (blocks, size, stride, expansion, features) in enumerate(GROUPS, 1):
            for index in range(blocks if first <= stage <= last else 0):
                block = Block(size, 1 if index else stride, expansion, features, name=f"blocks_{number + index}")
                x = block(x)
            number += blocks
            found += [x] if first <= stage <= last else []
        if last > len(GROUPS):
            x = layers.Conv(1280, size=1, name="conv_head")(x)
            found.append(nn.relu6(layers.BatchNorm(1280, EPS, name="bn1")(x)))
        return found


def torch_name(name: str) -> str:
    """The reference's name of a tensor: "blocks.3.bn0.weight" is "_blocks.3._bn0.weight" there."""
    *modules, leaf = name.split(".")
    return ".".join([*(re.sub(r"^(?=[a-z])", "_", module) for module in modules), leaf])


def build(checkpoint: weights.Checkpoint) -> tuple[str, nn.Module, PyTree, tuple[int, int, int]]:
    """The encoder's name, module, variables and pictures."""
    module = EfficientNetLite0()
    # It was trained on 224: a third of the time, and on small pictures, glyphs above all, better at one shot.
    return "efficientnet_lite0", module, weights.variables(checkpoint, module, torch_name, r"^_fc\."), (128, 128, 3)
