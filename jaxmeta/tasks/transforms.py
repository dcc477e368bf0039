"""Transformations of samplers: what is done to an episode before a learner sees it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import checks, tree
from jaxmeta.tasks.sampling import Sample, as_pytree, on_batches, static
from jaxmeta.types import Array, Batch, Episode, PyTree


def standardize(sample: Sample) -> Sample:
    """Gives every input column mean 0 and deviation 1 over the support set, and moves the queries along.

    Nothing is taken from the query set. A column that is constant in the support set becomes 0 in both: nothing can
    be learnt from it.

    Args:
      sample: its inputs are arrays [n, ...] of floats.
    """
    return _Standardized(as_pytree(sample), "inputs")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class _Standardized:
    sample: Any
    field: str = static()

    def __call__(self, key: Array) -> Episode:
        episode = self.sample(key)
        if not isinstance(episode.support, Batch):
            checks.fail("standardize", "episodes with a support set", type(episode.support).__name__, error=TypeError)
        known, mask = getattr(episode.support, self.field), episode.support.mask

        def scaled(batch: Batch) -> Batch:
            own = 1 if self.field == "targets" else 0
            leaves = jax.tree.map(lambda like, leaf: _scaler(like, mask, own)(leaf), known, getattr(batch, self.field))
            return batch._replace(**{self.field: leaves})

        return on_batches(scaled, episode)


def standardize_targets(sample: Sample) -> Sample:
    """Gives regression targets mean 0 and deviation 1 over the support set, and moves the queries' along.

    Errors are then in units of the support set's deviation. Where its targets are all equal, as that of one example is,
    they have none: mean 0 then, and the queries' are as far from it as they were.

    Args:
      sample: its targets are values [n, ...].
    """
    return _Standardized(as_pytree(sample), "targets")


def widen(sample: Sample, num_ways: int) -> Sample:
    """Gives episodes of fewer ways the `classes` of a network with num_ways outputs; the others are absent.

    Args:
      sample: its batches have `classes`.
      num_ways: at least the episodes' own.

    Raises:
      ValueError: if the episodes have no `classes`, or more of them.
    """
    return _Widened(as_pytree(sample), checks.integer("widen: num_ways", num_ways, 1))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class _Widened:
    sample: Any
    num_ways: int = static()

    def __call__(self, key: Array) -> Episode:
        return on_batches(self._wide, self.sample(key))

    def _wide(self, batch: Batch) -> Batch:
        if batch.classes is None or batch.classes.shape[1] > self.num_ways:
            got = "none" if batch.classes is None else batch.classes.shape[1]
            checks.fail("widen: classes", f"at most {self.num_ways}", got)
        missing = self.num_ways - batch.classes.shape[1]
        return batch._replace(classes=jnp.pad(batch.classes, ((0, 0), (0, missing))))


def _scaler(values: Array, mask: Array | None, of_constants: float) -> Callable[[Array], Array]:
    """Returns what subtracts the mean of the real rows of values [n, ...] and divides by their deviation.

    Constants have none, and are multiplied by what is given: inputs by 0, since nothing can be learnt from them, but a
    query's target by 1, or whatever is predicted for it would be right.
    """
    if not jnp.issubdtype(values.dtype, jnp.floating):
        checks.fail("standardize", "floats", values.dtype, error=TypeError)
    real = jnp.ones(len(values), bool) if mask is None else mask
    real = real.reshape(-1, *(1,) * (values.ndim - 1))
    count = jnp.maximum(real.sum(), 1)
    mean = jnp.where(real, values, 0).sum(axis=0) / count
    centred = jnp.where(real, values - mean[None], 0)
    unit = tree.unit(centred)
    variance = jnp.square(centred / unit[None]).sum(axis=0) / count
    # By comparison, since rounding gives a constant a small variance.
    constant = jnp.where(real, values, -jnp.inf).max(axis=0) <= jnp.where(real, values, jnp.inf).min(axis=0)
    scale = jnp.where(constant, of_constants, jax.lax.rsqrt(jnp.where(constant, 1, variance)) / unit)
    return lambda rows: (rows - mean[None]) * scale[None]


def pad_features(sample: Sample, num_features: int) -> Sample:
    """Adds columns of zeros, so that a table of fewer features fits a model of more.

    Args:
      sample: its inputs are [n, d].
      num_features: the columns to come to.

    Raises:
      ValueError: if d is above num_features, when first sampled.
    """
    return _Padded(as_pytree(sample), checks.integer("pad_features: num_features", num_features, 1))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class _Padded:
    sample: Any
    num_features: int = static()

    def __call__(self, key: Array) -> Episode:
        return on_batches(self._pad, self.sample(key))

    def _pad(self, batch: Batch) -> Batch:
        if batch.inputs.ndim != 2 or batch.inputs.shape[1] > self.num_features:
            wanted = f"inputs [n, d] of at most {self.num_features} features"
            checks.fail("pad_features", wanted, f"shape {batch.inputs.shape}")
        missing = self.num_features - batch.inputs.shape[1]
        return batch._replace(inputs=jnp.pad(batch.inputs, ((0, 0), (0, missing))))


def augmented(sample: Sample, transform: Callable[[Array, Array], Array]) -> Sample:
    """Episodes whose examples are each changed at random; for training, never for evaluation.

    Args:
      sample: key -> Episode.
      transform: (key, one example's inputs) -> inputs of the same shape, such as `shift(2)` or `flip`.
    """
    return _Augmented(as_pytree(sample), transform)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class _Augmented:
    sample: Any
    transform: Callable[[Array, PyTree], PyTree] = dataclasses.field(metadata={"static": True})

    def __call__(self, key: Array) -> Episode:
        episode_key, support_key, query_key = jax.random.split(key, 3)
        episode = self.sample(episode_key)
        return Episode(self._changed(support_key, episode.support), self._changed(query_key, episode.query))

    def _changed(self, key: Array, part: PyTree) -> PyTree:
        if not isinstance(part, Batch):  # supervised pre-training has no support set
            return part
        keys = jax.random.split(key, tree.leading_axis(part.inputs))
        return part._replace(inputs=jax.vmap(self.transform)(keys, part.inputs))


def shift(limit: int) -> Callable[[Array, Array], Array]:
    """Moves a picture [height, width, channels] by up to `limit` pixels each way; its border is drawn out."""
    return _Shift(checks.integer("shift: limit", limit, 1))


@dataclasses.dataclass(frozen=True)
class _Shift:
    limit: int

    def __call__(self, key: Array, picture: Array) -> Array:
        limit = self.limit
        wide = jnp.pad(picture, ((limit, limit), (limit, limit), (0, 0)), mode="edge")
        rows, columns = jax.random.randint(key, (2,), 0, 2 * limit + 1)
        return jax.lax.dynamic_slice(wide, (rows, columns, 0), picture.shape)


def affine(*, turn: float = 20.0, zoom: float = 0.2, shift: float = 1 / 7) -> Callable[[Array, Array], Array]:
    """Turns, scales and moves a picture [height, width, channels]; what comes in from outside is 0.

    Args:
      turn: degrees, up to so many each way.
      zoom: the scale is exp(u), u up to so much each way.
      shift: up to so much of the sides, each way.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxmeta import tasks
      >>> tasks.affine(turn=10)(jax.random.key(0), jnp.ones((28, 28, 1))).shape
      (28, 28, 1)
    """
    for name, value in (("turn", turn), ("zoom", zoom), ("shift", shift)):
        if not isinstance(value, int | float | np.number) or not 0 <= value < float("inf"):
            checks.fail(f"affine: {name}", "a number of at least 0", repr(value))
    return _Affine(float(turn), float(zoom), float(shift))


@dataclasses.dataclass(frozen=True)
class _Affine:
    turn: float
    zoom: float
    shift: float

    def __call__(self, key: Array, picture: Array) -> Array:
        height, width, _ = picture.shape
        turn, zoom, down, across = jax.random.uniform(key, (4,), minval=-1.0)
        angle, scale = jnp.deg2rad(self.turn * turn), jnp.exp(self.zoom * zoom)
        cosine, sine = jnp.cos(angle) / scale, jnp.sin(angle) / scale
        # From each pixel of the result, seen from the middle, back to the picture.
        y = jnp.arange(height)[:, None] - (height - 1) / 2 - self.shift * height * down
        x = jnp.arange(width)[None, :] - (width - 1) / 2 - self.shift * width * across
        places = [cosine * y - sine * x + (height - 1) / 2, sine * y + cosine * x + (width - 1) / 2]
        draw = lambda channel: jax.scipy.ndimage.map_coordinates(channel, places, order=1)  # noqa: E731
        return jax.vmap(draw, in_axes=2, out_axes=2)(picture)


def flip(key: Array, picture: Array) -> Array:
    """Mirrors a picture [height, width, channels] left to right, every second time."""
    return jnp.where(jax.random.bernoulli(key), picture[:, ::-1], picture)
