"""Number formats and kernels, chosen once for the process; what the device cannot do is an error."""

import os
from contextlib import AbstractContextManager, nullcontext

import torch


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """Return the device that `name` (auto, cpu, cuda, cuda:1, ...; conf has checked it) stands for.

    Raises ValueError, one line, when this machine does not have it.
    """
    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    device = torch.device(name if name != "auto" else "cuda" if devices else "cpu")
    if device.type == "cuda" and (device.index or 0) >= devices:
        here = ["auto", "cpu", *(["cuda"] if devices else []), *(f"cuda:{index}" for index in range(devices))]
        raise ValueError(f"device: {name!r} is not on this machine; allowed here: {', '.join(here)}")
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
    return device


def set_kernels(precision: str, device: torch.device, threads: int) -> None:
    """Choose float32 matrix kernels and deterministic algorithms; raises ValueError where the device lacks them."""
    if precision == "tf32" and device.type != "cuda":
        raise ValueError(f"precision: tf32 needs a CUDA device; this run is on {device.type}: take fp32 or bf16")
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    if threads:
        torch.set_num_threads(threads)
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.benchmark = False
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS has no deterministic kernels
        torch.use_deterministic_algorithms(True)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context of a forward pass: bf16 autocast, or nothing."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
