"""Functions of Gaussian processes by command: neural processes beside the exact posterior."""

import csv
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import baselines, cli, criteria, recipes, runs, tasks, transfer
from jaxmeta.types import Batch

TINY = {"steps": 2, "num_tasks": 8, "validation_tasks": 2, "tasks_per_step": 2, "tasks_per_chunk": 0, "hidden": (8,),
        "shots": 4, "queries": 3, "train_shots": 5, "train_queries": 2}  # fmt: skip
RBF, PERIODIC = "gaussian_process:rbf", "gaussian_process:periodic"
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes") / "run"
    runs.train(recipes.get("cnp-processes").replace(**TINY, schedule="constant"), folder=folder)
    return folder


@pytest.fixture(scope="module")
def scored(trained):
    """The rows on functions of another kernel."""
    command = ["evaluate", str(trained), "--domain", PERIODIC, "--num-tasks", "30", "--shots", "6", "--force"]
    assert cli.main(command) == 0
    return json.loads((trained / "evaluation" / "results.json").read_text())["rows"]


def test_the_exact_posterior_is_a_row_of_every_table(scored):
    rows = {row["method"]: row for row in scored}
    assert list(rows) == ["raw inputs, mean and deviation", recipes.ORACLE, "cnp, untrained", "cnp"]
    assert {(row["domain"], row["shots"], row["queries"], row["metric"]) for row in scored} == {
        (PERIODIC, 6, 3, "log_likelihood")
    }
    exact = rows.pop(recipes.ORACLE)
    for row in rows.values():
        assert exact["single"]["mean"] > row["single"]["mean"]
        assert exact["beside"]["squared_error"]["single"]["mean"] < row["beside"]["squared_error"]["single"]["mean"]


def test_a_training_goes_on_as_if_it_had_never_stopped(trained, tmp_path):
    longer = recipes.get("cnp-processes").replace(**TINY | {"steps": 4}, schedule="constant")
    folder = shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("evaluation"))
    given = runs.train(longer, folder=folder).fitted.state, runs.train(longer).fitted.state
    for one, other in zip(*(jax.tree.leaves(state.meta_params) for state in given), strict=True):
        np.testing.assert_array_equal(one, other)


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_predictions_have_deviations(trained, tmp_path, capsys):
    support = write(tmp_path / "support.csv", "x,y", "0.1,0.5", "0.4,0.9", "-1,0.2")
    inputs, out, again = write(tmp_path / "new.csv", "x", "0.2", "1.5"), tmp_path / "said.csv", tmp_path / "again.csv"
    command = ["adapt", str(trained), "--inputs", inputs]
    kept = str(tmp_path / "kept")
    assert cli.main([*command, "--support", support, "--out", str(out), "--save", kept]) == 0
    assert "2 predicted: from " in (told := capsys.readouterr().out)
    assert "; deviations from " in told
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert list(rows[0]) == ["input", "prediction", "deviation"]
    assert all(float(row["deviation"]) > 0 for row in rows)
    run = runs.open(trained)
    batch = Batch(jnp.array([[0.1], [0.4], [-1.0]]), jnp.array([[0.5], [0.9], [0.2]]))
    learner = run.learner()
    found = learner.predict(run.meta_params, learner.adapt(run.meta_params, batch, KEY), jnp.array([[0.2], [1.5]]))
    for name, values in (("prediction", found.mean), ("deviation", found.scale)):
        np.testing.assert_allclose([float(row[name]) for row in rows], values[:, 0], rtol=1e-4)
    assert cli.main([*command, "--adapted", kept, "--out", str(again)]) == 0
    assert again.read_text() == out.read_text()


@pytest.mark.fault(promised="one line, exit code 1")
@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("x,y", "0.1,nan", "0.4,0.9"), "nan"),
        (("x,z,y", "0.1,1,0.5", "0.4,1,0.9"), "expected examples of shape [1], as the run was trained on, got [2]"),
    ],
)
def test_supports_that_do_not_fit(trained, tmp_path, capsys, lines, message):
    support = write(tmp_path / "support.csv", *lines)
    inputs = write(tmp_path / "new.csv", lines[0].rpartition(",")[0], "0.2" + ",1" * (lines[0].count(",") - 1))
    out = str(tmp_path / "said.csv")
    assert cli.main(["adapt", str(trained), "--support", support, "--inputs", inputs, "--out", out]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.fault(promised="one line, exit code 2")
@pytest.mark.parametrize(
    ("preset", "flags", "message"),
    [
        ("cnp-processes", ["--domain", "gaussian_process:cosine"], f"expected one of {RBF}, gaussian_process:mat"),
        ("cnp-processes", ["--domain", "gaussian_process"], f"expected one of {RBF}, gaussian_process:mat"),
        ("maml-strokes", ["--domain", RBF], "expected classes, for cross_entropy, got gaussian_process:rbf"),
        ("cnp-processes", ["--learner", "protonet"], "expected one with a head for --criterion gaussian_likelihood"),
        ("cnp-processes", ["--criterion", "squared_error"], "expected gaussian_likelihood, for --learner cnp"),
        ("cnp-processes", ["--domain", "omniglot"], "of values, for --criterion gaussian_likelihood, got 'omniglot'"),
    ],
)
def test_what_does_not_go_together(tmp_path, capsys, preset, flags, message):
    assert cli.main(["train", preset, *flags, "--out", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err


def test_training_draws_numbers_of_points_and_tests_have_those_asked_for():
    task = recipes.get("cnp-processes").replace(**TINY).task
    trained, tested = (recipes.domains.open(RBF, split, task=task).sample for split in ("train", "test"))
    oracle = recipes.oracles(recipes.get("cnp-processes"))[recipes.ORACLE]
    drawn, test, told = jax.jit(
        lambda: (jax.vmap(trained)(jax.random.split(KEY, 40)), tested(KEY), oracle.told(tested)(KEY))
    )()
    assert set(np.asarray(drawn.support.mask.sum(axis=1))) == {3, 4, 5}
    assert (drawn.query.targets.shape, drawn.query.mask) == ((40, 2, 1), None)
    assert (test.support.inputs.shape, test.query.inputs.shape, test.support.mask) == ((4, 1), (3, 1), None)
    np.testing.assert_array_equal(told.query.inputs[:, :1], test.query.inputs)
    np.testing.assert_array_equal(told.query.targets, test.query.targets)
    with pytest.raises(ValueError, match="most_points: expected a whole number of at least 9, got 8"):
        tasks.gaussian_process(most_points=8, num_shots=(3, 5), num_queries=(4, 4))


def test_an_exact_posterior_for_values_says_its_mean():
    """MAML on squared error meets it, too; of sinusoids there is none."""
    recipe = recipes.get("maml-sinusoid").replace(domain=PERIODIC)
    (oracle,) = recipes.oracles(recipe).values()
    sample = oracle.told(recipes.domains.open(PERIODIC, "test", task=recipe.task, shots=5, queries=4).sample)
    exact = baselines.exact_gaussian_process(criteria.gaussian_likelihood, kernel=tasks.periodic)
    losses = (oracle.learner.loss, exact.loss)
    (loss, _), (_, metrics) = jax.jit(lambda: [each({}, sample(KEY), KEY) for each in losses])()
    np.testing.assert_allclose(loss, metrics["squared_error"], rtol=1e-5)
    assert recipes.oracles(recipes.get("maml-sinusoid")) == {}
    assert recipes.oracles(recipe.replace(domain=f"{RBF},{PERIODIC}")) == {}


def test_moments_of_a_support_set():
    learner = baselines.support_moments(criteria.gaussian_likelihood)
    batch = Batch(jnp.zeros((3, 1)), jnp.array([[1.0], [3.0], [50.0]]), jnp.array([True, True, False]))
    found = learner.predict({}, learner.adapt({}, batch, KEY), jnp.zeros((4, 1)))
    np.testing.assert_allclose(found.mean, np.full((4, 1), 2.0))
    np.testing.assert_allclose(found.scale, np.full((4, 1), np.sqrt(3 / 2)), rtol=1e-6)


@pytest.mark.long
def test_a_transfer_from_kernel_to_kernel(tmp_path):
    options = {"folder": tmp_path / "transfer", "criterion": "gaussian_likelihood", "shots": (4,), "queries": 3,
               "num_tasks": 4, "effort": 1e-4, "tasks_per_step": 16}  # fmt: skip
    rows = transfer.matrix([RBF], [PERIODIC], ["cnp"], **options)
    assert [(row["method"], row["family"]) for row in rows] == [
        ("raw inputs, mean and deviation", "floor"), (recipes.ORACLE, "floor"), ("cnp, untrained", "floor"),
        ("cnp", "learner"),
    ]  # fmt: skip
    assert all(len(row["single"]["per_task"]) == 4 for row in rows)
    assert transfer.matrix([RBF], [PERIODIC], ["cnp"], **options) == rows  # as they lie in the folder
    with pytest.raises(ValueError, match="`criterion`: expected gaussian_likelihood, for `learners` cnp"):
        transfer.matrix([RBF], [PERIODIC], ["cnp"], criterion="squared_error")


def test_a_report_draws_both_bands(trained, scored):
    pytest.importorskip("matplotlib")
    from jaxmeta.report import curves, probes, verdicts

    probe = probes.Probe(runs.open(trained), PERIODIC, recipes.Sizes(5, 4, 3), 4, 0, None)
    (figure,) = curves.curves(probe)
    assert figure.header == ("task", "x", "after", "after, deviation", "oracle", "oracle, deviation", "kind")
    values = np.array([line[2:6] for line in figure.rows], float)
    assert (values[:, [1, 3]] > 0).all()
    assert "exact posterior" in figure.note
    assert len(figure.draw().axes) == 3
    rows = [row | {"family": "learner" if row["method"] == "cnp" else "floor", "source": RBF} for row in scored]
    (verdict,) = verdicts.verdicts(verdicts.Part("run", (), tuple(rows)))
    assert verdict.floor["method"] != recipes.ORACLE
    assert recipes.ORACLE not in verdicts.marks(rows, "single")


@pytest.mark.fault(promised="said, since nothing brings them into the units of the run")
def test_functions_in_units_of_their_own(trained, tmp_path, capsys):
    support, inputs = tmp_path / "days.csv", tmp_path / "new.csv"
    support.write_text("day,y\n" + "".join(f"{day},{150 + day % 7}\n" for day in range(0, 365, 30)))
    inputs.write_text("day\n10\n")
    command = ["adapt", str(trained), "--support", str(support), "--inputs", str(inputs), "--out"]
    assert cli.main([*command, str(tmp_path / "out.csv")]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("read days"))
    assert "column 'day': 12 of 13 cells, 0 to 360, are far from the trained functions'" in line
    assert "column 'y': 13 of 13 cells, 150 to 156, are far from the trained functions'" in line
    support.write_text("x,y\n" + "".join(f"{place / 5},{place / 9}\n" for place in range(-9, 9)))
    inputs.write_text("x\n0.1\n")
    assert cli.main([*command, str(tmp_path / "near.csv")]) == 0
    assert "far from" not in capsys.readouterr().out
