"""Checkpoints that are whole or not there: atomic, with their SHA-256 in the name, two always kept."""

import hashlib
import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from record.files import write_atomic

if TYPE_CHECKING:
    from torch import Tensor

KEPT = 2
_NAME = re.compile(r"checkpoint-(\d+)-([0-9a-f]{16})\.pt")


def save(folder: Path, state: Mapping[str, Any], step: int) -> Path:
    """Write `checkpoint-<step>-<hash>.pt` and remove all but the two newest.

    state: tensors, numbers, strings, lists and dicts, which torch.load reads with weights_only=True. Raises OSError
    (disk full, ...); the checkpoints that there were then stand untouched.
    """
    content = _packed(dict(state))
    path = folder / f"checkpoint-{step:09d}-{_digest(content)}.pt"
    write_atomic(path, content)
    for old in found(folder)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def load(folder: Path, notice: Callable[[str], None]) -> dict[str, Any] | None:
    """Read the newest whole checkpoint, onto the CPU; None if there is none.

    A torn or bit-flipped one is set aside as `*.bad`, with one line to `notice`, and the one before is read.
    """
    for path in found(folder):
        try:
            return _unpacked(path)
        except Exception as error:  # whatever unpickling a damaged file raises
            path.rename(path.with_suffix(".bad"))
            notice(f"{path.name}: {_first_line(error)}; set aside, going back to the checkpoint before")
    return None


def found(folder: Path) -> list[Path]:
    """Return a run's checkpoints, newest first."""
    paths = [path for path in folder.glob("checkpoint-*.pt") if _NAME.fullmatch(path.name)]
    return sorted(paths, key=lambda path: (path.name.split("-")[1], path.stat().st_mtime_ns), reverse=True)


def save_weights(folder: Path, weights: Mapping[str, Any]) -> Path:
    """Write the final weights as `weights.pt`, atomically."""
    write_atomic(folder / "weights.pt", _packed(dict(weights)))
    return folder / "weights.pt"


def weights_hash(weights: Mapping[str, "Tensor"]) -> str:
    """Return the SHA-256 of a state dict's names, types, shapes and bits, in order of name; any device."""
    import torch

    total = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        total.update(f"{name} {flat.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(flat.view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _packed(state: dict[str, Any]) -> memoryview:
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getbuffer()


def _unpacked(path: Path) -> dict[str, Any]:
    import torch

    content, name = path.read_bytes(), _NAME.fullmatch(path.name)
    if name is None or _digest(content) != name[2]:
        raise ValueError("damaged: its SHA-256 is not the one in its name")
    state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return state


def _digest(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
