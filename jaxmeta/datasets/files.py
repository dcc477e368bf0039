"""What every reader shares: checksums, optional packages, safe zip archives, and errors that name the file."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import pathlib
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

from jaxmeta import checks

PathLike = str | os.PathLike[str]


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


def stem(path: PathLike) -> str:
    """Returns the last component of a path without its suffix: the name of the domain that lies there."""
    return pathlib.Path(os.path.abspath(path)).stem


@contextlib.contextmanager
def reading(what: object) -> Iterator[None]:
    """Turns whatever a damaged or unreadable file raises into a DataError that names it."""
    try:
        yield
    except checks.DataError:
        raise
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        checks.fail(str(what), "a whole, readable file", reason or type(error).__name__, error=checks.DataError)
    except UnicodeDecodeError as error:
        checks.fail(str(what), "UTF-8 text", f"byte {error.start} that is none", error=checks.DataError)
    except ValueError as error:
        raise checks.DataError(f"{what}: {error}") from error


@contextlib.contextmanager
def archive(path: pathlib.Path) -> Iterator[zipfile.ZipFile]:
    """Opens a zip archive whose members all have plain relative names."""
    with reading(path), zipfile.ZipFile(path) as opened:
        for member in opened.infolist():
            _check_member(path, member)
        yield opened


def _check_member(path: pathlib.Path, member: zipfile.ZipInfo) -> None:
    # orig_filename: ZipInfo.filename has already lost what follows a NUL and, on Windows, backslashes.
    name = member.orig_filename.replace("\\", "/")
    if name.startswith("/") or name[1:2] == ":" or ".." in name.split("/"):
        checks.fail(str(path), "members with relative names", repr(member.orig_filename), error=checks.DataError)
    if member.flag_bits & 0x1:
        checks.fail(str(path), "members without a password", repr(member.filename), error=checks.DataError)


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
