"""Pictures as a pretrained encoder sees them: its features, computed once, are what is learned from."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from jaxmeta import baselines, checks, datasets, encoders, memory, models, tasks
from jaxmeta.encoders import features
from jaxmeta.recipes.kinds import frames, labelled
from jaxmeta.recipes.kinds.kind import Domain, Given, Own, Place, Shape, Sizes
from jaxmeta.recipes.kinds.pictures import PICTURES, SHARE, pictures_of
from jaxmeta.recipes.recipe import Task
from jaxmeta.recipes.scoring import SCORINGS
from jaxmeta.types import MetaLearner


@functools.lru_cache(maxsize=4)
def encoder(name_or_path: str) -> encoders.Encoder:
    """A pretrained encoder, read once."""
    return encoders.open(name_or_path)


def _fits(task: Task, place: Place) -> bool:
    return bool(task.encoder) and SCORINGS[task.criterion].has_classes


def _complete(task: Task, places: Sequence[Place]) -> Task:
    return dataclasses.replace(PICTURES.complete(task, places), picture=encoder(task.encoder).picture)


def _encoded(task: Task, pictures: np.ndarray) -> np.ndarray:
    return features.features(encoder(task.encoder), pictures)


def _pictures(task: Task, place: Place) -> datasets.Examples:
    """A split as pictures of the encoder's size; what is drawn is drawn once, in grey."""
    if place.part in ("strokes", "drawn_strokes"):
        height, width, _ = task.picture
        return PICTURES.labelled(dataclasses.replace(task, picture=(height, width, 1)), place)
    return pictures_of(task, place)


def _labelled(task: Task, place: Place) -> datasets.Examples:
    loaded = _pictures(task, place)
    return loaded._replace(inputs=_encoded(task, loaded.inputs))


def _open(task: Task, place: Place, sizes: Sizes) -> Domain:
    options = {"num_ways": sizes.ways, "num_shots": sizes.shots, "num_queries": sizes.queries}
    for wanted in ("sinusoid", "tabular"):
        if place.part == wanted:
            checks.fail("`domain`", "pictures, as the encoder takes", repr(wanted))
    loaded = _pictures(task, place)

    def sampled() -> tasks.Sample:
        encoded = loaded._replace(inputs=_encoded(task, loaded.inputs))
        large = encoded.inputs.nbytes > memory.available() // SHARE
        return (tasks.streamed if large else tasks.few_shot)(encoded, **options)

    return labelled.domain(place, loaded, sampled)


def _across(task: Task, place: Place, other: Place, sizes: Sizes) -> Domain:
    own = lambda place: _labelled(task, place)  # noqa: E731
    return labelled.across(place, other, own, sizes, lambda sample, _: sample)


def _augmented(task: Task, sample: tasks.Sample) -> tasks.Sample:
    if task.augment != "none":
        checks.fail("`augment`", "none, since features are computed once", task.augment)
    return sample


def _shape(task: Task) -> Shape:
    return Shape((sum(features.dims(encoder(task.encoder))),), task.ways)


def _floors(task: Task, ways: int) -> dict[str, MetaLearner]:
    """What the encoder alone gives: its own features, and those of all its stages."""
    criterion, last = SCORINGS[task.criterion].criterion, features.dims(encoder(task.encoder))[-1]
    alone = models.from_functions(lambda key: (), lambda params, inputs: inputs[:, -last:])
    return {
        "frozen features, nearest centroid": baselines.cosine_centroid(criterion, num_ways=ways, encoder=alone),
    }


def _read(task: Task, own: Own, ways: int) -> Given:
    given = PICTURES.read(task, own._replace(polarity=_shown(own.polarity)), ways)
    support = given.support._replace(inputs=jnp.asarray(_encoded(task, np.asarray(given.support.inputs))))
    return given._replace(support=support, inputs=_encoded(task, np.asarray(given.inputs)))


def _read_inputs(task: Task, own: Own, frame: frames.Frame) -> tuple[list[str], np.ndarray]:
    given, inputs = PICTURES.read_inputs(task, own, frame)
    return given, _encoded(task, np.asarray(inputs))


def _shown(polarity: str) -> str:
    """An encoder of photographs has seen light paper: nothing is turned unless it is asked for."""
    return "as_is" if polarity == "ink" else polarity
