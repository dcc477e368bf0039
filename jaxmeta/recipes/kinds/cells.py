"""Tables whose cells are tokens: one network reads any of them, as they are, missing cells and categories included."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import baselines, checks, datasets, models, tasks
from jaxmeta.recipes.kinds import facts, frames, labelled, shown, tables, vectors
from jaxmeta.recipes.kinds.kind import Domain, Given, Own, Place, Shape, Sizes
from jaxmeta.recipes.recipe import Network, Task
from jaxmeta.recipes.scoring import SCORINGS
from jaxmeta.types import Batch, Episode, MetaLearner, Model

PRIOR = "causal_tables"
COLUMNS = 64  # of the widest table that a network takes, unless `num_features` says otherwise
PRIOR_COLUMNS = 16  # of the tables that it is trained on: no token has a place, so more are no other thing
CLASSES, ROWS = 10, 500
"""The most that a network takes: classes, and rows of a support set."""


def _fits(task: Task, place: Place) -> bool:
    return place.part == PRIOR


def _complete(task: Task, places: Sequence[Place]) -> Task:
    del places
    if not SCORINGS[task.criterion].has_classes:
        checks.fail("`criterion`", "one of classes for networks that read cells, such as prognosis", task.criterion)
    return dataclasses.replace(task, num_features=task.num_features or COLUMNS)


def _examples(task: Task, place: Place) -> datasets.Examples:
    loaded = labelled.examples(
        task,
        place,
        lambda split: tables.load(task, place, split),
        lambda inputs: tables.check_is_table(task, place, inputs),
    )
    _check_columns(place.part, loaded, task)
    return loaded


def _check_columns(what: str, table: datasets.Examples, task: Task) -> None:
    if (width := table.inputs.shape[1]) > task.num_features:
        wanted, hint = f"at most the {task.num_features} columns that the network takes", "choose some with `columns`"
        checks.fail(what, wanted, width, hint, checks.DataError)


def _tokens(task: Task, sample: tasks.Sample, table: datasets.Examples) -> tasks.Sample:
    return tasks.cells(sample, tables.num_categories(table), task.num_features)


def _open(task: Task, place: Place, sizes: Sizes) -> Domain:
    _check_sizes(sizes)
    if place.part == PRIOR:
        train = place.split == "train"
        sample = tasks.causal_tables(
            num_features=min(PRIOR_COLUMNS, task.num_features) if train else task.num_features,
            num_ways=sizes.ways,
            num_support=sizes.ways * sizes.shots,
            num_queries=sizes.ways * sizes.queries,
        )
        return Domain(sample, place.split, {})
    loaded = _examples(task, place)
    options = {"num_ways": sizes.ways, "num_shots": sizes.shots, "num_queries": sizes.queries}
    return labelled.domain(place, loaded, lambda: _tokens(task, tasks.few_shot(loaded, **options), loaded))


def _check_sizes(sizes: Sizes) -> None:
    if sizes.ways > CLASSES:
        checks.fail("`ways`", f"at most the {CLASSES} classes that the network takes", sizes.ways)
    if sizes.ways * sizes.shots > ROWS:
        checks.fail("`shots`", f"at most the {ROWS} rows that the network takes", sizes.ways * sizes.shots)


def _across(task: Task, place: Place, other: Place, sizes: Sizes) -> Domain:
    _check_sizes(sizes)
    own = lambda place: _examples(task, place)  # noqa: E731
    return labelled.across(place, other, own, sizes, lambda sample, table: _tokens(task, sample, table))


def _class_sizes(task: Task, place: Place) -> np.ndarray | None:
    return None if place.part == PRIOR else np.diff(_examples(task, place).offsets)


def _reader(network: Network, shape: Shape) -> Model:
    del shape
    return models.table_network(
        num_ways=CLASSES, width=network.width, num_layers=network.num_layers, num_heads=network.num_heads
    )


def _floors(task: Task, ways: int) -> dict[str, MetaLearner]:
    """What tables are usually foretold with; most of it is scikit-learn's, which may not be there."""
    criterion = SCORINGS[task.criterion].criterion
    floors = {"majority class": baselines.majority_class(criterion, num_ways=ways)}
    if importlib.util.find_spec("sklearn") is None:
        return floors
    return floors | {
        "nearest centroid": baselines.standardized_centroid(criterion, num_ways=ways),
        "logistic regression, penalty by cross-validation": baselines.tuned_logistic_regression(
            criterion, num_ways=ways
        ),
        "random forest": baselines.random_forest(criterion, num_ways=ways),
        "gradient boosting": baselines.gradient_boosting(criterion, num_ways=ways),
    }


def _read(task: Task, own: Own, ways: int) -> Given:
    del ways
    options = {"target_column": own.target_column, "columns": own.columns}
    loaded = labelled.shown(datasets.load(own.support, data_dir=own.data_dir, **options))
    if loaded.inputs.ndim != 2:
        got = f"shape {loaded.inputs.shape}"
        checks.fail(own.support, "a table, as the run was trained on", got, error=checks.DataError)
    _check_support(own.support, loaded, task)
    given, inputs = vectors.load_inputs(own, loaded.columns)
    vectors.check_like(own, loaded, inputs)
    support, inputs = _brought(task, loaded, inputs)
    batch = labelled.support(own.support, loaded._replace(inputs=support), 0)
    frame = frames.of_table(loaded, own.target_column)
    return Given(batch, given, inputs, loaded.class_names, frame=frame, facts=(facts.of(loaded),))


def _check_support(what: str, table: datasets.Examples, task: Task) -> None:
    """Raises DataError if a labelled table is more than the network takes, or not of classes."""
    _check_columns(what, table, task)
    count, rows = len(table.class_names), len(table.inputs)
    target = f"the target {table.target!r}" if table.target else "the target"
    if count < 2:
        only = repr(table.class_names[0]) if table.class_names else "none"
        hint = "nothing can be foretold from patients of one outcome"
        checks.fail(what, f"at least 2 classes in {target}", f"{only} in every row", hint, checks.DataError)
    if count > CLASSES:
        hint = "name it with --target-column"
        if _is_value(table.class_names):
            hint = "values are for a run of a regression, such as maml-tabular-regression; or " + hint
        checks.fail(what, f"at most the {CLASSES} classes that the network takes in {target}", count, hint,
                    checks.DataError)  # fmt: skip
    if rows > ROWS:
        wanted, hint = f"at most the {ROWS} rows that the network takes", "give some of them"
        checks.fail(what, wanted, rows, hint, checks.DataError)


def _is_value(names: Sequence[str]) -> bool:
    """Whether classes are numbers, as the values of a regression are."""
    try:
        return len({float(name) for name in names}) > CLASSES
    except ValueError:
        return False


def _brought(
    task: Task, table: datasets.Examples | datasets.Table, inputs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    support = Batch(jnp.asarray(table.inputs), jnp.zeros(len(table.inputs)))
    episode = Episode(support, Batch(jnp.asarray(inputs), jnp.zeros(len(inputs))))
    made = tasks.cells(lambda key: episode, tables.num_categories(table), task.num_features)(jax.random.key(0))
    return np.asarray(made.support.inputs), np.asarray(made.query.inputs)


def _read_inputs(task: Task, own: Own, frame: frames.Frame) -> tuple[list[str], np.ndarray]:
    table, target = frames.table(own.support, frame)
    given, inputs = vectors.load_inputs(own._replace(target_column=target), table.columns)
    vectors.check_like(own, table, inputs)
    return given, _brought(task, table, inputs)[1]


def _missing(inputs: np.ndarray, places: tuple[int, ...]) -> np.ndarray:
    """Tokens [n, columns, 3] of which some say that nothing is there."""
    changed = inputs.copy()
    changed[:, list(places), :2] = 0
    return changed


def _shown(task: Task, place: Place, sizes: Sizes) -> shown.Shown:
    if place.part == PRIOR:
        made = shown.Shown("rows", columns=tuple(f"column {index + 1}" for index in range(task.num_features)))
    else:
        loaded = _examples(task, place)
        made = shown.of_examples("rows", loaded, **sizes._asdict())._replace(columns=tables.column_names(loaded))
    return made._replace(places=tuple((index,) for index in range(len(made.columns))), missing=_missing)


CELLS = tables.TABLES._replace(
    name="cells",
    fits=_fits,
    complete=_complete,
    open=_open,
    across=_across,
    class_sizes=_class_sizes,
    shape=lambda task: Shape((task.num_features, 3), task.ways),
    network=vectors.no_network,
    reader=_reader,
    base=lambda task, learner: "tables",
    floors=_floors,
    read=_read,
    read_inputs=_read_inputs,
    shown=_shown,
)
