"""One process or many. Every process sees the same global batches and takes its share of each."""

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from training.mixing import mapped
from training.runtime import Diverged

T = TypeVar("T")


class Share(NamedTuple):
    """What one process computes of a batch.

    positions: of its samples. weight: makes the mean over the processes of the weighted mean losses the mean over the
    global batch. pieces: how many forward and backward passes it takes, the same number on every process.
    """

    positions: Tensor
    weight: float
    pieces: int


@dataclass(frozen=True)
class World:
    """This process's place among the run's processes; torchrun sets RANK, WORLD_SIZE and LOCAL_RANK."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @classmethod
    def from_environment(cls) -> "World":
        """Return the place that the environment says; without one, that of a single process."""
        read = os.environ.get
        return cls(int(read("RANK", "0")), int(read("WORLD_SIZE", "1")), int(read("LOCAL_RANK", "0")))

    @property
    def is_main(self) -> bool:
        """Tell whether this process writes and shows for all: it is process 0."""
        return self.rank == 0

    def join(self, device: torch.device) -> None:
        """Meet the other processes; nothing happens when there are none."""
        if self.size > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")

    def leave(self) -> None:
        """Part from the other processes."""
        if dist.is_initialized():
            dist.destroy_process_group()

    def wrap(self, model: nn.Module, device: torch.device, partly: bool = False) -> nn.Module:
        """Meet the other processes; return the model whose backward pass averages gradients over them (torch's DDP).

        partly: a pass may leave some of the parameters out, as where two players share the net.
        """
        self.join(device)
        if self.size == 1:
            return model
        ids = [device.index] if device.type == "cuda" else None
        # Buffers are batch-norm statistics: each process keeps its own (bn: local); rank 0's are saved.
        with warnings.catch_warnings():  # torch 2.15 would have the keyword renamed, to a name that 2.11 has not
            warnings.simplefilter("ignore", FutureWarning)
            return nn.parallel.DistributedDataParallel(
                model, device_ids=ids, broadcast_buffers=False, find_unused_parameters=partly
            )

    def shard(self, batch: Tensor, pieces: int = 1, size: Callable[[Tensor], int] = len) -> Share:
        """Return this process's part of a global batch of positions, [B, ...]; pieces: into how many it is split.

        size: how much positions count in a mean; see `Task.size`.

        A process left without a sample (a last batch smaller than the world) computes the first one with weight 0. No
        process has more pieces than the smallest part has samples, which each can tell without asking.
        """
        part = torch.tensor_split(batch, self.size)[self.rank]
        weight = size(part) * self.size / size(batch)
        return Share(part if len(part) else batch[:1], weight, min(pieces, max(1, len(batch) // self.size)))

    def sum(self, tensor: Tensor) -> Tensor:
        """Add a tensor up over the processes, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def any(self, flag: bool, device: torch.device) -> bool:
        """Tell whether any process raises the flag: all processes get the same answer."""
        return flag if self.size == 1 else bool(self.sum(torch.tensor(float(flag), device=device)))

    def require_finite(self, tensors: Sequence[Tensor]) -> None:
        """Raise Diverged, on all processes, where any has a number that is not finite."""
        finite = torch.stack([tensor.isfinite().all() for tensor in tensors]).all()
        if self.any(not finite, tensors[0].device):
            raise Diverged

    def require_equal(self, model: nn.Module) -> None:
        """Raise RuntimeError on every process unless all have the same weights, bit for bit."""
        if self.size == 1:
            return
        differs = False
        for parameter in model.parameters():
            mine = parameter.detach().contiguous().view(-1)
            theirs = mine.clone()
            dist.broadcast(theirs, src=0)
            differs |= not torch.equal(mine.view(torch.uint8), theirs.view(torch.uint8))  # as bits: NaN is itself
        apart = [rank for rank, other in enumerate(self.gather_objects([differs])) if other]
        if apart:
            raise RuntimeError(f"the processes have drifted apart: the weights of {apart} are not those of process 0")

    def copy_buffers(self, model: nn.Module) -> None:
        """Give every process rank 0's buffers: all evaluate with the statistics that are saved."""
        if self.size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, src=0)

    def gather_objects(self, rows: list[T]) -> list[T]:
        """Return the lists of all processes as one, in order of rank; tensors come on the CPU.

        A pickled tensor comes back on the device that it was on, which is not that of the process that reads it.
        """
        if self.size == 1:
            return rows
        lists: list[list[T]] = [[] for _ in range(self.size)]
        dist.all_gather_object(lists, mapped(rows, Tensor.cpu))
        return [row for part in lists for row in part]

    def broadcast_object(self, value: T) -> T:
        """Give every process rank 0's value (an object that pickles)."""
        box = [value]
        if self.size > 1:
            dist.broadcast_object_list(box, src=0)
        return box[0]


def convert_sync_batchnorm(model: nn.Module, bn: str, device: torch.device) -> nn.Module:
    """Return the model with batch statistics of one process (`local`) or of all together (`sync`).

    Raises ValueError for `sync` on a CPU, for which torch has no kernel.
    """
    if bn == "sync" and device.type != "cuda":
        raise ValueError(f"bn: sync needs CUDA devices, this run is on {device.type}; allowed here: local")
    convert: Callable[[nn.Module], nn.Module] = nn.SyncBatchNorm.convert_sync_batchnorm
    return convert(model) if bn == "sync" else model
