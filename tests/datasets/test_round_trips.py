"""What is written comes back, whatever the sizes, values and names."""

import csv
import pathlib
import tempfile

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jaxmeta import datasets

SETTINGS = settings(max_examples=20, derandomize=True, deadline=None, database=None)
LABELS = st.lists(st.integers(0, 3), min_size=1, max_size=8)
FLOATS = st.floats(-(2.0**99), 2.0**99, width=32, allow_subnormal=False)
# Any text that can be a file's name; a dot in front hides a folder, and a class may not be called like its own parent.
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"), min_size=1, max_size=12)
NAMES = st.lists(TEXTS.filter(lambda name: not name.startswith(".")), min_size=4, max_size=4, unique=True)


def random_pictures(count, height, width, channels):
    return np.random.default_rng(count).integers(0, 256, (count, height, width, channels), np.uint8)


def check_classes(examples, inputs, labels, names):
    """Each class holds its examples, in their order."""
    assert sorted(examples.class_names) == sorted({names[label] for label in labels})
    for index, name in enumerate(examples.class_names):
        rows = examples.inputs[examples.offsets[index] : examples.offsets[index + 1]]
        np.testing.assert_array_equal(
            rows, [row for row, label in zip(inputs, labels, strict=True) if names[label] == name]
        )


@SETTINGS
@given(LABELS, NAMES, st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 3]), st.booleans())
def test_pictures_of_an_npz(labels, names, height, width, channels, compressed):
    with tempfile.TemporaryDirectory() as folder:
        inputs = random_pictures(len(labels), height, width, channels)
        save = np.savez_compressed if compressed else np.savez
        save(f"{folder}/set.npz", images=inputs, labels=np.array(labels), class_names=np.array(names))
        check_classes(datasets.load(f"{folder}/set.npz"), inputs, labels, names)


@SETTINGS
@given(LABELS, NAMES, st.data())
def test_vectors_of_an_npz(labels, names, data):
    rows = st.lists(FLOATS, min_size=2, max_size=2)
    inputs = np.array(data.draw(st.lists(rows, min_size=len(labels), max_size=len(labels))), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        np.savez(f"{folder}/set.npz", inputs=inputs, labels=np.array(names)[labels])
        check_classes(datasets.load(f"{folder}/set.npz"), inputs, labels, names)


@SETTINGS
@given(LABELS, NAMES, st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 3]))
def test_pictures_of_a_folder(labels, names, height, width, channels):
    inputs = random_pictures(len(labels), height, width, channels)
    with tempfile.TemporaryDirectory() as folder:
        for number, (picture, label) in enumerate(zip(inputs, labels, strict=True)):
            path = pathlib.Path(folder, names[label], f"{number}.png")
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(picture[..., 0] if channels == 1 else picture).save(path)
        check_classes(datasets.load(folder), inputs, labels, names)


@SETTINGS
@given(LABELS, NAMES, st.data(), st.booleans())
def test_a_csv(labels, names, data, header):
    names = [f"{name.strip()}." for name in names]  # a class is read without blanks around it, and none is a number
    rows = data.draw(st.lists(st.lists(FLOATS, min_size=2, max_size=2), min_size=len(labels), max_size=len(labels)))
    if len(set(names)) < len(names):
        return
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/set.csv", "w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            if header:
                writer.writerow(["u", "v", "label"])
            writer.writerows([*row, names[label]] for row, label in zip(rows, labels, strict=True))
        check_classes(datasets.load(f"{folder}/set.csv"), np.array(rows, np.float32), labels, names)
