import pytest

from jaxmeta import checks, datasets


def written(path, text, name="own.conll"):
    (path / name).parent.mkdir(parents=True, exist_ok=True)
    (path / name).write_text(text, encoding="utf-8")
    return path / name


def test_a_file_of_a_persons_own(tmp_path):
    loaded = datasets.load_tagged(written(tmp_path, "\ufeffAda\tB-per\nwrote\tO\n\n\nin NN O\nNew York B-loc\n"))
    assert loaded.words == (("Ada", "wrote"), ("in", "New"))
    assert loaded.tags == (("B-per", "O"), ("O", "B-loc"))
    assert loaded.types == ("loc", "per")
    assert loaded.ids == ("0", "1")


def test_published_sets(tmp_path):
    written(tmp_path, "a\tB-x\n", "crossner/ai/train.txt")
    xsid = "# id = 7\n# text = a b\n1\ta\tfind\tO\n2\tb\tfind\tB-time\n\n# text = 3 c\n1\t3\tfind\tO\n2\t#\tfind\tO\n"
    written(tmp_path, xsid, "xsid/de.test.conll")
    assert datasets.load_tagged("crossner:ai", data_dir=tmp_path).words == (("a",),)
    loaded = datasets.load_tagged("xsid:de", "test", data_dir=tmp_path)
    assert loaded.words == (("a", "b"), ("3", "#"))
    assert loaded.tags == (("O", "B-time"), ("O", "O"))
    assert loaded.ids == ("7", "1")
    assert list(loaded.checksums) == ["de.test.conll"]


@pytest.mark.fault(promised="a first column is a counter where it counts the words of every sentence, else words")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ada NNP B-per\nwrote VBD O\n3000 CD B-num\n", ("Ada", "wrote", "3000")),
        ("1 Ada B-per\n2 1984 B-num\n", ("Ada", "1984")),
        ("1984 CD B-num\n", ("1984",)),
        ("1 O\n2 B-num\n", ("1", "2")),
    ],
)
def test_numbers_are_words_or_count_them(text, words, tmp_path):
    path = written(tmp_path, text)
    assert datasets.load_tagged(path).words == (words,)
    assert datasets.load_words(path) == (words,)


@pytest.mark.fault(promised="the counter of two columns is none of the words, and that is said")
@pytest.mark.parametrize("blank", ["\t", " "])
def test_words_are_counted_without_tags(blank, tmp_path):
    said = []
    path = written(tmp_path, f"1{blank}Ada\n2{blank}3\n\n1{blank}Bob\n")
    with datasets.files.watched(lambda items, count, what: items, said.append):
        assert datasets.load_words(path) == (("Ada", "3"), ("Bob",))
    assert said == ["read own.conll, inputs: 3 words in 2 sentences; column 1 counts the words"]


@pytest.mark.fault(promised="one line names the row; no word of a sentence is taken for all of it")
@pytest.mark.parametrize(
    "text", ["Ada went off\n", "Ada went off\nBob ran home\n", "1 apple a\n2 pears a\n", "Ada NNP\n"]
)
def test_lines_of_sentences_are_refused(text, tmp_path):
    with pytest.raises(
        checks.DataError, match=r"row 1: expected a word a line, got \d words; write each word in a line"
    ):
        datasets.load_words(written(tmp_path, text))


@pytest.mark.fault(
    promised="# with as many columns as others and a tag is a word; other lines that it begins are comments"
)
def test_a_word_may_be_a_hash(tmp_path):
    path = written(
        tmp_path, "# a note of more words\n# SYM O B-sign\nAda NNP O B-per\n\n# id = 7\nBob NNP O O\n# SYM O O\n"
    )
    loaded = datasets.load_tagged(path)
    assert loaded.words == datasets.load_words(path) == (("#", "Ada"), ("Bob", "#"))
    assert loaded.ids == ("0", "7")
    assert datasets.load_words(written(tmp_path, "# a note\nAda\n#\n")) == (("Ada", "#"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 a O\n3 b B-x\n", "column 1: expected words, or a counter of them in every sentence, got 1, 3; number the"),
        ("1 a O\n2-3 b O\n2 c B-x\n", "column 1: expected words, or a counter of them in every .*, got 1, 2-3, 2"),
        ("a B-O\n", "row 1: expected a type that is not called as no mention is, got 'B-O'; give it another name"),
        ("a\tO\nb\n", "row 2: expected a word and its tag, got 1"),
        ("\na X\n", "row 2: .*'X'"),
        ("\n", "an empty file"),
        ("a B-PER\nb B-per\n", "expected one spelling for a type, got 'per' beside 'PER'"),
    ],
)
def test_what_is_wrong_is_named(text, message, tmp_path):
    with pytest.raises(checks.DataError, match=message):
        datasets.load_tagged(written(tmp_path, text))


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("crossner:xx", "train", "one of ai, literature"),
        ("crossner:ai", "valid", "split: expected one of train, dev, test"),
        ("xsid:en", "train", "one of valid, test"),
        ("xsid:en", "test", r"xsid:en: expected xsid/en.test.conll, got no such file"),
        ("nowhere.conll", "train", "no such file"),
    ],
)
def test_what_is_not_there(name, split, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        datasets.load_tagged(name, split, data_dir=tmp_path)


@pytest.mark.fault(promised="left out and said outside of mentions, as published files have it; refused within")
def test_a_row_without_a_word(tmp_path):
    path = tmp_path / "own.conll"
    path.write_text("1\tParis\tB-loc\n2\t\tO\n3\tshines\tO\n\n1\t\tO\n")
    found = datasets.load_tagged(path)
    assert (found.words, found.tags) == ((("Paris", "shines"),), (("B-loc", "O"),))
    assert found.notes == ("2 rows without a word left out",)
    path.write_text("1\tParis\tO\n2\t\tB-loc\n")
    with pytest.raises(checks.DataError, match="row 2: expected a word, got none"):
        datasets.load_tagged(path)
