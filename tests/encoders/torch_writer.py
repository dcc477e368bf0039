"""Files as torch.save writes them, made by hand without torch, so that any part of them can be wrong."""

import io
import pathlib
import pickle
import struct
import zipfile

import numpy as np

from jaxmeta.encoders import torch_files


def code(value: object) -> bytes:
    """The opcodes that push a value of Python's own."""
    return pickle.dumps(value, protocol=2)[2:-1]


def call(module: str, name: str, *arguments: bytes) -> bytes:
    """The opcodes that call a function of any module."""
    return b"c" + f"{module}\n{name}\n".encode() + b"(" + b"".join(arguments) + b"tR"


def tensor(key: str, count: int, shape: tuple, strides: tuple, *, offset: int = 0, extra: bytes = b"") -> bytes:
    """A float32 tensor; `extra` is the legacy form's view of the storage."""
    kind = b"ctorch\nFloatStorage\n"
    storage = b"(" + code("storage") + kind + code(key) + code("cpu") + code(count) + extra + b"tQ"
    rest = code(offset), code(shape), code(strides), code(False), call("collections", "OrderedDict")
    return call("torch._utils", "_rebuild_tensor_v2", storage, *rest)


def pickled(entries: dict[str, bytes]) -> bytes:
    items = b"".join(code(name) + value for name, value in entries.items())
    return b"\x80\x02" + call("collections", "OrderedDict") + b"(" + items + b"u."


def write_zip(path: pathlib.Path, content: bytes, storages: dict[str, bytes]) -> pathlib.Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        for key, each in storages.items():
            archive.writestr(f"archive/data/{key}", each)
    return path


def write_legacy(path: pathlib.Path, content: bytes, storages: dict[str, bytes]) -> pathlib.Path:
    stream = io.BytesIO()
    for each in (torch_files.MAGIC, torch_files.PROTOCOL, {"little_endian": True}):
        stream.write(pickle.dumps(each, protocol=2))
    stream.write(content)
    stream.write(pickle.dumps(list(storages), protocol=2))
    for each in storages.values():
        stream.write(struct.pack("<q", len(each) // 4) + each)
    path.write_bytes(stream.getvalue())
    return path


WRITERS = {"zip": (write_zip, b""), "legacy": (write_legacy, b"N")}


def save(path: pathlib.Path, arrays: dict[str, np.ndarray], form: str = "zip") -> pathlib.Path:
    """Writes float32 arrays."""
    write, extra = WRITERS[form]
    entries, storages = {}, {}
    for key, (name, array) in enumerate(arrays.items()):
        array = np.array(array, np.float32, order="C")
        strides = tuple(stride // 4 for stride in array.strides)
        entries[name] = tensor(str(key), array.size, array.shape, strides, extra=extra)
        storages[str(key)] = array.tobytes()
    return write(path, pickled(entries), storages)
