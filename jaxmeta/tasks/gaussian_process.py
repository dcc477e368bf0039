"""Functions drawn from Gaussian processes, of which the best possible answer is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.tasks.sampling import Sample, static
from jaxmeta.types import Array, Batch, Episode

NOISE = 0.02  # deviation of what is seen from the function
_LEAST = 3  # points of either set
_LOW, _HIGH = -2.0, 2.0


class Kernel(NamedTuple):
    """What a task's kernel hangs on."""

    length: Array
    """From 0.1 to 0.6."""
    scale: Array
    """The function's deviation, from 0.1 to 1."""
    period: Array
    """From 0.1 to 0.5; of the periodic kernel."""


Covariance = Callable[[Array, Kernel], Array]
"""(distances, kernel) -> covariances of the function"""


def rbf(distances: Array, kernel: Kernel) -> Array:
    """scale^2 exp(-d^2 / (2 length^2)): functions that are smooth."""
    return jnp.square(kernel.scale) * jnp.exp(-jnp.square(distances / kernel.length) / 2)


def matern52(distances: Array, kernel: Kernel) -> Array:
    """The Matern kernel of 5/2: functions that have two derivatives and no more."""
    far = jnp.sqrt(5.0) * distances / kernel.length
    return jnp.square(kernel.scale) * (1 + far + jnp.square(far) / 3) * jnp.exp(-far)


def periodic(distances: Array, kernel: Kernel) -> Array:
    """scale^2 exp(-2 sin^2(pi d / period) / length^2): functions that come again."""
    wave = jnp.sin(jnp.pi * distances / kernel.period) / kernel.length
    return jnp.square(kernel.scale) * jnp.exp(-2 * jnp.square(wave))


def gaussian_process(*, kernel: Covariance = rbf, most_points: int = 50) -> Sample:
    """A task is a function of one number, drawn from a Gaussian process whose kernel has parameters of the task's own.

    The function is seen with noise of deviation 0.02 at places in (-2, 2). Of the points 3 to most_points - 4 are the
    support set, and 3 to all others the query set; masks hide the rows that a task does not have.

    Args:
      kernel: (distances, Kernel) -> covariances: `rbf`, `matern52`, `periodic` or your own.
      most_points: of support and query set together.

    Returns:
      sample: key -> Episode of inputs [most_points - 4, 1] and [most_points - 3, 1], targets alike.

    References:
      Nguyen and Grover, Transformer Neural Processes, 2022, section 5.1 and its code, which has these settings.
    """
    return _Processes(kernel, checks.integer("gaussian_process: most_points", most_points, 2 * _LEAST + 1))


def with_kernel(sample: Sample) -> Sample:
    """The same episodes for who may know: beside a place its inputs have the kernel's parameters, [n, 4].

    Args:
      sample: of `gaussian_process`.

    Raises:
      TypeError: if it is another.
    """
    if not isinstance(sample, _Processes):
        checks.fail("with_kernel", "a sampler of gaussian_process", type(sample).__name__, error=TypeError)
    return _Told(sample)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Processes:
    kernel: Covariance = dataclasses.field(metadata={"static": True})
    most_points: int = static()

    def __call__(self, key: Array) -> Episode:
        return self.drawn(key)[0]

    def drawn(self, key: Array) -> tuple[Episode, Kernel]:
        kernel_key, place_key, value_key, size_key, query_key = jax.random.split(key, 5)
        low, high = jnp.array([0.1, 0.1, 0.1]), jnp.array([0.6, 1.0, 0.5])
        kernel = Kernel(*(low + (high - low) * jax.random.uniform(kernel_key, (3,))))
        places = jax.random.uniform(place_key, (self.most_points, 1), minval=_LOW, maxval=_HIGH)
        covariances = self.kernel(jnp.abs(places - places.T), kernel)
        root = jnp.linalg.cholesky(covariances + jnp.square(NOISE) * jnp.eye(self.most_points))
        values = root @ jax.random.normal(value_key, (self.most_points, 1))
        support = self.most_points - _LEAST - 1
        size = jax.random.randint(size_key, (), _LEAST, support + 1)
        asked = jax.random.randint(query_key, (), _LEAST, self.most_points - size + 1)
        # The support set is the first of the points, the query set the last.
        shown, query = slice(0, support), slice(_LEAST, self.most_points)
        rows = jnp.arange(self.most_points)
        first = Batch(places[shown], values[shown], (rows < size)[shown])
        return Episode(first, Batch(places[query], values[query], (rows >= self.most_points - asked)[query])), kernel


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Told:
    sample: _Processes

    def __call__(self, key: Array) -> Episode:
        episode, kernel = self.sample.drawn(key)
        told = jnp.stack(kernel)[None]

        def beside(batch: Batch) -> Batch:
            rows = jnp.broadcast_to(told, (len(batch.inputs), 3))
            return batch._replace(inputs=jnp.concatenate([batch.inputs, rows], axis=1))

        return Episode(*map(beside, episode))
