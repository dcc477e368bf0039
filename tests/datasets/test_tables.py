import numpy as np
import pytest

from jaxmeta import checks, datasets
from jaxmeta.datasets import Form


@pytest.fixture
def write(tmp_path):
    def write(text, encoding="utf-8"):
        (tmp_path / "irises.csv").write_bytes(text.encode(encoding))
        return tmp_path / "irises.csv"

    return write


def test_last_column_is_the_target(write):
    features, targets, header = datasets.read_table(write("1,2,a\n3,-4e1, b \n"))
    np.testing.assert_array_equal(features, [[1, 2], [3, -40]])
    assert features.dtype == np.float32
    assert targets == ["a", "b"]
    assert header is None


@pytest.mark.parametrize("name", ["label", "labels", "target", "class", "y", " Label "])
def test_a_named_target(write, name):
    features, targets, header = datasets.read_table(write(f"width,{name},2\n1,a,2\n3,b,4\n"))
    np.testing.assert_array_equal(features, [[1, 2], [3, 4]])
    assert targets == ["a", "b"]
    assert header == ["width", "2"]


def test_a_header_without_a_known_name(write):
    features, targets, header = datasets.read_table(write("width,height,kind\n1,2,round\n"))
    assert targets == ["round"]
    assert header == ["width", "height"]
    assert features.shape == (1, 2)


def test_quotes_blank_lines_and_byte_order_mark(write):
    text = '"width","label"\r\n\r\n"1","a, b"\r\n , \r\n2,c\r\n'
    features, targets, header = datasets.read_table(write(text, "utf-8-sig"))
    np.testing.assert_array_equal(features, [[1], [2]])
    assert targets == ["a, b", "c"]
    assert header == ["width"]


def test_classes(write):
    irises = datasets.load(write("1,b\n2,a\n3,b\n"))
    assert irises.class_names == ("a", "b")
    assert irises.name == "irises"
    np.testing.assert_array_equal(irises.inputs, [[2], [1], [3]])
    assert list(irises.checksums) == ["irises.csv"]
    assert datasets.load(write("1,10\n2,9\n3,10\n")).class_names == ("9", "10")


def test_features_alone(write):
    for text in ("1,2\n3,4\n", "a,b\n1,2\n3,4\n"):
        names, inputs = datasets.load_inputs(write(text))
        assert names == ["0", "1"]
        np.testing.assert_array_equal(inputs, [[1, 2], [3, 4]])


@pytest.mark.parametrize("text", ["x\n1\n\n12\n", "x,y\n1,2\n,\n12,14\n\n\n", "\n\nx;y\n1;2\n;\n12;14\n;\n"])
@pytest.mark.fault(promised="blank rows are counted in the names of the others")
def test_positions_count_blank_rows(write, text):
    names, inputs = datasets.load_inputs(write(text))
    assert (names, inputs[:, 0].tolist()) == (["0", "2"], [1, 12])
    labelled = datasets.load(write("x,label\n1,a\n\n2,b\n,\n3,b\n,\n"))
    assert (labelled.count, labelled.notes) == (3, ("2 blank rows passed over",))


def test_a_named_target_is_no_feature(write, refused):
    path = write("a,label,b\n1,x,2\n3,y,4\n")
    np.testing.assert_array_equal(datasets.load_inputs(path)[1], datasets.read_table(path)[0])
    with refused("row 3, column 3 (b)", "'z'"):
        datasets.load_inputs(write("a,label,b\n1,x,2\n3,y,z\n"))
    with refused("column 3 (bbb", "bb ..)", "'z'"):  # a message stays a line, however long the header
        datasets.load_inputs(write(f"a,label,{'b' * 5000}\n1,x,2\n3,y,z\n"))
    with refused("features", "a target alone"):
        datasets.load_inputs(write("y\n1\n"))


def test_classes_that_are_numbers_are_in_their_order(write):
    assert datasets.load(write("1,10\n2,9\n3,9.0\n")).class_names == ("9", "10")
    assert datasets.load(write("1,10\n2,09\n3,10\n")).class_names == ("09", "10")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "at least one row"),
        ("a,b,label\n", "at least one row"),
        ("1\n2\n", "one column"),
        ("1,2,a\n1,oops,b\n", "irises.csv, row 2, column 2: expected a finite number, got 'oops'"),
        ("1,nan,a\n2,inf,b\n", "row 2, column 2: expected a finite number, got 'inf'"),
        ("nan,a\nnan,b\n", "features beside the target, got none; column '1' left out, since it is empty"),
        ("1,inf,a\n", "got 'inf'"),
        ("1,1e300,a\n", "got '1e300'"),
        ("x1,2,a\n3,4,b\n", "row 1: expected a header of names, or a row of data, got names and numbers"),
        ("1,2,a\n1,2\n", "row 2: expected 3 columns, got 2"),
        ("a,b,label\n1,2\n", "row 2: expected 3 columns, got 2"),
        ("x,label,y\n1,2,3\n", "label and y"),
        ("1,a\n2,\n", "row 2, column 2: expected a class or value in every row"),
        ("x,label\n1,a\n2,\n", "row 3, column 2 (label): expected a class or value in every row"),
        ("1," + "a" * 200_000 + "\n", "comma-separated text"),
    ],
)
def test_unfit_tables(write, refused, text, words):
    with refused("irises.csv", words):
        datasets.load(write(text))


def test_other_encodings(write, refused):
    with refused("irises.csv", "UTF-8 text, got byte 2 that is none; save it as UTF-8"):
        datasets.load(write("1,é\n", "latin-1"))


def test_text_among_features_alone(write, refused):
    with refused("row 1, column 3", "'a'"):
        datasets.load_inputs(write("1,2,a\n"))


def test_forms_are_for_pictures(write):
    for read in (datasets.load, datasets.load_inputs):
        with pytest.raises(ValueError, match=r"irises\.csv: expected pictures, as a form is asked for, got vectors of"):
            read(write("1,2\n"), form=Form(2, 2, 1))


def test_inputs_have_the_columns_of_the_labelled_examples(write, refused):
    path = write("age,name,label,weight\n1,ann,x,60\n2,bob,y,70\n")
    with refused("row 2, column 2 (name)"):
        datasets.load_inputs(path)
    np.testing.assert_array_equal(datasets.load_inputs(path, columns=["weight", "age"])[1], [[60, 1], [70, 2]])
    with refused("irises.csv", "one column 'height', as in the labelled examples, got the columns age, name, label"):
        datasets.load_inputs(path, columns=["age", "height"])
    with refused("row 3, column 4 (weight)", "'heavy'"):
        datasets.load_inputs(write("age,label,x,weight\n1,x,0,60\n2,y,0,heavy\n"), columns=["weight"])
    np.testing.assert_array_equal(datasets.load_inputs(write("1,2\n"), columns=["b", "a"])[1], [[1, 2]])


def test_a_target_by_name_or_number(write):
    path = write("age,diagnosis,label\n1,b,5\n2,a,6\n")
    features, targets, header = datasets.read_table(path, target_column="diagnosis")
    np.testing.assert_array_equal(features, [[1, 5], [2, 6]])
    assert (targets, header) == (["b", "a"], ["age", "label"])
    assert datasets.read_table(path, target_column="2")[1] == ["b", "a"]
    loaded = datasets.load(path, target_column="diagnosis")
    assert loaded.class_names == ("a", "b")
    np.testing.assert_array_equal(datasets.load_inputs(path, target_column="diagnosis")[1], [[1, 5], [2, 6]])
    assert datasets.read_table(write("7,1\n8,2\n"), target_column="1")[1] == ["7", "8"]
    mixed = write("2019,grade\n1,2\n")
    assert datasets.read_table(mixed, target_column="grade")[2] == ["2019"]


def test_a_table_of_values(write):
    table = datasets.load_table(write("a,b,price\n1,2,3.5\n4,5,-6\n"), target_column="price")
    np.testing.assert_array_equal(table.targets, [[3.5], [-6]])
    assert table.targets.dtype == np.float32
    assert (table.column_names, table.name, list(table.checksums)) == (("a", "b"), "irises", ["irises.csv"])
    assert datasets.load_table(write("1,2\n3,4\n")).column_names == ("1",)


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("a,b\n1,2\n", "c", "a target column 'c', got the columns a, b"),
        ("1,2\n", "c", "got 2 columns without a header"),
        ("1,2\n", "3", "a target column '3'"),
        ("a,a,b\n1,2,3\n", "a", "a and a"),
        ("a,b\n1,2\n3,x\n", "b", "row 3, column 2 (b): expected a finite number, got 'x'"),
        ("a,b\n1,2\n3,\n", "b", "row 3, column 2 (b): expected a class or value"),
        ("a,b\n1,2\n3\n", "b", "row 3: expected 2 columns, got 1"),
    ],
)
def test_unfit_tables_of_values(write, refused, text, column, words):
    with refused("irises.csv", words):
        datasets.load_table(write(text), target_column=column)


def test_target_columns_are_for_csv(tmp_path):
    np.savez(tmp_path / "x.npz", inputs=np.zeros((2, 2)), labels=np.arange(2))
    for source in (tmp_path / "x.npz", "digits", "tfds:mnist"):
        with pytest.raises(ValueError, match="target_column: expected none"):
            datasets.load(source, target_column="y")


@pytest.mark.parametrize(
    "cells",
    [
        ["20-29", "30-39"],
        ["<20", "20-29", ">=60"],
        ["0 to 2", "3 to 5", "15+"],
        ["(0, 10]", "(10, 20]"],
        ["[0,10)"],
        ["<=60", ">60"],
        ["<7.25", ">=7.25"],
    ],
)
def test_intervals_are_categories(write, cells):
    rows = "".join(f'"{cells[row % len(cells)]}",{"ab"[row % 2]}\n' for row in range(12))
    assert datasets.load(write(f"age,label\n{rows}")).columns[0].categories == tuple(sorted(cells))


@pytest.mark.parametrize("cells", [["0", "1", "2", "3+"], ["0", "1-19", "20+"], ["1", "2", ">2"], ["0", ">=1"]])
def test_counts_of_which_the_large_are_put_together_are_categories(write, cells):
    rows = "".join(f"{cells[row % len(cells)]},{'ab'[row % 2]}\n" for row in range(12))
    loaded = datasets.load(write(f"children,label\n{rows}"))
    assert loaded.columns[0].categories == tuple(sorted(cells))
    few = write(f"children\n{cells[0]}\n{cells[0]}\n")  # numbers, or none of what was put together
    np.testing.assert_array_equal(
        datasets.load_inputs(few, columns=loaded.columns)[1][:, 0], sorted(cells).index(cells[0])
    )


@pytest.mark.parametrize("cells", [["1", "2a", "2b", "3"], ["1A", "1B", "4"]])
def test_grades_in_parts_are_categories(write, cells):
    rows = "".join(f"{cells[row % len(cells)]},{'ab'[row % 2]}\n" for row in range(12))
    assert datasets.load(write(f"stage,label\n{rows}")).columns[0].categories == tuple(sorted(cells))


def test_a_number_with_a_letter_that_stands_once_is_a_slip(write, refused):
    rows = "".join(f"{cell},{'ab'[row % 2]}\n" for row, cell in enumerate(["1", "2", "3a"] + ["3", "1", "2"] * 3))
    with refused("row 4, column 1 (stage)", "expected a finite number", "'3a'"):
        datasets.load(write(f"stage,label\n{rows}"))


def test_tables_of_patients_are_read_as_they_are(data_dir):
    """With text columns, missing cells, and measures of which two parts are told, such as icu's po2."""
    found = {path.stem: datasets.load(path) for path in sorted((data_dir / "patients").glob("*.csv"))}
    assert len(found) == 7
    po2 = next(column for column in found["icu"].columns if column.name == "po2")
    assert po2.categories == ("<=60", ">60")


@pytest.mark.fault(promised="amounts, dates and lists are no categories")
@pytest.mark.parametrize(
    "cells",
    [
        ["5-3", "2020-01"],
        ["<5", ">7"],
        ["<5", "<7"],
        ["<5", "5", "6"],
        ["1", "2", "9+"],
        ["1.5", "2+"],
        ["[1, 2]", "[2, 3]"],
        ["1-2", "12:30"],
    ],
)
def test_what_only_looks_like_intervals_is_refused(write, cells):
    rows = "".join(f'"{cells[row % len(cells)]}",{"ab"[row % 2]}\n' for row in range(12))
    with pytest.raises(checks.DataError, match="expected a finite number"):
        datasets.load(write(f"age,label\n{rows}"))
