"""One process a run: a claim file with a heartbeat, taken over when its holder is dead.

Claims are numbered, and the highest number holds the run. A new claim is the next number, created exclusively, so
that of any number of processes that find the same claim stale exactly one creates the next. The highest number never
goes down while the run is unfinished (a release rewrites the file instead of removing it), so that a slow taker
cannot win with an old number. A claim has a token, which its holder compares before every write: a folder that was
removed under it, and made again by another, has the same number. All that the file system must have is exclusive
create.
"""

import os
import platform
import re
import secrets
import threading
import time
from contextlib import suppress
from pathlib import Path

from record.files import json_text, read_as, write_atomic
from record.schema import ClaimFile

BEAT = 10.0  # seconds between heartbeats
STALE = 120.0  # seconds without one after which a claim of another machine is watched, and taken if nothing moves
UNSIGNED = 2.0  # seconds that the maker of a claim has to write into the file who it is
_NAME = re.compile(r"claim-(\d+)\.json", re.ASCII)


class Claimed(RuntimeError):
    """Another live process has this run, or has taken it over."""


class Claim:
    """The right to write into one run folder, from construction to `release`.

    On this machine a claim is live as long as its process is (start times are compared, so that a reused pid is not
    taken for it). On another machine it is live while the heartbeat (the file's mtime) is younger than `stale` seconds;
    an old heartbeat, or one from the future, is watched on the monotonic clock for two beats and a half before it
    counts as stale, so that a clock that jumps ends no claim.

    folder: exists. beat, stale: in seconds.
    """

    def __init__(self, folder: Path, *, beat: float = BEAT, stale: float = STALE) -> None:
        """Take the claim, and start its heartbeat. Raises Claimed when a live process has it; OSError."""
        self.folder = folder
        self._beat = beat
        self._owner = _owner_info()
        self._ended = threading.Event()
        self.lost = False
        self.number = self._take(stale)
        self._remove(below=self.number)
        self._thread = threading.Thread(target=self._keep_beating, name="heartbeat", daemon=True)
        self._thread.start()

    @property
    def path(self) -> Path:
        """The claim's file."""
        return _path(self.folder, self.number)

    def check(self) -> None:
        """Raise Claimed if the newest claim is not this one: it was taken over, or its folder was removed."""
        self.lost = self.lost or not self._is_ours()
        if self.lost:
            raise Claimed(f"{self.folder}: taken over by another process, or removed, while this one did not look")

    def release(self, *, finished: bool = False) -> None:
        """Give the run up, if it is still ours. finished: it has its result, and needs no claim file any more."""
        self._ended.set()
        self._thread.join()
        with suppress(Claimed):
            self.check()
            if finished:
                self._remove(below=self.number + 1)
            else:
                write_atomic(self.path, json_text({**self._owner, "released": True}), self.check)

    def _is_ours(self) -> bool:
        number, owner = newest(self.folder)
        return number == self.number and owner is not None and owner.get("token") == self._owner["token"]

    def _take(self, stale: float) -> int:
        while True:
            number, owner = self._signed()
            if owner is not None and _is_alive(_path(self.folder, number), owner, stale, patience=2.5 * self._beat):
                raise Claimed(f"{self.folder}: running as process {owner['pid']} on {owner['host']}")
            mine = (number + 1, _path(self.folder, number + 1))
            if _create(mine[1], self._owner) and claims(self.folder)[-1:] == [mine]:
                return number + 1

    def _signed(self) -> tuple[int, ClaimFile | None]:
        """Return the newest claim and its owner; an empty file gets time to be written, or its maker is dead."""
        end = time.monotonic() + UNSIGNED
        while (claim := newest(self.folder))[0] and claim[1] is None and time.monotonic() < end:
            time.sleep(0.05)
        return claim

    def _remove(self, below: int) -> None:
        for number, path in claims(self.folder):
            if number < below:
                with suppress(OSError):  # gone already, or a folder
                    path.unlink()

    def _keep_beating(self) -> None:
        while not self._ended.wait(self._beat):
            with suppress(OSError):  # an error once is no matter: more beats follow before the claim is stale
                self.lost = self.lost or not self._is_ours()
                if self.lost:
                    return
                os.utime(self.path)


def claims(folder: Path) -> list[tuple[int, Path]]:
    """Return the claims of a run folder by their numbers."""
    named = ((_NAME.fullmatch(path.name), path) for path in folder.glob("claim-*.json"))
    return sorted((int(name[1]), path) for name, path in named if name)


def newest(folder: Path) -> tuple[int, ClaimFile | None]:
    """Return the number of the newest claim, 0 if there is none, and its owner, None if the file cannot be read."""
    number, path = max(claims(folder), default=(0, None))
    try:
        return number, read_as(ClaimFile, path) if path else None
    except (OSError, ValueError):
        return number, None


def is_live(folder: Path, stale: float = STALE) -> bool:
    """Tell at a glance, without watching it, whether a process has this run. stale: as for `Claim`, in seconds."""
    number, owner = newest(folder)
    return owner is not None and _is_alive(_path(folder, number), owner, stale, patience=0.0)


def _is_alive(path: Path, owner: ClaimFile, stale: float, patience: float) -> bool:
    if owner.get("released"):
        return False
    if owner["machine"] == _machine():
        return (started := _started(owner["pid"])) is not None and started == owner["started"]
    return abs(time.time() - _mtime(path)) <= stale or _beats(path, patience)


def _beats(path: Path, seconds: float) -> bool:
    """Watch a claim for so many seconds, and tell whether it had a heartbeat."""
    first, end = _mtime(path), time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(min(0.05, seconds))
        if _mtime(path) != first:
            return True
    return False


def _create(path: Path, owner: ClaimFile) -> bool:
    with suppress(FileExistsError), open(path, "xb") as file:
        file.write(json_text(owner))
        return True
    return False


def _owner_info() -> ClaimFile:
    pid, token = os.getpid(), secrets.token_hex(8)
    return {"host": platform.node(), "machine": _machine(), "pid": pid, "started": _started(pid), "token": token}


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
        # A process's name is cut after 15 bytes, within a letter too.
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    except OSError:
        return None if Path("/proc/self/stat").exists() else _signalled(pid)


def _signalled(pid: int) -> str | None:
    """Ask the process itself, where there is no /proc."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "unknown"


def _path(folder: Path, number: int) -> Path:
    return folder / f"claim-{number:06d}.json"


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
