"""Learning by reading: the network takes the support set in, and answers."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta import checks, labels
from jaxmeta.criteria import silence_absent
from jaxmeta.types import Array, Batch, Criterion, MetaLearner, Model, PyTree, query_loss


class Adapted(NamedTuple):
    """The support set as the network has read it."""

    context: PyTree
    """The model's context."""
    present: Array
    """[num_ways] bool, the classes that have a support example."""


def in_context(model: Model, criterion: Criterion, *, num_ways: int) -> MetaLearner:
    """Classifies queries by a network that attends to the support set; adaptation is a forward pass.

    All that is learned over tasks is in the network: nothing is tuned to a task. Where the network's queries attend to
    the support set alone, as those of this library do, a query's answer hangs on no other query.

    Args:
      model: its context reads a support set, its outputs [n, at least num_ways] are logits; such as
        `models.table_network` and `models.caml`.
      criterion: scores a predictor on query data.
      num_ways: classes per episode; targets are integers in [0, num_ways).

    Returns:
      A MetaLearner whose meta_params are the model's params and whose adapted is `Adapted(context, present)`.

    Raises:
      ValueError: if num_ways < 2, or the network has fewer outputs.

    References:
      Mueller et al., Transformers Can Do Bayesian Inference, 2022; Fifty et al., Context-Aware Meta-Learning, 2024.
    """
    num_ways = checks.integer("in_context: num_ways", num_ways, 2)

    def adapt(meta_params: PyTree, support: Batch, key: Array) -> Adapted:
        del key
        labels.check_form("in_context: support set", support.targets, len(support.targets))
        members = jnp.arange(num_ways)[None] == support.targets[:, None]
        members = members if support.mask is None else members & support.mask[:, None]
        context = model.context(meta_params, support)
        # What is unknown of one class is unknown of all of them.
        wrong = labels.nan_where(labels.unknown(support.targets, num_ways, support.mask).any(), float)
        context = jax.tree.map(lambda leaf: leaf * wrong.astype(leaf.dtype) if _is_float(leaf) else leaf, context)
        return Adapted(context, members.any(axis=0))

    def predict(meta_params: PyTree, adapted: Adapted, inputs: PyTree, mask: Array | None = None) -> Array:
        logits = model.apply(meta_params, inputs, mask, adapted.context)
        if logits.shape[-1] < num_ways:
            checks.fail("in_context", f"at most the network's {logits.shape[-1]} classes", num_ways)
        logits = logits[:, :num_ways]
        return silence_absent(logits, jnp.broadcast_to(adapted.present, logits.shape))

    return MetaLearner(model.init, adapt, predict, query_loss(adapt, predict, criterion))


def _is_float(leaf: Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.floating)
