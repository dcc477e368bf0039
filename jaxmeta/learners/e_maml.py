"""E-MAML: MAML that is also told how its first trajectories came about."""

from __future__ import annotations

import jax
import optax

from jaxmeta import checks, inner
from jaxmeta.learners.network import Adapted, adapted_network, support_loss
from jaxmeta.types import (
    Array,
    Criterion,
    Episode,
    MetaLearner,
    Metrics,
    Model,
    PyTree,
    adapted_predictor,
    scored,
)


def e_maml(
    model: Model,
    criterion: Criterion,
    inner_optimizer: optax.GradientTransformation,
    *,
    num_steps: int,
    exploration: float = 1.0,
    outer_criterion: Criterion | None = None,
    gradient: inner.Gradient = inner.mixed_mode,
    scan: inner.Scan = inner.adaptive_scan,
    select: inner.Select | None = None,
) -> MetaLearner:
    """MAML with the gradient that goes through what is sampled for adaptation, which MAML's leaves out.

    The return after adaptation hangs on theta in two ways: through the steps, and through the trajectories that they
    are taken on. For the second the loss has the term -J grad log p(trajectories), with J the mean reward of the
    adapted policy beyond that of theta's own on other trajectories, a baseline that changes no expectation. Both
    rewards are those that criteria report as "reward", and the likelihoods those of every inner step.

    Args:
      model: the policy; its params are the meta_params.
      criterion: `criteria.policy_gradient`, or a `criteria.surrogate` of stored trajectories. The gradient is exact
        with the form `log_probability`, whose derivative is that of the steps that were taken.
      inner_optimizer: any Optax transformation.
      num_steps: inner steps.
      exploration: how much the term counts: 1, as it should, or less, since the likelihood of all that was done has a
        variance that grows with the number and the length of trajectories.
      outer_criterion: likewise, of the adapted policy. The gradient is exact with `as_they_are`, in whose unit the
        term is.
      gradient, scan, select: as in `maml`.

    Returns:
      A MetaLearner whose adapted is `Adapted(params, context)`.

    Raises:
      ValueError: if exploration is negative; or, when traced, if a criterion does not report "reward" and
        "log_likelihood".

    References:
      Stadie et al., Some Considerations on Learning to Explore via Meta-Reinforcement Learning, 2018, equation 4.
    """
    if not 0 <= exploration < float("inf"):
        checks.fail("e_maml: exploration", "a number of at least 0", exploration)
    solve = inner.unroll(
        support_loss(model, criterion), inner_optimizer, num_steps, gradient=gradient, scan=scan, select=select
    )
    predict, judge = adapted_network(model), outer_criterion or criterion

    def adapt(meta_params: PyTree, support: PyTree, key: Array) -> Adapted:
        params, _ = solve(meta_params, support, key)
        return Adapted(params, model.context(params, support))

    def loss(meta_params: PyTree, episode: Episode, key: Array) -> tuple[Array, Metrics]:
        adapt_key, query_key = jax.random.split(key)

        def judged(params: PyTree, key: Array) -> tuple[Array, Metrics]:
            adapted = Adapted(params, model.context(params, episode.support))
            return scored("criterion", judge(adapted_predictor(predict, meta_params, adapted), episode.query, key))

        params, trace = solve(meta_params, episode.support, adapt_key)
        value, metrics = judged(params, query_key)
        before = judged(meta_params, jax.random.fold_in(query_key, 1))[1]
        if missing := {"reward"} - metrics.keys() | {"log_likelihood"} - trace.metrics.keys():
            hint = "use criteria.policy_gradient"
            checks.fail("e_maml: criterion", "metrics reward and log_likelihood", f"no {', '.join(missing)}", hint)
        gain = jax.lax.stop_gradient(metrics["reward"] - before["reward"])
        return value - exploration * gain * trace.metrics["log_likelihood"].sum(), metrics

    return MetaLearner(model.init, adapt, predict, loss)
