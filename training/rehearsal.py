"""Can the net take the batches that it will be given? Found out before any training, and without a trace."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call


def smallest_piece(config: dict[str, Any], samples: int, processes: int, steps: int | None) -> int:
    """Return the fewest images of which batch norm will ever take its statistics.

    samples: of the training split. steps: of the whole run, None where that is not known.
    """
    size = config["batch_size"]
    short = steps is not None and steps * size < samples  # the run never comes to an epoch's last batch
    last = size if short else samples % size or size
    share = max(1, last // processes)
    return (processes if config["bn"] == "sync" else 1) * (share // min(share, config["accumulation"]))


def rehearse(model: nn.Module, channels: int, pixels: int, smallest: int, device: torch.device) -> None:
    """Pass two blank images forward in training mode, and one alone if that is the `smallest` batch that comes.

    The net is left as it was; dropout draws from torch's global generators. Raises ValueError, one line, for images
    that the net does not take, and for a single one where batch norm needs more.
    """
    images = torch.zeros(2, channels, pixels, pixels, device=device)
    try:
        _forward(model, images)
    except Exception as error:  # whatever a net's code makes of a shape
        raise ValueError(f"model: cannot take images of {channels} x {pixels} x {pixels}: {_line(error)}") from error
    if smallest > 1:
        return
    try:
        _forward(model, images[:1])
    except Exception as error:
        raise ValueError(
            f"batch_size: the last batch of an epoch leaves a single image to a step, which batch norm cannot take "
            f"({_line(error)}); choose another batch_size or accumulation"
        ) from error


@torch.no_grad()
def _forward(model: nn.Module, inputs: Tensor) -> None:
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    functional_call(model, buffers, (inputs,))


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
