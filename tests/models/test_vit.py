"""The depth estimator: size, shape, where an output patch comes from, how weights are drawn."""

import pytest
import torch
from omegaconf import OmegaConf

import models
from conf import groups

COUNTS = {"vit_s_rde": (128, 21_491_392), "vit_tiny_rde": (24, 827_456)}


def build(name, **changes):
    options = OmegaConf.to_container(OmegaConf.load(groups.ROOT / "model" / f"{name}.yaml")) | changes
    size = changes.pop("image_size", COUNTS[name][0])
    return models.build(options, {"num_classes": 10, "in_channels": 3, "image_size": size})


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_count_and_shape(name):
    side, count = COUNTS[name]
    net = build(name)
    assert sum(parameter.numel() for parameter in net.parameters()) == count
    assert net(torch.rand(1, 3, side, side)).shape == (1, 1, side, side)


def test_every_token_gives_back_its_own_patch():
    """With the blocks out, a pixel of the output depends on the pixels of its own patch and on no other."""
    net = build("vit_tiny_rde")
    net.blocks = torch.nn.Identity()
    images = torch.rand(1, 3, 24, 24, requires_grad=True)
    net(images)[0, 0, 9, 17].backward()
    where = images.grad[0].abs().sum(0).nonzero()
    assert where.amin(0).tolist() == [8, 16]
    assert where.amax(0).tolist() == [15, 23]


def test_rows_and_columns_of_a_patch_are_not_swapped():
    """A head that copies its input puts every pixel back where it was."""
    net = build("vit_tiny_rde", width=64, heads=1)
    net.blocks, net.norm, net.head = torch.nn.Identity(), torch.nn.Identity(), torch.nn.Identity()
    with torch.no_grad():
        net.position_bias.zero_()
        net.embed.weight.zero_()
        for pixel in range(64):
            net.embed.weight[pixel, 0, pixel // 8, pixel % 8] = 1
    images = torch.rand(2, 3, 24, 24)
    torch.testing.assert_close(net(images)[:, 0], images[:, 0])


def test_tokens_see_each_other_and_their_place():
    net = build("vit_tiny_rde")
    images = torch.rand(1, 3, 24, 24, requires_grad=True)
    net(images)[0, 0, 0, 0].backward()
    assert (images.grad[0].abs().sum(0) > 0).all()
    flat = net(torch.full((1, 3, 24, 24), 0.5))[0, 0]
    assert flat.std() > 0
    assert not torch.allclose(flat[:8, :8], flat[8:16, :8])


def test_initialisation_and_regularisation():
    net = build("vit_tiny_rde")
    for name, parameter in net.named_parameters():
        if "norm" in name:
            assert (parameter == (1 if name.endswith("weight") else 0)).all()
        elif name.endswith(".bias"):
            assert (parameter == 0).all()
        else:
            assert parameter.abs().max() <= 0.04
            assert parameter.std().item() == pytest.approx(0.88 * 0.02, rel=0.1)  # of a normal cut at two sigma
    net.train()
    images = torch.rand(2, 3, 24, 24)
    assert torch.equal(net(images), net(images))  # nothing is dropped


@pytest.mark.parametrize(("key", "value"), [("patch", 5), ("heads", 3)])
def test_what_does_not_divide_is_an_error(key, value):
    with pytest.raises(ValueError, match=rf"^model\.{key}: {value} does not divide"):
        build("vit_tiny_rde", **{key: value})
