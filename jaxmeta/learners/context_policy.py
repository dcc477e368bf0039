"""A policy that is told what others found: a task is the average encoding of a few trajectories in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta import checks, control, models
from jaxmeta.types import Array, Criterion, MetaLearner, Model, PyTree, query_loss


class MetaParams(NamedTuple):
    """Two networks."""

    policy: PyTree
    encoder: PyTree


class Adapted(NamedTuple):
    """What is known of one task."""

    vector: Array
    """[num_context_params]"""


def context_policy(
    policy: Model,
    encoder: Model,
    criterion: Criterion,
    *,
    num_context_params: int,
    condition: Callable[[PyTree, Array], PyTree] = models.concatenate,
    collect: Callable[..., control.Trajectories] = control.rollout,
) -> MetaLearner:
    """Rolls out once with nothing known and averages an encoding of the transitions; no gradient step.

    A transition is observation, action, reward and advantage. Exploration itself is not trained but as far as the
    policy that knows nothing shares its weights with the others.

    Args:
      policy: built for the inputs that `condition` makes of an observation and the vector.
      encoder: (transitions [n, num_observations + num_actions + 2]) -> [n, num_context_params].
      criterion: what the policy is trained on in the query's environment.
      num_context_params: the length of the vector, which is zeros where nothing is known.
      condition: (observations, vector) -> what the policy is given.
      collect: (predictor, Environment, key) -> Trajectories.

    Returns:
      A MetaLearner whose meta_params are `MetaParams(policy, encoder)` and whose adapted is `Adapted(vector)`.

    Raises:
      ValueError: if num_context_params < 1; or, when traced, if the encoder gives something else.
      TypeError: when traced, if the support is no Environment.

    References:
      Rakelly et al., Efficient Off-Policy Meta-Reinforcement Learning via Probabilistic Context Variables, 2019,
      section 4.1; here the posterior is a mean, and policy gradients train it.
    """
    num_context_params = checks.integer("context_policy: num_context_params", num_context_params, 1)

    def init(key: Array) -> MetaParams:
        policy_key, encoder_key = jax.random.split(key)
        return MetaParams(policy.init(policy_key), encoder.init(encoder_key))

    def predict(meta_params: MetaParams, adapted: Adapted, inputs: PyTree, mask: Array | None = None) -> PyTree:
        return policy.apply(meta_params.policy, condition(inputs, adapted.vector), mask)

    def adapt(meta_params: MetaParams, support: control.Environment, key: Array) -> Adapted:
        if not isinstance(support, control.Environment):
            checks.fail("context_policy: support", "an Environment", type(support).__name__, error=TypeError)
        nothing = Adapted(jnp.zeros(num_context_params))
        found = collect(lambda inputs, mask=None: predict(meta_params, nothing, inputs, mask), support, key)
        encoded = encoder.apply(meta_params.encoder, _transitions(found, support.rules))
        if jnp.shape(encoded)[1:] != (num_context_params,):
            wanted = f"outputs [n, {num_context_params}]"
            checks.fail("context_policy: encoder", wanted, getattr(encoded, "shape", type(encoded).__name__))
        weights = found.weights.reshape(-1, 1)
        return Adapted((weights * encoded).sum(axis=0) / jnp.maximum(weights.sum(), 1))

    return MetaLearner(init, adapt, predict, query_loss(adapt, predict, criterion))


def _transitions(found: control.Trajectories, rules: control.Rules) -> Array:
    """[n * horizon, num_observations + num_actions + 2]"""
    discrete = rules.space == "discrete"
    acted = jax.nn.one_hot(found.actions, rules.num_actions) if discrete else found.actions
    parts = [found.observations, acted, found.rewards[..., None], found.advantages[..., None]]
    whole = jnp.concatenate(parts, axis=-1)
    return whole.reshape(-1, whole.shape[-1])
