"""Images are augmented on a GPU as on the CPU, from the same draws."""

import pytest
import torch

from data.augment import Augment, Transform

pytestmark = pytest.mark.gpu

NORM = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.25]}
KINDS = {
    "crop and flip": (Augment(crop_padding=4, flip="both"), 1e-6),
    "cutout": (Augment(crop_padding=4, cutout=8), 1e-6),
    "rotation": (Augment(rotation=15.0), 1e-3),  # which pixels it takes hangs on the last digit of a cosine
    "resized crop": (Augment(resized_crop=0.2, flip="horizontal"), 1e-3),
}


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_augmented_as_on_the_cpu(kind: str, channels_last: bool) -> None:
    augment, share = KINDS[kind]
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(256, (64, 3, 32, 32), generator=draw, dtype=torch.uint8)
    draws = torch.rand(64, augment.draws, generator=draw)
    cpu, cuda = (
        Transform(NORM, augment, device=device, channels_last=channels_last)(images.to(device), draws.to(device))
        for device in ("cpu", "cuda")
    )
    assert cuda.device.type == "cuda"
    apart = ((cuda.cpu() - cpu).abs() > 1e-4).float().mean()
    assert apart <= share
