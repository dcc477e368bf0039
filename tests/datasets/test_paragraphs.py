import json

import numpy as np
import pytest

from jaxmeta import checks, datasets
from jaxmeta.datasets.questions import sentences


def written(folder, *articles, name="own.json"):
    path = folder / name
    path.write_text(json.dumps({"data": [{"title": "t", "paragraphs": list(own)} for own in articles]}))
    return path


def paragraph(text, *asked):
    answers = [{"id": each, "question": f"{each}?", "answers": [{"text": said, "answer_start": text.index(said)}]}
               for each, said in asked]  # fmt: skip
    return {"context": text, "qas": answers}


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Mr. Hill left the U.S. Army. Why? Nobody knows.", ["Mr. Hill left the U.S. Army.", "Why?", "Nobody knows."]),
        (
            "Im 19. Jahrhundert kam J. Watt. „Gut.“ Er blieb.",
            ["Im 19. Jahrhundert kam J. Watt.", "„Gut.“", "Er blieb."],
        ),
        ("他来了。“她走了！”为什么？", ["他来了。", "“她走了！”", "为什么？"]),
        (
            "It cost 3.5 dollars in 2010. No more... and less. .",
            ["It cost 3.5 dollars in 2010.", "No more... and less."],
        ),
    ],
)
def test_sentences(text, pieces):
    found = sentences(text)
    assert [piece for _, piece in found] == pieces
    assert all(text[start:].startswith(piece) for start, piece in found)


def test_answers_are_the_sentences_in_which_they_begin(tmp_path):
    first = paragraph("One is here. Two is there. Three.", ("a", "One"), ("b", "Three"), ("c", "here. Two"))
    second, alone = paragraph("No. Yes.", ("d", "Yes")), paragraph("Alone.", ("e", "Alone"))
    loaded = datasets.load_questions(written(tmp_path, [first, alone], [second]))
    assert loaded.paragraphs == (("One is here.", "Two is there.", "Three."), ("No.", "Yes."))
    assert loaded.questions == ("a?", "b?", "c?", "d?")
    assert (loaded.about.tolist(), loaded.answers.tolist()) == ([0, 0, 0, 1], [0, 2, 0, 1])
    assert (loaded.ids, loaded.name) == (("a", "d"), "own")
    assert loaded.notes == ("1 paragraphs of one sentence left out",)
    kept = loaded.rows(np.array([False, True]))
    assert (kept.questions, kept.paragraphs, kept.about.tolist(), kept.ids) == (
        ("d?",),
        (("No.", "Yes."),),
        [0],
        ("d",),
    )


def test_translations_and_whole_articles_are_on_one_side(tmp_path):
    def made(word, order):
        articles = [[paragraph(f"{word}. {word} {a} {p}.", (f"{a}-{p}", word)) for p in range(3)] for a in range(8)]
        return written(tmp_path, *articles[::order], name=f"{word}.json")

    one, other = (datasets.load_questions(made(*each)) for each in (("Hund", 1), ("Dog", -1)))
    side = dict(zip(one.ids, one.parts, strict=True))
    assert side == dict(zip(other.ids, other.parts, strict=True))
    assert all(len({side[f"{a}-{p}"] for p in range(3)}) == 1 for a in range(8))
    assert [(one.parts == part).sum() for part in ("train", "validation", "test")] == [12, 6, 6]


def test_what_is_wrong_is_named(tmp_path):
    with pytest.raises(checks.DataError, match=r"xquad:de: expected xquad.de.json, got no such file.*JAXMETA_DATA"):
        datasets.load_questions("xquad:de", data_dir=tmp_path)
    with pytest.raises(ValueError, match="xquad:xx: expected one of"):
        datasets.load_questions("xquad:xx")
    with pytest.raises(checks.DataError, match=r"none: expected a JSON file of questions, or xquad:LANGUAGE"):
        datasets.load_questions("none")
    wrong = paragraph("One. Two.", ("a", "Two"))
    wrong["qas"][0]["answers"][0]["answer_start"] = 2
    with pytest.raises(checks.DataError, match=r"question a: expected the answer 'Two' at 2, got 'e. '"):
        datasets.load_questions(written(tmp_path, [wrong]))
    with pytest.raises(checks.DataError, match="question a: expected a question and an answer, got none"):
        datasets.load_questions(written(tmp_path, [{"context": "One. Two.", "qas": [{"id": "a", "question": "b"}]}]))
    with pytest.raises(checks.DataError, match="questions about paragraphs of two sentences"):
        datasets.load_questions(written(tmp_path, [paragraph("One.", ("a", "One"))]))
    (tmp_path / "own.json").write_text('{"data": [{"title": 1}]}')
    with pytest.raises(checks.DataError, match="expected SQuAD's"):
        datasets.load_questions(tmp_path / "own.json")
    (tmp_path / "own.json").write_text("{")
    with pytest.raises(checks.DataError, match=r"own\.json"):
        datasets.load_questions(tmp_path / "own.json")


def test_xquad_is_one_set_in_five_languages(real_data):
    loaded = [datasets.load_questions(f"xquad:{language}", data_dir=real_data) for language in ("en", "zh")]
    sides = [dict(zip(each.ids, each.parts, strict=True)) for each in loaded]
    common = sides[0].keys() & sides[1].keys()
    assert len(common) > 225
    assert all(sides[0][each] == sides[1][each] for each in common)
    assert [len(each.questions) for each in loaded] == [1148, 1152]
