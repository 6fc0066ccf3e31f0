"""Which tensors are scale-invariant, which are not decayed: by hand on small nets, by numbers on their gradients."""

import copy
import json

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from optim.invariance import describe_groups, param_groups, radial_cosine, scale_invariant, suspects


class Net(nn.Module):
    """One of each: stem into BN, a residual sum, depthwise, GroupNorm, concatenation, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, bias=True)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.norm1 = nn.GroupNorm(2, 8)
        self.summed = nn.Conv2d(8, 8, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(8)
        self.biased = nn.Conv2d(8, 8, 1)
        self.norm3 = nn.GroupNorm(2, 8)
        self.grown = nn.Conv2d(8, 4, 1, bias=False)
        self.norm4 = nn.BatchNorm2d(12)
        self.up = nn.ConvTranspose2d(12, 6, 2, bias=False)
        self.norm5 = nn.BatchNorm2d(6)
        self.plain = nn.Conv2d(6, 6, 1)
        self.flat = nn.Linear(6, 10, bias=False)
        self.norm6 = nn.LayerNorm(10)
        self.head = nn.Linear(10, 4)

    def forward(self, x):
        x = self.norm(self.stem(x)).relu()
        x = x + self.norm1(self.depthwise(x))
        x = F.relu(self.norm2(self.summed(x) + x))
        x = self.norm3(self.biased(x)).relu()
        x = self.norm4(torch.cat([x, self.grown(x)], 1)).relu()
        x = self.norm5(self.up(x))
        x = self.plain(x).relu().mean((2, 3))
        return self.head(self.norm6(self.flat(x)))


KNOWN = {
    "stem.weight": "channel",
    "depthwise.weight": "layer",
    "grown.weight": "channel",
    "up.weight": "layer",
    "flat.weight": "layer",
}


def backward(net: nn.Module, size: int = 16) -> nn.Module:
    torch.manual_seed(3)
    net.double()
    x = torch.randn(4, 3, size, size, dtype=torch.float64)
    F.cross_entropy(net(x), torch.arange(4)).backward()
    return net


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net()


def test_the_graph_tells_which_weights_are_invariant(net):
    before = copy.deepcopy(net.state_dict())
    draw = torch.random.get_rng_state()
    assert scale_invariant(net) == KNOWN
    assert torch.equal(draw, torch.random.get_rng_state())
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_the_gradients_agree_with_the_graph(net):
    with torch.no_grad():
        for norm in (m for m in net.modules() if hasattr(m, "eps")):
            norm.eps = 1e-12  # the eps of a norm is what keeps the cosine from 0
        net.biased.bias.copy_(torch.arange(8.0))
    backward(net)
    weights = {n: p for n, p in net.named_parameters() if p.ndim > 1}
    for name, p in weights.items():
        kind = KNOWN.get(name, "layer")
        assert (radial_cosine(p, p.grad, kind) < 1e-6) == (name in KNOWN), name
    assert radial_cosine(net.depthwise.weight, net.depthwise.weight.grad, "channel") > 1e-3
    assert suspects(net, describe_groups(param_groups(net, invariance="auto"))) == []
    wrong = {"channel": ["stem.weight", "depthwise.weight"], "layer": ["head.weight"]}
    optimizer = torch.optim.SGD(param_groups(net, invariance=wrong), lr=0.1)
    assert suspects(net, describe_groups(optimizer.param_groups)) == ["depthwise.weight", "head.weight"]
    net.zero_grad()
    assert suspects(net, describe_groups(optimizer.param_groups)) == []


def test_radial_cosine_of_nothing_is_zero():
    assert radial_cosine(torch.zeros(2, 3), torch.ones(2, 3), "channel") == 0
    assert radial_cosine(torch.ones(2, 3), torch.zeros(2, 3), "layer") == 0


def test_a_weight_used_elsewhere_too_is_not_invariant():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1, bias=False), nn.BatchNorm2d(3)

        def forward(self, x):
            y = self.conv(x)
            return self.norm(y) + y

    assert scale_invariant(Shared()) == {}


def test_an_output_of_the_net_is_not_invariant():
    class Features(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1, bias=False), nn.BatchNorm2d(3)

        def forward(self, x):
            y = self.conv(x)
            return {"logits": self.norm(y), "raw": y}

    assert scale_invariant(Features()) == {}


def test_views_between_map_and_norm_are_followed():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch, self.norm = nn.Conv2d(3, 8, 4, 4, bias=False), nn.LayerNorm(8)
            self.query, self.norm1 = nn.Linear(8, 8, bias=False), nn.RMSNorm(4)

        def forward(self, x):
            x = self.norm(self.patch(x).flatten(2).transpose(1, 2))
            return self.norm1(self.query(x).reshape(*x.shape[:2], 2, 4)) * 2

    assert scale_invariant(Tokens()) == {"patch.weight": "layer", "query.weight": "layer"}


def test_an_mlp_needs_no_example_and_a_net_of_another_input_does():
    mlp = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    assert scale_invariant(mlp) == {"0.weight": "channel"}
    odd = nn.Sequential(nn.Unflatten(1, (5, 1)), nn.Flatten(), *mlp)
    assert scale_invariant(odd, torch.zeros(2, 5)) == {"2.weight": "channel"}
    assert scale_invariant(nn.Sequential(nn.Embedding(7, 3), nn.LayerNorm(3))) == {}  # of words
    with pytest.raises(ValueError, match=r"invariance=auto: LSTM cannot be traced .* patterns"):
        scale_invariant(nn.LSTM(3, 3))


def test_groups_keep_names_order_and_every_trainable_tensor(net):
    net.head.bias.requires_grad_(False)
    groups = param_groups(net, no_decay="bias_and_norm", invariance="auto")
    names = {name for group in groups for name, _ in group["params"]}
    assert names == {n for n, p in net.named_parameters() if p.requires_grad}
    rows = {(g["invariance"], g.get("weight_decay")): [n for n, _ in g["params"]] for g in groups}
    assert set(rows) == {("channel", None), ("layer", None), ("none", None), ("none", 0.0)}
    assert rows["none", None] == ["summed.weight", "biased.weight", "plain.weight", "head.weight"]
    assert all("norm" in n or n.endswith("bias") for n in rows["none", 0.0])


def test_the_neutral_choice_is_one_group_in_the_models_order(net):
    (group,) = param_groups(net, invariance="none")
    assert [n for n, _ in group["params"]] == [n for n, _ in net.named_parameters()]
    assert group["invariance"] == "none"
    assert "weight_decay" not in group


def test_norms_and_biases_of_two_dims_are_not_decayed():
    net = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm((3, 4)))
    net.register_parameter("bias", nn.Parameter(torch.ones(3, 4)))
    groups = param_groups(net, no_decay="bias_and_norm")
    assert [n for n, _ in groups[0]["params"]] == ["bias", "0.bias", "1.weight", "1.bias"]


def test_patterns_decide_and_describe_is_json(net):
    groups = param_groups(net, no_decay=["*.bias"], invariance={"channel": ["stem.*ght"], "layer": ["head.weight"]})
    rows = json.loads(json.dumps(describe_groups(groups)))
    assert rows[0] == {"invariance": "channel", "tensors": 1, "entries": 216, "names": ["stem.weight"]}
    assert next(r for r in rows if r["invariance"] == "layer")["names"] == ["head.weight"]
    assert next(r for r in rows if "weight_decay" in r)["weight_decay"] == 0.0
    assert describe_groups(torch.optim.SGD(groups, lr=1.0).param_groups)[0]["names"] == ["stem.weight"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"no_decay": ["*.biass"]}, r"no_decay: pattern '\*.biass' matches no parameter; nearest: \w+\.bias"),
        ({"no_decay": "biases"}, "no_decay: unknown 'biases'; allowed: none, bias_and_norm"),
        ({"invariance": "yes"}, "invariance: unknown 'yes'; allowed: none, auto"),
        ({"invariance": {"filter": ["*"]}}, "invariance: unknown kind 'filter'; allowed: channel, layer"),
        ({"invariance": {"layer": ["stem.weigth"]}}, "invariance.layer: .*nearest: stem.weight"),
        ({"invariance": {"layer": ["*bias"]}}, "invariance.layer: .* has 1 dims"),
        ({"invariance": {"layer": ["stem.weight"], "channel": ["s*weight"]}}, "matched as layer and as channel"),
    ],
)
def test_a_mistake_is_one_line(net, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        param_groups(net, **options)
    assert "\n" not in str(caught.value)


def test_no_trainable_parameter_is_refused():
    with pytest.raises(ValueError, match="Flatten has no trainable parameter"):
        param_groups(nn.Flatten())


@pytest.mark.parametrize(
    ("name", "kind", "count", "others"),
    [
        ("resnet18", "channel", 20, {"fc.weight"}),
        ("vgg11_bn", "channel", 8, {f"classifier.{i}.weight" for i in (0, 3, 6)}),
        ("mobilenet_v2", "channel", 52, {"classifier.1.weight"}),
        ("shufflenet_v2_x0_5", "channel", 56, {"fc.weight"}),
        ("resnext50_32x4d", "channel", 53, {"fc.weight"}),
    ],
)
def test_torchvision_nets(name, kind, count, others):
    from torchvision.models import get_model

    with torch.device("meta"):
        model = get_model(name, weights=None)
    found = scale_invariant(model)
    assert list(found.values()) == [kind] * count
    assert {n for n, p in model.named_parameters() if p.ndim > 1} - set(found) == others


def test_squeeze_and_excitation_and_pre_norm_vit():
    from torchvision.models import efficientnet_b0, vit_b_16

    with torch.device("meta"):
        efficient, vit = efficientnet_b0(), vit_b_16()
    found = scale_invariant(efficient)
    assert len(found) == 49
    assert not any("fc" in n or "classifier" in n for n in found)
    assert scale_invariant(vit) == {}  # every LayerNorm comes after an addition


def test_timm_nets():
    import timm

    pre_activation = scale_invariant(timm.create_model("resnetv2_50"))
    assert len(pre_activation) == 32
    assert not any("conv3" in n or "downsample" in n for n in pre_activation)
    standardised = scale_invariant(timm.create_model("nf_resnet26"))  # a norm of the weight itself
    assert set(standardised.values()) == {"channel"}
    assert "stem.conv.weight" in standardised
    assert len(scale_invariant(timm.create_model("efficientnet_b0"))) == 49
