import pathlib
import pickle

import made
import numpy as np
import pytest
import torch_writer

from jaxmeta import checks
from jaxmeta.encoders import torch_files

HERE = pathlib.Path(__file__).parent
NUMBERS = np.arange(6, dtype=np.float32).tobytes()
FORMS = ("zip", "legacy")


@pytest.mark.parametrize("form", FORMS)
def test_files_of_torch(form):
    found, wanted = torch_files.read(HERE / f"tensors_{form}.pth"), made.saved()
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].shape == array.shape
        assert found[name].dtype == array.dtype


@pytest.mark.parametrize("form", FORMS)
def test_files_made_here(form, tmp_path):
    arrays = {"a": np.ones((2, 3), np.float32), "b": np.float32(2).reshape(())}
    found = torch_files.read(torch_writer.save(tmp_path / "w.pth", arrays, form))
    np.testing.assert_array_equal(found["a"], arrays["a"])
    assert found["b"] == 2


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("posix", "system"), ("os", "system"), ("builtins", "eval"), ("builtins", "getattr"), ("torch", "load"),
        ("collections", "OrderedDict.fromkeys"), ("jaxmeta.encoders", "open"), ("torch._utils", "_rebuild_tensor_v2.x"),
    ],
)  # fmt: skip
def test_a_pickle_that_wants_to_run_code(form, module, name, tmp_path, refused):
    ran = tmp_path / "ran"
    content = torch_writer.pickled({"a": torch_writer.call(module, name, torch_writer.code(f"touch {ran}"))})
    path = torch_writer.WRITERS[form][0](tmp_path / "w.pth", content, {})
    with refused("w.pth", f"{module}.{name}", "nothing of it was run"):
        torch_files.read(path)
    assert not ran.exists()


@pytest.mark.fault(promised="the file is refused; nothing of the reader changes")
def test_a_pickle_that_changes_what_stands_for_torch(tmp_path):
    for name in ("_rebuild_tensor_v2", "_rebuild_parameter"):
        states = ({"__call__": 1}, (None, {"__call__": 1}))
        for state in states:
            content = b"\x80\x02" + f"ctorch._utils\n{name}\n".encode() + torch_writer.code(state) + b"b."
            with pytest.raises(checks.DataError):
                torch_files.read(torch_writer.write_zip(tmp_path / "w.pth", content, {}))
    test_files_of_torch("zip")


@pytest.mark.parametrize("form", FORMS)
def test_a_file_cut_off(form, tmp_path, refused):
    whole = (HERE / f"tensors_{form}.pth").read_bytes()
    path = tmp_path / "w.pth"
    for size in [0, 1, 2, 5, *range(10, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with refused("w.pth"):
            torch_files.read(path)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((7,), (1,), 0), ((6,), (1,), 1), ((2, 3), (4, 1), 0), ((2,), (2**62,), 0), ((6,), (-1,), 5), ((6,), (1,), -1),
        ((2**40,), (0,), 0), ((2, 3), (1,), 0), ((-1,), (1,), 0), ((2.0,), (1,), 0),
    ],
)  # fmt: skip
def test_views_that_leave_their_storage(form, shape, strides, offset, tmp_path, refused):
    write, extra = torch_writer.WRITERS[form]
    content = torch_writer.pickled({"a": torch_writer.tensor("0", 6, shape, strides, offset=offset, extra=extra)})
    with refused("w.pth"):
        torch_files.read(write(tmp_path / "w.pth", content, {"0": NUMBERS}))


@pytest.mark.parametrize("count", [5, 7, 2**40])
@pytest.mark.parametrize("form", FORMS)
def test_storages_of_another_size(form, count, tmp_path, refused):
    write, extra = torch_writer.WRITERS[form]
    content = torch_writer.pickled({"a": torch_writer.tensor("0", count, (2,), (1,), extra=extra)})
    with refused("w.pth"):
        torch_files.read(write(tmp_path / "w.pth", content, {"0": NUMBERS}))


@pytest.mark.parametrize("saved", [3, ["a"], "text"])
def test_a_pickle_of_something_else(saved, tmp_path, refused):
    with refused("w.pth", "state_dict"):
        torch_files.read(torch_writer.write_zip(tmp_path / "w.pth", pickle.dumps(saved, protocol=2), {}))
