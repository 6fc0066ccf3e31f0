"""The process that a run is in: device, number formats and kernels, memory, and requests to stop."""

import os
import resource
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from training.mixing import Batch

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)  # the last two: clusters, before pre-emption


class Stopped(Exception):
    """The run was asked to stop and has written its checkpoint."""


class Diverged(Exception):
    """The loss, the weights or the evaluation are no longer finite."""


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """Return the device that `name` (auto, cpu, cuda, cuda:1, ...; conf has checked it) means.

    Raises ValueError, one line, when this machine does not have it.
    """
    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    device = torch.device(name if name != "auto" else "cuda" if devices else "cpu")
    if device.type == "cuda" and (device.index or 0) >= devices:
        here = ["auto", "cpu", *(["cuda"] if devices else []), *(f"cuda:{index}" for index in range(devices))]
        raise ValueError(f"device: {name!r} is not on this machine; allowed here: {', '.join(here)}")
    if device == torch.device("cuda"):  # without a number
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
    return device


def set_kernels(precision: str, device: torch.device, threads: int) -> None:
    """Choose float32 matrix kernels and deterministic algorithms; threads: 0 leaves their number as it is.

    Raises ValueError where the device does not have the precision.
    """
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


@dataclass(frozen=True)
class Model:
    """A net as a task sees it: called, it passes inputs forward in the run's precision.

    net: the module itself: its parts, mode, parameters and buffers. forward: what is called, the net as it is, compiled
    or shared among processes.
    """

    net: nn.Module
    forward: Callable[..., Batch]
    precision: str
    device: torch.device

    def __call__(self, *inputs: object) -> Batch:
        """Return the outputs of the net, of whatever structure."""
        with autocast(self.precision, self.device):
            return self.forward(*inputs)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def gpu_name(device: torch.device) -> str | None:
    """Return the name of a GPU, None for a CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else None


def size(model: nn.Module, optimizers: Iterable[Optimizer], device: torch.device) -> dict[str, Any]:
    """Return a run's numbers of parameters and, as `memory`, of bytes.

    peak_bytes: the most that this process held, on the GPU for CUDA, resident for the CPU. optimizer_bytes: what the
    optimizers' state takes.
    """
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    states = [state for optimizer in optimizers for state in optimizer.state.values()]
    tensors = [value for state in states for value in state.values() if isinstance(value, Tensor)]
    memory = {
        "peak_bytes": int(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else resident,
        "optimizer_bytes": sum(tensor.numel() * tensor.element_size() for tensor in tensors),
    }
    return {"memory": memory, "parameters": sum(parameter.numel() for parameter in model.parameters())}


class StopRequest:
    """Listens for signals: a request is noted at once, and granted at a step's end, where nothing is half done.

    A second Ctrl-C stops at once, without a checkpoint. noted: is called at each signal.
    """

    def __init__(self, noted: Callable[[], None] = lambda: None) -> None:
        """Take the signals over, if this is the main thread."""
        self.signal: signal.Signals | None = None
        self._noted = noted
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        else:
            self._before = {}

    def __bool__(self) -> bool:
        """Tell whether the run was asked to stop."""
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

    folder: their own, for the file that says stop and the ids of the processes that listen.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is written before someone listens."""
        self._folder, self._word = folder, folder / "stop"

    def __bool__(self) -> bool:
        """Tell whether any run was asked to stop."""
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
