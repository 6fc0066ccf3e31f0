"""What a training loop asks of a run's record, and the writer that leaves no trace."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self


class Rows(Protocol):
    """Where metrics go; here nowhere."""

    def append(self, row: dict[str, Any], /) -> None:
        """Add a row."""
        return


class Writer(Protocol):
    """A run's record, while it is open; here each method leaves no trace. `Run` is the one that writes."""

    @property
    def folder(self) -> Path | None:
        """Return where the record is, None if it is nowhere."""
        return None

    @property
    def metrics(self) -> Rows:
        """Return where the metrics go."""
        return _Nowhere()

    def __enter__(self) -> Self:
        """Return the record."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Close the record, if neither a result nor a stop nor a failure has."""
        return

    def log(self, text: str) -> None:
        """Add a dated line."""
        return

    def save_checkpoint(self, state: Mapping[str, Any], step: int, *, required: bool = False) -> bool:
        """Write a checkpoint; return whether the run may go on as if it were durable."""
        return True

    def load_checkpoint(self) -> dict[str, Any] | None:
        """Return the newest checkpoint's state, None to start afresh."""
        return None

    def finish(self, result: Mapping[str, Any], weights: Mapping[str, Any] | None = None) -> Mapping[str, object]:
        """Write the result, and return it."""
        return dict(result)

    def stop(self, message: str = "stopped") -> None:
        """Record that the run was asked to stop."""
        return

    def fail(self, kind: str, message: str, traceback: str = "") -> None:
        """Record a failure."""
        return


class NullWriter(Writer):
    """Leaves no trace: under torchrun process 0 alone writes."""


class _Nowhere(Rows):
    pass
