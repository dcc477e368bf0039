"""Tables of numbers, whose rows have a class or a value."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import checks, datasets, tasks
from jaxmeta.recipes import names
from jaxmeta.recipes.kinds import facts, frames, functions, labelled, seen, shown, vectors
from jaxmeta.recipes.kinds.kind import Domain, Given, Own, Place, Shape, Sizes
from jaxmeta.recipes.learners import ENTRIES
from jaxmeta.recipes.recipe import Task
from jaxmeta.recipes.scoring import SCORINGS
from jaxmeta.types import Batch, Episode

FEATURES = 30  # columns of the procedural tables, unless a table has more
_NAMED = ("tabular", "breast_cancer", "diabetes")


def _has_classes(task: Task) -> bool:
    return SCORINGS[task.criterion].has_classes


def _fits(task: Task, place: Place) -> bool:
    if place.part in _NAMED or datasets.is_table(place.part):
        return True
    if not _has_classes(task):
        return place.part not in names.PROCEDURAL and place.part not in datasets.names()
    return names.suffix(place.part) == ".npz" and load(task, place, None).inputs.ndim == 2


def _complete(task: Task, places: Sequence[Place]) -> Task:
    width = task.num_features or max(_width(task, place) for place in places)
    return dataclasses.replace(task, num_features=width)


def _width(task: Task, place: Place) -> int:
    if place.part == "tabular":
        return FEATURES
    if functions.FUNCTIONS.fits(task, place):
        return 0
    if not _has_classes(task):
        return _encoded_width(_table(task, place))
    loaded = load(task, place, None)
    return _encoded_width(loaded) if loaded.inputs.ndim == 2 else 0


def num_categories(table: datasets.Examples | datasets.Table) -> list[int]:
    """How many categories each column has, 0 for numbers."""
    return [len(column.categories) for column in table.columns] or [0] * table.inputs.shape[1]


def _encoded_width(table: datasets.Examples | datasets.Table) -> int:
    return tasks.width(num_categories(table))


def load(task: Task, place: Place, split: str | None) -> datasets.Examples:
    own = {"target_column": labelled.target(task, place.part), "columns": labelled.columns(task, place.part)}
    return datasets.load(place.part, data_dir=place.data_dir, split=split, **own)


def _table(task: Task, place: Place) -> datasets.Table:
    own = {"target_column": labelled.target(task, place.part), "columns": labelled.columns(task, place.part)}
    return datasets.load_table(place.part, **own)


def check_is_table(task: Task, place: Place, inputs: np.ndarray) -> None:
    """Raises ValueError unless inputs are rows of columns."""
    if inputs.ndim != 2:
        wanted = f"a table, since the network takes {task.num_features} columns"
        kind = "texts" if inputs.dtype.kind == "U" else "pictures"
        checks.fail("`domain`", wanted, f"the {kind} of {names.short(place.part)!r}")


def _examples(task: Task, place: Place) -> datasets.Examples:
    check = lambda inputs: check_is_table(task, place, inputs)  # noqa: E731
    loaded = labelled.examples(task, place, lambda split: load(task, place, split), check)
    _check_width(task, _encoded_width(loaded))
    return loaded


def _check_width(task: Task, width: int) -> None:
    if width > task.num_features:
        hint = "train with more `num_features`"
        checks.fail("`domain`", f"a table of at most {task.num_features} columns", width, hint)


def _open(task: Task, place: Place, sizes: Sizes) -> Domain:
    return (_labels if _has_classes(task) else _values)(task, place, sizes)


def _across(task: Task, place: Place, other: Place, sizes: Sizes) -> Domain:
    if not _has_classes(task):
        return functions.FUNCTIONS.across(task, place, other, sizes)
    own = lambda place: _examples(task, place)  # noqa: E731
    return labelled.across(place, other, own, sizes, functools.partial(_declared, task))


def _declared(
    task: Task, sample: tasks.Sample, table: datasets.Examples | datasets.Table | None = None
) -> tasks.Sample:
    """The one form in which tables meet: complete and standardised by the support set alone, and as wide as the
    network."""
    if table is not None and (any(num_categories(table)) or np.isnan(table.inputs).any()):
        sample = tasks.encoded(sample, num_categories(table))
    scaled = tasks.standardize(sample)
    scaled = scaled if _has_classes(task) else tasks.standardize_targets(scaled)
    return tasks.pad_features(scaled, task.num_features)


def _labels(task: Task, place: Place, sizes: Sizes) -> Domain:
    options = {"num_ways": sizes.ways, "num_shots": sizes.shots, "num_queries": sizes.queries}
    if place.part == "tabular":
        return Domain(_declared(task, tasks.tabular(num_features=task.num_features, **options)), place.split, {})
    if place.part in names.PROCEDURAL:
        wanted = f"a table, since the network takes {task.num_features} columns"
        checks.fail("`domain`", wanted, repr(place.part))
    loaded = _examples(task, place)
    return labelled.domain(place, loaded, lambda: _declared(task, tasks.few_shot(loaded, **options), loaded))


def _values(task: Task, place: Place, sizes: Sizes) -> Domain:
    options = {"num_shots": sizes.shots, "num_queries": sizes.queries}
    if place.part == "tabular":
        sample = tasks.tabular_regression(num_features=task.num_features, **options)
        return Domain(_declared(task, sample), place.split, {})
    if functions.FUNCTIONS.fits(task, place):  # functions of several values are tables of one task each
        made = functions.FUNCTIONS.open(task, place, sizes)
        _check_width(task, jax.eval_shape(made.sample, jax.random.key(0)).support.inputs.shape[1])
        return made._replace(sample=_declared(task, made.sample))
    rows, table, named = _rows(task, place)
    wanted = sizes.shots + sizes.queries
    if len(rows) < wanted:
        got = f"{len(rows)} in the split {named!r}"
        checks.fail(place.part, f"at least {wanted} rows, for shots and queries", got, error=checks.DataError)
    sample = tasks.from_arrays([(table.inputs[rows], table.targets[rows])], **options)
    known = seen.Seen() if place.split == "test" else seen.of_table(table, rows)
    told = (facts.of_table(table, rows, named),)
    return Domain(_declared(task, sample, table), named, table.checksums, known, told)


def _rows(task: Task, place: Place) -> tuple[np.ndarray, datasets.Table, str]:
    """The rows of a split, of their table, and what the split is called."""
    if place.part != "diabetes" and not datasets.is_table(place.part):
        wanted = f"sinusoid, tabular, diabetes, a csv or an npz of tasks, for {task.criterion}"
        checks.fail("`domain`", wanted, repr(place.part))
    table = _table(task, place)
    _check_width(task, _encoded_width(table))
    if place.split == "test" and place.seen is not None:
        left = seen.unseen_rows(table, place.seen)
        return left, table, "all" if len(left) == len(table.inputs) else "test rows"
    return datasets.share_rows(table.inputs)[place.split], table, f"{place.split} rows"


def _class_sizes(task: Task, place: Place) -> np.ndarray | None:
    if place.part in names.PROCEDURAL:
        return None
    if _has_classes(task):
        return np.diff(_examples(task, place).offsets)
    if functions.FUNCTIONS.fits(task, place):
        return functions.FUNCTIONS.class_sizes(task, place)
    return np.array([len(_rows(task, place)[0])])


def _base(task: Task, learner: str) -> str:
    if not _has_classes(task):
        return "maml-tabular-regression"
    return "maml-tabular" if ENTRIES[learner].has_steps else "protonet-tabular"


def _shape(task: Task) -> Shape:
    return Shape((task.num_features,), task.ways if _has_classes(task) else 1)


def _read(task: Task, own: Own, ways: int) -> Given:
    if not _has_classes(task):
        return _read_values(task, own)
    options = {"target_column": own.target_column, "columns": own.columns}
    loaded = labelled.shown(datasets.load(own.support, data_dir=own.data_dir, **options))
    if loaded.inputs.ndim != 2:
        got = f"shape {loaded.inputs.shape}"
        checks.fail(own.support, "a table, as the run was trained on", got, error=checks.DataError)
    given, inputs = vectors.load_inputs(own, loaded.columns)
    support, inputs = _brought(task, own, loaded, inputs)
    batch = labelled.support(own.support, loaded._replace(inputs=support), ways)
    frame = frames.of_table(loaded, own.target_column)
    # The moments of a part are its own; what fills missing cells is still the mean of all.
    told = (facts.of(loaded),)
    return Given(batch, given, inputs, loaded.class_names, frame=frame, facts=told, form=tasks.standardize)


def _read_values(task: Task, own: Own) -> Given:
    table = datasets.load_table(own.support, target_column=own.target_column, columns=own.columns)
    given, inputs = vectors.load_inputs(own, table.columns)
    rows, inputs = _brought(task, own, table, inputs)
    exact = table.targets.astype(np.float64)  # whose squares neither overflow nor vanish
    mean, deviation = exact.mean().astype(table.targets.dtype), exact.std().astype(table.targets.dtype)
    if not deviation:
        deviation = np.ones_like(deviation)
        note = f"all targets are {float(mean):g}, which do not tell what is far from them: 1 is taken for it"
        table = table._replace(notes=(*table.notes, note))
    told = (facts.of_table(table, np.arange(len(table.inputs)), "all"),)
    targets = (table.targets - mean) / deviation
    frame = frames.of_table(table, own.target_column)
    return Given(Batch(jnp.asarray(rows), jnp.asarray(targets)), given, inputs, (), (mean, deviation), frame, told)


def _read_inputs(task: Task, own: Own, frame: frames.Frame) -> tuple[list[str], np.ndarray]:
    table, target = frames.table(own.support, frame)
    given, inputs = vectors.load_inputs(own._replace(target_column=target), table.columns)
    return given, _brought(task, own, table, inputs)[1]


def _brought(
    task: Task, own: Own, table: datasets.Examples | datasets.Table, inputs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Brings tables to the form that the run was trained on, by the support set alone."""
    vectors.check_like(own, table, inputs)
    if (width := _encoded_width(table)) > task.num_features:
        wanted = f"at most the {task.num_features} columns of the run"
        checks.fail(own.support, wanted, width, error=checks.DataError)
    support = Batch(jnp.asarray(table.inputs), jnp.zeros(len(table.inputs)))
    episode = Episode(support, Batch(jnp.asarray(inputs), jnp.zeros(len(inputs))))
    sample = lambda key: episode  # noqa: E731
    if any(num_categories(table)) or np.isnan(table.inputs).any() or np.isnan(inputs).any():
        sample = tasks.encoded(sample, num_categories(table))
    made = tasks.pad_features(tasks.standardize(sample), task.num_features)(jax.random.key(0))
    return np.asarray(made.support.inputs), np.asarray(made.query.inputs)


def _shown(task: Task, place: Place, sizes: Sizes) -> shown.Shown:
    if not _has_classes(task) or place.part in names.PROCEDURAL:
        if functions.FUNCTIONS.fits(task, place):
            return functions.FUNCTIONS.shown(task, place, sizes)
        width = range(task.num_features)
        named = tuple(f"column {index + 1}" for index in width)
        return shown.Shown("rows", columns=named, places=tuple((index,) for index in width))
    loaded = _examples(task, place)
    widths = [tasks.width([size]) for size in num_categories(loaded)]
    ends = np.cumsum(widths).tolist()
    places = tuple(tuple(range(end - width, end)) for end, width in zip(ends, widths, strict=True))
    made = shown.of_examples("rows", loaded, **sizes._asdict())
    return made._replace(columns=column_names(loaded), places=places)


def column_names(table: datasets.Examples) -> tuple[str, ...]:
    """What columns are called, by their number where nothing says it."""
    told = tuple(column.name for column in table.columns)
    return told or tuple(f"column {index + 1}" for index in range(table.inputs.shape[1]))


TABLES = functions.FUNCTIONS._replace(  # the same networks and floors
    name="tables",
    fits=_fits,
    complete=_complete,
    open=_open,
    across=_across,
    class_sizes=_class_sizes,
    shape=_shape,
    base=_base,
    read=_read,
    read_inputs=_read_inputs,
    shown=_shown,
)
