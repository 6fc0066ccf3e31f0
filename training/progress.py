"""What is shown while a run trains: a bar on a terminal, a line an epoch elsewhere."""

import sys
import time
from typing import Any


class Silent:
    """Shows nothing: the other ranks, and `progress=false`."""

    def step(self, step: int, loss: float | None = None) -> None:
        """Show that `step` steps are taken; loss: of the last."""

    def row(self, row: dict[str, Any]) -> None:
        """Show an epoch's metrics."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class Lines(Silent):
    """A line per evaluated epoch on stdout."""

    def row(self, row: dict[str, Any]) -> None:
        """Print the row."""
        print(describe(row), flush=True)


class Bar(Silent):
    """A bar with loss, accuracy, rate and time left."""

    def __init__(self, total_steps: int | None, first_step: int, batch_size: int) -> None:
        """total_steps: None where the length is not known; first_step: of this process; batch_size: for the rate."""
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns = [TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}")]
        self._bar = Progress(*columns, TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TimeRemainingColumn())
        self._task = self._bar.add_task("training", total=total_steps, completed=first_step, rate="")
        self._since, self._first, self._batch = time.monotonic(), first_step, batch_size
        self._loss, self._score, self._drawn = "", "", 0.0
        self._bar.start()

    def step(self, step: int, loss: float | None = None) -> None:
        """Move the bar, ten times a second at most."""
        now = time.monotonic()
        if now - self._drawn < 0.1:
            return
        self._drawn = now
        if loss is not None:
            self._loss = f"loss {loss:.3f}"
        rate = f"{(step - self._first) * self._batch / max(1e-9, now - self._since):.0f} samples/s"
        self._bar.update(self._task, completed=step, description=" ".join((self._loss, self._score)), rate=rate)

    def row(self, row: dict[str, Any]) -> None:
        """Print the row above the bar, and keep its accuracies beside the loss."""
        scores = [f"{key} {row[key]:.2f}" for key in ("test_top1", "validation_top1") if key in row]
        self._score = " ".join(scores)
        self._bar.console.print(describe(row))

    def close(self) -> None:
        """Stop drawing."""
        self._bar.stop()


def describe(row: dict[str, Any]) -> str:
    """Write one metrics row as one line."""
    numbers = [f"{k} {v:.4g}" for k, v in row.items() if isinstance(v, float) and k not in ("seconds", "lr")]
    return f"epoch {row['epoch']}  step {row['step']}  lr {row['lr']:.3g}  " + "  ".join(numbers)


def progress(shown: bool, total_steps: int | None, first_step: int, batch_size: int) -> Silent:
    """Return the display for this process's stdout."""
    if not shown:
        return Silent()
    return Bar(total_steps, first_step, batch_size) if sys.stdout.isatty() else Lines()
