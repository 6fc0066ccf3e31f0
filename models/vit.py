"""A vision transformer that answers with an image: SING's depth estimator (Courtois et al. 2023, supplement C.1).

No class token; "each output token is used to output a patch of the output image". The paper says ViT-S and nothing of
widths, depth or patch size: those of `vit_s_rde` are DeiT-S's (Touvron et al. 2021).
"""

from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_Norm = partial(nn.LayerNorm, eps=1e-6)  # DeiT's


class DepthViT(nn.Module):
    """Patches, learned positions, timm's pre-norm blocks, a norm, and a linear map from each token to its patch.

    patch divides image_size, heads divide width; raises ValueError where they do not. No dropout, no stochastic depth.
    Weights are drawn from a normal of standard deviation 0.02, truncated at two of them; biases are 0.
    """

    def __init__(
        self, image_size: int, in_channels: int, patch: int, width: int, depth: int, heads: int, mlp_ratio: float
    ) -> None:
        super().__init__()
        if image_size % patch:
            raise ValueError(f"model.patch: {patch} does not divide the images' {image_size} pixels")
        if width % heads:
            raise ValueError(f"model.heads: {heads} does not divide model.width={width}")
        from timm.models.vision_transformer import Block  # takes seconds

        self.patch = patch
        self.embed = nn.Conv2d(in_channels, width, patch, stride=patch)
        # One bias a place: named so that what spares biases from weight decay spares it.
        self.position_bias = nn.Parameter(torch.empty(1, (image_size // patch) ** 2, width))
        norm = cast("type[nn.Module]", _Norm)  # timm only calls it
        blocks = [Block(width, heads, mlp_ratio, qkv_bias=True, norm_layer=norm) for _ in range(depth)]
        self.blocks = nn.Sequential(*blocks)
        self.norm = _Norm(width)
        self.head = nn.Linear(width, patch * patch)
        nn.init.trunc_normal_(self.position_bias, std=0.02, a=-0.04, b=0.04)
        self.apply(_draw)

    def forward(self, images: Tensor) -> Tensor:
        """Return depths [B, 1, H, W] of images [B, C, H, W]."""
        grid = self.embed(images)
        tokens = self.blocks(grid.flatten(2).transpose(1, 2) + self.position_bias)
        patches = self.head(self.norm(tokens)).transpose(1, 2)
        return F.pixel_shuffle(patches.unflatten(2, grid.shape[2:]), self.patch)


def _draw(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.trunc_normal_(module.weight, std=0.02, a=-0.04, b=0.04)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


# DeiT-S's shape: 21,491,392 parameters for 128-pixel colour images.
vit_s_rde = partial(DepthViT, in_channels=3, patch=8, width=384, depth=12, heads=6, mlp_ratio=4.0)

# The net of rde_small: 827,456 parameters for 24-pixel colour images.
vit_tiny_rde = partial(DepthViT, in_channels=3, patch=8, width=128, depth=4, heads=4, mlp_ratio=4.0)
