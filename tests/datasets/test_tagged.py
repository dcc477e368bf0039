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


@pytest.mark.parametrize(
    ("text", "message"),
    [
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
