"""What every reader shares: checksums, optional packages, safe zip archives, and errors that name the file."""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
import importlib
import os
import pathlib
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from jaxmeta import checks

PathLike = str | os.PathLike[str]
T = TypeVar("T")

# What unpacks to less may be packed as tightly as it likes; pictures and numbers beyond it never come near the ratio.
FREE_BYTES, MAX_RATIO = 2**26, 200


def extra(module: str, name: str = "data") -> Any:
    """Imports a module of an extra of the package, or says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        hint = f"pip install 'jaxmeta[{name}]'"
        raise ImportError(f"{module}: expected it to be installed, got {error}; {hint}") from error


def checksum(path: pathlib.Path) -> str:
    """Returns the sha256 of a file's content."""
    with reading(path), path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def text(path: pathlib.Path) -> str:
    """Returns a file's text, lines ended by "\\n", in the one form of Unicode: UTF-8, or UTF-16 with its mark.

    Raises:
      DataError: if it is of another encoding; NUL bytes are what others look like that UTF-8 does not refuse.
    """
    with reading(path):
        content = path.read_bytes()
        is_wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        found = content.decode("utf-16" if is_wide else "utf-8-sig")
    if "\0" in found:
        got = f"a NUL byte in line {found.count(chr(10), 0, found.index(chr(0))) + 1}"
        checks.fail(str(path), "UTF-8 text", got, "save it as UTF-8", checks.DataError)
    return unicodedata.normalize("NFC", found.replace("\r\n", "\n").replace("\r", "\n"))


def stem(path: PathLike) -> str:
    """Returns the last component of a path without its suffix: the name of the domain that lies there."""
    return pathlib.Path(os.path.abspath(path)).stem


@contextlib.contextmanager
def reading(what: object) -> Iterator[None]:
    """Turns whatever a damaged or unreadable file raises into a DataError that names it."""
    try:
        yield
    except (checks.DataError, ImportError):
        raise
    except UnicodeDecodeError as error:
        got, hint = f"byte {error.start} that is none", "save it as UTF-8"
        checks.fail(str(what), "UTF-8 text", got, hint, checks.DataError)
    except Exception as error:  # unpackers and parsers raise zlib.error, LZMAError, TokenError, MemoryError and more
        if isinstance(error, ValueError) and "expected" in str(error):  # one of the package's own
            raise checks.DataError(checks.line(f"{what}: {checks.shown(error)}")) from error
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        checks.fail(str(what), "a whole, readable file", reason or type(error).__name__, error=checks.DataError)


@contextlib.contextmanager
def archive(path: pathlib.Path) -> Iterator[zipfile.ZipFile]:
    """Opens a zip archive whose members all have plain relative names, each its own, and are no bombs."""
    with reading(path), zipfile.ZipFile(path) as opened:
        names: set[str] = set()
        for member in opened.infolist():
            _check_member(path, member)
            if member.filename in names:
                checks.fail(str(path), "each member once", f"{member.filename!r} twice", error=checks.DataError)
            names.add(member.filename)
        yield opened


Teller = Callable[[Iterable[Any], int, str], Iterable[Any]]
"""(items, how many, what is done) -> the items, told of as they are taken."""

Listener = Callable[[str], None]

_teller: contextvars.ContextVar[Teller] = contextvars.ContextVar("teller", default=lambda items, count, what: items)
_listener: contextvars.ContextVar[Listener] = contextvars.ContextVar("listener", default=lambda text: None)


@contextlib.contextmanager
def watched(teller: Teller, listener: Listener = lambda text: None) -> Iterator[None]:
    """Has someone told of what is read, such as a progress bar: many files take a while; and of what is `said`."""
    before = _teller.set(teller), _listener.set(listener)
    try:
        yield
    finally:
        _teller.reset(before[0])
        _listener.reset(before[1])


def said(path: pathlib.Path, *facts: str) -> None:
    """Says of a file of inputs, which have no `notes`, how it was read."""
    _listener.get()(f"read {path.name}, inputs: {'; '.join(facts)}")


def told(items: Iterable[T], count: int, what: str) -> Iterable[T]:
    """The items; whoever watches is told of each."""
    return _teller.get()(items, count, what)


def check_ratio(what: object, size: int, packed: int) -> None:
    """Raises if `packed` bytes claim to hold `size` bytes that no pictures or numbers would be packed to."""
    if size > FREE_BYTES and size > MAX_RATIO * packed:
        hint = "if you trust it, store it uncompressed"
        wanted = f"at most {max(FREE_BYTES, MAX_RATIO * packed):,} bytes in {packed:,}"
        checks.fail(str(what), wanted, f"{size:,}", hint, checks.DataError)


def _check_member(path: pathlib.Path, member: zipfile.ZipInfo) -> None:
    # orig_filename: ZipInfo.filename has already lost what follows a NUL and, on Windows, backslashes.
    name = member.orig_filename.replace("\\", "/")
    if name.startswith("/") or name[1:2] == ":" or ".." in name.split("/"):
        checks.fail(str(path), "members with relative names", repr(member.orig_filename), error=checks.DataError)
    if member.flag_bits & 0x1:
        checks.fail(str(path), "members without a password", repr(member.filename), error=checks.DataError)
    check_ratio(f"{path}, {member.filename}", member.file_size, member.compress_size)


def check_link(entry: pathlib.Path, root: str) -> None:
    """Raises if `entry` is a symbolic link that leads nowhere or out of the folder `root` (a real path)."""
    if not entry.is_symlink():
        return
    # realpath, since Path.resolve raises on links that form a ring.
    target = pathlib.Path(os.path.realpath(entry))
    if not target.exists():
        checks.fail(str(entry), "a link to something that exists", "a broken link", error=checks.DataError)
    if not target.is_relative_to(root):
        hint = "copy what it points to, or load that folder itself"
        checks.fail(str(entry), "links that stay inside the folder", "a link out of it", hint, checks.DataError)
