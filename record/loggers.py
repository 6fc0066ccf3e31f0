"""Mirrors of a run's metrics for TensorBoard and Weights & Biases; the record itself is metrics.jsonl.

A mirror that fails is dropped with one line: it never fails a run.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from record.files import Row
from record.identity import group_id
from record.run import Run
from record.supervise import Writer

Mode = Literal["online", "offline", "disabled", "shared"]


@dataclass(frozen=True)
class Logged:
    """A run that is mirrored. folder: where a mirror may write. config: what can change its result."""

    folder: Path
    id: str
    group_id: str
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Mirror:
    """What follows a run. log: takes a row of metrics.jsonl, which has a `step`; close: is called once, at the end."""

    log: Callable[[Row], None]
    close: Callable[[], None]


def tensorboard(run: Logged, flush_seconds: int = 30) -> Mirror:
    """Write event files into `<run folder>/tensorboard`. flush_seconds: between two writes to the disk."""
    writer: Any = import_module("torch.utils.tensorboard").SummaryWriter
    events = writer(str(run.folder / "tensorboard"), flush_secs=flush_seconds)

    def log(row: Row) -> None:
        for name, value in _numbers(row).items():
            events.add_scalar(name, value, row["step"])

    return Mirror(log, events.close)


def wandb(run: Logged, project: str = "stepbench", mode: Mode = "offline") -> Mirror:
    """Make one run of wandb for each run, or go on with it; seeds of one configuration share a group.

    project, mode: as for wandb.init.
    """
    import wandb

    service = wandb.init(
        project=project,
        mode=mode,
        dir=str(run.folder),
        id=run.id,
        group=run.group_id,
        config=dict(run.config),
        resume="allow",
        settings=wandb.Settings(silent=True),
    )
    return Mirror(lambda row: service.log(_numbers(row), step=row["step"]), service.finish)


MIRRORS: dict[str, Callable[..., Mirror]] = {"tensorboard": tensorboard, "wandb": wandb}


class Log:
    """A run's metrics.jsonl and its mirrors.

    options: the keywords of each chosen mirror, by its name in MIRRORS. run: its writer; a process that writes nothing
    has no mirrors.
    """

    def __init__(self, options: Mapping[str, Row], run: Writer) -> None:
        """Open the mirrors."""
        self._run = run
        self._open: dict[str, Mirror] = {}
        if isinstance(run, Run):
            logged = Logged(run.folder, run.id, group_id(run.semantic), run.semantic)
            for name, keywords in options.items():
                self._guard(name, partial(self._start, name, logged, **keywords))

    def _start(self, name: str, run: Logged, **keywords: Any) -> None:
        self._open[name] = MIRRORS[name](run, **keywords)

    def rows(self, rows: Iterable[Row]) -> None:
        """Append rows to the record, then mirror them. Raises what the record raises, and nothing of a mirror's."""
        for row in rows:
            self._run.append(row)
            for name, mirror in list(self._open.items()):
                self._guard(name, partial(mirror.log, row))

    def close(self) -> None:
        """Close the mirrors."""
        for name, mirror in list(self._open.items()):
            self._guard(name, mirror.close)

    def _guard(self, name: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # whatever a logger's service throws
            self._open.pop(name, None)
            line = f"logger={name} failed and is off from here: {type(error).__name__}: {error}"
            print(line, flush=True)
            self._run.log(line)


def check(options: Iterable[str]) -> None:
    """Raise ImportError, naming the extra, for a chosen mirror whose package is missing."""
    for name in options:
        if find_spec(name) is None:
            raise ImportError(f"logger={name}: not installed; pip install {name}")


def _numbers(row: Row) -> dict[str, float]:
    return {name: value for name, value in row.items() if isinstance(value, int | float) and name != "step"}
