"""`runs.train`, `runs.open` and `Run.score`: from a recipe to what it learned, without a command."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta import checks, cli, memory, recipes, runs, training
from jaxmeta.report import making
from jaxmeta.runs import fitting, results, seeds

WAVES = recipes.get("maml-regression").replace(
    seed=3, steps=60, hidden=(4,), shots=3, queries=3, train_queries=3, tasks_per_step=2, inner_steps=1,
    inner_steps_test=1, num_tasks=2, validation_tasks=2,
)  # fmt: skip
GLYPHS = recipes.get("protonet-strokes").replace(
    seed=3, steps=20, num_filters=4, picture=(16, 16, 1), train_ways=5, train_queries=2, queries=2, validation_tasks=2
)


class Kinds(list):
    """The kinds of the events that are told."""

    def __call__(self, event):
        self.append(event.kind)


def assert_same(found, wanted):
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


@pytest.fixture(scope="module")
def waves(tmp_path_factory):
    path = tmp_path_factory.mktemp("waves") / "run"
    return path, runs.train(WAVES, folder=path)


@pytest.fixture(scope="module")
def glyphs(tmp_path_factory):
    path = tmp_path_factory.mktemp("glyphs") / "run"
    return path, runs.train(GLYPHS, folder=path)


def test_a_benchmark_runner(glyphs, capsys):
    """The first program of those that a person writes."""
    path, run = glyphs
    rows = run.score(domain="digits", num_tasks=4)
    print(run.table(rows))
    table = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in table[2:5]] == [
        "raw inputs, nearest centroid", "protonet, untrained", "protonet"
    ]  # fmt: skip
    assert {(row["domain"], row["split"], row["num_tasks"]) for row in rows} == {("digits", "all", 4)}
    assert len(rows[2]["joint"]["per_task"]) == 4
    assert rows[2]["joint"] != rows[1]["joint"]
    opened = runs.open(path)
    assert (opened.recipe, opened.shape, opened.checksums) == (run.recipe, run.shape, run.checksums)
    assert opened.score(domain="digits", num_tasks=4) == rows
    assert json.loads(opened.write(rows).read_text())["rows"] == rows


def test_scores_that_are_not_finite_leave_the_other_rows(waves, tmp_path):
    """As those of an untrained network may be, after a training that took hours."""
    run = waves[1]
    scores = {"joint": {"loss": np.array([1.0, np.nan])}, "single": {"loss": np.array([np.inf, np.nan])}}
    facts = {"method": "m", "domain": "d", "split": "s", "ways": 0, "shots": 1, "queries": 1, "norm": None}
    row = results.report_row(scores, "loss", **facts, inner_steps_test=1)
    assert (row["joint"], row["single"], row["note"]) == (None, None, "not finite in 2 of 2 tasks")
    good = run.score(num_tasks=2)
    assert "not finite in 2 of 2 tasks" in run.table([*good, row])
    assert runs.write_json(tmp_path / "results.json", results.document([*good, row], seed=0, checksums={})).exists()
    assert seeds.spreads({0: [good[0]], 1: [row | {"method": good[0]["method"]}]})[0]["single"] is None


@pytest.mark.fault(promised="results are written, with null for what is not finite")
def test_validations_that_are_not_finite_are_written_down(waves, tmp_path):
    for last in (np.nan, -np.inf):
        fitted = waves[1].fitted._replace(
            scores=None, last={"loss": last, "accuracy": 0.5}, collapsed="none was finite"
        )
        run = dataclasses.replace(waves[1], folder=tmp_path, fitted=fitted)
        found = json.loads(run.write(run.score(num_tasks=2)).read_text())
        assert (found["training"]["best"], found["training"]["last"]) == (None, {"loss": None, "accuracy": 0.5})
        assert len(found["rows"][0]["joint"]["per_task"]) == 2
        assert making.training(found).endswith("it collapsed (none was finite)")


def test_a_finished_run_is_trained_longer(waves, tmp_path, capsys):
    shutil.copytree(waves[0], tmp_path / "run")
    longer = runs.train(WAVES.replace(steps=130), folder=tmp_path / "run")
    whole = runs.train(WAVES.replace(steps=130), folder=tmp_path / "whole")
    assert_same(longer.fitted.state, whole.fitted.state)
    assert runs.open(tmp_path / "run").recipe == runs.open(tmp_path / "whole").recipe
    with pytest.raises(ValueError, match="another: steps 60 instead of 130"):
        runs.train(WAVES, folder=tmp_path / "run")
    assert cli.main(["train", "--resume", str(tmp_path / "run"), "--steps", "20"]) == 2
    assert "--steps: expected a whole number from 130" in capsys.readouterr().err


def test_a_run_whose_schedule_hangs_on_its_steps_is_not_trained_longer(glyphs, tmp_path, capsys):
    shutil.copytree(glyphs[0], tmp_path / "run")
    assert GLYPHS.outer.schedule == "cosine"
    with pytest.raises(ValueError, match="another: steps 40 instead of 20"):
        runs.train(GLYPHS.replace(steps=40), folder=tmp_path / "run")
    assert cli.main(["train", "--resume", str(tmp_path / "run"), "--steps", "40"]) == 2
    assert "--steps: expected the 20 that the run's schedule cosine was made for, got 40" in capsys.readouterr().err


def test_somebody_who_composes(tmp_path):
    """The second program: a trainer, a learner and a sampler of their own."""
    sample, key = jaxmeta.tasks.sinusoid(num_shots=3, num_queries=3), jax.random.key(0)
    model, criterion = jaxmeta.models.mlp(1, 1, hidden=(4,)), jaxmeta.criteria.squared_error
    learner = jaxmeta.maml(model, criterion, optax.sgd(0.01), num_steps=1)
    trainer = jaxmeta.meta_trainer(learner, optax.adam(1e-2))
    held_out = jaxmeta.tasks.episodes(sample, jax.random.key(1), jnp.arange(4))

    def validate(params):
        return {"loss": jaxmeta.evaluate(learner, criterion, params, held_out, key)["joint"]["loss"].mean()}

    fitted = runs.fit(
        trainer, sample, key, num_tasks=2, num_steps=60, validate=validate, store=runs.in_folder(tmp_path / "mine")
    )
    assert fitted.scores["loss"] == pytest.approx(float(validate(fitted.meta_params)["loss"]))
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [".lock", "checkpoints", "metrics.jsonl"]


@pytest.mark.fault(promised="the bits of an unbroken run")
def test_a_broken_run_goes_on_and_a_finished_one_is_opened(waves, tmp_path):
    path, asked, told = tmp_path / "run", [], Kinds()
    with pytest.raises(runs.Stopped):
        runs.train(WAVES, folder=path, stop=lambda: asked.append(0) or int(len(asked) > 2))
    assert not (path / "meta_params.msgpack").exists()
    run = runs.train(WAVES, folder=path)
    assert_same(run.meta_params, waves[1].meta_params)
    assert run.fitted.scores == waves[1].fitted.scores
    content = {each.name: each.read_bytes() for each in path.iterdir() if each.is_file()}
    again = runs.train(WAVES, folder=path, report=told)
    assert told == ["begin", "end"]
    assert_same(again.meta_params, run.meta_params)
    assert {each.name: each.read_bytes() for each in path.iterdir() if each.is_file()} == content
    assert_same(runs.open(path).meta_params, run.meta_params)
    assert_same(runs.train(WAVES).meta_params, run.meta_params)


@pytest.mark.fault(promised="one line that names what differs; what exists stays")
def test_the_folder_of_another_recipe_is_refused(waves, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(waves[0], path)
    with pytest.raises(ValueError, match=r"learning_rate 0\.5 instead of 0\.001, seed 4 instead of 3; choose another"):
        runs.train(WAVES.replace(learning_rate=0.5, seed=4), folder=path)
    with pytest.raises(ValueError, match=r"seeds 2 instead of 1"):
        runs.train(WAVES, folder=path, seeds=(3, 4))
    with pytest.raises(ValueError, match="an empty folder"):
        runs.train(WAVES, folder=path, existing="refuse")
    assert_same(runs.open(path).meta_params, waves[1].meta_params)
    (path / "mine.txt").write_text("mine")
    run = runs.train(WAVES.replace(steps=0), folder=path, existing="replace")
    assert (run.fitted.step, (path / "mine.txt").read_text()) == (0, "mine")
    assert not (path / "metrics.jsonl").exists()
    (path / "config.json").unlink()
    with pytest.raises(ValueError, match="an empty folder"):
        runs.train(WAVES, folder=path)


def test_several_seeds_are_several_runs(waves, tmp_path):
    found = runs.train(WAVES, folder=tmp_path / "run", seeds=(3, 4))
    assert [run.recipe.seed for run in found] == [3, 4]
    assert [run.folder for run in found] == [tmp_path / "run" / "seed-3", tmp_path / "run" / "seed-4"]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found[0].meta_params, waves[1].meta_params
    )
    for run in found:
        opened = runs.open(run.folder)
        assert opened.recipe == run.recipe
        assert_same(opened.meta_params, run.meta_params)
    with pytest.raises(checks.DataError, match=r"one of its 2 runs, such as .*seed-3, got the folder of all"):
        runs.open(tmp_path / "run")
    told = Kinds()
    again = runs.train(WAVES, folder=tmp_path / "run", seeds=(3, 4), report=told)
    assert told == ["begin", "end"]
    assert_same([run.meta_params for run in again], [run.meta_params for run in found])
    (alone,) = runs.train(WAVES, seeds=(3,))
    assert_same(alone.meta_params, waves[1].meta_params)


@pytest.mark.parametrize("given", [(), (1, 1)])
def test_what_seeds_cannot_be(given):
    with pytest.raises(ValueError, match="`seeds`: expected one or more distinct seeds"):
        runs.train(WAVES, seeds=given)


def test_seeds_that_a_folder_cannot_record(tmp_path):
    with pytest.raises(ValueError, match="`seeds`: expected seeds that follow each other"):
        runs.train(WAVES, folder=tmp_path / "run", seeds=(0, 2))
    assert not (tmp_path / "run").exists()


def test_what_a_run_cannot_be_asked(waves, glyphs):
    for run in (waves[1], runs.open(waves[0])):
        for message, options in {
            "`num_tasks`": {"num_tasks": 1},
            "`shots`": {"shots": 0},
            "`inner_steps`": {"inner_steps": -1, "num_tasks": 2},
            "`tasks_per_chunk`": {"tasks_per_chunk": -1, "num_tasks": 2},
        }.items():
            with pytest.raises(ValueError, match=message):
                run.score(**options)
    for option, value in (("ways", 3), ("polarity", "invert"), ("text_column", "text")):
        with pytest.raises(ValueError, match=f"`{option}`: expected none for .*, got {value}"):
            waves[1].score(num_tasks=2, **{option: value})
    assert waves[1].score(num_tasks=2, ways=WAVES.task.ways)  # as whoever knows the recipe may say
    with pytest.raises(ValueError, match="one with a folder"):
        runs.train(WAVES.replace(steps=0)).write([])
    with pytest.raises(checks.DataError, match=r"config\.json: expected"):
        runs.open(glyphs[0].parent)


def of_before(run, path):
    """The folder of a run as it was written before recipes: flat, and without kind, shape and data."""
    own = json.loads(json.dumps(run.recipe.flat()))
    flat = {name: value for name, value in own.items() if name not in ("kind", "tasks_per_chunk")}
    path.mkdir()
    runs.write_json(path / "config.json", {"schema": 1, "preset": "of before", "config": flat | {"seeds": 1}})
    runs.save_params(path, run.meta_params)
    runs.write_json(path / "results.json", {"schema": 1, "data": run.checksums, "rows": []})
    return path


@pytest.mark.parametrize("kind", ["waves", "glyphs", "tables"])
@pytest.mark.product(kind=("glyphs", "waves"))
def test_a_run_of_before_is_opened_evaluated_and_adapted(kind, request, tmp_path):
    if kind == "tables":
        tables = recipes.get("protonet-tabular").replace(steps=0, hidden=(4,), num_filters=4, queries=2)
        run = runs.train(tables.replace(validation_tasks=2))
        assert run.recipe.task.num_features == 30
    else:
        run = request.getfixturevalue(kind)[1]
    path = of_before(run, tmp_path / "run")
    opened = runs.open(path)
    assert (opened.shape, opened.seen) == (run.shape, run.seen._replace(examples=None, classes=frozenset()))
    assert recipes.kind(opened.recipe.task).name == recipes.kind(run.recipe.task).name
    assert_same(opened.meta_params, run.meta_params)
    assert cli.main(["evaluate", str(path), "--num-tasks", "2"]) == 0
    rows = json.loads((path / "evaluation" / "results.json").read_text())["rows"]
    assert rows == run.score(num_tasks=2, seed=1)
    rng = np.random.default_rng(0)
    if kind == "glyphs":
        np.savez(tmp_path / "support.npz", images=rng.random((6, 16, 16, 1)), labels=np.arange(6) % 2)
        np.savez(tmp_path / "inputs.npz", images=rng.random((3, 16, 16, 1)))
    suffix = "npz" if kind == "glyphs" else "csv"
    (tmp_path / "support.csv").write_text("a,y\n" + "".join(f"{x},{int(x > 0.5)}\n" for x in rng.random(8)))
    (tmp_path / "inputs.csv").write_text("a\n0.25\n0.5\n0.75\n")
    arguments = ["--support", str(tmp_path / f"support.{suffix}"), "--inputs", str(tmp_path / f"inputs.{suffix}")]
    assert cli.main(["adapt", str(path), *arguments, "--out", str(tmp_path / "out.csv")]) == 0
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 4


def test_a_training_goes_on_with_fewer_tasks_side_by_side_where_a_device_refuses(monkeypatch, tmp_path):
    """Off the CPU, where an allocator may refuse what was free when it was asked."""
    sizes, tried, make, fit = {}, [], jaxmeta.meta_trainer, fitting.fit_together
    full = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 13.93GiB"

    def noted(*given, tasks_per_chunk, **options):
        trainer = make(*given, tasks_per_chunk=tasks_per_chunk, **options)
        sizes[id(trainer.update)] = tasks_per_chunk
        return trainer

    def refusing(trainer, *given, **options):
        tried.append(sizes[id(trainer.update)])
        if tried[-1] > 1:
            raise jax.errors.JaxRuntimeError(full)
        return fit(trainer, *given, **options)

    monkeypatch.setattr(training, "meta_trainer", noted)
    monkeypatch.setattr(fitting, "fit_together", refusing)
    recipe = WAVES.replace(tasks_per_step=4 * jax.device_count(), steps=4)
    on_cpu = runs.train(recipe.replace(tasks_per_chunk=1), folder=tmp_path / "one")
    monkeypatch.setattr(memory, "on_cpu", lambda: False)
    monkeypatch.setattr(memory, "available", lambda: 2**33)
    tried.clear()
    run = runs.train(recipe, folder=tmp_path / "fewer")
    assert tried == [4, 2, 1]
    assert_same(run.meta_params, on_cpu.meta_params)
    with pytest.raises(jax.errors.JaxRuntimeError, match="RESOURCE_EXHAUSTED"):  # what is asked for is not replaced
        runs.train(recipe.replace(tasks_per_chunk=2), folder=tmp_path / "asked")
