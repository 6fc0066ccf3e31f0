"""Sounds, decoded once to 16 kHz and cut into windows: what the readers of data/sounds.py have in common.

Batches are (waveforms in [-1, 1], float32, targets). In training a window of each clip is drawn, [B, T]; a shorter clip
lies at a random place among zeros. An evaluation has `chunks` windows of each, evenly apart: [B, T], or [B, chunks, T].
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import gcd
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.dataset import Place, uniform
from data.files import complaint, digest, stamps
from data.stored import Bytes, stored

RATE, FULL = 16_000, 1 << 15  # samples a second; the value of 16 bits that stands for 1


class Clip(NamedTuple):
    """A file of sound, the numbers of its classes, and its part: train, validation or test."""

    file: Path
    labels: tuple[int, ...]
    part: str


class Windows(NamedTuple):
    """samples: in a window. chunks: windows of a clip in an evaluation. longest: samples of a clip that are kept."""

    samples: int
    chunks: int
    longest: int


class SoundSplit:
    """Some clips of an array, uint8 [N, 2 * longest + 4], a row of samples of 16 bits and their number, and targets."""

    def __init__(
        self, clips: Tensor, rows: Tensor, targets: Tensor, names: Sequence[str], windows: Windows, place: Place
    ):
        self.clips, self.rows, self.windows, self.device = clips, rows, windows, place.device
        self.targets, self.names = targets.to(place.device), names

    def __len__(self) -> int:
        return len(self.rows)

    def identities(self) -> Sequence[str]:
        return self.names

    def batches(self, order: Iterable[Tensor], key: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield a batch on the device for each tensor of positions: see the top of this file."""
        count = self.windows.chunks
        for positions in order:
            shares = (torch.arange(count) + 0.5).expand(len(positions), -1) / count
            sounds = self._cut(positions, shares if key is None else uniform(key, positions, 1))
            sounds = sounds if key is None and count > 1 else sounds[:, 0]
            yield sounds.to(self.device, non_blocking=True), self.targets[positions.to(self.device, non_blocking=True)]

    def _cut(self, positions: Tensor, shares: Tensor) -> Tensor:
        """Return windows [B, K, T]; shares [B, K] in [0, 1): where each lies in what its clip leaves free."""
        rows = self.clips[self.rows[positions]]
        samples, length = rows[:, :-4].view(torch.int16), rows[:, -4:].clone().view(torch.int32)
        starts = ((length - self.windows.samples) * shares).floor().long()
        place = starts[..., None] + torch.arange(self.windows.samples)
        inside = (place >= 0) & (place < length[..., None])
        cut = samples.gather(1, place.clamp(0, samples.shape[1] - 1).flatten(1)).view_as(place)
        return cut * inside / FULL


def decoded(place: Place, clips: Sequence[Clip], longest: int) -> tuple[Tensor, str]:
    """Return the array that `SoundSplit` reads, and the SHA-256 of its bytes; it is made under the cache on first use.

    Files of another rate are resampled, and a line says how many. Raises ValueError, naming a file that is no whole
    file of sound; ImportError, one line, without soundfile.
    """
    files = [clip.file for clip in clips]
    rates: list[int] = []

    def fill(rows: Bytes) -> None:
        with ThreadPoolExecutor() as pool:
            for row, (wave, rate) in zip(rows, pool.map(decode, files), strict=True):
                wave = wave[:longest]
                row[: wave.nbytes] = wave.view(np.uint8)
                row[-4:] = np.array([len(wave)], "<i4").view(np.uint8)
                rates.append(rate)
        if others := {rate for rate in rates if rate != RATE}:
            changed = sum(rate != RATE for rate in rates)
            print(f"data={place.name}: {changed} files at {sorted(others)} Hz were resampled to {RATE}", flush=True)

    folder = place.cache / f"{place.name}-{digest([str(longest), *stamps(files)])[:16]}"
    return stored(folder, "clips", (len(clips), 2 * longest + 4), fill)


def decode(file: Path) -> tuple[NDArray[np.int16], int]:
    """Return a file's mean over channels at 16 kHz, and the rate that it had (samples a second)."""
    import soundfile

    _require_whole_wav(file)
    try:
        with soundfile.SoundFile(file) as opened:
            waves, rate, frames = opened.read(dtype="float32", always_2d=True), opened.samplerate, opened.frames
    except soundfile.SoundFileError as error:
        raise ValueError(f"{file}: unreadable sound: {complaint(error)}") from error
    if len(waves) < 0.95 * frames:  # an mp3's header may be off by its padding
        raise ValueError(f"{file}: {len(waves)} samples, but its header says {frames}: truncated")
    if not len(waves):
        raise ValueError(f"{file}: a sound without samples")
    if not np.isfinite(waves).all():
        raise ValueError(f"{file}: unreadable sound: it has samples that are not finite")
    return as_16_bits(waves.mean(1), rate), rate


def as_16_bits(wave: NDArray[np.float32], rate: int) -> NDArray[np.int16]:
    """Return a waveform in [-1, 1] at 16 kHz as numbers of 16 bits."""
    from scipy.signal import resample_poly

    shared = gcd(rate, RATE)
    wave = wave if rate == RATE else resample_poly(wave, RATE // shared, rate // shared)
    rounded: NDArray[np.float32] = np.round(wave * FULL).clip(-FULL, FULL - 1)
    return rounded.astype("<i2")


def _require_whole_wav(file: Path) -> None:
    """Raise ValueError for a wav shorter than its header says; libsndfile would return what is there."""
    with file.open("rb") as opened:
        head = opened.read(8)
    said, found = int.from_bytes(head[4:], "little") + 8, file.stat().st_size
    if head[:4] == b"RIFF" and said > found:
        raise ValueError(f"{file}: {found} bytes, but its header says {said}: truncated")
