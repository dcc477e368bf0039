"""What a csv leaves open is told for certain, or refused with what to do."""

import numpy as np
import pytest

from jaxmeta import datasets
from jaxmeta.datasets import Column

READ = "read, and what was left out or taken for granted is said"


@pytest.fixture
def write(tmp_path):
    def write(content, name="table.csv"):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / name

    return write


def rows(template, count=12):
    return "".join(template.format(i=i, odd=i % 2, x=i * i / 7, letter="ab"[i % 2]) + "\n" for i in range(count))


@pytest.mark.parametrize(
    ("header", "row", "columns"),
    [
        (",x,label", "{i},{x},{letter}", ["x"]),
        ("Unnamed: 0,x,label", "{i},{x},{letter}", ["x"]),
        ("Unnamed: 0.1,Unnamed: 0,x,label", "{i},{i},{x},{letter}", ["x"]),
        ('"",x,label', '"row {i}",{x},{letter}', ["x"]),
        (",x,label", "row{i},{x},{letter}", ["x"]),
        ("id,x,label", "{i},{x},{letter}", ["x"]),
        ("ID,x,label", "p{i},{x},{letter}", ["x"]),
        ("patient_id,x,label", "{odd},{x},{letter}", ["x"]),
        ("patientID,x,label", "{odd},{x},{letter}", ["x"]),
        ("index,x,label", "9{i},{x},{letter}", ["x"]),
        ("nr,x,label", "{i},{x},{letter}", ["x"]),
        ("visit,x,label", "{i},{x},{letter}", ["x"]),
        ("label,x,position", "{letter},{x},{i}", ["x"]),
        (",0,1,label", "{i},{x},{odd},{letter}", ["0", "1"]),
        ("empty,x,label", ",{x},{letter}", ["x"]),
        ("empty,x,label", "NA,{x},{letter}", ["x"]),
        ("no,x,label", "1{i},{x},{letter}", ["no", "x"]),
        ("x,label,", "{x},{letter},", ["x"]),
        ("x,label", "{i},{letter}", ["x"]),
        ("paid,x,label", "{odd},{x},{letter}", ["paid", "x"]),
        ("valid,x,label", "{odd},{x},{letter}", ["valid", "x"]),
    ],
)
@pytest.mark.fault(promised=READ)
def test_columns_that_number_the_rows(write, header, row, columns):
    loaded = datasets.load(write(f"{header}\n{rows(row)}"))
    assert [column.name for column in loaded.columns] == columns
    assert loaded.class_names == ("a", "b")
    left_out = [note for note in loaded.notes if "left out" in note]
    assert len(left_out) == len(header.split(",")) - 1 - len(columns)


def test_numbers_of_rows_that_were_shuffled(write):
    order = np.random.default_rng(0).permutation(12)
    lines = rows("{i},{x},{letter}").splitlines()
    path = write("no,x,label\n" + "\n".join(lines[index] for index in order))
    assert [column.name for column in datasets.load(path).columns] == ["x"]


def test_a_first_column_that_counts_in_a_file_without_a_header(write):
    assert datasets.load(write(rows("{i},{x},{letter}"))).inputs.shape == (12, 1)


def test_features_that_are_asked_for_are_taken(write):
    path = write("visit,x,age,label\n" + rows("{i},{x},{odd},{letter}"))
    loaded = datasets.load(path, columns=["age", "visit"])
    assert [column.name for column in loaded.columns] == ["age", "visit"]
    np.testing.assert_array_equal(loaded.inputs[0], [0, 0])
    assert datasets.load(path, columns=["2"]).inputs.shape == (12, 1)


@pytest.mark.parametrize("columns", [["weight"], ["label"], ["9"]])
def test_features_that_are_not_there(write, refused, columns):
    with refused("table.csv", "a feature"):
        datasets.load(write("x,age,label\n1,2,a\n"), columns=columns)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (",x,label\n.5,1,a\n.5,2,b\n", "a name for every column"),
        ("x1,kind,x2\n" + rows("{x},{odd},{x}"), "'x2' in the last, which may be a measurement"),
        ("kind,x1\n" + rows("{letter},{x}"), "which may be a measurement"),
        ("kind,grade,count\n" + rows("{x},{odd},{odd}"), "which may be a measurement"),
        ("name,place,size\n" + rows("{letter},{letter},{odd}"), "which may be a measurement"),
        (rows("{odd},{x}"), "measurements in the last"),
        ("0,1,2\n" + rows("{x},{x},{odd}"), "numbers that count the columns"),
        ("1,2,3,4\n" + rows("{x},{x},{x},{odd}"), "numbers that count the columns"),
        ("2019,2020,size\n" + rows("{x},{x},{odd}"), "names and numbers"),
        ("x;y,label\n1;2,a\n3;4,b\n", "rows that commas and semicolons split alike"),
        ("a,b,label\n1,2,x\n1,2,3,x\n", "row 3: expected 3 columns, got 4"),
        ("x label\n1 a\n", "separate the cells by commas, semicolons or tabs"),
        ("x;label\n1,5;a\n2.5;b\n", "'2.5' among numbers with commas"),
        ("x;label\n1,500;a\n2,000;b\n", "'1,500' among numbers with commas"),
        ('x,label\n"1,000",a\n"2,000",b\n', "among numbers with commas"),
        ("x;z;label\n1.550;0,5;a\n900;0,5;b\n", "'1.550' in a file with decimal commas"),
        ("x;z;label\n1.000.000;0,5;a\n9;0,5;b\n", "'1.000.000' in a file with decimal commas"),
        ("x;label\n" + "1.550;a\n12.500;b\n" * 2 + "900;a\n", "'1.550' beside '900', which may be either"),
        ('x,label\n"1.000,5",a\n"2.000,5",b\n', "expected a finite number, got '1.000,5'"),
        ("x,label\n12%,a\n13%,b\n", "expected a finite number, got '12%'"),
        ("x,label\n$5,a\n$6,b\n", "expected a finite number, got '$5'"),
        ("x,label\n2020-01-31,a\n2020-02-01,b\n", "expected a finite number, got '2020-01-31'"),
        ("x,label\n12:30,a\n13:00,b\n", "expected a finite number, got '12:30'"),
        ("x,label\n1,a\nhigh,b\n", "row 3, column 1 (x): expected a finite number, got 'high'"),
        ("x,label\n1e400,a\n2,b\n", "expected a finite number, got '1e400'"),
        ("x,label\n-inf,a\n2,b\n", "expected a finite number, got '-inf'"),
        ("note,label\n" + rows("text number {i},{letter}"), "at most 64 categories, got 12 different texts"),
        ("x,label\n1,a\n2,A\n", "one spelling for a class, got 'A' beside 'a'"),
        ("x,label\n1,1\n2,01\n", "one spelling for a class, got '01' beside '1'"),
        ("x,label\n1,New York\n2,New  York\n", "one spelling for a class"),
        ("x,label,class\n1,a,b\n", "label and class"),
        ("x,outcome,species\n1,a,b\n", "outcome and species"),
        ("x,label\n1,a\n2,\n", "row 3, column 2 (label): expected a class or value in every row, got an empty cell"),
        *((f"x,label\n1,a\n2,{word}\n", f"expected a class or value in every row, got '{word}'")
          for word in ("NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?", "#N/A", "<NA>", ".", "-")),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_refused(write, refused, text, words):
    with refused("table.csv", words):
        datasets.load(write(text))


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (("1.550", "900", "12.500"), True),
        (("1.234", "2", "3.111", "4.222", "5.333"), True),
        (("0.125", "1.250", "2", "3.500", "4.000"), False),
        (("1.234", "2.5", "3", "4.500", "5.000"), False),
        (("1.250", "2.500", "3.000", "4.000"), False),
        (("1.250", "2000", "3.500"), False),
    ],
)
@pytest.mark.fault(promised=READ)
def test_points_that_may_part_thousands_are_decimal_ones(write, cells, said):
    text = "x;label\n" + "".join(f"{cell};{'ab'[index % 2]}\n" for index, cell in enumerate(cells))
    loaded = datasets.load(write(text))
    assert sorted(loaded.inputs.ravel().tolist()) == sorted(np.float32(cells).tolist())
    assert any("is read as a decimal one" in note for note in loaded.notes) == said


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("x,label\n1,1\n2,1.0\n3,2\n", ("1", "2")),
        ("x,label\n1,1.0\n2,2.0\n3,+1\n".replace("+1", "1."), ("1", "2")),
        ("x,label\n1, a\n2,a \n3,b\n", ("a", "b")),
        ('x,label\n1, "a"\n2,a\n3,"b"\n', ("a", "b")),
        ("x,label\n1,'a'\n2,a\n3,'b'\n", ("a", "b")),
        ("x,label\n1,01\n2,02\n", ("01", "02")),
        ("x,label\n1,-1\n2,1\n", ("-1", "1")),
        ("x,label\n1,caf\u00e9\n2,cafe\u0301\n3,tea\n", ("caf\u00e9", "tea")),
        ("x,label\n1,y\n2,n\n", ("n", "y")),
        ("1,y\n2,n\n3,y\n", ("n", "y")),
    ],
)
@pytest.mark.fault(promised="one class, however it is written")
def test_one_class_is_one(write, text, names):
    assert datasets.load(write(text)).class_names == names


@pytest.mark.parametrize(
    ("content", "notes"),
    [
        ("x;label\n1;a\n2;b\n", ("separated by semicolons",)),
        ("x\tlabel\n1\ta\n2\tb\n", ("separated by tabs",)),
        ("x|label\n1|a\n2|b\n", ("separated by bars",)),
        ("sep=;\nx;label\n1;a\n2;b\n", ("separated by semicolons",)),
        ("x;label\n1,0;a\n2,0;b\n", ("separated by semicolons", "decimal commas")),
        ("x\tlabel\n1,0\ta\n2,0\tb\n", ("separated by tabs", "decimal commas")),
        ("\ufeffx,label\r\n1,a\r\n2,b\r\n", ()),
        ("x,label\n1,a\n2,b\n".encode("utf-16"), ()),
        ('"x","label"\n"1","a"\n"2","b"\n', ()),
        ("x, label\n1, a\n2, b\n", ()),
    ],
)
@pytest.mark.fault(promised=READ)
def test_separators_and_encodings(write, content, notes):
    loaded = datasets.load(write(content))
    np.testing.assert_array_equal(loaded.inputs, [[1], [2]])
    assert (loaded.class_names, loaded.notes) == (("a", "b"), notes)


def test_tab_separated_values_by_their_suffix(write):
    assert datasets.load(write("x\tlabel\n1\ta\n2\tb\n", "table.tsv")).class_names == ("a", "b")


@pytest.mark.parametrize("first", [",2,a", "1,,a", "NA,2,a"])
@pytest.mark.fault(promised="a row with a missing cell is a row")
def test_a_missing_cell_makes_no_header_of_the_first_row(write, first):
    loaded = datasets.load(write(f"{first}\n3,4,b\n5,6,a\n"))
    assert (loaded.inputs.shape, loaded.class_names, int(np.isnan(loaded.inputs).sum())) == ((3, 2), ("a", "b"), 1)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("x1,species,x2\n" + rows("{x},{odd},{x}"), "species"),
        ("x,Outcome\n" + rows("{x},{letter}"), "Outcome"),
        ("x,kind\n" + rows("{x},{letter}"), "kind"),
        ("x,grade\n" + rows("{x},{odd}"), "grade"),
        ("y,x,species\n" + rows("{letter},{x},{letter}"), "y"),
        ("class,x,diagnosis,outcome\n" + rows("{odd},{x},{odd},{letter}"), "outcome"),
        ("label,x,outcome\n" + rows("{letter},{x},{odd}"), "label"),
        (rows("{x},{letter}"), "2"),
        (rows("{x},{odd}"), "2"),
    ],
)
def test_the_target_that_can_be_told(write, text, target):
    loaded = datasets.load(write(text))
    assert loaded.target == target
    assert len(loaded.class_names) == 2


@pytest.mark.fault(promised="a value that is called as its column makes no row of the header")
def test_a_column_may_be_called_as_one_of_its_values(write):
    values = "".join(f"{number}.5,{('treatment', 'placebo')[number % 2]},{'ab'[number % 2]}\n" for number in range(12))
    loaded = datasets.load(write(f"age,treatment,outcome\n{values}"))
    assert (loaded.count, loaded.columns[1].name, loaded.columns[1].categories) == (
        12,
        "treatment",
        ("placebo", "treatment"),
    )


def test_a_value_is_told_by_its_name_alone(write, refused):
    with refused("the values to predict", "'price' in the last"):
        datasets.load_table(write("size,price\n" + rows("{x},{i}")))
    assert datasets.load_table(write("price,y\n" + rows("{x},{i}"))).target == "y"
    assert datasets.load_table(write(rows("{x},{x}"))).target == "2"


@pytest.mark.parametrize("word", ["", "NA", "NaN", "null", "?", "-", "None", "n/a"])
@pytest.mark.fault(promised="a missing cell is NaN")
def test_missing_cells(write, word):
    loaded = datasets.load(write(f"x,colour,label\n1,red,a\n{word},blue,b\n3,{word},a\n4,red,b\n"))
    assert loaded.columns == (Column("x"), Column("colour", ("blue", "red")))
    np.testing.assert_array_equal(loaded.inputs, [[1, 1], [3, np.nan], [np.nan, 0], [4, 1]])


@pytest.mark.parametrize("plus", ["+", "+++", "+/-", "\N{PLUS-MINUS SIGN}"])
@pytest.mark.fault(promised="a minus beside a plus is a category or a class")
def test_findings(write, plus):
    loaded = datasets.load(write(f"test,label\n{plus},b\n{plus},b\n-,a\n,a\n"))
    levels = tuple(sorted((plus, "-")))
    assert loaded.columns == (Column("test", levels),)
    minus = levels.index("-")
    np.testing.assert_array_equal(loaded.inputs, [[minus], [np.nan], [1 - minus], [1 - minus]])
    _, inputs = datasets.load_inputs(write("test\n-\n-\n"), columns=loaded.columns)
    np.testing.assert_array_equal(inputs, [[minus], [minus]])
    assert {*datasets.load(write(f"x,label\n1,{plus}\n2,-\n")).class_names} == {plus, "-"}


@pytest.mark.parametrize(("word", "count"), [("None", 2), ("nil", 4), ("-", 3), ("none", 1), ("NA", 4)])
@pytest.mark.fault(promised=READ)
def test_words_that_may_be_a_level_and_count_as_missing(write, word, count):
    cells = [word] * count + ["heavy", "light"] * 2
    loaded = datasets.load(
        write("drinks,label\n" + "".join(f"{cell},{'ab'[at % 2]}\n" for at, cell in enumerate(cells)))
    )
    assert loaded.columns == (Column("drinks", ("heavy", "light")),)
    said = f"column 'drinks': {word!r}, {count} times, counts as missing; call it otherwise if it says something"
    assert loaded.notes == ((said,) if word != "NA" and count > 1 else ())


def test_categories_of_other_rows_go_by_the_labelled_ones(write):
    labelled = datasets.load(write("colour,x,label\nred,1,a\nblue,2,b\ngreen,3,b\n"))
    _, inputs = datasets.load_inputs(write("x,colour\n1,green\n2,mauve\n,red\n"), columns=labelled.columns)
    np.testing.assert_array_equal(inputs, [[1, 1], [np.nan, 2], [2, np.nan]])
