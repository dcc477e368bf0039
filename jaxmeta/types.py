"""The four types and the one port that everything else is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import checks

Array = jax.Array
PyTree = Any
Metrics = Mapping[str, Array]
NUMBER, CATEGORY = 1.0, 2.0
"""What a column of `tasks.cells` holds; 0: nothing, it is padding."""
_NUMBERS = (jax.Array, np.ndarray, np.generic, int, float)


class Batch(NamedTuple):
    """Examples of one task; every leaf has the leading axis n."""

    inputs: PyTree
    """[n, ...] what the model sees; text keeps token ids and their mask in here."""
    targets: PyTree
    """[n, ...] labels, values or anything else that a criterion reads."""
    mask: Array | None = None
    """[n] bool, False marks a row that is padding; None: all rows are real. Of tokens with targets [n, L] it may be
    [n, L], too; models get that of the rows."""
    classes: Array | None = None
    """[n, num_ways] bool, the classes that this row's task has; None: all of them."""


class Episode(NamedTuple):
    """One task: what a learner adapts to, and what it is then judged by."""

    support: PyTree
    """Usually a Batch; a reinforcement learning task puts its environment parameters here."""
    query: PyTree
    """Usually a Batch of other examples of the same task."""


class Init(Protocol):
    def __call__(self, key: Array, /) -> PyTree: ...


class Apply(Protocol):
    def __call__(self, params: PyTree, inputs: PyTree, mask: Array | None = None, context: PyTree = ()) -> PyTree: ...


class Context(Protocol):
    def __call__(self, params: PyTree, support: PyTree, /) -> PyTree: ...


def no_context(params: PyTree, support: PyTree) -> tuple[()]:
    """The context of a model that takes nothing but its params from a support set."""
    del params, support
    return ()


class Model(NamedTuple):
    """The seam to Flax, Haiku, Equinox or plain functions: parameters in, outputs out, no state."""

    init: Init
    """(key) -> params"""
    apply: Apply
    """(params, inputs [n, ...], mask=None, context=()) -> outputs [n, ...]; padded rows must not touch the others."""
    context: Context = no_context
    """(params, support) -> what `apply` takes as context, for example the moments of the support set; () for none."""


class Predictor(Protocol):
    def __call__(self, inputs: PyTree, mask: Array | None = None) -> PyTree: ...


class Criterion(Protocol):
    """Scores a predictor on data: the inner loss, the outer loss and the evaluation are all criteria.

    Returns a scalar to minimise and a dict of scalars that holds at least "loss". Rows that the data masks
    must not count. The key is for criteria that sample, such as a rollout.
    """

    def __call__(self, predictor: Predictor, data: Any, key: Array, /) -> tuple[Array, Metrics]: ...


def scored(what: str, result: Any) -> tuple[Array, dict[str, Array]]:
    """What a criterion or a loss returned, (scalar, metrics), or an error that says what it should have.

    Raises:
      TypeError: if it is no pair of a float and a dict of numbers.
      ValueError: if the loss is no scalar.
    """
    wanted = 'a scalar loss and a dict of metrics, (loss, {"loss": loss})'
    if not isinstance(result, tuple | list) or len(result) != 2 or not isinstance(result[1], Mapping):
        got = [_form(each) for each in result] if isinstance(result, tuple | list) else _form(result)
        checks.fail(what, wanted, " and ".join(got) or "nothing" if isinstance(got, list) else got, error=TypeError)
    loss, metrics = result
    for name, value in {"the loss": loss, **metrics}.items():
        if value is None or not all(isinstance(leaf, _NUMBERS) for leaf in jax.tree.leaves(value)):
            checks.fail(what, wanted, f"{_form(value)} for {name}", error=TypeError)
    if jnp.shape(loss):
        checks.fail(what, wanted, f"a loss of shape {jnp.shape(loss)}", "take its mean over the rows")
    if not jnp.issubdtype(jnp.result_type(loss), jnp.floating):
        checks.fail(what, wanted, f"a loss of {jnp.result_type(loss)}", "it has no gradient", TypeError)
    return loss, dict(metrics)


def _form(value: Any) -> str:
    """What a value is, without what stands in it: a traced one has no numbers, and says so at length."""
    if isinstance(value, jax.Array):
        return f"an array of shape {value.shape}"
    return "None" if value is None else type(value).__name__


class Adapt(Protocol):
    def __call__(self, meta_params: PyTree, support: PyTree, key: Array) -> PyTree: ...


class Predict(Protocol):
    def __call__(self, meta_params: PyTree, adapted: PyTree, inputs: PyTree, mask: Array | None = None) -> PyTree: ...


class Loss(Protocol):
    def __call__(self, meta_params: PyTree, episode: PyTree, key: Array) -> tuple[Array, Metrics]: ...


class MetaLearner(NamedTuple):
    """An algorithm: four pure functions over one task; batches of tasks are the caller's `vmap`."""

    init: Init
    """(key) -> meta_params"""
    adapt: Adapt
    """(meta_params, support, key) -> adapted, a NamedTuple that holds only what is this task's own."""
    predict: Predict
    """(meta_params, adapted, inputs, mask=None) -> outputs"""
    loss: Loss
    """(meta_params, episode, key) -> (scalar, metrics), what meta-training minimises on average over tasks."""


def query_loss(adapt: Adapt, predict: Predict, criterion: Criterion) -> Loss:
    """The episodic loss: adapt to the support set, score on the query set.

    Args:
      adapt: (meta_params, support, key) -> adapted.
      predict: (meta_params, adapted, inputs, mask=None) -> outputs.
      criterion: scores the adapted predictor on the query data.

    Returns:
      The `loss` of a MetaLearner: (meta_params, episode, key) -> (scalar, metrics).
    """

    def loss(meta_params: PyTree, episode: Episode, key: Array) -> tuple[Array, Metrics]:
        adapt_key, query_key = jax.random.split(key)
        adapted = adapt(meta_params, episode.support, adapt_key)
        result = criterion(adapted_predictor(predict, meta_params, adapted), episode.query, query_key)
        return scored("criterion", result)

    return loss


def adapted_predictor(predict: Predict, meta_params: PyTree, adapted: PyTree) -> Predictor:
    """Binds `predict` to one adapted task, which is what a criterion scores."""

    def predictor(inputs: PyTree, mask: Array | None = None) -> PyTree:
        return predict(meta_params, adapted, inputs, mask)

    return predictor
