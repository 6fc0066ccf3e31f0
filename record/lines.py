"""Files of one JSON object a line: written so that a kill tears the last line at most, read without what is torn."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from record.files import Row, json_text, open_regular, parsed
from record.schema import MetricsRow, check

MOST = 2**32  # bytes of a file
MOST_LINE = 2**25  # bytes that are looked at at a time: a hole of a file has no line end


def read_lines(path: Path) -> tuple[list[Row], int]:
    """Read a file of one JSON object a line: the rows, and how many lines were torn or malformed and left out.

    A missing file has no rows. Raises OSError; ValueError, one line, for what is no regular file.
    """
    if not os.path.lexists(path):
        return [], 0
    rows, torn = [], 0
    with open_regular(path, most=MOST) as file:
        for line in _lines(file):
            row = _row(line)
            torn += row is None
            rows += [row] if row is not None else []
    return rows, torn


def last_rows(path: Path, most: int) -> Iterator[Row]:
    """Yield the rows in the last bytes of such a file, `most` at most, the last row first; no line is read in vain.

    Raises OSError; ValueError, one line, for what is no regular file.
    """
    with open_regular(path, most=MOST) as file:
        before = file.seek(0, os.SEEK_END) - most
        file.seek(max(before, 0))
        if before > 0:
            file.readline()
        lines = list(_lines(file))
    return (row for line in reversed(lines) if (row := _row(line)) is not None)


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    return (line for line in iter(lambda: file.readline(MOST_LINE), b"") if line.strip())


def _row(line: bytes) -> Row | None:
    try:
        row: Row = parsed(line)
        check(row, MetricsRow)
        return row
    except ValueError:
        return None


class Lines:
    """An append-only file of one JSON object a line, whose length in bytes is known.

    path: made if it is missing. guard: called before every change; what it raises stops it. Raises OSError when the
    file cannot be written.
    """

    def __init__(self, path: Path, guard: Callable[[], None] = lambda: None) -> None:
        """Open the file for appending. Raises OSError; ValueError for what is no regular file."""
        self.path, self._guard = path, guard
        self._file = open_regular(path, "ab", buffering=0)
        self.length = os.fstat(self._file.fileno()).st_size

    def append(self, row: Row) -> None:
        """Hand a row to the operating system, where it survives the death of this process.

        Raises OSError when there is no space for a whole line; the file then ends with the line before.
        """
        line = json_text(row, indent=None)
        self._guard()
        try:
            if self._file.write(line) != len(line):
                raise OSError(28, "no space left for a whole line", str(self.path))
        except OSError:
            self._file.truncate(self.length)
            raise
        self.length += len(line)

    def cut(self, length: int) -> None:
        """Shorten the file to its first `length` bytes: the whole lines that a checkpoint knows.

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

    def sync(self) -> None:
        """Make all lines survive the death of the machine too."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()
