"""Harmonic CNN (Won et al. 2020: Data-driven harmonic filters for audio representation learning), as their code has it.

A spectrogram is summed by triangles around a note and its harmonics, the harmonics become channels, a ResNet follows.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.blocks import Residual, Stride, conv_bn

RATE = 16_000  # samples a second
WINDOW, HOP = 513, 256  # samples of the Fourier transform, and between two
LOWEST, HIGHEST = 24, 88  # C1, and E6: the note nearest to the Nyquist frequency / 6, as MIDI numbers
ALPHA, BETA, Q = 0.1079, 24.7, 2.0  # a triangle at f Hz is (ALPHA f + BETA) / Q wide; Q is learned
FAINT = 1e-10  # what power is cut off at before its logarithm


class HarmonicFilters(nn.Module):
    """Waveforms [B, T] to decibels [B, harmonics, 64 * per_semitone, 1 + T // 256]: row k of harmonic h has h f_k."""

    notes: Tensor
    bins: Tensor
    window: Tensor

    def __init__(self, harmonics: int, per_semitone: int) -> None:
        super().__init__()
        midi = LOWEST + torch.arange((HIGHEST - LOWEST) * per_semitone, dtype=torch.float64) / per_semitone
        hertz = 440 * 2 ** ((midi - 69) / 12)
        notes = torch.arange(1, harmonics + 1)[:, None] * hertz
        self.register_buffer("notes", notes.float(), persistent=False)
        self.register_buffer("bins", torch.linspace(0, RATE // 2, WINDOW // 2 + 1), persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        self.q = nn.Parameter(torch.tensor([Q]))

    def triangles(self) -> Tensor:
        """Return the weight of each frequency in each filter, [harmonics, notes, bins]."""
        width = (ALPHA * self.notes + BETA) / self.q
        return F.relu(1 - 2 * (self.bins - self.notes[..., None]).abs() / width[..., None])

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, T], T at least 257."""
        with torch.autocast(x.device.type, enabled=False):  # powers span more than half precision holds
            wave = torch.stft(x.float(), WINDOW, HOP, window=self.window, return_complex=True)
            power = torch.einsum("bft,hnf->bhnt", wave.abs() ** 2, self.triangles())
            return 10 * power.clamp_min(FAINT).log10()


class HarmonicCNN(nn.Module):
    """The filters, batch norm, seven strided stages, the largest value over time, and two linear layers.

    width: channels of the first three stages, the others have twice as many. depth: blocks of a stage. 13,230,655
    parameters for 50 tags.
    """

    def __init__(
        self, num_classes: int, width: int = 128, depth: int = 2, harmonics: int = 6, per_semitone: int = 2
    ) -> None:
        super().__init__()
        widths, wide = [*[width] * 3, *[2 * width] * 4], 2 * width
        strides: list[Stride] = [*[2] * 6, (2, 3)]
        steps = zip([harmonics, *widths[:-1]], widths, strides, strict=True)
        self.filters, self.norm = HarmonicFilters(harmonics, per_semitone), nn.BatchNorm2d(harmonics)
        self.stages = nn.Sequential(*(_stage(inputs, outputs, stride, depth) for inputs, outputs, stride in steps))
        hidden = nn.Sequential(nn.Linear(wide, wide), nn.BatchNorm1d(wide), nn.ReLU())
        self.head = nn.Sequential(hidden, nn.Dropout(0.5), nn.Linear(wide, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """x: waveforms in [-1, 1] at 16 kHz, [B, T]; returns logits [B, num_classes]."""
        features = self.stages(self.norm(self.filters(x)))
        logits: Tensor = self.head(features.amax((2, 3)))
        return logits


def _stage(inputs: int, outputs: int, stride: Stride, depth: int) -> nn.Sequential:
    """Return blocks of two 3x3 convolutions; the first one's shortcut is strided, as its body is."""
    changed = nn.Sequential(*conv_bn(inputs, outputs, 3, stride))
    rest = (Residual(_body(outputs, outputs, 1), nn.Identity()) for _ in range(depth - 1))
    return nn.Sequential(Residual(_body(inputs, outputs, stride), changed), *rest)


def _body(inputs: int, outputs: int, stride: Stride) -> nn.Module:
    return nn.Sequential(*conv_bn(inputs, outputs, 3, stride), nn.ReLU(), *conv_bn(outputs, outputs, 3))


harmonic_small = partial(HarmonicCNN, width=16, depth=1, per_semitone=1)
