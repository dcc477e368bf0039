"""The outer loop: the mean over tasks of a learner's loss, its gradient, an Optax update."""

from __future__ import annotations

import concurrent.futures
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxmeta import arguments, checks, meshes, tasks, tree
from jaxmeta.chunks import chunk_that_fits, default_chunk, sum_over_chunks
from jaxmeta.inner.guards import check_descent, check_real, updated
from jaxmeta.inner.loop import transformation
from jaxmeta.types import Array, MetaLearner, Metrics, PyTree, scored


class MetaState(NamedTuple):
    """Everything that meta-training carries from step to step."""

    meta_params: PyTree
    """What the learner has learned."""
    optimizer_state: PyTree
    """The outer optimiser's state."""
    step: Array
    """[] int32, how many updates were made."""


class MetaTrainer(NamedTuple):
    """The outer loop as two pure functions; whoever jits `update` may donate its state."""

    init: Callable[[Array], MetaState]
    """(key) -> MetaState"""
    update: Callable[[MetaState, PyTree, Array], tuple[MetaState, Metrics]]
    """(state, episodes with a leading task axis, key) -> (state, metrics averaged over tasks)"""


def meta_trainer(
    learner: MetaLearner,
    outer_optimizer: optax.GradientTransformation,
    *,
    tasks_per_chunk: int | None = None,
    mesh: jax.sharding.Mesh | None = None,
) -> MetaTrainer:
    """Makes the outer loop of a learner.

    Args:
      learner: what is meta-trained.
      outer_optimizer: any Optax transformation; its update is given `value`, the mean loss before it, and `grad`, its
        gradient, if it takes extra arguments.
      tasks_per_chunk: how many tasks a device computes side by side; the gradient is accumulated over chunks and
        equals the unchunked one. None: what `default_chunk` says, whatever memory there is; `fitting_chunk` looks, and
        `fastest_chunk` measures.
      mesh: devices, of this process or of several, over which the tasks are shared out; the state is on all of them.

    Returns:
      MetaTrainer(init, update). The metrics are the learner's, averaged over tasks, and "gradient_norm".

    Raises:
      TypeError: if outer_optimizer is no Optax transformation, or the learner is none, or one of a linen module; or,
        once it is called, if it needs to be given more, such as the `value_fn` of a line search, or params of its own,
        or if a leaf of meta_params holds no real floats, the key is none, or episodes are several or of texts.
      ValueError: if there is no task, or a task without an example; if a metric is called "gradient_norm" or "finite",
        as the outer loop's own; if an update would go up the gradient, as that of `optax.masked` where it masks, or
        without a rate; if the mesh's devices do not divide the number of tasks, or tasks_per_chunk those of a device.

    Example:
      Seeds, or a grid of inner rates, in one program are a vmap over whoever makes the learner.

      >>> import jax, jax.numpy as jnp, optax
      >>> from jaxmeta import criteria, maml, meta_trainer, models, tasks, training
      >>> sample, model = tasks.sinusoid(num_shots=5, num_queries=5), models.mlp(1, 1, hidden=(8,))
      >>> def train(rate):
      ...     learner = maml(model, criteria.squared_error, optax.sgd(rate), num_steps=1)
      ...     trainer = meta_trainer(learner, optax.adam(1e-2))
      ...     run = training.many_updates(trainer, num_tasks=4, num_updates=10)
      ...     return run(trainer.init(jax.random.key(0)), sample, jax.random.key(1))
      >>> states, metrics = jax.jit(jax.vmap(train))(jnp.array([0.001, 0.01, 0.1]))
      >>> metrics["loss"].shape
      (3, 10)
    """

    arguments.check_learner("meta_trainer", learner, "init", "loss")
    optimizer = transformation("meta_trainer: outer_optimizer", outer_optimizer)

    def init(key: Array) -> MetaState:
        checks.random_key("init", key)
        meta_params = jax.tree.map(_as_array, learner.init(key))
        own, _ = tree.split(meta_params, tree.trained(meta_params))
        check_real("meta_trainer: meta_params", own)
        check_descent("meta_trainer: outer_optimizer", optimizer, own)
        state = MetaState(meta_params, optimizer.init(own), jnp.zeros((), jnp.int32))
        return state if mesh is None else jax.device_put(state, meshes.everywhere(mesh))

    def task_loss(meta_params: PyTree, episode: PyTree, key: Array) -> tuple[Array, Metrics]:
        with arguments.explained("update", episode):
            loss, metrics = scored("learner's loss", learner.loss(meta_params, episode, key))
        return loss, arguments.not_ours("meta_trainer", metrics)

    def gradient(meta_params: PyTree, episodes: PyTree, keys: Array) -> tuple[tuple[Array, Metrics], PyTree]:
        num_tasks = tree.leading_axis(episodes)
        own, frozen = tree.split(meta_params, tree.trained(meta_params))
        check_real("meta_trainer: meta_params", own)

        def chunk_gradient(chunk: tuple[PyTree, Array]) -> tuple[tuple[Array, Metrics], PyTree]:
            def loss(own: PyTree) -> tuple[Array, Metrics]:
                losses, metrics = jax.vmap(task_loss, (None, 0, 0))(tree.merge(own, frozen), *chunk)
                means = jax.tree.map(lambda leaf: leaf.sum(axis=0) / num_tasks, (losses, metrics))
                return tree.mean_over_devices(means, own)

            return jax.value_and_grad(loss, has_aux=True)(own)

        chunk = default_chunk(episodes) if tasks_per_chunk is None else tasks_per_chunk
        return sum_over_chunks(chunk_gradient, (episodes, keys), chunk)

    mean_gradient = gradient if mesh is None else meshes.mean_over_tasks(gradient, mesh)

    def update(state: MetaState, episodes: PyTree, key: Array) -> tuple[MetaState, Metrics]:
        arguments.check_parts("update: state", state, MetaState._fields, "a MetaState, as `init` makes")
        checks.random_key("update", key)
        arguments.check_episodes("update", episodes)
        keys = jax.random.split(key, tree.leading_axis(episodes))
        (loss, metrics), gradient = mean_gradient(state.meta_params, episodes, keys)
        own, frozen = tree.split(state.meta_params, tree.trained(state.meta_params))
        updates, optimizer_state = updated(
            "meta_trainer: outer_optimizer", optimizer, gradient, state.optimizer_state, own, loss
        )
        meta_params = tree.merge(optax.apply_updates(own, updates), frozen)
        return MetaState(meta_params, optimizer_state, state.step + 1), {
            **metrics,
            "gradient_norm": tree.norm(gradient),
        }

    return MetaTrainer(init, update)


def _as_array(leaf: Any) -> Array:
    """A number of Python's as an array, of the type that JAX would give it; all else as it is."""
    return jnp.asarray(leaf, jnp.result_type(leaf)) if isinstance(leaf, bool | int | float | complex) else leaf


def fitting_chunk(
    trainer_of: Callable[[int], MetaTrainer],
    episodes: PyTree,
    key: Array,
    *,
    mesh: jax.sharding.Mesh | None = None,
    available: int | None = None,
) -> int:
    """The `tasks_per_chunk` that `default_chunk` says, or the largest smaller one whose update fits the memory.

    It asks the compiled update and runs nothing: an episode of a few numbers may have rollouts of gigabytes.

    Args:
      trainer_of: tasks_per_chunk -> MetaTrainer.
      episodes: those of an update, or their shapes.
      key: a random key.
      mesh: the trainer's; each of its processes must ask.
      available: bytes that a device has for an update; None: what `memory.available` finds.

    Returns:
      A divisor of the number of tasks of a device.

    Raises:
      MemoryError: if memory does not suffice for one task at a time.

    Example:
      >>> import jax, optax
      >>> from jaxmeta import criteria, maml, meta_trainer, models, tasks, training
      >>> sample, model = tasks.sinusoid(num_shots=5, num_queries=5), models.mlp(1, 1, hidden=(8,))
      >>> learner = maml(model, criteria.squared_error, optax.sgd(0.01), num_steps=1)
      >>> trainer_of = lambda chunk: meta_trainer(learner, optax.adam(1e-3), tasks_per_chunk=chunk)
      >>> keys = jax.random.split(jax.random.key(0), 8)
      >>> training.fitting_chunk(trainer_of, jax.eval_shape(jax.vmap(sample), keys), jax.random.key(1))
      8
    """

    def lower(chunk: int) -> jax.stages.Lowered:
        trainer = trainer_of(chunk)
        return jax.jit(trainer.update).lower(jax.eval_shape(trainer.init, key), episodes, key)

    own = meshes.own_tasks(tree.leading_axis(episodes), mesh)
    return chunk_that_fits("fitting_chunk", lower, own, min(default_chunk(episodes), own), mesh, available)


def fastest_chunk(
    trainer_of: Callable[[int], MetaTrainer],
    episodes: PyTree,
    candidates: Sequence[int],
    key: Array,
    *,
    num_repeats: int = 5,
) -> int:
    """Measures once which `tasks_per_chunk` makes updates fastest here, for whoever does not trust `default_chunk`.

    Each candidate is compiled, which may take longer than what it saves in a short training. Among several processes
    let one measure, since their clocks may disagree and their programs must not.

    Args:
      trainer_of: tasks_per_chunk -> MetaTrainer.
      episodes: those of an update.
      candidates: divisors of the number of tasks of a device; one that takes more memory than there is drops out.
      key: a random key.
      num_repeats: updates of each candidate, of which the fastest counts.

    Returns:
      The fastest candidate.

    Raises:
      ValueError: if a candidate does not divide the tasks of a device, or memory suffices for none.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> from jaxmeta import criteria, maml, meta_trainer, models, tasks, training
      >>> sample, model = tasks.sinusoid(num_shots=5, num_queries=5), models.mlp(1, 1, hidden=(8,))
      >>> learner = maml(model, criteria.squared_error, optax.sgd(0.01), num_steps=1)
      >>> trainer_of = lambda chunk: meta_trainer(learner, optax.adam(1e-3), tasks_per_chunk=chunk)
      >>> episodes = tasks.episodes(sample, jax.random.key(0), jnp.arange(8))
      >>> chunk = training.fastest_chunk(trainer_of, episodes, (1, 8), jax.random.key(1))
      >>> chunk in (1, 8)
      True
    """
    seconds = {}
    for candidate in candidates:
        trainer = trainer_of(candidate)
        state, update = trainer.init(key), jax.jit(trainer.update)
        try:
            jax.block_until_ready(update(state, episodes, key))
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            continue
        times = []
        for _ in range(num_repeats):
            began = time.perf_counter()
            jax.block_until_ready(update(state, episodes, key))
            times.append(time.perf_counter() - began)
        seconds[candidate] = min(times)
    if not seconds:
        checks.fail("candidates", "one that memory suffices for", ", ".join(map(str, candidates)) or "none")
    return min(seconds, key=seconds.__getitem__)


def stop_at_divergence(trainer: MetaTrainer) -> MetaTrainer:
    """Refuses an update whose metrics or parameters are not finite: the state stays as it was, its step too.

    Both ways of meeting divergence add the metric "finite", which is False for an update that was refused, and show the
    other metrics as they came.
    """
    return _refusing(trainer, lambda state: state)


def skip_divergence(trainer: MetaTrainer) -> MetaTrainer:
    """Refuses such an update, and goes on with the next step's tasks."""
    return _refusing(trainer, lambda state: state._replace(step=state.step + 1))


def _refusing(trainer: MetaTrainer, refused: Callable[[MetaState], MetaState]) -> MetaTrainer:
    def update(state: MetaState, episodes: PyTree, key: Array) -> tuple[MetaState, Metrics]:
        new, metrics = trainer.update(state, episodes, key)
        finite = tree.all_finite((metrics, new.meta_params))
        # What is frozen is the very same, and stays.
        kept = jax.tree.map(lambda new, old: new if new is old else jnp.where(finite, new, old), new, refused(state))
        return kept, {**metrics, "finite": finite}

    return MetaTrainer(trainer.init, update)


def many_updates(
    trainer: MetaTrainer, *, num_tasks: int, num_updates: int, mesh: jax.sharding.Mesh | None = None
) -> Callable[..., tuple[MetaState, Metrics]]:
    """Makes one function of many updates that samples its own episodes, so that the host has nothing to do between.

    Update s uses the episodes s * num_tasks .. (s + 1) * num_tasks - 1 of the stream, however the updates are split
    over calls. `count` is an argument of the one program that all calls run, so that no split changes a bit.

    Args:
      trainer: the outer loop.
      num_tasks: tasks per update.
      num_updates: the most updates per call.
      mesh: the trainer's; each device then samples its own tasks, without a word to the others. On CPU wait for the
        metrics of a call before the next, as whoever shows them does: the devices of a host share threads, and calls
        that are not waited for can take them from one another until none goes on.

    Returns:
      (state, sample, key, count=num_updates) -> (state, metrics [num_updates], 0 from `count` on), to be jitted by the
      caller. The sampler is an argument, so that its data are no part of the program; a plain function of your own is
      one as `tasks.as_pytree(sample)`.
    """

    num_tasks = checks.integer("many_updates: num_tasks", num_tasks, 1)
    num_updates = checks.integer("many_updates: num_updates", num_updates, 1)

    def draw(stream: tuple[tasks.Sample, Array], indices: Array) -> PyTree:
        return tasks.episodes(*stream, indices)

    draw_all = draw if mesh is None else meshes.each_task(draw, mesh)

    def run(
        state: MetaState, sample: tasks.Sample, key: Array, count: int | Array = num_updates
    ) -> tuple[MetaState, Metrics]:
        stream_key, learner_key = jax.random.split(key)
        sample = tasks.as_pytree(sample)

        # jitted, so that asking for the metrics' shapes does not trace it a second time
        @functools.partial(jax.jit, inline=True)
        def one(
            state: MetaState, sample: tasks.Sample, stream_key: Array, learner_key: Array
        ) -> tuple[MetaState, Metrics]:
            indices = state.step * num_tasks + jnp.arange(num_tasks)
            episodes = draw_all((sample, stream_key), indices)
            return trainer.update(state, episodes, jax.random.fold_in(learner_key, state.step))

        # What is frozen is no part of what the loop carries, or trainings side by side would each have a copy of it.
        is_trained = tree.trained(state)
        own, frozen = tree.split(state, is_trained)

        def body(index: Array, carry: tuple[PyTree, Metrics]) -> tuple[PyTree, Metrics]:
            state, metrics = one(tree.merge(carry[0], frozen), sample, stream_key, learner_key)
            rows = jax.tree.map(lambda rows, row: rows.at[index].set(row), carry[1], metrics)
            return tree.split(state, is_trained)[0], rows

        shapes = jax.eval_shape(one, state, sample, stream_key, learner_key)[1]
        rows = jax.tree.map(lambda leaf: jnp.zeros((num_updates, *leaf.shape), leaf.dtype), shapes)
        own, rows = jax.lax.fori_loop(0, jnp.minimum(count, num_updates), body, (own, rows))
        return tree.merge(own, frozen), rows

    return run


def streamed_updates(
    trainer: MetaTrainer, *, num_tasks: int, num_updates: int, mesh: jax.sharding.Mesh | None = None
) -> Callable[..., tuple[MetaState, Metrics]]:
    """`many_updates` for data on the host: the episodes of the next update are fetched while this one is computed.

    Args:
      trainer: the outer loop.
      num_tasks: tasks per update.
      num_updates: the most updates per call.
      mesh: the trainer's.

    Returns:
      (state, sample, key, count=num_updates) -> (state, metrics [num_updates], 0 from `count` on), not to be jitted: it
      jits the update, to which the state is donated, so go on with the one that is returned. Its episodes are those of
      `many_updates` to the bit.
    """
    num_tasks = checks.integer("streamed_updates: num_tasks", num_tasks, 1)
    num_updates = checks.integer("streamed_updates: num_updates", num_updates, 1)
    update = jax.jit(trainer.update, donate_argnums=0)
    shards = None if mesh is None else meshes.over_tasks(mesh)

    def run(
        state: MetaState, sample: tasks.Sample, key: Array, count: int | Array = num_updates
    ) -> tuple[MetaState, Metrics]:
        stream_key, learner_key = jax.random.split(key)

        def draw(step: int) -> tuple[int, PyTree]:
            episodes = tasks.drawn(sample, stream_key, step * num_tasks + jnp.arange(num_tasks))
            return step, jax.device_put(episodes, shards)

        rows: list[Metrics] = []
        with concurrent.futures.ThreadPoolExecutor(1) as ahead:
            coming = ahead.submit(draw, int(state.step))
            for left in range(min(int(count), num_updates) - 1, -1, -1):
                step, episodes = coming.result()
                if step != int(state.step):  # an update was refused, and its tasks come again
                    step, episodes = draw(int(state.step))
                if left:
                    coming = ahead.submit(draw, step + 1)
                state, metrics = update(state, episodes, jax.random.fold_in(learner_key, step))
                rows.append(metrics)
        shown = jax.device_get(rows) or [jax.eval_shape(trainer.update, state, coming.result()[1], learner_key)[1]]
        zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shown[0])
        return state, jax.tree.map(
            lambda *parts: np.stack(parts), *shown[: len(rows)], *[zeros] * (num_updates - len(rows))
        )

    return run


def side_by_side(update: Callable[..., tuple[MetaState, Metrics]]) -> Callable[..., tuple[list[MetaState], Metrics]]:
    """Makes one program of several trainings: seeds, or anything else in which their states differ.

    Args:
      update: what `many_updates` returns, not jitted.

    Returns:
      (states, sample, keys, counts [num_trainings]) -> (states, metrics [num_trainings, num_updates]), to be jitted by
      the caller. Training i takes what update(states[i], sample, keys[i], counts[i]) takes, up to the order of sums.
    """

    def run(
        states: list[MetaState], sample: tasks.Sample, keys: list[Array], counts: Array
    ) -> tuple[list[MetaState], Metrics]:
        own = tree.trained(states[0])  # what is frozen is that of all of them
        axes = jax.tree.map(lambda each: 0 if each else None, own)
        stacked = jax.tree.map(lambda each, *leaves: jnp.stack(leaves) if each else leaves[0], own, *states)
        stacked, metrics = jax.vmap(update, (axes, None, 0, 0), (axes, 0))(stacked, sample, jnp.stack(keys), counts)
        return [jax.tree.map(lambda each, leaf, i=i: leaf[i] if each else leaf, own, stacked)
                for i in range(len(states))], metrics  # fmt: skip

    return run
