"""One process a run: a claim file with a heartbeat, taken over when its holder is dead.

Claims are numbered, and the highest number holds the run. A new claim is the next number, created exclusively, so
that of any number of processes that find the same claim stale exactly one creates the next. The highest number never
goes down while the run is unfinished (a release rewrites the file instead of removing it), so that a slow taker
cannot win with an old number. Needs exclusive create and nothing else of the file system.
"""

import json
import os
import platform
import secrets
import threading
import time
from pathlib import Path
from typing import Any

from record.files import read_json, write_atomic

BEAT = 10.0  # seconds between heartbeats
STALE = 120.0  # seconds without one after which a claim of another machine is doubted


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
        self._ended = threading.Event()
        self.lost = False
        self.number = self._take(stale)
        for number, path in _claims(folder):
            if number < self.number:
                path.unlink(missing_ok=True)
        self._thread = threading.Thread(target=self._keep_beating, name="heartbeat", daemon=True)
        self._thread.start()

    @property
    def path(self) -> Path:
        return _path(self.folder, self.number)

    def check(self) -> None:
        """Raise Claimed if another process has taken the run over (this one slept too long)."""
        if self.lost:
            raise Claimed(f"{self.folder}: taken over by another process while this one did not answer")

    def release(self, *, finished: bool = False) -> None:
        """Give the run up. A finished run needs no claim any more: its result says all."""
        self._ended.set()
        self._thread.join()
        if finished:
            for _, path in _claims(self.folder):
                path.unlink(missing_ok=True)
        elif self.path.exists():
            write_atomic(self.path, json.dumps(_self_portrait() | {"released": True}).encode())

    def _take(self, stale: float) -> int:
        while True:
            number, holder = newest(self.folder)
            if holder is not None and _lives(_path(self.folder, number), holder, stale, patience=2.5 * self._beat):
                raise Claimed(f"{self.folder}: running as process {holder.get('pid')} on {holder.get('host')}")
            if _create(_path(self.folder, number + 1)) and newest(self.folder)[0] == number + 1:
                return number + 1

    def _keep_beating(self) -> None:
        while not self._ended.wait(self._beat):
            try:
                self.lost = newest(self.folder)[0] > self.number
                os.utime(self.path)
            except OSError:
                continue  # a file system that stumbles once; two more beats follow before anyone doubts this one


def newest(folder: Path) -> tuple[int, dict[str, Any] | None]:
    """Return the number of the newest claim and who made it; (0, None) without one, {} if it cannot be read."""
    claims = _claims(folder)
    if not claims:
        return 0, None
    number, path = claims[-1]
    try:
        return number, read_json(path)
    except (OSError, ValueError):
        return number, {}


def is_live(folder: Path, stale: float = STALE) -> bool:
    """Tell at a glance, without watching it, whether a process has this run."""
    number, holder = newest(folder)
    return holder is not None and _lives(_path(folder, number), holder, stale, patience=0.0)


def _lives(path: Path, holder: dict[str, Any], stale: float, patience: float) -> bool:
    if holder.get("released"):
        return False
    if holder.get("machine") == _machine():
        return bool(_started(int(holder["pid"])) == holder["started"])
    return abs(time.time() - _mtime(path)) <= stale or _moves(path, patience)


def _moves(path: Path, seconds: float) -> bool:
    first, end = _mtime(path), time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(min(0.05, seconds))
        if _mtime(path) != first:
            return True
    return False


def _create(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "wb") as file:
        file.write(json.dumps(_self_portrait()).encode())
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


def _claims(folder: Path) -> list[tuple[int, Path]]:
    return sorted((int(path.stem.partition("-")[2]), path) for path in folder.glob("claim-*.json"))


def _path(folder: Path, number: int) -> Path:
    return folder / f"claim-{number:06d}.json"


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
