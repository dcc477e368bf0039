import importlib.util

import fuzz
import pytest
import readers

FILES = 50
# A picture of 42 megapixels in a few hundred bytes, a column with a name of 5,000 letters, a description that asks for
# TensorFlow, a split without examples, infinitely many of them, names of files that are no names.
FOUND = {
    "class folders": (8407,),
    "picture": (4843,),
    "csv": (4948,),
    "tables of pictures": (4405,),
    "tensorflow-datasets": (2823, 2847, 7535, 8396),
}


@pytest.mark.parametrize("name", list(readers.READERS))
def test_damaged_files_are_read_right_or_refused(name, tmp_path):
    if name == "tensorflow-datasets" and not importlib.util.find_spec("array_record"):
        pytest.skip("array_record is not installed")
    numbers = (*range(FILES), *FOUND.get(name, ()))
    outcomes = list(fuzz.run(name, numbers, 0, tmp_path))
    assert [outcome for outcome in outcomes if outcome.kind == fuzz.FINDING] == []
    assert fuzz.REFUSED in {outcome.kind for outcome in outcomes}
