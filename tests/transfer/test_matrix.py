"""Sources x targets x methods from Python: pictures, tables and functions."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta
from jaxmeta import recipes, transfer
from jaxmeta.learners.over_frozen import MetaParams as OverFrozen
from jaxmeta.transfer import estimates, meetings, trained

TINY = {"effort": 0.002, "num_tasks": 4, "tune_tasks": 2, "fine_tune_steps": 2, "queries": 3}


def scored(rows):
    assert not [row["error"] for row in rows if "error" in row]
    return {(row["domain"], row["shots"], row["method"]): row for row in rows}


@pytest.mark.long
def test_somebody_who_reproduces():
    rows = jaxmeta.transfer.matrix(sources=["strokes"], targets=["digits", "fonts"],
                                   methods=["protonet", "maml", "simple_shot"], shots=(1, 5), **TINY,
                                   num_filters=4, picture=(8, 8, 1))  # fmt: skip
    found = scored(rows)
    methods = ("raw inputs, nearest centroid", "protonet, untrained", "protonet", "maml, untrained", "maml")
    assert set(found) == {
        (domain, shots, method) for domain in ("digits", "fonts") for shots in (1, 5)
        for method in (*methods, "simple_shot")
    }  # fmt: skip
    compared = jaxmeta.transfer.compare(rows)
    assert len(compared.found["comparisons"]) == 2 * 2 * 2
    assert all(0 <= entry["p_value"] <= entry["p_holm"] <= 1 for entry in compared.found["comparisons"])
    assert str(compared).startswith("### From strokes, 1-shot\n\n| method | digits | fonts | average | rank |")


@pytest.mark.long
def test_tables_of_classes(tmp_path):
    draw = np.random.default_rng(0)
    rows = np.concatenate([draw.normal(4 * label, 1, (12, 2)) for label in range(2)])
    lines = [f"{x:.3f},{y:.3f},{'ab'[index // 12]}" for index, (x, y) in enumerate(rows)]
    (tmp_path / "mine.csv").write_text("\n".join(["a,b,label", *lines]))
    targets = [str(tmp_path / "mine.csv"), "breast_cancer"]
    found = scored(transfer.matrix(["tabular"], targets, ["protonet", "from_scratch"], ways=2, shots=(2,), **TINY))
    mine = {method: row for (domain, _, method), row in found.items() if domain == "mine.csv"}
    assert list(mine) == [
        "raw inputs, nearest centroid", "raw inputs, logistic regression", "protonet, untrained", "protonet",
        "from_scratch",
    ]  # fmt: skip
    assert mine["raw inputs, nearest centroid"]["single"]["mean"] == 1
    assert {row["norm"] for row in found.values()} == {None}
    assert {row["ways"] for row in found.values()} == {2}


@pytest.mark.parametrize(("source", "target"), [("tabular", "diabetes"), ("sinusoid", "sinusoid")])
@pytest.mark.long
def test_values(source, target):
    options = {"criterion": "squared_error", "shots": (10,), **TINY}
    rows = transfer.matrix([source], [target], ["maml", "from_scratch"], **options)
    found = scored(rows)
    assert {(row["metric"], row["ways"], row["chance"]) for row in found.values()} == {("loss", 0, None)}
    best = min((row for row in rows), key=lambda row: row["single"]["mean"])
    low = f"**{best['single']['mean']:.3f} ["
    text = str(transfer.compare(rows))
    assert text.count("**") == 2
    assert low in text
    assert "Bold: the lowest of a column" in text


@pytest.mark.parametrize(
    ("sources", "methods", "options", "message"),
    [
        (["tabular"], ["simple_shot"], {}, "`learners`: expected methods that fit tables, .* got simple_shot"),
        (["tabular"], ["relation_net"], {}, "`learners`: expected methods that fit tables, .* got relation_net"),
        (["tabular"], ["pmf"], {}, "`learners`: expected methods that fit tables, .* got pmf"),
        (["tabular"], ["protonet"], {"criterion": "squared_error"}, "`learners`: expected methods with a head"),
        (["strokes"], ["maml"], {}, "`sources` and `targets`: expected domains of one kind, got 'strokes' of pictures"),
        (["sinusoid"], ["maml"], {}, "`sources`: expected domains with training classes"),
        (["tabular"], [], {}, "`sources` and `learners`: expected at least one each, or `runs`"),
        (["tabular"], ["maml"], {"tasks": 3}, "unexpected keyword"),
        (["tabular"], ["maml"], {"norm": "nope"}, "`norm`: expected one of batch, .* got 'nope'"),
        (["tabular"], ["maml"], {"augment": "nope"}, "`augment`: expected one of none, affine, rename, got 'nope'"),
        (["tabular"], ["maml"], {"criterion": "nope"}, "`criterion`: expected one of cross_entropy, .* got 'nope'"),
        (["tabular"], ["maml"], {"effort": "1"}, r"`effort`: expected a number, got '1' \(str\)"),
        (["tabular"], ["maml"], {"picture": (14, 14)}, r"`picture`: expected 3 of them, got \(14, 14\)"),
        (["tabular"], ["maml"], {"in_domain": 2}, r"`in_domain`: expected True or False, got 2 \(int\)"),
        (["tabular"], ["maml"], {"runs": None}, r"`runs`: expected a tuple, got None \(NoneType\)"),
        (["tabular"], [["maml"]], {}, r"`learners`: expected one of maml, .* got \['maml'\]"),
        ([["tabular"]], ["maml"], {}, r"`sources`: expected a text, got \['tabular'\] \(list\)"),
    ],
)
@pytest.mark.fault(promised="one line before anything is trained")
def test_what_does_not_fit_is_refused(sources, methods, options, message):
    target = "diabetes" if "criterion" in options else "breast_cancer"
    with pytest.raises((ValueError, TypeError), match=message):
        transfer.matrix(sources, [target], methods, **TINY | options)


@pytest.mark.fault(promised="one line: it would be ranked against itself")
def test_one_and_the_same_by_another_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("run")
    for name in ("digits", "own.csv"):
        (tmp_path / name).touch()
    plan = transfer.Plan("tabular", "digits", "maml")
    for given in (["run", "link"], ["run", "./run"], ["run", tmp_path / "run"]):
        for name in ("runs", "targets", "sources"):
            with pytest.raises(ValueError, match=f"`{name}`: expected each once, got run "):
                transfer.checked(dataclasses.replace(plan, **{name: given}))
    with pytest.raises(ValueError, match="`sources`: expected each once"):
        transfer.checked(dataclasses.replace(plan, sources=["tabular,own.csv", "tabular,./own.csv"]))
    transfer.checked(dataclasses.replace(plan, targets=["digits", "./digits"]))  # the known one, and a file


@pytest.mark.fault(promised="one is taken as a list of one, a path as a text, and NumPy's numbers as Python's")
def test_one_of_each_and_numbers_of_numpy(tmp_path, monkeypatch):
    plans = []
    monkeypatch.setattr(meetings, "carried_out", lambda setting, **_: plans.append(setting.plan))
    tiny = {name: np.asarray(value)[()] for name, value in TINY.items()}
    for shots in (2, np.int64(2), [2], np.array([2])):
        transfer.matrix("tabular", "breast_cancer", "from_scratch", shots=shots, seed=np.int64(3), **tiny)
        plan = plans.pop()
        assert (plan.sources, plan.targets, plan.learners) == (("tabular",), ("breast_cancer",), ("from_scratch",))
        assert json.loads(json.dumps(dataclasses.asdict(plan)))["shots"] == [2]
    (tmp_path / "own.csv").touch()
    plan = transfer.checked(transfer.Plan("tabular", tmp_path / "own.csv", ["maml"], picture=[14, 14, 1]))
    assert (plan.targets, plan.picture) == ((str(tmp_path / "own.csv"),), (14, 14, 1))
    with pytest.raises(TypeError, match=r"`shots`: expected a whole number of at least 1, got 2\.0"):
        transfer.matrix("tabular", "breast_cancer", "from_scratch", shots=2.0)


@pytest.mark.fault(promised="one line that says why: it would be another seed's key")
def test_a_seed_of_more_than_32_bits():
    words = r"`seeds?`: expected a whole number from 0 to 4294967295, got 4294967296; a seed has 32 bits"
    recipe = recipes.get("maml-regression").replace(steps=1)
    recipes.check(recipe.replace(seed=2**32 - 1))
    for call in (
        lambda: transfer.matrix(["tabular"], ["breast_cancer"], ["protonet"], seed=2**32),
        lambda: recipes.check(recipe.replace(seed=2**32)),
        lambda: jaxmeta.runs.train(recipe.replace(seed=2**32)),
        lambda: jaxmeta.runs.train(recipe, seeds=range(2**32 - 1, 2**32 + 1)),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_the_estimate_counts_what_is_met(monkeypatch):
    monkeypatch.setattr(estimates, "_per_example", lambda setting: 0.001)
    plan = transfer.checked(transfer.PLANS["leave-one-out"])
    told = functools.partial(transfer.setting, data_dir=None)
    assert estimates.text(told(plan)).endswith("2 trainings a source, 32 cells")
    assert estimates.text(told(dataclasses.replace(plan, in_domain=True))).endswith("64 cells")


@pytest.mark.parametrize(("learner", "has"), [("protonet", True), ("in_context", False), ("relation_net", False)])
def test_only_a_network_of_features_says_how_far_domains_are_apart(learner, has):
    """One that reads a support set, or compares maps, gives nothing for an example alone."""
    recipe = recipes.get("protonet-strokes").replace(learner=learner, norm="layer")
    assert (trained._encoder(recipe, None, None) is not None) == has


EMBEDDING = ("protonet", "matching_net", "r2d2", "proto_maml", "laplacian_shot", "ridge_classifier", "tuned_protonet")


@pytest.mark.parametrize("name", EMBEDDING)
def test_features_are_those_of_the_network_whatever_else_is_learned(name):
    recipe = recipes.get("protonet-strokes").replace(learner=name, num_filters=4, picture=(8, 8, 1))
    shape = recipes.Shape((8, 8, 1), 5)
    network, learner = recipes.network(recipe, shape), recipes.training_learner(recipe, shape)
    meta_params, inputs = learner.init(jax.random.key(0)), jnp.ones((2, 8, 8, 1))
    own = trained._network_params(meta_params)
    jax.tree.map(np.testing.assert_array_equal, own, network.init(jax.random.key(0)))
    assert trained._encoder(recipe, network, meta_params)(inputs).shape == (2, 4)
    assert trained._network_params(OverFrozen("base", meta_params)) == OverFrozen("base", own)
