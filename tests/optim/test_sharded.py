"""Two gloo processes with fully_shard (FSDP2) take the steps of one process, or refuse; states go through DCP."""

import os
import re
import socket
import warnings

import pytest
import torch
import torch.multiprocessing as mp
from torch import Tensor, distributed, nn
from torch.distributed import checkpoint
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.distributed.tensor import Shard, distribute_tensor

from optim import SAM, SLS, Chain
from tests.optim.table import NAMES, ROWS

REFUSED = ["adahessian", "sls", "sophia"]
WAYS = {  # how the tensors are sharded and held, and for which optimizers
    "rows": [name for name in NAMES if name not in REFUSED],
    "columns": ["adamp", "sgdp", "sgdg", "adamg", "sing"],
    "lists": ["sing", "adamp", "adamsrt", "lamb"],
    "uneven columns": ["adamp", "sgdp", "sgdg", "adamg", "sing", "soap"],
    "half": ["sing", "adamp", "adamsrt", "lamb", "sgdg", "rmsgd"],
}
CASES = [(way, name) for way, names in WAYS.items() for name in names]
THROUGH_DCP = ["sing_lookahead", "adamp", "adamsrt", "rmsgd", "adamg_star", "sam", "soap"]
STEPS = 3


def network(way: str) -> nn.Module:
    """With odd sizes, so that tensors are shared out unevenly; along columns fully_shard takes even ones alone."""
    torch.manual_seed(0)
    width = 6 if way == "columns" else 5
    net = nn.Sequential(
        *(nn.Conv2d(2, width, 3), nn.GroupNorm(1, width), nn.ReLU(), nn.Conv2d(width, 7, 3)),
        *(nn.Flatten(), nn.Linear(28, 3)),
    )
    return net.to(torch.bfloat16 if way == "half" else torch.float64)


def build(name: str, way: str, net: nn.Module) -> Chain:
    matrices, others = ([p for p in net.parameters() if (p.ndim > 1) is yes] for yes in (True, False))
    row, foreach = ROWS[name], way == "lists"
    groups = [{"params": matrices, **row.group}, {"params": others}]
    return row.make(groups, **{**row.keywords, "weight_decay": 0.1, "foreach": foreach})


def loss_of(net: nn.Module, ranks: list[int], step: int) -> Tensor:
    """The mean loss of what these ranks see at a step."""
    dtype, losses = next(net.parameters()).dtype, []
    for rank in ranks:
        draw = torch.Generator().manual_seed(10 * step + rank)
        x = torch.randn(4, 2, 6, 6, generator=draw, dtype=torch.float64).to(dtype)
        losses.append(nn.functional.cross_entropy(net(x).double(), torch.randint(3, (4,), generator=draw)))
    return torch.stack(losses).mean()


def train(net: nn.Module, optimizer: Chain, ranks: list[int], steps: range = range(STEPS)) -> None:
    for step in steps:

        def closure(step=step) -> Tensor:
            loss = loss_of(net, ranks, step)
            if torch.is_grad_enabled():
                optimizer.zero_grad()
                loss.backward()
            return loss.detach()

        optimizer.step(closure)
        optimizer.epoch_end()


def sharded(way: str, mesh) -> nn.Module:
    net = network(way)
    fully_shard(net, mesh=mesh, shard_placement_fn=columns if way == "columns" else None)
    return net


def unevenly(name: str, mesh) -> list[Tensor]:
    """The weights after steps over shards that are not fully_shard's, of the gradients of a net beside them."""
    net = network("uneven columns")
    shards = [nn.Parameter(distribute_tensor(p.detach(), mesh, [columns(p)])) for p in net.parameters()]
    holder = nn.Module()
    for number, shard in enumerate(shards):
        holder.register_parameter(str(number), shard)
    optimizer = build(name, "rows", holder)
    for step in range(STEPS):
        net.zero_grad()
        loss_of(net, [0, 1], step).backward()
        for p, shard in zip(net.parameters(), shards, strict=True):
            shard.grad = distribute_tensor(p.grad, mesh, [columns(p)])
        optimizer.step()
        with torch.no_grad():
            for p, shard in zip(net.parameters(), shards, strict=True):
                p.copy_(shard.full_tensor())
    return [p.detach() for p in net.parameters()]


def columns(p: Tensor) -> Shard:
    return Shard(1 if p.ndim > 1 else 0)


def whole(net: nn.Module) -> list[Tensor]:
    return [p.detach().full_tensor() for p in net.parameters()]


def through_dcp(name: str, rank: int, mesh, folder: str) -> bool:
    """Whether a run goes on with the same bits after its state was written, and read into a fresh optimizer."""
    net, other = sharded("rows", mesh), sharded("rows", mesh)
    optimizer, fresh = build(name, "rows", net), build(name, "rows", other)
    train(net, optimizer, [rank])
    place = f"{folder}/dcp-{name}"
    checkpoint.save({"optimizer": get_optimizer_state_dict(net, optimizer)}, checkpoint_id=place)
    before = whole(other)
    read = {"optimizer": get_optimizer_state_dict(other, fresh)}
    unmoved = all(torch.equal(a, b) for a, b in zip(whole(other), before, strict=True))
    checkpoint.load(read, checkpoint_id=place)
    set_optimizer_state_dict(other, fresh, read["optimizer"])
    with torch.no_grad():
        for p, q in zip(other.parameters(), net.parameters(), strict=True):
            p.copy_(q)
    for model, chain in ((net, optimizer), (other, fresh)):
        train(model, chain, [rank], range(STEPS, STEPS + 2))
    return unmoved and all(torch.equal(a, b) for a, b in zip(whole(net), whole(other), strict=True))


def said(step) -> str:
    try:
        step()
    except RuntimeError as error:
        return str(error)
    return ""


def refusals(rank: int, mesh) -> dict[str, str]:
    """What SAM and SLS say where a process has a part of the weights alone."""
    found = {}
    for name in REFUSED:
        net = sharded("rows", mesh)
        found[f"fully_shard {name}"] = said(lambda net=net, name=name: train(net, build(name, "rows", net), [rank]))
    for make in (SAM, SLS):
        plain = network("rows")
        zero = ZeroRedundancyOptimizer(plain.parameters(), make)
        zero.epoch_end = lambda: None
        found[f"zero {make.__name__}"] = said(lambda zero=zero, net=plain: train(net, zero, [rank]))
        flat = FullyShardedDataParallel(network("rows"), device_id=torch.device("cpu"))
        found[f"fsdp1 {make.__name__}"] = said(lambda net=flat, make=make: train(net, make(net.parameters()), [rank]))
    return found


def worker(rank: int, port: int, folder: str) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # torch's own, of its deprecations
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    try:
        mesh, found = init_device_mesh("cpu", (2,)), {}
        for way, name in CASES:
            if way == "uneven columns":
                found[way, name] = unevenly(name, mesh)
                continue
            net = sharded(way, mesh)
            train(net, build(name, way, net), [rank])
            found[way, name] = whole(net)
        dcp = {name: through_dcp(name, rank, mesh, folder) for name in THROUGH_DCP}
        results = {"weights": found, "dcp": dcp, "said": refusals(rank, mesh)}
        torch.save(results, f"{folder}/{rank}.pt")
    finally:
        distributed.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mp.spawn(worker, (port, str(folder)), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in (0, 1)]


@pytest.mark.parametrize(("way", "name"), CASES)
def test_two_processes_with_shards_are_one_without(results, way, name):
    net = network(way)
    train(net, build(name, way, net), [0, 1])
    tolerance = {"rtol": 2e-2, "atol": 2e-2} if way == "half" else {"rtol": 1e-9, "atol": 1e-11}
    for p, q in zip(net.parameters(), results[0]["weights"][way, name], strict=True):
        torch.testing.assert_close(q, p.detach(), **tolerance)


@pytest.mark.parametrize("name", THROUGH_DCP)
def test_a_state_goes_through_dcp(results, name):
    assert [result["dcp"][name] for result in results] == [True, True]


@pytest.mark.parametrize("case", ["zero SAM", "zero SLS", "fsdp1 SAM", "fsdp1 SLS"])
def test_processes_with_weights_of_their_own_are_refused(results, case):
    for result in results:
        assert result["said"][case].startswith(f"{case.split()[1]}.step: each process has weights of its own")
        assert "\n" not in result["said"][case]


@pytest.mark.parametrize("name", REFUSED)
def test_what_needs_whole_tensors_refuses_shards(results, name):
    for result in results:
        assert re.search("sharded|whole tensors", result["said"][f"fully_shard {name}"])
        assert "\n" not in result["said"][f"fully_shard {name}"]
