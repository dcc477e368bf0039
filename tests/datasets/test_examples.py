import hashlib
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxmeta import datasets


def _toy(name="toy"):
    inputs = 12 * np.arange(5 * 2 * 2, dtype=np.uint8).reshape(5, 2, 2, 1)
    return datasets.from_labels(inputs, [1, 0, 2, 1, 1], ["a", "b", "c"], name=name, checksums={"f.npz": "0"})


def _of(examples, index):
    return examples.inputs[examples.offsets[index] : examples.offsets[index + 1]]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=20))
def test_groups_keep_every_example_in_order(labels):
    inputs = np.arange(len(labels))
    grouped = datasets.from_labels(inputs, labels, name="any")
    assert grouped.class_names == tuple(str(each) for each in sorted(set(labels)))
    for index, name in enumerate(grouped.class_names):
        np.testing.assert_array_equal(_of(grouped, index), [i for i in inputs if labels[i] == int(name)])
    assert grouped.offsets.dtype == np.int32
    assert grouped.offsets[0] == 0
    assert grouped.offsets[-1] == len(labels)


def test_names_without_examples_are_left_out():
    assert datasets.from_labels(np.zeros((2, 3)), [2, 0], ["a", "b", "c"], name="x").class_names == ("a", "c")


def test_labels_as_they_are_meant():
    assert datasets.from_labels(np.zeros((4, 1)), ["2", "1", "1.0", "2"], name="x").class_names == ("1", "2")
    assert datasets.from_labels(np.zeros((2, 1)), ["+", "-"], name="x").class_names == ("+", "-")
    for names in (["Cat", "cat"], ["NA", "a"]):
        assert datasets.from_labels(np.zeros((2, 1)), names, names, name="x").class_names == tuple(names)


def test_text_labels():
    sorted_by_text = datasets.from_labels([[0.0], [1.0], [2.0]], ["bee", "ant", "bee"], name="x")
    assert sorted_by_text.class_names == ("ant", "bee")
    np.testing.assert_array_equal(sorted_by_text.inputs, [[1], [0], [2]])
    in_order_of_names = datasets.from_labels([[0.0], [1.0]], ["bee", "ant"], ["bee", "ant"], name="x")
    assert in_order_of_names.class_names == ("bee", "ant")
    np.testing.assert_array_equal(in_order_of_names.inputs, [[0], [1]])


def test_default_checksum_covers_inputs_and_labels():
    sums = [datasets.from_labels(x, y, name="x").checksums["x"] for x, y in [([1, 2], [0, 1]), ([1, 2], [1, 0])]]
    assert sums[0] == hashlib.sha256(np.array([1, 2]).tobytes() + np.array([0, 1]).tobytes()).hexdigest()
    assert sums[0] != sums[1]


@pytest.mark.parametrize(
    ("inputs", "labels", "names", "words"),
    [
        (np.zeros((3, 2)), [0, 1], None, "one label for each of 3 examples"),
        (np.zeros((2, 2)), [[0], [1]], None, "one label for each"),
        (np.float32(0), [0], None, "inputs of shape"),
        (np.zeros((2, 2)), [0.0, 1.0], None, "dtype float64"),
        (np.zeros((2, 2)), np.array(["a", 1], object), None, "dtype object"),
        (np.zeros((0, 2)), np.zeros(0, int), None, "at least one example"),
        (np.zeros((2, 2)), [0, 2], ["a", "b"], "0 to 1, one for a name, got 2"),
        (np.zeros((2, 2)), [-1, 0], ["a", "b"], "got -1"),
        (np.zeros((2, 2)), ["a", "z"], ["a", "b"], "'z'"),
        (np.zeros((2, 2)), [0, 1], ["a", "a"], "'a' more than once"),
        (np.zeros((2, 2)), [0, 1], {"a": 0, "b": 1}, "in the order of their numbers, got dict; take sorted"),
        (np.zeros((2, 2)), [0, 1], {"a", "b"}, "a list of names, in the order of their numbers, got set"),
        (np.zeros((2, 2)), [0, 1], "ab", "a list of names, in the order of their numbers, got str"),
        (np.zeros((2, 2)), ["Cat", "cat"], None, "one spelling for a class, got 'cat' beside 'Cat'"),
        (np.zeros((2, 2)), ["1.5", "1.50"], None, "one spelling for a class, got '1.50' beside '1.5'"),
        *(
            (np.zeros((2, 2)), ["a", word], None, f"a class for every example, got {re.escape(repr(word))}")
            for word in ("", "NA", "?", "n/a", "None", "-")
        ),
    ],
)
def test_labels_that_do_not_fit(inputs, labels, names, words):
    with pytest.raises(ValueError, match=words):
        datasets.from_labels(inputs, labels, names, name="x")


def test_select():
    toy = _toy()
    part = datasets.select(toy, [2, 1], "train")
    assert part.class_names == ("c", "b")
    assert part.split == "train"
    assert part.checksums == toy.checksums
    np.testing.assert_array_equal(part.offsets, [0, 1, 4])
    np.testing.assert_array_equal(_of(part, 0), _of(toy, 2))
    np.testing.assert_array_equal(_of(part, 1), _of(toy, 1))


@pytest.mark.parametrize(
    ("indices", "error"),
    [([], ValueError), ([0, 0], ValueError), ([3], ValueError), ([-1], ValueError), ([0.5], TypeError)],
)
def test_select_refuses(indices, error):
    with pytest.raises(error, match="class_indices"):
        datasets.select(_toy(), indices, "train")


def test_union():
    both = datasets.union([_toy("one"), _toy("two")], name="both")
    assert both.class_names == ("one/a", "one/b", "one/c", "two/a", "two/b", "two/c")
    assert both.checksums == {"one:f.npz": "0", "two:f.npz": "0"}
    assert both.name == "both"
    assert both.split == "all"
    for index in range(6):
        np.testing.assert_array_equal(_of(both, index), _of(_toy(), index % 3))


def test_union_refuses():
    toy = _toy()
    with pytest.raises(ValueError, match="at least one set"):
        datasets.union([], name="x")
    with pytest.raises(ValueError, match="twice"):
        datasets.union([toy, toy], name="x")
    for other in (toy.inputs[:, :, :1], toy.inputs.astype(np.float32)):
        with pytest.raises(ValueError, match="other: expected inputs like those of toy"):
            datasets.union([toy, toy._replace(inputs=other, name="other")], name="x")


def test_rotated_classes_are_new_ones():
    toy = _toy()
    turned = datasets.rotated(toy)
    assert turned.class_names[:4] == ("a", "b", "c", "a/rot90")
    assert turned.class_names[6:] == ("a/rot180", "b/rot180", "c/rot180", "a/rot270", "b/rot270", "c/rot270")
    assert len(turned.offsets) == 13
    assert turned.offsets[-1] == 20
    np.testing.assert_array_equal(_of(turned, 0), _of(toy, 0))
    (first,) = _of(toy, 0)[..., 0] // 12
    assert [first[0, 0], first[0, 1], first[1, 1], first[1, 0]] == [4, 5, 7, 6]
    np.testing.assert_array_equal(_of(turned, 3)[0, ..., 0] // 12, [[5, 7], [4, 6]])
    np.testing.assert_array_equal(_of(turned, 6)[0, ..., 0] // 12, [[7, 6], [5, 4]])
    np.testing.assert_array_equal(_of(turned, 9)[0, ..., 0] // 12, [[6, 4], [7, 5]])


@pytest.mark.parametrize("shape", [(2, 3), (2, 4, 3, 1)])
def test_rotated_refuses(shape):
    with pytest.raises(ValueError, match="square pictures"):
        datasets.rotated(datasets.from_labels(np.zeros(shape), [0, 1], name="x"))
