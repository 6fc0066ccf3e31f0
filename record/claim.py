"""One process a run: a claim file with a heartbeat, taken over when its holder is dead.

Claims are numbered, and the highest number holds the run. A new claim is the next number, created exclusively, so
that of any number of processes that find the same claim stale exactly one creates the next. The highest number never
goes down while the run is unfinished (a release rewrites the file instead of removing it), so that a slow taker
cannot win with an old number. A claim has a token, which its holder compares before every write: a folder that was
removed under it, and made again by another, has the same number. Needs exclusive create and nothing else of the file
system.
"""

import json
import os
import platform
import re
import secrets
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from record.files import read_json, write_atomic
from record.schema import CLAIM

BEAT = 10.0  # seconds between heartbeats
STALE = 120.0  # seconds without one after which a claim of another machine is doubted
UNSIGNED = 2.0  # seconds that the maker of a claim has to write into it who it is
_NAME = re.compile(r"claim-(\d+)\.json", re.ASCII)


class Claimed(RuntimeError):
    """Another live process has this run, or has taken it over."""


class Claim:
    """The right to write into one run folder, from construction to `release`.

    Raises Claimed when a live process holds it. On this machine a holder lives as long as its process does (start
    times are compared, so that a reused pid is not taken for it). On another machine it lives while the heartbeat
    (the file's mtime) is younger than `stale` seconds; an old heartbeat, or one from the future, is watched on the
    monotonic clock for two beats and a half before it counts as stale, so that a clock that jumps kills no claim.
    """

    def __init__(self, folder: Path, *, beat: float = BEAT, stale: float = STALE) -> None:
        self.folder = folder
        self._beat = beat
        self._portrait = _self_portrait()
        self._ended = threading.Event()
        self.lost = False
        self.number = self._take(stale)
        self._remove(below=self.number)
        self._thread = threading.Thread(target=self._keep_beating, name="heartbeat", daemon=True)
        self._thread.start()

    @property
    def path(self) -> Path:
        return _path(self.folder, self.number)

    def check(self) -> None:
        """Raise Claimed if the newest claim is not this one: taken over while it slept, or its folder was removed."""
        self.lost = self.lost or not self._stands()
        if self.lost:
            raise Claimed(f"{self.folder}: taken over by another process, or removed, while this one did not look")

    def release(self, *, finished: bool = False) -> None:
        """Give the run up, if it is still ours. A finished run needs no claim any more: its result says all."""
        self._ended.set()
        self._thread.join()
        with suppress(Claimed):
            self.check()
            if finished:
                self._remove(below=self.number + 1)
            else:
                write_atomic(self.path, json.dumps(self._portrait | {"released": True}).encode(), self.check)

    def _stands(self) -> bool:
        try:
            newest_number = max((number for number, _ in claims(self.folder)), default=0)
            return newest_number == self.number and read_json(self.path).get("token") == self._portrait["token"]
        except (FileNotFoundError, ValueError):
            return False

    def _take(self, stale: float) -> int:
        while True:
            number, holder = self._signed()
            if holder is not None and _lives(_path(self.folder, number), holder, stale, patience=2.5 * self._beat):
                raise Claimed(f"{self.folder}: running as process {holder['pid']} on {holder['host']}")
            if _create(_path(self.folder, number + 1), self._portrait) and newest(self.folder)[0] == number + 1:
                return number + 1

    def _signed(self) -> tuple[int, dict[str, Any] | None]:
        """Return the newest claim and who made it; one that says nothing gets the time to, or its maker is dead."""
        end = time.monotonic() + UNSIGNED
        while (found := newest(self.folder))[1] == {} and time.monotonic() < end:
            time.sleep(0.05)
        return found

    def _remove(self, below: int) -> None:
        for number, path in claims(self.folder):
            if number < below:
                with suppress(OSError):  # gone already, or no file at all
                    path.unlink()

    def _keep_beating(self) -> None:
        while not self._ended.wait(self._beat):
            with suppress(OSError):  # a file system that stumbles once; two more beats follow before anyone doubts this
                self.lost = self.lost or not self._stands()
                if self.lost:
                    return
                os.utime(self.path)


def newest(folder: Path) -> tuple[int, dict[str, Any] | None]:
    """Return the number of the newest claim and who made it; (0, None) without one, {} if it cannot be read."""
    numbered = claims(folder)
    if not numbered:
        return 0, None
    number, path = numbered[-1]
    try:
        return number, read_json(path, CLAIM)
    except (OSError, ValueError):
        return number, {}


def is_live(folder: Path, stale: float = STALE) -> bool:
    """Tell at a glance, without watching it, whether a process has this run."""
    number, holder = newest(folder)
    return holder is not None and _lives(_path(folder, number), holder, stale, patience=0.0)


def _lives(path: Path, holder: dict[str, Any], stale: float, patience: float) -> bool:
    if not holder or holder.get("released"):
        return False
    if holder["machine"] == _machine():
        return (started := _started(holder["pid"])) is not None and started == holder["started"]
    return abs(time.time() - _mtime(path)) <= stale or _moves(path, patience)


def _moves(path: Path, seconds: float) -> bool:
    first, end = _mtime(path), time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(min(0.05, seconds))
        if _mtime(path) != first:
            return True
    return False


def _create(path: Path, portrait: dict[str, Any]) -> bool:
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "wb") as file:
        file.write(json.dumps(portrait).encode())
    return True


def _self_portrait() -> dict[str, Any]:
    pid = os.getpid()
    return {
        "host": platform.node(),
        "machine": _machine(),
        "pid": pid,
        "started": _started(pid),
        "token": secrets.token_hex(8),
    }


def _machine() -> str:
    """Name the set of processes in which a pid has a meaning: this boot of this machine, this pid namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{platform.node()}/{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()


def _started(pid: int) -> str | None:
    """Return when a process started, in the kernel's own count; None if there is none (a zombie is none)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    except OSError:
        return None if Path("/proc/self/stat").exists() else _answers(pid)


def _answers(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "unknown"


def claims(folder: Path) -> list[tuple[int, Path]]:
    """Return the claims of a run folder by their numbers."""
    named = ((_NAME.fullmatch(path.name), path) for path in folder.glob("claim-*.json"))
    return sorted((int(name[1]), path) for name, path in named if name)


def _path(folder: Path, number: int) -> Path:
    return folder / f"claim-{number:06d}.json"


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
