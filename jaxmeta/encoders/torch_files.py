"""Tensors of PyTorch's files, read without torch by a reader that knows tensors alone and runs nothing.

Both forms of `torch.save`: the zip archive (since 1.6) and the row of pickles before it. A pickle may name any function
of any module to be called; here the names that tensors need stand for inert objects of this file, and any other name is
an error before anything is called.
"""

from __future__ import annotations

import collections
import io
import pathlib
import pickle
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import files

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
TRUST = "nothing of it was run; save the model's state_dict alone, or as safetensors"

# bfloat16 is the upper half of a float32.
BFLOAT16 = np.dtype([("bfloat16", "<u2")])
DTYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": BFLOAT16,
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype
    count: int


class _Tensor(NamedTuple):
    """A view of a storage; the shape and the strides are counted in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _StorageType(NamedTuple):
    dtype: np.dtype


# These stand in the place of torch's functions. They have no attributes that a pickle could set.
class _RebuildTensor:
    __slots__ = ()

    def __call__(self, storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
        made = _Tensor(storage, offset, tuple(shape), tuple(strides))
        whole = all(type(each) is int and each >= 0 for each in (offset, *made.shape, *made.strides))
        if not isinstance(storage, _Storage) or not whole or len(made.shape) != len(made.strides):
            raise pickle.UnpicklingError("a tensor without a storage, a shape and strides")
        return made


class _RebuildParameter:
    __slots__ = ()

    def __call__(self, data: Any, *_: Any) -> Any:
        return data


ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _RebuildTensor(),
    ("torch._utils", "_rebuild_parameter"): _RebuildParameter(),
    **{("torch", name): _StorageType(dtype) for name, dtype in DTYPES.items()},
}


# Python's own form: the one in C takes as much memory as a number in the file says.
class _Unpickler(pickle._Unpickler):
    def __init__(self, stream: io.BytesIO, what: str) -> None:
        super().__init__(stream, encoding="utf-8")
        self.what = what
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module_name: str, global_name: str) -> Any:
        if (found := ALLOWED.get((module_name, global_name))) is None:
            wanted = "a pickle of tensors alone"
            checks.fail(self.what, wanted, f"one that calls {module_name}.{global_name}", TRUST, checks.DataError)
        return found

    def persistent_load(self, pid: Any) -> _Storage:
        view = pid[5] if isinstance(pid, tuple) and len(pid) == 6 else None
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage" or view is not None:
            raise pickle.UnpicklingError("a reference to something that is no storage")
        kind, key, count = pid[1], pid[2], pid[4]
        if not isinstance(kind, _StorageType) or not isinstance(key, str) or type(count) is not int or count < 0:
            raise pickle.UnpicklingError("a storage without type, name and size")
        storage = _Storage(key, kind.dtype, count)
        if self.storages.setdefault(key, storage) != storage:
            raise pickle.UnpicklingError(f"two storages of the name {key!r}")
        return storage


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Returns the tensors of a state_dict, or of a checkpoint that holds one as "state_dict" or "model".

    Entries that are no tensors, such as the epoch, are left out. bfloat16 comes as float32.

    Raises:
      DataError: if the file is damaged or of another form, asks for code to be run, or has a tensor that reaches out of
        its storage.
    """
    with files.reading(path):
        with path.open("rb") as stream:
            is_zip = stream.read(2) == b"PK"
        saved, load = _read_zip(path) if is_zip else _read_legacy(path)
        for key in ("state_dict", "model"):
            if isinstance(saved, Mapping) and isinstance(saved.get(key), Mapping):
                saved = saved[key]
        if not isinstance(saved, Mapping):
            checks.fail(str(path), "named tensors, as of state_dict()", type(saved).__name__, error=checks.DataError)
        kept = {name: each for name, each in saved.items() if isinstance(name, str) and isinstance(each, _Tensor)}
        return {name: _array(f"{path}, {name}", each, load) for name, each in kept.items()}


Load = Callable[[_Storage], bytes]


def _read_zip(path: pathlib.Path) -> tuple[Any, Load]:
    with files.archive(path) as opened:
        names = set(opened.namelist())
        pickles = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            checks.fail(str(path), "one data.pkl, as torch.save writes it", f"{len(pickles)}", error=checks.DataError)
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in names and opened.read(f"{folder}byteorder") != b"little":
            checks.fail(str(path), "numbers with the low byte first", "another order", error=checks.DataError)
        unpickler = _Unpickler(io.BytesIO(opened.read(pickles[0])), str(path))
        saved = unpickler.load()
        contents = {key: opened.read(f"{folder}data/{key}") for key in unpickler.storages}
    return saved, lambda storage: contents[storage.key]


def _read_legacy(path: pathlib.Path) -> tuple[Any, Load]:
    stream = io.BytesIO(path.read_bytes())

    def load() -> Any:
        return _Unpickler(stream, str(path)).load()

    if load() != MAGIC or load() != PROTOCOL:
        checks.fail(str(path), "a file that torch.save wrote", "another pickle", error=checks.DataError)
    system = load()
    if not isinstance(system, dict) or not system.get("little_endian", True):
        checks.fail(str(path), "numbers with the low byte first", "another order", error=checks.DataError)
    unpickler = _Unpickler(stream, str(path))
    saved, keys, contents = unpickler.load(), load(), {}
    for key in keys:
        storage = unpickler.storages[key]
        size = storage.count * storage.dtype.itemsize
        if int.from_bytes(stream.read(8), "little") != storage.count or len(found := stream.read(size)) != size:
            checks.fail(f"{path}, storage {key}", f"{size:,} bytes", "fewer, or another count", error=checks.DataError)
        contents[key] = found
    return saved, lambda storage: contents[storage.key]


def _array(what: str, tensor: _Tensor, load: Load) -> np.ndarray:
    """The tensor as an array of its own, after a look at where its last element lies."""
    storage = tensor.storage
    content = load(storage)
    if len(content) != storage.count * storage.dtype.itemsize:
        wanted = f"{storage.count:,} numbers of {storage.dtype.itemsize} bytes"
        checks.fail(what, wanted, f"{len(content):,} bytes", error=checks.DataError)
    count = 1
    for extent in tensor.shape:
        count *= extent
    last = tensor.offset + sum((e - 1) * s for e, s in zip(tensor.shape, tensor.strides, strict=True))
    if count and (last >= storage.count or count > storage.count):
        got = f"shape {tensor.shape}, strides {tensor.strides} from {tensor.offset}"
        checks.fail(what, f"a view of {storage.count:,} numbers", got, error=checks.DataError)
    if not count:
        return np.zeros(tensor.shape, np.float32)
    flat = np.frombuffer(content, storage.dtype)[tensor.offset :]
    strides = [stride * storage.dtype.itemsize for stride in tensor.strides]
    found = np.lib.stride_tricks.as_strided(flat, tensor.shape, strides, writeable=False)
    if storage.dtype == BFLOAT16:
        return np.left_shift(found["bfloat16"], 16, dtype=np.uint32).view(np.float32)
    return found.copy()
