"""The best possible answer where it is known."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from jaxmeta.criteria.gaussian import Gaussian
from jaxmeta.learners import processes
from jaxmeta.tasks.gaussian_process import NOISE, Covariance, Kernel
from jaxmeta.types import Array, Batch, Criterion, MetaLearner, PyTree, query_loss


class Adapted(NamedTuple):
    """The exact posterior."""

    places: Array
    """[n, 1]"""
    keep: Array
    """[n] bool, the rows that are no padding."""
    posterior: processes.Posterior


def exact_gaussian_process(criterion: Criterion, *, kernel: Covariance) -> MetaLearner:
    """The exact posterior of `tasks.gaussian_process`, for who knows the task's kernel: nobody does better on average.

    Args:
      criterion: scores a predictor of `criteria.Gaussian` on query data.
      kernel: that of the tasks, whose sampler is wrapped in `tasks.with_kernel`: inputs are [n, 4].

    Returns:
      A MetaLearner without meta_params.
    """

    def adapt(meta_params: PyTree, support: Batch, key: Array) -> Adapted:
        del meta_params, key
        places, keep = support.inputs[:, :1], processes.real(support)
        own = kernel(jnp.abs(places - places.T), Kernel(*support.inputs[0, 1:]))
        noise = jnp.square(NOISE) * jnp.eye(len(places), dtype=places.dtype)
        return Adapted(places, keep, processes.posterior(own + noise, support.targets, keep))

    def predict(meta_params: PyTree, adapted: Adapted, inputs: Array, mask: Array | None = None) -> Gaussian:
        del meta_params, mask
        parameters = Kernel(*inputs[0, 1:])
        between = kernel(jnp.abs(inputs[:, :1] - adapted.places.T), parameters)
        between = jnp.where(adapted.keep[None], between, 0)
        variance = jnp.square(parameters.scale) + jnp.square(NOISE)
        return processes.answer(adapted.posterior, between, jnp.broadcast_to(variance, len(inputs)))

    return MetaLearner(lambda key: {}, adapt, predict, query_loss(adapt, predict, criterion))
