"""JAX's 64-bit mode: whatever floats, from the data to the table, is float64, and nothing is rounded on the way."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import registry
from flax import serialization

from jaxmeta import cli, datasets, evaluate, evaluation, meta_trainer, models, tasks
from jaxmeta.models import NORMS
from jaxmeta.runs import progress, scores

KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def _in_64_bits():
    with jax.enable_x64(True):
        yield


def kinds(*trees):
    """The types of all floating leaves."""
    dtypes = {leaf.dtype for leaf in jax.tree.leaves(trees)}
    return {str(dtype) for dtype in dtypes if jnp.issubdtype(dtype, jnp.floating)}


def drawn():
    sample = tasks.few_shot(registry.pictures(), num_ways=registry.WAYS, num_shots=2, num_queries=2)
    return tasks.episodes(sample, KEY, jnp.arange(2))


@pytest.mark.parametrize("name", [*registry.LEARNERS, *registry.BASELINES])
@pytest.mark.product(name=("protonet", "r2d2"))
def test_a_step_and_an_evaluation(name):
    every = itertools.product(registry.MODELS, ("support", "task")) if name == "maml" else [("linen", "support")]
    for model, norm in every:
        case = registry.case(name, model, norm)
        trainer = meta_trainer(case.learner, optax.adam(optax.cosine_decay_schedule(1e-3, 9)))

        def run(case=case, trainer=trainer):
            state, episodes = trainer.init(KEY), drawn()
            new, metrics = trainer.update(state, case.training(episodes), KEY)
            return state, new, metrics, evaluate(case.learner, case.criterion, new.meta_params, episodes, KEY)

        assert kinds(jax.eval_shape(run)) == {"float64"}


@pytest.mark.parametrize("name", registry.TASKS)
def test_tasks(name):
    wanted = set() if name in ("transduction", "renamed") else {"float64"}  # symbols are whole numbers
    assert kinds(jax.eval_shape(registry.TASKS[name](), KEY)) == wanted


def test_what_is_missing_comes_last():
    drawn = jax.jit(jax.vmap(lambda key: tasks.distinct(key, 2, 4)))(jax.random.split(KEY, 8))
    assert drawn.dtype == jnp.int32
    assert (jnp.sort(drawn[:, :2]) == jnp.arange(2)[None]).all()
    assert (drawn[:, 2:] == -1).all()


def test_networks():
    picture, made = (16, 16, 1), [models.mlp(3, 2)]
    made += [models.conv4(picture, 3, norm=norm) for norm in NORMS]
    made += [models.resnet12(picture, 3, norm="task"), models.conv4_maps(picture), models.relation_module((4, 4, 8))]
    made += [models.film_conv4(picture, 3, num_context_params=2)]
    assert kinds([jax.eval_shape(model.init, KEY) for model in made]) == {"float64"}
    rule = models.lstm_update_rule()
    assert kinds(jax.eval_shape(lambda: rule.init(KEY, jnp.ones(3)))) == {"float64"}


def test_half_precision_stays_a_composition():
    exact = models.conv4((16, 16, 1), 3, num_filters=4, norm="support")
    rough, entered = models.in_precision(exact, jnp.bfloat16), []
    watched = exact._replace(apply=lambda params, *rest: entered.append(kinds(params)) or exact.apply(params, *rest))

    def run():
        params = rough.init(KEY)
        models.in_precision(watched, jnp.bfloat16).apply(params, jnp.ones((2, 16, 16, 1)))
        return params, rough.apply(params, jnp.ones((2, 16, 16, 1)))

    assert kinds(jax.eval_shape(run)) == {"float64"}
    assert entered == [{"bfloat16"}]


def test_numbers_of_files_are_not_rounded_and_rows_stay_on_their_side(tmp_path):
    values = np.random.default_rng(0).normal(size=(40, 2)) + 1e-12
    np.savez(tmp_path / "toy.npz", inputs=values, labels=np.arange(40) % 2)
    lines = "".join(f"{a!r},{b!r},{a + b!r}\n" for a, b in values.tolist())
    (tmp_path / "toy.csv").write_text("a,b,y\n" + lines)
    table = datasets.load_table(tmp_path / "toy.csv")
    np.testing.assert_array_equal(table.inputs, values)
    np.testing.assert_array_equal(table.targets[:, 0], values.sum(axis=1))
    np.testing.assert_array_equal(datasets.load(tmp_path / "toy.npz").inputs[:20], values[::2])
    assert kinds(datasets.load("breast_cancer").inputs, datasets.load_table("diabetes")[:2]) == {"float64"}
    with jax.enable_x64(False):
        single = datasets.load_table(tmp_path / "toy.csv").inputs
    assert kinds(single) == {"float32"}
    np.testing.assert_equal(datasets.share_rows(values), datasets.share_rows(single))


class Broken(BaseException):
    pass


@pytest.mark.long
def test_commands_from_the_data_to_the_table(tmp_path, monkeypatch, capsys):
    """A training that is broken off goes on to the same bits, and what is evaluated has lost none."""
    inputs = np.random.default_rng(0).normal(size=(20, 16, 2))
    np.savez(tmp_path / "tasks.npz", inputs=inputs, targets=inputs.sum(axis=2, keepdims=True))
    monkeypatch.setattr(scores, "floor_rows", lambda *_, **__: [])
    domain, scored, states = ["--domain", str(tmp_path / "tasks.npz")], [], []
    evaluated, pause = evaluation.evaluate, progress.Progress.pause
    keep = lambda *given, **more: scored.append(evaluated(*given, **more)) or scored[-1]  # noqa: E731
    monkeypatch.setattr(evaluation, "evaluate", keep)

    def watched(self, coming):
        states.append(self.state)
        if breaks and self.step >= 50:
            self.save()
            raise breaks.pop()
        pause(self, coming)

    monkeypatch.setattr(progress.Progress, "pause", watched)
    tiny = ["train", "maml-regression", *domain, "--steps", "60", "--hidden", "4", "--shots", "3", "--queries", "3",
            "--tasks-per-step", "2", "--num-tasks", "2", "--validation-tasks", "2"]  # fmt: skip
    breaks, (whole, run) = [], (tmp_path / "whole", tmp_path / "run")
    assert cli.main([*tiny, "--out", str(whole)]) == 0
    breaks.append(Broken)
    with pytest.raises(Broken):
        cli.main([*tiny, "--out", str(run)])
    assert cli.main(["train", "--resume", str(run), *domain]) == 0
    content = (run / "meta_params.msgpack").read_bytes()
    assert content == (whole / "meta_params.msgpack").read_bytes()
    assert cli.main(["evaluate", str(run), *domain, "--num-tasks", "2"]) == 0
    assert kinds(states, scored, serialization.msgpack_restore(content)) == {"float64"}
    capsys.readouterr()
    with jax.enable_x64(False):
        for arguments in (["evaluate", str(run), "--force"], ["train", "--resume", str(run)]):
            assert cli.main([*arguments, *domain]) == 1
            (line,) = capsys.readouterr().err.splitlines()
            assert "JAX_ENABLE_X64 must be as it was for this run" in line


@pytest.mark.long
def test_what_32_bits_learned_is_evaluated_in_64(tmp_path, capsys):
    tiny = ["--steps", "2", "--hidden", "4", "--num-tasks", "2", "--validation-tasks", "2", "--tasks-per-step", "2"]
    with jax.enable_x64(False):
        assert cli.main(["train", "maml-regression", *tiny, "--out", str(tmp_path)]) == 0
    assert cli.main(["evaluate", str(tmp_path), "--num-tasks", "2"]) == 0
    assert "results: " in capsys.readouterr().out
