"""Vision transformers of timm, of DINOv2 and of Hugging Face, which differ in registers, positions and names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import checks
from jaxmeta.encoders import layers, vit_names, weights
from jaxmeta.types import Array, PyTree

MARKS = vit_names.MARKS
HEAD_WIDTH, EVERY = 64, 3


class LayerScale(nn.Module):
    """A learned factor a channel, [n, tokens, width] -> the same."""

    features: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return x * jnp.asarray(self.param("gamma", nn.initializers.ones, (self.features,), float))[None, None]


class Attention(nn.Module):
    """Self-attention over the tokens, [n, tokens, width] -> the same."""

    heads: int
    bias: bool

    @nn.compact
    def __call__(self, x: Array) -> Array:
        *rows, width = x.shape
        joint = nn.Dense(3 * width, use_bias=self.bias, param_dtype=float, name="qkv")(x)
        joint = joint.reshape(*rows, 3, self.heads, width // self.heads)
        x = jax.nn.dot_product_attention(joint[:, :, 0], joint[:, :, 1], joint[:, :, 2])
        return nn.Dense(width, param_dtype=float, name="proj")(x.reshape(*rows, width))


class MLP(nn.Module):
    """Two dense layers with a GELU between them, [n, tokens, width] -> the same."""

    hidden: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = nn.gelu(nn.Dense(self.hidden, param_dtype=float, name="fc1")(x), approximate=False)
        return nn.Dense(x.shape[-1], param_dtype=float, name="fc2")(y)


class Block(nn.Module):
    """Attention and MLP, each after a norm and beside a shortcut."""

    heads: int
    hidden: int
    bias: bool
    scaled: bool
    eps: float

    @nn.compact
    def __call__(self, x: Array) -> Array:
        width = x.shape[-1]
        for number, part in (
            (1, Attention(self.heads, self.bias, name="attn")),
            (2, MLP(self.hidden, name="mlp")),
        ):
            y = part(_norm(self.eps, f"norm{number}")(x))
            x = x + (LayerScale(width, name=f"ls{number}")(y) if self.scaled else y)
        return x


def _norm(eps: float, name: str) -> nn.LayerNorm:
    return nn.LayerNorm(eps, param_dtype=float, use_fast_variance=False, name=name)


class ViT(nn.Module):
    """Pictures [n, h, w, 3] in [0, 1] -> features [n, width]: the class token, or the tokens' mean where there is none.

    Rows and columns that fill no patch are left out. Pictures of another size than the one that it was trained on have
    positions of their own, by bicubic interpolation: as DINOv2 does without registers where `offset` is 0.1, else with
    antialiasing, as timm and DINOv2 with registers do.

    References:
      Dosovitskiy et al., An Image is Worth 16x16 Words, 2021; Oquab et al., DINOv2, 2024; Darcet et al., Vision
      Transformers Need Registers, 2024.
    """

    depth: int
    width: int
    heads: int
    hidden: int
    patch: int
    grid: int
    tokens: int
    """1 with a class token, 0 without"""
    placed: int
    """how many of the class token and the registers have positions"""
    registers: tuple[str, int]
    """the tensor's name and how many there are"""
    bias: bool
    scaled: bool
    eps: float
    offset: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __call__(self, pictures: Array) -> Array:
        return self.stages(pictures)[-1]

    def stages(self, pictures: Array) -> tuple[Array, ...]:
        """The features after every third block and after the last, all normed by the last norm."""
        return tuple(features for features, _ in self.run(pictures, 0, self.depth)[1])

    def views(self, pictures: Array) -> tuple[Array, tuple[Array, ...]]:
        """The features, and the patches' maps of the last block and of up to two before it, the last first."""
        views = self.run(pictures, 0, self.depth)[1][::-1]
        return views[0][0], tuple(patches for _, patches in views[:3])

    def trunk(self, pictures: Array) -> Array:
        """The tokens [n, tokens, width] before the last three blocks, where `rest` goes on; pictures are square."""
        return self.run(pictures, 0, self._cut)[0]

    def rest(self, trunk: Array) -> tuple[Array, tuple[Array, ...]]:
        """The features of what `trunk` returned, and the patches' map of the last block."""
        features, patches = self.run(trunk, self._cut, self.depth)[1][-1]
        return features, (patches,)

    @property
    def _cut(self) -> int:
        return max(self.depth - EVERY, 1)

    @nn.compact
    def run(self, x: Array, first: int, last: int) -> tuple[Array, list[tuple[Array, Array]]]:
        """The tokens after the blocks from `first` on to before `last`, and (features, patches) after every third one.

        x is pictures if `first` is 0, else the tokens [n, tokens, width]; patches are [n, rows, columns, width].
        """
        if first == 0:
            x, rows, columns = self._embedded(x)
        else:
            rows = columns = math.isqrt(x.shape[1] - self.tokens - self.registers[1])
        before, norm, found = self.tokens + self.registers[1], _norm(self.eps, "norm"), []
        if rows * columns + before != x.shape[1]:
            checks.fail("vit", "the tokens of square pictures", f"{x.shape[1]} tokens")
        for index in range(first, last):
            x = Block(self.heads, self.hidden, self.bias, self.scaled, self.eps, name=f"blocks_{index}")(x)
            if (index + 1) % EVERY == 0 or index + 1 == self.depth:
                y = norm(x)
                patches = y[:, before:].reshape(len(x), rows, columns, self.width)
                features = y[:, 0] if self.tokens else y[:, self.registers[1] :].mean(axis=1)
                found.append((features, patches))
        return x, found

    def _embedded(self, pictures: Array) -> tuple[Array, int, int]:
        """Tokens [n, tokens, width] with their positions, and how many rows and columns of patches there are."""
        layers.check_pictures("vit", pictures, self.patch)
        x = layers.normalized(jnp.asarray(pictures), self.mean, self.deviation)
        x = layers.Conv(self.width, self.patch, self.patch, use_bias=True, name="patch_embed_proj")(x)
        n, rows, columns, width = x.shape
        x, first = x.reshape(n, rows * columns, width), []
        name, registers = self.registers
        for token, count in (("cls_token", self.tokens), (name, registers)):
            if count:
                made = jnp.asarray(self.param(token, nn.initializers.zeros, (1, count, width), float))
                first.append(jnp.broadcast_to(made, (n, count, width)))
        shape = (1, self.placed + self.grid**2, width)
        places = jnp.asarray(self.param("pos_embed", nn.initializers.zeros, shape, float))
        beside = jnp.pad(places[:, : self.placed], ((0, 0), (0, self.tokens + registers - self.placed), (0, 0)))
        places = resized(places[:, self.placed :], self.grid, rows, columns, self.offset)
        return jnp.concatenate([*first, x], axis=1) + jnp.concatenate([beside, places], axis=1), rows, columns


def resized(places: Array, grid: int, rows: int, columns: int, offset: float) -> Array:
    """Positions [1, grid * grid, width] -> [1, rows * columns, width]."""
    if rows == columns == grid:
        return places
    along = [_bicubic(grid, count, offset).astype(places.dtype) for count in (rows, columns)]
    made = jnp.einsum("yi,xj,ijd->yxd", *along, places.reshape(grid, grid, -1))
    return made.reshape(1, rows * columns, -1)


def _bicubic(before: int, after: int, offset: float) -> np.ndarray:
    """torch's bicubic interpolation as a matrix [after, before]; an offset changes the scale, without antialiasing."""
    scale = before / (after + offset)
    centres = (np.arange(after)[:, None] + 0.5) * scale - 0.5
    if not offset:
        stretch = max(scale, 1.0)
        # torch cuts the filter off at whole pixels, and evens out what is left.
        low, high = (np.floor(np.maximum(centres + 0.5 + sign * 2 * stretch + 0.5, 0)) for sign in (-1, 1))
        at = np.arange(before)[None]
        made = _cubic((at - centres) / stretch, -0.5) * ((at >= low) & (at < high))
        return made / made.sum(axis=1, keepdims=True)
    made, least = np.zeros((after, before)), np.floor(centres).astype(int)
    for tap in range(-1, 3):
        np.add.at(
            made, (np.arange(after)[:, None], np.clip(least + tap, 0, before - 1)), _cubic(centres - least - tap, -0.75)
        )
    return made


def _cubic(x: np.ndarray, a: float) -> np.ndarray:
    """Keys' kernel."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * a - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def build(checkpoint: weights.Checkpoint) -> tuple[str, nn.Module, PyTree, tuple[int, int, int]]:
    """The encoder's name, module, variables and pictures."""
    what, tensors, naming = str(checkpoint.path), checkpoint.tensors, vit_names.of(checkpoint.tensors)
    own = naming.own
    if (gated := own("blocks.0.mlp.w12.weight")) in tensors:
        checks.fail(what, "blocks of two dense layers", f"SwiGLU, {gated}", error=checks.DataError)
    projection = _shaped(checkpoint, own("patch_embed.proj.weight"), 4)
    width, patch = projection[0], projection[2]
    places = _shaped(checkpoint, own("pos_embed"), 3)[1]
    name = next((each for each in ("register_tokens", "reg_token") if own(each) in tensors), "register_tokens")
    tokens = int(own("cls_token") in tensors)
    registers = _shaped(checkpoint, own(name), 3)[1] if own(name) in tensors else 0
    squares = {side**2 for side in range(1, math.isqrt(places) + 1)}
    placed = next((few for few in (tokens, 0, tokens + registers) if places - few in squares), -1)
    if placed < 0:
        wanted = "positions of a square of patches, perhaps with the class token's and the registers'"
        checks.fail(f"{what}, {own('pos_embed')}", wanted, f"{places} positions", error=checks.DataError)
    grid = math.isqrt(places - placed)
    is_dino = "mask_token" in tensors or naming.mark == vit_names.HUGGING_FACE_DINOV2.mark
    config, given = checkpoint.config, _pretrained(checkpoint)
    if (activation := config.get("hidden_act", "gelu")) != "gelu":
        checks.fail(f"{what}, config.json: hidden_act", "gelu", repr(activation), error=checks.DataError)
    heads = config.get("num_attention_heads", config.get("num_heads", width // HEAD_WIDTH))
    if type(heads) is not int or heads < 1 or width % heads:
        wanted = f"a number of heads that divides the width of {width}"
        checks.fail(what, wanted, heads, "config.json may say num_heads", checks.DataError)
    blocks, (mean, deviation) = own("blocks."), naming.normalization
    module = ViT(
        depth=len({each.removeprefix(blocks).split(".")[0] for each in tensors if each.startswith(blocks)}),
        width=width,
        heads=heads,
        hidden=_shaped(checkpoint, own("blocks.0.mlp.fc1.weight"), 2)[0],
        patch=patch,
        grid=grid,
        tokens=tokens,
        placed=placed,
        registers=(name, registers),
        bias=own("blocks.0.attn.qkv.bias") in tensors,
        scaled=own("blocks.0.ls1.gamma") in tensors,
        eps=_positive(f"{what}, config.json: layer_norm_eps", config.get("layer_norm_eps", naming.eps)),
        offset=0.1 if is_dino and not registers else 0.0,
        mean=_three(what, given.get("mean", mean)),
        deviation=tuple(_positive(f"{what}, std", each) for each in _three(what, given.get("std", deviation))),
    )
    # DINOv2 ends its training on pictures of 518, and is used on 224.
    side = min(patch * grid, 224) if is_dino else patch * grid
    found = weights.variables(checkpoint, module, _torch_name, naming.left_out, parts=naming.parts)
    return "vit", module, found, (side, side, 3)


def _torch_name(name: str) -> str:
    return name.replace("patch_embed_proj", "patch_embed.proj")


def _shaped(checkpoint: weights.Checkpoint, name: str, rank: int) -> tuple[int, ...]:
    """The shape of a tensor that the architecture is told from."""
    found = checkpoint.tensors.get(name)
    if found is None or found.ndim != rank or not found.size:
        got = "none of that name" if found is None else found.shape
        checks.fail(str(checkpoint.path), f"tensor {name} of {rank} axes", got, error=checks.DataError)
    return found.shape


def _pretrained(checkpoint: weights.Checkpoint) -> Mapping[str, Any]:
    """What is said of the pictures: timm has it in a part of config.json, Hugging Face in a file of its own."""
    found, apart = checkpoint.config.get("pretrained_cfg", checkpoint.config), checkpoint.pictures
    said = {name: apart[f"image_{name}"] for name in ("mean", "std") if f"image_{name}" in apart}
    said = {"mean": [0, 0, 0], "std": [1, 1, 1]} if apart.get("do_normalize") is False else said
    return said | dict(found if isinstance(found, Mapping) else {})


def _three(what: str, values: Any) -> tuple[float, ...]:
    if (
        not isinstance(values, list | tuple)
        or len(values) != 3
        or any(type(each) not in (int, float) for each in values)
    ):
        checks.fail(f"{what}, its configuration: mean or std", "three numbers", values, error=checks.DataError)
    return tuple(map(float, values))


def _positive(what: str, value: Any) -> float:
    if type(value) not in (int, float) or not 0 < value < math.inf:
        checks.fail(what, "a positive number", repr(value), error=checks.DataError)
    return float(value)
