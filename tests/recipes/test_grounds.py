"""Pictures of one's own to learn from and to predict: what is said where these are unlike those."""

import numpy as np
import pytest
from PIL import Image

from jaxmeta import recipes
from jaxmeta.datasets import files
from jaxmeta.recipes.kinds import facts, pictures
from jaxmeta.recipes.recipe import Task

TASK = Task(picture=(8, 8, 1), ways=0)
SAID = "read, and what is unlike the labelled pictures is said"


def drawn(seed, ground="bright", low=0, high=255):
    """Some ink inside of a border."""
    ink = np.zeros((8, 8), np.uint8)
    ink[2:6, 2:6] = np.random.default_rng(seed).integers(1, 256, (4, 4))
    shade = ink if ground == "dark" else 255 - ink
    return (low + shade * ((high - low) / 255)).astype(np.uint8)


def put(path, pictures):
    path.mkdir(parents=True)
    for index, each in enumerate(pictures):
        Image.fromarray(each).save(path / f"{index}.png")


def labelled(path, grounds=("bright",) * 3):
    for index, (name, ground) in enumerate(zip("abc", grounds, strict=True)):
        put(path / name, [drawn(10 * index + each, ground) for each in range(4)])
    return path


def own(support, inputs, polarity="ink"):
    return recipes.Own(str(support), str(inputs), None, polarity, None)


@pytest.fixture
def read(tmp_path):
    """(grounds of three classes, pictures to predict, polarity) -> what is given, said of labelled ones, of inputs."""

    def read(grounds, inputs, polarity="ink"):
        put(tmp_path / "inputs", inputs)
        mine, told = own(labelled(tmp_path / "support", grounds), tmp_path / "inputs", polarity), []
        with files.watched(lambda items, *_: items, told.append):
            given = pictures.PICTURES.read(TASK, mine, 0)
        again, (count, *said) = [], told
        assert count == f"read inputs, inputs: {len(inputs)} pictures"
        with files.watched(lambda items, *_: items, again.append):
            _, same = pictures.PICTURES.read_inputs(TASK, mine, given.frame)
        np.testing.assert_array_equal(same, given.inputs)
        turned = "inverted" if given.frame.facts["polarity"] == "invert" else "not inverted"
        assert again[1] == "; ".join(
            [f"read inputs, inputs: {turned}, as the labelled ones", *(each.split(": ")[1] for each in said)]
        )
        return given, given.facts[0]["notes"], "".join(said)

    return read


@pytest.mark.parametrize("ground", ["bright", "dark"])
@pytest.mark.parametrize("swapped", [0, 2, 5])
@pytest.mark.fault(promised=SAID)
def test_pictures_on_another_ground(read, ground, swapped):
    other = "dark" if ground == "bright" else "bright"
    inputs = [drawn(50 + index, other if index < swapped else ground) for index in range(5)]
    given, notes, said = read((ground,) * 3, inputs)
    assert notes == [f"{ground} borders, so {'all are' if ground == 'bright' else 'none is'} inverted"]
    assert notes[0] in facts.line(given.facts[0])
    wanted = f"{swapped} of 5 have {other} borders where the labelled ones have {ground} ones"
    assert said == (f"read inputs, inputs: {wanted}" if swapped else "")


@pytest.mark.fault(promised=SAID)
def test_blank_pictures(read):
    blank = [np.full((8, 8), shade, np.uint8) for shade in (255, 0)]
    _, _, said = read(("bright",) * 3, [*blank, *map(drawn, range(50, 53))])
    assert said == "read inputs, inputs: 2 of 5 are blank"


@pytest.mark.parametrize("polarity", ["as_is", "invert"])
def test_a_polarity_that_is_asked_for_is_not_said(read, polarity):
    assert read(("bright",) * 3, [drawn(50)], polarity)[1:] == ([], "")


@pytest.mark.fault(promised=SAID)
def test_a_polarity_that_is_asked_for_hides_no_other_ground(read):
    assert "1 of 1 have dark borders" in read(("bright",) * 3, [drawn(50, "dark")], "as_is")[2]


@pytest.mark.parametrize(
    ("grounds", "note"),
    [
        (("dark", "bright", "bright"), "dark borders in a, bright ones in other classes: that may be all"),
        (("dark", "bright", "dark"), "bright borders in b, dark ones in other classes: that may be all"),
    ],
)
@pytest.mark.fault(promised="read, and the class that its ground gives away is said")
def test_a_class_on_another_ground(read, grounds, note):
    _, notes, said = read(grounds, [drawn(50), drawn(51, "dark")])
    assert notes[0].startswith(note)
    assert said == ""  # no ground is that of the labelled ones


@pytest.mark.fault(promised="read, and labelled pictures unlike the others are said")
def test_labelled_pictures_unlike_the_others(tmp_path):
    path = labelled(tmp_path / "support")
    Image.fromarray(drawn(99, "dark")).save(path / "b" / "9.png")
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(path / "b" / "8.png")
    given = pictures.PICTURES.read(TASK, own(path, path / "b" / "1.png"), 0)
    assert given.facts[0]["notes"][:2] == [
        "1 of 14 have dark borders where the others have bright ones",
        "1 of 14 are blank",
    ]


def test_photographs_have_no_ground(tmp_path):
    rng, told = np.random.default_rng(0), []
    for name in "ab":
        put(tmp_path / "support" / name, rng.integers(0, 256, (4, 8, 8), np.uint8))
    put(tmp_path / "inputs", [drawn(1), drawn(2, "dark")])
    mine = own(tmp_path / "support", tmp_path / "inputs", "as_is")
    with files.watched(lambda items, *_: items, told.append):
        given = pictures.PICTURES.read(TASK, mine, 0)
    assert (told, given.facts[0]["notes"]) == (["read inputs, inputs: 2 pictures"], [])


@pytest.mark.parametrize(("polarity", "said"), [("invert", "; 1 of 1 have dark borders"), ("as_is", "")])
@pytest.mark.fault(promised=SAID)
def test_a_frame_of_before_knows_what_was_inverted(tmp_path, polarity, said):
    put(tmp_path / "inputs", [drawn(1, "dark")])
    told = []
    with files.watched(lambda items, *_: items, told.append):
        pictures.PICTURES.read_inputs(TASK, own("kept", tmp_path / "inputs"), recipes.Frame({"polarity": polarity}))
    assert f"as the labelled ones{said}" in told[1]
    assert bool(said) == ("borders" in told[1])
