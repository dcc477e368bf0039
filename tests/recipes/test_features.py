"""A pretrained encoder's features as a kind of data, with a small encoder in place of a large one."""

import csv
import json
import pathlib
import shutil

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxmeta import checks, cli, encoders, recipes, report, runs, transfer
from jaxmeta.datasets import cache
from jaxmeta.encoders import features
from jaxmeta.recipes.kinds import features as kind

SIDE, RUNS = 12, {"domain": "shapes.npz", "encoder": "efficientnet_lite0", "queries": 3, "train_queries": 3}


class Tiny(nn.Module):
    """Two convolutions; pictures of any size."""

    def setup(self):
        self.first, self.second = nn.Conv(3, (3, 3), (2, 2)), nn.Conv(4, (3, 3))

    def views(self, pictures):
        return self.rest(self.trunk(pictures))

    def trunk(self, pictures):
        return nn.relu(self.first(pictures))

    def rest(self, trunk):
        second = nn.relu(self.second(trunk))
        return second.mean(axis=(1, 2)), (second, trunk)


@pytest.fixture(autouse=True)
def tiny(tmp_path, monkeypatch):
    """The encoder under the name of the large one, in a folder with one set of pictures."""
    module = Tiny()
    variables = module.init(jax.random.key(0), jnp.zeros((1, SIDE, SIDE, 3)), method="views")
    encoder = encoders.Encoder("tiny", module, jax.device_get(variables), (SIDE, SIDE, 3), "0123456789abcdef")
    monkeypatch.setattr(kind, "encoder", lambda name: encoder)
    monkeypatch.setattr(recipes, "encoder", lambda name: encoder)
    monkeypatch.setenv("JAXMETA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    np.savez("shapes.npz", images=shapes(8, 8), labels=np.repeat(np.arange(8), 8))
    return encoder


def shapes(num_classes, count):
    """Bars at a height of their class, in uint8 noise."""
    pictures = np.random.default_rng(0).integers(0, 60, (num_classes * count, SIDE, SIDE, 3), np.uint8)
    for index in range(len(pictures)):
        row = index // count
        pictures[index, row + 2, row : row + 4] = 255
    return pictures


def test_features_are_the_parts_at_length_one(tiny):
    pictures = shapes(2, 3)
    last, maps = tiny.module.apply(tiny.variables, pictures / np.float32(255), method="views")
    found = features.features(tiny, pictures)
    sizes = features.dims(tiny)
    assert sizes == (4, 4 * 16, 3 * 16)
    parts = np.split(found, np.cumsum(sizes)[:-1], axis=1)
    np.testing.assert_allclose(np.linalg.norm(found[:, :4], axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(parts[0], last / np.linalg.norm(last, axis=1, keepdims=True), rtol=1e-4)
    # 6 x 6 in a grid of 4 x 4: the fields overlap, as those of torch's adaptive pooling.
    edges = [(0, 2), (1, 3), (3, 5), (4, 6)]
    grid = np.array([[maps[1][:, a:b, c:d].mean(axis=(1, 2)) for c, d in edges] for a, b in edges])
    grid = grid.transpose(2, 0, 1, 3).reshape(6, -1)
    np.testing.assert_allclose(parts[2], grid / np.linalg.norm(grid, axis=1, keepdims=True), rtol=1e-4, atol=1e-6)


def test_grey_pictures_are_shown_in_all_colours(tiny):
    grey = shapes(2, 2)[..., :1]
    np.testing.assert_allclose(features.features(tiny, grey), features.features(tiny, np.repeat(grey, 3, axis=-1)))
    floats = features.features(tiny, grey.astype(np.float32) / 255)
    np.testing.assert_allclose(floats, features.features(tiny, grey), atol=1e-6)


def test_features_are_computed_once(tiny, monkeypatch):
    computed = []
    whole = features._computed
    monkeypatch.setattr(features, "_computed", lambda *given: computed.append(len(given[1])) or whole(*given))
    pictures = shapes(2, 3)
    first = np.array(features.features(tiny, pictures))
    np.testing.assert_array_equal(features.features(tiny, pictures), first)
    assert computed == [6]
    features.features(tiny, pictures[::-1])
    features.features(tiny._replace(checksum="another"), pictures)
    assert computed == [6, 6, 6]


def test_features_where_nothing_can_be_kept(tiny, monkeypatch):
    monkeypatch.setattr(cache, "folder", lambda: pathlib.Path("shapes.npz/no-folder"))
    assert features.features(tiny, shapes(2, 2)).shape == (4, 116)


@pytest.mark.product(preset=("protonet-strokes", "photos"))
@pytest.mark.parametrize(
    "preset", ["protonet-strokes", "ridge-classifier-strokes", "maml-strokes", "cavia-strokes", "photos"]
)
def test_a_run_over_features(preset):
    changes = {"ways": 2, "train_ways": 2, "shots": 2, "num_tasks": 4, "validation_tasks": 4, "tasks_per_step": 2}
    recipe = recipes.get(preset).replace(**RUNS, **changes)
    recipe = recipe.replace(steps=min(recipe.budget.steps, 20))
    run = runs.train(recipe, folder="run")
    rows = {row["method"]: row["single"]["mean"] for row in run.score(num_tasks=10)}
    assert {"frozen features, nearest centroid", "frozen features, logistic regression"} < set(rows)
    assert rows[recipe.adaptation.learner] > 0.6
    opened = runs.open("run")
    assert opened.recipe.task.encoder == "efficientnet_lite0"
    again = {row["method"]: row["single"]["mean"] for row in opened.score("shapes.npz", num_tasks=10)}
    assert again == rows


@pytest.mark.fault(promised="one line that names both checksums")
def test_another_encoder_than_the_run_s_is_refused(tiny, monkeypatch):
    changes = {"ways": 2, "train_ways": 2, "num_tasks": 2, "validation_tasks": 2, "steps": 1, "tasks_per_step": 2}
    runs.train(recipes.get("protonet-strokes").replace(**RUNS, **changes), folder="run")
    config = json.loads(pathlib.Path("run/config.json").read_text())
    assert config["data"]["encoder"] == tiny.checksum
    monkeypatch.setattr(recipes, "encoder", lambda name: tiny._replace(checksum="fedcba"))
    with pytest.raises(ValueError, match=r"expected the encoder that the run was trained with, sha256 0123456789ab"):
        runs.open("run")


@pytest.fixture
def folders():
    """Labelled pictures in class folders, and others to be told."""
    for index, picture in enumerate(shapes(3, 6)):
        name = ("low", "middle", "high")[index // 6]
        place = "own" if index % 6 < 4 else "given"
        path = pathlib.Path(place, *([name] if place == "own" else []))
        path.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path / f"{name}_{index}.png")


def test_adapt_needs_no_run(folders, capsys):
    words = ["adapt", "--encoder", "efficientnet_lite0", "--inputs", "given"]
    assert cli.main([*words, "--support", "own", "--save", "kept"]) == 0
    assert "of 12 labelled examples, each left out once, 12 are told right" in capsys.readouterr().out
    rows = list(csv.DictReader(pathlib.Path("predictions.csv").read_text().splitlines()))
    assert len(rows) == 6
    assert all(row["input"].startswith(row["prediction"]) for row in rows)
    assert cli.main([*words, "--adapted", "kept", "--out", "again.csv"]) == 0
    assert pathlib.Path("again.csv").read_text() == pathlib.Path("predictions.csv").read_text()


def test_a_contact_sheet_marks_what_is_wrong(folders, tmp_path):
    words = ["adapt", "--encoder", "efficientnet_lite0", "--support", "own", "--inputs", "own"]
    assert cli.main([*words, "--sheet", "sheet.png"]) == 0
    with Image.open("sheet.png") as image:
        assert image.width > 500
    pictures = np.zeros((3, 4, 4, 3), np.uint8)
    names, said = ["a/0.png", "b/1.png", "2.png"], ["a", "a", "b"]
    figure = report.contact_sheet(names, pictures, said, [1.0, 0.5, 0.25], ["a", "b"])
    titles = [panel.get_title() for panel in figure.axes]
    assert titles == ["a 100%", "✗ a 50%\nis b", "b 25%"]
    assert figure.get_suptitle() == "1 of 2 right"


@pytest.mark.fault(promised="one line and exit code 2")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "a run folder, or a pretrained encoder as --encoder, got neither"),
        (["run", "--encoder", "elsewhere"], "expected none, since the run was trained on what it was given"),
    ],
)
def test_what_adapt_refuses(words, said, folders, capsys):
    if words:
        tiny = {"ways": 2, "train_ways": 2, "num_filters": 2, "num_tasks": 2, "validation_tasks": 2, "steps": 0}
        runs.train(recipes.get("protonet-strokes").replace(**tiny, queries=2, train_queries=2), folder="run")
    assert cli.main(["adapt", *words, "--support", "own", "--inputs", "given"]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.fault(promised="one line")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"criterion": "squared_error", "learner": "maml", "domain": "sinusoid"}, "`encoder`: expected none for"),
        ({"adapters": "film"}, "wrap: expected a network with layers that this adapter fits"),
        ({"adapters": "tsa", "encoder": ""}, "`adapters`: expected none without an `encoder`, got tsa"),
        ({"adapters": "tsa", "learner": "relation_net"}, "expected one that fits a network with frozen weights"),
        ({"adapters": "tsa", "learner": "simple_shot"}, "expected one that trains on tasks, as adapted are"),
        ({"augment": "rename", "encoder": ""}, "`augment`: expected none or affine, for pictures, got rename"),
        ({"knowledge": "names"}, "`knowledge`: expected none for features, where it would change nothing, got names"),
        ({"augment": "affine"}, "`augment`: expected none, since features are computed once"),
        ({"domain": "tabular"}, "`domain`: expected pictures, as the encoder takes, got 'tabular'"),
        ({"learner": "relation_net"}, "expected one that takes features, .* got one of feature maps, for inputs"),
    ],
)
def test_what_does_not_go_with_an_encoder(changes, said):
    recipe = recipes.get("protonet-strokes").replace(**RUNS, ways=2, train_ways=2, steps=1).replace(**changes)
    with pytest.raises((ValueError, checks.DataError), match=said):
        runs.train(recipe)


@pytest.mark.long
def test_a_transfer_over_features():
    np.savez("others.npz", images=shapes(5, 8)[:, :, ::-1], labels=np.repeat(np.arange(5), 8))
    rows = transfer.matrix(
        ["shapes.npz"], ["others.npz"], ["frozen_ridge", "maml"], encoder="efficientnet_lite0", shots=(2,), ways=2,
        num_tasks=4, queries=3, effort=0.01,
    )  # fmt: skip
    assert not [row["error"] for row in rows if "error" in row]
    means = {row["method"]: row["single"]["mean"] for row in rows}
    assert {"frozen_ridge", "maml", "maml, untrained", "frozen features, nearest centroid"} < set(means)
    assert means["frozen_ridge"] > 0.6


@pytest.mark.fault(promised="one line that says what differs")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, r"`encoder` elsewhere.pth: expected the encoder that the run was trained with"),
        ({"encoder": "efficientnet_lite0", "picture": (10, 10, 3)}, r"pictures of 10 x 10 x 3, got 12 x 12 x 3"),
    ],
)
def test_a_transfer_whose_features_are_not_the_run_s(changes, said, tiny, monkeypatch):
    """Their shapes are the same."""
    recipe = recipes.get("photos").replace(**RUNS, ways=2, train_ways=2, shots=2, num_tasks=2)
    runs.train(recipe, folder="run")
    other = tiny._replace(checksum="fedcba")
    own = lambda name: other if name == "elsewhere.pth" else tiny  # noqa: E731
    monkeypatch.setattr(kind, "encoder", own)
    monkeypatch.setattr(recipes, "encoder", own)
    plan = {"encoder": "elsewhere.pth", "shots": (2,), "ways": 2, "num_tasks": 2, "queries": 3} | changes
    with pytest.raises(ValueError, match=said):
        transfer.matrix([], ["shapes.npz"], [], runs=("run",), **plan)


@pytest.mark.long
def test_without_steps_adapters_change_nothing(tiny):
    """What the last layers make of the trunk is what the features are."""
    recipe = recipes.get("photos").replace(**RUNS, ways=2, train_ways=2, shots=2, num_tasks=6)
    plain = runs.train(recipe).score(num_tasks=6)
    for adapters in ("tsa", "all"):
        rows = runs.train(recipe.replace(adapters=adapters)).score(num_tasks=6)
        assert [row["method"] for row in rows] == [row["method"] for row in plain]
        for ours, theirs in zip(rows, plain, strict=True):
            assert ours["single"]["per_task"] == theirs["single"]["per_task"]


@pytest.mark.product(learner=("tuned_protonet",))
@pytest.mark.parametrize("learner", ["tuned_protonet", "protonet", "maml", "anil"])
def test_a_run_over_adapters(learner, tiny):
    changes = {"ways": 2, "train_ways": 2, "shots": 2, "num_tasks": 4, "validation_tasks": 4, "tasks_per_step": 2}
    recipe = recipes.get("tuned-protonet-strokes").replace(**RUNS, **changes, learner=learner, adapters="tsa", steps=5)
    run = runs.train(recipe, folder="run")
    rows = {row["method"]: row["single"]["mean"] for row in run.score(num_tasks=10)}
    assert rows[learner] > 0.6
    # The encoder's weights are of no run: a folder holds the adapters alone.
    kept = pathlib.Path("run/meta_params.msgpack").read_bytes()
    assert len(kept) < 2000 + sum(leaf.nbytes for leaf in jax.tree.leaves(run.meta_params.learned))
    assert not any(np.asarray(leaf).tobytes() in kept for leaf in jax.tree.leaves(tiny.variables) if leaf.any())
    opened = runs.open("run")
    assert opened.recipe.task.adapters == "tsa"
    assert {row["method"]: row["single"]["mean"] for row in opened.score("shapes.npz", num_tasks=10)} == rows


def test_adapters_of_a_run_serve_own_pictures(folders, capsys):
    changes = {"ways": 2, "train_ways": 2, "num_tasks": 2, "validation_tasks": 2, "tasks_per_step": 2, "steps": 2}
    recipe = recipes.get("tuned-protonet-strokes").replace(**RUNS, **changes, adapters="tsa")
    runs.train(recipe, folder="run")
    assert cli.main(["adapt", "run", "--support", "own", "--inputs", "given"]) == 0
    rows = list(csv.DictReader(pathlib.Path("predictions.csv").read_text().splitlines()))
    assert all(row["input"].startswith(row["prediction"]) for row in rows)


@pytest.mark.long
def test_a_transfer_over_adapters():
    told = []
    np.savez("others.npz", images=shapes(5, 8)[:, :, ::-1], labels=np.repeat(np.arange(5), 8))
    rows = transfer.matrix(
        ["shapes.npz"], ["others.npz"], ["frozen_ridge", "frozen_tuned", "maml"],
        encoder="efficientnet_lite0", adapters="tsa", shots=(2,), ways=2, num_tasks=4, queries=3, effort=0.001,
        fine_tune_steps=3, tune_tasks=2, report=lambda event: told.append(event.text),
    )  # fmt: skip
    assert "min" in told[0]  # how long it will take
    assert not [row["error"] for row in rows if "error" in row]
    means = {row["method"]: row["single"]["mean"] for row in rows}
    assert {"frozen_ridge", "frozen_tuned", "maml", "frozen features, nearest centroid"} < set(means)


@pytest.mark.long
def test_a_transfer_goes_on_with_an_encoder_from_elsewhere(tiny, monkeypatch):
    """What is written down of a path, its name, is not where the encoder lies."""

    def encoder(name):
        assert name == "elsewhere/w.pth"
        return tiny

    monkeypatch.setattr(kind, "encoder", encoder)
    monkeypatch.setattr(recipes, "encoder", encoder)
    np.savez("others.npz", images=shapes(5, 8)[:, :, ::-1], labels=np.repeat(np.arange(5), 8))
    plan = {"encoder": "elsewhere/w.pth", "adapters": "tsa", "shots": (2,), "ways": 2, "num_tasks": 2, "queries": 3}
    made = []
    for _ in range(2):
        rows = transfer.matrix(["shapes.npz"], ["others.npz"], ["maml"], folder="kept", effort=1e-3, **plan)
        assert not [row["error"] for row in rows if "error" in row]
        made.append({row["method"]: row["single"]["per_task"] for row in rows})
        shutil.rmtree("kept/cells")
        pathlib.Path("kept/cells").mkdir()
    assert made[0] == made[1]
