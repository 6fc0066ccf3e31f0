"""Opening files that may come from anyone: regular ones of a bounded size; no link is followed, no pipe waited for."""

import os
import stat
from pathlib import Path
from typing import Any

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


MOST = 2**36  # bytes: no file of a run is larger, but a hole in a file may be


def open_regular(path: Path, mode: str = "rb", most: int = MOST, **keywords: Any) -> Any:
    """Return a regular file, opened as `open` does it. Raises OSError; ValueError, one line, for anything else."""
    if os.path.lexists(path):
        require_regular(path, most)
    return open(path, mode, opener=_opened, **keywords)


def require_regular(path: Path, most: int = MOST) -> None:
    """Raise ValueError, one line, for what is there and no regular file of at most so many bytes.

    Raises FileNotFoundError for what is not there.
    """
    found = path.lstat()
    kind = stat.S_IFMT(found.st_mode)
    if kind != stat.S_IFREG:
        raise ValueError(f"{path}: {KINDS.get(kind, 'something else')}, not a regular file")
    if found.st_size > most:
        raise ValueError(f"{path}: {found.st_size} bytes; allowed: {most}")


def contents(path: Path, most: int) -> bytes:
    """Return what a regular file of at most so many bytes holds."""
    with open_regular(path, most=most) as file:
        return bytes(file.read(most))


def one_line(text: object) -> str:
    """Return a text that any terminal can print on one line, whatever a file is called."""
    letters = " ".join(str(text).split())
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in letters)


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
