"""What timm, DINOv2 and Hugging Face's transformers call the tensors of one and the same vision transformer."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import NamedTuple

from jaxmeta.encoders import layers


class Naming(NamedTuple):
    """How the tensors of a file are called, and what goes without saying in files of that kind."""

    mark: str
    """A tensor that files of this kind alone have."""
    changes: tuple[tuple[str, str], ...] = ()
    """(pattern, replacement) that make one of its names of timm's."""
    left_out: str = r"^head\.|^mask_token$"
    """Matches the names that are no part of the encoder."""
    eps: float = 1e-6
    """Of the norms, where config.json does not say it."""
    normalization: tuple[tuple[float, ...], tuple[float, ...]] = layers.IMAGENET
    """Mean and deviation of pictures, likewise."""
    prefix: str = ""
    """Of every tensor, as a model with a head has it."""

    def parts(self, name: str) -> tuple[str, ...]:
        """The tensors that timm has as one of this name, one behind the other."""
        for pattern, replacement in self.changes:
            name = re.sub(pattern, replacement, name)
        thirds = ("query", "key", "value") if ".qkv." in name and self.changes else ("qkv",)
        return tuple(self.prefix + name.replace(".qkv.", f".{third}.") for third in thirds)

    def own(self, name: str) -> str:
        """The first of `parts`."""
        return self.parts(name)[0]


_HUGGING_FACE = (
    (r"^(cls_token|mask_token|register_tokens)$", r"embeddings.\1"),
    (r"^pos_embed$", "embeddings.position_embeddings"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"^norm\.", "layernorm."),
    (r"^blocks\.", "encoder.layer."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.attn\.qkv\.", ".attention.attention.qkv."),
)
_LEFT_OUT = r"^(\w+\.)?pooler\.|^classifier\.|^decoder\.|embeddings\.mask_token$"
TIMM = Naming("blocks.0.attn.qkv.weight")
HUGGING_FACE_VIT = Naming(
    "encoder.layer.0.layernorm_before.weight",
    (
        *_HUGGING_FACE,
        (r"\.norm1\.", ".layernorm_before."),
        (r"\.norm2\.", ".layernorm_after."),
        (r"\.mlp\.fc1\.", ".intermediate.dense."),
        (r"\.mlp\.fc2\.", ".output.dense."),
    ),
    _LEFT_OUT,
    1e-12,
    ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
)
HUGGING_FACE_DINOV2 = Naming(
    "encoder.layer.0.layer_scale1.lambda1",
    (*_HUGGING_FACE, (r"\.ls([12])\.gamma$", r".layer_scale\1.lambda1"), (r"\.mlp\.w12\.", ".mlp.weights_in.")),
    _LEFT_OUT,
)
NAMINGS = (
    TIMM,
    HUGGING_FACE_VIT,
    HUGGING_FACE_DINOV2,
    HUGGING_FACE_VIT._replace(prefix="vit."),
    HUGGING_FACE_DINOV2._replace(prefix="dinov2."),
    HUGGING_FACE_DINOV2._replace(prefix="dinov2_with_registers."),
)
MARKS = tuple(each.prefix + each.mark for each in NAMINGS)


def of(names: Container[str]) -> Naming:
    """The naming of a file's tensors; timm's if none is known."""
    return next((each for each, mark in zip(NAMINGS, MARKS, strict=True) if mark in names), TIMM)
