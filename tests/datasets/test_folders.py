import os

import numpy as np
import pytest
from PIL import Image

from jaxmeta import datasets, tasks
from jaxmeta.datasets import Form


def test_class_folders(class_folders):
    insects = datasets.load(class_folders)
    assert insects.name == "insects"
    assert insects.class_names == ("ant", "bee", "cat")
    assert insects.inputs.shape == (6, 6, 4, 1)
    assert insects.inputs.dtype == np.uint8
    np.testing.assert_array_equal(insects.offsets, [0, 1, 3, 6])
    np.testing.assert_array_equal(insects.inputs[:, 0, 0, 0], [0, 100, 110, 200, 210, 220])
    assert list(insects.checksums) == ["insects"]


def test_checksum_follows_names_and_contents(class_folders):
    before = datasets.load(class_folders).checksums
    assert datasets.load(str(class_folders) + "/").checksums == before
    (class_folders / "ant" / "0.png").rename(class_folders / "ant" / "1.png")
    renamed = datasets.load(class_folders).checksums
    Image.fromarray(np.full((6, 4), 99, np.uint8)).save(class_folders / "ant" / "1.png")
    changed = datasets.load(class_folders).checksums
    assert len({tuple(each.values()) for each in (before, renamed, changed)}) == 3


def test_hidden_and_other_files_are_skipped(class_folders):
    (class_folders / ".git").mkdir()
    (class_folders / "ant" / ".hidden.png").write_bytes(b"")
    (class_folders / "ant" / "notes.txt").write_text("x")
    (class_folders / "readme.md").write_text("x")
    assert datasets.load(class_folders).offsets[-1] == 6


def test_nested_classes_are_named_by_their_path(class_folders):
    assert datasets.load(class_folders.parent).class_names == ("insects/ant", "insects/bee", "insects/cat")


def test_form(class_folders):
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(class_folders / "ant" / "big.png")
    insects = datasets.load(class_folders, form=Form(5, 7, 3, "invert"))
    assert insects.inputs.shape == (7, 5, 7, 3)
    np.testing.assert_array_equal(insects.inputs[:, 0, 0, 0], 255 - np.array([0, 0, 100, 110, 200, 210, 220]))


def test_mixed_sizes_need_a_form(class_folders, refused):
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(class_folders / "bee" / "odd.png")
    with refused("odd.png", "6 x 4 grey", "9 x 9 RGB", "form"):
        datasets.load(class_folders)
    Image.fromarray(np.zeros((6, 4, 3), np.uint8)).save(class_folders / "bee" / "odd.png")
    with refused("odd.png", "6 x 4 grey", "6 x 4 RGB"):
        datasets.load(class_folders)


def test_a_corrupt_picture_is_named(class_folders, refused):
    path = class_folders / "bee" / "1.png"
    path.write_bytes(path.read_bytes()[:40])
    with refused(path):
        datasets.load(class_folders)


def test_empty_folders(class_folders, tmp_path, refused):
    (class_folders / "dog").mkdir()
    with refused(class_folders / "dog", "none"):
        datasets.load(class_folders)
    (tmp_path / "empty").mkdir()
    with refused("empty", "an empty folder"):
        datasets.load(tmp_path / "empty")
    with refused("empty", "none"):
        datasets.load_inputs(tmp_path / "empty")


def test_pictures_outside_of_a_class(class_folders, refused):
    with refused("ant", "1 pictures at the top"):
        datasets.load(class_folders / "ant")
    (class_folders / "ant" / "queen").mkdir()
    with refused("ant", "both"):
        datasets.load(class_folders)


def test_links_inside_are_followed(class_folders):
    (class_folders / "dog").mkdir()
    (class_folders / "dog" / "0.png").symlink_to(class_folders / "cat" / "2.png")
    (class_folders / "elk").symlink_to("bee")
    insects = datasets.load(class_folders)
    assert insects.class_names == ("ant", "bee", "cat", "dog", "elk")
    np.testing.assert_array_equal(insects.inputs[6:, 0, 0, 0], [220, 100, 110])


def test_a_link_to_the_folder_itself_is_fine(class_folders, tmp_path):
    (tmp_path / "link").symlink_to(class_folders)
    assert datasets.load(tmp_path / "link").name == "link"


@pytest.mark.parametrize("read", [datasets.load, datasets.load_inputs])
def test_links_outside_are_refused(class_folders, tmp_path, refused, read):
    secret = tmp_path / "insects_secret"  # its path starts like the folder's
    secret.mkdir()
    Image.fromarray(np.zeros((6, 4), np.uint8)).save(secret / "0.png")
    for link, target in ((class_folders / "ant" / "x.png", secret / "0.png"), (class_folders / "zoo", secret)):
        link.symlink_to(target)
        with refused(link, "a link out of it"):
            read(class_folders)
        link.unlink()


def test_broken_and_circular_links(class_folders, refused):
    link = class_folders / "ant" / "x.png"
    for target in ("missing.png", "x.png"):
        link.symlink_to(target)
        with refused(link, "broken"):
            datasets.load(class_folders)
        link.unlink()
    (class_folders / "up").mkdir()
    (class_folders / "up" / "again").symlink_to(class_folders)
    with refused("again", "above it"):
        datasets.load(class_folders)


def test_inputs_of_a_folder(class_folders):
    names, inputs = datasets.load_inputs(class_folders)
    assert names == ["ant/0.png", "bee/0.png", "bee/1.png", "cat/0.png", "cat/1.png", "cat/2.png"]
    np.testing.assert_array_equal(inputs[:, 0, 0, 0], [0, 100, 110, 200, 210, 220])
    names, inputs = datasets.load_inputs(class_folders / "bee", form=Form(3, 3, 3))
    assert names == ["0.png", "1.png"]
    assert inputs.shape == (2, 3, 3, 3)


def test_inputs_of_one_picture(class_folders):
    names, inputs = datasets.load_inputs(class_folders / "bee" / "1.png", form=Form(3, 3, 1, "invert"))
    assert names == ["1.png"]
    np.testing.assert_array_equal(inputs, np.full((1, 3, 3, 1), 255 - 110))


def test_one_picture_a_class(class_folders):
    for path in [*class_folders.glob("*/1.png"), *class_folders.glob("*/2.png")]:
        path.unlink()
    insects = datasets.load(class_folders)
    np.testing.assert_array_equal(insects.offsets, [0, 1, 2, 3])
    with pytest.raises(ValueError, match=r"at most 1, the examples of class 'ant', got 1 \+ 1 = 2"):
        tasks.few_shot(insects, num_ways=2, num_shots=1, num_queries=1)


def test_grey_and_colour_meet_in_a_form(class_folders, refused, cache_folder):
    Image.fromarray(np.full((6, 4, 3), 50, np.uint8)).save(class_folders / "bee" / "colour.png")
    with refused("bee/colour.png", "6 x 4 grey", "6 x 4 RGB", "form"):
        datasets.load(class_folders)
    assert not cache_folder.exists()
    for channels in (1, 3):
        insects = datasets.load(class_folders, form=Form(6, 4, channels))
        np.testing.assert_array_equal(insects.inputs[:, 0, 0, 0], [0, 100, 110, 50, 200, 210, 220])


NAMES = ("<b>x</b>", "&amp;", "a b", "ключ", "'q'", "%s {0}", "new\nline", "-x", "C", "c")


def test_classes_of_any_name(tmp_path):
    for value, name in enumerate(NAMES):
        # Where no folder can be in a name: "<b>x</b>" is a folder "<b>x<" that holds "b>".
        (tmp_path / "odd" / name).mkdir(parents=True)
        Image.fromarray(np.full((2, 2), 25 * value, np.uint8)).save(tmp_path / "odd" / name / "<i>.png")
    odd = datasets.load(tmp_path / "odd")
    assert set(odd.class_names) == set(NAMES)
    for name, value in zip(odd.class_names, odd.inputs[:, 0, 0, 0], strict=True):
        assert NAMES[value // 25] == name
    parts = [datasets.load(tmp_path / "odd", split=split) for split in ("train", "validation", "test")]
    assert sorted(name for part in parts for name in part.class_names) == sorted(NAMES)


def test_names_that_are_no_utf8(tmp_path):
    for value in range(8):
        folder = os.fsencode(tmp_path) + b"/odd/\xff" + str(value).encode()
        os.makedirs(folder)
        Image.fromarray(np.full((2, 2), 25 * value, np.uint8)).save(os.fsdecode(folder + b"/0.png"))
    odd = datasets.load(tmp_path / "odd")
    np.testing.assert_array_equal(odd.inputs[:, 0, 0, 0], range(0, 200, 25))
    assert len(datasets.load(tmp_path / "odd", split="train").class_names) == 4


def test_a_changed_cache_cannot_hide_a_corrupt_picture(class_folders, cache_folder, refused):
    datasets.load(class_folders)
    (class_folders / "cat" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with refused("cat/2.png"):
        datasets.load(class_folders)
    assert len(list(cache_folder.iterdir())) == 1
