"""Several seeds in one program are the seeds alone."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import serialization

from jaxmeta import cli, runs, statistics, training
from jaxmeta.runs import fitting, progress

TINY = [
    "train", "maml-regression", "--steps", "60", "--hidden", "4", "--shots", "3", "--train-queries", "3",
    "--queries", "3", "--tasks-per-step", "2", "--inner-steps", "1", "--num-tasks", "4", "--validation-tasks", "2",
]  # fmt: skip


class Killed(BaseException):
    """What kill -9 is inside one process."""


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    path = tmp_path_factory.mktemp("seeds") / "run"
    assert cli.main([*TINY, "--seed", "3", "--seeds", "2", "--out", str(path)]) == 0
    return path


def parameters(path):
    return serialization.msgpack_restore((path / "meta_params.msgpack").read_bytes())


def leaves(tree):
    return [leaf for name in sorted(tree) for leaf in leaves(tree[name])] if isinstance(tree, dict) else [tree]


def content(path):
    return json.loads((path / "results.json").read_text())


def test_each_seed_is_the_run_of_that_seed_alone(together, tmp_path):
    for seed in (3, 4):
        alone, own = tmp_path / str(seed), together / f"seed-{seed}"
        assert cli.main([*TINY, "--seed", str(seed), "--out", str(alone)]) == 0
        assert json.loads((own / "config.json").read_text()) == json.loads((alone / "config.json").read_text())
        for ours, wanted in zip(leaves(parameters(own)), leaves(parameters(alone)), strict=True):
            np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-5)
        ours, wanted = content(own), content(alone)
        assert ours["seed"] == wanted["seed"] == seed
        for row, expected in zip(ours["rows"], wanted["rows"], strict=True):
            assert row["method"] == expected["method"]
            np.testing.assert_allclose(row["single"]["per_task"], expected["single"]["per_task"], rtol=1e-3)
        lines, expected = (
            [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()] for path in (own, alone)
        )
        assert [line["step"] for line in lines] == [line["step"] for line in expected]
        np.testing.assert_allclose([line["loss"] for line in lines], [line["loss"] for line in expected], rtol=1e-4)


def test_the_spread_over_seeds_stands_apart(together):
    found = content(together)
    assert [row["seed"] for row in found["rows"]] == [3] * 4 + [4] * 4
    trained = found["seeds"][-1]
    scores = [row["joint"]["per_task"] for row in found["rows"] if row["method"] == trained["method"] == "maml"]
    spread = statistics.nested_seeds(np.array(scores))
    assert (trained["num_seeds"], trained["num_tasks"], trained["joint"]["seed_std"]) == (2, 4, spread.seed_std)
    assert trained["joint"]["new_seeds"] == spread.new_seeds._asdict()


def test_seeds_are_runs_to_evaluate_and_the_folder_of_all_is_none(together, tmp_path, capsys):
    arguments = ["--num-tasks", "2", "--out"]
    assert cli.main(["evaluate", str(together / "seed-4"), *arguments, str(tmp_path / "one")]) == 0
    assert cli.main(["evaluate", str(together), *arguments, str(tmp_path / "all")]) == 1
    assert "seed-3" in capsys.readouterr().err


def test_seeds_that_broke_at_different_steps_go_on_to_the_same_bits(together, tmp_path, monkeypatch):
    pause, path = progress.Progress.pause, tmp_path / "run"

    def broken(self, coming):
        if self.step >= 20 and self.store.path.name == "seed-4":
            raise Killed
        self.saved = 0.0 if self.step >= 20 else self.saved
        pause(self, coming)

    monkeypatch.setattr(fitting, "CALL", 0.002)
    monkeypatch.setattr(progress.Progress, "pause", broken)
    arguments = [*TINY, "--seed", "3", "--seeds", "2", "--out", str(path)]
    with pytest.raises(Killed):
        cli.main(arguments)
    monkeypatch.setattr(progress.Progress, "pause", pause)
    assert cli.main(arguments) == 2
    assert cli.main(["train", "--resume", str(path)]) == 0
    for seed in ("seed-3", "seed-4"):
        file = f"{seed}/meta_params.msgpack"
        assert (path / file).read_bytes() == (together / file).read_bytes()
    assert content(path) == content(together)
    assert cli.main([*TINY[:2], "--steps", "0", *TINY[4:], "--out", str(path), "--force"]) == 0
    assert not (path / "seed-3" / "meta_params.msgpack").exists()


@pytest.mark.fault(promised="exit code 3; the other seeds are trained to their end and reported")
def test_a_seed_that_diverges_takes_no_other_with_it(together, tmp_path, monkeypatch, capsys):
    breaking = jax.random.split(jax.random.split(jax.random.key(4))[1])[1]  # of which the keys of its updates are made

    def broken(trainer):
        def update(state, episodes, key):
            mine = jax.random.key_data(key) == jax.random.key_data(jax.random.fold_in(breaking, 20))
            new, metrics = trainer.update(state, episodes, key)
            worse = jax.tree.map(lambda leaf: jnp.where(mine.all(), jnp.nan, leaf), new.meta_params)
            return new._replace(meta_params=worse), metrics

        return training.stop_at_divergence(training.MetaTrainer(trainer.init, update))

    path, arguments = tmp_path / "run", [*TINY, "--seed", "3", "--seeds", "2"]
    with monkeypatch.context() as patch:
        patch.setitem(runs.fitting.ON_DIVERGENCE, "stop", broken)
        for command in ([*arguments, "--out", str(path)], ["train", "--resume", str(path)]):
            assert cli.main(command) == 3
            out, err = capsys.readouterr()
            assert out.splitlines()[-1] == f"results: {path}/results.json"
            assert "seed 3\n" in out
            assert "seed 4\n" not in out
            assert "kept: the parameters of step " in out
            last = err.splitlines()[-1]
            assert re.match(
                r"jaxmeta: seed 4 diverged at step 21: .* state of step 20 is kept in .*/seed-4.*--clip-norm", last
            )
    np.testing.assert_array_equal(leaves(parameters(path / "seed-3"))[0], leaves(parameters(together / "seed-3"))[0])
    assert not (path / "seed-4" / "meta_params.msgpack").exists()
    found, whole = content(path), content(together)
    assert found["rows"] == [row for row in whole["rows"] if row["seed"] == 3]
    assert found["seeds"] == []
    assert found["trainings"]["3"] == whole["trainings"]["3"]
    assert found["trainings"]["4"]["diverged"].startswith("diverged at step 21")
    assert content(path / "seed-3")["training"]["diverged"] is None
    assert cli.main(["train", "--resume", str(path)]) == 0
    assert content(path) == whole


def test_what_seeds_cannot_be(capsys):
    assert cli.main(["train", "maml-regression", "--seeds", "0"]) == 2
    assert "--seeds: expected" in capsys.readouterr().err
