"""Criteria for policies: surrogates whose gradients are policy gradients, of stored trajectories or of fresh ones."""

from __future__ import annotations

from typing import Protocol

import jax.numpy as jnp

from jaxmeta import checks, control
from jaxmeta.types import Array, Criterion, Metrics, Predictor


class Form(Protocol):
    """(log-probabilities now, those of the policy that acted, advantages) -> what is gained, all [n, horizon]."""

    def __call__(self, now: Array, then: Array, advantages: Array, /) -> Array: ...


def log_probability(now: Array, then: Array, advantages: Array) -> Array:
    """log pi(a | s) A: REINFORCE.

    Its gradient is the policy gradient where the policy is the one that acted. Its second derivative leaves out the
    products of scores, of a step with itself and with others, and with them how the trajectories themselves change:
    MAML's own estimate through automatic differentiation, biased at any horizon.
    """
    del then
    return now * advantages


def ratio(now: Array, then: Array, advantages: Array) -> Array:
    """pi(a | s) / pi_then(a | s) A: importance weights of single steps, the low variance curvature estimate.

    Its gradient is the policy gradient where the policy is the one that acted. Its second derivative has the product
    of a step's score with itself and leaves out those of different steps, whose variance grows with the horizon: exact
    at horizon 1, biased beyond, and the best there is at horizons such as 100.

    References:
      Rothfuss et al., ProMP: Proximal Meta-Policy Search, 2019, equation 8 (LVC).
    """
    return jnp.exp(now - then) * advantages


def loaded_dice(now: Array, then: Array, advantages: Array) -> Array:
    """(f(W_t) - f(W_{t-1})) A_t with f = exp and W_t the sum of log pi - log pi_then up to step t: loaded DiCE.

    All derivatives are those of the expected return, with any baseline: exact, if advantages are of `trace` 1, and of a
    variance that grows with the horizon. Under a discount the exact objective has the weights discount^t, which
    `control.rollout`, like everyone's, does not give. Its value is 0 where the policy is the one that acted.

    References:
      Farquhar et al., Loaded DiCE: Trading off Bias and Variance in Any-Order Score Function Gradient Estimators for
      Reinforcement Learning, 2019, equation 13; Foerster et al., DiCE, 2018.
    """
    gaps = now - then
    upto = jnp.cumsum(gaps, axis=1)
    return (jnp.exp(upto) - jnp.exp(upto - gaps)) * advantages


def clipped(most: float) -> Form:
    """PPO's: the ratio, no further from 1 than `most` where that gains.

    References:
      Schulman et al., Proximal Policy Optimization Algorithms, 2017, equation 7.
    """
    if not 0 < most < 1:
        checks.fail("clipped: most", "a number between 0 and 1", most)

    def form(now: Array, then: Array, advantages: Array) -> Array:
        ratios = jnp.exp(now - then)
        return jnp.minimum(ratios * advantages, jnp.clip(ratios, 1 - most, 1 + most) * advantages)

    return form


class Scale(Protocol):
    def __call__(self, advantages: Array, weights: Array, /) -> Array: ...


def as_they_are(advantages: Array, weights: Array) -> Array:
    """Advantages in units of reward: an inner step gets shorter as a policy gets to its goal."""
    del weights
    return advantages


def normalised(advantages: Array, weights: Array) -> Array:
    """Advantages of mean 0 and deviation 1 over the steps that count.

    For the outer loss, which compares tasks whose rewards differ. Inside they do not shrink near the goal, and further
    steps walk past it.
    """
    total = jnp.maximum(weights.sum(), 1e-8)
    centred = advantages - (weights * advantages).sum() / total
    spread = jnp.sqrt((weights * jnp.square(centred)).sum() / total)
    return centred / (spread + 1e-8)


def surrogate(form: Form = ratio, *, scale: Scale = as_they_are) -> Criterion:
    """Scores a policy on stored trajectories; all of their rows go through the predictor in one call.

    Args:
      form: what is gained at a step; `ratio`, `log_probability`, `loaded_dice` or `clipped(0.2)`.
      scale: (advantages, weights) -> advantages.

    Returns:
      A criterion, (predictor, Trajectories, key) -> (loss, metrics): the loss is the negative mean gain of a step, its
      gradient, where the policy is the one that acted, that of the mean reward. The metrics are "loss", "return", the
      mean sum of rewards, "reward", the same over the horizon, and "log_likelihood", the sum over trajectories of the
      log-probability of what was done, whose gradient is the score of these trajectories.
    """

    def criterion(predictor: Predictor, trajectories: control.Trajectories, key: Array) -> tuple[Array, Metrics]:
        del key
        if not isinstance(trajectories, control.Trajectories):
            what, hint = type(trajectories).__name__, "criteria.policy_gradient rolls an Environment out"
            checks.fail("surrogate", "Trajectories", what, hint, TypeError)
        now = rescored(predictor, trajectories)
        weights = trajectories.weights
        gains = form(now, trajectories.log_probabilities, scale(trajectories.advantages, weights))
        loss = -(weights * gains).mean()
        likelihood = jnp.where(weights > 0, now, 0).sum()
        told = {"return": control.episode_return(trajectories), "reward": (weights * trajectories.rewards).mean()}
        return loss, {"loss": loss, **told, "log_likelihood": likelihood}

    return criterion


def rescored(predictor: Predictor, trajectories: control.Trajectories) -> Array:
    """[n, horizon] the log-probabilities of stored actions under a policy, in one call of it."""
    rows = lambda leaf: leaf.reshape(-1, *leaf.shape[2:])  # noqa: E731
    outputs = predictor(rows(trajectories.observations))
    shape = trajectories.rewards.shape
    return control.log_probability(outputs, rows(trajectories.actions)).reshape(shape)


class Collect(Protocol):
    def __call__(self, predictor: Predictor, env: control.Environment, key: Array, /) -> control.Trajectories: ...


def policy_gradient(form: Form = ratio, *, scale: Scale = as_they_are, collect: Collect = control.rollout) -> Criterion:
    """Rolls a policy out in a task's environment and scores it on what it met: `surrogate` of fresh trajectories.

    As an inner criterion every step rolls out anew; as an outer one it is the adapted policy's. Trajectories carry no
    gradient: the surrogate's is the policy gradient.

    Args:
      form, scale: as in `surrogate`.
      collect: (predictor, Environment, key) -> Trajectories; `control.rollout` with other options, or
        `control.enumerated`.

    Returns:
      A criterion, (predictor, Environment, key) -> (loss, metrics) with the metrics of `surrogate`.

    Example:
      >>> import jax, optax
      >>> from jaxmeta import control, criteria, maml, models
      >>> inner, outer = criteria.policy_gradient(), criteria.policy_gradient(scale=criteria.normalised)
      >>> policy = models.gaussian_policy(2, 2, hidden=(8,))
      >>> learner = maml(policy, inner, optax.sgd(0.1), num_steps=1, outer_criterion=outer)
      >>> episode = control.navigation(num_shots=4, num_queries=4, horizon=5)(jax.random.key(0))
      >>> loss, metrics = jax.jit(learner.loss)(learner.init(jax.random.key(1)), episode, jax.random.key(2))
      >>> sorted(metrics)
      ['log_likelihood', 'loss', 'return', 'reward']
    """
    score = surrogate(form, scale=scale)

    def criterion(predictor: Predictor, env: control.Environment, key: Array) -> tuple[Array, Metrics]:
        if not isinstance(env, control.Environment):
            checks.fail("policy_gradient", "an Environment", type(env).__name__, error=TypeError)
        return score(predictor, collect(predictor, env, key), key)

    return criterion
