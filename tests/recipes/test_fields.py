"""A recipe that is changed from Python: each field is of the kind that it says, or told in one line."""

import json
import pathlib

import numpy as np
import pytest

from jaxmeta import recipes, runs
from jaxmeta.recipes import Network, Recipe, Task

START = recipes.get("protonet-strokes")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("learner", "protnet", "expected one of maml, .* got 'protnet'; did you mean protonet"),
        ("schedule", "nope", "expected one of constant, cosine, linear, halving, got 'nope'"),
        ("criterion", None, "expected one of cross_entropy, .* got None"),
        ("norm", ["batch"], r"expected one of batch, .* got \['batch'\]"),
        ("learning_rate", "0.1", r"expected a number, got '0\.1' \(str\)"),
        ("learning_rate", True, r"expected a number, got True \(bool\)"),
        ("steps", 2.0, r"expected a whole number, got 2\.0 \(float\)"),
        ("steps", "2", r"expected a whole number, got '2' \(str\)"),
        ("hidden", (4, "4"), r"expected a whole number, got '4' \(str\)"),
        ("hidden", None, r"expected a tuple, got None \(NoneType\)"),
        ("picture", (28, 28), r"expected 3 of them, got \(28, 28\)"),
        ("columns", [["a"]], r"expected a text, got \['a'\] \(list\)"),
        ("domain", 5, r"expected a text, got 5 \(int\)"),
        ("network", {"norm": "batch"}, r"expected a Network, got \{.*\} \(dict\)"),
    ],
)
@pytest.mark.fault(promised="one line that names the field, and of choices the known words")
def test_values_of_another_kind(name, value, words):
    with pytest.raises((TypeError, ValueError), match=f"^`{name}`: {words}"):
        START.replace(**{name: value})


@pytest.mark.fault(promised="one line that names the field, wherever the recipe was made")
def test_a_recipe_that_was_put_together_is_checked():
    with pytest.raises(ValueError, match="`norm`: expected one of batch"):
        recipes.check(Recipe(network=Network(norm="nope")))
    with pytest.raises(ValueError, match="`hidden`: expected a whole number of at least 1, got 0"):
        recipes.check(START.replace(hidden=0))


@pytest.mark.parametrize("kind", ["features", "adapted"])
@pytest.mark.fault(promised="one line that says what to give")
def test_a_kind_that_asks_for_an_encoder(kind):
    with pytest.raises(ValueError, match=r"`encoder`: expected a pretrained encoder, .* got none; give `encoder`"):
        runs.training.opened(START.replace(kind=kind))


@pytest.mark.parametrize(
    ("kind", "served"),
    [
        ("tokens", ()),
        ("strings", ()),
        ("control", ()),
        ("texts", ("text_column", "target_column")),
        ("tables", ("columns", "target_column")),
        ("functions", ("columns", "target_column")),
        ("features", ("columns", "target_column", "polarity")),
    ],
)
@pytest.mark.fault(promised="one line: it would change nothing")
def test_options_that_a_kind_does_not_look_at(kind, served):
    given = {"text_column": "a", "columns": ("a", "b"), "target_column": "a", "polarity": "invert"}
    for option, value in given.items():
        if option in served:
            recipes.domains.check_serve(Task(kind=kind), **{option: value})
            continue
        with pytest.raises(ValueError, match=f"`{option}`: expected none for {kind}, where it would change nothing"):
            recipes.domains.check_serve(Task(kind=kind), **{option: value})
    recipes.domains.check_serve(Task(kind=kind), **dict.fromkeys(given, ""))


@pytest.mark.fault(promised="it is made of Python's own values, as JSON and equality ask")
def test_what_is_meant_is_taken():
    found = START.replace(picture=[14, np.int64(14), 1], hidden=5, domain=pathlib.Path("strokes"), columns="age",
                          steps=np.int64(2), learning_rate=np.float32(0.5), seed=np.uint8(3))  # fmt: skip
    wanted = START.replace(picture=(14, 14, 1), hidden=(5,), domain="strokes", columns=("age",), steps=2,
                           learning_rate=0.5, seed=3)  # fmt: skip
    assert found == wanted
    assert json.dumps(found.flat()) == json.dumps(wanted.flat())
    assert {type(value) for value in found.flat().values()} == {str, int, float, tuple}
    assert type(Recipe(network=Network(num_filters=np.int64(2))).replace().network.num_filters) is int


def test_no_preset_is_changed():
    for name in recipes.PRESETS:
        recipe = recipes.get(name)
        assert json.dumps(recipe.replace().flat()) == json.dumps(recipe.flat())
