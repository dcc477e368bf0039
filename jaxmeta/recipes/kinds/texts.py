"""Texts of classes: what a pretrained encoder makes of them, and their character n-grams."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from jaxmeta import baselines, checks, datasets, encoders, models, tasks
from jaxmeta.encoders.ngrams import WIDTH
from jaxmeta.recipes import names
from jaxmeta.recipes.kinds import facts, features, frames, functions, labelled, seen, shown, vectors
from jaxmeta.recipes.kinds.kind import Domain, Given, Own, Place, Shape, Sizes
from jaxmeta.recipes.learners import ENTRIES
from jaxmeta.recipes.recipe import Network, Task
from jaxmeta.recipes.scoring import SCORINGS
from jaxmeta.types import Array, Batch, MetaLearner, Model, PyTree

# A text is a row: the encoder's features, none without one; hashed n-grams; and whether it is what a class is called.
_LABELS = re.compile(r"(class|label|category|group|type|c|y)?[\W_]*\d*", re.IGNORECASE)
"""What says nothing of a class."""


def _fits(task: Task, place: Place) -> bool:
    if not SCORINGS[task.criterion].has_classes or place.part in names.PROCEDURAL:
        return False
    if task.encoder:
        return encoders.is_text(task.encoder)
    known = {**datasets.names(), **datasets.suggested()}.get(place.part)
    if known:
        return known.field == "text"
    is_table = datasets.is_table(place.part)
    if datasets.is_texts(place.part) or (is_table and task.text_column):
        return True
    return is_table and not task.columns and datasets.looks_like_texts(pathlib.Path(place.part))


def _complete(task: Task, places: Sequence[Place]) -> Task:
    del places
    if task.columns:
        checks.fail("`columns`", "none, since texts have one column", ", ".join(task.columns), "name it `text_column`")
    return task


def _encoder(task: Task) -> encoders.TextEncoder:
    found = features.encoder(task.encoder)
    if not isinstance(found, encoders.TextEncoder):
        checks.fail("`encoder`", "one of texts", f"{task.encoder!r}, one of pictures")
    return found


def _size(task: Task) -> int:
    """How many features an encoder has."""
    return _encoder(task).module.width if task.encoder else 0


def _rows(task: Task, texts: np.ndarray, *, flag: float = 0.0) -> np.ndarray:
    """Texts [N] as the network takes them, [N, features + n-grams + 1]."""
    given = texts.tolist()
    known = [encoders.encode(_encoder(task), given)] if task.encoder else []
    return np.concatenate([*known, encoders.ngrams(given), np.full((len(given), 1), flag, np.float32)], axis=1)


def is_name(inputs: Array) -> Array:
    """Which rows [n] are what a class is called."""
    return inputs[:, -1] > 0.5


def _texts(task: Task, place: Place) -> datasets.Examples:
    """A split of one domain as texts; the test takes none that was trained on."""
    part = place.part

    def load(split: str | None) -> datasets.Examples:
        own = {"text_column": task.text_column, "target_column": labelled.target(task, part)}
        return datasets.load_texts(part, data_dir=place.data_dir, split=split, **own)

    if part in names.PROCEDURAL:
        checks.fail("`domain`", "texts, as the network takes", repr(part))
    loaded = labelled.examples(task, place, load, lambda inputs: None)
    if place.split != "test" or place.seen is None or part not in datasets.names():
        return loaded
    left = seen.unseen_examples(loaded, place.seen) if place.seen.examples else loaded
    if (gone := loaded.count - left.count) == 0:
        return loaded
    return left._replace(notes=(*left.notes, f"{gone} texts left out that were trained on"), split=loaded.split)


def _told(task: Task, loaded: datasets.Examples) -> datasets.Examples:
    """The texts, and how many of them the encoder does not take whole."""
    if not task.encoder:
        return loaded
    encoder = _encoder(task)
    if cut := encoders.tokenize(encoder, loaded.inputs.tolist()).cut:
        return loaded._replace(notes=(*loaded.notes, f"{cut} texts cut behind {encoder.length} tokens"))
    return loaded


def _sealed(task: Task, domain: Domain) -> Domain:
    return features.sealed(task, domain) if task.encoder else domain


def _open(task: Task, place: Place, sizes: Sizes) -> Domain:
    options = {"num_ways": sizes.ways, "num_shots": sizes.shots, "num_queries": sizes.queries}
    loaded = _told(task, _texts(task, place))

    def sampled() -> tasks.Sample:
        sample = features.augmented(task, tasks.few_shot(_seen(task, loaded), **options))
        return _named(task, sample, loaded.class_names, sizes.ways)

    return _sealed(task, labelled.domain(place, loaded, sampled))


def _seen(task: Task, loaded: datasets.Examples) -> datasets.Examples:
    """Examples as the network takes them; where names are known, each with the number of its class."""
    rows = _rows(task, loaded.inputs)
    if task.knowledge == "none":
        return loaded._replace(inputs=rows)
    numbers = np.repeat(np.arange(len(loaded.class_names), dtype=np.int32), np.diff(loaded.offsets))
    return loaded._replace(inputs={"inputs": rows, "class": numbers})


def _named(task: Task, sample: tasks.Sample, class_names: Sequence[str], ways: int) -> tasks.Sample:
    return sample if task.knowledge == "none" else tasks.with_names(sample, _names(task, class_names), num_ways=ways)


def _names(task: Task, class_names: Sequence[str]) -> np.ndarray:
    """What classes are called, as rows [C, ..].

    Raises:
      ValueError: if a name says nothing, as a number does: then it could only be known by the tasks' answers.
    """
    for name in class_names:
        if _LABELS.fullmatch(name):
            hint = "use `knowledge` none"
            checks.fail("`knowledge`", "classes whose names say what they are", repr(name), hint)
    return _rows(task, np.array([spoken(name) for name in class_names]), flag=1.0)


def spoken(name: str) -> str:
    """A class's name in words: "AddToPlaylist", "card_arrival" and "alarm/set_alarm" as one would say them."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return " ".join(re.sub(r"[_/.\-]+", " ", apart).lower().split())


def _across(task: Task, place: Place, other: Place, sizes: Sizes) -> Domain:
    called = _texts(task, place).class_names
    own = lambda place: _seen(task, _told(task, _texts(task, place)))  # noqa: E731
    named = lambda sample, _: _named(task, sample, called, sizes.ways)  # noqa: E731
    return _sealed(task, labelled.across(place, other, own, sizes, named))


def _labelled(task: Task, place: Place) -> datasets.Examples:
    loaded = _texts(task, place)
    return loaded._replace(inputs=_rows(task, loaded.inputs))


def _class_sizes(task: Task, place: Place) -> np.ndarray | None:
    return np.diff(_texts(task, place).offsets)


def _shape(task: Task) -> Shape:
    return Shape((_size(task) + WIDTH + 1,), task.ways)


def _network(network: Network, shape: Shape, outputs: int | None, num_context_params: int) -> Model:
    """Of features a gain each, or one layer for a head; of n-grams a multi-layer perceptron."""
    width, extra = shape.inputs[0], num_context_params
    size = width - WIDTH - 1
    if size and outputs is None and not extra:
        return _columns(features.gains(size), 0, size)
    own = Shape((size or WIDTH,), shape.outputs)
    if size and not extra:
        return _columns(models.mlp(size, shape.outputs if outputs is None else outputs, hidden=()), 0, size)
    return _columns(vectors.network(network, own, outputs, extra), 0, size or WIDTH, width)


def _columns(model: Model, low: int, high: int, rest: int | None = None) -> Model:
    """A model of some columns: those from low to high, and those from `rest` on."""

    def apply(params: PyTree, inputs: Array, mask: Array | None = None, context: PyTree = ()) -> PyTree:
        own = inputs[:, low:high]
        if rest is not None:
            own = jnp.concatenate([own, inputs[:, rest:]], axis=1)
        return model.apply(params, own, mask, context)

    return Model(model.init, apply)


def _floors(task: Task, ways: int) -> dict[str, MetaLearner]:
    """What spelling gives, and what an encoder's features do untrained."""
    size = _size(task)
    grams = models.from_functions(lambda key: (), lambda params, inputs: inputs[:, size : size + WIDTH])
    raw = baselines.cosine_centroid(grams, SCORINGS[task.criterion].criterion, num_ways=ways)
    known = features.known_floors(task, ways, size) if size else {}
    return {"character n-grams, nearest centroid": raw, **known}


def _base(task: Task, learner: str) -> str:
    kind = "maml" if ENTRIES[learner].has_steps else "protonet"
    return f"{kind}-intents" if task.encoder else f"{kind}-ngrams"


def _read(task: Task, own: Own, ways: int) -> Given:
    asked = {"text_column": own.text_column, "target_column": own.target_column}
    loaded = labelled.shown(datasets.load_texts(own.support, data_dir=own.data_dir, **asked))
    loaded = _told(task, loaded)
    frame = frames.Frame({**asked, "like": loaded.text})
    given, inputs = _read_inputs(task, own, frame)
    support = labelled.support(own.support, loaded._replace(inputs=_rows(task, loaded.inputs)), ways)
    if task.knowledge == "names":
        support = _with_names(support, _names(task, loaded.class_names))
    return Given(support, given, inputs, loaded.class_names, frame=frame, facts=(facts.of(loaded),))


def _with_names(support: Batch, called: np.ndarray) -> Batch:
    assert support.classes is not None
    return Batch(
        jnp.concatenate([support.inputs, jnp.asarray(called)]),
        jnp.concatenate([support.targets, jnp.arange(len(called), dtype=support.targets.dtype)]),
        None,
        jnp.concatenate(
            [support.classes, jnp.broadcast_to(support.classes[:1], (len(called), support.classes.shape[1]))]
        ),
    )


def _read_inputs(task: Task, own: Own, frame: frames.Frame) -> tuple[list[str], np.ndarray]:
    text, like, target = (frame.facts.get(name) for name in ("text_column", "like", "target_column"))
    if not all(isinstance(each, str | None) for each in (text, like, target)):  # it may be a stranger's
        checks.fail(own.support, "names of columns", f"{text!r}, {like!r} and {target!r}", error=checks.DataError)
    same = datasets.is_table(own.inputs) or own.inputs.endswith((".jsonl", ".ndjson"))
    columns = {"text_column": text or "", "like": like or ""} if same else {}
    given, inputs = datasets.load_text_inputs(own.inputs, data_dir=own.data_dir, target_column=target, **columns)
    return given, _rows(task, inputs)


def _shown(task: Task, place: Place, sizes: Sizes) -> shown.Shown:
    return shown.of_examples("texts", _texts(task, place), **sizes._asdict())


TEXTS = functions.FUNCTIONS._replace(  # the same relation module, which there is none of
    name="texts",
    fits=_fits,
    complete=_complete,
    open=_open,
    across=_across,
    labelled=_labelled,
    augmented=features.augmented,
    class_sizes=_class_sizes,
    shape=_shape,
    network=_network,
    pretrains=True,
    base=_base,
    floors=_floors,
    read=_read,
    read_inputs=_read_inputs,
    shown=_shown,
    is_name=is_name,
)
