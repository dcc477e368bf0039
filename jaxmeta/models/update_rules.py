"""Update rules: what a learned optimizer makes of a gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxmeta import checks, memory, tree
from jaxmeta.models.adapters import new_params
from jaxmeta.types import Array, PyTree

BLOCK = 4096  # coordinates of which an LSTM's gates fit a core's cache


class InitRule(Protocol):
    def __call__(self, key: Array, params: PyTree, /) -> PyTree: ...


class InitState(Protocol):
    def __call__(self, rule: PyTree, params: PyTree, /) -> PyTree: ...


class Update(Protocol):
    def __call__(
        self, rule: PyTree, gradients: PyTree, state: PyTree, params: PyTree, loss: Array, /
    ) -> tuple[PyTree, PyTree]: ...


class UpdateRule(NamedTuple):
    """An optimizer with parameters of its own, as three pure functions."""

    init: InitRule
    """(key, params) -> rule, the rule's own parameters; a rule that is shared over coordinates ignores params."""
    init_state: InitState
    """(rule, params) -> state, at the start of a task."""
    update: Update
    """(rule, gradients, state, params, loss) -> (updates, state); updates are added to params. At a zero gradient its
    derivative must be finite."""


def gradient_descent_rule(initial_learning_rate: float) -> UpdateRule:
    """The plainest rule, -rate * gradient; its one parameter is the rate."""
    if not math.isfinite(initial_learning_rate):
        checks.fail("gradient_descent_rule: initial_learning_rate", "a finite number", initial_learning_rate)

    def update(rule: Array, gradients: PyTree, state: PyTree, params: PyTree, loss: Array) -> tuple[PyTree, PyTree]:
        del params, loss
        return jax.tree.map(lambda slope: -rule.astype(slope.dtype) * slope, gradients), state

    return UpdateRule(lambda key, params: jnp.asarray(initial_learning_rate, float), lambda rule, params: (), update)


class LSTMState(NamedTuple):
    """What the rule remembers of each coordinate."""

    carry: PyTree
    """The LSTM's own, two arrays [num_coordinates, hidden]."""
    kept: Array
    """[num_coordinates] the forget gate of the step before."""
    taken: Array
    """[num_coordinates] the input gate of the step before."""


class LSTMRule(nn.Module):
    """Keeps a share of a parameter and takes a share of its gradient, [num_coordinates] each."""

    hidden: int
    initial_learning_rate: float
    initial_keep: float

    @nn.compact
    def __call__(self, state: LSTMState, gradients: Array, params: Array, loss: Array) -> tuple[Array, LSTMState]:
        losses = jnp.broadcast_to(preprocess(loss), (len(gradients), 2))
        inputs = jnp.concatenate([preprocess(gradients), losses], axis=-1)
        carry, hidden = nn.OptimizedLSTMCell(self.hidden, param_dtype=float)(state.carry, inputs)

        def gate(name: str, before: Array, initial: float) -> Array:
            logit = math.log(initial / (1 - initial))
            layer = nn.Dense(
                1,
                kernel_init=nn.initializers.normal(0.01),
                bias_init=nn.initializers.constant(logit),
                name=name,
                param_dtype=float,
            )
            return nn.sigmoid(layer(jnp.concatenate([hidden, jnp.stack([params, before], -1)], -1))[:, 0])

        kept = gate("forget_gate", state.kept, self.initial_keep)
        taken = gate("input_gate", state.taken, self.initial_learning_rate)
        return (kept - 1) * params - taken * gradients, LSTMState(carry, kept, taken)


def lstm_update_rule(
    *,
    hidden: int = 20,
    initial_learning_rate: float = 0.01,
    initial_keep: float = 0.999,
    block: int | None = None,
) -> UpdateRule:
    """The meta-LSTM: a small network, shared over all coordinates, that decides how far each parameter moves.

    An LSTM reads a coordinate's gradient and the loss; from its output h, the parameter theta and their own last
    values, two gates f and i are made, and the parameter becomes f * theta - i * gradient. It is the cell state of a
    second LSTM, and an update rule that starts as gradient descent with a slight weight decay.

    Args:
      hidden: size of the LSTM.
      initial_learning_rate: what the input gate starts near, in (0, 1).
      initial_keep: what the forget gate starts near, in (0, 1).
      block: coordinates that are computed at once, and computed once more in the backward pass, so that what the LSTM
        makes of them stays in a processor's cache; None: `BLOCK` on a CPU, all of them elsewhere. The result is the
        same.

    References:
      Ravi and Larochelle, 2017, sections 3.2 and 3.3; the preprocessing is Andrychowicz et al., 2016, appendix A.
    """
    hidden = checks.integer("lstm_update_rule: hidden", hidden, 1)
    for name, value in (("initial_learning_rate", initial_learning_rate), ("initial_keep", initial_keep)):
        if not 0 < value < 1:
            checks.fail(f"lstm_update_rule: {name}", "a number between 0 and 1", value)
    if block is not None:
        block = checks.integer("lstm_update_rule: block", block, 1)
    module = LSTMRule(hidden, initial_learning_rate, initial_keep)

    def init_state(rule: PyTree, params: PyTree) -> LSTMState:
        del rule
        flat = jnp.zeros_like(ravel_pytree(params)[0])
        cells = jnp.zeros((len(flat), hidden), flat.dtype)
        return LSTMState((cells, cells), flat, flat)

    def init(key: Array, params: PyTree) -> PyTree:
        one = jnp.zeros(1, ravel_pytree(params)[0].dtype)
        return new_params(module, key, init_state((), one), one, one, one[0])

    def update(
        rule: PyTree, gradients: PyTree, state: LSTMState, params: PyTree, loss: Array
    ) -> tuple[PyTree, LSTMState]:
        def of(given: tuple[LSTMState, Array, Array]) -> tuple[Array, LSTMState]:
            return module.apply({"params": rule}, *given, loss)  # pyright: ignore

        flat, unflatten = ravel_pytree(params)
        size = block or (BLOCK if memory.on_cpu() else len(flat))
        updates, state = _in_blocks(of, (state, ravel_pytree(gradients)[0], flat), size)
        return unflatten(updates), state

    return UpdateRule(init, init_state, update)


def _in_blocks(function: Callable[[PyTree], PyTree], given: PyTree, size: int) -> PyTree:
    """function(given), of which each coordinate stands for itself, a block of coordinates after the other."""
    count = tree.leading_axis(given)
    if count <= size:
        return function(given)
    number = -(-count // size)

    def cut(leaf: Array) -> Array:
        padded = jnp.pad(leaf, ((0, number * size - count), *[(0, 0)] * (leaf.ndim - 1)))
        return padded.reshape(number, size, *leaf.shape[1:])

    made = jax.lax.map(jax.checkpoint(function, prevent_cse=False), jax.tree.map(cut, given))
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:count], made)


def preprocess(values: Array) -> Array:
    """Numbers of any magnitude as two of order one, [...] -> [..., 2].

    (log|x| / p, sign x) where |x| >= exp(-p), else (-1, exp(p) x), with p = 10.

    References:
      Andrychowicz et al., 2016, appendix A.
    """
    size = jnp.abs(values)
    large = size >= jnp.exp(-10.0)
    logarithm = jnp.log(jnp.where(large, size, 1)) / 10
    first = jnp.where(large, logarithm, -1)
    return jnp.stack([first, jnp.where(large, jnp.sign(values), jnp.exp(10.0) * values)], axis=-1)
