import importlib.util

import fuzz
import pytest
import readers

FILES = 50


@pytest.mark.parametrize("name", list(readers.READERS))
def test_damaged_files_are_read_right_or_refused(name, tmp_path):
    if name == "tensorflow-datasets" and not importlib.util.find_spec("array_record"):
        pytest.skip("array_record is not installed")
    outcomes = list(fuzz.run(name, range(FILES), 0, tmp_path))
    assert [outcome for outcome in outcomes if outcome.kind == fuzz.FINDING] == []
    assert fuzz.REFUSED in {outcome.kind for outcome in outcomes}
