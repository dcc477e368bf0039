"""What an inner loss computes without its params: once for all steps, and not at each of them again."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
from jax.extend import core

from jaxmeta.inner.gradient import InnerLoss, primitives
from jaxmeta.types import Array, Metrics, PyTree

_HEAVY = {"dot_general", "conv_general_dilated"}
_CALLS = ("jit", "pjit")


def once(
    loss: InnerLoss, params: PyTree, data: PyTree, key: Array, select: Callable[..., PyTree] | None = None
) -> tuple[InnerLoss, PyTree]:
    """Splits an inner loss: what depends on neither params nor key is computed here, for as many steps as there are.

    A head over a body that the steps leave alone, and anything over a frozen encoder, then see the support set's
    features. Values and derivatives are the loss's own: its program is cut in two, and the cut carries gradients.

    Args:
      loss: (params, data, key) -> (scalar, metrics).
      params: what the steps change; their shapes matter alone.
      data: what they do not.
      key: a random key; each step has another.
      select: what gives a step data of its own, if anything does.

    Returns:
      The loss of what was computed, and that, as its data; the loss and the data as they came where steps have other
      data, or nothing that is worth keeping, no matmul and no convolution, does without the params.
    """
    if select is not None:  # the moments of a minibatch are its own
        return loss, data
    traced, shapes = jax.make_jaxpr(loss, return_shape=True)(params, data, key)
    leaves = list(map(len, map(jax.tree.leaves, (params, data, key))))
    moves = [*[True] * leaves[0], *[False] * leaves[1], *[True] * leaves[2]]
    if _straddles(traced.jaxpr, _moving(traced.jaxpr, moves)):
        flat = jax.make_jaxpr(functools.partial(_inlined, traced.jaxpr, traced.consts))
        traced = flat(*jax.tree.leaves((params, data, key)))
    program = traced.jaxpr
    still, steps, kept = _cut(program, _moving(program, moves))
    if not _HEAVY & primitives(program.replace(eqns=still)):
        return loss, data
    fixed = [var for var, moving in zip(program.invars, moves, strict=True) if not moving]
    moved = [var for var, moving in zip(program.invars, moves, strict=True) if moving]
    before = _function(program, [*program.constvars, *fixed], kept, still)
    after = _function(program, [*moved, *kept], program.outvars, steps)

    def rest(params: PyTree, found: list[Array], key: Array) -> tuple[Array, Metrics]:
        return jax.tree.unflatten(jax.tree.structure(shapes), after(*jax.tree.leaves((params, key)), *found))

    return rest, before(*traced.consts, *jax.tree.leaves(data))


def _moving(program: core.Jaxpr, moves: Iterable[bool]) -> set[core.Var]:
    """The variables of a program that depend on arguments that move, or come of an effect."""
    found = {var for var, moving in zip(program.invars, moves, strict=True) if moving}
    for equation in program.eqns:
        if equation.effects or found.intersection(_read(equation)):
            found.update(equation.outvars)
    return found


def is_read(program: core.Jaxpr, index: int) -> bool:
    """Whether a result of a program depends on its argument of that index, or on an effect."""
    moving = _moving(program, [place == index for place in range(len(program.invars))])
    return any(not isinstance(atom, core.Literal) and atom in moving for atom in program.outvars)


def _cut(program: core.Jaxpr, moving: set[core.Var]) -> tuple[list[Any], list[Any], list[core.Var]]:
    """The equations that are computed once, those of each step, and the variables that the latter have of the former.

    What is made of nothing, such as an array of zeros, is made again and not kept.
    """
    made: set[core.Var] = set()
    for equation in program.eqns:
        if not equation.effects and made.issuperset(_read(equation)):
            made.update(equation.outvars)
    ours = lambda equation: bool(equation.effects) or bool(moving.intersection(equation.outvars))  # noqa: E731
    steps = [each for each in program.eqns if ours(each) or made.issuperset(_read(each))]
    outputs = [atom for atom in program.outvars if not isinstance(atom, core.Literal)]
    read = dict.fromkeys([*(var for each in steps for var in _read(each)), *outputs])
    kept = [var for var in read if var not in moving and var not in made]
    needed, still = set(kept), []
    for equation in reversed(program.eqns):
        if not ours(equation) and needed.intersection(equation.outvars):
            still.insert(0, equation)
            needed.update(_read(equation))
    return still, steps, kept


def _straddles(program: core.Jaxpr, moving: set[core.Var]) -> bool:
    """Whether a jitted function inside, with matmuls or convolutions, depends on both kinds of arguments."""
    calls = [each for each in program.eqns if each.primitive.name in _CALLS and moving.intersection(_read(each))]
    return any(not moving.issuperset(_read(each)) and _HEAVY & primitives(each.params["jaxpr"]) for each in calls)


def _inlined(program: core.Jaxpr, consts: Iterable[Array], *given: Array) -> list[Array]:
    """A program's results, without the jitted functions in it."""
    values = dict(zip([*program.constvars, *program.invars], [*consts, *given], strict=True))
    for equation in program.eqns:
        if equation.primitive.name in _CALLS:
            inside = equation.params["jaxpr"]
            arguments = [each.val if isinstance(each, core.Literal) else values[each] for each in equation.invars]
            results = zip(equation.outvars, _inlined(inside.jaxpr, inside.consts, *arguments), strict=True)
        else:
            read = _read(equation)
            made = [var for var in equation.outvars if not isinstance(var, core.DropVar)]
            found = _function(program, read, made, [equation])(*(values[var] for var in read))
            results = zip(made, found, strict=True)
        values.update(results)
    return [each.val if isinstance(each, core.Literal) else values[each] for each in program.outvars]


def _function(program: core.Jaxpr, given: list, results: list, equations: list) -> Callable[..., list[Array]]:
    """A part of a program."""
    effects = set().union(*(equation.effects for equation in equations))
    part = program.replace(constvars=[], invars=given, outvars=results, eqns=equations, effects=effects)
    return core.jaxpr_as_fun(core.ClosedJaxpr(part, []))


def _read(equation: Any) -> list[core.Var]:
    return list(dict.fromkeys(atom for atom in equation.invars if not isinstance(atom, core.Literal)))
