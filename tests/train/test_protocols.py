"""Two steps of the papers' protocols on synthetic data in the real formats, by the code path of full scale."""

from math import isfinite

import pytest
import torch

import train
from conf import groups
from conf.compose import compose
from record.identity import run_folder
from record.read import read_result
from record.run import Run
from training.distribution import World
from training.runtime import pick_device, set_kernels

PROTOCOLS = {  # one net of each protocol's own, the quickest, for every run of the tests
    "rmsgd_cifar_cutout": ("rmsgd", "cifar100", "shufflenetv2"),
    "rmsgd_cifar_wallclock": ("rmsgd", "cifar10", "resnet20"),
    "rmsgd_imagenet": ("rmsgd", "imagenet", "mobilenetv2_imagenet"),
    "rmsgd_ptb": ("rmsgd", "text", "lstm"),
    "adamp_wikitext": ("adamp", "wikitext103", "transformer_xl"),
    "rmsgd_mhist": ("rmsgd", "mhist", "mobilenetv2_imagenet"),
    "rmsgd_adp": ("rmsgd", "adp", "mobilenetv2_imagenet"),
    "adamsrt": ("adamsrt", "svhn", "resnet20"),
    "adamp_cutmix": ("adamp", "imagenet", "mobilenetv2_imagenet"),
    "adamp_adversarial": ("adamp", "cifar10", "wrn_34_10"),
    "rmsgd_wgan": ("rmsgd", "cifar10", "dcgan"),
    "rmsgd_nats": ("rmsgd", "cifar10", "nats"),
    "adamp_retrieval": ("adamp", "inshop", "resnet50_embedding"),
    "adamp_detection": ("adamp", "coco", "centernet_resnet18"),
    "adamp_detection_ssd": ("adamp", "coco", "ssd300_vgg16_bn"),
    "adamp_biased_mnist": ("adamp", "biased_mnist", "conv_pair"),
    "adamp_imagenet9": ("adamp", "imagenet9", "resnet18_bagnet18"),
    "sing_squad": ("sing", "squad", "span_encoder"),
    "sing_swag": ("sing", "swag", "choice_encoder"),
    "adamp_audio": ("adamp", "mtat", "harmonic_cnn"),
    "sing_cifar100": ("sing", "cifar100", "resnet20"),
    "sing_imagenet": ("sing", "imagenet", "resnet18_imagenet"),
}
CLASSIFIERS = {
    n: groups.raw("model", n).get("input") for n in groups.options("model") if "task" not in groups.raw("model", n)
}
CIFAR_NETS, IMAGENET_NETS = ([n for n, made in CLASSIFIERS.items() if made == size] for size in ("cifar", "imagenet"))
PAIRS = [
    *((protocol, net) for protocol in ("rmsgd_cifar", "rmsgd_cifar_cutout", "adamsrt") for net in CIFAR_NETS),
    *((f"{paper}_imagenet", net) for paper in ("rmsgd", "adamsrt", "adamp", "sing") for net in IMAGENET_NETS),
    *((protocol, net) for protocol in ("rmsgd_mhist", "rmsgd_adp", "adamp_cutmix") for net in IMAGENET_NETS),
    *(("sing_cifar100", net) for net in CIFAR_NETS),
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def two_steps(words, store, cache, device="cpu"):
    where = (f"paths.store={store}", f"paths.cache={cache}", "progress=false", "workers=0", "scale=smoke")
    config = compose([*words, *where]) | {"world_size": 1}
    with Run(config["paths"]["store"], config, facts={"device": device}) as run:
        run.finish(*train.Trainer(config, World(), pick_device(device)).fit(run, False))
    result = read_result(run_folder(store, config))
    assert result is not None
    return result


def check(result):
    assert result["steps"] == 2
    assert isfinite(result["metrics"]["train_loss"])


def words_of(protocol):
    paper, data, model = PROTOCOLS[protocol]
    kinds = dict.fromkeys(("adversarial", "retrieval", "detection", "detection_ssd"), "adamp") | {"wikitext": "adamw"}
    kinds |= dict.fromkeys(("sing_squad", "sing_swag"), "sing") | dict.fromkeys(
        ("audio", "biased_mnist", "imagenet9"), "adamp"
    )
    optimizer = kinds.get(protocol.removeprefix("adamp_"), "sgd")
    return (f"protocol={protocol}", f"tuned={paper}", f"data={data}", f"model={model}", f"optimizer={optimizer}")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_kind_of_protocol_runs(protocol, tmp_path, cache):
    check(two_steps(words_of(protocol), tmp_path, cache))


@pytest.mark.gpu
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_kind_of_protocol_runs_on_a_gpu(protocol, tmp_path, cache):
    """And none asks for a kernel that has no deterministic form."""
    set_kernels("fp32", torch.device("cuda"), threads=0)
    try:
        check(two_steps(words_of(protocol), tmp_path, cache, device="cuda"))
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.soak
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_every_protocol_runs_with_every_net(pair, tmp_path, cache):
    protocol, model = pair
    words = (f"protocol={protocol}", f"model={model}", "optimizer=sgd", "optimizer.lr=0.01")
    check(two_steps(words, tmp_path, cache))
