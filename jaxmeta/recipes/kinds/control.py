"""Control: tasks are environments, support sets are rollouts, and what is compared are returns."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import jax
import numpy as np

from jaxmeta import checks, control, evaluation, models, tasks
from jaxmeta.recipes import names
from jaxmeta.recipes.kinds import shown, vectors
from jaxmeta.recipes.kinds.frames import Frame
from jaxmeta.recipes.kinds.kind import Domain, Kind, Own, Place, Shape, Sizes
from jaxmeta.recipes.recipe import Network, Task
from jaxmeta.types import MetaLearner, Model

DOMAINS: dict[str, Callable[..., tasks.Sample]] = {
    "navigation": control.navigation,
    **{
        "arm" if body == "same" else f"arm:{body}": functools.partial(control.arm, body=body) for body in control.BODIES
    },
    "pendulum": control.pendulum,
    "cartpole": control.cartpole,
    "grid": control.grid,
    "cheetah:direction": control.cheetah_direction,
    "cheetah:velocity": control.cheetah_velocity,
}


def _fits(task: Task, place: Place) -> bool:
    return place.part in DOMAINS and not task.encoder


def _rules(part: str) -> control.Rules:
    sample = DOMAINS[checks.choice("`domain`", part, DOMAINS)](num_shots=1, num_queries=1)
    return jax.eval_shape(sample, jax.random.key(0)).support.rules


def _complete(task: Task, places: Sequence[Place]) -> Task:
    found = {_rules(place.part).name: place.part for place in places}
    if len(found) > 1:
        checks.fail("`domain`", "bodies of one environment, which one policy fits", " and ".join(found.values()))
    return task


def _open(task: Task, place: Place, sizes: Sizes) -> Domain:
    del task
    make = DOMAINS[checks.choice("`domain`", place.part, DOMAINS)]
    return Domain(make(num_shots=sizes.shots, num_queries=sizes.queries), place.split, {})


def _across(task: Task, place: Place, other: Place, sizes: Sizes) -> NoReturn:
    checks.fail("`query_domain`", "classes, which two domains may share", f"returns in {names.short(other.part)!r}")


def _labelled(task: Task, place: Place) -> NoReturn:
    checks.fail("`domain`", "pictures, for a learner that is pre-trained", repr(names.short(place.part)))


def _drawn_shape(task: Task, support: Any) -> Shape:
    del task
    rules = support.rules
    return Shape((rules.num_observations,), rules.num_actions, rules.space)


def _shape(task: Task) -> Shape | None:
    parts = [part for part in names.parts(task.domain) if part in DOMAINS]
    if not parts:
        return None
    rules = _rules(parts[0])
    return Shape((rules.num_observations,), rules.num_actions, rules.space)


def _network(network: Network, shape: Shape, outputs: int | None, num_context_params: int) -> Model:
    if outputs is None:
        return vectors.network(network, shape, outputs, num_context_params)
    make = models.gaussian_policy if shape.space == "continuous" else models.categorical_policy
    return make(math.prod(shape.inputs) + num_context_params, outputs, hidden=network.hidden)


def _floors(task: Task, ways: int) -> dict[str, MetaLearner]:
    """None: there are no raw inputs to read an action from; the untrained policy is the floor."""
    del task, ways
    return {}


def _read(task: Task, own: Own, ways: int) -> NoReturn:
    checks.fail("adapt", "a run of labelled examples", "one of control, which adapts to rollouts and not to files")


def _read_inputs(task: Task, own: Own, frame: Frame) -> NoReturn:
    _read(task, own, 0)


def _class_sizes(task: Task, place: Place) -> np.ndarray | None:
    del task, place
    return None


def _augmented(task: Task, sample: tasks.Sample) -> tasks.Sample:
    return sample


CONTROL = Kind(
    name="control",
    fits=_fits,
    complete=_complete,
    open=_open,
    across=_across,
    labelled=_labelled,
    augmented=_augmented,
    class_sizes=_class_sizes,
    shape=_shape,
    network=_network,
    maps=vectors.maps,
    relation=vectors.relation,
    condition=models.concatenate,
    has_norm=False,
    pretrains=False,
    base=lambda task, learner: f"{learner.replace('_', '-')}-navigation",
    reader=vectors.reader,
    floors=_floors,
    read=_read,
    read_inputs=_read_inputs,
    shown=lambda task, place, sizes: shown.Shown("policies"),
    drawn_shape=_drawn_shape,
    columns={"joint": evaluation.as_is},
    tested_steps=lambda fewest, steps: range(fewest, steps + 1),
)
