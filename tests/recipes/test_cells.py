"""Tables of cells as a kind of data: one untrained, tiny network, so that what is tested is the way to it."""

import csv
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import checks, cli, datasets, recipes, runs, tasks
from jaxmeta.recipes.scoring import SCORINGS
from jaxmeta.runs import training

TINY = {"width": 8, "num_layers": 1, "steps": 0, "num_features": 8, "validation_tasks": 2}


@functools.cache
def trained():
    return runs.train(recipes.get("tables").replace(**TINY))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def table(path, num_rows=24, outcome=lambda index: "yes" if index % 2 else "no", extra=0):
    """Patients whose age and smoking tell the outcome; some cells are empty."""
    generator = np.random.default_rng(0)
    with open(path, "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["age", "smokes", *(f"noise{index}" for index in range(extra)), "outcome"])
        for index in range(num_rows):
            age = "" if index == 4 else f"{40 + 20 * (index % 2) + generator.normal():.2f}"
            smokes = ["never", "daily", "once"][(index + generator.integers(2)) % 3]
            writer.writerow([age, smokes, *generator.normal(size=extra).round(3), outcome(index)])


def own(support, inputs="new.csv", **options):
    return recipes.Own(support, inputs, options.get("target_column"), "as_is", None)


def read(support):
    return recipes.kind(trained().recipe.task).read(trained().recipe.task, own(support), 0)


def test_the_preset_trains_on_fewer_columns_than_it_takes():
    recipe, source = training.opened(recipes.get("tables"))
    assert recipe.task.kind == "cells"
    assert recipe.task.num_features == 64
    episode = jax.eval_shape(source.sample, jax.random.key(0))
    assert episode.support.inputs.shape == (40, 16, 3)
    assert episode.support.classes.shape == (40, 10)
    assert jax.eval_shape(source.validation, jax.random.key(0)).support.inputs.shape == (20, 64, 3)


@pytest.mark.long
def test_cells_of_a_csv_are_as_they_stand():
    table("patients.csv")
    table("new.csv", 3)
    given = read("patients.csv")
    cells = np.asarray(given.support.inputs)
    assert cells.shape == (24, 8, 3)
    assert given.inputs.shape == (3, 8, 3)
    assert cells[:, :2, 2].tolist() == [[1, 2]] * 24
    assert not cells[:, 2:].any()
    assert (cells[:, 0, 1] == 0).sum() == 1
    assert set(cells[:, 1, 0]) == {0, 1, 2}
    assert given.class_names == ("no", "yes")
    assert cells[cells[:, 0, 1] > 0][:, 0, 0].min() > 30


@pytest.mark.long
def test_the_commands_foretell_new_patients(capsys, tmp_path):
    settings = ["--width", "8", "--num-layers", "1", "--steps", "0", "--num-features", "8", "--validation-tasks", "2"]
    assert cli.main(["train", "tables", *settings, "--num-tasks", "2", "--out", "run"]) == 0
    table("patients.csv")
    table("new.csv", 6)
    assert cli.main(["adapt", "run", "--support", "patients.csv", "--inputs", "new.csv", "--probabilities"]) == 0
    with open(capsys.readouterr().out.strip().splitlines()[-1].removeprefix("results: ")) as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 6
    for row in rows:
        shares = [float(row[f"probability of {name}"]) for name in ("no", "yes")]
        assert abs(sum(shares) - 1) < 1e-5
        assert row["prediction"] == ("no", "yes")[int(np.argmax(shares))]
    assert [row["prediction"] for row in rows] == ["no", "yes"] * 3  # the first answers alone tell these


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"extra": 7}, "at most the 8 columns that the network takes, got 9"),
        ({"num_rows": 33, "outcome": lambda index: f"k{index % 11}"}, "at most the 10 classes .*'outcome', got 11"),
        ({"num_rows": 502}, "at most the 500 rows that the network takes, got 502"),
        ({"outcome": lambda index: "no"}, "at least 2 classes in the target 'outcome', got 'no' in every row"),
        ({"outcome": lambda index: f"{index * 1.5}"}, "values are for a run of a regression"),
    ],
    ids=["columns", "classes", "rows", "one class", "values"],
)
def test_what_the_network_does_not_take_is_told_with_the_limit(options, said):
    table("patients.csv", **options)
    table("new.csv", 3)
    with pytest.raises(checks.DataError, match=said):
        read("patients.csv")


def test_sizes_beyond_the_network_are_refused():
    with pytest.raises(ValueError, match="at most the 10 classes that the network takes, got 11"):
        recipes.domains.open("causal_tables", "test", task=trained().recipe.task, ways=11)
    with pytest.raises(ValueError, match="at most the 500 rows that the network takes, got 600"):
        recipes.domains.open("causal_tables", "test", task=trained().recipe.task, shots=300)


def test_values_are_for_another_criterion():
    with pytest.raises(ValueError, match="one of classes for networks that read cells"):
        recipes.complete(recipes.get("tables").replace(criterion="squared_error").task)


def test_a_learner_with_a_head_is_refused():
    with pytest.raises(ValueError, match="in_context, for inputs that are a table's cells"):
        runs.train(recipes.get("tables").replace(learner="protonet", **TINY))


def test_tables_of_one_form_are_refused_by_an_in_context_learner():
    with pytest.raises(ValueError, match="for tables give `kind` cells"):
        runs.train(recipes.get("protonet-tabular").replace(learner="in_context", steps=0))


def test_groups_share_no_row_and_lack_the_column():
    table("patients.csv")
    loaded = datasets.load("patients.csv")
    groups = datasets.groups(loaded, "smokes")
    assert list(groups) == ["daily", "never", "once"]
    assert sum(len(group.inputs) for group in groups.values()) == 24
    assert all([column.name for column in group.columns] == ["age"] for group in groups.values())
    ages = loaded.inputs[loaded.inputs[:, 1] == 2][:, 0]
    np.testing.assert_array_equal(groups["once"].inputs[:, 0], ages)
    with pytest.raises(ValueError, match="one of age, smokes, got 'sex'"):
        datasets.groups(loaded, "sex")


@pytest.mark.fault(promised="numbers that six digits do not tell apart are groups of their own")
def test_groups_of_large_numbers():
    loaded = datasets.from_labels(np.array([[1500001, 0], [1500002, 1]] * 2, np.float32), [*"abba"], name="visits")
    loaded = loaded._replace(columns=(datasets.Column("clinic"), datasets.Column("x")))
    assert list(datasets.groups(loaded, "clinic")) == ["1500001", "1500002"]


def test_patients_of_another_group_are_asked_about():
    table("patients.csv", 60)
    groups = datasets.groups(datasets.load("patients.csv"), "smokes")
    sample = tasks.across(groups["never"], groups["daily"], num_ways=2, num_shots=2, num_queries=2)
    support, query = tasks.cells(sample, [0], 8)(jax.random.key(0))
    ages = lambda name: jnp.nan_to_num(groups[name].inputs[:, 0])  # noqa: E731
    assert jnp.isin(query.inputs[:, 0, 0], ages("daily")).all()
    assert jnp.isin(support.inputs[:, 0, 0], ages("never")).all()


@pytest.mark.long
def test_area_and_calibration_are_told_beside_accuracy():
    pytest.importorskip("sklearn")
    table("patients.csv", 40)
    rows = trained().score("patients.csv", num_tasks=2, shots=3, queries=4)
    assert {"majority class", "random forest", "in_context"} <= {row["method"] for row in rows}
    for row in rows:
        assert set(row["beside"]) == {"area_under_curve", "calibration_error"}
        assert 0 <= row["beside"]["area_under_curve"]["single"]["mean"] <= 1
        assert row["beside"]["calibration_error"]["joint"]["per_task"] is not None
    shown = runs.table(rows).splitlines()
    assert "area under curve" in shown[0]
    assert all(line.count("[") == 4 for line in shown[2 : 2 + len(rows)])


def test_the_parameters_are_kept_whose_probabilities_are_truest():
    known, flattering = {"accuracy": 0.8, "loss": 0.4}, {"accuracy": 0.9, "loss": 0.5}
    assert SCORINGS["prognosis"].better(known, flattering)
    assert not SCORINGS["prognosis"].better(flattering, known)
    assert SCORINGS["cross_entropy"].better(flattering, known)
