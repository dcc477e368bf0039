"""Small trainable parts inside a network that is frozen: residual adapters (TSA), FiLM on norms, LoRA."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmeta import checks, tree
from jaxmeta.types import Array, Init, Model, PyTree


class FrozenModel(NamedTuple):
    """A model that takes weights beside its params: nobody trains them, and they are not copied per task."""

    frozen: PyTree
    """The weights, as they were read."""
    init: Init
    """(key) -> params, all that a learner sees, such as adapters."""
    apply: Callable[..., PyTree]
    """(frozen, params, inputs [n, ...], mask=None, context=()) -> outputs [n, ...]"""
    context: Callable[[PyTree, PyTree, PyTree], PyTree] = lambda frozen, params, support: ()
    """(frozen, params, support) -> what `apply` takes as context; () for none."""

    def bound(self, frozen: PyTree) -> Model:
        """The model with these weights."""
        return Model(self.init, functools.partial(self.apply, frozen), functools.partial(self.context, frozen))

    def then(self, change: Callable[[PyTree], PyTree]) -> FrozenModel:
        """The model whose outputs are changed."""
        return self._replace(apply=lambda *given, **named: change(self.apply(*given, **named)))

    def with_head(self, num_inputs: int, num_outputs: int) -> FrozenModel:
        """The model with a dense layer behind it, which starts from 0: params are {"body": own, "head": layer}."""

        def init(key: Array) -> dict[str, PyTree]:
            head = {"kernel": jnp.zeros((num_inputs, num_outputs)), "bias": jnp.zeros(num_outputs)}
            return {"body": self.init(key), "head": head}

        def apply(frozen: PyTree, params: PyTree, inputs: PyTree, mask: Array | None = None, context: PyTree = ()):
            head, made = params["head"], self.apply(frozen, params["body"], inputs, mask, context)
            return made @ head["kernel"] + head["bias"][None]

        return self._replace(
            init=init,
            apply=apply,
            context=lambda frozen, params, support: self.context(frozen, params["body"], support),
        )


class Place(NamedTuple):
    """A layer of the network, as an adapter meets it."""

    layer: nn.Module
    inputs: tuple[int, ...]
    """The shape of what it is given."""
    outputs: tuple[int, ...]
    """The shape of what it makes of that."""


class Rule(NamedTuple):
    """A kind of adapter."""

    init: Callable[[Place, Array], PyTree | None]
    """(place, key) -> params that change nothing yet, or None where this kind has no place."""
    change: Callable[[Place, PyTree, Array, Array], Array]
    """(place, params, inputs of the layer, outputs of the layer) -> changed outputs"""


def wrap(
    module: nn.Module,
    variables: PyTree,
    example_inputs: PyTree,
    rule: Rule,
    *,
    where: Callable[[str], bool] = lambda path: True,
    method: str | Callable[..., PyTree] = "__call__",
) -> FrozenModel:
    """Freezes a linen module and puts adapters at its layers, whatever its code.

    Args:
      module: any linen module; its layers are found by calling it once, in shapes.
      variables: its variables, {"params": .., and others}.
      example_inputs: inputs [n, ...], or their shapes.
      rule: `tsa`, `film`, `lora(rank)`, or one of your own.
      where: (path) -> bool, the layers that may have an adapter, by paths such as "Block_3/Conv_0".
      method: what of the module is called: a name, or (module, inputs) -> outputs.

    Returns:
      A FrozenModel whose params are {path: adapter}; where they are as `init` made them, its outputs are the module's.

    Raises:
      ValueError: if no layer has a place for an adapter.

    Example:
      >>> import flax.linen as nn, jax, jax.numpy as jnp
      >>> from jaxmeta import models
      >>> module, inputs = nn.Dense(3), jnp.ones((2, 4))
      >>> model = models.wrap(nn.Sequential([module]), {"params": {"layers_0": {
      ...     "kernel": jnp.ones((4, 3)), "bias": jnp.zeros(3)}}}, inputs, models.lora(2))
      >>> jax.tree.map(jnp.shape, model.init(jax.random.key(0)))
      {'layers_0': {'down': (4, 2), 'up': (2, 3)}}
    """
    places = {path: place for path, place in _places(module, variables, example_inputs, method).items() if where(path)}

    def init(key: Array) -> dict[str, PyTree]:
        keys = jax.random.split(key, len(places))
        made = {path: rule.init(place, own) for (path, place), own in zip(places.items(), keys, strict=True)}
        return {path: adapter for path, adapter in made.items() if adapter is not None}

    if not places or not jax.eval_shape(init, jax.random.key(0)):
        checks.fail("wrap", "a network with layers that this adapter fits", f"{', '.join(places) or 'none'}")

    def apply(
        frozen: PyTree, params: Mapping[str, PyTree], inputs: PyTree, mask: Array | None = None, context: PyTree = ()
    ) -> PyTree:
        del mask, context

        def adapt(next_fun: Any, args: Any, kwargs: Any, called: Any) -> Any:
            outputs = next_fun(*args, **kwargs)
            adapter = params.get(_path(called)) if called.method_name == "__call__" else None
            if adapter is None:
                return outputs
            return rule.change(places[_path(called)], adapter, _given(args, kwargs), outputs)

        with nn.intercept_methods(adapt):
            return module.apply(frozen, inputs, method=method)

    return FrozenModel(variables, init, apply)


def differences(
    module: nn.Module,
    variables: PyTree,
    example_inputs: PyTree,
    *,
    where: Callable[[str], bool] = lambda path: True,
    method: str | Callable[..., PyTree] = "__call__",
) -> FrozenModel:
    """Freezes a linen module and adds a trainable difference, 0 at first, to all weights that a call uses.

    So the whole network is trained, and what is kept of it is how far each weight went.

    Args:
      module, variables, example_inputs, method: as for `wrap`.
      where: (path) -> bool, the weights that may change, by paths such as "Block_3/Conv_0/kernel".

    Returns:
      A FrozenModel whose params are {path: difference}.

    Raises:
      ValueError: if `where` leaves none.
    """
    called = lambda key, inputs: module.init(key, inputs, method=method)  # noqa: E731
    used = jax.eval_shape(called, jax.random.key(0), example_inputs)["params"]
    shapes = {path: leaf.shape for path, leaf in zip(tree.paths(used), jax.tree.leaves(used), strict=True)}
    places = {path: shape for path, shape in shapes.items() if where(path)}
    if not places:
        checks.fail("differences: where", f"at least one of {', '.join(shapes)}", "none of them")

    def init(key: Array) -> dict[str, Array]:
        del key
        return {path: jnp.zeros(shape) for path, shape in places.items()}

    def apply(
        frozen: PyTree, params: Mapping[str, Array], inputs: PyTree, mask: Array | None = None, context: PyTree = ()
    ) -> PyTree:
        del mask, context
        leaves, structure = jax.tree.flatten(frozen["params"])
        names = tree.paths(frozen["params"])
        moved = [leaf + params[name] if name in params else leaf for name, leaf in zip(names, leaves, strict=True)]
        return module.apply({**frozen, "params": structure.unflatten(moved)}, inputs, method=method)

    return FrozenModel(variables, init, apply)


def _path(called: Any) -> str:
    return "/".join(called.module.path)


def _places(module: nn.Module, variables: PyTree, example_inputs: PyTree, method: Any) -> dict[str, Place]:
    """The layers that have weights of their own and map an array to an array, in the order in which they are called."""
    found: dict[str, Place] = {}

    def look(next_fun: Any, args: Any, kwargs: Any, called: Any) -> Any:
        outputs = next_fun(*args, **kwargs)
        given = _given(args, kwargs)
        arrays = all(hasattr(each, "shape") for each in (given, outputs))
        if called.method_name == "__call__" and arrays and _path(called):
            found[_path(called)] = Place(called.module.clone(parent=None), given.shape, outputs.shape)
        return outputs

    with nn.intercept_methods(look):
        jax.eval_shape(lambda given, inputs: module.apply(given, inputs, method=method), variables, example_inputs)
    return {path: place for path, place in found.items() if not any(other.startswith(f"{path}/") for other in found)}


def _given(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What a layer is called on, in place or by name."""
    return next(iter((*args, *kwargs.values())), None)


def _strides(place: Place) -> tuple[slice, slice] | None:
    """Where a convolution's outputs stand in its inputs; None where they stand nowhere, as a transposed one's."""
    own = getattr(place.layer, "strides", getattr(place.layer, "stride", 0))
    own = 1 if own is None else own
    found = []
    for axis, stride in enumerate((own, own) if isinstance(own, int) else own):
        size, wanted = place.inputs[1 + axis], place.outputs[1 + axis]
        stride = stride or -(-size // wanted)  # a layer that does not tell pads as much as its kernel takes
        span = (wanted - 1) * stride + 1
        if span > size:
            return None
        # What is not padded has its outputs in the middle.
        start = 0 if -(-size // stride) == wanted else (size - span) // 2
        found.append(slice(start, start + span, stride))
    return found[0], found[1]


def _residual(place: Place, key: Array) -> PyTree | None:
    del key
    if len(place.inputs) != 4 or ("Conv" not in type(place.layer).__name__ and not _is_depthwise(place)):
        return None
    if _strides(place) is None:
        return None
    channels = place.inputs[-1]
    return (
        {"scale": jnp.zeros(channels)} if _is_depthwise(place) else {"kernel": jnp.zeros((channels, place.outputs[-1]))}
    )


def _is_depthwise(place: Place) -> bool:
    """Whether each channel is convolved alone, and stays one."""
    alone = "Depthwise" in type(place.layer).__name__
    alone |= 1 < getattr(place.layer, "feature_group_count", 1) == place.inputs[-1]
    return alone and place.inputs[-1] == place.outputs[-1]


def _add(place: Place, params: PyTree, inputs: Array, outputs: Array) -> Array:
    rows, columns = _strides(place._replace(inputs=inputs.shape, outputs=outputs.shape)) or (slice(None), slice(None))
    x = inputs[:, rows, columns]
    return outputs + (x * _across(params["scale"], x) if "scale" in params else x @ params["kernel"])


def _across(channels: Array, x: Array) -> Array:
    """A number of each channel, in the rank of x."""
    return jnp.expand_dims(channels, range(x.ndim - 1))


tsa = Rule(_residual, _add)
"""A residual 1 x 1 convolution beside each convolution, a scale of each channel beside a depthwise one.

Li et al., Cross-domain Few-shot Learning with Task-specific Adapters, 2022, section 3.2.
"""


def _modulation(place: Place, key: Array) -> PyTree | None:
    del key
    if getattr(place.layer, "axis", -1) not in (-1, len(place.outputs) - 1):  # channels stand elsewhere
        return None
    channels = place.outputs[-1]
    return (
        {"scale": jnp.zeros(channels), "shift": jnp.zeros(channels)} if "Norm" in type(place.layer).__name__ else None
    )


def _modulate(place: Place, params: PyTree, inputs: Array, outputs: Array) -> Array:
    del place, inputs
    return outputs * (1 + _across(params["scale"], outputs)) + _across(params["shift"], outputs)


film = Rule(_modulation, _modulate)
"""A scale and a shift of each channel behind each norm.

Requeima et al., Fast and Flexible Multi-task Classification Using CNAPs, 2019, section 2.1; a task's own, without a
network that makes them.
"""


def lora(rank: int) -> Rule:
    """A matrix of low rank beside each dense layer, whose second factor starts at 0.

    Hu et al., LoRA: Low-rank Adaptation of Large Language Models, 2022, section 4.1.
    """
    rank = checks.integer("lora: rank", rank, 1)

    def init(place: Place, key: Array) -> PyTree | None:
        if "Dense" not in type(place.layer).__name__ or (axes := _contracted(place)) is None:
            return None
        kept = len(place.inputs) - len(axes)
        if place.outputs[:kept] != tuple(size for axis, size in enumerate(place.inputs) if axis not in axes):
            return None
        channels = math.prod(place.inputs[axis] for axis in axes)
        down = jax.random.normal(key, (channels, rank)) / math.sqrt(channels)
        return {"down": down, "up": jnp.zeros((rank, math.prod(place.outputs[kept:])))}

    def change(place: Place, params: PyTree, inputs: Array, outputs: Array) -> Array:
        axes = _contracted(place) or ()
        x = jnp.moveaxis(inputs, axes, range(-len(axes), 0))
        x = x.reshape(*x.shape[: x.ndim - len(axes)], -1)
        return outputs + (x @ params["down"] @ params["up"]).reshape(outputs.shape)

    return Rule(init, change)


def _contracted(place: Place) -> tuple[int, ...] | None:
    """The axes of its inputs that a dense layer takes together, the last as a rule; None for one with batch axes."""
    if getattr(place.layer, "batch_dims", ()):
        return None
    axes = getattr(place.layer, "axis", -1)
    return tuple(axis % len(place.inputs) for axis in ((axes,) if isinstance(axes, int) else axes))
