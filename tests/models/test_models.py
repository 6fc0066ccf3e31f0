"""Every network of conf/model: parameter counts of the reference table, shapes, gradients, formats, initialisation."""

import inspect
import itertools
import math
from importlib import import_module

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

import models
from conf import groups
from models import RESERVED
from models.blocks import zero_padded
from models.efficientnet import DropConnect
from models.harmonic import HarmonicFilters
from models.imagenet import apply_blurpool
from models.shufflenet import shuffle

COUNTS = {  # for 10 and 100 classes
    "resnet18": (11_173_962, 11_220_132),
    "resnet34": (21_282_122, 21_328_292),
    "resnet50": (23_520_842, 23_705_252),
    "resnet101": (42_512_970, 42_697_380),
    "resnet20": (272_474, 278_324),
    "vgg16_bn": (14_728_266, 14_774_436),
    "resnext29_1x64d": (3_458_634, 3_504_804),
    "resnext29_2x64d": (9_128_778, 9_221_028),
    "resnext29_4x64d": (27_104_586, 27_288_996),
    "resnext29_32x4d": (4_774_218, 4_866_468),
    "mobilenetv2": (2_296_922, 2_412_212),
    "senet18": (11_260_354, 11_306_524),
    "efficientnet_b0": (3_599_686, 3_628_576),
    "shufflenetv2": (2_488_874, 2_581_124),
    "nats": (559_386, 565_236),
    "wrn_34_10": (45_901_914, 45_959_604),
}
VARIANTS = {
    ("resnet20", "shortcut", "A"): (269_722, 275_572),
    ("resnet20", "layers", 8): (78_042, 83_892),
    ("resnet20", "layers", 14): (175_258, 181_108),
    ("vgg16_bn", "conv_bias", False): (14_724_042, 14_770_212),
    ("vgg16_bn", "width_multiplier", 0.125): (232_274, 238_124),
    ("shufflenetv2", "size", 0.5): (352_042, 444_292),
    ("shufflenetv2", "size", 1.0): (1_263_854, 1_356_104),
    ("shufflenetv2", "size", 2.0): (5_338_026, 5_522_436),
}
IMAGENET = {  # for 1,000 classes
    "resnet18_imagenet": 11_689_512,
    "resnet34_imagenet": 21_797_672,
    "resnet50_imagenet": 25_557_032,
    "resnet101_imagenet": 44_549_160,
    "mobilenetv2_imagenet": 3_504_872,
}
SMALL = [
    "resnet20",
    *(name for name in COUNTS if name not in ("resnet101", "wrn_34_10", "resnext29_4x64d", "resnet20")),
]


def options(option, **changes):
    return OmegaConf.to_container(OmegaConf.load(groups.ROOT / "model" / f"{option}.yaml")) | changes


def build(option, num_classes=10, in_channels=3, image_size=32, **changes):
    facts = {"num_classes": num_classes, "in_channels": in_channels, "image_size": image_size}
    return models.build(options(option, **changes), facts)


def count(net):
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts_are_those_of_the_reference_table(name):
    with torch.device("meta"):
        assert (count(build(name)), count(build(name, num_classes=100))) == COUNTS[name]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_parameter_counts_of_the_variants(variant):
    name, key, value = variant
    with torch.device("meta"):
        counts = count(build(name, **{key: value})), count(build(name, num_classes=100, **{key: value}))
    assert counts == VARIANTS[variant]


@pytest.mark.parametrize("name", IMAGENET)
def test_parameter_counts_of_the_imagenet_forms(name):
    with torch.device("meta"):
        assert count(build(name, num_classes=1000, image_size=224)) == IMAGENET[name]
        if name == "resnet18_imagenet":  # RMSGD's pathology heads
            assert count(build(name, num_classes=2, image_size=224)) == 11_177_538
            assert count(build(name, num_classes=22, image_size=272)) == 11_187_798


def test_every_network_of_conf_is_counted():
    # those made for one task, timm's and users' own have tests of their own
    others = {"timm", "custom"}
    listed = {name for name in set(groups.options("model")) - others if "task" not in groups.raw("model", name)}
    assert listed == COUNTS.keys() | IMAGENET.keys()


@pytest.mark.parametrize("name", [name for name in groups.options("model") if name != "custom"])
def test_a_yaml_lists_every_keyword_of_its_target_with_its_default(name):
    values = options(name)
    module, _, attribute = values["target"].rpartition(".")
    signature = inspect.signature(getattr(import_module(module), attribute)).parameters
    given = {"num_classes", "in_channels", "image_size", "name", "weights"}
    keywords = {key: p.default for key, p in signature.items() if key not in given}
    listed = {key: value for key, value in values.items() if key not in RESERVED}
    assert listed.keys() == keywords.keys()
    assert {k: v or None for k, v in listed.items()} == {k: v or None for k, v in keywords.items()}


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (28, 1), (32, 3)])
@pytest.mark.parametrize("name", SMALL)
def test_a_network_takes_small_images_and_every_used_parameter_gets_a_gradient(name, size, channels):
    torch.manual_seed(0)
    net = build(name, in_channels=channels, image_size=size)
    output = net(torch.randn(2 if size > 8 else 4, channels, size, size))
    assert output.shape[1] == 10
    if size == 8:
        output.logsumexp(1).sum().backward()
        without = {n for n, p in net.named_parameters() if p.grad is None}
        assert all(n.startswith("stages.0.expand") for n in without)
        assert bool(without) == (name == "efficientnet_b0")


@pytest.mark.parametrize("name", ["resnet20", "shufflenetv2", "senet18", "efficientnet_b0", "mobilenetv2"])
def test_channels_last_gives_the_same_outputs(name):
    torch.manual_seed(0)
    net = build(name).double().eval()
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    expected = net(images)
    net.to(memory_format=torch.channels_last)
    assert torch.allclose(net(images.to(memory_format=torch.channels_last)), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["resnet18", "vgg16_bn", "senet18", "shufflenetv2"])
def test_weights_are_drawn_as_torch_draws_them(name):
    """Uniform on +-1/sqrt(fan_in), whose variance is 1 / (3 fan_in); norms 1 and 0. RMSGD's metric depends on it."""
    torch.manual_seed(0)
    for module in build(name).modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.numel() > 50_000:
            fan_in = module.weight[0].numel()
            assert module.weight.mean().abs().item() < 5 / math.sqrt(3 * fan_in * module.weight.numel())
            assert module.weight.var().item() == pytest.approx(1 / (3 * fan_in), rel=0.02)
            assert module.weight.abs().max().item() <= 1 / math.sqrt(fan_in) * (1 + 1e-6)
        if isinstance(module, nn.BatchNorm2d):
            assert module.weight.eq(1).all()
            assert module.bias.eq(0).all()


def test_resnet18_is_torchvisions_with_another_stem():
    from torchvision.models import resnet18

    reference = resnet18(num_classes=10)
    reference.conv1, reference.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    net = build("resnet18")
    ours, theirs = list(net.parameters()), list(reference.parameters())
    assert [p.shape for p in ours] == [p.shape for p in theirs]
    with torch.no_grad():
        for a, b in zip(ours, theirs, strict=True):
            b.copy_(a)
    images = torch.randn(2, 3, 32, 32)
    assert torch.allclose(net.eval()(images), reference.eval()(images), atol=1e-5)


def test_shortcuts_without_parameters():
    x = torch.arange(2.0 * 4 * 4).reshape(1, 2, 4, 4)
    padded, pooled = zero_padded(2, 4, nn.AvgPool2d(1, 2))(x), zero_padded(2, 4, nn.AvgPool2d(2, ceil_mode=True))
    assert padded[0, 0].eq(0).all()
    assert padded[0, 3].eq(0).all()
    assert padded[0, 1].tolist() == [[0, 2], [8, 10]]
    assert pooled(x)[0, 1].tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert pooled(x[..., :3, :3]).shape == (1, 4, 2, 2)  # as a strided convolution


def test_shuffle_interleaves_the_halves():
    assert shuffle(torch.arange(6.0).reshape(1, 6, 1, 1)).flatten().tolist() == [0, 3, 1, 4, 2, 5]


def test_drop_connect_keeps_the_mean_and_drops_whole_samples():
    torch.manual_seed(0)
    drop = DropConnect(0.2).train()
    y = drop(torch.ones(20_000, 2, 1, 1)).flatten(1)
    assert set(y.unique().tolist()) == {0.0, 1.25}
    assert y[:, 0].eq(y[:, 1]).all()
    assert y.mean().item() == pytest.approx(1, abs=0.02)
    assert drop.eval()(torch.ones(3, 2, 1, 1)).eq(1).all()


def test_blurpool_blurs_before_every_strided_convolution_but_the_stem():
    net = build("resnet18_imagenet", image_size=224, blurpool=True)
    blurred = [name for name, module in net.named_modules() if type(module).__name__ == "BlurConv"]
    assert blurred == [f"layer{s}.0.{part}" for s in (2, 3, 4) for part in ("conv1", "downsample.0")]
    assert count(net) == count(build("resnet18_imagenet", image_size=224))
    conv = apply_blurpool(nn.Sequential(nn.Conv2d(16, 16, 1, 2, bias=False)))
    nn.init.dirac_(conv[0].conv.weight)
    spike = torch.zeros(1, 16, 5, 5)
    spike[:, :, 2, 2] = 16
    assert conv(spike)[0, 0].tolist() == [[0, 0, 0], [0, 4, 0], [0, 0, 0]]


def test_another_number_of_channels_gives_an_imagenet_form_another_stem():
    net = build("mobilenetv2_imagenet", num_classes=2, in_channels=1, image_size=40)
    assert net(torch.randn(2, 1, 40, 40)).shape == (2, 2)


def test_an_imagenet_stem_takes_small_images_where_it_is_forced():
    """conf/validate.py refuses it without model.force=true."""
    assert build("resnet18_imagenet", force=True)(torch.randn(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "models.resnet.resnet19"}, "cannot import 'models.resnet.resnet19'"),
        ({"target": "resnet18"}, "cannot import 'resnet18'"),
        ({"target": "models.blocks.FOUR"}, "not callable"),
        ({"depth": 3}, "unexpected keyword argument 'depth'"),
    ],
)
def test_a_wrong_target_is_one_line(changes, message):
    with pytest.raises(ValueError, match=message) as raised:
        build("resnet18", **changes)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("name", "changes"), [("shufflenetv2", {"size": 1.7}), ("wrn_34_10", {"depth": 30})])
def test_a_wrong_size_is_one_line(name, changes):
    with pytest.raises(ValueError, match=r"^model\.(size|depth): "):
        build(name, **changes)


def test_any_network_of_timm():
    net = build("timm", name="vit_tiny_patch16_224", args={"depth": 1})
    assert net(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    with pytest.raises(ValueError, match=r"^model\.name: timm knows no 'convnext_tinny'; nearest: convnext_tiny"):
        build("timm", name="convnext_tinny")
    with pytest.raises(ValueError, match=r"^model\.args: "):
        build("timm", name="resnet18", args={"no_such": 1})


def test_an_embedding_has_rows_of_norm_1_frozen_statistics_and_torchvisions_names(tmp_path):
    from torchvision.models import resnet50

    from models import build

    options = {"target": "models.embedding.resnet50", "proxies": True}
    net = build(options, {"num_classes": 7, "in_channels": 3})
    assert sum(p.numel() for p in net.parameters()) == 24_557_120 + 7 * 512
    norms = [module for module in net.train().modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert not any(norm.training for norm in norms)
    points = net(torch.randn(2, 3, 64, 64))
    torch.testing.assert_close(points.norm(dim=1), torch.ones(2))
    theirs = resnet50()
    torch.save(theirs.state_dict(), tmp_path / "r50.pt")
    net = build(options | {"weights": str(tmp_path / "r50.pt")}, {"num_classes": 7, "in_channels": 3})
    assert torch.equal(net.pretrained_part.conv1.weight, theirs.conv1.weight)


def test_harmonic_cnn_has_the_parameters_of_its_authors_code():
    """Its modules.py: a Q, batch norm of 6, seven layers of two blocks (a 3x3 shortcut in the first), two linear."""

    def layer(inputs: int, outputs: int) -> int:
        convs, norms = 9 * (2 * inputs * outputs + 3 * outputs * outputs), 5 * 2 * outputs
        return convs + norms

    widths = [6, 128, 128, 128, 256, 256, 256, 256]
    layers = sum(layer(i, o) for i, o in itertools.pairwise(widths))
    expected = 1 + 12 + layers + (256 * 256 + 256) + 2 * 256 + (256 * 50 + 50)
    net = models.build({"target": "models.harmonic.HarmonicCNN"}, {"num_classes": 50})
    assert sum(p.numel() for p in net.parameters()) == expected == 13_230_655
    small = models.build({"target": "models.harmonic.harmonic_small"}, {"num_classes": 35})
    assert sum(p.numel() for p in small.parameters()) == 122_576
    for samples in (4096, 16000, 80000):
        assert small(torch.randn(2, samples)).shape == (2, 35)


def test_harmonic_filters_are_triangles_around_a_note_and_its_harmonics():
    filters = HarmonicFilters(harmonics=6, per_semitone=2)
    wave = torch.randn(1, 4096, generator=torch.Generator().manual_seed(0))
    padded = np.pad(wave[0].numpy(), 256, mode="reflect")  # frame k is centred at sample 256 k
    frames = np.lib.stride_tricks.sliding_window_view(padded, 513)[::256] * np.hanning(514)[:-1]
    power, bins = np.abs(np.fft.rfft(frames)) ** 2, np.linspace(0, 8000, 257)
    expected = np.empty((6, 128, len(power)))
    for h, k in np.ndindex(6, 128):
        note = (h + 1) * 440 * 2 ** ((24 + k / 2 - 69) / 12)
        width = (0.1079 * note + 24.7) / 2
        slope = np.minimum(1 + 2 / width * (bins - note), 1 - 2 / width * (bins - note))
        expected[h, k] = power @ np.maximum(0, slope)
    found = filters(wave)[0].detach().double().numpy()
    np.testing.assert_allclose(found, 10 * np.log10(np.maximum(expected, 1e-10)), rtol=1e-3, atol=1e-2)
    filters(wave).sum().backward()
    assert filters.q.grad.abs() > 0
