"""Damages files, at random and where it hurts: inside archives, behind checksums, in sizes and in names."""

from __future__ import annotations

import gzip
import io
import json
import pathlib
import random
import re
import struct
import warnings
import zipfile
import zlib
from typing import Any

SIZES = (0, 1, 127, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 10**12, 2**63 - 1, 2**63, 2**64 - 1)
NUMBERS = (*map(str, SIZES), "-1", "-0", "1e400", "nan", "inf", "1_0", "٣", "0x10", "9" * 5000)
TEXTS = (
    "", " ", "../../x", "/etc/hostname", "C:\\x", "a\x00b", "<script>alert(1)</script>", "é", "\u202e", "\x1b[2J",
    "x" * 5000, '"', ",", "\n", "=1+1", "__import__('os').getpid()", "os.system", "[" * 3000, "|O", "O", "<U4",
)  # fmt: skip
VALUES = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, 0.5, 1e308, float("nan"), float("inf"), "", [], {}, [[]],
    [0, 0, 0], ["x"], {"x": 1}, *TEXTS,
)  # fmt: skip


def mutated(name: str, content: bytes, draw: random.Random) -> bytes:
    """Returns other content for a file; what its name says it is tells how it is taken apart."""
    suffix = pathlib.PurePath(name).suffix.lower()
    inside = {".npz": _archive, ".zip": _archive, ".gz": _gzip, ".png": _png, ".json": _json, ".msgpack": _msgpack}
    inside |= {".csv": _table, ".npy": _header}
    if suffix in inside and draw.random() < 0.7:
        return inside[suffix](content, draw)
    return flat(content, draw)


def flat(content: bytes, draw: random.Random) -> bytes:
    """Flips, cuts, repeats, inserts and overwrites bytes, one to three times."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        content = draw.choice((_flip, _flip, _cut, _remove, _repeat, _insert, _size, _number, _text, _swap))(
            content, draw
        )
    return content


def _place(content: bytes, draw: random.Random) -> int:
    # Headers are at the front, and what is broken there breaks most.
    return draw.randrange(min(len(content), 64) + 1) if draw.random() < 0.4 else draw.randrange(len(content) + 1)


def _flip(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.randint(1, 8) if content else 0):
        changed[min(_place(content, draw), len(content) - 1)] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _cut(content: bytes, draw: random.Random) -> bytes:
    return content[: _place(content, draw)]


def _remove(content: bytes, draw: random.Random) -> bytes:
    start = _place(content, draw)
    return content[:start] + content[start + draw.randint(1, 64) :]


def _repeat(content: bytes, draw: random.Random) -> bytes:
    start = _place(content, draw)
    return content[:start] + content[start : start + draw.randint(1, 64)] * draw.choice((2, 3, 100)) + content[start:]


def _insert(content: bytes, draw: random.Random) -> bytes:
    start = _place(content, draw)
    return content[:start] + draw.randbytes(draw.choice((1, 4, 64, 5000))) + content[start:]


def _size(content: bytes, draw: random.Random) -> bytes:
    start, kind = _place(content, draw), draw.choice("BHIQ")
    word = struct.pack(draw.choice("<>") + kind, draw.choice(SIZES) % 2 ** (8 * struct.calcsize("<" + kind)))
    return content[:start] + word + content[start + len(word) :]


def _number(content: bytes, draw: random.Random) -> bytes:
    found = list(re.finditer(rb"\d+", content))
    return _replaced(content, draw.choice(found), draw.choice(NUMBERS)) if found else content


def _text(content: bytes, draw: random.Random) -> bytes:
    found = list(re.finditer(rb"[A-Za-z_.|<>]{2,}", content))
    return _replaced(content, draw.choice(found), draw.choice(TEXTS)) if found else content


def _replaced(content: bytes, match: re.Match[bytes], text: str) -> bytes:
    return content[: match.start()] + text.encode("utf-8", "surrogatepass") + content[match.end() :]


def _swap(content: bytes, draw: random.Random) -> bytes:
    first, second = sorted((_place(content, draw), _place(content, draw)))
    return content[:first] + content[second:] + content[first:second]


def _header(content: bytes, draw: random.Random) -> bytes:
    """The text of a npy header, whose length is kept right."""
    if content[:6] != b"\x93NUMPY" or len(content) < 10:
        return flat(content, draw)
    end = 10 + int.from_bytes(content[8:10], "little")
    text = draw.choice((_number, _number, _text, flat))(content[10:end], draw)[:65_535]
    return content[:8] + len(text).to_bytes(2, "little") + text + content[end:]


def _archive(content: bytes, draw: random.Random) -> bytes:
    """The members of a zip, packed again so that its own checksums are right."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    index, other = draw.randrange(len(members)), draw.randrange(len(members))
    name, inner = members[index]
    match draw.randrange(10):
        case 0:
            del members[index]
        case 1:
            members.append(members[index])
        case 2:
            members[index], members[other] = (name, members[other][1]), (members[other][0], inner)
        case 3:
            members[index] = (draw.choice(TEXTS) or "x", inner)
        case 4:
            size = 10**8 if draw.random() < 0.05 else draw.choice((1, 10**6))
            members[index] = (name, inner + bytes(size))
        case _:
            members[index] = (name, mutated(name, inner, draw))
    kinds = (zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    stream, kind = io.BytesIO(), draw.choice(kinds)
    if any(len(inner) >= 10**8 for _, inner in members):
        kind = zipfile.ZIP_DEFLATED  # the others take long to make a bomb
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", kind) as archive:
        warnings.simplefilter("ignore")  # of a name that is there twice
        for name, inner in members:
            archive.writestr(zipfile.ZipInfo(name), inner, kind)
    return flat(stream.getvalue(), draw) if draw.random() < 0.2 else stream.getvalue()


def _gzip(content: bytes, draw: random.Random) -> bytes:
    return gzip.compress(flat(gzip.decompress(content), draw), 1)


def _png(content: bytes, draw: random.Random) -> bytes:
    """A chunk of a PNG, with its checksum made right, and its pixels packed again."""
    chunks, start = [], 8
    while start + 12 <= len(content):
        length = int.from_bytes(content[start : start + 4], "big")
        chunks.append((content[start + 4 : start + 8], content[start + 8 : start + 8 + length]))
        start += 12 + length
    index = draw.randrange(len(chunks))
    kind, data = chunks[index]
    if kind == b"IDAT" and draw.random() < 0.7:
        data = zlib.compress(flat(zlib.decompress(data), draw))
    else:
        data = flat(data, draw)
    chunks[index] = (draw.choice((kind, kind, kind, b"iCCP", b"zTXt", b"tRNS", b"eXIf", b"PLTE", b"acTL")), data)
    packed = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
              for kind, data in chunks]  # fmt: skip
    return content[:8] + b"".join(packed)


def _json(content: bytes, draw: random.Random) -> bytes:
    tree = json.loads(content)
    text = json.dumps(_grafted(tree, draw), ensure_ascii=draw.random() < 0.5)
    return text.encode("utf-8", "surrogatepass")


def _msgpack(content: bytes, draw: random.Random) -> bytes:
    import msgpack

    try:
        return msgpack.packb(_grafted(msgpack.unpackb(content, strict_map_key=False), draw))
    except (OverflowError, msgpack.ExtraData):  # the latter behind a seal, which no other content fits
        return flat(content, draw)


def _grafted(tree: Any, draw: random.Random) -> Any:
    """Replaces, removes or adds one thing somewhere in a tree."""
    if isinstance(tree, dict) and tree and draw.random() < 0.9:
        name, kept = draw.choice(list(tree)), dict(tree)
        match draw.randrange(10):
            case 0:
                del kept[name]
            case 1:
                kept[draw.choice(TEXTS)] = draw.choice(VALUES)
            case _:
                kept[name] = _grafted(tree[name], draw)
        return kept
    if isinstance(tree, list) and tree and draw.random() < 0.8:
        index, items = draw.randrange(len(tree)), list(tree)
        match draw.randrange(6):
            case 0:
                del items[index]
            case 1:
                items *= 100
            case _:
                items[index] = _grafted(items[index], draw)
        return items
    data = getattr(tree, "data", None)  # an extension type of msgpack: an array, packed
    if isinstance(data, bytes) and draw.random() < 0.8:
        return tree._replace(data=flat(data, draw))
    if isinstance(tree, str) and draw.random() < 0.3:
        return _text(_number(tree.encode(), draw), draw).decode("utf-8", "replace")
    return draw.choice(VALUES)


def _table(content: bytes, draw: random.Random) -> bytes:
    """A cell, a row or a column of comma-separated text."""
    rows = [line.split(b",") for line in content.split(b"\n")]
    row = draw.choice(rows)
    cell = draw.choice((*NUMBERS, *TEXTS)).encode("utf-8", "surrogatepass")
    match draw.randrange(5):
        case 0:
            row.append(cell)
        case 1:
            rows.append(list(row))
        case 2:
            rows = [cells[:-1] for cells in rows]
        case _:
            row[draw.randrange(len(row))] = cell
    return b"\n".join(b",".join(cells) for cells in rows)
