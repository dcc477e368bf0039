"""MAML on some of the parameters: `partial_maml`, and ANIL and BOIL as two of its cases."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import optax

from jaxmeta import checks, inner, tree
from jaxmeta.learners.network import Adapted
from jaxmeta.types import Array, Criterion, MetaLearner, Metrics, Model, PyTree, query_loss


def partial_maml(
    model: Model,
    criterion: Criterion,
    inner_optimizer: optax.GradientTransformation,
    *,
    num_steps: int,
    adapts: Callable[[str], bool] | PyTree,
    outer_criterion: Criterion | None = None,
    gradient: inner.Gradient = inner.mixed_mode,
    scan: inner.Scan = inner.adaptive_scan,
    select: inner.Select | None = None,
) -> MetaLearner:
    """MAML whose inner steps change some leaves of the params; the others are slow, shared by all tasks.

    All of the params are meta-learned, with their exact gradient: the slow leaves enter the inner loop as data. Only
    the adapted leaves are carried per task.

    Args:
      model: the network; its params are the meta_params.
      criterion: the loss on the support set, and on the query set unless `outer_criterion` is given.
      inner_optimizer: any Optax transformation.
      num_steps: inner steps.
      adapts: which leaves the steps change: (path) -> bool, where a path is like "Dense_0/kernel", or a pytree of bools
        of the params' structure.
      outer_criterion, gradient, scan, select: as in `maml`.

    Returns:
      A MetaLearner whose adapted is `Adapted(params, context)`; its params hold the adapted leaves alone, None
      elsewhere.

    Raises:
      ValueError: if `adapts` selects nothing or is not of the params' structure; it lists the paths.

    Example:
      >>> import jax, optax
      >>> from jaxmeta import criteria, models, partial_maml
      >>> model = models.conv4((28, 28, 1), 5, norm="layer")
      >>> norms = partial_maml(  # the scales and offsets of the norms alone
      ...     model, criteria.cross_entropy, optax.sgd(0.4), num_steps=1, adapts=lambda path: path.startswith("Norm"))
    """
    mask = tree.mask("partial_maml: adapts", jax.eval_shape(model.init, jax.random.key(0)), adapts)

    def support_loss(params: PyTree, data: tuple[PyTree, PyTree], key: Array) -> tuple[Array, Metrics]:
        support, slow = data
        whole = tree.merge(params, slow)
        return criterion(lambda inputs, mask=None: model.apply(whole, inputs, mask), support, key)

    solve = inner.unroll(
        support_loss, inner_optimizer, num_steps, gradient=gradient, scan=scan, select=inner.select_first(select)
    )

    def adapt(meta_params: PyTree, support: PyTree, key: Array) -> Adapted:
        fast, slow = tree.split(meta_params, mask)
        params, _ = solve(fast, (support, slow), key)
        return Adapted(params, model.context(tree.merge(params, slow), support))

    def predict(meta_params: PyTree, adapted: Adapted, inputs: PyTree, mask: Array | None = None) -> PyTree:
        return model.apply(tree.merge(adapted.params, meta_params), inputs, mask, adapted.context)

    return MetaLearner(model.init, adapt, predict, query_loss(adapt, predict, outer_criterion or criterion))


def anil(
    model: Model,
    criterion: Criterion,
    inner_optimizer: optax.GradientTransformation,
    *,
    num_steps: int,
    head: str | None = None,
    **options: Any,
) -> MetaLearner:
    """Almost No Inner Loop: MAML whose inner steps change the head alone.

    Args:
      model: the network; its params are the meta_params.
      criterion: the loss on the support set, and on the query set unless `outer_criterion` is given.
      inner_optimizer: any Optax transformation.
      num_steps: inner steps.
      head: the path of the last layer, such as "Dense_2". By default a top-level entry "head", else the last top-level
        entry of the form "Dense_0", "Dense_1", ..., as the built-in networks have it.
      **options: what else `partial_maml` takes.

    Returns:
      `partial_maml`'s learner.

    Raises:
      ValueError: if there is no such head, or nothing but it.

    References:
      Raghu et al., Rapid Learning or Feature Reuse? Towards Understanding the Effectiveness of MAML, 2020, section 4.
    """
    inside = _inside("anil", model, head)
    return partial_maml(model, criterion, inner_optimizer, num_steps=num_steps, adapts=inside, **options)


def boil(
    model: Model,
    criterion: Criterion,
    inner_optimizer: optax.GradientTransformation,
    *,
    num_steps: int,
    head: str | None = None,
    **options: Any,
) -> MetaLearner:
    """Body Only update in Inner Loop: MAML whose inner steps change everything but the head.

    Args:
      model: the network; its params are the meta_params.
      criterion: the loss on the support set, and on the query set unless `outer_criterion` is given.
      inner_optimizer: any Optax transformation.
      num_steps: inner steps.
      head: the path of the last layer, as in `anil`.
      **options: what else `partial_maml` takes.

    Returns:
      `partial_maml`'s learner.

    Raises:
      ValueError: if there is no such head, or nothing but it.

    References:
      Oh et al., BOIL: Towards Representation Change for Few-shot Learning, 2021, section 3.
    """
    inside = _inside("boil", model, head)
    return partial_maml(
        model, criterion, inner_optimizer, num_steps=num_steps, adapts=lambda path: not inside(path), **options
    )


def _inside(what: str, model: Model, head: str | None) -> Callable[[str], bool]:
    """(path) -> whether it lies in the head."""
    paths = tree.paths(jax.eval_shape(model.init, jax.random.key(0)))
    if head is None:
        tops = {path.split("/")[0] for path in paths}
        dense = sorted((top for top in tops if re.fullmatch(r"Dense_\d+", top)), key=lambda top: int(top[6:]))
        head = "head" if "head" in tops else dense[-1] if dense else ""
        named = [top for top in tops - {*dense} if {f"{top}/kernel", f"{top}/bias"} <= {*paths}]
        if head != "head" and (named := sorted(top for top in named if not re.search(r"_\d+$", top))):
            # A layer of a person's own naming may stand behind the numbered ones.
            got = f"{head} beside {', '.join(named)}" if head else ", ".join(named)
            checks.fail(f"{what}: head", "one layer that can be the last", got, f"name it, such as head={named[0]!r}")

    def inside(path: str) -> bool:
        return f"{path}/".startswith(f"{head.rstrip('/')}/")

    if len({inside(path) for path in paths}) != 2:
        hint = "name the layer, for example head='Dense_1'"
        checks.fail(
            f"{what}: head", f"a part of {', '.join(paths)}", repr(head) if head else "no name that says it", hint
        )
    return inside
