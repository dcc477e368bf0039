import numpy as np
import pytest

from jaxmeta import checks, datasets


def written(path, *rows, name="words.tsv"):
    (path / name).write_bytes("\n".join(rows).encode())
    return path / name


def test_pairs_of_a_persons_own(tmp_path):
    path = written(tmp_path, "\ufeffzeit\tt͡s aɪ t\r", "", "da\td aː", "zeit\tz aɪ t", "ü\ty", "u\u0308\ty ː")
    loaded = datasets.load_pairs(path)
    assert loaded.sources == ("zeit", "da", "ü")
    assert loaded.targets == (("t͡s", "aɪ", "t"), ("d", "aː"), ("y",))
    assert loaded.notes == ("2 pairs left out whose source came before",)
    assert loaded.spaced
    assert loaded.name == "words"
    letters = datasets.load_pairs(written(tmp_path, "go\twent", "is\twas"))
    assert letters.targets == (("w", "e", "n", "t"), ("w", "a", "s"))
    assert not letters.spaced


@pytest.mark.fault(promised="targets of one symbol among those with blanks are said; most of them are refused")
def test_blanks_are_in_all_targets_or_in_none(tmp_path):
    rows = ["ab\tba", "abc\tcba", "bca\tacb", "aa\ta a"]
    with pytest.raises(checks.DataError, match="or of none, got none in 3 of 4, such as 'ba'; put blanks between all"):
        datasets.load_pairs(written(tmp_path, *rows))
    loaded = datasets.load_pairs(written(tmp_path, "ab\tba", "i\ti", "aa\ta a", "ac\ta c"))
    assert loaded.targets == (("ba",), ("i",), ("a", "a"), ("a", "c"))
    assert loaded.notes == ("1 targets without a blank are one symbol each, such as 'ba'",)


@pytest.mark.fault(promised="a header is left out, and said")
def test_a_header_is_no_pair(tmp_path):
    rows = "Word\tPronunciation", "da\td a"
    loaded = datasets.load_pairs(written(tmp_path, *rows))
    assert (loaded.sources, loaded.notes) == (("da",), ("a header 'Word, Pronunciation' left out",))
    said = []
    with datasets.files.watched(lambda items, count, what: items, said.append):
        assert datasets.load_sources(written(tmp_path, *rows)) == ["da"]
        assert datasets.load_sources(written(tmp_path, "word", "da")) == ["word", "da"]
    assert said == [
        "read words.tsv, inputs: 1 strings; a header 'Word, Pronunciation' left out",
        "read words.tsv, inputs: 2 strings; the first of them is 'word', which may be a header",
    ]


def test_parts_hang_on_the_words_alone(tmp_path):
    rows = [f"w{number}\ta b" for number in range(50)]
    one, other = (datasets.load_pairs(written(tmp_path, *each)) for each in (rows, rows[::-1]))
    assert dict(zip(one.sources, one.parts, strict=True)) == dict(zip(other.sources, other.parts, strict=True))
    assert [(one.parts == part).sum() for part in ("train", "validation", "test")] == [40, 5, 5]
    kept = one.rows(one.parts == "test", "the others")
    assert len(kept.sources) == len(kept.targets) == len(kept.parts) == 5
    assert kept.notes == ("the others",)


def test_a_language_of_g2p(tmp_path):
    folder = tmp_path / "g2p"
    folder.mkdir()
    with pytest.raises(checks.DataError, match=r"g2p:ita: expected ita_train.tsv.*not all of them.*JAXMETA_DATA"):
        datasets.load_pairs("g2p:ita", data_dir=tmp_path)
    for part, rows in {"train": ["a\ta", "b\tb i"], "dev": ["c\tt͡ʃ i", "a\te"], "test": ["d\td i"]}.items():
        written(folder, *rows, name=f"ita_{part}.tsv")
    loaded = datasets.load_pairs("g2p:ita", data_dir=tmp_path)
    assert loaded.sources == ("a", "b", "c", "d")
    assert list(loaded.parts) == ["train", "train", "validation", "test"]
    assert loaded.targets[0] == ("a",)
    assert len(loaded.checksums) == 3
    assert "g2p:ita" in datasets.found(tmp_path)
    assert "g2p:slv" not in datasets.found(tmp_path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a\tb", "c d"], "row 2: expected two columns with a tab.*got 1"),
        (["a\tb", "", "c\t"], "row 3: .*an empty target"),
        (["a\tb\tc"], "row 1: .*got 3"),
        ([], "an empty file"),
    ],
)
def test_what_is_wrong_is_named(rows, message, tmp_path):
    path = written(tmp_path, *rows)
    with pytest.raises(checks.DataError, match=message) as caught:
        datasets.load_pairs(path)
    assert str(path) in str(caught.value)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "latin.tsv").write_bytes("müde\tx".encode("latin-1"))
    with pytest.raises(checks.DataError, match="UTF-8"):
        datasets.load_pairs(tmp_path / "latin.tsv")
    with pytest.raises(checks.DataError, match="no such file"):
        datasets.load_pairs(tmp_path / "none.tsv")
    with pytest.raises(ValueError, match="expected g2p:LANGUAGE"):
        datasets.load_pairs("g2p:xxx")
    with pytest.raises(checks.DataError, match="at least one string, got none"):
        datasets.load_sources(written(tmp_path, "", name="empty.txt"))
    assert datasets.load_sources(written(tmp_path, "a b\tc", "d", name="new.txt")) == ["a b", "d"]
    assert np.array_equal(datasets.load_pairs(written(tmp_path, "a\tb")).parts, ["train"])
