"""Files that survive a kill at any moment: written whole or not at all, or line by line."""

import json
import math
import os
import secrets
from pathlib import Path
from typing import Any

Row = dict[str, Any]
SCHEMA = 1  # of every JSON file in a run folder; a reader refuses newer ones by name


def write_atomic(path: Path, content: bytes | memoryview) -> None:
    """Replace `path` by `content`, durable when this returns; on any error the old file stands untouched."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


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


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON atomically."""
    write_atomic(path, (json.dumps(strict(value), indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Row:
    """Read a JSON object. Raises FileNotFoundError, or ValueError for anything torn or alien."""
    value = json.loads(path.read_bytes())
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def read_lines(path: Path) -> tuple[list[Row], int]:
    """Read a file of one JSON object a line: the rows, and how many lines were torn and left out."""
    rows, torn = [], 0
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        try:
            row = json.loads(line) if line.strip() else None
        except ValueError:
            row, torn = None, torn + 1
        if isinstance(row, dict):
            rows.append(row)
    return rows, torn


class Lines:
    """An append-only file of one JSON object a line, whose length in bytes is known.

    A line is handed to the operating system before `append` returns: it survives the death of the process. `sync`
    makes it survive that of the machine. Raises OSError when it cannot be written; the file then ends with the
    line before.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115  closed by close()
        self.length = path.stat().st_size

    def append(self, row: Row) -> None:
        line = (json.dumps(strict(row), allow_nan=False) + "\n").encode()
        try:
            written = self._file.write(line)
            if written != len(line):
                raise OSError(28, "no space left for a whole line", str(self.path))
        except OSError:
            self.cut(self.length)
            raise
        self.length += len(line)

    def cut(self, length: int) -> None:
        """Shorten the file to its first `length` bytes, whole lines that a checkpoint knows."""
        self._file.truncate(length)
        self.length = length

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()
