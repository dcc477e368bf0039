"""Texts: published sets where they lie, and a person's own files."""

import collections
import json

import jax
import numpy as np
import pytest

from jaxmeta import checks, datasets, tasks
from jaxmeta.datasets import sentences

CSV = 'text,intent\n"Play ""Hello"", please",music\n"two\nlines",music\nwhat is the weather,weather\n'
JSONL = """{"text": "Play \\"Hello\\", please", "label": "music"}

{"label": "music", "text": "two\\nlines"}
{"text": "what is the weather", "label": "weather"}
"""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", CSV.encode("utf-8")),
        ("b.csv", CSV.encode("utf-8-sig")),
        ("c.csv", CSV.encode("utf-16")),
        ("d.csv", CSV.replace(",", ";").replace('"";', '"",').encode()),
        ("e.tsv",
         b'intent\ttext\nmusic\t"Play ""Hello"", please"\nmusic\ttwo lines\nweather\twhat is the weather\n'),
        ("f.jsonl", JSONL.encode()),
        ("g.csv",
         b"utterance,class\r\n\"Play 'Hello', please\",music\r\ntwo lines,music\r\nwhat is the weather,weather"),
    ],
)  # fmt: skip
def test_files_of_texts(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    found = datasets.load_texts(tmp_path / name)
    assert found.class_names == ("music", "weather")
    assert [text.replace("'", '"') for text in found.inputs.tolist()] == [
        'Play "Hello", please', "two lines", "what is the weather",
    ]  # fmt: skip
    names, texts = datasets.load_text_inputs(tmp_path / name)
    assert names == (["0", "2", "3"] if name == "f.jsonl" else ["0", "1", "2"])
    assert sorted(texts.tolist()) == sorted(found.inputs.tolist())


def test_columns_are_chosen(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("title,remark,kind\na b,one two three four,x\nc d,five six seven eight,y\n")
    assert datasets.load_texts(path, text_column="remark", target_column="kind").inputs[0] == "one two three four"
    assert datasets.load_texts(path, text_column="2", target_column="3").class_names == ("x", "y")
    with pytest.raises(checks.DataError, match=r"the columns title, remark, kind"):
        datasets.load_texts(path, text_column="remarks")
    with pytest.raises(checks.DataError, match="2 columns that could be it"):
        datasets.load_texts(path)
    path.write_text("one two three four,x\nfive six seven eight,y\n")
    assert datasets.load_texts(path).class_names == ("x", "y")
    (tmp_path / "t.txt").write_text("one, two\n\n three\n")
    assert datasets.load_text_inputs(tmp_path / "t.txt")[1].tolist() == ["one, two", "three"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("text,label\na b,x\n ,y\n", ("row 3", "text", "an empty cell")),
        ("text,label\na b,x\nc d,\n", ("row 3", "label", "a class in every row")),
        ("text,label\na b,x\nc, d,y\n", ("row 3", "2 columns", "quotes")),
        ("text,label\n", ("at least one row",)),
        ("text\nhello there\n", ("classes beside the texts",)),
        ("text,a,b\nhello there,1,2\n", ("2 columns that could be it", "target_column")),
    ],
)
def test_what_is_wrong_is_told_with_its_row(tmp_path, refused, content, words):
    path = tmp_path / "t.csv"
    path.write_text(content)
    with refused(path, *words):
        datasets.load_texts(path)


@pytest.mark.fault(promised="a class may be called as a header calls texts; one line where the first row may be either")
def test_a_class_may_be_called_a_question(tmp_path):
    path = tmp_path / "t.csv"
    rows = "how are you today,Question\nwhat is the time now,question\nthis is nice,comment\nand this,comment\n"
    path.write_text(rows.replace("Question", "question"))
    loaded = datasets.load_texts(path)
    assert loaded.class_names == ("comment", "question")
    assert loaded.count == 4
    assert not sentences.looks_like_texts(path)
    for content, got in (
        ("how are you today,question\nthis is nice,comment\n", "'question' beside texts"),
        ("title,question\nhow are you,question\nthis is nice,comment\n", "'question', which comes again below"),
        ("text\nhow are you\nTEXT\n", "'text', which comes again below"),
        ("text,label\nhow are you,a\ntext,label\nhere I am,b\n", "'text', which comes again below"),
    ):
        path.write_text(content)
        with pytest.raises(
            checks.DataError, match=f"row 1: expected a header, or a text and its class, got {got}; put"
        ):
            datasets.load_texts(path)
    path.write_text("my question is,comment\nwhy is the sky blue,yes\nwho is it that calls,no\n")
    assert datasets.load_texts(path, text_column="my question is").class_names == ("no", "yes")
    path.write_text("label of one,question\nyes,why is the sky blue\nno,who is it that calls\n")
    assert datasets.load_texts(path).class_names == ("no", "yes")


def test_json_lines_that_are_none(tmp_path, refused):
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a", "label": "x"}\n{"text": \n')
    with refused("row 2"):
        datasets.load_texts(path)
    path.write_text("[1]\n")
    with refused("row 1", "list"):
        datasets.load_texts(path)
    path.write_text('{"text": "a", "label": "x"}\n{"label": "x"}\n')
    with refused("row 2", "a text in every row"):
        datasets.load_texts(path)


def test_a_table_of_numbers_has_no_texts(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,label\n1,2,x\n3,4,y\n")
    assert not sentences.looks_like_texts(path)
    path.write_text("Text,label\nab,x\n")
    assert sentences.looks_like_texts(path)


@pytest.mark.parametrize(
    "name",
    ["clinc150", "clinc150:work", "banking77", "snips7", "sentiment:imdb", "sib200:tur_Latn", "xsid:de", "xsid:ja"],
)
def test_published_sets_are_what_the_catalogue_says(data_dir, name):
    about, found = datasets.names()[name], datasets.load(name, data_dir=data_dir)
    assert (about.field, about.classes, about.examples) == ("text", len(found.class_names), found.count)
    assert found.is_text
    assert all(text.strip() == text and text for text in found.inputs.tolist())
    if about.splits:
        parts = [datasets.load(name, data_dir=data_dir, split=split) for split in about.splits]
        assert sum(part.count for part in parts) == found.count
        if name.startswith(("clinc150", "banking77")):
            assert sum(len(part.class_names) for part in parts) == about.classes


def test_clinc150_is_split_by_domain(data_dir):
    domains = json.loads((data_dir / "clinc150" / "domains.json").read_text())
    for split, count in (("train", 6), ("validation", 2), ("test", 2)):
        found = set(datasets.load("clinc150", data_dir=data_dir, split=split).class_names)
        assert sorted(len(found & set(names)) for names in domains.values()) == [0] * (10 - count) + [15] * count


def test_xsid_s_sentences_stay_on_one_side_in_all_languages(data_dir):
    sides = collections.defaultdict(set)
    for language in ("en", "de", "tr"):
        for split in ("train", "validation", "test"):
            for sentence in datasets.load(f"xsid:{language}", data_dir=data_dir, split=split).ids.tolist():
                sides[sentence].add(split)
    assert len(sides) == 625
    assert all(len(splits) == 1 for splits in sides.values())


@pytest.mark.parametrize(("ours", "theirs"), [("xsid:en", "xsid:tr"), ("sib200:eng_Latn", "sib200:deu_Latn")])
def test_no_translation_of_the_support_set_is_asked_about(data_dir, ours, theirs):
    parts = [datasets.load(name, data_dir=data_dir) for name in (ours, theirs)]
    same = tasks.aligned(*parts)
    ours, theirs = (datasets.rows(part, own, "all") for part, own in zip(parts, same, strict=True))
    assert ours.count == theirs.count > 600
    np.testing.assert_array_equal(ours.ids, theirs.ids)
    assert ours.class_names == theirs.class_names
    numbers = [part._replace(inputs=np.arange(part.count) + base) for part, base in ((ours, 0), (theirs, 10_000))]
    sample = tasks.parallel(*numbers, num_ways=5, num_shots=5, num_queries=5)
    episodes = jax.vmap(sample)(jax.random.split(jax.random.key(0), 200))
    shown, asked = np.asarray(episodes.support.inputs), np.asarray(episodes.query.inputs) - 10_000
    assert shown.max() < 10_000
    assert asked.min() >= 0
    for row in range(200):
        assert not set(ours.ids[shown[row]]) & set(theirs.ids[asked[row]])
        labels = (
            np.searchsorted(ours.offsets, shown[row], side="right"),
            np.searchsorted(ours.offsets, asked[row], side="right"),
        )
        np.testing.assert_array_equal(labels[0][::5], labels[1][::5])


def test_identity_is_what_is_said():
    assert (
        datasets.identity("Play  the SONG!") == datasets.identity("play the song") != datasets.identity("play a song")
    )
    assert datasets.identity("?!") == "?!"


def text_inputs(count):
    return {"ids": np.arange(count * 3).reshape(count, 3), "mask": np.ones((count, 3), bool)}


def test_examples_may_be_dicts_of_arrays():
    labels = np.array(["b", "a", "b", "a", "c", "c"])
    found = datasets.from_labels(text_inputs(6), labels, name="tokens")
    assert found.inputs["ids"][:, 0].tolist() == [3, 9, 0, 6, 12, 15]
    assert found.count == 6
    chosen = datasets.select(found, [2, 0], "train")
    assert (chosen.class_names, chosen.inputs["ids"][:, 0].tolist()) == (("c", "a"), [12, 15, 3, 9])
    assert datasets.rows(found, np.array([1, 2]), "some").inputs["ids"][:, 0].tolist() == [9, 0]
    both = datasets.union([found, found._replace(name="other")], name="both")
    assert both.inputs["mask"].shape == (12, 3)
    with pytest.raises(ValueError, match="inputs like those of tokens"):
        datasets.union([found, datasets.from_labels(np.ones((6, 3)), labels, name="other")], name="both")
    with pytest.raises(ValueError, match="one label for each of 5"):
        datasets.from_labels(text_inputs(5), labels, name="tokens")


@pytest.mark.parametrize(
    "sampler",
    [
        lambda found: tasks.few_shot(found, num_ways=2, num_shots=1, num_queries=1),
        lambda found: tasks.variable(found, min_ways=2, max_ways=3, max_shots=2, num_queries=1),
        lambda found: tasks.labelled_batches(found, batch_size=4),
        lambda found: tasks.across(found, found, num_ways=2, num_shots=1, num_queries=1),
        lambda found: tasks.from_arrays(
            [(found.inputs, np.repeat([0, 1, 2], 4).astype(np.int32))], num_shots=4, num_queries=4
        ),
    ],
    ids=["few_shot", "variable", "labelled_batches", "across", "from_arrays"],
)
def test_tasks_of_dicts_of_arrays(sampler):
    found = datasets.from_labels(text_inputs(12), np.repeat([0, 1, 2], 4), name="tokens")
    query = sampler(found)(jax.random.key(0)).query
    assert query.inputs["ids"].dtype == np.int32
    assert query.inputs["ids"].shape == query.inputs["mask"].shape == (len(query.targets), 3)
    assert query.inputs["mask"].dtype == bool
    np.testing.assert_array_equal(query.inputs["ids"][:, 0] % 3, 0)
