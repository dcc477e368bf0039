"""Strings to strings: a language each, such as its words and their pronunciations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import jax.numpy as jnp
import numpy as np

from jaxmeta import checks, datasets, models, symbols, tasks
from jaxmeta.recipes import names
from jaxmeta.recipes.kinds.facts import Facts
from jaxmeta.recipes.kinds.frames import Frame
from jaxmeta.recipes.kinds.kind import Domain, Given, Kind, Own, Place, Shape, Sizes
from jaxmeta.recipes.kinds.shown import Shown
from jaxmeta.recipes.recipe import Network, Task
from jaxmeta.types import Batch, MetaLearner, Model


def _fits(task: Task, place: Place) -> bool:
    del place
    return task.criterion == "transduction"


def _complete(task: Task, places: Sequence[Place]) -> Task:
    del places
    if task.augment not in ("none", "rename"):
        checks.fail("`augment`", "none or rename, for strings", task.augment)
    return task


def _room(task: Task) -> symbols.Room:
    return symbols.Room(longest=task.longest)


def _pairs(task: Task, what: str, data_dir: str | None) -> datasets.Pairs:
    """A language, without what is longer than the network takes."""
    loaded = datasets.load_pairs(what, data_dir=data_dir)
    lengths = [max(len(source), len(target)) for source, target in zip(loaded.sources, loaded.targets, strict=True)]
    keep = np.array(lengths) <= task.longest
    if keep.all():
        return loaded
    return loaded.rows(keep, f"{(~keep).sum()} pairs left out of more than {task.longest} letters or symbols")


def _open(task: Task, place: Place, sizes: Sizes) -> Domain:
    """Training asks about the words that it shows in turn; validation and test show those of training and ask about
    words that no training has, whether they trained on the language or not."""
    loaded = _pairs(task, place.part, place.data_dir)
    split = place.split
    loaded = loaded.rows((loaded.parts == "train") | (loaded.parts == split))
    asked = None if split == "train" else loaded.parts == split
    options: dict[str, Any] = {"num_shots": sizes.shots, "num_queries": sizes.queries, "query_rows": asked}
    try:
        sample = tasks.transduction(loaded.sources, loaded.targets, **options, room=_room(task))
    except ValueError as error:
        raise checks.DataError(f"`domain` {names.short(place.part)}, {split}: {error}") from error
    if split == "train" and task.augment == "rename":
        sample = tasks.renamed(sample, room=_room(task))
    return Domain(sample, split, loaded.checksums, facts=(_facts(loaded, split),))


def _facts(loaded: datasets.Pairs, split: str) -> Facts:
    known = symbols.alphabet(loaded.sources, loaded.targets)
    found: Facts = {"domain": names.short(loaded.name), "split": split, "examples": len(loaded.sources)}
    return found | {"letters": len(known.letters), "symbols": len(known.symbols), "notes": list(loaded.notes)}


def _across(task: Task, place: Place, other: Place, sizes: Sizes) -> NoReturn:
    checks.fail("`query_domain`", "classes, which two domains may share", f"strings of {names.short(other.part)!r}")


def _labelled(task: Task, place: Place) -> NoReturn:
    hint = "fomaml with `inner_steps` 0 trains on all languages together, see the preset multilingual-g2p"
    checks.fail("`domain`", "pictures, for a learner that is pre-trained", repr(names.short(place.part)), hint)


def _class_sizes(task: Task, place: Place) -> np.ndarray:
    return np.array([int((_pairs(task, place.part, place.data_dir).parts == "train").sum())])


def _shape(task: Task) -> Shape:
    return Shape((_room(task).width,), task.longest + 1)


def _network(network: Network, shape: Shape, outputs: int | None, num_context_params: int) -> Model:
    del outputs
    if num_context_params:
        checks.fail("`learner`", "one without context parameters, for strings", "cavia")
    room = symbols.Room(longest=shape.outputs - 1)
    return models.transducer(room, width=network.hidden[0], num_layers=len(network.hidden))


def _no_maps(network: Network, shape: Any) -> NoReturn:
    checks.fail("`learner`", "one that takes strings, such as maml", "one of feature maps, or in_context")


def _no_condition(*given: Any) -> NoReturn:
    checks.fail("`learner`", "one without context parameters, for strings", "cavia")


def _floors(task: Task, ways: int) -> dict[str, MetaLearner]:
    """None: what is written says nothing of how symbols are named."""
    return {}


def _read(task: Task, own: Own, ways: int) -> Given:
    del ways
    loaded, given = _pairs(task, own.support, own.data_dir), datasets.load_sources(own.inputs)
    known = symbols.alphabet(loaded.sources, loaded.targets)
    inputs = symbols.encoded_sources(loaded.sources, known, _room(task), own.support)
    targets = symbols.encoded_targets(loaded.targets, known, _room(task), own.support)
    told = (_facts(loaded, "all"),)
    asked = _encoded(task, own, given, known.symbols)
    frame = Frame({"symbols": list(known.symbols), "blank": " " if loaded.spaced else ""})
    return Given(Batch(jnp.asarray(inputs), jnp.asarray(targets)), given, asked, (), frame=frame, facts=told)


def _encoded(task: Task, own: Own, given: Sequence[str], known: Sequence[str]) -> np.ndarray:
    """Strings to be predicted; the numbers of letters are their own, those of symbols the support set's."""
    letters = symbols.alphabet(given, ()).letters
    return symbols.encoded_sources(given, symbols.Alphabet(letters, tuple(known)), _room(task), own.inputs)


def _read_inputs(task: Task, own: Own, frame: Frame) -> tuple[list[str], np.ndarray]:
    given = datasets.load_sources(own.inputs)
    return given, _encoded(task, own, given, _symbols(own.support, frame))


def _symbols(what: str, frame: Frame) -> list[str]:
    known = frame.facts.get("symbols")
    if not isinstance(known, list) or not known or not all(isinstance(each, str) and each for each in known):
        checks.fail(what, "the symbols of a language", "others", error=checks.DataError)
    return known


def _written(frame: Frame, outputs: np.ndarray) -> tuple[list[str], str]:
    blank = " " if frame.facts.get("blank") else ""
    said = [blank.join(each) for each in symbols.decoded(outputs, _symbols("adapted", frame))]
    return said, f"{len(said)} predicted"


def _shown(task: Task, place: Place, sizes: Sizes) -> Shown:
    del sizes
    loaded = _pairs(task, place.part, place.data_dir)
    loaded = loaded.rows((loaded.parts == "train") | (loaded.parts == place.split))
    return Shown("strings", alphabet=symbols.alphabet(loaded.sources, loaded.targets))


STRINGS = Kind(
    name="strings",
    fits=_fits,
    complete=_complete,
    open=_open,
    across=_across,
    labelled=_labelled,
    augmented=lambda task, sample: sample,
    class_sizes=_class_sizes,
    shape=_shape,
    network=_network,
    maps=_no_maps,
    relation=_no_maps,
    reader=_no_maps,
    condition=_no_condition,
    has_norm=False,
    pretrains=False,
    base=lambda task, learner: f"{learner.replace('_', '-')}-g2p",
    floors=_floors,
    read=_read,
    read_inputs=_read_inputs,
    shown=_shown,
    written=_written,
)
