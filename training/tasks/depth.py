"""Depth of every pixel, right or wrong by whole rectangles (SING, supplement C.1): what RDE minimises and measures.

Targets are [B, 2, H, W]: the number of the rectangle that a pixel shows, 0 for the background and at most num_classes,
and its depth in [0, 1]. Outputs are [B, 1, H, W].
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from training.meter import Scores
from training.tasks.base import Supervised


class Depth(Supervised):
    """Mean squared error over all pixels; measures loss (equal to mse), mse, accuracy and rectangle_accuracy.

    num_classes: rectangles in an image, at most. The prediction for a rectangle is the mean over its visible pixels; it
    is right if less than half a level from the rectangle's depth. The paper does not give its tolerance. `accuracy` is
    the percentage of images whose every rectangle is right, `rectangle_accuracy` that of rectangles. The background is
    not counted.
    """

    cross_entropy = False
    width = 1

    def criterion(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the batch's mean squared error."""
        return F.mse_loss(outputs.squeeze(1), targets[:, 1])

    def measure(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return loss, mse and accuracy of each image, and its numbers of rectangles and of right ones."""
        number, depth = targets.flatten(2).unbind(1)
        error = outputs.flatten(1) - depth
        level = torch.where(depth > 0, depth, torch.inf).amin(1, keepdim=True)  # some rectangle lies on the background
        numbers = torch.arange(1, self.num_classes + 1, device=depth.device, dtype=depth.dtype)
        shown = number[:, None] == numbers[:, None]  # [B, K, pixels]
        pixels = shown.sum(2)
        miss = (error[:, None] * shown).sum(2).abs() / pixels.clamp(min=1)
        there, right = pixels > 0, miss < level / 2  # what is not there misses by 0
        mse = error.square().mean(1)
        return {
            "loss": mse,
            "mse": mse,
            "accuracy": 100.0 * right.all(1),
            "right": (right & there).sum(1),
            "rectangles": there.sum(1),
        }

    def derive(self, means: dict[str, Tensor], scores: Scores) -> dict[str, Tensor]:
        """Return the means over images, and over rectangles for rectangle_accuracy."""
        counted = {name: value for name, value in means.items() if name not in ("right", "rectangles")}
        return counted | {"rectangle_accuracy": 100 * means["right"] / means["rectangles"]}
