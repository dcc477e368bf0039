"""An adapted run: its file, read without trust, its threshold and its export."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import checks, recipes, runs, tasks
from jaxmeta.runs import kept
from jaxmeta.runs.adapted import left_out
from jaxmeta.types import Batch, Episode

WIDTH = 4


def made(learner, preset="maml-tabular", seed=0, **changes):
    """A run in memory that nothing trained."""
    sizes = {"ways": 3, "train_ways": 3, "hidden": (8,), "num_features": WIDTH, "inner_steps_test": 2}
    recipe = recipes.get(preset).replace(learner=learner, **{**sizes, **changes})
    shape = recipes.Shape((WIDTH,), 3 if recipe.scoring.has_classes else 1)
    return runs.Run(recipe, shape, jax.jit(recipes.training_learner(recipe, shape).init)(jax.random.key(seed)), None)


def labelled(num_classes=3, examples=9, seed=0):
    rng = np.random.default_rng(seed)
    targets = np.arange(examples, dtype=np.int32) % num_classes
    inputs = rng.normal(size=(examples, WIDTH)).astype(np.float32) + targets[:, None]
    classes = jnp.broadcast_to(jnp.arange(3) < num_classes, (examples, 3))
    names = ("ant", "bee", "cat")[:num_classes]
    frame = recipes.Frame({"columns": [], "target_column": None}, {"rows": inputs})
    support = Batch(jnp.asarray(inputs), jnp.asarray(targets), None, classes)
    return recipes.Given(support, [], inputs + 1, names, frame=frame)


def valued():
    given = labelled()
    targets = jnp.asarray(given.inputs[:, :1])
    return given._replace(support=Batch(given.support.inputs, targets), class_names=(), scale=(100.0, 7.0))


RUNS = {
    "protonet": lambda: (made("protonet"), labelled()),
    "matching_net": lambda: (made("matching_net"), labelled()),
    "maml": lambda: (made("maml"), labelled(2)),
    "values": lambda: (made("maml", "maml-tabular-regression", num_features=WIDTH), valued()),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_file_predicts_to_the_bit(name, tmp_path):
    run, given = RUNS[name]()
    adapted = run.adapt(given, none=None if name == "values" else 0.3)
    path = runs.save_adapted(tmp_path / "a", adapted)
    again = runs.load_adapted(path, run)
    np.testing.assert_array_equal(again.outputs(given.inputs), adapted.outputs(given.inputs))
    np.testing.assert_array_equal(run.predict(given), adapted.outputs(given.inputs))
    assert (again.class_names, again.scale, again.threshold) == (given.class_names, given.scale, adapted.threshold)
    np.testing.assert_array_equal(again.frame.arrays["rows"], given.frame.arrays["rows"])
    assert adapted.outputs(given.inputs).shape == (9, len(given.class_names) or 1)
    assert runs.save_adapted(tmp_path / "b", again).read_bytes() == path.read_bytes()


def test_each_input_is_predicted_alone():
    run, given = RUNS["maml"]()
    adapted = run.adapt(given)
    np.testing.assert_array_equal(adapted.outputs(given.inputs[3:4]), adapted.outputs(given.inputs)[3:4])
    assert adapted.outputs(given.inputs[:0]).shape == (0, *adapted.outputs(given.inputs).shape[1:])


@pytest.fixture(scope="module")
def kept_file(tmp_path_factory):
    run, given = RUNS["protonet"]()
    return run, runs.save_adapted(tmp_path_factory.mktemp("kept") / "bees.adapted", run.adapt(given, none=0.1))


def test_a_file_that_is_none_or_damaged(kept_file, tmp_path, refused):
    run, path = kept_file
    whole, damaged = path.read_bytes(), tmp_path / "damaged"
    for missing, message in ((tmp_path / "no", "no such file"), (tmp_path, "something else")):
        with refused(missing, message):
            runs.load_adapted(missing, run)
    for length in (*range(0, len(whole), 53), len(whole) - 1):
        damaged.write_bytes(whole[:length])
        with refused(damaged, "an adapted run, whole"):
            runs.load_adapted(damaged, run)
    for place in range(0, len(whole), 7):
        damaged.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with refused(damaged, "an adapted run, whole"):
            runs.load_adapted(damaged, run)
    damaged.write_bytes(whole + b"more")
    with refused(damaged, "bytes where its size is"):
        runs.load_adapted(damaged, run)
    with damaged.open("wb") as stream:
        stream.write(whole[: kept._SEAL.size])
        stream.truncate(10**12)  # takes no room on the disk
    with refused(damaged, "1,000,000,000,000 bytes where its size is"):
        runs.load_adapted(damaged, run)


def test_a_file_of_another_run(kept_file, refused):
    _, path = kept_file
    for other, message in (
        (made("protonet", seed=1), "an adaptation of this run, got one of another"),
        (made("protonet", norm="layer"), "an adaptation of this run, got one of another"),
        (made("matching_net"), "expected matching_net, got protonet"),
        (made("maml", "maml-tabular-regression", num_features=WIDTH), "expected maml, got protonet"),
    ):
        with refused(path, message, "give the run that was adapted"):
            runs.load_adapted(path, other)


def resealed(path, target, change=lambda about: None, content=None):
    """The same file with other words, and right checksums: what a stranger would write."""
    whole = path.read_bytes()
    _, size, _, _, _ = kept._SEAL.unpack(whole[: kept._SEAL.size])
    about = json.loads(whole[kept._SEAL.size :][:size])
    about = change(about) or about
    content = whole[kept._SEAL.size + size :] if content is None else content
    words = json.dumps(about).encode()
    target.write_bytes(kept.seal(words, content) + words + content)
    return target


@pytest.mark.parametrize(
    "changes",
    [
        {"class_names": ["ant", "bee"]}, {"class_names": ["ant", "ant", "bee"]}, {"class_names": [1, 2, 3]},
        {"class_names": []}, {"class_names": "abc"}, {"class_names": ["x"] * 10_000},
        {"inner_steps": -1}, {"inner_steps": 2**40}, {"inner_steps": 1.5}, {"inner_steps": None},
        {"support": None}, {"support": []}, {"support": [None] * 4}, {"support": [["object", [9, 4]]] * 4},
        {"support": [["float32", [9, 5]], ["int32", [9]], None, None]},
        {"support": [["float32", [9, 4]], ["float32", [9]], None, None]},
        {"state": []}, {"state": [["float32", [10**12]]]}, {"state": 3}, {"arrays": []},
        {"arrays": {"rows": ["float32", [10**9, 4]]}}, {"arrays": {"rows": ["O", [9, 4]]}},
        {"arrays": {"rows": ["float32", [-9, 4]]}}, {"arrays": {}}, {"facts": 3}, {"scale": [0, float("nan")]},
        {"scale": ["0", 1]}, {"scale": [1]}, {"threshold": 0.5}, {"threshold": [float("inf"), 1, 2]},
        {"threshold": [0.5, -1, 2]}, {"run": {}}, {"run": []}, {"run": {"learner": ["a\x1b[2J"]}},
    ],
)  # fmt: skip
@pytest.mark.fault(promised="one line before the memory is asked for")
def test_a_strangers_words(kept_file, tmp_path, changes):
    run, path = kept_file
    stranger = resealed(path, tmp_path / "stranger", lambda about: about | changes)
    with pytest.raises(checks.DataError) as caught:
        runs.load_adapted(stranger, run)
    assert str(stranger) in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_strangers_json(kept_file, tmp_path, refused):
    run, path = kept_file
    for content in ([], 1, None, "x"):
        with refused("an adapted run, whole"):
            runs.load_adapted(resealed(path, tmp_path / "s", lambda about, content=content: [content]), run)
    numbers = np.full(1000, np.nan, np.float32).tobytes()
    size = len(path.read_bytes()) - kept._SEAL.size - kept._SEAL.unpack(path.read_bytes()[: kept._SEAL.size])[1]
    with refused("finite numbers, got NaN or infinity"):
        runs.load_adapted(resealed(path, tmp_path / "s", content=numbers[:size]), run)


@pytest.mark.parametrize(
    "facts",
    [{}, {"target_column": 3}]
    + [{"columns": each} for each in (3, [1], ["a"], [["a", []]], [["a", "b"]] * 4, [["a", [1]]] * 4, [[1, []]] * 4)],
)
def test_a_strangers_frame(kept_file, tmp_path, refused, facts):
    run, path = kept_file
    (tmp_path / "i.csv").write_text("a,b,c,d\n1,2,3,4\n")
    change = lambda about: about | {"facts": facts and about["facts"] | facts}  # noqa: E731
    adapted = runs.load_adapted(resealed(path, tmp_path / "stranger", change), run)
    own = recipes.Own(str(tmp_path / "stranger"), str(tmp_path / "i.csv"), None, "ink", None)
    with refused(tmp_path / "stranger"):
        recipes.kind(run.recipe.task).read_inputs(run.recipe.task, own, adapted.frame)
    picture = recipes.get("protonet-strokes").task
    with refused("the polarity of pictures"):
        recipes.kind(picture).read_inputs(picture, own, recipes.Frame({"polarity": "\x1b[2J"}))


@pytest.mark.parametrize("learner", ["protonet", "matching_net", "r2d2", "proto_maml", "maml", "anil"])
def test_what_is_left_out_leaves_no_trace(learner):
    """Also not in the scale of a table's columns."""
    run, given = made(learner), labelled()
    given = given._replace(form=tasks.standardize)
    adapted, key = run.adapt(given), jax.random.key(0)
    learner, params = adapted.learner, run.meta_params
    alone = jax.jit(lambda support, row: learner.predict(params, learner.adapt(params, support, key), row)[0])
    wanted = []
    for index, target in enumerate(np.asarray(given.support.targets)):
        others = jax.tree.map(lambda leaf, index=index: jnp.delete(leaf, index, axis=0), given.support)
        query = Batch(given.support.inputs[index][None], given.support.targets[index][None])
        episode = tasks.standardize(lambda _, others=others, query=query: Episode(others, query))(key)
        logits = np.asarray(alone(episode.support, episode.query.inputs))
        wanted.append(runs.probabilities(logits[None])[0, target])
    shares, targets = left_out(adapted, given, key)
    np.testing.assert_array_equal(targets, given.support.targets)
    np.testing.assert_allclose(shares[np.arange(len(targets)), targets], wanted, rtol=1e-4)


def test_as_many_as_may_be_are_less_probable():
    run, given = made("protonet"), labelled(examples=30)
    for share, below in ((0, 0), (0.02, 0), (0.1, 3), (0.5, 15), (0.999, 29)):
        threshold = run.adapt(given, none=share).threshold
        assert (threshold.below, threshold.known) == (below, 30)
        assert 0 < threshold.probability < 1
    masked = given._replace(support=given.support._replace(mask=jnp.arange(30) < 12))
    assert run.adapt(masked, none=0.1).threshold.known == 12


@pytest.mark.parametrize(
    ("examples", "last", "share", "message"),
    [
        (5, "cat", 0.1, "the class 'cat': expected at least 2 labelled examples, of which `none` leaves one out"),
        (9, "none of these", 0.1, "classes of other names"),
        (9, "cat", 2, "`none`: expected a share of the known examples, from 0 to below 1, got 2"),
        (9, "cat", -0.1, "got -0.1"), (9, "cat", float("nan"), "got nan"),
    ],
)  # fmt: skip
@pytest.mark.fault(promised="one line")
def test_no_threshold(examples, last, share, message):
    given = labelled(examples=examples)._replace(class_names=("ant", "bee", last))
    with pytest.raises(ValueError, match="expected") as caught:
        made("protonet").adapt(given, none=share)
    assert message in str(caught.value)


def test_no_threshold_of_values():
    run, given = RUNS["values"]()
    with pytest.raises(ValueError, match="a run of classes, got one of values"):
        run.adapt(given, none=0.1)


@pytest.mark.fault(promised="one line")
def test_nothing_is_predicted_by_numbers_that_are_not_finite():
    run, given = RUNS["maml"]()
    far = given.inputs.copy()
    far[2] = 3e38
    with pytest.raises(checks.DataError, match="predictions: expected finite numbers, got NaN or infinity for 1 of 9;"):
        run.adapt(given).outputs(far)
    far = given._replace(support=given.support._replace(inputs=jnp.asarray(far)))
    with pytest.raises(ArithmeticError, match="adaptation: expected finite numbers, got NaN or infinity; take fewer"):
        run.adapt(far)
    with pytest.raises(ArithmeticError, match="adaptation to all but one example: expected finite numbers"):
        run.adapt(far, none=0.1)


def test_inputs_of_another_shape(refused):
    run, given = RUNS["protonet"]()
    with refused("support: expected examples of shape [4]", "[3]"):
        run.adapt(given._replace(support=given.support._replace(inputs=given.support.inputs[:, :3])))
    with refused("inputs: expected examples of shape [4]"):
        run.adapt(given).outputs(given.inputs[:, :3])


CONSUMER = """
import sys
import jax, numpy as np
predict = jax.export.deserialize(open("predict.bin", "rb").read()).call
inputs = np.load("inputs.npy")
np.savez("outputs.npz", *(np.asarray(predict(inputs[:count])) for count in (1, 9)))
print([name for name in sys.modules if name.startswith("jaxmeta")])
"""


@pytest.mark.parametrize("name", ["protonet", "maml", "values"])
def test_an_export_runs_where_nothing_else_is(name, tmp_path):
    pytest.importorskip("flatbuffers")
    run, given = RUNS[name]()
    adapted = run.adapt(given)
    (count,) = jax.export.symbolic_shape("n")
    inputs = jax.ShapeDtypeStruct((count, WIDTH), given.inputs.dtype)
    exported = jax.export.export(jax.jit(adapted.predict))(inputs)
    (tmp_path / "predict.bin").write_bytes(exported.serialize())
    np.save(tmp_path / "inputs.npy", given.inputs)
    done = subprocess.run(
        [sys.executable, "-c", CONSUMER], cwd=tmp_path, capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "[]"
    wanted = adapted.outputs(given.inputs)
    with np.load(tmp_path / "outputs.npz") as outputs:
        for outcome in outputs.values():
            np.testing.assert_allclose(outcome, wanted[: len(outcome)], rtol=1e-6)
