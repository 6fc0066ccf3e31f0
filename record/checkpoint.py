"""Checkpoints that are whole or not there: atomic, with their SHA-256 in the name, two always kept."""

import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from record.files import digest, open_regular, write_atomic

if TYPE_CHECKING:
    from torch import Tensor

KEPT = 2
NAME = re.compile(r"checkpoint-(\d+)-([0-9a-f]{16})\.pt")
_EVER = re.compile(r"checkpoint-\d+-[0-9a-f]{16}\.(pt|bad)")


def packed(state: Mapping[str, Any]) -> memoryview:
    """Return a state as the bytes of a checkpoint. Raises ValueError, one line, for one that cannot be saved."""
    import torch

    buffer = io.BytesIO()
    with _worded("the state of this run cannot be saved ({}): keep tensors, numbers, texts, lists and dicts in it"):
        torch.save(dict(state), buffer)
    return buffer.getbuffer()


def require_readable(content: memoryview) -> None:
    """Raise ValueError, one line, for a packed state that a resume could not read back."""
    with _worded(
        "the state of this run could not be read back ({}): keep tensors, numbers, texts, lists and dicts in it"
    ):
        load_plain(io.BytesIO(content))


def save(folder: Path, content: memoryview, step: int, guard: Callable[[], None] = lambda: None) -> Path:
    """Write `checkpoint-<step>-<hash>.pt` and remove all but the two newest.

    content: as `packed` returns it. guard: as for `write_atomic`. Raises OSError (disk full, ...); the checkpoints of
    before are untouched then.
    """
    path = folder / f"checkpoint-{step:09d}-{hashlib.sha256(content).hexdigest()[:16]}.pt"
    write_atomic(path, content, guard)
    for old in found(folder)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def load(folder: Path, run: str, notice: Callable[[str], None]) -> dict[str, Any] | None:
    """Read the newest whole checkpoint of a run onto the CPU; None if there is none.

    One whose SHA-256 is not that of its name is damaged: it is set aside as `*.bad`, and the one before is read.

    run: its id. notice: gets one line about a damaged one. Raises OSError or ValueError, one line, for whatever else
    hinders reading, and for another run's checkpoint; nothing is changed then.
    """
    for path in found(folder):
        if is_whole(path):
            with open_regular(path) as file:
                return _of(run, path, file)
        path.rename(path.with_suffix(".bad"))
        notice(f"{path.name}: damaged: its SHA-256 is not the one in its name; set aside, going back to the one before")
    return None


def found(folder: Path) -> list[Path]:
    """Return a run's checkpoints, newest first."""
    paths = [path for path in folder.glob("checkpoint-*.pt") if NAME.fullmatch(path.name)]
    return sorted(paths, key=lambda path: (path.name.split("-")[1], path.lstat().st_mtime_ns), reverse=True)


def remove_all(folder: Path) -> None:
    """Remove a run's checkpoints, the damaged ones included; what cannot be removed stays."""
    for path in folder.glob("checkpoint-*"):
        if _EVER.fullmatch(path.name):
            with suppress(OSError):
                path.unlink()


def is_whole(path: Path) -> bool:
    """Tell whether a checkpoint's SHA-256 is the one in its name."""
    return digest(path)[:16] == path.stem.split("-")[2]


def load_plain(file: IO[bytes]) -> Any:
    """Read what torch.save wrote onto the CPU, and execute nothing of it. Raises whatever unpickling raises."""
    import torch

    return torch.load(file, map_location="cpu", weights_only=True)


def weights_hash(weights: Mapping[str, "Tensor"]) -> str:
    """Return the SHA-256 of a state dict's names, types, shapes and bits, in order of name; any device."""
    import torch

    total = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        total.update(f"{name} {flat.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(flat.view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _of(run: str, path: Path, file: IO[bytes]) -> dict[str, Any]:
    with _worded(f"{path}: whole, and cannot be read ({{}}); it is left as it is"):
        stored = load_plain(file)
    if not isinstance(stored, dict) or stored.get("run") != run:
        named = isinstance(stored, dict) and "run" in stored
        whose = f"run {stored['run']}" if named else "no named run (an earlier version wrote it)"
        raise ValueError(f"{path}: of {whose}, not of {run}; move it away, or delete it, to go on without it")
    return dict(stored)


@contextmanager
def _worded(words: str) -> Iterator[None]:
    """Raise a ValueError of these words, the reason at its {}, for whatever else than OSError pickling raises."""
    try:
        yield
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a class that torch.load does not know, a newer format, ...
        text = str(error)
        reason = re.search(r"WeightsUnpickler error: (.*?)(\. Please|\n|$)", text)  # it follows torch's general advice
        line = reason[1] if reason else (text.strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(words.replace("{}", line)) from error
