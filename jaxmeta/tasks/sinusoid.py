"""Sine waves: the regression domain of the MAML paper."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from jaxmeta import checks
from jaxmeta.tasks.sampling import Sample, static
from jaxmeta.types import Array, Batch, Episode


def sinusoid(*, num_shots: int, num_queries: int) -> Sample:
    """A task is y = amplitude sin(x - phase), amplitude in [0.1, 5], phase in [0, pi], x in [-5, 5].

    Args:
      num_shots: support examples.
      num_queries: query examples.

    Returns:
      sample: key -> Episode of inputs [n, 1] and targets [n, 1].

    References:
      Finn et al., 2017, section 5.1.
    """
    num_shots = checks.integer("sinusoid: num_shots", num_shots, 1)
    return _Sinusoid(num_shots, checks.integer("sinusoid: num_queries", num_queries, 1))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Sinusoid:
    num_shots: int = static()
    num_queries: int = static()

    def __call__(self, key: Array) -> Episode:
        amplitude_key, phase_key, inputs_key = jax.random.split(key, 3)
        amplitude = jax.random.uniform(amplitude_key, (), minval=0.1, maxval=5.0)
        phase = jax.random.uniform(phase_key, (), maxval=jnp.pi)
        inputs = jax.random.uniform(inputs_key, (self.num_shots + self.num_queries, 1), minval=-5.0, maxval=5.0)
        targets = amplitude * jnp.sin(inputs - phase)
        shots = self.num_shots
        return Episode(Batch(inputs[:shots], targets[:shots]), Batch(inputs[shots:], targets[shots:]))
