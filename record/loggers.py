"""Mirrors of a run's metrics for TensorBoard and Weights & Biases; the record itself is metrics.jsonl.

A mirror that fails is dropped with one line: it never fails a run.
"""

from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from record.identity import group_id

Row = dict[str, Any]


class Mirror(Protocol):
    def log(self, row: Row) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Event files in `<run folder>/tensorboard`."""

    def __init__(self, folder: Path, run: Row, flush_seconds: int = 30) -> None:
        try:
            writer: Any = import_module("torch.utils.tensorboard").SummaryWriter
        except ImportError as error:
            raise ImportError("logger=tensorboard needs: pip install 'stepbench[tensorboard]'") from error
        self._writer = writer(str(folder / "tensorboard"), flush_secs=flush_seconds)

    def log(self, row: Row) -> None:
        for name, value in _numbers(row).items():
            self._writer.add_scalar(name, value, row["step"])

    def close(self) -> None:
        self._writer.close()


class Wandb:
    """One wandb run a run, offline unless told otherwise; seeds of one configuration share a group."""

    def __init__(self, folder: Path, run: Row, project: str = "stepbench", mode: str = "offline") -> None:
        try:
            import wandb
        except ImportError as error:
            raise ImportError("logger=wandb needs: pip install wandb") from error
        self._run = wandb.init(
            project=project,
            mode=mode,  # type: ignore[arg-type]
            dir=str(folder),
            id=run["id"],
            group=run["group_id"],
            config=run["config"],
            resume="allow",
            settings=wandb.Settings(silent=True),
        )

    def log(self, row: Row) -> None:
        self._run.log(_numbers(row), step=row["step"])

    def close(self) -> None:
        self._run.finish()


MIRRORS: dict[str, Callable[..., Mirror]] = {"tensorboard": TensorBoard, "wandb": Wandb}


class Log:
    """A run's metrics.jsonl, and its mirrors, behind one `rows`."""

    def __init__(self, options: dict[str, Row], run: Any) -> None:
        self._run = run
        self._open: dict[str, Mirror] = {}
        for name, keywords in options.items():
            about = {"id": run.id, "group_id": group_id(run.semantic), "config": run.semantic}
            self._guard(name, lambda: self._open.update({name: MIRRORS[name](run.folder, about, **keywords)}))  # noqa: B023

    def rows(self, rows: Iterable[Row]) -> None:
        """Append rows to the record, then mirror them."""
        for row in rows:
            self._run.metrics.append(row)
            for name, mirror in list(self._open.items()):
                self._guard(name, lambda: mirror.log(row))  # noqa: B023

    def close(self) -> None:
        for name, mirror in list(self._open.items()):
            self._guard(name, mirror.close)

    def _guard(self, name: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # whatever a logger's service throws
            self._open.pop(name, None)
            self._run.log(f"logger={name} failed and is off from here: {type(error).__name__}: {error}")


def check(options: dict[str, Row]) -> None:
    """Raise ImportError, naming the extra, for a chosen mirror whose package is missing."""
    from importlib.util import find_spec

    for name in options:
        if find_spec(name) is None:
            raise ImportError(f"logger={name}: not installed; pip install 'stepbench[{name}]'")


def _numbers(row: Row) -> dict[str, float]:
    return {name: value for name, value in row.items() if isinstance(value, int | float) and name != "step"}
