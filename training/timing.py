"""How long and how much: seconds a step and an epoch, and memory."""

import resource
import statistics
import time
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


def spread(seconds: list[float]) -> dict[str, Any]:
    """Return median and interquartile range of durations, the first (warm-up, compilation) left out."""
    counted = seconds[1:]
    if not counted:
        return {"n": 0, "median": None, "iqr": None}
    quartiles = statistics.quantiles(counted, n=4, method="inclusive") if len(counted) > 1 else [counted[0]] * 3
    return {"n": len(counted), "median": statistics.median(counted), "iqr": quartiles[2] - quartiles[0]}


def optimizer_bytes(optimizer: Optimizer) -> int:
    """Return the bytes that an optimizer's state takes."""
    tensors = [v for state in optimizer.state.values() for v in state.values() if isinstance(v, Tensor)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def peak_bytes(device: torch.device) -> int:
    """Return the most memory that this process held: on the GPU for CUDA, resident for the CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def now() -> float:
    """Return seconds on a clock that never jumps."""
    return time.monotonic()


def settle(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def gpu_name(device: torch.device) -> str | None:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else None
