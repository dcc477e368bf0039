"""The measurements behind `audit`: each gives a word, the number that decided it, and a note."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from jaxmeta import tree
from jaxmeta.training import meta_trainer
from jaxmeta.types import Array, Batch, Criterion, Episode, MetaLearner, PyTree, query_loss

NOT_CHECKED = "not checked"
TOLERANCE = 1e-5
"""Relative; what is equal differs by 1e-10 in float64, what is not by 1e-3 and more."""
_STEPS = (1e-4, 1e-5, 1e-6)
_MEMORY_STEPS = (2, 8, 32)
_ABSENT = -1e9
"""Outputs from here down stand for classes that are absent, as -inf does."""

Finding = tuple[str, float | None, str]


class Subject(NamedTuple):
    """A learner and episodes in float64, with what is compiled once for several proofs."""

    learner: MetaLearner
    criterion: Criterion | None
    meta_params: PyTree
    episodes: list[Any]
    """One entry a task."""
    key: Array
    loss_and_gradient: Callable[[PyTree, list[Any]], tuple[Array, PyTree]]
    """(meta_params, episodes) -> means over tasks."""


def subject(
    learner: MetaLearner, criterion: Criterion | None, meta_params: PyTree, episodes: PyTree, key: Array
) -> Subject:
    """Makes a Subject; to be called and used with float64 enabled. Episodes have leaves [num_tasks, ...]."""

    def double(leaf: Any) -> Array:
        leaf = jnp.asarray(leaf)
        return leaf.astype(jnp.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    meta_params, episodes = jax.tree.map(double, (meta_params, episodes))
    one = [jax.tree.map(lambda leaf, task=task: leaf[task], episodes) for task in range(tree.leading_axis(episodes))]
    scored = jax.value_and_grad(lambda meta_params, episode: learner.loss(meta_params, episode, key)[0])
    return Subject(learner, criterion, meta_params, one, key, _mean(scored))


def _mean(function: Callable[[PyTree, PyTree], PyTree]) -> Callable[[PyTree, list[Any]], Any]:
    """(params, episode) -> values becomes (params, episodes) -> their means; one episode is compiled."""
    compiled = jax.jit(function)

    def mean(params: PyTree, episodes: list[Any]) -> Any:
        each = [jax.device_get(compiled(params, episode)) for episode in episodes]
        return jax.tree.map(lambda *leaves: np.mean(leaves, axis=0), *each)

    return mean


def gradient(subject: Subject) -> dict[str, Finding]:
    """Is the gradient the loss's own, and does it reach every leaf?"""
    loss, gradients = subject.loss_and_gradient(subject.meta_params, subject.episodes)
    paths = jax.tree_util.tree_leaves_with_path(gradients)
    names = [jax.tree_util.keystr(path) or "the only leaf" for path, leaf in paths if leaf.size]
    parts = [np.ravel(leaf) for _, leaf in paths if leaf.size]
    if not parts or loss.dtype != jnp.float64:
        reason = f"the loss is {loss.dtype} though all it is given is float64" if parts else "there are no meta_params"
        return dict.fromkeys(("gradient", "leaves"), (NOT_CHECKED, None, reason))
    norm = float(np.linalg.norm(np.concatenate(parts)))
    errors, slopes = _against_differences(subject, parts, norm)
    scale = max(norm, np.linalg.norm(slopes), 1e-30)
    error = float(np.linalg.norm(errors) / scale)
    exact = error <= TOLERANCE
    try:
        found = "exact" if exact else "first_order" if _is_first_order(subject, gradients) else "surrogate"
    except (NotImplementedError, TypeError, ValueError):
        found = "surrogate"  # a loss that stops gradients may adapt by what has no derivative, such as a plain Adam
    zero = np.array([not part.any() for part in parts])
    depends = slopes > 1e-3 * TOLERANCE * max(scale, abs(float(loss)))
    severed = [names[index] for index in np.flatnonzero(zero & depends)]
    unused = int((zero & ~depends).sum())
    note = f"{unused} of {len(parts)} without effect on the loss" if unused else ""
    return {
        "gradient": (found, error, "" if exact else f"largest error at {names[int(errors.argmax())]}"),
        "leaves": ("severed" if severed else "reached", float(len(severed)), ", ".join(severed[:4]) or note),
    }


def _against_differences(subject: Subject, parts: list[np.ndarray], norm: float) -> tuple[np.ndarray, np.ndarray]:
    """For every leaf the norm of the gradient's error and that of the true gradient, from random directions."""
    flat, unravel = ravel_pytree(subject.meta_params)
    flat, rng = np.asarray(flat), np.random.default_rng(0)
    loss = _mean(lambda flat, episode: subject.learner.loss(unravel(flat), episode, subject.key)[0])

    def probe(part: np.ndarray, start: int) -> tuple[float, float]:
        direction = rng.normal(size=part.size)
        direction /= np.linalg.norm(direction)
        whole = np.zeros(flat.size)
        whole[start : start + part.size] = direction
        # The square of a random component, times their number, is the square of the norm on average.
        size, slopes, gaps = math.sqrt(part.size), [], []
        for step in _STEPS:
            up, down = (loss(flat + move * whole, subject.episodes) for move in (step, -step))
            slopes.append(size * float(up - down) / (2 * step))
            gaps.append(abs(slopes[-1] - size * float(part @ direction)))
            # A kink between the two points spoils the larger steps, rounding the smaller ones.
            if gaps[-1] <= 0.01 * TOLERANCE * norm:
                break
        return min(gaps) ** 2, slopes[0] ** 2

    starts = np.cumsum([0, *(part.size for part in parts)])
    squares = [
        np.mean([probe(part, start) for _ in range(3)], axis=0) for part, start in zip(parts, starts[:-1], strict=True)
    ]
    errors, slopes = np.sqrt(squares).T
    return errors, slopes


def _is_first_order(subject: Subject, gradients: PyTree) -> bool:
    """Whether the gradient is the query loss's with adapted.params that move one to one with meta_params."""
    learner, key = subject.learner, subject.key
    episode = subject.episodes[0]
    if subject.criterion is None or not isinstance(episode, Episode):
        return False
    scored = query_loss(learner.adapt, learner.predict, subject.criterion)
    others = _mean(jax.grad(lambda meta_params, episode: scored(meta_params, episode, key)[0]))
    if not _distance(gradients, others(subject.meta_params, subject.episodes)) <= TOLERANCE:
        return False

    @jax.jit
    def pull_back(meta_params: PyTree) -> tuple[PyTree, PyTree]:
        params, pull = jax.vjp(
            lambda given: getattr(learner.adapt(given, episode.support, key), "params", ()), meta_params
        )
        cotangents = jax.tree.map(lambda leaf: jnp.cos(jnp.arange(1.0, leaf.size + 1)).reshape(leaf.shape), params)
        return cotangents, pull(cotangents)[0]

    sent, arrived = (
        [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(leaves)]
        for leaves in pull_back(subject.meta_params)
    )
    for name, leaf in sent:
        # Params that are a part of meta_params, beside learned rates for example, have a path that ends the same.
        start = next((other for path, other in arrived if path.endswith(name) and other.shape == leaf.shape), None)
        if start is None or not np.allclose(start, leaf, rtol=0, atol=TOLERANCE):
            return False
    return bool(sent)


def rows(subject: Subject) -> dict[str, Finding]:
    """What do the rows of support and query do to each other?"""
    names = ("queries", "query_targets", "support_order", "label_order", "padding")
    learner, key, episode = subject.learner, subject.key, subject.episodes[0]
    if not isinstance(episode, Episode) or not all(isinstance(batch, Batch) for batch in episode):
        return dict.fromkeys(names, (NOT_CHECKED, None, "support and query are no Batch"))
    support, query = jax.device_get(episode)

    @jax.jit
    def outputs(meta_params: PyTree, support: Batch, inputs: PyTree, mask: Array | None) -> PyTree:
        return learner.predict(meta_params, learner.adapt(meta_params, support, key), inputs, mask)

    def predict(support: Batch, query: Batch) -> PyTree:
        return outputs(subject.meta_params, support, query.inputs, query.mask)

    plain = predict(support, query)
    real = np.arange(_length(query)) if query.mask is None else np.flatnonzero(query.mask)
    found = (
        _queries(predict, support, query, plain, real),
        _query_targets(subject, support, query),
        _support_order(predict, support, query, plain, real),
        _label_order(predict, support, query, plain, real),
        _padding(subject, predict, plain, real),
    )
    return dict(zip(names, found, strict=True))


Predict = Callable[[Batch, Batch], PyTree]


def _queries(predict: Predict, support: Batch, query: Batch, plain: PyTree, real: np.ndarray) -> Finding:
    if len(real) < 2:
        return NOT_CHECKED, None, "there is one query"
    gaps = []
    for row in (real[0], real[len(real) // 2], real[-1]):
        gaps.append(_gap(predict(support, _take(query, [row])), _take(plain, [row])))
        others = np.arange(_length(query)) != row
        copies = _take(query._replace(mask=None), np.full(_length(query), row))._replace(mask=query.mask)
        for changed in (_junked(query, others, 7), copies):
            gaps.append(_gap(_take(predict(support, changed), [row]), _take(plain, [row])))
    return _judge(gaps, "inductive", "transductive")


def _query_targets(subject: Subject, support: Batch, query: Batch) -> Finding:
    learner, criterion = subject.learner, subject.criterion
    if criterion is None:
        return NOT_CHECKED, None, "needs criterion"
    scored = query_loss(learner.adapt, learner.predict, criterion)

    @jax.jit
    def losses(meta_params: PyTree, episode: Episode) -> tuple[Array, Array]:
        given = (meta_params, episode, subject.key)
        loss, metrics = learner.loss(*given)
        # A loss may have terms of its own, or be made of several steps: then its metric may tell.
        return jnp.array([loss, metrics.get("loss", loss)]), scored(*given)[0]

    other = query._replace(targets=np.roll(query.targets, 1, axis=0) + 1.0)
    if np.issubdtype(query.targets.dtype, np.integer):
        num_labels = max(query.targets.max(), support.targets.max()) + 1
        if num_labels < 2:
            return NOT_CHECKED, None, "there is one label"
        other = query._replace(targets=(query.targets + 1) % num_labels)
    (ours, theirs), (ours_other, theirs_other) = (
        losses(subject.meta_params, Episode(support, batch)) for batch in (query, other)
    )
    ours, theirs = np.asarray(ours_other - ours), float(theirs_other - theirs)
    if not ours.any():
        return "unseen", 0.0, "the loss depends on no query target"
    return _judge([np.min(np.abs(ours - theirs)) / max(abs(theirs), 1e-30)], "unseen", "seen")


def _support_order(predict: Predict, support: Batch, query: Batch, plain: PyTree, real: np.ndarray) -> Finding:
    order = np.arange(_length(support))
    if len(order) < 2:
        return NOT_CHECKED, None, "there is one support row"
    orders = (order[::-1], np.random.default_rng(0).permutation(order))
    gaps = [_gap(_take(predict(_take(support, order), query), real), _take(plain, real)) for order in orders]
    return _judge(gaps, "ignored", "matters")


def _label_order(predict: Predict, support: Batch, query: Batch, plain: PyTree, real: np.ndarray) -> Finding:
    if not np.issubdtype(support.targets.dtype, np.integer) or getattr(plain, "ndim", 0) != 2 or plain.shape[1] < 2:
        return NOT_CHECKED, None, "targets are no labels"
    ways, gaps = np.arange(plain.shape[1]), []
    # A head may turn with its labels, and not bear that two of them change places.
    for name in (np.roll(ways, -1), np.array([1, 0, *ways[2:]])):
        classes = None if support.classes is None else np.asarray(support.classes)[:, np.argsort(name)]
        renamed = predict(support._replace(targets=name[support.targets], classes=classes), query)
        gaps.append(_gap(np.asarray(renamed)[:, name][real], np.asarray(plain)[real]))
    return _judge(gaps, "equivariant", "matters")


def _padding(subject: Subject, predict: Predict, plain: PyTree, real: np.ndarray) -> Finding:
    gaps, scored = [], subject.loss_and_gradient(subject.meta_params, subject.episodes)
    # Sevens show in every sum; zeros are where norms and logarithms have no derivative.
    for junk in (7, 0):
        wide = [Episode(*(_padded(batch, junk) for batch in jax.device_get(task))) for task in subject.episodes]
        there = np.flatnonzero(wide[0].query.mask)
        gaps.append(_gap(_take(predict(*wide[0]), there), _take(plain, real)))
        gaps += map(_distance, scored, subject.loss_and_gradient(subject.meta_params, wide))
    return _judge(gaps, "ignored", "leaks")


def compilations(learner: MetaLearner, episodes: PyTree, key: Array) -> Finding:
    """How often are two training steps traced?"""
    trainer = meta_trainer(learner, optax.adam(1e-3))
    traced = []

    @jax.jit
    def update(state: PyTree, episodes: PyTree, key: Array) -> PyTree:
        traced.append([(path, str(jax.typeof(leaf))) for path, leaf in jax.tree_util.tree_leaves_with_path(state)])
        return trainer.update(state, episodes, key)[0]

    state = trainer.init(key)
    for _ in range(2):
        state = update(state, episodes, key)
    if len(traced) == 1:
        return "one", 1.0, ""
    changed = [(path, was, is_now) for (path, was), (_, is_now) in zip(*traced, strict=False) if was != is_now]
    notes = [f"{jax.tree_util.keystr(path)} is {was}, then {is_now}" for path, was, is_now in changed[:1]]
    return "many", float(len(traced)), "".join(notes)


def memory(make: Callable[[int], MetaLearner] | None, episodes: PyTree, key: Array) -> Finding:
    """How does the temporary memory of a meta-gradient grow with inner steps?"""
    if make is None:
        return NOT_CHECKED, None, "needs make"
    episode, sizes = jax.tree.map(lambda leaf: leaf[0], episodes), []
    for num_steps in _MEMORY_STEPS:
        learner = make(num_steps)
        gradient = jax.jit(jax.grad(learner.loss, has_aux=True))
        compiled = gradient.lower(jax.eval_shape(learner.init, key), episode, key).compile()
        statistics: Any = compiled.memory_analysis()
        if statistics is None:
            return NOT_CHECKED, None, f"{jax.default_backend()} does not say"
        sizes.append(statistics.temp_size_in_bytes)
    # The last two decide: so few steps as the first may be compiled without a loop.
    per_step = (sizes[-1] - sizes[-2]) / (_MEMORY_STEPS[-1] - _MEMORY_STEPS[-2])
    note = f"bytes a step; {' '.join(map(str, sizes))} at {' '.join(map(str, _MEMORY_STEPS))} steps"
    return "flat" if sizes[-1] <= 1.05 * sizes[-2] else "grows", per_step, note


def _judge(gaps: list, same: str, different: str) -> Finding:
    gap = float(np.max(gaps))
    return (same if gap <= TOLERANCE else different), gap, ""


def _gap(ours: PyTree, theirs: PyTree) -> float:
    """The largest difference relative to the largest output of its column; classes that are absent have none.

    What is present is measured by what is present, or -1e9 in one column would hide all gaps in the others.
    """
    gaps = []
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        a, b = (np.clip(np.asarray(leaf, np.float64), -1e30, 1e30) for leaf in (a, b))
        absent = b <= _ABSENT
        sizes = np.max(np.abs(b), axis=0, where=~absent, initial=1e-30, keepdims=True)
        # A column far smaller than the others is made of their rounding.
        scale = np.where(absent, np.abs(b), np.maximum(sizes, 1e-7 * sizes.max()))
        gaps.append(np.max(np.abs(a - b) / scale))
    return float(np.max(gaps))


def _distance(ours: PyTree, theirs: PyTree) -> float:
    """The norm of the difference relative to that of the first."""
    pairs = [(np.asarray(a), np.asarray(b)) for a, b in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True)]
    squares = [[np.square(a - b).sum(), np.square(a).sum()] for a, b in pairs]
    difference, norm = np.sqrt(np.sum(squares, axis=0)) if pairs else (0.0, 1.0)
    return float(difference / max(norm, 1e-30))


def _length(batch: Batch) -> int:
    return tree.leading_axis(batch.inputs)


def _take(leaves: PyTree, index: Any) -> Any:
    return jax.tree.map(lambda leaf: np.asarray(leaf)[index], leaves)


def _junked(batch: Batch, rows: np.ndarray, junk: float) -> Batch:
    """The batch with `junk` in some rows: numbers are replaced, integers and booleans become another row's."""

    def replace(leaf: np.ndarray) -> np.ndarray:
        other = np.full_like(leaf, junk) if np.issubdtype(leaf.dtype, np.floating) else np.roll(leaf, 1, axis=0)
        return np.where(rows.reshape(-1, *(1,) * (leaf.ndim - 1)), other, leaf)

    changed = jax.tree.map(replace, batch._replace(mask=None))
    return changed._replace(mask=batch.mask)


def _padded(batch: Batch, junk: float) -> Batch:
    """The batch with rows before, among and behind its own that its mask hides, and junk in whatever rows it hides."""
    mask = np.ones(_length(batch), bool) if batch.mask is None else np.asarray(batch.mask)
    places = [0, len(mask) // 2, len(mask)]
    longer = jax.tree.map(lambda leaf: np.insert(leaf, places, leaf[:1], axis=0), batch._replace(mask=None))
    mask = np.insert(mask, places, False)
    return _junked(longer._replace(mask=mask), ~mask, junk)
