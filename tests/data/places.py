"""Shared by the tests of data: a place to load from, and a one-line error."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from data.dataset import Place


def place(folder: Path, **options: object) -> Place:
    """Return a Place whose root and cache lie in `folder`."""
    return Place(folder / "root", folder / "cache", **options)  # type: ignore[arg-type]


@contextmanager
def one_line(kind: type[BaseException], *words: object) -> Iterator[None]:
    """Expect an error of one line that holds every word."""
    with pytest.raises(kind) as caught:
        yield
    message = str(caught.value)
    assert "\n" not in message
    assert all(str(word) in message for word in words), message
