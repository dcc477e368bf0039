"""Strokes: an endless domain of procedural glyphs, rendered inside `jit`."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.tasks.sampling import Sample, labelled_rows, static
from jaxmeta.types import Array, Episode

SPLITS = ("train", "validation", "test")
_MAX_STROKES = 4
_POINTS = 9


def strokes(*, num_ways: int, num_shots: int, num_queries: int, split: str = "train", size: int = 28) -> Sample:
    """A class is one to four Bezier strokes; an instance draws them again by another hand.

    Instances differ in control points, slant, rotation, scale, position, pen width and softness. There are 2^32 / 3
    classes in each split, and no class is in two splits.

    Args:
      num_ways: classes per episode.
      num_shots: support examples per class.
      num_queries: query examples per class.
      split: "train", "validation" or "test".
      size: height and width of the pictures.

    Returns:
      sample: key -> Episode of pictures [n, size, size, 1], ink 1 on 0; targets [n] are integers.
    """
    num_ways = checks.integer("strokes: num_ways", num_ways, 2)
    num_shots = checks.integer("strokes: num_shots", num_shots, 1)
    num_queries = checks.integer("strokes: num_queries", num_queries, 1)
    residue = SPLITS.index(checks.choice("strokes: split", split, SPLITS))
    size = checks.integer("strokes: size", size, 8)

    return _Strokes(num_ways, num_shots, num_queries, residue, size)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Strokes:
    num_ways: int = static()
    num_shots: int = static()
    num_queries: int = static()
    residue: int = static()  # of a class's number modulo three, which is its split
    size: int = static()

    def __call__(self, key: Array) -> Episode:
        class_key, instance_key = jax.random.split(key)
        numbers = jax.random.randint(class_key, (self.num_ways,), 0, (2**32 - 3) // 3 // 2, jnp.int32)
        numbers = 3 * numbers.astype(jnp.uint32) + self.residue
        glyphs = jax.vmap(lambda number: _glyph(jax.random.fold_in(jax.random.key(7), number)))(numbers)
        keys = jax.random.split(instance_key, (self.num_ways, self.num_shots + self.num_queries))
        draw = jax.vmap(jax.vmap(lambda key, glyph: _render(key, glyph, self.size), (0, None)))
        pictures = draw(keys, glyphs)
        parts = pictures[:, : self.num_shots], pictures[:, self.num_shots :]
        return Episode(
            *(labelled_rows(part.reshape(-1, self.size, self.size, 1), self.num_ways, part.shape[1]) for part in parts)
        )


def _glyph(key: Array) -> tuple[Array, Array]:
    """A class: control points [strokes, 4, 2] in [-1, 1], and which strokes there are [strokes]."""
    count_key, start_key, walk_key, chain_key = jax.random.split(key, 4)
    count = jax.random.randint(count_key, (), 1, _MAX_STROKES + 1)
    starts = jax.random.uniform(start_key, (_MAX_STROKES, 2), minval=-0.8, maxval=0.8)
    steps = 0.62 * jax.random.normal(walk_key, (_MAX_STROKES, 3, 2))
    chained = jax.random.bernoulli(chain_key, 0.5, (_MAX_STROKES,))

    def stroke(end: Array, given: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        start, step, chain = given
        start = jnp.where(chain, end, start)
        points = jnp.clip(jnp.concatenate([start[None], start[None] + jnp.cumsum(step, axis=0)]), -0.95, 0.95)
        return points[-1], points

    _, points = jax.lax.scan(stroke, starts[0], (starts, steps, chained.at[0].set(False)))
    return points, jnp.arange(_MAX_STROKES) < count


def _render(key: Array, glyph: tuple[Array, Array], size: int) -> Array:
    """One drawing [size, size]: a soft threshold on the distance to the strokes."""
    points, present = glyph
    # One draw for everything: random numbers are what takes long to compile.
    drawn = jax.random.normal(key, (points.size + 8,))
    points = points + 0.07 * drawn[8:].reshape(points.shape)
    rotation, slant, wide, tall = drawn[:4] * jnp.array([0.15, 0.15, 0.12, 0.12])
    cos, sin = jnp.cos(rotation), jnp.sin(rotation)
    matrix = jnp.array([[cos, cos * slant - sin], [sin, sin * slant + cos]])
    points = 0.78 * points * jnp.exp(jnp.stack([wide, tall]))[None, None] @ matrix.T + 0.1 * drawn[None, None, 4:6]
    width, softness = jnp.exp(0.3 * drawn[6:8]) * jnp.array([0.075, 0.05])
    time = jnp.linspace(0, 1, _POINTS)[:, None]
    weights = jnp.concatenate([(1 - time) ** 3, 3 * time * (1 - time) ** 2, 3 * time**2 * (1 - time), time**3], axis=1)
    curve = jnp.einsum("pk,skd->spd", weights, points)
    starts, ends = curve[:, :-1].reshape(-1, 2), curve[:, 1:].reshape(-1, 2)
    there = jnp.repeat(present, _POINTS - 1)
    axis = (jnp.arange(size) + 0.5) * 2 / size - 1
    distance = _squared_distance(axis, starts, ends, there)
    return jax.nn.sigmoid((width - jnp.sqrt(distance + 1e-8)) / (softness * 0.5))


def _squared_distance(axis: Array, starts: Array, ends: Array, there: Array) -> Array:
    """[size, size] squared distance of each pixel to the nearest segment; y is the first axis."""
    along = ends - starts
    along = along / (jnp.sum(along**2, axis=1, keepdims=True) + 1e-8)

    def nearer(best: Array, segment: tuple[Array, Array, Array, Array]) -> tuple[Array, None]:
        start, end, along, there = segment
        x, y = axis[None, :] - start[0], axis[:, None] - start[1]
        share = jnp.clip(x * along[0] + y * along[1], 0, 1)
        gap = (x - share * (end - start)[0]) ** 2 + (y - share * (end - start)[1]) ** 2
        return jnp.where(there, jnp.minimum(best, gap), best), None

    far = jnp.full((axis.size, axis.size), 16.0)
    return jax.lax.scan(nearer, far, (starts, ends, along, there))[0]
