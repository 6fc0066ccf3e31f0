"""Private random streams: each purpose draws from its own, so that no purpose can disturb another."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Streams:
    """Random streams of the run of a seed, each named by a purpose and counters such as the epoch or the step.

    A stream depends on (seed, name, counters) alone: nothing has to be saved for an exact resume, and evaluating,
    logging or probing more often changes no other stream.
    """

    seed: int

    def key(self, name: str, *counters: int) -> int:
        """Return the stream's key: an integer in [0, 2^63)."""
        digest = hashlib.sha256(repr((self.seed, name, *counters)).encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1

    def generator(self, name: str, *counters: int) -> torch.Generator:
        """Return a CPU generator at the start of the stream; equal on every device kind."""
        return torch.Generator().manual_seed(self.key(name, *counters))

    @contextmanager
    def fork(self, name: str, *counters: int, device: torch.device | None = None) -> Iterator[None]:
        """Let torch's global generators draw from the stream inside the block, and restore them after it."""
        devices = [device] if device is not None and device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(self.key(name, *counters))
            yield
