"""What a frozen encoder makes of pictures: computed once, kept in the cache, and trained on from then on."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import cache, files
from jaxmeta.types import Array, PyTree

BATCH = 32  # pictures of a step: larger ones leave the cache of a CPU
GRID, WIDEST = 4, 8192  # fields along a side of a map, fewer where a map has so many numbers else
FORMAT = 1  # raise when features change, so that older entries are no longer found


def dims(encoder: Any) -> tuple[int, ...]:
    """How many features each part has: those that the encoder is known for, then its last maps, the last one first."""
    pictures = jax.ShapeDtypeStruct((1, *encoder.picture), jnp.float32)
    return tuple(each.shape[-1] for each in jax.eval_shape(_parts(encoder.module), encoder.variables, pictures))


def gathered(views: tuple[Array, tuple[Array, ...]]) -> Array:
    """What an encoder's "views" or "rest" returned -> features [n, d]."""
    return jnp.concatenate(_units(views), axis=-1)


def trunk_shape(encoder: Any) -> tuple[int, ...]:
    """The shape of what the encoder's first layers make of one picture."""
    pictures = jax.ShapeDtypeStruct((1, *encoder.picture), jnp.float32)
    return jax.eval_shape(_trunk(encoder.module), encoder.variables, pictures).shape[1:]


def features(encoder: Any, pictures: np.ndarray) -> np.ndarray:
    """An encoder's features, and beside them its last three maps as means over a grid, each part of length 1.

    What the last layer has thrown away is still there in the maps: where in the picture something is, above all, on
    which domains far from photographs hang. They are kept in the cache under the encoder's checksum and the pictures'
    content.

    Args:
      encoder: what `encoders.open` returns.
      pictures: [n, height, width, channels], uint8 or floats in [0, 1]; grey ones are shown in all colours.

    Returns:
      [n, sum(dims(encoder))] float32, perhaps mapped to a file of the cache.

    Raises:
      ValueError: if the pictures are not [n, height, width, 1 or 3].
    """
    parts = _parts(encoder.module)
    return _kept(encoder, pictures, [], (sum(dims(encoder)),), lambda *given: jnp.concatenate(parts(*given), axis=-1))


def trunk(encoder: Any, pictures: np.ndarray) -> np.ndarray:
    """What an encoder's first layers make of pictures, for networks that change the others; kept as `features` are.

    Args:
      encoder: what `encoders.open` returns.
      pictures: [n, height, width, channels], uint8 or floats in [0, 1]; grey ones are shown in all colours.

    Returns:
      [n, *trunk_shape(encoder)] float32, perhaps mapped to a file of the cache.

    Raises:
      ValueError: if the pictures are not [n, height, width, 1 or 3].
    """
    return _kept(encoder, pictures, ["trunk"], trunk_shape(encoder), _trunk(encoder.module))


def _kept(
    encoder: Any, pictures: np.ndarray, form: list[str], shape: tuple[int, ...], program: Callable[..., Array]
) -> np.ndarray:
    if pictures.ndim != 4 or pictures.shape[-1] not in (1, 3):
        checks.fail("features: pictures", "[n, height, width, 1 or 3]", f"shape {pictures.shape}")
    content = hashlib.sha256(np.ascontiguousarray(pictures).data).hexdigest()
    # The module, too: of some files a config beside them says how they are read.
    about = [FORMAT, *form, repr(encoder.module), encoder.checksum, pictures.dtype.name, pictures.shape, content]
    return cache.computed(json.dumps(about), (len(pictures), *shape), lambda: _computed(encoder, pictures, program))


def _computed(encoder: Any, pictures: np.ndarray, program: Callable[..., Array]) -> Iterator[np.ndarray]:
    variables = jax.device_put(encoder.variables)
    starts = range(0, len(pictures), BATCH)
    for start in files.told(starts, len(starts), f"computing features, {encoder.name}"):
        batch = pictures[start : start + BATCH]
        padded = np.concatenate([batch, np.zeros((BATCH - len(batch), *batch.shape[1:]), batch.dtype)])
        yield from np.asarray(program(variables, padded))[: len(batch)]


# One program for all sets of pictures of a shape.
@functools.lru_cache(maxsize=8)
def _parts(module: Any) -> Callable[[PyTree, Any], tuple[Array, ...]]:
    """(variables, pictures) -> each part of the features."""
    return jax.jit(lambda variables, pictures: _units(module.apply(variables, _colours(pictures), method="views")))


@functools.lru_cache(maxsize=8)
def _trunk(module: Any) -> Callable[[PyTree, Any], Array]:
    return jax.jit(lambda variables, pictures: module.apply(variables, _colours(pictures), method="trunk"))


def _colours(pictures: Array) -> Array:
    shown = pictures.astype(jnp.float32) / 255 if pictures.dtype == jnp.uint8 else pictures
    return jnp.broadcast_to(shown, (*shown.shape[:-1], 3))


def _units(views: tuple[Array, tuple[Array, ...]]) -> tuple[Array, ...]:
    last, maps = views
    return tuple(unit(each) for each in (last, *map(_fields, maps)))


def unit(x: Array) -> Array:
    """Rows [..., d] at length 1."""
    return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def _fields(x: Array) -> Array:
    """A map [n, h, w, c] -> its means over the fields of a grid, [n, fields * c]."""
    side = max(side for side in range(1, GRID + 1) if side == 1 or side**2 * x.shape[-1] <= WIDEST)
    rows, columns = (jnp.asarray(_shares(extent, min(side, extent)), x.dtype) for extent in x.shape[1:3])
    return jnp.einsum("yh,xw,nhwc->nyxc", rows, columns, x).reshape(len(x), -1)


def _shares(extent: int, fields: int) -> np.ndarray:
    """[fields, extent], what each place gives to the mean of each field; fields overlap where they do not divide."""
    at = np.arange(extent)[None]
    low, high = (edge * extent / fields for edge in (np.arange(fields)[:, None], np.arange(1, fields + 1)[:, None]))
    inside = ((at >= np.floor(low)) & (at < np.ceil(high))).astype(float)
    return inside / inside.sum(axis=1, keepdims=True)
