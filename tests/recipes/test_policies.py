"""Control as a kind of data: presets, what does not go together, and a run from training to its scores."""

import jax
import numpy as np
import pytest

from jaxmeta import recipes, runs, transfer
from jaxmeta.recipes import ENTRIES, PRESETS

KEY = jax.random.key(0)
SMALL = {
    "steps": 4, "shots": 3, "queries": 3, "train_queries": 3, "tasks_per_step": 2, "validation_tasks": 2,
    "hidden": (8,), "num_tasks": 4,
}  # fmt: skip
NAMES = [name for name, recipe in PRESETS.items() if recipe.scoring.acts]


@pytest.mark.parametrize("name", NAMES)
def test_presets_fit_their_environment(name):
    """What a preset trains and tests share their parameters, and a run folder that names it has no other shape."""
    if "cheetah" in name:
        pytest.importorskip("mujoco.mjx", reason="wants the extra mjx")
    recipe = recipes.get(name).replace(**SMALL)
    recipe = recipe.replace(task=recipes.complete(recipe.task))
    assert recipe.task.kind == "control"
    domain = recipes.domains.open(recipe.task.domain, "train", task=recipe.task)
    shape = recipes.shape(recipe, domain.sample)
    assert shape == recipes.kind(recipe.task).shape(recipe.task)
    learner = recipes.training_learner(recipe, shape)
    tester = recipes.learner(recipe, shape, ways=recipe.task.ways, inner_steps=recipe.adaptation.inner_steps_test)

    def both(key):
        meta_params, episode = learner.init(key), domain.sample(key)
        tester.adapt(meta_params, episode.support, key)
        return learner.loss(meta_params, episode, key)

    loss, metrics = jax.eval_shape(both, KEY)
    assert loss.shape == ()
    assert "return" in metrics


def test_every_domain_of_control_is_known_by_name():
    from jaxmeta.recipes.kinds.control import DOMAINS

    assert set(DOMAINS) == set(recipes.CONTROL)
    assert recipes.is_builtin(",".join(recipes.CONTROL))
    task = recipes.get("maml-arm").replace(domain="arm,arm:crossed,arm:long").task
    episode = recipes.domains.open(task.domain, "test", task=task, queries=7).sample(KEY)
    assert (episode.support.num_trajectories, episode.query.num_trajectories) == (20, 7)


def refused(name, text, **changes):
    with pytest.raises((ValueError, TypeError), match=text):
        runs.training.opened(recipes.get(name).replace(**changes))


def test_what_does_not_go_together():
    refused("maml-navigation", "`domain`: expected bodies of one environment.* got navigation and arm",
            domain="navigation,arm")  # fmt: skip
    refused("maml-navigation", "`criterion`: expected another, for functions, got policy_gradient", domain="sinusoid")
    refused("maml-navigation", "`criterion`: expected policy_gradient, got cross_entropy", criterion="cross_entropy")
    refused("maml-navigation", "`learner`: expected one with a head for `criterion` policy_gradient", learner="r2d2")
    refused("e-maml-navigation", "`criterion`: expected policy_gradient, for `learner` e_maml, got squared_error",
            criterion="squared_error", domain="sinusoid")  # fmt: skip
    refused("e-maml-navigation", "`exploration`: expected a number of at least 0", exploration=-1.0)
    refused("maml-navigation", "`encoder`: expected none for `criterion` policy_gradient", encoder="efficientnet_lite0")


@pytest.mark.long
def test_a_run_tells_returns_before_and_after_each_step(tmp_path):
    run = runs.train(recipes.get("maml-grid").replace(**SMALL), folder=tmp_path / "run")
    found = runs.open(tmp_path / "run")
    rows = found.score(num_tasks=4, inner_steps=1)
    assert [row["method"] for row in rows] == ["maml, untrained", "maml, 0 steps", "maml"]
    assert [row["inner_steps_test"] for row in rows] == [1, 0, 1]
    for row in rows:
        assert (row["metric"], row["ways"], row["single"], row["norm"]) == ("return", 0, None, None)
        assert len(row["joint"]["per_task"]) == 4
        assert -2.1 < row["joint"]["mean"] < 1
    assert rows[2]["joint"] == run.score(num_tasks=4, inner_steps=1)[2]["joint"]
    table = found.table(rows)
    assert "single" not in table
    assert "return, mean and 95% interval over 4 tasks" in table
    with pytest.raises(ValueError, match="`domain` navigation: expected inputs"):
        found.score("navigation", num_tasks=4)
    with pytest.raises(ValueError, match="adapt: expected a run of labelled examples"):
        recipes.kind(found.recipe.task).read(found.recipe.task, None, 0)  # pyright: ignore[reportArgumentType]


@pytest.mark.long
def test_policies_are_transferred_to_other_bodies(tmp_path):
    rows = transfer.matrix(
        ["arm"], ["arm", "arm:crossed"], ["maml", "from_scratch"], criterion="policy_gradient", shots=(3,), queries=3,
        num_tasks=4, effort=0.02, tune_tasks=2, fine_tune_steps=1, folder=tmp_path,
    )  # fmt: skip
    assert {row["metric"] for row in rows} == {"return"}
    assert {row["method"] for row in rows} == {"maml", "maml, untrained", "from_scratch"}
    assert all(np.isfinite(row["joint"]["mean"]) for row in rows)
    text = str(transfer.compare(rows))
    assert "Return, mean and 95% interval over 4 tasks" in text
    assert "Best learner against best baseline" in text
    again = transfer.matrix(
        ["arm"], ["arm", "arm:crossed"], ["maml", "from_scratch"], criterion="policy_gradient", shots=(3,), queries=3,
        num_tasks=4, effort=0.02, tune_tasks=2, fine_tune_steps=1, folder=tmp_path,
    )  # fmt: skip
    assert [row["joint"] for row in again] == [row["joint"] for row in rows]


def test_the_table_of_learners_says_who_acts():
    assert {name for name, entry in ENTRIES.items() if entry.acts} == {"e_maml", "context_policy"}


@pytest.mark.long
def test_pictures_of_a_run(tmp_path, capsys):
    from PIL import Image

    from jaxmeta.cli import main

    runs.train(recipes.get("maml-arm").replace(**SMALL), folder=tmp_path / "run")
    options = ["--num-tasks", "2", "--inner-steps", "1", "--pictures", "--domain", "arm:crossed"]
    assert main(["evaluate", str(tmp_path / "run"), *options]) == 0
    folder = tmp_path / "run" / "evaluation"
    assert "maml, 0 steps" in capsys.readouterr().out
    for name in ("learning.png", "trajectories.png"):
        with Image.open(folder / name) as picture:
            assert picture.size[0] > 300
    with Image.open(folder / "arm.gif") as frames:
        assert (getattr(frames, "n_frames", 1), frames.size[0]) == (50, 4 * 200)
