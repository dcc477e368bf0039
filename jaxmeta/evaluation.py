"""Evaluation that cannot flatter: every task's own score, queries together and queries alone."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jax.core import Tracer

from jaxmeta import arguments, checks, floats, labels, memory, meshes, tree
from jaxmeta.chunks import chunk_that_fits, default_chunk, map_chunks, with_fewer
from jaxmeta.models import forms
from jaxmeta.types import Array, Batch, Criterion, Episode, MetaLearner, PyTree, adapted_predictor, scored

Column = Callable[[MetaLearner], MetaLearner]


def as_is(learner: MetaLearner) -> MetaLearner:
    """The column "joint": all queries of a task in one `predict`."""
    return learner


def single(learner: MetaLearner) -> MetaLearner:
    """The column "single": each query predicted alone, as a user's next example would be.

    It maps the predictor and never the criterion, so metrics that are not means stay right.
    """

    def predict(meta_params: PyTree, adapted: PyTree, inputs: PyTree, mask: Array | None = None) -> PyTree:
        def one(row: PyTree, keep: Array | None) -> PyTree:
            alone = jax.tree.map(lambda leaf: leaf[None], (row, keep))
            return jax.tree.map(lambda leaf: leaf[0], learner.predict(meta_params, adapted, *alone))

        return jax.vmap(one)(inputs, mask)

    return learner._replace(predict=predict)


COLUMNS: Mapping[str, Column] = {"joint": as_is, "single": single}


def evaluate(
    learner: MetaLearner,
    criterion: Criterion,
    meta_params: PyTree,
    episodes: Episode,
    key: Array,
    *,
    columns: Mapping[str, Column] = COLUMNS,
    tasks_per_chunk: int | None = None,
    mesh: jax.sharding.Mesh | None = None,
) -> dict[str, dict[str, Array]]:
    """Adapts to every task once and scores its queries in each column.

    What it compiles is kept for the learner, the criterion and the columns as they are then: make a new one rather than
    change an attribute of one that was used.

    Args:
      learner: adapts and predicts.
      criterion: scores the adapted predictor on the query set.
      meta_params: the learner's.
      episodes: leaves [num_tasks, ...].
      key: a random key.
      columns: name -> learner transformation.
      tasks_per_chunk: tasks that a device computes side by side; None: as many as are fast on this backend and as the
        memory holds, which a program of theirs is compiled to see. That is seen once for arguments of the same shapes,
        and not where the arguments are traced, as within `jax.jit`.
      mesh: devices, of this process or of several, over which the tasks are shared out; all of them get all scores.

    Returns:
      {column: {metric: [num_tasks]}}; NaN for a task all of whose queries are masked, such as one that fills up a mesh.

    Raises:
      ValueError: if the mesh's devices do not divide the number of tasks, or tasks_per_chunk those of a device; or if
        labels that are not traced are out of range, or NumPy's numbers of 64 bits would become others in JAX's 32; or
        if there is no task axis, no task, or no example in a task.
      TypeError: if episodes are several, or of texts, the key is none, or a mask is not of bools; or if the learner,
        the criterion or the meta_params are something else.
      MemoryError: if the memory does not suffice for one task at a time, unless tasks_per_chunk is given.
      JaxRuntimeError: RESOURCE_EXHAUSTED, if a device refuses the memory, with tasks_per_chunk None of one task at a
        time.
    """
    static, given = (learner, criterion, tuple(columns.items())), (meta_params, episodes, key)
    checks.random_key("evaluate", key)
    arguments.check_learner("evaluate", learner, "adapt", "predict")
    arguments.check_scored("evaluate", criterion, meta_params)
    judge_labels("evaluate", _score, learner, criterion, meta_params, episodes, key)
    run = lambda size: forms.falling_back(lambda: _evaluate(*static, size, mesh, *given))  # noqa: E731
    if tasks_per_chunk is not None:
        return run(tasks_per_chunk)
    # What is still being computed would count against what is free.
    leaves, structure = jax.tree.flatten(jax.block_until_ready(given))
    if any(isinstance(leaf, Tracer) for leaf in leaves):
        return run(_default(episodes, mesh))
    chosen = _fitting(static, mesh, structure, *map(_shape, leaves))
    if memory.on_cpu() or jax.process_count() > 1:  # processes must run the same programs
        return run(chosen)
    return with_fewer(run, chosen, meshes.own_tasks(tree.leading_axis(episodes), mesh))


Outcome = Callable[[MetaLearner, Criterion | None, PyTree, Episode, Array], tuple[PyTree, Mapping[str, Array]]]
"""(learner, criterion, meta_params, episode, key) -> (outputs for the queries, metrics)"""


def judge_labels(
    what: str,
    outcome: Outcome,
    learner: MetaLearner,
    criterion: Criterion | None,
    meta_params: PyTree,
    episodes: PyTree,
    key: Array,
) -> None:
    """Raises if labels of episodes with a task axis are out of range, as far as they are known.

    How many classes there are is what `classes` says, else the width of the outputs that a criterion with an accuracy
    takes for logits.

    Raises:
      ValueError: for such labels, or for numbers of 64 bits that would become others; or for episodes without a task
        axis, a task or an example.
      TypeError: if these are several episodes and not one with a task axis, or texts, or a mask is not of bools.
    """
    if isinstance(episodes, list | tuple) and not hasattr(episodes, "support"):
        arguments.refuse(what, episodes)
    arguments.check_episodes(what, episodes)
    labels.check_masks(what, episodes)
    _check_held(what, episodes)
    batches = [batch for batch in episodes if labels.is_labelled(batch, 2)] if isinstance(episodes, Episode) else []
    if not any(labels.is_known(batch.targets) for batch in batches):
        return
    width = None
    if any(batch.classes is None for batch in batches):
        one = jax.eval_shape(lambda episodes: jax.tree.map(lambda leaf: leaf[0], episodes), episodes)
        leaves, structure = jax.tree.flatten((jax.eval_shape(lambda: meta_params), one, jax.eval_shape(lambda: key)))
        is_score, width = _width(outcome, learner, criterion, structure, *leaves)
        if not is_score:
            return
    labels.judge_batches(what, episodes, width)


def _nan_without_queries(metrics: Mapping[str, Array], query: Batch) -> dict[str, Array]:
    """The mean over no row is 0 in criteria, so that padding has no gradient; as a score it would count."""
    if not isinstance(query, Batch) or query.mask is None:
        return dict(metrics)
    return {name: jnp.where(query.mask.any(), score, jnp.nan) for name, score in metrics.items()}


def _check_held(what: str, episodes: PyTree) -> None:
    """Raises ValueError if NumPy's numbers of 64 bits would become others."""
    for name, batch in zip(Episode._fields, episodes if isinstance(episodes, Episode) else (), strict=False):
        for part in ("inputs", "targets") if isinstance(batch, Batch) else ():
            for leaf in jax.tree.leaves(getattr(batch, part)):
                floats.check_held(f"{what}: {part} of the {name} set", leaf, num_axes=2)


@functools.lru_cache(maxsize=256)
def _width(outcome, learner, criterion, structure, *shapes: jax.ShapeDtypeStruct) -> tuple[bool, int | None]:
    """Whether there is an accuracy, and the number of logits; kept, since it takes as long as the program's trace."""
    outputs, metrics = jax.eval_shape(
        lambda *given: outcome(learner, criterion, *given), *jax.tree.unflatten(structure, shapes)
    )
    return "accuracy" in metrics, outputs.shape[-1] if getattr(outputs, "ndim", 0) == 2 else None


def _score(learner, criterion, meta_params: PyTree, episode: Episode, key: Array):
    adapted = learner.adapt(meta_params, episode.support, key)
    predictor = adapted_predictor(learner.predict, meta_params, adapted)
    _, metrics = scored("criterion", criterion(predictor, episode.query, key))
    return predictor(episode.query.inputs, episode.query.mask), metrics


def _default(episodes: Episode, mesh: jax.sharding.Mesh | None) -> int:
    own = meshes.own_tasks(tree.leading_axis(episodes), mesh)
    return math.gcd(own, 10) if default_chunk(episodes) == 1 else own


@functools.lru_cache(maxsize=256)
def _fitting(static, mesh, structure, *shapes: jax.ShapeDtypeStruct) -> int:
    """Kept, so that a call like an earlier one runs its program, whatever the memory is by now."""
    given = structure.unflatten(shapes)
    own, default = meshes.own_tasks(tree.leading_axis(given[1]), mesh), _default(given[1], mesh)
    return chunk_that_fits("evaluate", lambda size: _evaluate.lower(*static, size, mesh, *given), own, default, mesh)


def _shape(leaf: Array) -> jax.ShapeDtypeStruct:
    leaf = jnp.asarray(leaf)
    sharding = leaf.sharding if leaf.committed else None
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding, weak_type=getattr(leaf, "weak_type", False))


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _evaluate(learner, criterion, columns, tasks_per_chunk, mesh, meta_params, episodes, key):
    def one(meta_params: PyTree, episode: Episode, key: Array) -> dict[str, dict[str, Array]]:
        adapt_key, query_key = jax.random.split(key)
        with arguments.explained("evaluate", episode):
            adapted = learner.adapt(meta_params, episode.support, adapt_key)

            def metrics(column: Column) -> dict[str, Array]:
                predictor = adapted_predictor(column(learner).predict, meta_params, adapted)
                found = scored("criterion", criterion(predictor, episode.query, query_key))[1]
                return _nan_without_queries(found, episode.query)

            return {name: metrics(column) for name, column in columns}

    def scores(meta_params: PyTree, episodes: Episode, keys: Array) -> dict[str, dict[str, Array]]:
        score = jax.vmap(functools.partial(one, meta_params))
        return map_chunks(lambda chunk: score(*chunk), (episodes, keys), tasks_per_chunk)

    everywhere = scores if mesh is None else meshes.gathered(scores, mesh)
    return everywhere(meta_params, episodes, jax.random.split(key, tree.leading_axis(episodes)))
