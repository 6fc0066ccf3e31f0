"""A run's writer on the processes that write nothing."""

from collections.abc import Mapping
from typing import Any


class _NoLines:
    def append(self, row: dict[str, Any]) -> None: ...


class Follower:
    """Has the methods of Run and leaves no trace: under torchrun rank 0 alone writes."""

    metrics = _NoLines()
    folder = None
    attempt = 0

    def __enter__(self) -> "Follower":
        return self

    def __exit__(self, *_: object) -> None: ...

    def log(self, text: str) -> None: ...

    def save_checkpoint(self, state: Mapping[str, Any], step: int, *, required: bool = False) -> bool:
        return True

    def load_checkpoint(self) -> dict[str, Any] | None:
        return None

    def finish(self, result: Mapping[str, Any], weights: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return dict(result)

    def stop(self, message: str = "stopped") -> None: ...

    def fail(self, kind: str, message: str, traceback: str = "") -> None: ...
