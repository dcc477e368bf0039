"""The numbers behind the figures of reports, on cases whose answers are known."""

import json
import math
import shutil
import types

import numpy as np
import pytest

from jaxmeta import recipes, report, runs, statistics
from jaxmeta.report import asked, episodes, explained, facts, heat_map, probes, ran, ranks, style, transfers
from jaxmeta.report.figure import Figure

RNG = np.random.default_rng(0)


def column(scores):
    scores = np.asarray(scores, float)
    return {**statistics.mean_interval(scores)._asdict(), "per_task": scores.tolist()}


def row(method, family, domain, scores, *, source="fonts", shots=1, joint=None, **more):
    return {
        "source": source, "method": method, "family": family, "domain": domain, "split": "test", "ways": 5,
        "chance": 0.2, "shots": shots, "queries": 15, "norm": None, "metric": "accuracy", "num_tasks": len(scores),
        "single": column(scores), "joint": column(scores if joint is None else joint), "inner_steps_test": 0,
        "distance_untrained": 0.5, "distance_trained": None, **more,
    }  # fmt: skip


BASE = RNG.uniform(0.3, 0.6, 30)
NOISE = RNG.normal(size=30) * 0.02


def cells(domain, **more):
    """In one domain: good is best, near is not told apart from it, far and raw are worse for certain."""
    return [
        row("good", "learner", domain, BASE + 0.1, **more),
        row("near", "learner", domain, BASE + 0.1 + NOISE - NOISE.mean() - 1e-3, **more),
        row("far", "baseline", domain, BASE, **more),
        row("worse", "baseline", domain, BASE - 0.1, **more),
        row("raw", "floor", domain, BASE - 0.2, **more),
    ]


ROWS = [*cells("digits"), *cells("cells", distance_untrained=1.5)]


def test_the_best_and_what_is_not_told_apart_from_it():
    found = heat_map.standings(cells("digits"))
    assert found == {
        ("good", "fonts"): "best", ("near", "fonts"): "tied", ("far", "fonts"): "", ("worse", "fonts"): "",
        ("raw", ""): "",
    }  # fmt: skip


def test_scores_on_other_tasks_are_not_ties():
    rows = cells("digits")
    rows[1] |= {"split": "all"}
    assert heat_map.standings(rows)["near", "fonts"] == ""


def test_errors_are_best_where_they_are_lowest():
    rows = [each | {"metric": "loss"} for each in cells("digits")]
    assert heat_map.standings(rows)["raw", ""] == "best"


def test_a_matrix_has_every_cell_and_names_the_best():
    made = heat_map.matrix(ROWS, 1)
    assert isinstance(made, Figure)
    assert len(made.rows) == 10  # joint is the same as single, and not told twice
    best = [line for line in made.rows if line[-1] == "best"]
    assert [(line[1], line[3]) for line in best] == [("good", "digits"), ("good", "cells")]
    np.testing.assert_allclose(best[0][5], 100 * (BASE + 0.1).mean(), atol=1e-3)
    assert "good" in made.alt
    assert "1 not told apart" in made.alt


def test_joint_scores_are_shown_where_they_differ():
    rows = [*ROWS[:-1], row("raw", "floor", "cells", BASE - 0.2, joint=BASE)]
    made = heat_map.matrix(rows, 1)
    assert {line[4] for line in made.rows} == {"single", "joint"}


def test_differences_are_those_with_the_best_baseline():
    found = transfers.against_best(ROWS)
    assert {(entry["first"], entry["second"]) for entry in found} == {("good", "far"), ("near", "far")}
    good = next(entry for entry in found if entry["first"] == "good")
    np.testing.assert_allclose([good["mean"], good["low"], good["high"]], 0.1, atol=1e-6)
    assert (good["won"], good["lost"]) == (30, 0)
    # Holm over the eight pairs of a learner and a baseline in two cells.
    p_value = statistics.paired(BASE + 0.1, BASE, num_resamples=100).p_value
    assert p_value < good["p_holm"] <= 8 * p_value * (1 + 1e-9)


def test_a_smaller_error_of_the_learner_is_won():
    rows = [each | {"metric": "loss"} for each in ROWS]
    found = {entry["first"]: entry for entry in transfers.against_best(rows)}
    assert found["good"]["second"] == "worse"  # the lowest loss
    assert (found["good"]["won"], found["good"]["lost"]) == (0, 30)


def test_methods_within_a_critical_difference_share_a_bar():
    means = [1.0, 1.5, 2.4, 4.0, 4.2]
    assert ranks.cliques(means, 1.0) == [(0, 1), (1, 2), (3, 4)]
    assert ranks.cliques(means, 9.0) == [(0, 4)]
    assert ranks.cliques(means, 0.1) == []


def test_what_a_transfer_lacks_is_told():
    floors = [each for each in ROWS if each["family"] == "floor"]
    drawn = transfers.transfer_figures(floors)
    assert [figure.name for figure in drawn.figures] == ["matrix-1-shot", "distance", "task-spread"]
    assert any("baseline" in reason for reason in drawn.missing)
    assert any("critical-difference" in reason for reason in drawn.missing)
    nothing = [each | {"single": None, "joint": None} for each in ROWS]
    assert transfers.transfer_figures(nothing) == ([], ["The figures of a transfer: no cell has scores yet."])


def test_figures_have_a_name_of_their_own_and_a_whole_table():
    drawn = transfers.transfer_figures([*ROWS, *cells("digits", shots=5), *cells("cells", shots=5)])
    names = [figure.name for figure in drawn.figures]
    assert len(set(names)) == len(names) == 6
    for figure in drawn.figures:
        assert {len(line) for line in figure.rows} == {len(figure.header)}
        assert figure.alt


def test_distances_are_ranked_with_scores_where_there_are_enough_targets():
    rows = [
        each
        for place in range(4)
        for each in cells(f"t{place}", distance_untrained=float(place))
        if each["method"] != "raw"
    ] + [row("raw", "floor", f"t{place}", BASE - 0.05 * place, distance_untrained=float(place)) for place in range(4)]
    made = transfers.distances(rows)
    assert "raw, 1-shot: rank correlation -1.00 over 4 pairs" in made.alt
    assert isinstance(transfers.distances(cells("digits")), str)


def work(path, rows=(), config=(), results=None):
    return types.SimpleNamespace(path=path, rows=tuple(rows), config=dict(config), results=results or {})


def test_training_curves_tell_the_kept_step_and_where_it_diverged(tmp_path):
    lines = [{"step": step, "split": split, "accuracy": 0.1 * step, "loss": 1 / step, "seconds": 1.0}
             for step in (1, 2, 3) for split in ("train", "validation")]  # fmt: skip
    lines[-2]["loss"] = None  # what is not finite
    lines[2]["skipped"] = 4
    results = {"training": {"kept_step": 2, "diverged": "diverged at step 3"}}
    made = ran.training(work(tmp_path, results=results), {"": lines}, "accuracy")
    assert "kept: step 2" in made.alt
    assert "diverged: diverged at step 3" in made.alt
    assert "4 updates skipped" in made.alt
    assert ["-", "train", 3, 30.0, "-"] in [list(line) for line in made.rows]
    star = [line for line in made.draw().axes[0].lines if line.get_marker() == "*" and len(line.get_xdata())]
    assert [float(line.get_xdata()[0]) for line in star] == [2.0]


def test_a_half_written_line_is_left_out(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "split": "train", "loss": 2.0}\n[]\n{"step": 2, "spl')
    assert [line["step"] for line in ran.metrics(tmp_path)[""]] == [1]
    assert isinstance(ran.training(work(tmp_path), {}, "loss"), str)


def test_seeds_are_told_apart_from_tasks(tmp_path):
    scores = {seed: BASE + gain for seed, gain in ((0, 0.0), (1, 0.1), (2, 0.2))}
    rows = [{"seed": seed, "method": "maml", "single": column(each), "metric": "accuracy"}
            for seed, each in scores.items()]  # fmt: skip
    (tmp_path / "results.json").write_text(json.dumps({"rows": rows}))
    made = ran.seeds(work(tmp_path, rows=[row("maml", "learner", "digits", BASE)], config={"learner": "maml"}))
    line = made.rows[0]
    np.testing.assert_allclose(line[3], 10.0, atol=1e-3)  # points of accuracy
    np.testing.assert_allclose(line[5], 100 * BASE.std(ddof=1), atol=1e-3)
    (tmp_path / "results.json").write_text('{"rows": 3}')
    assert isinstance(ran.seeds(work(tmp_path, rows=ROWS)), str)


def test_the_calibration_error_is_the_criterions():
    import jax.numpy as jnp

    from jaxmeta.criteria.prognosis import calibration_error

    shares = RNG.dirichlet(np.ones(4), size=200).astype(np.float32)
    targets = RNG.integers(0, 4, 200)
    error, bins = asked.reliability(shares, targets)
    np.testing.assert_allclose(error, float(calibration_error(jnp.asarray(shares), jnp.asarray(targets))), rtol=1e-5)
    assert sum(count for _, _, count, _, _ in bins) == 200
    sure = np.array([[0.8, 0.2]] * 10)
    error, bins = asked.reliability(sure, np.array([0] * 6 + [1] * 4))
    np.testing.assert_allclose(error, 0.2)
    assert bins == [(0.8, 0.9, 10, pytest.approx(0.8), pytest.approx(0.6))]


def test_confusions_are_counted_by_truth():
    counts = asked.counted(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_steps_go_past_those_of_training():
    assert probes.steps_beyond(0, 1, 3) == [0, 1, 3, 6]
    assert probes.steps_beyond(1, 5, 5) == [1, 5, 10]
    assert probes.shots_around(1) == [1, 2, 5]


def test_the_nearest_support_sentence_is_the_one_at_the_smallest_angle():
    support = np.array([[1.0, 0.0], [0.0, 5.0], [3.0, 3.0]])
    assert episodes.nearest(np.array([[9.0, 0.1], [0.01, 0.2], [2.0, 2.1]]), support).tolist() == [0, 1, 2]


def test_sentences_of_every_class_come_first():
    table = [[1, "a", "", 0, "right"], [2, "a", "", 0, "right"], [3, "a", "", 0, "wrong"], [4, "b", "", 0, "right"]]
    assert [line[0] for line in episodes.mingled(table)] == [1, 3, 4, 2]


def test_names_are_drawn_letter_for_letter():
    assert style.plain("$x^2$\nnext") == r"\$x^2\$ next"
    assert style.wrapped("a_very_long_name_of_a_class", 10).count("\n") == 1
    hostile = [row("$\\frac{", "learner", "<script>$", BASE), row("b" * 200, "baseline", "<script>$", BASE)]
    for figure in transfers.transfer_figures(hostile).figures:
        figure.draw().canvas.draw()


def test_drawing_leaves_the_callers_settings_alone():
    import matplotlib

    before = dict(matplotlib.rcParams)
    heat_map.matrix(ROWS, 1).draw()
    assert dict(matplotlib.rcParams) == before


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("run")
    recipe = recipes.get("protonet-tabular").replace(
        steps=2, hidden=(8,), tasks_per_step=2, num_tasks=4, validation_tasks=2, shots=3, train_shots=3, queries=4,
        train_queries=4,
    )  # fmt: skip
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    run = runs.train(recipe, folder=path)
    run.write(run.score("breast_cancer", num_tasks=4))
    return path


@pytest.mark.long
def test_a_finished_run_is_asked_again(folder):
    drawn = report.run_figures(folder, num_tasks=4)
    names = [figure.name for figure in drawn.figures]
    assert names == [
        "scores", "training", "task-spread", "episode-typical", "episode-hardest", "adaptation-shots", "calibration",
        "confusion",
    ]  # fmt: skip
    found = {figure.name: figure for figure in drawn.figures}
    assert any("without steps" in reason for reason in drawn.missing)
    for figure in drawn.figures:
        assert {len(line) for line in figure.rows} == {len(figure.header)}, figure.name
    # The probed tasks are the first of those that results.json tells of: the scores are the same.
    scores = next(line for line in found["scores"].rows if line[3] == "protonet" and line[5] == "single")
    shots = next(line for line in found["adaptation-shots"].rows if line[:2] == [3, "single"])
    np.testing.assert_allclose(scores[6], shots[2], atol=1e-3)
    right = sum(line[2] * line[4] / 100 for line in found["calibration"].rows)
    np.testing.assert_allclose(right / (4 * 8), scores[6] / 100, atol=1e-3)
    names = {line[0] for line in found["episode-typical"].rows}
    assert len(names) == 30
    assert "column 1" in names
    assert "malignant" in found["confusion"].alt + str(found["confusion"].rows)


@pytest.mark.long
def test_what_was_asked_is_kept(folder, monkeypatch):
    probe = probes.opened(facts.read(folder), num_tasks=4)
    first = probes.by_shots(probe)
    assert (folder / "probes" / "shots.json").exists()
    monkeypatch.setattr(probes.scores, "trained_row", None)  # nothing is computed again
    assert probes.by_shots(probe) == first
    (folder / "probes" / "shots.json").write_text('{"key": 1}')
    with pytest.raises(TypeError):
        probes.by_shots(probe)
    assert any("Score by shots" in reason for reason in report.run_figures(folder, num_tasks=4).missing)


def test_missing_cells_move_the_answer_only_where_they_stand(folder):
    probe = probes.opened(facts.read(folder), num_tasks=4)
    found = explained.explained(probe, 0, 0)
    assert len(found.columns) == 30
    inputs = np.asarray(probe.episodes.query.inputs[0])
    place = int(np.abs(found.changes).argmax())
    changed = inputs[:1].copy()
    changed[:, place] = 0  # the support set's mean
    both = np.concatenate([inputs[:1], changed])
    said = np.asarray(probe.said(probe.steps, explained._with_queries(probe, 0, both)))[0]
    own = int(said[0].argmax())
    np.testing.assert_allclose(found.changes[place], said[0, own] - said[1, own], atol=1e-6)
    assert math.isfinite(found.changes.sum())


def test_a_run_without_its_data_makes_a_part_of_the_figures(folder, tmp_path):
    other = tmp_path / "run"
    shutil.copytree(folder, other)
    content = json.loads((other / "config.json").read_text())
    content["config"] |= {"domain": "/somewhere/mine.csv"}
    (other / "config.json").write_text(json.dumps(content))
    results = json.loads((other / "results.json").read_text())
    for each in results["rows"]:
        each["domain"] = "mine.csv"
    (other / "results.json").write_text(json.dumps(results))
    drawn = report.run_figures(other)
    assert [figure.name for figure in drawn.figures] == ["scores", "training", "task-spread"]
    assert any("give its path" in reason for reason in drawn.missing)


TINY = {"steps": 1, "hidden": (8,), "tasks_per_step": 2, "num_tasks": 3, "validation_tasks": 2, "inner_steps_test": 1}
KINDS = {
    "maml-strokes": ({"num_filters": 4, "train_queries": 1}, {"episode-typical", "episode-hardest"}),
    "maml-sinusoid": ({}, {"episode-functions"}),
    "maml-tabular": ({"inner_steps": 1}, {"episode-typical", "episode-hardest"}),
    "maml-tabular-regression": ({"inner_steps": 1}, {"episode-typical", "episode-hardest"}),
    "tables": ({"width": 8, "num_layers": 1, "train_ways": 2}, {"episode-typical", "episode-hardest"}),
    "maml-navigation": ({"shots": 2, "queries": 2, "train_queries": 2}, {"episode-trajectories"}),
    "maml-grid": ({"shots": 2, "queries": 2, "train_queries": 2}, {"episode-trajectories"}),
    "maml-pendulum": ({"shots": 2, "queries": 2, "train_queries": 2}, {"episode-trajectories"}),
}


@pytest.mark.long
@pytest.mark.parametrize("preset", KINDS)
def test_every_kind_has_pictures_of_episodes(preset, tmp_path):
    changes, expected = KINDS[preset]
    run = runs.train(recipes.get(preset).replace(**TINY | changes), folder=tmp_path)
    run.write(run.score(num_tasks=3))
    probe = probes.opened(facts.read(tmp_path), num_tasks=3)
    found = [figure for make in episodes.makers(probe) for figure in make()]
    assert {figure.name for figure in found} == expected
    for figure in found:
        assert {len(line) for line in figure.rows} == {len(figure.header)}
        figure.draw().canvas.draw()


WORDS = {"fruit": "apple pear plum fig", "tools": "hammer saw drill file", "birds": "crow robin wren owl"}


@pytest.mark.long
@pytest.mark.parametrize("knowledge", ["none", "names"])
def test_texts_are_shown_as_they_were_written(knowledge, tmp_path):
    lines = [f"{name},give me a {word} {place}" for name, own in WORDS.items() for word in own.split()
             for place in ("now", "please", "there")]  # fmt: skip
    path = tmp_path / "words.csv"
    path.write_text("\n".join(["label,text", *lines]))
    learner = "named_protonet" if knowledge == "names" else "protonet"
    recipe = recipes.get("protonet-ngrams").replace(
        **TINY, domain=str(path), knowledge=knowledge, learner=learner, ways=2, train_ways=2, shots=1, queries=2,
        train_queries=1, train_classes=("all",), test_classes=("all",),
    )  # fmt: skip
    run = runs.train(recipe, folder=tmp_path / "run")
    run.write(run.score(str(path), num_tasks=3))
    probe = probes.opened(facts.read(tmp_path / "run"), domain=str(path), num_tasks=3)
    found = episodes.texts(probe)
    for line in found[0].rows:
        assert line[1] in WORDS
        assert f"{line[1]},{line[5]}" in lines  # the sentence is of the class that the task says
        assert f"{line[7]},{line[6]}" in lines


@pytest.mark.long
def test_the_table_network_shows_a_patients_row(tmp_path):
    lines = [f"{'ill' if index % 2 else 'well'},{index % 7},{'' if index % 5 == 0 else 'red' if index % 3 else 'blue'}"
             for index in range(60)]  # fmt: skip
    path = tmp_path / "patients.csv"
    path.write_text("\n".join(["outcome,age,colour", *lines]))
    run = runs.train(recipes.get("tables").replace(**TINY, width=8, train_ways=2), folder=tmp_path / "run")
    run.write(run.score(str(path), num_tasks=3, target_column="outcome", shots=4, queries=4))
    probe = probes.opened(facts.read(tmp_path / "run"), domain=str(path), num_tasks=3)
    made = explained.rows(probe)[0]
    assert {line[0] for line in made.rows} == {"age", "colour"}
    assert {line[1] for line in made.rows if line[0] == "colour"} <= {"red", "blue", "missing"}
