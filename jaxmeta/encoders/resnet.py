"""ResNet-18 and ResNet-50 with torchvision's names."""

from __future__ import annotations

import functools

import flax.linen as nn
import jax.numpy as jnp

from jaxmeta.encoders import layers, weights
from jaxmeta.types import Array, PyTree

MARKS = ("layer1.0.conv1.weight",)
LEAST = 32
WIDTHS = (64, 128, 256, 512)


def _max_pool(x: Array) -> Array:
    """The maximum over 3 x 3 windows, two apart, by shifts: `reduce_window` is slow in the backward pass on CPU."""
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-jnp.inf)
    rows, columns = ((extent - 3) // 2 * 2 + 1 for extent in x.shape[1:3])
    larger = lambda first, second: jnp.where(first >= second, first, second)  # noqa: E731
    x = functools.reduce(larger, [x[:, i : i + rows : 2] for i in range(3)])
    return functools.reduce(larger, [x[:, :, i : i + columns : 2] for i in range(3)])


class Basic(nn.Module):
    """Two 3 x 3 convolutions and a shortcut, which is projected where the shape changes."""

    width: int
    stride: int

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        x = layers.Conv(self.width, 3, self.stride, (1, 1), name="conv1")(inputs)
        x = nn.relu(layers.BatchNorm(self.width, name="bn1")(x))
        x = layers.BatchNorm(self.width, name="bn2")(layers.Conv(self.width, 3, 1, (1, 1), name="conv2")(x))
        return nn.relu(x + _shortcut(inputs, self.width, self.stride))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions, the last four times as wide; the stride is the 3 x 3 one's."""

    width: int
    stride: int

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        x = layers.Conv(self.width, 1, name="conv1")(inputs)
        x = nn.relu(layers.BatchNorm(self.width, name="bn1")(x))
        x = layers.Conv(self.width, 3, self.stride, (1, 1), name="conv2")(x)
        x = nn.relu(layers.BatchNorm(self.width, name="bn2")(x))
        x = layers.BatchNorm(4 * self.width, name="bn3")(layers.Conv(4 * self.width, 1, name="conv3")(x))
        return nn.relu(x + _shortcut(inputs, 4 * self.width, self.stride))


def _shortcut(x: Array, features: int, stride: int) -> Array:
    """Makes its layers in the block that is being called."""
    if stride == 1 and x.shape[-1] == features:
        return x
    x = layers.Conv(features, 1, stride, name="downsample_0")(x)
    return layers.BatchNorm(features, name="downsample_1")(x)


class ResNet(nn.Module):
    """Pictures [n, h, w, 3] in [0, 1] -> features [n, 512], or [n, 2048] of bottlenecks.

    References:
      He et al., Deep Residual Learning for Image Recognition, 2016.
    """

    block: type[nn.Module]
    blocks: tuple[int, ...]

    def __call__(self, pictures: Array) -> Array:
        return self.stages(pictures)[-1]

    def stages(self, pictures: Array) -> tuple[Array, ...]:
        """The pooled maps of the stem and of the four groups of blocks."""
        return tuple(map(layers.pooled, self.maps(pictures, 0)))

    def views(self, pictures: Array) -> tuple[Array, tuple[Array, ...]]:
        """The features, and the maps of the last three groups of blocks, the last first."""
        *_, third, second, first = self.maps(pictures, 0)
        return layers.pooled(first), (first, second, third)

    def trunk(self, pictures: Array) -> Array:
        """The map of the last group but one, where `rest` goes on."""
        return self.maps(pictures, 0, len(WIDTHS) - 1)[-1]

    def rest(self, trunk: Array) -> tuple[Array, tuple[Array, ...]]:
        """The features of what `trunk` returned, and the maps of the last two groups, the last first."""
        (last,) = self.maps(trunk, len(WIDTHS))
        return layers.pooled(last), (last, trunk)

    @nn.compact
    def maps(self, x: Array, first: int, last: int = len(WIDTHS)) -> list[Array]:
        """Maps [n, h, w, c] of the stages from `first` on to `last`: stem, groups; x is what the first takes."""
        found = []
        if first == 0:
            layers.check_pictures("resnet", x, LEAST)
            x = layers.normalized(jnp.asarray(x), *layers.IMAGENET)
            x = layers.Conv(64, 7, 2, (3, 3), name="conv1")(x)
            x = _max_pool(nn.relu(layers.BatchNorm(64, name="bn1")(x)))
            found.append(x)
        for group in range(max(first, 1), last + 1):
            for index in range(self.blocks[group - 1]):
                stride = 2 if group > 1 and index == 0 else 1
                x = self.block(WIDTHS[group - 1], stride, name=f"layer{group}_{index}")(x)
            found.append(x)
        return found


def build(checkpoint: weights.Checkpoint) -> tuple[str, nn.Module, PyTree, tuple[int, int, int]]:
    """The encoder's name, module, variables and pictures."""
    bottlenecks = "layer1.0.conv3.weight" in checkpoint.tensors
    module = ResNet(Bottleneck, (3, 4, 6, 3)) if bottlenecks else ResNet(Basic, (2, 2, 2, 2))
    found = weights.variables(checkpoint, module, str, r"^fc\.")
    return ("resnet50" if bottlenecks else "resnet18"), module, found, (224, 224, 3)
