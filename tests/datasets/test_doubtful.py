"""Files that may be meant otherwise than they stand: read with a word on it, or refused, and never taken silently."""

import json
import shutil
import unicodedata

import numpy as np
import pytest
from PIL import Image

from jaxmeta import checks, datasets
from jaxmeta.datasets import Form, files
from jaxmeta.recipes.kinds import facts

READ = "read, and what was left out or taken for granted is said"


@pytest.fixture
def write(tmp_path):
    def write(content, name="table.csv"):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / name

    return write


def column(cells):
    """A table of one feature."""
    return "v,label\n" + "".join(f'"{cell}",{"ab"[index % 2]}\n' for index, cell in enumerate(cells))


def rows(template, count=24):
    return "".join(
        template.format(i=i, odd=i % 2, x=i * i / 7, letter="ab"[i % 2], part=("train", "train", "test")[i % 3]) + "\n"
        for i in range(count)
    )


HEADER, EITHER = "data below the header, got what reads as a header", "a header of names, or a row of data"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# by hand, in 2020\ncolour,label\nred,a\nblue,b\nred,a\nblue,b\n", HEADER),
        ("My study,\ncolour,label\nred,a\nblue,b\nred,a\nblue,b\n", HEADER),
        ("size,label\nbig,a\nlow,b\nsize,label\nbig,a\nlow,b\n", f"row 4: expected {HEADER}"),
        ("y,n,a\nn,n,b\nn,y,a\nn,y,b\n", EITHER),
        ("y,1,a\nn,2,b\nn,3,a\nn,4,b\n", EITHER),
        ('x,label\n1,a\n2,"b\n3,a\n4,b\n', "row 3: expected comma-separated text, got unexpected end of data"),
        ('x,label\n1,"a\n2,b\n3,"b\n4,a\n', "end every quote in its own cell"),
        ('name,x,label\n"q,1,a\nr,2,b\ns",3,a\nt,4,b\n', "one row, got several in one pair of quotes"),
        ("x,label\n1,a\n2,b\n1,a\n2,b\n".encode("utf-16-le"), "UTF-8 text, got a NUL byte in line 1"),
        ("x,label\n1,a\n2,b\n".encode("utf-32"), "UTF-8 text, got a NUL byte"),
        (b"x,label\n1,a\n2,b\n\0\0\0\0", "UTF-8 text, got a NUL byte in line 4"),
        (rows("{odd},{odd},{letter}", 8).replace("a", "0").replace("b", "1"), "measurements in the last"),
        (rows("{letter},{x},{letter}", 8), "measurements in the last"),
        ("".join(f"{i % 10},0,{i * 37 % 256},0\n" for i in range(40)), "measurements in the last"),
        *((f"x,label\n1,{a}\n2,{b}\n3,zz\n", f"one spelling for a class, got {b!r} beside {a!r}")
          for a, b in (("1.5", "1.50"), ("+1", "1"), ("1e0", "1"), ("0", "-0"), ("-01", "-1"), (".5", "0.5"),
                       ("A", "\uff21"), ("1", "\uff11"), ("yes", "Yes"), ("\u201ca\u201d", "a"), ("\u00df", "ss"))),
        ("x,label\n1,a|b\n2,a\n3,b\n", "got 'a|b', which are 2 classes"),
        ("x,label\n1,a+b\n2,a\n3,b\n", "got 'a+b', which are 2 classes"),
        *((f"x,label\n1,a\n2,a\n3,{word}\n", f"a class or value in every row, got {word!r}")
          for word in ("\\N", "#DIV/0!", "#VALUE!", "#REF!", "(null)", "[null]", "<null>", "n.a.", "N.D.", "nil",
                       "1.#QNAN", "\u2014", "...", "missing", "undefined")),
    ],
)  # fmt: skip
def test_tables_that_may_be_read_otherwise(write, refused, text, words):
    with refused("table.csv", words):
        datasets.load(write(text))


@pytest.mark.parametrize(
    "cells",
    [
        ["\u22125", "\u22123", "\u22124"], ["5 cm", "7 cm", "6.5 cm"], ["5kg", "7kg", "800g"], ["<5", "<7", "<6"],
        ["\u22655", "\u22657", "\u22656"], ["~5", "~7", "~6"], ["\u00a55", "\u00a57", "\u00a56"],
        ["USD 5", "USD 7", "USD 6"], ["5\u00b0C", "7\u00b0C", "6\u00b0C"], ["(5)", "(7)", "(6)"],
        ["5\u00b11", "7\u00b11", "6\u00b11"], ["1,000,000", "2,000,000", "3,000,000"], ["1_000", "2_000", "3_000"],
        ["5K", "7K", "1M"], ["120/80", "130/85", "140/90"], ["31 Jan 2020", "1 Feb 2020", "2 Mar 2020"],
        ["Jan 31, 2020", "Feb 1, 2020", "Mar 2, 2020"], ["12:30 PM", "1:30 PM", "2:30 PM"],
        ["1h 30m", "2h 10m", "3h 5m"], ["5x10^3", "6x10^3", "7x10^3"], ["1.5D3", "2.5D3", "3.5D3"],
        ["1+2j", "2+3j", "3+4j"], ["48.1N", "47.3N", "46.2N"], ["[1, 2]", "[2, 3]", "[3, 4]"], ["'5", "'7", "'6"],
        ["5-", "7-", "6-"], ["\u00bd", "1\u00bc", "2\u00be"],
    ],
)  # fmt: skip
@pytest.mark.fault(promised="amounts, dates and lists are no categories")
def test_what_people_take_for_a_number(write, refused, cells):
    with refused("table.csv, row 2, column 1 (v)", "expected a finite number", "texts that are no numbers"):
        datasets.load(write(column(cells)))


@pytest.mark.parametrize(
    "cells", [["1st", "2nd", "3rd"], ["0x1F", "0x2A", "0x3B"], ["A1", "A2", "A3"], ["5a", "5b", "6a"], ["2wd", "4wd"]]
)
def test_categories_with_numbers_in_them(write, cells):
    assert datasets.load(write(column(cells))).columns[0].categories == tuple(sorted(cells))


@pytest.mark.parametrize(
    ("text", "names", "note"),
    [
        ("x,target,species\n" + rows("{x},{odd},{letter}"), ["x"], "'species' left out, since it says the class again"),
        ("x,label,label_text\n" + rows("{x},{odd},{letter}"), ["x"], "'label_text' left out"),
        ("x,class_code,class\n" + rows("{x},{odd},{letter}"), ["x"], "'class_code' left out"),
        ("x,part,label\n" + rows("{x},{part},{letter}"), ["x"], "'part' left out, since it says which rows train"),
        ("x,v,label\n" + rows("{x},R{odd},{letter}").replace("R0", "red", 1).replace("R0", "Red"), ["x", "v"],
         "column 'v' has 'red' beside 'Red'"),
    ],
)  # fmt: skip
@pytest.mark.fault(promised=READ)
def test_columns_that_are_no_features(write, text, names, note):
    loaded = datasets.load(write(text))
    assert [each.name for each in loaded.columns] == names
    assert note in loaded.notes[-1]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("P{i},{x},{letter}", "it names the rows"),
        ("P{odd},{x},{letter}", "it names 2 things in 24 rows: rows of one may be shown and asked about"),
        (",{x},{letter}", "it is empty"),
        ("1,{x},{letter}", "it names 1 thing in 24 rows"),
    ],
)
@pytest.mark.fault(promised="left out, and whether it names rows or what comes in several of them is said")
def test_what_ids_name(write, row, why):
    for name in ("patient_id", "ID"):
        (note,) = datasets.load(write(f"{name},x,label\n" + rows(row))).notes
        assert note.startswith(f"column '{name}' left out, since {why}")


TOLD = "read as it stands, and what may be meant otherwise is said"
SAYS = "column 'v' says the class: each has one value of its own"


def labelled(cells, labels):
    return "x,v,label\n" + "".join(
        f"{index * index % 17},{cell},{label}\n" for index, (cell, label) in enumerate(zip(cells, labels, strict=True))
    )


@pytest.mark.parametrize(
    ("cells", "labels", "note"),
    [
        ("ab" * 10, "ab" * 10, SAYS),
        ("01" * 10, "ba" * 10, SAYS),
        (["1", "2.0"] * 5 + ["1.0", "2"] * 5, "ab" * 10, SAYS),
        (["yes", ""] * 10, "ab" * 10, SAYS),
        (range(1001, 1021), "a" * 12 + "b" * 8, "column 'v' rises with the rows, which are sorted by class"),
        (range(0, 40, 2), "b" * 8 + "a" * 12, "column 'v' rises with"),
        (range(120, 100, -1), "a" * 10 + "b" * 10, "column 'v' falls with"),
        ([index / 2 for index in range(20)], "a" * 10 + "b" * 10, "column 'v' rises with"),
    ],
)
@pytest.mark.fault(promised=TOLD)
def test_columns_that_give_the_class_away(write, cells, labels, note):
    loaded = datasets.load(write(labelled(cells, labels)))
    assert [each.name for each in loaded.columns] == ["x", "v"]
    assert len(loaded.notes) == 1
    assert loaded.notes[0].startswith(note)
    assert not datasets.load(write(labelled(cells, labels)), columns=["x", "v"]).notes


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        ("ab" * 4, "ab" * 4),  # so few may fit by chance
        ("ab" * 9 + "aa", "ab" * 10),
        ("ab" * 10, "ab" * 8 + "cbab"),
        (range(1001, 1021), "ab" * 10),
        ([*range(1001, 1020), 1019], "a" * 10 + "b" * 10),
        (range(1001, 1011), "a" * 9 + "b"),
    ],
)
def test_columns_that_may_say_something(write, cells, labels):
    assert not datasets.load(write(labelled(cells, labels))).notes


@pytest.mark.parametrize(
    ("cells", "note"),
    [
        ([23, 41, 35, 29, 38, -999, -999, -999, 44], "column 'v': 3 cells are -999, far from all others; leave cells"),
        ([0, 1, 1, 0, 0, 1, -9, 1], "column 'v': 1 cell is -9"),
        ([1.5, 2.5, 3.5, 2, 3, "99.0", "nan", 4], "column 'v': 1 cell is 99"),
        ([1, 2, 3, 4, 5, -9999, 9999, 9999], "column 'v': 2 cells are 9999"),
    ],
)
@pytest.mark.fault(promised=TOLD)
def test_codes_for_what_is_missing(write, cells, note):
    loaded = datasets.load(write(column(cells)))
    assert loaded.notes[-1].startswith(note)
    np.testing.assert_array_equal(np.sort(loaded.inputs[:, 0]), np.sort(list(map(float, cells))))
    there = [cell for cell in cells if cell != "nan"]
    targets = "v,y\n" + "".join(f"{index * index % 7},{cell}\n" for index, cell in enumerate(there))
    table = datasets.load_table(write(targets), target_column="y")
    assert table.notes[-1].startswith(note.partition(";")[0].replace("column 'v'", "target 'y'"))
    said = facts.line(facts.of_table(table, np.arange(len(there)), "all"))
    assert f"target 'y'; targets in {table.targets.min():g} to {table.targets.max():g}; 1 features" in said


@pytest.mark.fault(promised=TOLD)
def test_codes_in_what_is_to_be_predicted(write):
    told = []
    path = write("v\n" + "".join(f"{cell}\n" for cell in (1, 2, 3, 4, 5, 99)))
    with files.watched(lambda items, *_: items, told.append):
        datasets.load_inputs(path, columns=["v"])
    assert told == [
        "read table.csv, inputs: 6 rows; column 'v': 1 cell is 99, far from all others; leave cells empty that are "
        "missing"
    ]


@pytest.mark.parametrize("cells", [[*range(0, 101, 20), 99], [1, 2, 3, 4, 99], [5] * 8 + [99], [1, 2, 3, 4, 5, 100]])
def test_numbers_that_are_no_codes(write, cells):
    assert not datasets.load(write(column(cells))).notes


def test_a_column_that_says_which_rows_train(write):
    path = write("x,split,label\n" + rows("{x},{part},{letter}"))
    parts = {split: datasets.load(path, split=split) for split in ("train", "validation", "test")}
    assert {split: part.count for split, part in parts.items()} == {"train": 12, "validation": 4, "test": 8}
    np.testing.assert_allclose(np.sort(parts["test"].inputs[:, 0]), np.arange(2, 24, 3) ** 2 / 7, rtol=1e-6)
    assert datasets.load(path, columns=["x", "split"]).parts is None
    assert "values are shared out anew" in datasets.load_table(path, target_column="x", columns=()).notes[-1]


@pytest.mark.parametrize(
    "content",
    [
        "x,label\r1,a\r2,b\r",
        "x,label\n1,a\n\ufeff2,b\n",
        'x,label\n="1",a\n="2",b\n',
        "x,label\n1,a\u200b\n2,\u2060b\n",
    ],
)
@pytest.mark.fault(promised="read as it is meant")
def test_what_files_have_that_nobody_sees(write, content):
    loaded = datasets.load(write(content))
    np.testing.assert_array_equal(loaded.inputs, [[1], [2]])
    assert (loaded.class_names, loaded.columns[0].name) == (("a", "b"), "x")


@pytest.mark.parametrize(("ours", "theirs"), [("NFC", "NFD"), ("NFD", "NFC")])
@pytest.mark.fault(promised="one name, whatever its form of Unicode")
def test_names_of_columns_and_categories_in_two_forms(write, ours, theirs):
    text = "gr\u00f6\u00dfe,farbe,art\n1,gr\u00fcn,a\n2,rot,b\n3,gr\u00fcn,a\n4,rot,b\n"
    path = write(unicodedata.normalize(ours, text).replace("3,", "3,", 1))
    options = {"columns": [unicodedata.normalize(theirs, "gr\u00f6\u00dfe"), "farbe"], "target_column": "art"}
    loaded = datasets.load(path, **options)
    query = write(unicodedata.normalize(theirs, "farbe,gr\u00f6\u00dfe\ngr\u00fcn,1\nrot,2\n"), "query.csv")
    np.testing.assert_array_equal(datasets.load_inputs(query, columns=loaded.columns)[1], [[1, 0], [2, 1]])


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("x,c\n1,RED\n2,Blue\n", "the spelling of the labelled rows, got 'RED' beside 'red'"),
        ("x,c\n1,0\n2,1\n", "categories as in the labelled rows, such as 'blue', got '0'"),
        ("x,c\n1,re\u00add\n", "the spelling of the labelled rows"),
    ],
)
def test_categories_that_are_written_otherwise(write, refused, query, words):
    labelled = datasets.load(write("x,c,label\n1,red,a\n2,blue,b\n3,red,a\n4,blue,b\n"))
    with refused("query.csv, row 2, column 2 (c)", words):
        datasets.load_inputs(write(query, "query.csv"), columns=labelled.columns)


def test_columns_of_pandas_numbers_go_by_their_names(write, refused):
    labelled = datasets.load(write(",0,1,label\n" + rows("{i},{x},{odd},{letter}")))
    _, inputs = datasets.load_inputs(write("1,0,label\n7,10,a\n8,20,b\n", "query.csv"), columns=labelled.columns)
    np.testing.assert_array_equal(inputs, [[10, 7], [20, 8]])
    with refused("query.csv, row 1", EITHER):
        datasets.load_inputs(write("1,0\n7,10\n8,20\n", "query.csv"), columns=labelled.columns)


@pytest.mark.parametrize("kind", ["feature", "value", "npz", "whole"])
@pytest.mark.fault(promised="refused where float32 would make equal what is not")
def test_numbers_that_float32_does_not_tell_apart(write, tmp_path, refused, kind):
    seconds = 1_700_000_000 + np.arange(40) * 7 % 90
    lines = "".join(f"{value},{index}\n" for index, value in enumerate(seconds))
    with refused("numbers that float32 tells apart", "subtract the smallest"):
        if kind in ("npz", "whole"):  # float64 makes numbers near 2^60 equal that differ by less than 256
            inputs = (seconds - seconds[0] + 2**60 if kind == "whole" else seconds)[:, None]
            np.savez(tmp_path / "set.npz", inputs=inputs, labels=np.arange(40) % 2)
            datasets.load(tmp_path / "set.npz")
        elif kind == "value":
            datasets.load_table(write("y,x\n" + lines))
        else:
            datasets.load_table(write("x,y\n" + lines))


BYTES = np.random.default_rng(0).integers(0, 256, (8, 6, 6), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": BYTES[:, None].repeat(3, 1)}, "got images of shape (8, 3, 6, 6) alone"),
        ({"images": BYTES[..., None].repeat(4, 3)}, "got images of shape (8, 6, 6, 4) alone"),
        ({"inputs": BYTES / 9, "y": np.arange(8)}, "labels [N], got an array 'y'; save it as labels"),
        ({"inputs": BYTES / 9, "targets": np.arange(8)}, "labels [N], got an array 'targets'"),
        ({"images": BYTES, "labels": np.array(["a", "a ", "b", "b"] * 2)}, "one spelling for a class, got 'a ' beside"),
        ({"images": BYTES, "labels": np.array(["\u00e9", "e\u0301"] * 4)}, "one spelling for a class"),
        ({"images": BYTES, "labels": np.arange(8) % 2, "class_names": np.array(["\u00e9", "e\u0301"])}, "one spelling"),
    ],
)
def test_arrays_that_may_be_read_otherwise(tmp_path, refused, arrays, words):
    np.savez(tmp_path / "set.npz", **arrays)
    with refused("set.npz", words):
        datasets.load(tmp_path / "set.npz")


TEXTS = ("good day to you", "bad day to you", "fine day to you", "poor day to you")


def lines(labels, **fields):
    given = [{"text": text, "label": label, **fields} for text, label in zip(TEXTS, labels, strict=True)]
    return "".join(json.dumps(each) + "\n" for each in given)


def lines_of(labels):
    return "".join(f"{text},{label}\n" for text, label in zip(TEXTS, labels, strict=False))


SAID = "".join(f"{text},{'ab'[index % 2]}\n" for index, text in enumerate(TEXTS))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("texts.jsonl", lines(["Pos", "neg", "pos", "neg"]), "one spelling for a class, got 'pos' beside 'Pos'"),
        ("texts.jsonl", lines([["a"], ["b"], ["a"], ["b"]]), "one class, got a list or an object"),
        ("texts.jsonl", lines([{"a": 1}, "b", "a", "b"]), "one class, got a list or an object"),
        ("texts.jsonl", lines("abab").replace('"good day to you"', '["good", "day"]'), "a text, got a list"),
        ("texts.jsonl", lines("abab") + "\0\0", "got a NUL byte in line 5"),
        ("texts.csv", "tweet,airline\n" + SAID, "row 1, column 2", ),
        ("texts.csv", "Satz,Absicht\n" + lines_of("ab"), "got 'Satz' of the class 'Absicht', which comes once"),
        ("texts.csv", "Der Satz,Absicht\n" + lines_of("aba"), "put text,label above examples, or call these"),
        ("texts.csv", "text,label\n" + SAID + "more days to come,A\n", "got 'A' beside 'a'"),
        ("texts.csv", 'text,label\none day,a\n"two days,b\nthree days,a\n', "unexpected end of data"),
        ("texts.csv", ("text,label\n" + SAID).encode("utf-16-le"), "got a NUL byte"),
    ],
)  # fmt: skip
def test_texts_that_may_be_read_otherwise(write, refused, name, content, words):
    with refused(name, words):
        datasets.load_texts(write(content, name))


@pytest.mark.parametrize(
    "labels", [(1, 0, 1.0, 0), (1, 0, "1", 0), ("a", "b", " a", "b"), ("\u00e9", "b", "e\u0301", "b")]
)
@pytest.mark.fault(promised="one class, however it is written")
def test_one_class_of_texts_is_one(write, labels):
    assert np.diff(datasets.load_texts(write(lines(labels), "texts.jsonl")).offsets).tolist() == [2, 2]


@pytest.mark.parametrize("content", [lines_of("ab"), lines_of("abab"), "hello there,a\n" + lines_of("ab")])
def test_texts_without_a_header_may_show_each_class_once(write, content):
    assert datasets.load_texts(write(content, "texts.csv")).class_names == ("a", "b")


def test_a_header_of_other_words_is_no_text_to_predict(write, refused):
    content = "Satz,Nummer\n" + "".join(f"{text},{place}\n" for place, text in enumerate(TEXTS))
    with refused("row 1, column 1", "a text, or a header that says text, got 'Satz', shorter than all others"):
        datasets.load_text_inputs(write(content, "texts.csv"))
    assert datasets.load_text_inputs(write(content, "texts.csv"), text_column="Satz")[0] == [*"0123"]
    assert len(datasets.load_text_inputs(write("hello\n" + "\n".join(TEXTS), "texts.txt"))[1]) == 5
    assert len(datasets.load_text_inputs(write("hello\nhi\n" + "\n".join(TEXTS), "texts.csv"))[1]) == 6


def test_texts_with_parts_of_their_own(write):
    path = write("text,label,split\n" + "".join(f"{text},a,train\n{text} too,b,test\n" for text in TEXTS), "texts.csv")
    assert datasets.load_texts(path, split="test").inputs.tolist() == [f"{text} too" for text in TEXTS]
    assert "parts of column 'split'" in datasets.load_texts(path).notes


def test_tabs_between_quotes_that_are_text(write):
    path = write('text\tlabel\n"Hello" he said to me\ta\nshe said no to me\tb\n', "texts.tsv")
    assert datasets.load_texts(path).inputs[0] == '"Hello" he said to me'
    path.write_text(path.read_text().rstrip())
    assert len(datasets.load_texts(path).inputs) == 2


@pytest.mark.parametrize(
    "content", ["one\u2028day\ntwo\x85days\nthree\x0bdays\n", "1\r2\r3", "1\n2\n3\n".encode("utf-16")]
)
@pytest.mark.fault(promised="a text a line, and no line more")
def test_lines_of_a_text(write, content):
    assert len(datasets.load_text_inputs(write(content, "texts.txt"))[1]) == 3


@pytest.mark.parametrize(
    ("name", "content", "places"),
    [
        ("texts.txt", "a\n\nb\n\n\nc\n\n", [0, 2, 5]),
        ("texts.txt", "\n \na\nb\nc", [2, 3, 4]),
        ("texts.csv", "text\na b\n\n\nb a\nc b\n", [0, 3, 4]),
        ("texts.csv", 'text,n\n"a\nb",1\n,\nb,2\nc,3\n,\n', [0, 2, 3]),
        ("texts.jsonl", '{"text": "a"}\n\n{"text": "b"}\n{"text": "c"}\n', [0, 2, 3]),
    ],
)
@pytest.mark.fault(promised="blank rows are counted in the names of the others")
def test_positions_of_texts_count_blank_lines(write, name, content, places):
    names, texts = datasets.load_text_inputs(write(content, name))
    assert (names, [text[0] for text in texts]) == ([*map(str, places)], ["a", "b", "c"])


def picture(path, pixels=None, seed=0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 5), np.uint8) if pixels is None else pixels
    Image.fromarray(pixels).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    """folder(*classes): a folder of class folders with three pictures each."""

    def make(*classes):
        shutil.rmtree(tmp_path / "all", ignore_errors=True)
        for label, name in enumerate(classes):
            for number in range(3):
                picture(tmp_path / "all" / name / f"{number}.png", seed=10 * label + number)
        return tmp_path / "all"

    return make


@pytest.mark.parametrize(
    "classes",
    [
        ("cat/train", "cat/test", "dog/train", "dog/test"),
        ("training_set/cat", "training_set/dog", "test_set/cat", "test_set/dog"),
        ("seg_train/seg_train/cat", "seg_train/seg_train/dog", "seg_test/seg_test/cat", "seg_test/seg_test/dog"),
        ("train2017/cat", "train2017/dog", "test2017/cat", "test2017/dog"),
        ("Training Data/cat", "Training Data/dog", "Testing Data/cat", "Testing Data/dog"),
        ("trainset/cat", "trainset/dog", "testset/cat", "testset/dog"),
        ("a/b/train/cat", "a/b/train/dog", "a/b/test/cat", "a/b/test/dog"),
        ("x_train/cat", "x_train/dog", "x_test/cat", "x_test/dog"),
        ("1_train/cat", "1_train/dog", "2_test/cat", "2_test/dog"),
    ],
)
@pytest.mark.fault(promised=READ)
def test_splits_by_other_names_and_in_other_places(folder, classes):
    path = folder(*classes)
    loaded = datasets.load(path)
    assert loaded.class_names == ("cat", "dog")
    assert "taken for splits" in loaded.notes[0]
    assert [datasets.load(path, split=split).split for split in ("train", "test")] == ["train", "test"]
    assert len(datasets.load(path, split="test").inputs) == 6


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (("cat/train", "cat/test", "dog"), "splits in one class and none in another; look at dog"),
        (("fold1/cat", "fold1/dog", "fold2/cat"), "one folder for each class, got 'cat' in fold1, fold2"),
        (("support/cat", "support/dog", "query/cat", "query/dog"), "one folder for each class"),
        (("original/cat", "original/dog", "augmented/cat"), "one folder for each class"),
        (("images/train/cat", "masks/train/cat"), "one folder for each class"),
        (("cat", "dog", "test"), "splits of classes, as test/CLASS, got pictures in 'test' beside the class 'cat'"),
        (("all/cat", "all/dog", "all/Test_set"), "got pictures in 'all/Test_set' beside"),
        (("cat", "dog", "val2017"), "put classes into folders train and test, or rename this one or move it out"),
        (("train/a/images", "train/b/images", "val/images", "test/images"), "got pictures of any class"),
        (("labelled/cat", "labelled/dog", "unlabelled"), "got unlabelled pictures"),
        (("train/cat", "train/dog", "holdout/cat"), "splits of classes, as train/CLASS, got another folder"),
        (("train/Cat", "train/dog", "test/cat"), "one spelling for a class in all splits, got 'cat' beside 'Cat'"),
        (("Cat", "cat", "dog"), "one spelling for a class, got 'cat' beside 'Cat'"),
        (("train/Cat", "train/cat", "test/Cat", "test/cat"), "one spelling for a class, got 'cat' beside 'Cat'"),
        (("train/big cat", "train/dog", "test/big_cat"), "one spelling for a class in all splits"),
    ],
)
def test_folders_that_may_be_meant_otherwise(folder, refused, classes, words):
    with refused("all", words):
        datasets.load(folder(*classes))


@pytest.mark.parametrize(
    "classes",
    [
        ("Greek/c1", "Greek/c2", "Latin/c1", "Latin/c2"),
        ("train station", "test tube"),
        ("a/train station", "a/b"),
        ("boat", "train"),
        ("greek/test tube", "latin/b"),
        ("test 1", "test 2"),
        ("A", "NA", "a"),
        ("Latin/B", "Latin/b", "Latin/c"),
    ],
)
def test_folders_that_are_classes_after_all(folder, classes):
    loaded = datasets.load(folder(*classes))
    assert loaded.class_names == tuple(sorted(classes))
    assert (loaded.notes == ()) == ("Greek/c1" not in classes)


@pytest.mark.parametrize("names", [("0.png", "1.png", "2.png"), ("train/0.png", "train/1.png", "train/2.png"), "012"])
@pytest.mark.fault(promised=READ)
def test_a_table_above_its_pictures(folder, names):
    path = folder("train")
    (path / "labels.csv").write_text("file,label\n" + "".join(f"{name},{'aba'[at]}\n" for at, name in enumerate(names)))
    loaded = datasets.load(path)
    assert (loaded.class_names, loaded.notes) == (("a", "b"), ("classes of the column 'label' of labels.csv",))
    (path / "labels.csv").write_text(
        "file,split,label\n"
        + "".join(f"{name},{('train', 'test')[at % 2]},{'aba'[at]}\n" for at, name in enumerate(names))
    )
    assert datasets.load(path, split="test").class_names == ("b",)


INK = np.random.default_rng(1).integers(0, 256, (6, 5), np.uint8)


def layers(colour, alpha):
    return np.stack([np.broadcast_to(np.asarray(colour, np.uint8), INK.shape)] * 3 + [np.asarray(alpha, np.uint8)], -1)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (INK.astype(np.uint16) * 64, "16 bits that are used, got numbers up to 16320"),
        (INK.astype(np.uint16) * 32, "16 bits that are used"),
        (layers(250, (INK > 120) * 255), "white on a transparent ground"),
        (layers(255, INK), "white on a transparent ground"),
        (layers(INK, INK * 0), "colours that are all transparent"),
    ],
)
def test_pictures_of_which_little_is_left(folder, refused, pixels, words):
    path = folder("cat", "dog")
    picture(path / "cat" / "9.png", pixels)
    with refused("9.png", words):
        datasets.load(path, form=Form(6, 5, 1))


@pytest.mark.parametrize("polarity", ["as_is", "invert", "ink"])
def test_label_maps_are_no_pictures(folder, refused, polarity):
    path = folder("cat", "dog")
    for name in sorted(path.glob("*/*.png")):
        picture(name, INK % 4)
    for read in (datasets.load, datasets.load_inputs):
        with refused(
            "all", "expected pictures of uint8 in 0..255", "got uint8 in 0..3; if they hold numbers of classes"
        ):
            read(path, form=Form(6, 5, 1, polarity))
    assert datasets.load_inputs(name)[1].max() == 3
    picture(path / "dog" / "1.png")
    assert datasets.load(path).inputs.max() > 200


@pytest.mark.parametrize("mode", ["CMYK", "1", "LA", "P", "16"])
def test_pictures_of_other_modes_keep_their_shades(folder, mode):
    path = folder("cat", "dog")
    image = Image.fromarray(INK.astype(np.uint16) * 257) if mode == "16" else Image.fromarray(INK).convert(mode)
    image.save(path / "cat" / "9.tif")
    added = datasets.load(path, form=Form(6, 5, 1)).inputs[3, ..., 0].astype(int)
    wanted = np.asarray(Image.fromarray(INK).convert("1").convert("L")) if mode == "1" else INK
    assert np.abs(added - wanted).max() < 4


def test_what_a_mac_leaves_in_an_archive_is_passed_over(folder):
    path = folder("cat", "dog", "__MACOSX/cat")
    assert datasets.load(path).class_names == ("cat", "dog")


@pytest.mark.fault(promised="the column that the labelled file calls the texts; the line names it")
def test_texts_are_in_the_column_that_the_labelled_file_names(write):
    content = "id,text,comment\n1,yes ok,this one says no and bad\n2,no bad,this one says yes and ok\n"
    said = []
    with files.watched(lambda items, count, what: items, said.append):
        assert datasets.load_text_inputs(write(content), like="text")[1].tolist() == ["yes ok", "no bad"]
    assert said == ["read table.csv, inputs: 2 texts; column 'text'"]
    labelled = datasets.load_texts(write("text,label\n" + "yes ok,a\nno bad,b\n" * 3))
    assert labelled.text == "text"


@pytest.mark.fault(promised="one line: two quotation marks that are no pair have quoted a row")
@pytest.mark.parametrize(
    "content",
    [
        'text,label\n"reserve a room,food\nplay some jazz,travel\nturn up the volume",music\n',
        'label,text\nfood,"reserve a room\ntravel,play some jazz\nmusic,turn up the volume"\n',
    ],
)
def test_a_row_inside_a_text_is_refused(write, content):
    tail = {"text": "go to rome,travel\neat pasta now,food\nplay it loud,music\n",
            "labe": "travel,go to rome\nfood,eat pasta now\nmusic,play it loud\n"}[content[:4]]  # fmt: skip
    with pytest.raises(checks.DataError, match="expected one text, got several in one pair of quotes"):
        datasets.load_texts(write(content + tail))
    fine = tail + tail.splitlines()[1].replace("eat pasta now", '"reserve a room,\nplease, now"') + "\n"
    header = content.splitlines()[0] + "\n"
    assert "1 texts of several lines, as they are quoted" in datasets.load_texts(write(header + fine)).notes
