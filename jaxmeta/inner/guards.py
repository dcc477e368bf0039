"""What an inner optimizer must not do unnoticed, found by trying it once on made-up gradients."""

from __future__ import annotations

import functools
import inspect
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from jaxmeta import checks, tree
from jaxmeta.inner.gradient import primitives
from jaxmeta.inner.steering import Steered
from jaxmeta.types import Array, PyTree

_NOISE = {"random_bits", "threefry2x32", "random_wrap", "rng_bit_generator"}
_TINY = 1e-3  # a gradient that no clipping changes
_LONGEST = 4  # steps of one that goes up on purpose, as optax.contrib.sam does every other time
_MOST = 100  # steps that are tried of an optimizer that has not moved yet


def start(optimizer: optax.GradientTransformationExtraArgs, params: PyTree, key: Array, num_steps: int) -> PyTree:
    """An optimizer's first state, whose random keys, if it has some, are the task's own.

    Raises:
      ValueError: if the optimizer draws noise from a key that is not in its state, which would be the same in every
        task; if it goes up the gradient on leaves, as `optax.masked` does where it masks; or if none of all the
        steps moves anything.
      TypeError: if a leaf holds no real floats.
    """
    if num_steps:
        check_real("inner loop: params", params)
    state = optimizer.init(params)
    keys = list(filter(_is_key, jax.tree.leaves(state)))
    leaves, structure = jax.tree.flatten(params)
    if num_steps and leaves and not isinstance(params, Steered):
        _check_update(optimizer, structure, _shapes(leaves), bool(keys), num_steps)
    if not keys:
        return state
    own = jax.random.bits(key)
    return jax.tree.map(lambda leaf: _folded(leaf, own) if _is_key(leaf) else leaf, state)


def check_real(what: str, params: PyTree) -> None:
    """Raises TypeError unless all leaves are real floats: of complex ones JAX's gradient is the conjugate of what an
    optimizer goes down, and of integers there is none."""
    tree.check_arrays(what, params)
    for path, leaf in jax.tree.leaves_with_path(params):
        dtype = jnp.result_type(leaf)
        if not jnp.issubdtype(dtype, jnp.floating):
            hint = "keep what is not trained out of params, or make it floats"
            if jnp.issubdtype(dtype, jnp.complexfloating):
                hint = "keep the real and the imaginary part as two leaves"
            checks.fail(
                what, "leaves of real floats", f"{dtype} at {jax.tree_util.keystr(path) or 'params'}", hint, TypeError
            )


def updated(
    what: str,
    optimizer: optax.GradientTransformationExtraArgs,
    gradients: PyTree,
    state: PyTree,
    params: PyTree,
    value: Array,
) -> tuple[PyTree, PyTree]:
    """An optimizer's update, which is given `value` and `grad` if it takes them.

    Raises:
      TypeError: if it needs to be given more, or params of its own, as `optax.lookahead` does.
    """
    extra = {"value": value, "grad": gradients}
    taken = inspect.signature(optimizer.update).parameters
    if not any(each.kind is each.VAR_KEYWORD for each in taken.values()):
        extra = {name: given for name, given in extra.items() if name in taken}
    try:
        return optimizer.update(gradients, state, params, **extra)
    except AttributeError as error:
        if error.obj is not params:
            raise
        got, hint = f"one that reads params.{error.name}", "optax.lookahead wants two sets of them: take what it wraps"
        raise TypeError(checks.line(f"{what}: expected an optimizer of any params, got {got}; {hint}")) from error
    except TypeError as error:
        missing = re.search(r"(\S+)\(\) missing \d+ required .*arguments?: (.*)", str(error))
        if not missing:
            raise
        wanted = "an optimizer that needs no more than value and grad"
        got = f"{missing[1].split('.')[0]}, which needs {missing[2]}"
        hint = "take one without a line search or other evaluations of its own"
        raise TypeError(checks.line(f"{what}: expected {wanted}, got {got}; {hint}")) from error


def _is_key(leaf: Any) -> bool:
    """Whether it is a random key, one of the old kind included: two numbers of 32 bits."""
    dtype = getattr(leaf, "dtype", None)
    if dtype is None:
        return False
    return jnp.issubdtype(dtype, jax.dtypes.prng_key) or (dtype == jnp.uint32 and leaf.shape == (2,))


def _folded(key: Array, data: Array) -> Array:
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        fold = lambda key: jax.random.fold_in(key, data)  # noqa: E731
        return fold(key) if key.ndim == 0 else jax.vmap(fold)(key.ravel()).reshape(key.shape)
    return jax.random.key_data(jax.random.fold_in(jax.random.wrap_key_data(key), data))


@functools.lru_cache(maxsize=256)
def _check_update(
    optimizer: optax.GradientTransformationExtraArgs, structure: Any, shapes: tuple, has_key: bool, num_steps: int
) -> None:
    params = structure.unflatten([np.zeros(shape, dtype) for shape, dtype in shapes])
    try:
        traced = jax.make_jaxpr(functools.partial(_slopes, optimizer))(params)
    except Exception:
        return  # what it lacks is said where it is called
    if not has_key and primitives(traced) & _NOISE:
        checks.fail(
            "inner optimizer",
            "one that keeps its random key in its state, where every task's own is put",
            "one that draws noise from a key that all tasks share",
            "use optax.add_noise, or keep the key in the state",
        )
    if (found := _found(traced, params)) is None:
        return
    with jax.ensure_compile_time_eval():
        _refuse_ascent("inner optimizer", optimizer, found, params)
        _refuse_rest("inner optimizer", optimizer, found, params, num_steps)


def _found(traced: ClosedJaxpr, given: PyTree) -> Array | None:
    """The one array that a function gives, by one program, whatever is traced around it; None if it hangs on that, such
    as a rate in a grid of rates.

    Within `ensure_compile_time_eval` each operation on constants is a program of its own: a hundred for one network.
    """
    if any(isinstance(const, Tracer) for const in traced.consts):
        return None
    leaves = jax.tree.leaves(given)
    (found,) = jax.jit(jaxpr_as_fun(traced)).lower(*leaves).compile()(*leaves)
    return found


def check_descent(what: str, optimizer: optax.GradientTransformationExtraArgs, params: PyTree) -> None:
    """Raises ValueError if an update goes up the gradient: it is the gradient itself, as `optax.masked` leaves it, that
    of a transformation without a rate, or of a rate of the wrong sign. It is tried on leaves of one number, which is
    cheap whatever the network."""
    leaves, structure = jax.tree.flatten(params)
    if leaves:
        _check_descent(what, optimizer, structure, tuple((leaf.ndim, str(leaf.dtype)) for leaf in leaves))


@functools.lru_cache(maxsize=256)
def _check_descent(
    what: str, optimizer: optax.GradientTransformationExtraArgs, structure: Any, forms: tuple[tuple[int, str], ...]
) -> None:
    params = structure.unflatten([np.zeros((1,) * ndim, dtype) for ndim, dtype in forms])
    try:
        found = _found(jax.make_jaxpr(functools.partial(_slopes, optimizer))(params), params)
    except Exception:
        return  # what it lacks is said where it is called
    if found is not None:
        with jax.ensure_compile_time_eval():
            _refuse_ascent(what, optimizer, found, params)


def _slopes(optimizer: optax.GradientTransformationExtraArgs, params: PyTree, num_steps: int = 1) -> Array:
    """How far the first steps have gone up the gradient, in gradients, on each leaf [num_steps, num_leaves]: that of
    its number that goes least far, so that it is positive if the leaf as a whole goes up.

    It is half the difference between a gradient and its opposite: noise and weight decay cancel.
    """
    waves = jax.tree.leaves(_waves(params, _TINY))
    paths = (_path(optimizer, params, _waves(params, sign * _TINY), num_steps) for sign in (1, -1))
    return jnp.stack(
        [jnp.stack([_slope(*each) for each in zip(waves, *moved, strict=True)]) for moved in zip(*paths, strict=True)]
    )


def _slope(wave: Array, ahead: Array, back: Array) -> Array:
    odd, rounding = (ahead - back) / 2, 4 * jnp.finfo(ahead.dtype).eps * (jnp.abs(ahead) + jnp.abs(back))
    slope = jnp.where(jnp.abs(odd) > rounding, odd / wave, 0)
    return (slope.min() if slope.size else jnp.zeros(())).astype(float)


def _path(
    optimizer: optax.GradientTransformationExtraArgs, params: PyTree, gradients: PyTree, num_steps: int
) -> list[list[Array]]:
    """How far each leaf has moved after each of some steps along one and the same gradient."""
    state, total, path = None, jax.tree.map(jnp.zeros_like, params), []
    for _ in range(num_steps):
        changes, state, params = _updates(optimizer, gradients, params, state=state)
        total = jax.tree.map(jnp.add, total, changes)
        path.append(jax.tree.leaves(total))
    return path


def _refuse_ascent(what: str, optimizer: optax.GradientTransformationExtraArgs, slopes: Array, params: PyTree) -> None:
    """Raises ValueError if the first step, with these slopes [1, num_leaves], goes up on a leaf; but not if the next
    ones make up for it."""
    if not (up := np.asarray(slopes[0]) > 0).any():
        return
    path = np.asarray(_slopes(optimizer, _small(params), _LONGEST))
    up = up & ~((path[0] > 0) & (path <= 0).any(axis=0))
    if not up.any():
        return
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    hint = (
        "optax.masked passes on what it masks: partial_maml(.., adapts=) adapts some leaves, and "
        "optax.partition with optax.set_to_zero() freezes some"
    )
    if up.all():
        hint = "it has no learning rate, or one of the wrong sign: optax.chain(.., optax.scale(-rate)) goes down"
    is_itself = (np.asarray(slopes[0])[up] > 0.99).all()
    got = "the gradient itself at" if is_itself else "steps up the gradient at"
    found = ", ".join(name for name, each in zip(names, up, strict=True) if each)
    checks.fail(what, "updates that go down the gradient", f"{got} {found or 'params'}", hint)


def _refuse_rest(
    what: str, optimizer: optax.GradientTransformationExtraArgs, slopes: Array, params: PyTree, num_steps: int
) -> None:
    """Raises ValueError if none of all the steps moves anything, the first one having these slopes."""
    if np.asarray(slopes).any() or num_steps > _MOST:
        return
    ones = _small(params, 1)  # what is multiplied with the params would not move from zero

    @jax.jit
    def step(params: PyTree, state: PyTree) -> tuple[PyTree, PyTree, Array]:
        changes, state, params = _updates(optimizer, ones, params, state=state)
        return params, state, jnp.stack([jnp.any(leaf != 0) for leaf in jax.tree.leaves(changes)]).any()

    now, state = ones, optimizer.init(ones)
    for _ in range(num_steps):
        now, state, has_moved = step(now, state)
        if isinstance(has_moved, Tracer) or has_moved:
            return
    hint = "its rate is 0 in all of them, or it waits for more steps"
    checks.fail(what, f"an update that moves params within {num_steps} steps", "none", hint)


def differentiable(
    optimizer: optax.GradientTransformationExtraArgs, gradients: PyTree, params: PyTree
) -> tuple[PyTree, PyTree]:
    """The identity, which refuses to be differentiated where the optimizer's own derivative is not finite.

    One unit that no example activates is enough for a zero gradient, and a bias starts from zero, so these are the rule
    and not the exception.
    """
    return _guarded(optimizer, "gradients", gradients, params), _guarded(optimizer, "params", params, params)


def _guarded(optimizer: optax.GradientTransformationExtraArgs, with_respect_to: str, given: PyTree, params: PyTree):
    @jax.custom_jvp
    def guard(given: PyTree) -> PyTree:
        return given

    @guard.defjvp
    def guard_jvp(primals: tuple[PyTree], tangents: tuple[PyTree]) -> tuple[PyTree, PyTree]:
        leaves, structure = jax.tree.flatten(primals[0])
        # Learned rates are not zero as gradients and biases are.
        steering = len(jax.tree.leaves(params.by)) if isinstance(params, Steered) else 0
        if not _is_finite(optimizer, with_respect_to, structure, _shapes(leaves), steering):
            hint = "adam wants eps_root=1e-10; others, such as adaptive clipping and trust ratios, imaml or reptile"
            checks.fail(
                "inner optimizer",
                "a finite derivative of its update where gradients or params are zero (meta-gradients go through it)",
                f"one that is not finite with respect to the {with_respect_to}",
                hint,
            )
        return primals[0], tangents[0]

    return guard(given)


@functools.lru_cache(maxsize=256)
def _is_finite(
    optimizer: optax.GradientTransformationExtraArgs, with_respect_to: str, structure: Any, shapes: tuple, steering: int
) -> bool:
    """Whether the derivatives of two steps are finite where some gradients or params are zero."""

    def steps(gradients: PyTree, params: PyTree, value: Array) -> PyTree:
        changes, state, params = _updates(optimizer, gradients, params, value)
        return changes, _updates(optimizer, gradients, params, value, state)[0]

    def point(factors: Array) -> PyTree:
        """Ones times the two factors [num_leaves, 2] of each leaf, of its first rows and of the others."""
        leaves = [jnp.ones(shape, dtype) for shape, dtype in shapes]
        made = [
            leaf * (factors[index, 0] if not leaf.ndim else _halves(len(leaf), factors[index], leaf.ndim))
            for index, leaf in enumerate(leaves)
        ]
        return structure.unflatten([leaf.astype(one.dtype) for leaf, one in zip(made, leaves, strict=True)])

    def is_finite(factors: tuple[Array, Array]) -> Array:
        changes, pull = jax.vjp(steps, *map(point, factors), jnp.ones(()))
        slopes = pull(jax.tree.map(jnp.ones_like, changes))
        slopes = jax.tree.leaves(slopes[0] if with_respect_to == "gradients" else slopes[1:])
        return jnp.array([jnp.all(jnp.isfinite(leaf)) for leaf in slopes if _is_inexact(leaf)]).all()

    # Every other leaf is zero, or half of the rows of the only one: all zeros at once are the loss's minimum.
    count = len(shapes)
    some = np.tile(np.arange(count)[:, None] % 2, 2) if count > 1 else np.array([[0, 1]])
    some[count - steering :] = 1
    other = 1 - some
    other[count - steering :] = 1
    ones = np.ones_like(some)
    pairs = [(g, p) for half in (some, other) for g, p in ((half, half), (ones, half), (half, ones))]
    points = tuple(np.array(each, jnp.result_type(float)) for each in zip(*pairs, strict=True))
    found = _found(jax.make_jaxpr(lambda points: jax.lax.map(is_finite, points).all())(points), points)
    return found is None or bool(found)


def _halves(length: int, factors: Array, ndim: int) -> Array:
    return jnp.expand_dims(jnp.where(jnp.arange(length) < (length + 1) // 2, *factors), range(1, ndim))


def _is_inexact(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.inexact)


def _updates(
    optimizer: optax.GradientTransformationExtraArgs,
    gradients: PyTree,
    params: PyTree,
    value: Any = 1.0,
    state: PyTree = None,
) -> tuple[PyTree, PyTree, PyTree]:
    state = optimizer.init(params) if state is None else state
    changes, state = updated("inner optimizer", optimizer, gradients, state, params, jnp.asarray(value))
    return changes, state, optax.apply_updates(params, changes)


def _small(params: PyTree, value: int = 0) -> PyTree:
    """Params of one number a leaf, which are cheap whatever the network."""
    return jax.tree.map(lambda leaf: jnp.full((1,) * leaf.ndim, value, leaf.dtype), params)


def _waves(params: PyTree, size: float) -> PyTree:
    """Gradients that differ from number to number, and are never zero."""
    wave = lambda leaf: (size * (1.5 + jnp.cos(jnp.arange(leaf.size)))).reshape(leaf.shape).astype(leaf.dtype)  # noqa: E731
    return jax.tree.map(wave, params)


def _shapes(leaves: list[Array]) -> tuple:
    return tuple((jnp.shape(leaf), str(jnp.result_type(leaf))) for leaf in leaves)
