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


def gaussian_process(
    *,
    kernel: Covariance = rbf,
    most_points: int = 50,
    num_shots: tuple[int, int] | None = None,
    num_queries: tuple[int, int] | None = None,
) -> Sample:
    """A task is a function of one number, drawn from a Gaussian process whose kernel has parameters of the task's own.

    The function is seen with noise of deviation 0.02 at places in (-2, 2). As published 3 to 46 of 50 points are the
    support set, and 3 to all others the query set; masks hide the rows that a task does not have.

    Args:
      kernel: (distances, Kernel) -> covariances: `rbf`, `matern52`, `periodic` or your own.
      most_points: of support and query set together.
      num_shots: the fewest and the most points of a support set, which has no mask if they are equal; None: 3 and
        most_points - 4.
      num_queries: likewise of a query set; None: 3 and most_points - 3.

    Returns:
      sample: key -> Episode of inputs [most shots, 1] and [most queries, 1], targets alike.

    Raises:
      ValueError: if the numbers of points do not fit together.

    References:
      Nguyen and Grover, Transformer Neural Processes, 2022, section 5.1 and its code, which has these settings.
    """
    if num_shots is None or num_queries is None:
        most_points = checks.integer("gaussian_process: most_points", most_points, 2 * _LEAST + 1)
    shots, queries = num_shots or (_LEAST, most_points - _LEAST - 1), num_queries or (_LEAST, most_points - _LEAST)
    for name, span in (("num_shots", shots), ("num_queries", queries)):
        if not isinstance(span, tuple | list) or len(span) != 2:
            checks.fail(f"gaussian_process: {name}", "the fewest and the most, as (5, 5)", span)
        fewest, most = span
        checks.integer(f"gaussian_process: {name}", fewest, 1)
        checks.integer(f"gaussian_process: {name}", most, fewest)
    checks.integer("gaussian_process: most_points", most_points, max(shots[1] + queries[0], queries[1]))
    return _Processes(kernel, most_points, (shots[0], shots[1]), (queries[0], queries[1]))


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
    shots: tuple[int, int] = static()
    queries: tuple[int, int] = static()

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
        (fewest, most), (fewest_asked, most_asked) = self.shots, self.queries
        size = jax.random.randint(size_key, (), fewest, most + 1)
        left = jnp.minimum(most_asked, self.most_points - size)
        asked = jax.random.randint(query_key, (), fewest_asked, left + 1)
        # The support set is the first of the points, the query set the last.
        rows = jnp.arange(self.most_points)
        shown, query = slice(0, most), slice(self.most_points - most_asked, self.most_points)
        first = Batch(places[shown], values[shown], (rows < size)[shown] if fewest < most else None)
        last = rows >= self.most_points - asked
        second = Batch(places[query], values[query], last[query] if fewest_asked < most_asked else None)
        return Episode(first, second), kernel


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
