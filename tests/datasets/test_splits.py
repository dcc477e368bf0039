import numpy as np
import pytest

from jaxmeta import checks, datasets
from jaxmeta.datasets import splits


def many(count):
    names = [f"class {index:03d}" for index in range(count)]
    return datasets.from_labels(np.arange(2 * count), np.repeat(np.arange(count), 2), names, name="many")


@pytest.mark.parametrize(
    ("count", "sizes"), [(8, (4, 2, 2)), (11, (7, 2, 2)), (101, (51, 25, 25)), (200, (100, 50, 50))]
)
def test_a_half_a_quarter_and_a_quarter(count, sizes):
    everything = many(count)
    parts = [splits.by_class(everything, split) for split in splits.SPLITS]
    assert tuple(len(part.class_names) for part in parts) == sizes
    assert [part.split for part in parts] == list(splits.SPLITS)
    assert sorted(name for part in parts for name in part.class_names) == list(everything.class_names)
    np.testing.assert_array_equal(np.sort(np.concatenate([part.inputs for part in parts])), everything.inputs)
    assert splits.by_class(everything, None) is everything


def test_what_is_dealt_depends_on_names_alone():
    names = [f"class {index}" for index in range(20)]
    forward, backward = (splits.deal(order, splits.halves(20)) for order in (names, names[::-1]))
    for split in splits.SPLITS:
        assert {names[index] for index in forward[split]} == {names[::-1][index] for index in backward[split]}
    assert [names[index] for index in forward["test"]] == ["class 7", "class 11", "class 14", "class 16", "class 18"]


def test_groups_stay_together():
    everything = many(60)
    groups = [str(index % 20) for index in range(60)]
    seen = {}
    for split in splits.SPLITS:
        part = splits.by_class(everything, split, groups)
        seen[split] = {groups[everything.class_names.index(name)] for name in part.class_names}
        assert len(part.class_names) == 3 * len(seen[split])
        assert len(part.class_names) >= 15 - 2
    assert len(set.union(*seen.values())) == sum(map(len, seen.values())) == 20


def test_sources_stay_together():
    sources = [f"slide {index % 12}" for index in range(48)]
    everything = datasets.from_labels(np.arange(48), np.repeat([0, 1], 24), ["red", "white"], name="cells")
    parts = [splits.by_source(everything, split, sources) for split in splits.SPLITS]
    slides = [{index % 12 for index in part.inputs.tolist()} for part in parts]
    assert [len(each) for each in slides] == [6, 3, 3]
    assert len(set.union(*slides)) == 12
    for part in parts:
        assert part.class_names == ("red", "white")
        assert len(set(part.inputs.tolist())) == len(part.inputs)
        assert all(part.inputs[: part.offsets[1]] < 24)
        assert all(part.inputs[part.offsets[1] :] >= 24)
    assert splits.by_source(everything, None, sources) is everything


def test_rows_of_every_class_are_shared_out():
    rows = np.arange(60) // 2  # every row twice
    everything = datasets.from_labels(rows[:, None], rows % 3, ["a", "b", "c"], name="table")
    parts = [splits.by_example(everything, split) for split in splits.SPLITS]
    assert [part.split for part in parts] == ["train rows", "validation rows", "test rows"]
    assert [part.class_names for part in parts] == [("a", "b", "c")] * 3
    held = [set(part.inputs[:, 0].tolist()) for part in parts]
    assert sum(map(len, held)) == len(set.union(*held)) == 30
    assert all(len(part.inputs) == 2 * len(rows) for part, rows in zip(parts, held, strict=True))
    for part in parts:
        labels = np.repeat(np.arange(3), np.diff(part.offsets))
        np.testing.assert_array_equal(part.inputs[:, 0] % 3, labels)
        assert np.diff(part.offsets).min() >= 4
    assert splits.by_example(everything, None) is everything
    backward = splits.by_example(datasets.from_labels(rows[::-1, None], rows[::-1] % 3, name="table"), "test")
    assert set(backward.inputs[:, 0].tolist()) == held[2]
    with pytest.raises(ValueError, match="split: expected one of None"):
        splits.by_example(everything, "dev")


def test_too_few_classes():
    with pytest.raises(
        ValueError, match=r"split of many: expected at least 8 classes to share out, got 7; .*None"
    ) as caught:
        splits.by_class(many(7), "train")
    assert not isinstance(caught.value, checks.DataError)
    with pytest.raises(ValueError, match="split: expected one of None"):
        splits.by_class(many(9), "dev")


def test_names_of_any_kind():
    names = [f"{name}\udcff" for name in ("<b>x</b>", "ключ", "a b", "..", "", "'", '"', "&amp;")]
    assert sum(map(len, splits.deal(names, splits.halves(8)).values())) == 8
