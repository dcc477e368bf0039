"""Functions: tasks that are a function each, of which some values are known.

A task of `gaussian_process:KERNEL` has exactly `shots` and `queries` points in validation and test. In training its
support set has 3 to `train_shots` of them at random, as published (3 to 46), so that one training serves every number.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import baselines, checks, datasets, models, tasks
from jaxmeta.datasets import doubts, files, npz
from jaxmeta.recipes import names
from jaxmeta.recipes.kinds import facts, frames, seen, shown, vectors
from jaxmeta.recipes.kinds.kind import Domain, Given, Kind, Oracle, Own, Place, Shape, Sizes
from jaxmeta.recipes.presets import PRESETS
from jaxmeta.recipes.recipe import Task
from jaxmeta.recipes.scoring import ORACLE, SCORINGS
from jaxmeta.tasks.gaussian_process import Covariance
from jaxmeta.types import Array, Batch, Criterion, MetaLearner, PyTree, query_loss

_KERNELS = dict(zip(names.PROCESSES, (tasks.rbf, tasks.matern52, tasks.periodic), strict=True))
_FEWEST = 3  # points of a support set in training
_DRAWN = 50  # functions, of which it is seen what a run has met


def _fits(task: Task, place: Place) -> bool:
    known = names.is_function(place.part) or names.suffix(place.part) == ".npz"
    return not SCORINGS[task.criterion].has_classes and known


def _kernel(part: str) -> Covariance:
    return _KERNELS[checks.choice("`domain`", part, _KERNELS)]


def _complete(task: Task, places: Sequence[Place]) -> Task:
    del places
    return task


def _open(task: Task, place: Place, sizes: Sizes) -> Domain:
    options = {"num_shots": sizes.shots, "num_queries": sizes.queries}
    if place.part == "sinusoid":
        return Domain(tasks.sinusoid(**options), place.split, {})
    if names.is_function(place.part):
        return Domain(_processes(place, sizes), place.split, {})
    if names.suffix(place.part) != ".npz":
        wanted = f"sinusoid, tabular, diabetes, a csv or an npz of tasks, for {task.criterion}"
        checks.fail("`domain`", wanted, repr(place.part))
    loaded = _file(place.part)
    chosen, split = _chosen(loaded, place)
    _check_size(loaded, place, sizes)
    sample = tasks.from_arrays((loaded.inputs[chosen], loaded.targets[chosen]), **options)
    known = seen.Seen()
    if place.split != "test":
        known = seen.of_tasks(loaded.inputs[chosen], loaded.targets[chosen], loaded.checksums)
    return Domain(sample, split, loaded.checksums, known, (_facts(loaded, chosen, split),))


def _processes(place: Place, sizes: Sizes) -> tasks.Sample:
    most, queries = sizes.shots, sizes.queries
    fewest = min(_FEWEST, most) if place.split == "train" else most
    return tasks.gaussian_process(
        kernel=_kernel(place.part), most_points=most + queries, num_shots=(fewest, most), num_queries=(queries, queries)
    )


def _oracles(task: Task) -> Mapping[str, Oracle]:
    """The exact posterior, of one kernel."""
    scoring = SCORINGS[task.criterion]
    if task.domain not in _KERNELS:
        return {}
    exact = baselines.exact_gaussian_process(scoring.criterion, kernel=_kernel(task.domain))
    return {ORACLE: Oracle(exact if scoring.has_scale else _values_of(exact, scoring.criterion), tasks.with_kernel)}


def _values_of(learner: MetaLearner, criterion: Criterion) -> MetaLearner:
    """The means of what predicts distributions, for a criterion of values."""

    def predict(meta_params: PyTree, adapted: PyTree, inputs: PyTree, mask: Array | None = None) -> Array:
        return learner.predict(meta_params, adapted, inputs, mask).mean

    return learner._replace(predict=predict, loss=query_loss(learner.adapt, predict, criterion))


def _across(task: Task, place: Place, other: Place, sizes: Sizes) -> NoReturn:
    checks.fail("`query_domain`", "classes, which two domains may share", f"values of {names.short(other.part)!r}")


class _Tasks(NamedTuple):
    """Tasks of a user's own."""

    inputs: np.ndarray
    """[tasks, n, d]"""
    targets: np.ndarray
    """[tasks, n, m]"""
    parts: np.ndarray
    """[tasks] "train", "validation" or "test"."""
    is_shared_out: bool
    """Whether the file does not say its parts."""
    name: str
    checksums: dict[str, str]
    notes: tuple[str, ...]


def _file(path: str) -> _Tasks:
    own = pathlib.Path(path)
    arrays = npz.read_arrays(own, ("inputs", "targets", "split"))
    split = arrays.pop("split", None)
    if set(arrays) != {"inputs", "targets"}:
        checks.fail(path, "arrays inputs and targets", " and ".join(arrays) or "neither", error=checks.DataError)
    inputs, targets = (npz.numbers(f"{path}, {key}", arrays[key]) for key in ("inputs", "targets"))
    if inputs.ndim != 3 or targets.ndim != 3 or inputs.shape[:2] != targets.shape[:2] or len(inputs) < 5:
        got = f"{inputs.shape} and {targets.shape}"
        wanted = "inputs [tasks, n, d] and targets [tasks, n, m], at least 5 tasks"
        checks.fail(path, wanted, got, error=checks.DataError)
    said, notes = npz.parts(own, split, len(inputs))
    checksums = {own.name: files.checksum(own)}
    parts = _parts(said, len(inputs))
    return _Tasks(inputs, targets, parts, said is None, files.stem(path), checksums, notes)


def _parts(said: Sequence[str] | None, count: int) -> np.ndarray:
    """The part of each task, as an array says; else every fifth is test, and every fifth validation."""
    if said is None:
        return np.array(["train", "train", "train", "validation", "test"])[np.arange(count) % 5]
    parts = np.array(said, "U10")
    if "validation" not in said:
        parts[np.flatnonzero(parts == "train")[3::4]] = "validation"
    return parts


def _chosen(loaded: _Tasks, place: Place) -> tuple[np.ndarray, str]:
    """Rising indices of the tasks of a split, and what it is called; the test takes none that was trained on, and all
    of a file of which nothing was."""
    keep, known = loaded.parts == place.split, np.zeros(len(loaded.parts), bool)
    if place.split == "test" and place.seen is not None:
        known = seen.known_tasks(loaded.inputs, loaded.targets, place.seen)
        is_trained = known.any() or not place.seen.checksums.isdisjoint(loaded.checksums.values())
        # Of a file that says no parts these hang on the order of its tasks alone, which may be another.
        keep = ~known if not is_trained or (loaded.is_shared_out and known.any()) else keep & ~known
    if not keep.any():
        got = f"{known.sum()} of {len(known)} tasks that were" if known.any() else "none"
        wanted = f"tasks of the part {place.split}" + (" that were not trained on" if known.any() else "")
        checks.fail(f"{place.part}, {place.split}", wanted, got, error=checks.DataError)
    return np.flatnonzero(keep), "all" if keep.all() else place.split


def _check_size(loaded: _Tasks, place: Place, sizes: Sizes) -> None:
    if loaded.inputs.shape[1] < sizes.shots + sizes.queries:
        wanted = f"at least {sizes.shots} + {sizes.queries} examples in a task, for shots and queries"
        options = ("`train_shots`", "`train_queries`") if place.split == "train" else ("`shots`", "`queries`")
        hint = f"give fewer {' or '.join(options)}"
        checks.fail(f"{place.part}, {place.split}", wanted, loaded.inputs.shape[1], hint, checks.DataError)


def _facts(loaded: _Tasks, chosen: np.ndarray, split: str) -> facts.Facts:
    of_split = loaded.inputs[chosen], loaded.targets[chosen]
    return facts.of_tasks(*of_split, name=loaded.name, split=split, notes=loaded.notes)


def _labelled(task: Task, place: Place) -> NoReturn:
    checks.fail("`domain`", "pictures, for a learner that is pre-trained", repr(names.short(place.part)))


def _class_sizes(task: Task, place: Place) -> np.ndarray | None:
    return None if names.is_function(place.part) else np.array([_file(place.part).inputs.shape[1]])


def _shape(task: Task) -> Shape | None:
    return Shape((1,), 1) if all(map(names.is_function, names.parts(task.domain))) else None


def _base(task: Task, learner: str) -> str:
    own = {name for name, recipe in PRESETS.items() if recipe.task.criterion == task.criterion}
    found = [f"{learner.replace('_', '-')}-{domain}" for domain in ("processes", "sinusoid")]
    return found[0] if found[0] in own else found[1]


def _read(task: Task, own: Own, ways: int) -> Given:
    del ways
    table = datasets.load_table(own.support, target_column=own.target_column, columns=own.columns)
    # No row is kept: values are not scaled, and an empty table still has its width.
    frame = frames.of_table(table._replace(inputs=table.inputs[:0]), own.target_column)
    given, inputs = _read_inputs(task, own, frame)
    table = table._replace(notes=(*table.notes, *_unlike(task, table)))
    told = (facts.of_table(table, np.arange(len(table.inputs)), "all"),)
    batch = Batch(jnp.asarray(table.inputs), jnp.asarray(table.targets))
    return Given(batch, given, inputs, (), frame=frame, facts=told)


def _unlike(task: Task, table: datasets.Table) -> list[str]:
    """What of a table is far from the functions that trained, since nothing brings it into their units."""
    parts = names.parts(task.domain)
    if table.inputs.shape[1] != 1 or not all(map(names.is_function, parts)):
        return []  # refused elsewhere, or trained on files, which may be gone
    sizes = Sizes(task.ways, task.train_shots or task.shots, task.train_queries)
    samples = [_open(task, Place(part, "train"), sizes).sample for part in parts]
    drawn = [tasks.drawn(sample, jax.random.key(0), jnp.arange(_DRAWN)).support for sample in samples]
    known = np.concatenate([np.concatenate([own.inputs, own.targets], axis=-1).reshape(-1, 2) for own in drawn])
    (column,) = table.columns or (datasets.Column("1"),)
    own = np.concatenate([table.inputs, table.targets], axis=1)
    return doubts.far((column, datasets.Column(table.target)), known, own, "the trained functions'")


def _read_inputs(task: Task, own: Own, frame: frames.Frame) -> tuple[list[str], np.ndarray]:
    table, target = frames.table(own.support, frame)
    given, inputs = vectors.load_inputs(own._replace(target_column=target), table.columns)
    vectors.check_like(own, table, inputs)
    return given, inputs


FUNCTIONS = Kind(
    name="functions",
    fits=_fits,
    complete=_complete,
    open=_open,
    across=_across,
    labelled=_labelled,
    augmented=lambda task, sample: sample,
    class_sizes=_class_sizes,
    shape=_shape,
    network=vectors.network,
    reader=vectors.reader,
    maps=vectors.maps,
    relation=vectors.relation,
    condition=models.concatenate,
    has_norm=False,
    pretrains=False,
    base=_base,
    floors=vectors.floors,
    read=_read,
    read_inputs=_read_inputs,
    shown=lambda task, place, sizes: shown.Shown("functions"),
    oracles=_oracles,
)
