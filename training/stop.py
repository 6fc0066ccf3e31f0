"""A request to stop: noted at once, granted at a step's end, where nothing is half done."""

import signal
import threading
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)  # the last two: clusters, before pre-emption


class Stopped(Exception):
    """The run was asked to stop and has written its checkpoint."""


class Diverged(Exception):
    """The loss, the weights or the evaluation are no longer finite."""


class NoEpochCounts(Exception):
    """The budget ended before an epoch did that could stand for the run."""


class StopRequest:
    """Listens for signals; a second Ctrl-C stops at once, without a checkpoint."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        else:
            self._before = {}

    def __bool__(self) -> bool:
        return self.signal is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)

    def forget(self) -> None:
        """Put the handlers back that were there before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
