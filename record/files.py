"""Files that survive a kill at any moment: written whole or not at all, or line by line."""

import hashlib
import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from record.regular import contents, open_regular
from record.schema import ANYTHING, ROW, Shape, check, require_small

Row = dict[str, Any]
SCHEMA = 1  # of every JSON file in a run folder; a reader refuses newer ones by name
MOST_JSON, MOST_LINES = 2**25, 2**32  # bytes of a JSON file, and of one of a JSON object a line
DIGITS = 20  # of an integer: as many as 64 bits need
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


def write_atomic(path: Path, content: bytes | memoryview, guard: Callable[[], None] = lambda: None) -> None:
    """Replace `path` by `content`, durable when this returns; on any error the old file stands untouched.

    guard: called at the last moment before the file takes its name; what it raises stops it.
    """
    with _replacing(path, guard) as file:
        file.write(content)


def copy_atomic(source: Path, path: Path) -> None:
    """Replace `path` by a copy of a regular file, as `write_atomic` does."""
    with open_regular(source) as original, _replacing(path) as file:
        shutil.copyfileobj(original, file)


@contextmanager
def _replacing(path: Path, guard: Callable[[], None] = lambda: None) -> Iterator[BinaryIO]:
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
    sync_folder(path.parent)


def temporaries(folder: Path) -> Iterator[Path]:
    """Yield what kills inside `write_atomic` have left in a folder."""
    return (path for path in folder.glob(".*.tmp") if _TEMPORARY.fullmatch(path.name))


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; file systems that cannot are left alone."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def strict(value: Any) -> Any:
    """Return plain data with NaN and infinities as None, which JSON has a word for."""
    if isinstance(value, dict):
        return {str(key): strict(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [strict(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, value: Any, guard: Callable[[], None] = lambda: None) -> None:
    """Write strict JSON atomically; guard: as for `write_atomic`."""
    write_atomic(path, json_text(value), guard)


def json_text(value: Any) -> bytes:
    return (json.dumps(strict(value), indent=1, allow_nan=False) + "\n").encode()


def read_json(path: Path, shape: Shape = ANYTHING) -> Row:
    """Read a JSON object of a shape.

    Raises FileNotFoundError, or ValueError, one line that names the file, for what is torn or alien: no regular file,
    too large, no strict JSON in UTF-8 (a NaN is none), nested too deep, or of another shape.
    """
    try:
        value = _parsed(contents(path, MOST_JSON))
        require_small(value)
        check(value, {})
        check(value, shape)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read ({_without(path, error)})") from error
    return dict(value)


def read_lines(path: Path) -> tuple[list[Row], int]:
    """Read a file of one JSON object a line: the rows, and how many lines were torn or alien and left out.

    Raises OSError, or ValueError, one line, for what is no file that could be read at all.
    """
    rows, left_out = [], 0
    for line in contents(path, MOST_LINES).split(b"\n") if os.path.lexists(path) else []:
        if not line.strip():
            continue
        try:
            row = _parsed(line)
            check(row, ROW)
            rows.append(row)
        except ValueError:
            left_out += 1
    return rows, left_out


def digest(path: Path) -> str:
    """Return the SHA-256 of a regular file."""
    with open_regular(path) as file:
        return str(hashlib.file_digest(file, "sha256").hexdigest())


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text.decode(), parse_int=_integer, parse_float=_float, parse_constant=_constant)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _integer(text: str) -> int:
    if len(text) > DIGITS:
        raise ValueError(f"an integer of {len(text)} digits")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _constant(text)


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _without(path: Path, error: Exception) -> str:
    """Return what is wrong without the path, which is said anyway."""
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return words.removeprefix(f"{path}: ")


class Lines:
    """An append-only file of one JSON object a line, whose length in bytes is known.

    A line is handed to the operating system before `append` returns: it survives the death of the process. `sync`
    makes it survive that of the machine. Raises OSError when it cannot be written; the file then ends with the
    line before. guard: called before every change; what it raises stops it.
    """

    def __init__(self, path: Path, guard: Callable[[], None] = lambda: None) -> None:
        self.path, self._guard = path, guard
        self._file = open_regular(path, "ab", buffering=0)
        self.length = os.fstat(self._file.fileno()).st_size

    def append(self, row: Row) -> None:
        line = (json.dumps(strict(row), allow_nan=False) + "\n").encode()
        self._guard()
        try:
            written = self._file.write(line)
            if written != len(line):
                raise OSError(28, "no space left for a whole line", str(self.path))
        except OSError:
            self._file.truncate(self.length)
            raise
        self.length += len(line)

    def cut(self, length: int) -> None:
        """Shorten the file to its first `length` bytes, whole lines that a checkpoint knows.

        Raises ValueError, one line, if it has fewer: rows are missing, and nothing is changed.
        """
        if length > self.length:
            raise ValueError(
                f"{self.path}: has {self.length} bytes, and the newest checkpoint knows {length}: rows are missing. "
                "Bring back the whole file, or delete the checkpoints to start afresh"
            )
        self._guard()
        self._file.truncate(length)
        self.length = length

    def sha256(self, length: int) -> str:
        """Return the SHA-256 of the first `length` bytes."""
        total = hashlib.sha256()
        with open_regular(self.path) as file:
            while length > 0 and (block := file.read(min(length, 2**20))):
                total.update(block)
                length -= len(block)
        return total.hexdigest()

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()
