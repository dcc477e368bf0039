"""A run that has been adapted to a person's examples, and what it says of others."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import checks, memory, recipes
from jaxmeta.criteria import Gaussian
from jaxmeta.recipes import Frame, Given
from jaxmeta.types import Array, Batch, Episode, MetaLearner, PyTree

if TYPE_CHECKING:
    from jaxmeta.runs.run import Run

NONE = "none of these"
MOST_LEFT_OUT = 300  # examples, evenly chosen: more tell no more of a quantile
CHUNK = 8  # adaptations side by side


class Threshold(NamedTuple):
    """Below which probability nothing is called by a class."""

    probability: float
    below: int
    """How many of the known examples are."""
    known: int
    """Of the support set's own, each left out once."""


@dataclasses.dataclass(frozen=True)
class Adapted:
    """All that predictions take; `Run.adapt` makes it, `runs.save_adapted` keeps it in a file."""

    run: Run
    state: PyTree
    """What the learner's `adapt` returned."""
    support: Batch
    """The shapes of what it was adapted to."""
    inner_steps: int
    class_names: tuple[str, ...]
    """() of a regression."""
    scale: tuple[float, float]
    """Mean and deviation of the values, which the network does not see."""
    frame: Frame
    """What brings inputs to the network's form: the kind's `read_inputs` takes it."""
    threshold: Threshold | None = None
    """None: everything is called by a class."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What the outputs are logits of: the classes, behind those that the kind always has."""
        return (*recipes.kind(self.run.recipe.task).always, *self.class_names) if self.class_names else ()

    def predict(self, inputs: Array) -> Any:
        """A pure function for `jax.jit` and `jax.export`, each input alone: nothing depends on what else is asked.

        Args:
          inputs: [n, ...] in the network's form, in which `recipes.kind(task).read` and `read_inputs` give them.

        Returns:
          outputs [n, ...]: logits of `labels`, or values in the unit of the support set; of a likelihood these are a
          `criteria.Gaussian`, of which `jax.export` takes the tuple.
        """
        return self._predicted(self.run.meta_params, self.state, inputs)

    def outputs(self, inputs: np.ndarray) -> Any:
        """`predict`, compiled once, for what may be wrong.

        Raises:
          DataError: if the inputs are not what the network takes, or an output is not finite.
          MemoryError: if they need more memory than there is.
        """
        _check_inputs("inputs", self.run, inputs)
        program, arguments = self._program, (self.run.meta_params, self.state, jnp.asarray(inputs))
        outputs = jax.device_get(memory.checked("predictions", program, *arguments))
        finite = [np.isfinite(leaf).all(axis=tuple(range(1, leaf.ndim))) for leaf in jax.tree.leaves(outputs)]
        if bad := int((~np.all(finite, axis=0)).sum()):
            got, hint = f"NaN or infinity for {bad} of {len(inputs)}", "look for inputs far from the labelled examples"
            checks.fail("predictions", "finite numbers", got, hint, checks.DataError)
        return outputs

    @functools.cached_property
    def learner(self) -> MetaLearner:
        """That which adapted, and predicts."""
        return self.run.learner(ways=len(self.class_names) or None, inner_steps=self.inner_steps)

    @functools.cached_property
    def _program(self) -> Any:
        return jax.jit(self._predicted)

    def _predicted(self, meta_params: PyTree, state: PyTree, inputs: Array) -> Any:
        predict = self.learner.predict

        def alone(row: Array) -> Any:
            return jax.tree.map(lambda leaf: leaf[0], predict(meta_params, state, row[None]))

        outputs = jax.lax.map(alone, inputs)
        if self.class_names:  # a head may have more outputs
            return outputs[..., : len(self.labels)]
        mean, deviation = self.scale
        if isinstance(outputs, Gaussian):
            return Gaussian(outputs.mean * deviation + mean, outputs.scale * deviation)
        return outputs * deviation + mean


def probabilities(logits: np.ndarray) -> np.ndarray:
    """[n, classes] in float64, of the logits of classes."""
    logits = logits.astype(np.float64)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def adapt(run: Run, given: Given, *, inner_steps: int, seed: int, none: float | None) -> Adapted:
    """What `Run.adapt` does."""
    checks.integer("`inner_steps`", inner_steps, 0)
    support, key = given.support, jax.random.key(seed)
    _check_inputs("support", run, support.inputs)
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), support)
    mean, deviation = given.scale
    scale = float(mean), float(deviation)
    adapted = Adapted(run, (), shapes, inner_steps, given.class_names, scale, given.frame)
    threshold = None if none is None else _threshold(adapted, given, key, none)
    state = memory.checked("adaptation", jax.jit(adapted.learner.adapt), run.meta_params, support, key)
    if not is_finite(state):
        hint = "take fewer `inner_steps`, or look for labelled examples far from the others"
        checks.fail("adaptation", "finite numbers", "NaN or infinity", hint, ArithmeticError)
    return dataclasses.replace(adapted, state=state, threshold=threshold)


def is_finite(state: PyTree) -> bool:
    """Whether no number of a pytree is NaN or infinite."""
    return all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(state))


def _check_inputs(what: str, run: Run, inputs: Any) -> None:
    if inputs.shape[1:] != run.shape.inputs:
        wanted = f"examples of shape {list(run.shape.inputs)}, as the run was trained on"
        checks.fail(what, wanted, list(inputs.shape[1:]), error=checks.DataError)


def _threshold(adapted: Adapted, given: Given, key: Array, share: float) -> Threshold:
    """The probability below which at most this share of the known examples lie, each left out of the support set."""
    if not given.class_names:
        checks.fail("`none`", "a run of classes", "one of values")
    if not 0 <= share < 1:
        checks.fail("`none`", "a share of the known examples, from 0 to below 1", share)
    if NONE in given.class_names:
        checks.fail("`none`", f"classes of other names than {NONE!r}", NONE, "rename the class", checks.DataError)
    shares, targets = left_out(adapted, given, key)
    known = np.sort(shares[np.arange(len(targets)), targets])
    probability = float(known[math.floor(share * len(known))])
    return Threshold(probability, int((known < probability).sum()), len(known))


def left_out(adapted: Adapted, given: Given, key: Array) -> tuple[np.ndarray, np.ndarray]:
    """What support examples are taken for when adapted to all others alone.

    Returns:
      The probabilities [k, classes], and the classes [k] that they are of.

    Raises:
      DataError: if a class has one example, and would have none.
      ArithmeticError: if a probability is not finite.
    """
    support, names = given.support, given.class_names
    if recipes.kind(adapted.run.recipe.task).always:
        checks.fail(
            "`none`", "examples of one class each", "sentences, whose words have them", "O is none of the types"
        )
    targets = np.asarray(support.targets)
    real = np.ones(len(targets), bool) if support.mask is None else np.asarray(support.mask)
    counts = np.bincount(targets[real], minlength=len(names))
    if counts.min() < 2:
        what = f"the class {names[counts.argmin()]!r}"
        wanted = "at least 2 labelled examples, of which `none` leaves one out"
        checks.fail(what, wanted, counts.min(), error=checks.DataError)
    rows = np.flatnonzero(real)
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, MOST_LEFT_OUT).astype(int))]
    learner = adapted.learner

    @jax.jit
    def outputs(meta_params: PyTree, support: Batch, rows: Array, key: Array) -> Array:
        def alone(row: Array) -> Array:
            others = support._replace(mask=jnp.asarray(real).at[row].set(False))
            query = Batch(support.inputs[row][None], support.targets[row][None])
            episode = given.form(lambda _: Episode(others, query))(key)
            state = learner.adapt(meta_params, episode.support, key)
            return learner.predict(meta_params, state, episode.query.inputs)[0]

        return jax.lax.map(alone, rows, batch_size=CHUNK)

    arguments = adapted.run.meta_params, support, jnp.asarray(rows), key
    logits = np.asarray(memory.checked("`none`", outputs, *arguments))[:, : len(names)]
    if not np.isfinite(logits).all():
        hint = "take fewer `inner_steps`"
        checks.fail("adaptation to all but one example", "finite numbers", "NaN or infinity", hint, ArithmeticError)
    return probabilities(logits), targets[rows]
