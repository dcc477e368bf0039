"""`audit`: what a learner does, measured, beside what it promises."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta import checks, proofs, tasks
from jaxmeta.evaluation import judge_labels
from jaxmeta.types import Array, Batch, Criterion, MetaLearner, PyTree

WORDS: Mapping[str, tuple[str, ...]] = {
    "gradient": ("exact", "first_order", "surrogate"),
    "leaves": ("reached", "severed"),
    "queries": ("inductive", "transductive"),
    "query_targets": ("unseen", "seen"),
    "support_order": ("ignored", "matters"),
    "label_order": ("equivariant", "matters"),
    "padding": ("ignored", "leaks"),
    "compilations": ("one", "many"),
    "memory": ("flat", "grows"),
}
"""The checks, and what each of them can find; a promise is one of these words."""
PROMISES: Mapping[str, str | None] = {
    **{name: words[0] for name, words in WORDS.items()},
    "label_order": None,  # a head that is learned has its own weights for every label
    "memory": None,
}
"""What a learner promises unless told otherwise; None: nothing."""
_NUM_EPISODES = 3


class Check(NamedTuple):
    """One row of the table."""

    name: str
    """One of WORDS."""
    found: str
    """One of the check's words, or "not checked"."""
    measured: float | None
    """The number that decided: a relative error or gap, a count, bytes a step."""
    promise: str | None
    """The word that was promised."""
    verdict: str
    """"kept", "broken", or "" where nothing was promised or checked."""
    note: str
    """Where it was found, or why it was not checked."""


class Report(NamedTuple):
    """All checks of one learner; its `str` is a table."""

    checks: tuple[Check, ...]
    """In the order of WORDS."""

    @property
    def broken(self) -> tuple[str, ...]:
        """The promises that do not hold."""
        return tuple(check.name for check in self.checks if check.verdict == "broken")

    def as_json(self) -> list[dict[str, Any]]:
        """One object a check; a number that is not finite becomes null."""
        finite = lambda number: number if number is not None and math.isfinite(number) else None  # noqa: E731
        return [check._replace(measured=finite(check.measured))._asdict() for check in self.checks]

    def __str__(self) -> str:
        line = "{:<13} {:<12} {:>8}  {:<11} {:<7} {}"
        rows = [line.format("check", "found", "measured", "promise", "", "")]
        for name, found, measured, promise, verdict, note in self.checks:
            number = "" if measured is None else f"{measured:.2g}"
            rows.append(line.format(name, found, number, promise or "", verdict, note))
        return "\n".join(row.rstrip() for row in rows)


def audit(
    learner: MetaLearner,
    episodes: PyTree,
    key: Array,
    *,
    criterion: Criterion | None = None,
    promises: Mapping[str, str | None] | None = None,
    make: Callable[[int], MetaLearner] | None = None,
) -> Report:
    """Measures what a learner does and compares it with what it promises.

    - gradient: finite differences of the loss in float64, in random directions of every leaf of meta_params.
      "first_order" is another gradient: the query loss's, as if adapted.params moved one to one with meta_params.
      "surrogate" is any other, such as Reptile's, whose loss stops gradients; so is a mistake: the promise tells. A
      loss that rolls policies out is promised as "surrogate", too, for what is sampled moves with theta and has no
      gradient; over stored trajectories (`policy_trainers.collected`) the same learner is to be found "exact".
    - leaves: "severed" if the gradient of a leaf is exactly zero although the loss depends on it.
    - queries: "transductive" if a prediction changes when the other queries change or are not there.
    - query_targets: "seen" if the loss of other query targets is not what `criterion` makes of `predict`.
    - support_order: whether the order of the support set's rows matters, as it does to random minibatches.
    - label_order: whether a permutation of the labels does no more than permute the outputs.
    - padding: whether junk in masked rows of support and query changes outputs, loss or gradient.
    - compilations: how often two training steps are traced.
    - memory: how the temporary memory of a meta-gradient grows with inner steps.

    Args:
      learner: what is audited; it must run in float64 if its meta_params and data are float64.
      episodes: leaves [num_tasks, ...], few of them, or a sampler, key -> Episode.
      key: a random key.
      criterion: what scores the queries; without it query_targets is not checked, and first_order is not recognised.
      promises: check -> word of `auditing.WORDS`, or None for no promise; where it says nothing, `auditing.PROMISES`
        does.
      make: num_steps -> the learner with so many inner steps; without it memory is not checked.

    Returns:
      A Report. A promise is broken if another word was found.

    Raises:
      ValueError: for a check or a word that does not exist, or if labels are out of range.
      TypeError: if episodes are several and not one with a task axis, the key is none, or a mask is not of bools.

    Example:
      >>> import jax, jaxmeta
      >>> from jaxmeta import criteria, models, tasks
      >>> learner = jaxmeta.protonet(models.flat(), criteria.cross_entropy, num_ways=2)
      >>> sample = tasks.tabular(num_features=3, num_ways=2, num_shots=2, num_queries=2)
      >>> jaxmeta.audit(learner, sample, jax.random.key(0), criterion=criteria.cross_entropy).broken
      ()
    """
    promised = merged(promises or {})
    checks.random_key("audit", key)
    sample_key, init_key, key = jax.random.split(key, 3)
    if callable(episodes):
        sample: Any = episodes
        episodes = tasks.drawn(sample, sample_key, jnp.arange(_NUM_EPISODES))
    meta_params = learner.init(init_key)
    judge_labels("audit", _outcome, learner, criterion, meta_params, episodes, key)
    findings = {
        "compilations": proofs.compilations(learner, episodes, key),
        "memory": proofs.memory(make, episodes, key),
    }
    # Double precision, so that what is compared is the mathematics and not the order of summation.
    with jax.enable_x64(True):
        subject = proofs.subject(learner, criterion, meta_params, episodes, key)
        findings |= {**proofs.gradient(subject), **proofs.rows(subject)}
    return Report(tuple(_check(name, promised[name], *findings[name]) for name in WORDS))


def _outcome(learner: MetaLearner, _: Criterion | None, meta_params: PyTree, episode: Any, key: Array) -> Any:
    """Outputs for the queries, where a support set is adapted to, and the metrics of the loss."""
    metrics = learner.loss(meta_params, episode, key)[1]
    if not isinstance(episode.support, Batch):
        return None, metrics
    adapted = learner.adapt(meta_params, episode.support, key)
    return learner.predict(meta_params, adapted, episode.query.inputs, episode.query.mask), metrics


def merged(promises: Mapping[str, str | None]) -> dict[str, str | None]:
    """PROMISES with some of them replaced, or an error that says what can be promised."""
    for name, word in promises.items():
        checks.choice("audit: promises", name, WORDS)
        checks.choice(f"audit: promise of {name}", word, (*WORDS[name], None))
    return {**PROMISES, **promises}


def _check(name: str, promise: str | None, found: str, measured: float | None, note: str) -> Check:
    unknown = promise is None or found == proofs.NOT_CHECKED
    return Check(name, found, measured, promise, "" if unknown else "kept" if found == promise else "broken", note)
