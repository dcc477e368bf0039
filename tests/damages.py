"""What is done to files: bits, lengths and numbers, inside of containers too, names, links and pickles."""

from __future__ import annotations

import gzip
import io
import json
import os
import pathlib
import pickle
import random
import re
import shutil
import struct
import tempfile
import warnings
import zipfile
import zlib
from typing import Any

Files = dict[str, bytes]  # what lies in a folder

NUMBERS = [b"0", b"-1", b"1", b"255", b"65536", b"2147483648", b"1000000000000", b"9" * 5000, b"1e308", b"nan", b"0.5"]
NAMES = [
    "../outside",
    "/outside",
    "a\\..\\..\\b",
    "<img src=x onerror=alert(1)>",
    "\x1b[31mred",
    "ключ",
    "a\nb",
    "x" * 300,
]
VALUES = [None, True, -1, 10**12, 1e308, "", "x", "\x1b[31m<b>\n", "os.system", "../../x.npz", [], {}, [[[]]], [1] * 50]


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _splice(data: bytes, rng: random.Random) -> bytes:
    """Takes a part out, and puts nothing, noise, zeros or a copy of another part there."""
    start, length = rng.randrange(len(data)), rng.choice([0, 1, 4, 64])
    other = rng.randrange(len(data))
    put = rng.choice([b"", rng.randbytes(length), bytes(length), data[other : other + 16]])
    return data[:start] + put + data[start + length :]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.choice([0, 1, rng.randrange(len(data)), len(data) - 1])]


def _binary_number(data: bytes, rng: random.Random) -> bytes:
    """Writes a number such as headers hold, near the beginning or the end more often than elsewhere."""
    size = rng.choice([1, 2, 4, 8])
    value = rng.choice(
        [0, 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1, 2 ** (8 * size - 1) - 1, 10**9 % 2 ** (8 * size)]
    )
    near = rng.choice([min(len(data), 64), len(data)])
    start = rng.choice([rng.randrange(near), len(data) - 1 - rng.randrange(near)])
    return data[:start] + value.to_bytes(size, rng.choice(["little", "big"])) + data[start + size :]


def _written_number(data: bytes, rng: random.Random) -> bytes:
    found = list(re.finditer(rb"\d+", data))
    if not found:
        return _binary_number(data, rng)
    match = rng.choice(found)
    return data[: match.start()] + rng.choice(NUMBERS) + data[match.end() :]


def _something_else(data: bytes, rng: random.Random) -> bytes:
    return rng.choice(
        [PICKLE, b"", b"\x00" * 1000, b"\xff" * 1000, b"[" * 100_000, b"a,b\n" * 1000, "é\n".encode() * 99]
    )


DAMAGES = (_flip, _splice, _cut, _binary_number, _written_number, _written_number, _something_else)


class _Runs:
    def __reduce__(self) -> Any:
        return os.mkdir, (MARK,)


MARK = os.path.join(tempfile.gettempdir(), f"fuzz-{os.getpid()}-ran")
PICKLE = pickle.dumps(_Runs())


def damaged(name: str, data: bytes, rng: random.Random) -> bytes:
    """The content of a file, damaged from outside or inside."""
    inside = rng.random() < 0.75
    if inside and name.endswith((".npz", ".zip")):
        return _in_zip(data, rng)
    if inside and name.endswith(".gz"):
        return gzip.compress(_anyhow(gzip.decompress(data), rng))
    if inside and name.endswith(".png"):
        return _in_png(data, rng)
    if inside and (name.endswith(".json") or name in ("metadata", ".zarray")) and data[:1] == b"{":
        return json.dumps(_in_json(json.loads(data), rng)).encode()
    if inside and name.endswith(".csv"):
        return _in_csv(data, rng)
    return _anyhow(data, rng)


def _anyhow(data: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.choice([1, 1, 1, 3])):
        data = rng.choice(DAMAGES)(data, rng) if data else rng.randbytes(9)
    return data


def _in_zip(data: bytes, rng: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    index, other = rng.randrange(len(members)), rng.randrange(len(members))
    (name, content), kind = members[index], rng.randrange(10)
    if kind == 0:
        members[index] = (rng.choice([*NAMES, f"../{name}", f"/{name}", members[other][0]]), content)
    elif kind == 1:
        members[index] = (name, members[other][1])
    elif kind == 2:
        members.append((name, content))
    elif kind == 3:
        members.pop(index)
    else:
        members[index] = (name, damaged(name, content, rng))
    stream, way = (
        io.BytesIO(),
        rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]),
    )
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(stream, "w", way) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, way)
    packed = stream.getvalue()
    if kind == 9:  # a size that is not so, in both of its places
        size = struct.pack("<L", len(content))
        packed = packed.replace(size, struct.pack("<L", rng.choice([0, 1, 2**31, 2**32 - 2])))
    return packed


def _in_png(data: bytes, rng: random.Random) -> bytes:
    """Damages the content of a chunk, unpacked where it is packed, and makes its checksum right again."""
    chunks, start = [], 8
    while start < len(data):
        size = int.from_bytes(data[start : start + 4], "big")
        chunks.append((data[start + 4 : start + 8], data[start + 8 : start + 8 + size]))
        start += size + 12
    index = rng.randrange(len(chunks))
    kind, content = chunks[index]
    if kind == b"IDAT" and rng.random() < 0.5:
        content = zlib.compress(_anyhow(zlib.decompress(content), rng))
    else:
        content = _anyhow(content, rng) if content else rng.randbytes(9)
    chunks[index] = kind, content
    parts = [
        len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big") for kind, body in chunks
    ]
    return data[:8] + b"".join(parts)


def _in_json(content: Any, rng: random.Random) -> Any:
    """Changes one value or key, at any depth."""
    if isinstance(content, dict) and content and rng.random() < 0.95:
        key = rng.choice(sorted(content))
        if rng.random() < 0.1:
            return {each: value for each, value in content.items() if each != key} | {rng.choice(NAMES): content[key]}
        return {**content, key: _in_json(content[key], rng)}
    if isinstance(content, list) and content and rng.random() < 0.9:
        index = rng.randrange(len(content))
        return [*content[:index], _in_json(content[index], rng), *content[index + 1 :]]
    return rng.choice([*VALUES, str(content), [content], 10**12 + 1])


def _in_csv(data: bytes, rng: random.Random) -> bytes:
    rows = [line.split(b",") for line in data.split(b"\n")]
    row = rng.choice(rows)
    odd = [
        *NUMBERS,
        b"",
        b'"',
        b'"a\nb"',
        b"<script>",
        b"\x1b[31m",
        "é".encode(),
        b"\xff",
        b"\x00",
        b",",
        b"x" * 200_000,
        b"inf",
    ]
    row[rng.randrange(len(row))] = rng.choice([*odd, *(name.encode() for name in NAMES)])
    if rng.random() < 0.2:
        rows.append(rng.choice(rows))
    return rng.choice([b"\n", b"\n", b"\r\n", b"\r"]).join(b",".join(row) for row in rows)


def write(files: Files, folder: pathlib.Path, rng: random.Random) -> None:
    """Writes files of which one is damaged, or is missing, swapped, renamed, a link, a folder or there twice."""
    names = sorted(files)
    name, other, kind = rng.choice(names), rng.choice(names), rng.randrange(20)
    target = folder / name
    for each, content in files.items():
        (folder / each).parent.mkdir(parents=True, exist_ok=True)
        (folder / each).write_bytes(content)
    if kind == 0:
        target.unlink()
    elif kind == 1:
        target.write_bytes(files[other])
    elif kind == 2:
        renamed = rng.choice(NAMES[3:7]) + target.suffix
        target.rename(target.with_name(renamed))
    elif kind == 3:
        target.unlink()
        target.symlink_to(
            rng.choice([folder.parent / "outside", "/dev/zero", "nowhere", target.name, ".", "..", folder / other])
        )
    elif kind == 4:
        target.unlink()
        target.mkdir()
    elif kind == 5:
        shutil.copy(target, target.with_name(f"copy-{target.name}"))
    elif kind == 6:
        target.unlink()
        os.mkfifo(target)
    else:
        target.write_bytes(damaged(target.name, files[name], rng))
