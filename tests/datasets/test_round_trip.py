"""Whatever is written comes back, and is shared out without loss."""

import csv
import itertools

import hypothesis
import numpy as np
from hypothesis import strategies
from hypothesis.extra import numpy as arrays
from PIL import Image

from jaxmeta import datasets

settings = hypothesis.settings(
    max_examples=15, deadline=None, derandomize=True, database=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)  # fmt: skip
NAMES = strategies.text(strategies.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=6)
LABELS = strategies.lists(strategies.integers(0, 4), min_size=1, max_size=12)
SIDES = strategies.integers(1, 5)


def check(loaded, values, labels, names=None):
    """Each class holds its values in the order in which they were written."""
    kept = sorted(set(labels))
    assert set(loaded.class_names) == {names[label] if names else str(label) for label in kept}
    for index, name in enumerate(loaded.class_names):
        rows = loaded.inputs[loaded.offsets[index] : loaded.offsets[index + 1]]
        label = names.index(name) if names else int(name)
        np.testing.assert_array_equal(rows.reshape(len(rows), -1), values[np.array(labels) == label])
    assert loaded.offsets[-1] == len(labels)


@settings
@hypothesis.given(strategies.data(), LABELS, SIDES, SIDES, strategies.sampled_from((1, 3)))
def test_pictures_of_an_npz(tmp_path, data, labels, height, width, channels):
    names = data.draw(strategies.lists(NAMES, min_size=5, max_size=5, unique=True))
    dtype = data.draw(strategies.sampled_from(("u1", "<i4", ">u2", "?", "<f4", ">f8")))
    pixels = data.draw(arrays.arrays(np.uint8, (len(labels), height, width, channels)))
    pixels[0, 0, 0, 0] = 255  # a set that does not use its range is refused
    pixels = 255 * (pixels > 127).astype(np.uint8) if dtype == "?" else pixels
    stored = (pixels / 255 if dtype == "?" or dtype[-2] == "f" else pixels).astype(dtype)
    save = data.draw(strategies.sampled_from((np.savez, np.savez_compressed)))
    kind = data.draw(strategies.sampled_from((np.int64, np.uint8, ">i2")))
    save(tmp_path / "it.npz", images=stored, labels=np.array(labels, kind), class_names=np.array(names))
    # NumPy's text forgets NULs at its end, and no other character.
    check(datasets.load(tmp_path / "it.npz"), pixels.reshape(len(labels), -1), labels, names)


@settings
@hypothesis.given(strategies.data(), LABELS, SIDES, strategies.sampled_from(("<f4", ">f8", "<f2", "i1", "<u4")))
def test_vectors_of_an_npz(tmp_path, data, labels, width, dtype):
    limits = {"allow_nan": False, "allow_infinity": False} if "f" in dtype else {}
    limits |= {"min_value": -1e30, "max_value": 1e30} if dtype == ">f8" else {}
    values = data.draw(arrays.arrays(dtype, (len(labels), width), elements=limits))
    values = np.asfortranarray(values) if data.draw(strategies.booleans()) else values
    np.savez(tmp_path / "it.npz", inputs=values, labels=np.array(labels))
    check(datasets.load(tmp_path / "it.npz"), values.astype(np.float32), labels)


@settings
@hypothesis.given(strategies.data(), LABELS, SIDES)
def test_a_csv(tmp_path, data, labels, width):
    finite = strategies.floats(allow_nan=False, allow_infinity=False, width=32)
    values = data.draw(arrays.arrays(np.float32, (len(labels), width), elements=finite))
    columns = data.draw(strategies.lists(NAMES, min_size=width, max_size=width))
    columns = [f"column {name}" for name in columns]
    place = data.draw(strategies.integers(0, width))
    with (tmp_path / "it.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator=data.draw(strategies.sampled_from(("\n", "\r\n"))))
        for row, label in [(columns, "label"), *zip(values.astype(float).tolist(), labels, strict=True)]:
            writer.writerow([*row[:place], label, *row[place:]])
    check(datasets.load(tmp_path / "it.csv"), values, labels)
    features, targets, header = datasets.read_table(tmp_path / "it.csv")
    np.testing.assert_array_equal(features, values)
    assert targets == [str(label) for label in labels]
    assert header == [name.strip() for name in columns]


@settings
@hypothesis.given(strategies.data(), LABELS, SIDES, SIDES, strategies.sampled_from(("png", "bmp", "tif")))
def test_class_folders(tmp_path_factory, data, labels, height, width, suffix):
    folder = tmp_path_factory.mktemp("made")
    shape = data.draw(strategies.sampled_from(((height, width), (height, width, 3))))
    pixels = data.draw(arrays.arrays(np.uint8, (len(labels), *shape)))
    pixels.flat[0] = 255  # what is dark all over is of another scale
    for index, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
        (folder / str(label)).mkdir(exist_ok=True)
        Image.fromarray(picture).save(folder / str(label) / f"{index:03}.{suffix}")
    check(datasets.load(folder), pixels.reshape(len(labels), -1), labels)


@settings
@hypothesis.given(strategies.lists(NAMES, min_size=datasets.MIN_CLASSES, max_size=30, unique=True), strategies.data())
def test_classes_are_shared_out_without_loss(names, data):
    labels = np.array([*range(len(names)), *data.draw(strategies.lists(strategies.integers(0, len(names) - 1)))])
    everything = datasets.from_labels(np.arange(len(labels))[:, None], labels, names, name="it")
    order = data.draw(strategies.permutations(names))
    parts = [datasets.by_class(everything, split) for split in ("train", "validation", "test")]
    assert sorted(name for part in parts for name in part.class_names) == sorted(names)
    assert sorted(value for part in parts for value in part.inputs[:, 0]) == sorted(everything.inputs[:, 0])
    assert len(parts[1].class_names) == len(parts[2].class_names) == len(names) // 4
    # By name alone: another order of the classes changes nothing.
    again = datasets.from_labels(np.zeros((len(names), 1)), np.arange(len(names)), order, name="it")
    for part, split in zip(parts, ("train", "validation", "test"), strict=True):
        assert set(datasets.by_class(again, split).class_names) == set(part.class_names)


@settings
@hypothesis.given(arrays.arrays(np.float32, (24, 2), elements=strategies.integers(0, 5)))
def test_rows_are_shared_out_without_loss(inputs):
    parts = datasets.share_rows(inputs)
    assert sorted(index for part in parts.values() for index in part) == list(range(len(inputs)))
    for first, second in itertools.combinations(parts.values(), 2):
        assert not {*map(tuple, inputs[first].tolist())} & {*map(tuple, inputs[second].tolist())}
