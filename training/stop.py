"""A request to stop: noted at once, granted at a step's end, where nothing is half done."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)  # the last two: clusters, before pre-emption


class Stopped(Exception):
    """The run was asked to stop and has written its checkpoint."""


class Diverged(Exception):
    """The loss, the weights or the evaluation are no longer finite."""


class NoEpochCounts(Exception):
    """The budget ended before an epoch did that could stand for the run."""


class StopRequest:
    """Listens for signals; a second Ctrl-C stops at once, without a checkpoint. noted: is told of each."""

    def __init__(self, noted: Callable[[], None] = lambda: None) -> None:
        self.signal: signal.Signals | None = None
        self._noted = noted
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
        self._noted()

    def forget(self) -> None:
        """Put the handlers back that were there before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


class SharedStop:
    """True once any of several runs was asked to stop, in whatever processes of this machine they are.

    folder: their own, for the word to stop and the ids of the processes that listen.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._word = folder, folder / "stop"

    def __bool__(self) -> bool:
        return self._word.exists()

    @contextmanager
    def listening(self) -> Iterator[StopRequest]:
        """Listen for signals, and pass the first on to all others that listen."""
        self._folder.mkdir(parents=True, exist_ok=True)  # on a launcher's other machine it is not there
        me = self._folder / f"{os.getpid()}.pid"
        me.touch()
        request = StopRequest(self._pass_on)
        try:
            yield request
        finally:
            request.forget()
            me.unlink(missing_ok=True)

    def _pass_on(self) -> None:
        if self:
            return
        self._word.touch()
        for path in self._folder.glob("*.pid"):
            if int(path.stem) != os.getpid():
                with suppress(ProcessLookupError):
                    os.kill(int(path.stem), signal.SIGTERM)
