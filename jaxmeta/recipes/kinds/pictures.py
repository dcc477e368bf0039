"""Pictures of classes: glyphs, photographs, scans."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import baselines, checks, datasets, memory, models, tasks
from jaxmeta.datasets import files
from jaxmeta.recipes import names
from jaxmeta.recipes.kinds import facts, frames, grounds, labelled, shown, vectors
from jaxmeta.recipes.kinds.kind import Domain, Given, Kind, Own, Place, Shape, Sizes
from jaxmeta.recipes.recipe import Network, Task
from jaxmeta.recipes.scoring import SCORINGS
from jaxmeta.types import MetaLearner, Model

SHARE = 4  # of a device's memory that data may take; more of them stay on the host
STROKES = 1000  # classes, where supervised training wants a number


def _fits(task: Task, place: Place) -> bool:
    return SCORINGS[task.criterion].has_classes


def _complete(task: Task, places: Sequence[Place]) -> Task:
    del places
    if task.num_features:
        wanted = f"a table, since the network takes {task.num_features} columns"
        checks.fail("`domain`", wanted, f"the pictures of {names.short(task.domain)!r}")
    return task


def _form(task: Task) -> datasets.Form:
    return datasets.Form(*task.picture, task.polarity)


def _check(part: str) -> Any:
    def check(inputs: np.ndarray) -> None:
        if inputs.ndim == 2:
            checks.fail("`domain`", "pictures, as the network takes", f"the table {names.short(part)!r}")

    return check


def examples(task: Task, place: Place) -> datasets.Examples:
    """A split of one domain as pictures in the task's form."""
    if place.part == "drawn_strokes":
        return _drawn_strokes(_square(task), place.split)

    def load(split: str | None) -> datasets.Examples:
        options: dict[str, Any] = {"data_dir": place.data_dir, "split": split}
        is_table = place.part in ("breast_cancer", "diabetes") or datasets.is_table(place.part)
        if is_table or names.suffix(place.part) == ".npz":
            own = {"target_column": labelled.target(task, place.part), "columns": labelled.columns(task, place.part)}
            plain = datasets.load(place.part, **options, **own)
            if plain.inputs.ndim == 2:
                return plain
        return datasets.load(place.part, **options, form=_form(task))

    return labelled.examples(task, place, load, _check(place.part))


def _open(task: Task, place: Place, sizes: Sizes) -> Domain:
    options = {"num_ways": sizes.ways, "num_shots": sizes.shots, "num_queries": sizes.queries}
    if names.is_function(place.part):
        checks.fail("`domain`", "classes, for cross_entropy", place.part, "use a preset of regression")
    if place.part == "tabular":
        checks.fail("`domain`", "pictures, as the network takes", "the table 'tabular'")
    if place.part == "strokes":
        sample = tasks.strokes(**options, split=place.split, size=_square(task))
        return Domain(_augmented(task, place, sample), place.split, {})
    loaded = examples(task, place)
    _check_differ(place, loaded.inputs)

    def sampled() -> tasks.Sample:
        large = loaded.inputs.nbytes > memory.available() // SHARE
        return _augmented(task, place, (tasks.streamed if large else tasks.few_shot)(loaded, **options))

    # Splits of one name differ from paper to paper.
    named = f"1100/100/423 {place.split}" if place.part == "omniglot" else None
    return labelled.domain(place, loaded, sampled, named)


def _across(task: Task, place: Place, other: Place, sizes: Sizes) -> Domain:
    own = lambda place: _labelled(task, place)  # noqa: E731
    return labelled.across(place, other, own, sizes, lambda sample, _: sample)


def _check_differ(place: Place, inputs: np.ndarray) -> None:
    """Raises DataError if all pictures are blank: there is nothing to learn, and nobody would be told."""
    looked_at = inputs[:: max(1, len(inputs) // 4096)]
    if looked_at.min() == looked_at.max():
        got = f"{looked_at.min()} everywhere"
        checks.fail(f"`domain` {names.short(place.part)}", "pictures that differ", got, error=checks.DataError)


def _augmented(task: Task, place: Place, sample: tasks.Sample) -> tasks.Sample:
    return augmented(task, sample) if place.split == "train" else sample


def augmented(task: Task, sample: tasks.Sample) -> tasks.Sample:
    """Training tasks whose pictures are changed at random, as the task asks."""
    if task.augment not in ("none", "affine"):
        checks.fail("`augment`", "none or affine, for pictures", task.augment)
    return sample if task.augment == "none" else tasks.augmented(sample, tasks.affine())


def _square(task: Task) -> int:
    if task.picture[0] != task.picture[1] or task.picture[2] != 1:
        checks.fail("strokes", "square grey pictures", task.picture, "use `picture` 28 28 1")
    return task.picture[0]


def _labelled(task: Task, place: Place) -> datasets.Examples:
    return _drawn_strokes(_square(task), place.split) if place.part == "strokes" else examples(task, place)


@functools.lru_cache(maxsize=3)
def _drawn_strokes(size: int, split: str) -> datasets.Examples:
    """Strokes have classes without end; as many as a data set has are drawn once."""
    sample = tasks.strokes(num_ways=10, num_shots=20, num_queries=1, split=split, size=size)

    @jax.jit
    def drawn(key: jax.Array) -> jax.Array:
        # One after the other, so that what is drawn stays in the cache.
        return jax.lax.map(
            lambda index: sample(jax.random.fold_in(key, index)).support.inputs, jnp.arange(STROKES // 10)
        )

    pictures = np.rint(255 * np.asarray(drawn(jax.random.key(0)))).astype(np.uint8)
    pictures = pictures.reshape(STROKES * 20, *pictures.shape[2:])
    return datasets.from_labels(pictures, np.repeat(np.arange(STROKES), 20), name="strokes", split=split, checksums={})


def _class_sizes(task: Task, place: Place) -> np.ndarray | None:
    return None if place.part == "strokes" else np.diff(examples(task, place).offsets)


def _shape(task: Task) -> Shape:
    return Shape(task.picture, task.ways)


def _convolutions(network: Network) -> dict[str, Any]:
    return {"num_filters": network.num_filters, "norm": network.norm, "downsampling": network.downsampling}


def _network(network: Network, shape: Shape, outputs: int | None, num_context_params: int) -> Model:
    height, width, channels = shape.inputs
    picture, options = (height, width, channels), _convolutions(network)
    if num_context_params:
        return models.film_conv4(picture, shape.outputs, num_context_params=num_context_params, **options)
    return models.conv4(picture, outputs, **options)


def _maps(network: Network, shape: Shape) -> Model:
    height, width, channels = shape.inputs
    return models.conv4_maps((height, width, channels), **_convolutions(network))


def _relation(network: Network, maps: tuple[int, ...]) -> Model:
    height, width, channels = maps
    return models.relation_module((height, width, channels), **_convolutions(network))


def _floors(task: Task, ways: int) -> dict[str, MetaLearner]:
    criterion = SCORINGS[task.criterion].criterion
    return {"raw inputs, nearest centroid": baselines.nearest_centroid(criterion, num_ways=ways)}


def _read(task: Task, own: Own, ways: int) -> Given:
    form = datasets.Form(*task.picture)
    loaded = datasets.load(own.support, data_dir=own.data_dir, form=None if datasets.is_table(own.support) else
                           form, target_column=own.target_column)  # fmt: skip
    _check_own(own.support, loaded.inputs)
    loaded = labelled.shown(loaded)
    loaded = loaded._replace(notes=(*loaded.notes, *grounds.notes(loaded)))
    polarity = own.polarity
    if polarity == "ink":
        # Support and inputs are turned the same way: the support set's own border decides.
        polarity = "invert" if datasets.bright_border(loaded.inputs) else "as_is"
        said = "bright borders, so all are inverted" if polarity == "invert" else "dark borders, so none is inverted"
        loaded = loaded._replace(notes=(*loaded.notes, said))
    told = (facts.of(loaded),)
    frame = frames.Frame({"polarity": polarity, "ground": grounds.of(loaded.inputs)})
    given, inputs = _inputs(task, own, frame)
    form = form._replace(polarity=polarity)
    loaded = loaded._replace(inputs=datasets.with_polarity(loaded.inputs, form) / _white())
    return Given(
        labelled.support(own.support, loaded, ways), given, inputs, loaded.class_names, frame=frame, facts=told
    )


def _read_inputs(task: Task, own: Own, frame: frames.Frame) -> tuple[list[str], np.ndarray]:
    turned = "inverted" if frame.facts.get("polarity") == "invert" else "not inverted"
    return _inputs(task, own, frame, f"{turned}, as the labelled ones")


def _inputs(task: Task, own: Own, frame: frames.Frame, *said: str) -> tuple[list[str], np.ndarray]:
    polarity = frame.facts.get("polarity")
    if polarity not in ("invert", "as_is"):  # it may be a stranger's
        checks.fail(own.support, "the polarity of pictures", repr(polarity), error=checks.DataError)
    form = None if datasets.is_table(own.inputs) else datasets.Form(*task.picture, polarity)
    given, inputs = datasets.load_inputs(own.inputs, data_dir=own.data_dir, form=form)
    _check_own(own.inputs, inputs)
    # An older file says no more than whether its pictures were inverted, as those of bright borders are.
    ground = frame.facts.get("ground", "bright" if polarity == "invert" else "")
    before = 255 - inputs if polarity == "invert" else inputs
    if told := [*said, *grounds.unlike(before, str(ground), "the labelled ones")]:
        files.said(pathlib.Path(own.inputs), *told)
    return given, inputs / _white()


def _white() -> Any:
    return jnp.result_type(float).type(255)


def _check_own(path: str, inputs: np.ndarray) -> None:
    if inputs.ndim != 4:
        got = f"shape {inputs.shape}"
        checks.fail(path, "pictures, as the run was trained on", got, error=checks.DataError)


def _shown(task: Task, place: Place, sizes: Sizes) -> shown.Shown:
    if place.part == "strokes":  # drawn anew in every task
        return shown.Shown("pictures")
    return shown.of_examples("pictures", examples(task, place), **sizes._asdict())


PICTURES = Kind(
    name="pictures",
    fits=_fits,
    complete=_complete,
    open=_open,
    across=_across,
    labelled=_labelled,
    augmented=augmented,
    class_sizes=_class_sizes,
    shape=_shape,
    network=_network,
    reader=lambda network, shape: vectors.reading(_network(network, shape, None, 0), network, shape),
    maps=_maps,
    relation=_relation,
    condition=models.beside,
    has_norm=True,
    pretrains=True,
    base=lambda task, learner: f"{learner.replace('_', '-')}-strokes",
    floors=_floors,
    read=_read,
    read_inputs=_read_inputs,
    shown=_shown,
)
