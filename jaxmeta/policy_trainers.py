"""Outer loops for policies that use a step's trajectories more than once: PPO, and a trust region."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from jaxmeta import checks, control, criteria, tree
from jaxmeta.training import MetaState, MetaTrainer, meta_trainer
from jaxmeta.types import Array, Episode, MetaLearner, Metrics, PyTree, adapted_predictor

Build = Callable[..., MetaLearner]
"""(criterion, *, num_steps, outer_criterion, select) -> a learner with inner steps, such as
`lambda criterion, **options: maml(policy, criterion, optax.sgd(0.1), **options)`"""


class Collect(Protocol):
    def __call__(self, predictor, env: control.Environment, key: Array, /) -> control.Trajectories: ...


def of_step(stored: PyTree, key: Array, step: Array) -> PyTree:
    """The `select` of a support set that holds each inner step's own trajectories, leaves [num_steps, ...]."""
    del key
    return jax.tree.map(lambda leaf: leaf[step], stored)


def collected(
    build: Build, num_steps: int, *, form: criteria.Form = criteria.ratio, collect: Collect = control.rollout
) -> Callable[[PyTree, Episode, Array], Episode]:
    """(meta_params, episode of Environments, key) -> an Episode of Trajectories, to be used more than once.

    Its support are the trajectories of each inner step, leaves [num_steps, n, ...], taken by the policy as it was
    before that step; its query those of the adapted policy.
    """
    checks.integer("collected: num_steps", num_steps, 1)
    stored = criteria.surrogate(form)
    # The first has no step to take: what its scan would score is never run.
    learners = [build(criteria.policy_gradient(form, collect=collect), num_steps=0)]
    learners += [build(stored, num_steps=count, select=of_step) for count in range(1, num_steps + 1)]

    def run(meta_params: PyTree, episode: Episode, key: Array) -> Episode:
        keys = jax.random.split(key, num_steps + 1)
        support: PyTree = episode.support
        met: list[control.Trajectories] = []
        for learner, own in zip(learners, keys, strict=True):
            adapted = learner.adapt(meta_params, support, own)
            env = episode.query if len(met) == num_steps else episode.support
            met.append(collect(adapted_predictor(learner.predict, meta_params, adapted), env, own))
            support = jax.tree.map(lambda *leaves: jnp.stack(leaves), *met)
        return Episode(jax.tree.map(lambda *leaves: jnp.stack(leaves), *met[:-1]), met[-1])

    return run


def ppo_trainer(
    build: Build,
    outer_optimizer: optax.GradientTransformation,
    *,
    num_steps: int,
    num_epochs: int = 5,
    most: float = 0.2,
    form: criteria.Form = criteria.ratio,
    collect: Collect = control.rollout,
    tasks_per_chunk: int | None = None,
) -> MetaTrainer:
    """Several outer steps on the trajectories of one: proximal policy optimisation of the meta-objective.

    Of each task trajectories are stored once, before every inner step and behind the last. Each epoch adapts again on
    the stored ones, whose ratios say how far theta has come since, and steps on the clipped ratio of the last. That is
    ProMP without its penalty on the inner steps' divergence.

    Args:
      build: makes the learner, as `Build` says.
      outer_optimizer: any Optax transformation; it makes num_epochs steps an update.
      num_steps: inner steps, at least 1.
      num_epochs: outer steps on the same trajectories; 1 is `meta_trainer`'s step but for the keys.
      most: how far a ratio may be from 1 where that gains.
      form: of the inner steps.
      collect: (predictor, Environment, key) -> Trajectories.
      tasks_per_chunk: as in `meta_trainer`.

    Returns:
      MetaTrainer(init, update); the metrics are the first epoch's.

    References:
      Schulman et al., Proximal Policy Optimization Algorithms, 2017; Rothfuss et al., ProMP, 2019, Algorithm 1.
    """
    num_epochs = checks.integer("ppo_trainer: num_epochs", num_epochs, 1)
    outer = criteria.surrogate(criteria.clipped(most), scale=criteria.normalised)
    learner = build(criteria.surrogate(form), num_steps=num_steps, outer_criterion=outer, select=of_step)
    trainer = meta_trainer(learner, outer_optimizer, tasks_per_chunk=tasks_per_chunk)
    gather = collected(build, num_steps, form=form, collect=collect)

    def update(state: MetaState, episodes: PyTree, key: Array) -> tuple[MetaState, Metrics]:
        collect_key, epoch_key = jax.random.split(key)
        keys = jax.random.split(collect_key, tree.leading_axis(episodes))
        met = jax.vmap(gather, (None, 0, 0))(state.meta_params, episodes, keys)
        epoch = lambda now, key: trainer.update(now, met, key)  # noqa: E731
        new, metrics = jax.lax.scan(epoch, state, jax.random.split(epoch_key, num_epochs))
        return new._replace(step=state.step + 1), jax.tree.map(lambda leaf: leaf[0], metrics)

    return MetaTrainer(trainer.init, update)


class _Search(NamedTuple):
    tries: Array
    size: Array
    loss: Array
    divergence: Array


def trust_region_trainer(
    build: Build,
    *,
    num_steps: int,
    most_divergence: float = 0.01,
    cg_steps: int = 10,
    damping: float = 1e-3,
    num_tries: int = 12,
    form: criteria.Form = criteria.ratio,
    collect: Collect = control.rollout,
) -> MetaTrainer:
    """The outer step of the MAML paper: the natural gradient, as long as a bound on the divergence allows.

    The divergence is that of the adapted policies, on the states that they met, as a function of theta: its Hessian is
    asked for products alone, by forward mode over its gradient, and conjugate gradients solve for the direction. A line
    search takes the longest of steps that halve under which the surrogate loss falls and the divergence is within
    the bound; if none does, theta stays.

    Args:
      build: makes the learner, as `Build` says.
      num_steps: inner steps, at least 1.
      most_divergence: of the adapted policies from what they were, in nats a step.
      cg_steps: products with the Hessian.
      damping: added to the Hessian's diagonal.
      num_tries: how often a step is halved.
      form: of the inner steps.
      collect: (predictor, Environment, key) -> Trajectories.

    Returns:
      MetaTrainer(init, update), without an optimizer's state. The metrics are the learner's, "gradient_norm",
      "divergence" of the step that was taken and "step_size" of 1, 0 where theta stays.

    Raises:
      ValueError: if most_divergence is not positive.

    References:
      Schulman et al., Trust Region Policy Optimization, 2015, appendix C; Finn et al., 2017, section 5.3.
    """
    if not 0 < most_divergence < float("inf"):
        checks.fail("trust_region_trainer: most_divergence", "a positive number", most_divergence)
    outer = criteria.surrogate(scale=criteria.normalised)
    learner = build(criteria.surrogate(form), num_steps=num_steps, outer_criterion=outer, select=of_step)
    gather = collected(build, num_steps, form=form, collect=collect)

    def init(key: Array) -> MetaState:
        return MetaState(learner.init(key), (), jnp.zeros((), jnp.int32))

    def outputs(meta_params: PyTree, met: Episode, key: Array) -> PyTree:
        adapted = learner.adapt(meta_params, met.support, key)
        seen = met.query.observations
        return learner.predict(meta_params, adapted, seen.reshape(-1, seen.shape[-1]))

    def update(state: MetaState, episodes: PyTree, key: Array) -> tuple[MetaState, Metrics]:
        keys = jax.random.split(key, tree.leading_axis(episodes))
        met = jax.vmap(gather, (None, 0, 0))(state.meta_params, episodes, keys)
        own, frozen = tree.split(state.meta_params, tree.trained(state.meta_params))
        before = jax.lax.stop_gradient(jax.vmap(outputs, (None, 0, 0))(state.meta_params, met, keys))
        weights = met.query.weights.reshape(len(keys), -1)

        def loss(own: PyTree) -> tuple[Array, Metrics]:
            losses, metrics = jax.vmap(learner.loss, (None, 0, 0))(tree.merge(own, frozen), met, keys)
            return losses.mean(), jax.tree.map(lambda leaf: leaf.mean(axis=0), metrics)

        def divergence(own: PyTree) -> Array:
            after = jax.vmap(outputs, (None, 0, 0))(tree.merge(own, frozen), met, keys)
            return (weights * jax.vmap(control.divergence)(before, after)).sum() / weights.sum()

        def product(vector: PyTree) -> PyTree:
            along = jax.jvp(jax.grad(divergence), (own,), (vector,))[1]
            return jax.tree.map(lambda a, b: a + damping * b, along, vector)

        (first, metrics), slope = jax.value_and_grad(loss, has_aux=True)(own)
        direction, _ = jax.scipy.sparse.linalg.cg(product, slope, maxiter=cg_steps)
        length = jax.tree.reduce(jnp.add, jax.tree.map(jnp.vdot, direction, product(direction)))
        longest = jnp.sqrt(2 * most_divergence / jnp.maximum(length, 1e-12))

        def moved(size: Array) -> PyTree:
            return jax.tree.map(lambda leaf, change: leaf - size * longest * change, own, direction)

        def holds(now: _Search) -> Array:
            return (now.loss < first) & (now.divergence <= most_divergence)

        def shorter(now: _Search) -> _Search:
            size = now.size / 2
            return _Search(now.tries + 1, size, loss(moved(size))[0], divergence(moved(size)))

        begun = _Search(jnp.zeros((), jnp.int32), jnp.full_like(first, 2), jnp.full_like(first, jnp.inf), first * 0)
        found = jax.lax.while_loop(lambda now: ~holds(now) & (now.tries < num_tries), shorter, begun)
        size = jnp.where(holds(found), found.size, 0)
        kept = jax.tree.map(lambda new, old: jnp.where(size > 0, new, old), moved(size), own)
        told = {"gradient_norm": tree.norm(slope), "divergence": found.divergence * (size > 0), "step_size": size}
        return MetaState(tree.merge(kept, frozen), (), state.step + 1), {**metrics, **told}

    return MetaTrainer(init, update)
