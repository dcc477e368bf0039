"""`runs.fit`: anyone's trainer gets validation, checkpoints, resume to the bit and a guard against divergence."""

import json
import math
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta import checks, criteria, models, runs, tasks, training
from jaxmeta.runs import fitting

KEY = jax.random.key(0)
LEARNER = jaxmeta.maml(models.mlp(1, 1, hidden=(2,)), criteria.squared_error, optax.sgd(0.01), num_steps=1)
STEPS = 120


def draw(key):
    """A task of no kind that the package knows, made by a plain function."""
    return jax.random.normal(key, (2,))


def trainer(breaks_at=-1, metrics=("loss",)):
    """Goes to where the tasks are, with noise; the update after step `breaks_at` is not finite."""

    def update(state, episodes, key):
        bad = jnp.where(state.step == breaks_at, jnp.nan, 0.0)
        noise = jax.random.normal(key, (2,))
        moved = state.meta_params + 0.1 * (episodes.mean(axis=0) - state.meta_params) + 0.01 * noise + bad
        return training.MetaState(moved, (), state.step + 1), {name: (moved**2).sum() for name in metrics}

    def init(key):
        return training.MetaState(jax.random.normal(key, (2,)), (), jnp.zeros((), jnp.int32))

    return training.MetaTrainer(init, update)


def fit(made=None, sample=draw, key=KEY, **options):
    return runs.fit(made or trainer(), sample, key, **{"num_tasks": 3, "num_steps": STEPS} | options)


def size(params):
    return {"loss": float(np.sum(params**2))}


def lines(path, name="metrics.jsonl"):
    kept = [json.loads(line) for line in (path / name).read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in kept]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    path = tmp_path_factory.mktemp("unbroken") / "run"
    return path, fit(validate=size, store=runs.in_folder(path))


def assert_same(found, wanted):
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


def test_the_best_that_validation_saw_is_what_is_learned():
    def fitted(*losses, **options):
        said, seen = iter(losses), []
        found = fit(
            num_steps=200, validate=lambda params: {"loss": next(said), "of": seen.append(params) or 0}, **options
        )
        assert len(seen) == 4
        return found, seen

    found, seen = fitted(3, 1, math.nan, 2)
    assert (found.step, found.scores, int(found.state.step)) == (100, {"loss": 1.0, "of": 0.0}, 200)
    assert_same(found.meta_params, seen[1])
    found, seen = fitted(3, 4, math.inf, 2, better=lambda new, best: new["loss"] > best["loss"])
    assert found.step == 100
    found = fit(num_steps=200)
    assert (found.step, found.scores) == (200, None)
    assert_same(found.meta_params, seen[3])
    assert_same(found.meta_params, found.state.meta_params)


def test_data_are_arguments_and_no_steps_are_the_start():
    data = np.asarray(jax.random.normal(KEY, (50, 2)))
    pick = lambda data, key: data[jax.random.randint(key, (), 0, 50)]  # noqa: E731
    plain = fit(sample=lambda key: pick(jnp.asarray(data), key), num_steps=20)
    assert_same(fit(sample=jax.tree_util.Partial(pick, data), num_steps=20).meta_params, plain.meta_params)
    start = fit(num_steps=0)
    assert_same(start.meta_params, trainer().init(jax.random.split(KEY)[0]).meta_params)
    assert (start.step, int(start.state.step)) == (0, 0)


@pytest.mark.parametrize("moments", [(1,), (2, 1, 40), (51, 52), (124,)])
@pytest.mark.fault(promised="Stopped with its reason; the bits of an unbroken training")
def test_stopped_at_any_moment_and_called_again_it_ends_with_the_same_bits(moments, unbroken, tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "CALL", 0.0)  # one update a call
    store, asked = runs.in_folder(tmp_path / "run"), []
    for moment in moments:
        asked.clear()
        with pytest.raises(runs.Stopped, match=r"at step \d+ of 120|after 120 steps") as stopped:
            fit(validate=size, store=store, stop=lambda moment=moment: asked.append(0) or 7 * (len(asked) >= moment))
        assert stopped.value.reason == 7
        assert len(asked) == moment
    monkeypatch.setattr(fitting, "CALL", 1.0)
    found, (path, wanted) = fit(validate=size, store=store), unbroken
    assert_same(found, wanted)
    assert lines(tmp_path / "run") == lines(path)
    assert [line["split"] for line in lines(path)] == ["train", "validation"] * 3


def test_what_is_finished_is_told_without_an_update_and_can_be_trained_longer(unbroken, tmp_path):
    path, wanted = unbroken
    told, before = [], lines(path)
    again = fit(trainer()._replace(update=None), validate=size, store=runs.in_folder(path), report=told.append)
    assert_same(again, wanted)
    assert [event.kind for event in told] == ["begin", "end"]
    assert lines(path) == before
    store = runs.in_folder(tmp_path / "run")
    for steps in (50, 150):
        longer = fit(num_steps=steps, store=store)
    assert_same(longer, fit(num_steps=150))


@pytest.mark.fault(promised="lines of its own: what one takes away is no other's")
def test_two_trainings_of_one_folder_keep_their_lines(unbroken, tmp_path):
    path, wanted = unbroken
    stores = {name: runs.in_folder(tmp_path, name=name) for name in ("a", "b")}
    asked = iter([0, 0, 0])
    with pytest.raises(runs.Stopped):
        fit(validate=size, store=stores["a"], stop=lambda: next(asked, 1))
    assert_same(fit(validate=size, store=stores["b"]), wanted)
    assert_same(fit(validate=size, store=stores["a"]), wanted)
    assert sorted(each.name for each in tmp_path.glob("*.jsonl")) == ["metrics-a.jsonl", "metrics-b.jsonl"]
    for name in stores:
        assert lines(tmp_path, f"metrics-{name}.jsonl") == lines(path)
    runs.clear(tmp_path)
    assert not list(tmp_path.glob("*.jsonl"))


@pytest.mark.parametrize("name", ["", "..", "a/b"])
@pytest.mark.fault(promised="one line that names it")
def test_a_name_that_no_file_can_have(name, tmp_path):
    with pytest.raises(ValueError, match=f"in_folder: name: expected one that a file can have, got '{name}'"):
        runs.in_folder(tmp_path, name=name)


@pytest.mark.fault(promised="one line that says what was expected")
def test_another_training_is_refused(unbroken):
    path, _ = unbroken

    def refused(message, store=None, **options):
        with pytest.raises(checks.DataError, match=message):
            fit(validate=size, store=store or runs.in_folder(path), **options)

    before = lines(path)
    refused(r"expected the key \[0, 0\] that the training began with, got \[0, 1\]", key=jax.random.key(1))
    refused("expected the num_tasks 3 that the training began with, got 4", num_tasks=4)
    refused("expected a step up to 60, got step 120", num_steps=60)
    refused("expected a step up to 0, got step 120", num_steps=0)
    facts = {"settings": {"rate": 0.1}}
    refused("expected the settings that the run began with", store=runs.in_folder(path, facts=facts))
    with runs.held(path):
        refused("another process is using")
    assert lines(path) == before


@pytest.mark.fault(promised="named; the last good state is kept")
def test_divergence_keeps_the_last_good_state(tmp_path):
    store = runs.in_folder(tmp_path / "run")
    with pytest.raises(runs.DivergedError) as diverged:
        fit(trainer(breaks_at=60), store=store, label="mine")
    assert re.match("mine: diverged at step 61: loss nan; the state of step 60 is kept in .*run", str(diverged.value))
    assert [line["step"] for line in lines(tmp_path / "run")] == [50]
    assert_same(fit(store=store), fit())
    with pytest.raises(runs.DivergedError, match=r"diverged at step 6: size nan; .* in memory alone"):
        fit(trainer(breaks_at=5, metrics=["size"]))
    skipping = runs.in_folder(tmp_path / "skipping")
    found = fit(trainer(breaks_at=60), store=skipping, on_divergence=training.skip_divergence)
    assert int(found.state.step) == STEPS
    assert np.isfinite(found.meta_params).all()
    assert_same(fit(trainer(breaks_at=60), on_divergence="skip"), found)
    assert [line.get("skipped") for line in lines(tmp_path / "skipping")] == [None, 1, None]


def test_events_come_in_order(unbroken):
    told = []
    fit(validate=size, report=told.append, label="mine")
    assert {(event.label, event.num_steps) for event in told} == {("mine", STEPS)}
    each = [(event.kind, event.step) for event in told if event.kind != "progress"]
    middle = [(kind, step) for step in (50, 100, 120) for kind in ("train", "validation")]
    assert each == [("begin", 0), *middle, ("end", 120)]
    steps = [event.step for event in told if event.kind == "progress"]
    assert steps == sorted(set(steps))
    assert steps[-1] == STEPS
    values = [{"step": event.step, "split": event.kind, **event.values} for event in told if event.kind in
              ("train", "validation")]  # fmt: skip
    assert values == lines(unbroken[0])


def test_several_trainings_in_one_program_are_each_alone(tmp_path):
    keys = [jax.random.key(seed) for seed in (0, 5)]
    together = [
        fitting.Training(key, size, runs.in_folder(tmp_path / str(index)), f"training {index}")
        for index, key in enumerate(keys)
    ]
    told = []
    found = runs.fit_together(trainer(), draw, together, num_tasks=3, num_steps=STEPS, report=told.append)
    for index, key in enumerate(keys):
        alone = fit(key=key, validate=size)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found[index], alone)
        assert len(lines(tmp_path / str(index))) == 6
    assert {event.label for event in told if event.kind == "validation"} == {"training 0", "training 1"}


def of_two(tmp_path, breaks_at=STEPS, report=lambda event: None, **options):
    """Two trainings in one program; the update of the second after step `breaks_at` is not finite."""
    keys = [jax.random.key(seed) for seed in (0, 5)]
    together = [
        fitting.Training(key, size, runs.in_folder(tmp_path / str(index)), f"training {index}")
        for index, key in enumerate(keys)
    ]
    breaking = jax.random.split(jax.random.split(keys[1])[1])[1]  # of which the keys of its updates are made

    def update(state, episodes, key):
        mine = jax.random.key_data(key) == jax.random.key_data(jax.random.fold_in(breaking, breaks_at))
        new, metrics = trainer().update(state, episodes, key)
        return new._replace(meta_params=jnp.where(mine.all(), jnp.nan, new.meta_params)), metrics

    made = training.MetaTrainer(trainer().init, update)
    return runs.fit_together(made, draw, together, num_tasks=3, num_steps=STEPS, report=report, **options)


@pytest.mark.fault(promised="named; the others end with the bits that they have without it")
def test_a_divergence_ends_its_own_training(tmp_path, monkeypatch):
    told = []
    wanted = of_two(tmp_path / "whole")
    found = of_two(tmp_path / "broken", 60, told.append)
    assert [each.diverged is None for each in wanted + found] == [True, True, True, False]
    assert_same(found[0], wanted[0])
    assert lines(tmp_path / "broken" / "0") == lines(tmp_path / "whole" / "0")
    assert re.match("diverged at step 61: loss .*; the state of step 60 is kept in .*broken/1", found[1].diverged)
    assert (found[1].step, int(found[1].state.step), found[1].last) == (50, 60, found[1].scores)
    notes = [(event.label, event.text) for event in told if event.kind == "note"]
    assert notes == [("training 1", f"{found[1].diverged}; the others go on")]
    assert told[-1][:3] == ("end", "training 0", 60)

    # Broken between, it goes on to the same ends; and once nothing diverges any more, to the whole ones.
    monkeypatch.setattr(fitting, "CALL", 0.0)
    for moment in (30, 40, 20):
        asked = []
        with pytest.raises(runs.Stopped):
            of_two(
                tmp_path / "again", 60, stop=lambda asked=asked, moment=moment: asked.append(0) or len(asked) > moment
            )
    again = of_two(tmp_path / "again", 60)
    assert_same([each._replace(diverged=None) for each in again], [each._replace(diverged=None) for each in found])
    assert_same(of_two(tmp_path / "again"), wanted)
    both = [fitting.Training(KEY, label=f"training {index}") for index in range(2)]
    with pytest.raises(runs.DivergedError, match=r"training 0: diverged at step 6.*; training 1: diverged at step 6"):
        runs.fit_together(trainer(breaks_at=5), draw, both, num_tasks=3, num_steps=STEPS)


def test_a_training_that_loses_what_it_had_learned_is_told(tmp_path):
    def fitted(*losses, path):
        said, told = iter(losses), []
        validate = lambda params: {"loss": next(said)}  # noqa: E731
        far = lambda last, best: last["loss"] > 2 * best["loss"]  # noqa: E731
        store = runs.in_folder(tmp_path / path)
        found = fit(num_steps=200, validate=validate, far=far, store=store, report=told.append)
        return found, [event.text for event in told if event.kind == "note"]

    assert fitted(3, 1, 4, 2, path="good")[1] == []
    for last, path in ((5, "bad"), (math.nan, "worse")):
        found, notes = fitted(3, 1, 2, last, path=path)
        assert notes == [found.collapsed]
        assert re.match(f"the training collapsed: at step 200 loss {last:.4f} .* at step 100, whose", found.collapsed)
        assert (found.step, found.scores) == (100, {"loss": 1.0})
        assert fitted(path=path)[1] == notes  # of a finished one, too


@pytest.mark.fault(promised="a note, of a finished training too; the last parameters are kept")
def test_validations_none_of_which_is_finite(tmp_path):
    for value in (math.nan, math.inf):
        validate = lambda params, value=value: {"loss": 1.0, "accuracy": value}  # noqa: E731
        for _ in range(2):
            with pytest.warns(UserWarning, match=rf"no validation was finite: at step 120 .*accuracy {value}") as told:
                found = fit(validate=validate, store=runs.in_folder(tmp_path / str(value)))
            assert f"training: {found.collapsed}" == str(told[0].message)
            assert (found.scores, found.step) == (None, STEPS)
            assert_same(found.meta_params, found.state.meta_params)


def test_what_a_learner_leaves_unsolved_is_told_once():
    def update(state, episodes, key):
        new, metrics = trainer().update(state, episodes, key)
        return new, {**metrics, "cg_residual": jnp.where(state.step < 50, 0.1, 0.9), "inner_residual": jnp.array(0.2)}

    told = []
    fit(training.MetaTrainer(trainer().init, update), num_steps=200, report=told.append)
    (note,) = (event for event in told if event.kind == "note")
    assert (note.step, note.text[:40]) == (100, "cg residual 0.90 of 1 before step 100: w")


def test_the_library_imports_nothing_of_the_command_line_nor_anything_heavy():
    program = (
        "import sys, jaxmeta.recipes, jaxmeta.runs, jaxmeta.transfer\n"
        "heavy = {'tyro', 'tqdm', 'matplotlib', 'orbax', 'tensorflow_datasets', 'tensorboardX', 'sklearn', 'PIL'}\n"
        "assert not heavy & {name.split('.')[0] for name in sys.modules}, heavy & set(sys.modules)\n"
        "assert not any(name.startswith('jaxmeta.cli') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_steps": 1.5}, r"num_steps: expected a whole number of at least 0, got 1\.5"),
        ({"num_steps": "5"}, "num_steps: expected a whole number of at least 0, got '5'"),
        ({"num_steps": -1}, "num_steps: expected a whole number of at least 0, got -1"),
        ({"num_tasks": 0}, "num_tasks: expected a whole number of at least 1, got 0"),
        ({"num_tasks": 2.0}, r"num_tasks: expected a whole number of at least 1, got 2\.0"),
        ({"num_validations": 0}, "num_validations: expected a whole number of at least 1, got 0"),
        ({"on_divergence": "skp"}, "fit: on_divergence: expected one of stop, skip, got 'skp'; did you mean skip"),
        ({"on_divergence": None}, "fit: on_divergence: expected one of stop, skip, got None"),
        ({"key": jax.random.split(KEY, 2)}, r"fit: key: expected one random key, got keys of shape \(2,\); keys\[0\]"),
        ({"key": jnp.zeros((2, 2), jnp.uint32)}, r"fit: key: expected one random key, got keys of shape \(2, 2\)"),
        ({"key": 0}, r"fit: key: expected a random key, got 0 \(int\); jax\.random\.key\(0\)"),
    ],
)
@pytest.mark.fault(promised="one line that names the number")
def test_numbers_that_are_none(options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        fit(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"store": "folder"}, r"store: expected a store, got a str, .*; runs\.in_folder\(path\) makes one"),
        ({"store": pathlib.Path("folder")}, r"store: expected a store, got a PosixPath, .*; runs\.in_folder\(path\)"),
        ({"sample": np.ones(3)}, "sample: expected a sampler, .*, got a ndarray"),
        ({"made": LEARNER}, "trainer: expected a MetaTrainer, got a MetaLearner, which has no `update`; meta_trainer"),
        ({"validate": {"loss": 1.0}}, "validate: expected .*, got a dict"),
    ],
)
@pytest.mark.fault(promised="one line that names the argument, before anything is done")
def test_arguments_of_another_kind(options, words):
    with pytest.raises(TypeError, match=words):
        fit(**options)


EVALUATED = {"single": {"loss": jnp.ones(3)}}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (0.5, "got a float"),
        (None, "got None"),
        ({"loss": "low"}, "got a str for 'loss'"),
        (EVALUATED, r"got a dict for 'single'; .*evaluate\(\.\.\)\[\"single\"\]\[\"loss\"\]\.mean\(\)"),
        (EVALUATED["single"], r"got shape \(3,\) for 'loss'; .*evaluate"),
        ({"accuracy": 0.5}, r"got 'accuracy'; or give better="),
    ],
)
@pytest.mark.fault(promised="one line that says what a validation returns")
def test_a_validation_that_returns_something_else(said, words):
    with pytest.raises(
        (TypeError, ValueError), match=r"validate returns: expected a dict .*{\"loss\": float}, " + words
    ):
        fit(validate=lambda params: said)


def test_a_validation_may_return_numbers_of_any_kind():
    said = {"loss": jnp.ones(()), "half": jnp.ones((), jnp.bfloat16), "all": np.True_, "count": np.int64(1), "one": 1}
    assert fit(num_steps=1, validate=lambda params: said).scores == dict.fromkeys(said, 1.0)
    higher = lambda new, best: new["accuracy"] > best["accuracy"]  # noqa: E731
    assert fit(num_steps=1, validate=lambda params: {"accuracy": 0.5}, better=higher).scores == {"accuracy": 0.5}


def measuring(**metrics):
    """A trainer with some more metrics."""

    def update(state, episodes, key):
        new, own = trainer().update(state, episodes, key)
        return new, {**own, **metrics}

    return trainer()._replace(update=update)


@pytest.mark.parametrize("num_trainings", [1, 2])
@pytest.mark.fault(promised="one line that names the metric, before the first update")
def test_metrics_that_are_no_scalars(num_trainings):
    for made, words in (
        (measuring(of={"a": jnp.ones(())}), "metric 'of': expected a scalar, got a dict; give each part a name"),
        (measuring(each=jnp.ones(3)), r"metric 'each': expected a scalar, got shape \(3,\); take its mean"),
    ):
        several = [fitting.Training(key) for key in jax.random.split(KEY, num_trainings)]
        with pytest.raises((TypeError, ValueError), match=f"fit: {words}"):
            runs.fit_together(made, draw, several, num_tasks=3, num_steps=5)


@pytest.mark.parametrize("name", ["step", "split", "seconds", "skipped"])
@pytest.mark.fault(promised="one line that names it: the line of metrics says so of itself")
def test_metrics_that_a_line_has_of_its_own(name):
    words = f"metrics: expected names other than step, split.* seconds.*, which are .* got '{name}'; rename it"
    with pytest.raises(ValueError, match=f"fit: {words}"):
        fit(measuring(**{name: jnp.ones(())}))
    if name != "skipped":  # which no validation has
        with pytest.raises(ValueError, match=f"fit: what validate returns: {words}"):
            fit(validate=lambda params: {"loss": 1.0, name: 3})


@pytest.mark.fault(promised="the metric that is not finite is named")
def test_divergence_names_another_metric():
    finite = {"gradient_norm": jnp.ones(()), "spread": jnp.ones(())}
    for value in (jnp.nan, -jnp.inf):
        with pytest.raises(
            runs.DivergedError, match=rf"step 1: loss \d\S+, gradient norm 1.0, size {value}; the state"
        ):
            fit(measuring(size=jnp.asarray(value), **finite))

    def update(state, episodes, key):
        new, metrics = trainer().update(state, episodes, key)
        return new._replace(meta_params=jnp.full(2, jnp.inf)), {**metrics, **finite}

    with pytest.raises(
        runs.DivergedError, match=r"step 1: loss \d\S+, gradient norm 1.0, meta_params that are not fin"
    ):
        fit(trainer()._replace(update=update))


@pytest.mark.fault(promised="a note: there is one task alone")
def test_a_sampler_that_draws_with_numpy_is_told_of():
    drawn = np.random.default_rng(0)
    samplers = {
        True: lambda key: jnp.asarray(drawn.normal(size=2), float),
        False: lambda key: jax.jit(lambda key: jnp.ones(2) * jax.random.normal(key))(key),
    }
    for is_constant, sample in samplers.items():
        events = []
        fit(sample=sample, num_steps=1, report=events.append)
        texts = [event.text for event in events if event.kind == "note"]
        assert any("draws nothing from its key" in text for text in texts) == is_constant
    with pytest.warns(UserWarning, match="training: the sampler is another whenever it is traced"):
        fit(sample=lambda key: jax.random.normal(key, (2,)) * drawn.normal(), num_steps=1)


@pytest.mark.fault(promised="one line: the store holds another training")
def test_a_training_of_another_label_in_the_same_place(tmp_path):
    store = runs.in_folder(tmp_path / "run")
    fit(num_steps=2, store=store, label="maml")
    with pytest.raises(checks.DataError, match="the label maml that the training began with, got reptile"):
        fit(num_steps=2, store=store, label="reptile")


@pytest.mark.fault(promised="a note: nothing is learned")
@pytest.mark.parametrize("rate", [0.0, 1e-3])
def test_an_outer_optimizer_that_never_moves_is_told_of(rate):
    events = []
    sample = tasks.sinusoid(num_shots=2, num_queries=2)
    fit(jaxmeta.meta_trainer(LEARNER, optax.adam(rate)), sample, num_steps=2, report=events.append)
    texts = [event.text for event in events if event.kind == "note"]
    assert any("those of the start, bit for bit" in text for text in texts) == (rate == 0)
