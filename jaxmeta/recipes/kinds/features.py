"""Pictures as a pretrained encoder sees them: its features, computed once, are what is learned from."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from jaxmeta import baselines, checks, datasets, encoders, memory, models, tasks
from jaxmeta.encoders import features
from jaxmeta.recipes import names
from jaxmeta.recipes.kinds import frames, labelled, pictures, shown, vectors
from jaxmeta.recipes.kinds.kind import Domain, Given, Own, Place, Shape, Sizes
from jaxmeta.recipes.recipe import Network, Task
from jaxmeta.recipes.scoring import SCORINGS
from jaxmeta.types import Array, Batch, MetaLearner, Model, PyTree

SCALE = 3.0  # of embeddings at first: distances of parts of length 1 are small, and their softmax nearly flat
PENALTY = 0.01  # of logistic regression, likewise
CENTROID, REGRESSION = "frozen features, nearest centroid", "frozen features, logistic regression"


@functools.lru_cache(maxsize=4)
def encoder(name_or_path: str) -> encoders.Encoder | encoders.TextEncoder:
    """A pretrained encoder of pictures or of texts, read once.

    Raises:
      ValueError: if none is given, where the kind of data is said to be one that asks for it.
      DataError: if it is not there, damaged, or none that is known.
    """
    if not name_or_path:
        checks.fail("`encoder`", "a pretrained encoder, as `kind` asks for one", "none", "give `encoder`")
    return encoders.open_text(name_or_path) if encoders.is_text(name_or_path) else encoders.open(name_or_path)


def _fits(task: Task, place: Place) -> bool:
    return bool(task.encoder) and SCORINGS[task.criterion].has_classes


def _complete(task: Task, places: Sequence[Place]) -> Task:
    """Pictures are of the encoder's own size, unless another is asked for."""
    asked = task.picture if task.picture != Task().picture else _of_pictures(task.encoder).picture
    return dataclasses.replace(pictures.PICTURES.complete(task, places), picture=(*asked[:2], 3))


def form(task: Task) -> encoders.Encoder:
    """The task's encoder, for pictures of the task's size."""
    return _of_pictures(task.encoder)._replace(picture=task.picture)


def _of_pictures(name_or_path: str) -> encoders.Encoder:
    found = encoder(name_or_path)
    if isinstance(found, encoders.TextEncoder):
        checks.fail("`encoder`", "one of pictures", f"{name_or_path!r}, one of texts")
    return found


def _encoded(task: Task, inputs: np.ndarray) -> np.ndarray:
    encode = features.features if task.adapters == "none" else features.trunk
    return encode(form(task), inputs)


def _pictures(task: Task, place: Place) -> datasets.Examples:
    """A split as pictures of the encoder's size; what is drawn is drawn once, in grey."""
    if place.part in ("strokes", "drawn_strokes"):
        height, width, _ = task.picture
        return pictures.PICTURES.labelled(dataclasses.replace(task, picture=(height, width, 1)), place)
    return pictures.examples(task, place)


def _labelled(task: Task, place: Place) -> datasets.Examples:
    return _seen(task, _pictures(task, place))


def _seen(task: Task, loaded: datasets.Examples) -> datasets.Examples:
    return loaded._replace(inputs=_encoded(task, loaded.inputs))


def _open(task: Task, place: Place, sizes: Sizes) -> Domain:
    options = {"num_ways": sizes.ways, "num_shots": sizes.shots, "num_queries": sizes.queries}
    if place.part == "tabular" or names.is_function(place.part):
        checks.fail("`domain`", "pictures, as the encoder takes", repr(place.part))
    loaded = _pictures(task, place)

    def sampled() -> tasks.Sample:
        encoded = _seen(task, loaded)
        large = encoded.inputs.nbytes > memory.available() // pictures.SHARE
        return augmented(task, (tasks.streamed if large else tasks.few_shot)(encoded, **options))

    return sealed(task, labelled.domain(place, loaded, sampled))


def sealed(task: Task, domain: Domain) -> Domain:
    """The domain whose checksums name the encoder, too."""
    return domain._replace(checksums=domain.checksums | {"encoder": encoder(task.encoder).checksum})


def _across(task: Task, place: Place, other: Place, sizes: Sizes) -> Domain:
    own = lambda place: _labelled(task, place)  # noqa: E731
    return sealed(task, labelled.across(place, other, own, sizes, lambda sample, _: sample))


def _class_sizes(task: Task, place: Place) -> np.ndarray | None:
    return np.diff(_pictures(task, place).offsets)


def augmented(task: Task, sample: tasks.Sample) -> tasks.Sample:
    """What is computed once is not changed at random."""
    if task.augment != "none":
        checks.fail("`augment`", "none, since features are computed once", task.augment)
    return sample


def _shape(task: Task) -> Shape:
    return Shape((sum(features.dims(form(task))),), task.ways)


def _network(network: Network, shape: Shape, outputs: int | None, num_context_params: int) -> Model:
    """A gain of each feature for what compares them, one layer for a head."""
    if num_context_params:
        return vectors.network(network, shape, outputs, num_context_params)
    size = math.prod(shape.inputs)
    return gains(size) if outputs is None else models.mlp(size, outputs, hidden=())


def gains(size: int) -> Model:
    """Features times a learned factor each."""

    def apply(params: PyTree, inputs: Array) -> Array:
        return SCALE * inputs * (1 + params["gain"])[None]

    return models.from_functions(lambda key: {"gain": jnp.zeros(size)}, apply)


def _reader(network: Network, shape: Shape) -> Model:
    return vectors.reading(gains(math.prod(shape.inputs)), network, shape)


def _floors(task: Task, ways: int) -> dict[str, MetaLearner]:
    """What those features give that the encoder is known for."""
    return known_floors(task, ways, features.dims(form(task))[0])


def known_floors(task: Task, ways: int, own: int) -> dict[str, MetaLearner]:
    """What the first `own` features give."""
    criterion = SCORINGS[task.criterion].criterion
    known = models.from_functions(lambda key: (), lambda params, inputs: inputs[:, :own])
    regression = baselines.logistic_regression(criterion, num_ways=ways, penalty=PENALTY)
    return {
        CENTROID: baselines.cosine_centroid(known, criterion, num_ways=ways),
        REGRESSION: regression._replace(
            adapt=lambda params, support, key: regression.adapt(params, _first(support, own), key),
            predict=lambda params, adapted, inputs, mask=None: regression.predict(
                params, adapted, inputs[:, :own], mask
            ),
        ),
    }


def _first(support: Batch, own: int) -> Batch:
    return support._replace(inputs=support.inputs[:, :own])


def _read(task: Task, own: Own, ways: int) -> Given:
    # An encoder of photographs has seen light paper: nothing is turned unless it is asked for.
    given = pictures.PICTURES.read(
        task, own._replace(polarity="as_is" if own.polarity == "ink" else own.polarity), ways
    )
    support = given.support._replace(inputs=jnp.asarray(_encoded(task, np.asarray(given.support.inputs))))
    return given._replace(support=support, inputs=_encoded(task, np.asarray(given.inputs)))


def _read_inputs(task: Task, own: Own, frame: frames.Frame) -> tuple[list[str], np.ndarray]:
    given, inputs = pictures.PICTURES.read_inputs(task, own, frame)
    return given, _encoded(task, np.asarray(inputs))


def _shown(task: Task, place: Place, sizes: Sizes) -> shown.Shown:
    return shown.of_examples("pictures", _pictures(task, place), **sizes._asdict())


FEATURES = pictures.PICTURES._replace(
    name="features",
    fits=_fits,
    complete=_complete,
    open=_open,
    across=_across,
    labelled=_labelled,
    augmented=augmented,
    class_sizes=_class_sizes,
    shape=_shape,
    network=_network,
    reader=_reader,
    maps=vectors.maps,
    relation=vectors.relation,
    condition=models.concatenate,
    has_norm=False,
    floors=_floors,
    read=_read,
    read_inputs=_read_inputs,
    shown=_shown,
)
