"""Files that survive a kill at any moment, and files that may come from anyone.

Written: whole or not at all; line by line in record/lines.py. Read: only regular files of a bounded size; no link is
followed, no pipe is waited for.
"""

import hashlib
import json
import math
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from record.schema import check, require_small

T = TypeVar("T")
Row = dict[str, Any]
SCHEMA = 1  # of every JSON file in a run folder; a reader refuses newer ones by name
MOST = 2**36  # bytes: no file of a run is larger, but a hole in a file may be
MOST_JSON = 2**25  # bytes
DIGITS = 20  # of an integer: as many as 64 bits need
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: Path, mode: str = "rb", most: int = MOST, buffering: int = -1) -> IO[Any]:
    """Open a regular file as `open` does.

    most: the largest size allowed, in bytes. Raises OSError; ValueError, one line, for anything but a regular file.
    """
    if os.path.lexists(path):
        require_regular(path, most)
    encoding = None if "b" in mode else "utf-8"
    return open(path, mode, buffering, encoding, opener=_open_without_following)


def _open_without_following(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


def require_regular(path: Path, most: int = MOST) -> None:
    """Raise ValueError, one line, for what exists and is no regular file of at most `most` bytes.

    Raises FileNotFoundError for what does not exist.
    """
    found = path.lstat()
    kind = stat.S_IFMT(found.st_mode)
    if kind != stat.S_IFREG:
        raise ValueError(f"{path}: {_KINDS.get(kind, 'something else')}, not a regular file")
    if found.st_size > most:
        raise ValueError(f"{path}: {found.st_size} bytes; allowed: {most}")


def contents(path: Path, most: int) -> bytes:
    """Return the content of a regular file of at most `most` bytes. Raises as `open_regular` does."""
    with open_regular(path, most=most) as file:
        return bytes(file.read(most))


def digest(path: Path, length: int = MOST) -> str:
    """Return the SHA-256 of the first `length` bytes of a regular file. Raises as `open_regular` does."""
    total = hashlib.sha256()
    with open_regular(path) as file:
        while length > 0 and (block := file.read(min(length, 2**20))):
            total.update(block)
            length -= len(block)
    return total.hexdigest()


def one_line(text: object) -> str:
    """Return a text that any terminal can print on one line, whatever characters a file's name has."""
    letters = " ".join(str(text).split())
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in letters)


def write_atomic(path: Path, content: bytes | memoryview, guard: Callable[[], None] = lambda: None) -> None:
    """Replace `path` by `content`, durable when this returns.

    guard: called at the last moment before the file takes its name; what it raises stops it. Raises OSError. On any
    error the old file is untouched.
    """
    with _replacing(path, guard) as file:
        file.write(content)


def copy_atomic(source: Path, path: Path) -> None:
    """Replace `path` by a copy of a regular file, as `write_atomic` does."""
    with open_regular(source) as original, _replacing(path) as file:
        shutil.copyfileobj(original, file)


@contextmanager
def _replacing(path: Path, guard: Callable[[], None] = lambda: None) -> Iterator[IO[bytes]]:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        guard()
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; file systems that cannot are left alone."""
    descriptor = os.open(folder, os.O_RDONLY)
    with suppress(OSError):
        os.fsync(descriptor)
    os.close(descriptor)


def temporaries(folder: Path) -> Iterator[Path]:
    """Yield what kills inside `write_atomic` have left in a folder."""
    return (path for path in folder.glob(".*.tmp") if _TEMPORARY.fullmatch(path.name))


def json_text(value: Any, indent: int | None = 1) -> bytes:
    """Write plain data as strict JSON with a line end: NaN and infinities become null."""
    return (json.dumps(_strict(value), indent=indent, allow_nan=False) + "\n").encode()


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _strict(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, value: Mapping[str, Any], guard: Callable[[], None] = lambda: None) -> None:
    """Write strict JSON as `write_atomic` writes bytes."""
    write_atomic(path, json_text(value), guard)


def read_as(kind: type[T], path: Path) -> T:
    """Read a JSON object of a type of record/schema.py.

    Raises FileNotFoundError; ValueError, one line that names the file, for what is torn or malformed: no regular file,
    too large, no strict JSON in UTF-8 (a NaN is none), nested too deep, of another type.
    """
    try:
        value = parsed(contents(path, MOST_JSON))
        require_small(value)
        return check(value, kind)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ValueError(f"{path}: cannot be read ({reason.removeprefix(f'{path}: ')})") from error


def parsed(text: bytes) -> Any:
    """Read strict JSON in UTF-8. Raises ValueError, one line."""
    try:
        value = _DECODER.decode(text.decode())
        return _writable(value) if _SURROGATE.search(text) else value
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _writable(value: Any) -> Any:
    """Return plain data in whose texts half a surrogate pair is spelt out: no file can be written with one."""
    if isinstance(value, dict):
        return {_writable(key): _writable(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_writable(entry) for entry in value]
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def _integer(text: str) -> int:
    if len(text) > DIGITS:
        raise ValueError(f"an integer of {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text} is no number of JSON")
    return value


_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_finite, parse_constant=_finite)
