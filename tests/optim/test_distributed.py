"""Two gloo processes with different batches: RMSGD's rates, SAM's and SLS's weights are equal on both."""

import os
import socket

import pytest
import torch
import torch.multiprocessing as mp
from torch import distributed, nn
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from optim import RMSGD, SAM, SLS
from optim.compiled import Compiled
from optim.rmsgd import whole
from tests.optim.table import ROWS

MAKE = {
    "rmsgd": lambda net: RMSGD(net.parameters(), linear=True),
    "sam": lambda net: SAM(net.parameters(), rho=0.2),
    "sam local": lambda net: SAM(net.parameters(), rho=0.2, ascent="local"),
    "sls": lambda net: SLS(net.parameters(), lr=4.0),
}


def network() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 4))
    return net.double()


def batch(rank: int, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(10 * step + rank)
    x = torch.randn(6, 2, 6, 6, generator=draw, dtype=torch.float64)
    return x, torch.randint(4, (6,), generator=draw)


def loss_of(net: nn.Module, batches: list) -> torch.Tensor:
    return torch.stack([nn.functional.cross_entropy(net(x), y) for x, y in batches]).mean()


def train(net: nn.Module, optimizer, ranks: list[int], on_loss=None) -> None:
    for step in range(6):
        batches = [batch(rank, step) for rank in ranks]

        def closure(batches=batches) -> torch.Tensor:
            if not torch.is_grad_enabled():
                return loss_of(net, batches)
            optimizer.zero_grad()
            if isinstance(net, DistributedDataParallel) and not optimizer.sync_gradients:
                with net.no_sync():
                    loss = loss_of(net, batches)
                    loss.backward()
            else:
                loss = loss_of(net, batches)
                loss.backward()
            return loss.detach()

        optimizer.step(closure)
        if step % 2:
            optimizer.epoch_end()


def worker(rank: int, port: int, folder: str) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    try:
        for name, make in MAKE.items():
            if name == "rmsgd" and rank == 1:  # a rank that would see another rank than 0 does
                from optim import rmsgd as rank_module
                from optim.evbmf import Spectrum

                rank_module.analyse = lambda *_: Spectrum(0.0, 0.9, 0.0, 0.0)
            net = DistributedDataParallel(network())
            optimizer = make(net)
            train(net, optimizer, [rank])
            torch.save(
                {"weights": list(net.module.parameters()), "groups": optimizer.state_dict()["param_groups"]},
                f"{folder}/{name}-{rank}.pt",
            )
    finally:
        distributed.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mp.spawn(worker, (port, str(folder)), nprocs=2)
    return {(n, r): torch.load(folder / f"{n}-{r}.pt", weights_only=False) for n in MAKE for r in (0, 1)}


@pytest.mark.parametrize("name", MAKE)
def test_ranks_agree_bit_by_bit(results, name):
    one, other = results[name, 0], results[name, 1]
    assert all(torch.equal(p, q) for p, q in zip(one["weights"], other["weights"], strict=True))
    assert one["groups"] == other["groups"]


@pytest.mark.parametrize("name", ["rmsgd", "sam", "sls"])
def test_two_ranks_are_one_process_with_both_batches(results, name):
    net = network()
    train(net, MAKE[name](net), [0, 1])
    for p, q in zip(net.parameters(), results[name, 0]["weights"], strict=True):
        torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-11)


def test_the_local_ascent_is_another(results):
    one, other = results["sam", 0]["weights"], results["sam local", 0]["weights"]
    assert not any(torch.equal(p, q) for p, q in zip(one, other, strict=True))


@pytest.mark.parametrize("name", ["adamp", "sam", "sls"])
def test_torch_takes_a_fresh_state_to_load_one_into(name):
    """By a step of rate 0 without a closure."""
    net = nn.Linear(3, 2)
    saved = get_optimizer_state_dict(net, ROWS[name].build(net.parameters()))
    assert saved["state"].keys() == {"weight", "bias"}


@pytest.fixture
def mesh():
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    distributed.destroy_process_group()


def test_a_compiled_step_is_one_for_each_placement(mesh, monkeypatch):
    """Two tensors of one shape, of which one is whole on every rank."""
    monkeypatch.setattr(Compiled, "_compile", lambda *_: lambda *_: None)
    optimizer = ROWS["adamp"].build(
        [nn.Parameter(distribute_tensor(torch.ones(4, 3), mesh, [how])) for how in (Shard(0), Replicate())],
        compile=True,
    )
    for p in optimizer.param_groups[0]["params"]:
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert len(optimizer._compiled.kernels) == 2


SHARDED = ["sing", "sing_adafactor", "adamp", "adamsrt", "adamg", "rmsgd", "sam"]
SHARDED += ["lion", "cautious", "adan", "mars", "muon", "prodigy", "schedule_free_sgd", "schedule_free_adamw"]
SHARDED += ["shampoo", "soap"]


@pytest.mark.parametrize("name", SHARDED)
def test_sharded_tensors_step_as_whole_ones(name, mesh):
    """FSDP2's: every operation has to know how it works on shards."""

    def trained(make) -> list[torch.Tensor]:
        draw = torch.Generator().manual_seed(0)
        drawn = [torch.randn(shape, generator=draw) for shape in [(4, 3, 3, 3), (5, 6), (5,)] * 2]
        params, slopes = [nn.Parameter(make(x)) for x in drawn[:3]], [make(x) for x in drawn[3:]]

        def closure() -> torch.Tensor:
            for p, slope in zip(params, slopes, strict=True):
                p.grad = slope.clone()
            return torch.zeros(())

        optimizer = ROWS[name].build(params, weight_decay=0.1)
        for _ in range(2):
            optimizer.step(closure)
            optimizer.epoch_end()
        return [whole(p.detach()) for p in params]

    sharded = trained(lambda x: distribute_tensor(x, mesh, [Shard(0)]))
    assert all(torch.equal(x, y) for x, y in zip(sharded, trained(lambda x: x), strict=True))


@pytest.mark.parametrize("name", ["adahessian"])
def test_sharded_tensors_are_refused_in_one_line(name, mesh):
    p = nn.Parameter(distribute_tensor(torch.ones(4, 3), mesh, [Shard(0)]))

    def closure() -> torch.Tensor:
        p.grad = torch.ones_like(p)
        return torch.zeros(())

    with pytest.raises(RuntimeError, match=r"^\w+ takes whole tensors, not DTensors [^\n]*$"):
        ROWS[name].build([p]).step(closure)
