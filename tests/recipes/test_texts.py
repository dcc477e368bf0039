"""Texts as a kind of data, with a small encoder in place of a large one."""

import csv

import jax
import numpy as np
import pytest

from jaxmeta import cli, datasets, encoders, recipes, runs, transfer
from jaxmeta.recipes.kinds import texts as kind

CLASSES = ("PlayMusic", "card_arrival", "alarm/set_alarm", "book_table", "what_weather", "send_money", "open_door",
           "tell_joke")  # fmt: skip
FILL = ["a", "b", "c", "d", "e", "f", "g", "h"]


class Letters:
    """A tokenizer: each word is the number of its first letter."""

    def encode_batch(self, given, is_pretokenized=False):
        assert not is_pretokenized
        return [Made([1, *(2 + ord(word[0]) % 40 for word in text.split()), 2]) for text in given]


class Made:
    def __init__(self, ids):
        self.ids, self.word_ids = ids, [None, *range(len(ids) - 2), None]


@pytest.fixture(autouse=True)
def small(encoder_with, tmp_path, monkeypatch):
    """The encoder under the name of the large one, and a folder with a set of texts."""
    encoder = encoder_with(Letters(), 12)
    monkeypatch.setattr(recipes, "encoder", lambda name: encoder)
    monkeypatch.chdir(tmp_path)
    write("own.csv", range(8))
    return encoder


def write(path, classes, count=6):
    with open(path, "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "intent"])
        for number in classes:
            for row in range(count):
                writer.writerow([f"{kind.spoken(CLASSES[number])} {FILL[row]} {FILL[number]}", CLASSES[number]])


TINY = {"domain": "own.csv", "queries": 2, "train_queries": 2, "train_ways": 2, "ways": 2, "kind": "", "steps": 1,
        "validation_tasks": 2, "num_tasks": 2, "tasks_per_step": 1}  # fmt: skip


def test_names_are_said():
    assert [kind.spoken(name) for name in CLASSES[:3]] == ["play music", "card arrival", "alarm set alarm"]


def test_rows_hold_features_n_grams_and_a_flag(small):
    task = recipes.get("protonet-intents").replace(**TINY).task
    rows = kind._rows(task, np.array(["play music", "ab"]), flag=1.0)
    assert rows.shape == (2, 8 + 1024 + 1)
    np.testing.assert_allclose(np.linalg.norm(rows[:, :8], axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(rows[:, 8:-1], axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(rows[:, -1], 1)


def test_n_grams_stay_within_words():
    found = np.asarray(encoders.ngrams(["play music", "music play", "musicplay", "PLAY  MUSIC"], 512))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[3])
    assert 0.2 < found[0] @ found[2] < 0.9


def test_texts_are_told_from_tables_and_pictures(tmp_path):
    def found(part, **own):
        return recipes.complete(recipes.Task(domain=part, **own)).kind

    assert [found("own.csv"), found("clinc150"), found("omniglot"), found("xsid:de")] == [
        "texts", "texts", "pictures", "texts",
    ]  # fmt: skip
    (tmp_path / "n.csv").write_text("a,b,label\n1,2,x\n3,4,y\n")
    assert found("n.csv") == "tables"
    with pytest.raises(ValueError, match="domains of one kind"):
        found("own.csv,n.csv")


@pytest.mark.parametrize(
    ("preset", "own"),
    [
        pytest.param("protonet-intents", {}, marks=pytest.mark.long),
        ("named-protonet-intents", {}),
        ("protonet-ngrams", {"hidden": (4,)}),
        pytest.param("maml-intents", {}, marks=pytest.mark.long),
        pytest.param("maml-ngrams", {"hidden": (4,)}, marks=pytest.mark.long),
        pytest.param("protonet-intents", {"knowledge": "names"}, marks=pytest.mark.long),
        pytest.param("maml-intents", {"learner": "cavia", "hidden": (4,)}, marks=pytest.mark.long),
        pytest.param("protonet-intents", {"learner": "simple_shot", "batch_size": 4}, marks=pytest.mark.long),
        pytest.param("protonet-intents", {"learner": "r2d2"}, marks=pytest.mark.long),
    ],
)
def test_texts_are_trained_on_and_scored(preset, own):
    run = runs.train(recipes.get(preset).replace(**TINY | own))
    rows = {row["method"]: row for row in run.score(num_tasks=2)}
    assert "character n-grams, nearest centroid" in rows
    assert ("frozen features, nearest centroid" in rows) == bool(run.recipe.task.encoder)
    scores = rows[run.recipe.adaptation.learner]
    assert scores["joint"]["per_task"] == pytest.approx(scores["single"]["per_task"])
    assert ("encoder" in run.checksums) == bool(run.recipe.task.encoder)


def test_names_are_rows_of_the_support_set_alone():
    recipe = recipes.get("named-protonet-intents").replace(**TINY, shots=3)
    domain = recipes.domains.open("own.csv", "test", task=recipe.task)
    support, query = domain.sample(jax.random.key(1))
    assert np.asarray(kind.is_name(support.inputs)).tolist() == [False] * 6 + [True] * 2
    assert not np.asarray(kind.is_name(query.inputs)).any()
    known = {
        tuple(np.round(row, 4)): name for name, row in zip(CLASSES, kind._names(recipe.task, CLASSES), strict=True)
    }
    called = [known[tuple(np.round(row, 4))] for row in np.asarray(support.inputs[6:])]
    own = datasets.load_texts("own.csv")
    rows = {tuple(np.round(row, 4)): own.class_names[np.searchsorted(own.offsets, place, side="right") - 1]
            for place, row in enumerate(kind._rows(recipe.task, own.inputs))}  # fmt: skip
    assert called == [rows[tuple(np.round(row, 4))] for row in np.asarray(support.inputs)[[0, 3]]]


@pytest.mark.parametrize("name", ["7", "class_3", "Label 2", "y1"])
def test_names_that_say_nothing_are_refused(name):
    task = recipes.get("named-protonet-intents").replace(**TINY).task
    with pytest.raises(ValueError, match="whose names say what they are"):
        kind._names(task, ["card_arrival", name])


def test_what_was_trained_on_is_not_tested_on(data_dir):
    task = recipes.Task(kind="texts", ways=3, queries=2)
    source = datasets.load("snips7", data_dir=data_dir)
    seen = recipes.Seen(examples=frozenset(map(int, kind.seen.fingerprints(source))))
    for language in ("en", "de"):
        place = recipes.Place(f"xsid:{language}", "test", str(data_dir))
        whole, left = kind._texts(task, place), kind._texts(task, place._replace(seen=seen))
        known = {datasets.identity(text) for text in source.inputs.tolist()}
        assert not known & set(left.ids.tolist())
        assert left.count == sum(each not in known for each in whole.ids.tolist()) < whole.count
        assert f"{whole.count - left.count} texts left out" in left.notes[-1]


def test_support_and_queries_in_two_languages(data_dir):
    recipe = recipes.get("protonet-ngrams").replace(kind="texts", domain="xsid:en", ways=3, shots=2, queries=2)
    domain = recipes.domains.open("xsid:en", "test", task=recipe.task, query_domain="xsid:de", data_dir=str(data_dir))
    assert domain.sample(jax.random.key(0)).query.inputs.shape == (6, 1025)
    assert [fact["domain"] for fact in domain.facts] == ["xsid:en", "xsid:de"]


def test_adapt_needs_no_run(capsys):
    write("support.csv", range(3))
    with open("new.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([["text"], ["play music, a a"], ["alarm set alarm c c"]])
    assert cli.main(["adapt", "--support", "support.csv", "--inputs", "new.csv", "--encoder", "all_minilm_l6_v2"]) == 0
    with open("predictions.csv", newline="") as stream:
        assert [row["prediction"] for row in csv.DictReader(stream)] == ["PlayMusic", "alarm/set_alarm"]
    told = capsys.readouterr()
    assert "of 18 labelled examples, each left out once" in told.out
    assert "texts of column 'text'" in told.err + told.out
    assert cli.main(["adapt", "--support", "support.csv", "--inputs", "new.csv", "--encoder", "all_minilm_l6_v2",
                     "--text-column", "nothing", "--force"]) == 1  # fmt: skip
    assert "the columns text, intent" in capsys.readouterr().err


def test_long_texts_are_told_of(small):
    with open("long.csv", "w") as stream:
        stream.write("text,intent\n" + "".join(f"{'word ' * (20 + row)},x\nshort {row},y\n" for row in range(4)))
    task = recipes.get("protonet-intents").replace(**TINY, test_classes=("all",)).task
    domain = recipes.domains.open("long.csv", "test", task=task, ways=2, shots=1, queries=1)
    assert "4 texts cut behind 12 tokens" in domain.facts[0]["notes"]


@pytest.mark.long
@pytest.mark.parametrize("encoder", ["all_minilm_l6_v2", ""])
def test_a_transfer_of_texts(encoder):
    write("other.csv", range(5))
    rows = transfer.matrix(
        ["own.csv"], ["other.csv"], ["maml", *(["frozen_ridge"] if encoder else [])],
        encoder=encoder, shots=(2,), ways=2, num_tasks=4, queries=2, effort=0.001,
    )  # fmt: skip
    assert not [row["error"] for row in rows if "error" in row]
    assert {"character n-grams, nearest centroid", "maml", "maml, untrained"} <= {row["method"] for row in rows}


def test_columns_are_for_tables():
    with pytest.raises(ValueError, match="`columns`: expected none, since texts have one column"):
        recipes.complete(recipes.Task(domain="own.csv", kind="texts", columns=("text",)))
