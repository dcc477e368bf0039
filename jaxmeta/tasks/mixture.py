"""Several domains as one distribution."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import checks
from jaxmeta.tasks.sampling import Sample, as_pytree
from jaxmeta.tasks.streamed import is_streamed
from jaxmeta.types import Array, Episode


def mixture(samples: Sequence[Sample], weights: Any = None) -> Sample:
    """Episodes of one of several samplers, each drawn with its own weight: training on many sources.

    Under `vmap` every sampler runs for every episode; keep renderers that take long apart.

    Args:
      samples: their episodes have the same structure, shapes and dtypes.
      weights: one positive number each, in any unit; None: all the same.

    Returns:
      sample: key -> Episode.

    Raises:
      ValueError: if there is no sampler, episodes differ, or weights do not fit.
      TypeError: if it is one sampler.

    Example:
      Leave one domain out, for each in turn:

      >>> from jaxmeta import tasks
      >>> domains = {split: tasks.strokes(num_ways=2, num_shots=1, num_queries=1, size=8, split=split)
      ...            for split in ("train", "validation", "test")}
      >>> rest = {out: tasks.mixture([domains[name] for name in domains if name != out]) for out in domains}
      >>> list(rest)
      ['train', 'validation', 'test']
    """
    if callable(samples):
        checks.fail("mixture: samples", "a sequence of samplers", "one of them", error=TypeError)
    samples = tuple(samples)
    if not samples:
        checks.fail("mixture: samples", "at least one sampler", "none")
    for index, sample in enumerate(samples):
        if is_streamed(sample):
            hint = "each alone, or load smaller pictures"
            checks.fail(f"mixture: sampler {index}", "data on the device", "data on the host", hint)
    kinds = [_kind(sample) for sample in samples]
    for index, kind in enumerate(kinds):
        if kind != kinds[0]:
            hint = "give all the same ways, shots, queries and size; few_shot has no mask, variable has"
            checks.fail(f"mixture: sampler {index}", f"episodes like the first's, {kinds[0]}", kind, hint)
    shares = np.ones(len(samples)) if weights is None else np.asarray(weights, np.float64)
    if shares.shape != (len(samples),) or not (np.isfinite(shares) & (shares > 0)).all():
        checks.fail("mixture: weights", f"{len(samples)} positive numbers", weights)
    return _Mixture(tuple(map(as_pytree, samples)), jnp.asarray(np.log(shares), jnp.float32))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class _Mixture:
    samples: tuple[Any, ...]
    logits: Array  # [len(samples)]

    def __call__(self, key: Array) -> Episode:
        choice_key, episode_key = jax.random.split(key)
        return jax.lax.switch(jax.random.categorical(choice_key, self.logits), self.samples, episode_key)


def _kind(sample: Sample) -> str:
    """The structure, shapes and dtypes of a sampler's episodes."""
    episode = jax.eval_shape(sample, jax.random.key(0))
    return str(jax.tree.map(lambda leaf: f"{leaf.dtype}{list(leaf.shape)}", episode))
