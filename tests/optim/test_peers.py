"""Methods equal implementations by others over 50 float64 steps, where these do the same (docs/optimizers.md says where
they do not). torch's own are always there; the rest belong to the extra `bench`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

import optim

SHAPES = [(6, 3, 3, 3), (5, 7), (7, 4), (5,), (1,)]


def draws(seed: int, shapes: Iterable[tuple[int, ...]]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def trained(make: Callable[[list[Parameter]], torch.optim.Optimizer], shapes, steps: int = 50) -> list[Tensor]:
    """The weights after steps whose gradient depends on them; those to evaluate, where there are two kinds."""
    params = [Parameter(x) for x in draws(0, shapes)]
    optimizer = make(params)
    getattr(optimizer, "train", lambda: None)()
    for step in range(steps):
        for p, noise in zip(params, draws(step + 1, shapes), strict=True):
            p.grad = 0.3 * noise + 0.5 * p.detach()
        optimizer.step()
    getattr(optimizer, "eval", lambda: None)()
    return [p.detach() for p in params]


class Peer(NamedTuple):
    """A method as others have it: their package, both constructors (ours, theirs of the package), and where they agree.

    words: what the row of docs/optimizers.md adds to the package's name.
    """

    package: str
    ours: Callable[[list[Parameter]], torch.optim.Optimizer]
    theirs: Callable[[Any, list[Parameter]], torch.optim.Optimizer]
    shapes: Sequence[tuple[int, ...]] = SHAPES
    rtol: float = 1e-10
    words: str = ""


DECAY = {"weight_decay": 0.1}
SQUARE = {"shapes": [(5, 5), (4, 4)], "words": " (square matrices)"}  # a first gradient without equal eigenvalues
MUON = {"lr": 0.02, "weight_decay": 0.1}
OTHERS = "pytorch_optimizer"

PEERS = {
    "adabelief": Peer(
        OTHERS,
        lambda ps: optim.AdaBelief(ps, lr=1e-2, **DECAY),
        lambda its, ps: its.AdaBelief(ps, lr=1e-2, **DECAY, eps=1e-16, weight_decouple=True),
    ),
    "adabelief rectified": Peer(
        OTHERS,
        lambda ps: optim.AdaBelief(ps, lr=1e-2, **DECAY, rectify=True),
        lambda its, ps: its.AdaBelief(ps, lr=1e-2, **DECAY, eps=1e-16, weight_decouple=True, rectify=True),
    ),
    "adabound": Peer(
        OTHERS,
        lambda ps: optim.AdaBound(ps, lr=1e-3, **DECAY),
        lambda its, ps: its.AdaBound(ps, lr=1e-3, **DECAY, weight_decouple=False),
    ),
    "yogi": Peer(
        OTHERS,
        lambda ps: optim.Yogi(ps, lr=1e-2, **DECAY, initial_accumulator=0.0),
        lambda its, ps: its.Yogi(ps, lr=1e-2, **DECAY, initial_accumulator=0.0, weight_decouple=False),
    ),
    "lookahead": Peer(
        OTHERS,
        lambda ps: optim.LookAhead(ps, lr=1e-2, base="adam"),
        lambda its, ps: its.Lookahead(torch.optim.Adam(ps, lr=1e-2), k=5, alpha=0.8),
    ),
    "prodigy": Peer(
        OTHERS,
        lambda ps: optim.Prodigy(ps, d0=1e-3, **DECAY),
        lambda its, ps: its.Prodigy(ps, d0=1e-3, **DECAY, weight_decouple=True),
        rtol=1e-4,  # theirs sums over tensors in float32
    ),
    "lion": Peer(
        OTHERS,
        lambda ps: optim.Lion(ps, lr=1e-2, **DECAY),
        lambda its, ps: its.Lion(ps, lr=1e-2, **DECAY, weight_decouple=True),
    ),
    "cautious": Peer(
        OTHERS,
        lambda ps: optim.Cautious(ps, lr=1e-2, betas=(0.9, 0.99), base="lion", **DECAY),
        lambda its, ps: its.Lion(ps, lr=1e-2, **DECAY, weight_decouple=True, cautious=True),
        words=" (over Lion)",
    ),
    "adan": Peer(
        OTHERS,
        lambda ps: optim.Adan(ps, lr=1e-2, **DECAY),
        lambda its, ps: its.Adan(ps, lr=1e-2, **DECAY, weight_decouple=False, max_grad_norm=0.0),
    ),
    "mars": Peer(  # their eps is divided by the bias correction
        OTHERS,
        lambda ps: optim.MARS(ps, lr=1e-2, gamma=0.1, optimize_1d=True, eps=1e-30, **DECAY),
        lambda its, ps: its.MARS(ps, lr=1e-2, gamma=0.1, optimize_1d=True, eps=1e-30, **DECAY),
        rtol=1e-6,  # theirs adds 1e-15 to v
    ),
    "shampoo": Peer(
        OTHERS,
        lambda ps: optim.Shampoo(ps, lr=0.05, eps=1e-3),
        lambda its, ps: its.Shampoo(ps, lr=0.05, matrix_eps=1e-3),
        **SQUARE,
    ),
    "soap": Peer(
        OTHERS,
        lambda ps: optim.SOAP(ps, lr=0.01, weight_decay=0.0, precondition_frequency=100),
        lambda its, ps: its.SOAP(ps, lr=0.01, weight_decay=0.0, precondition_frequency=100),
        **SQUARE,
    ),
    "soap renewed": Peer(
        OTHERS,
        lambda ps: optim.SOAP(ps, lr=0.01, weight_decay=0.0, precondition_frequency=10),
        lambda its, ps: its.SOAP(ps, lr=0.01, weight_decay=0.0, precondition_frequency=10),
        **SQUARE,
        rtol=1e-4,  # theirs computes its QR in float32
    ),
    **{
        f"schedule_free_adamw {more}": Peer(
            "schedulefree",
            lambda ps, more=more: optim.ScheduleFreeAdamW(ps, lr=0.02, **DECAY, **more),
            lambda its, ps, more=more: its.AdamWScheduleFree(ps, lr=0.02, **DECAY, **more, foreach=False),
        )
        for more in ({}, {"warmup_steps": 7, "r": 0.5})
    },
    **{
        f"schedule_free_sgd {more}": Peer(
            "schedulefree",
            lambda ps, more=more: optim.ScheduleFreeSGD(ps, lr=0.1, **DECAY, **more),
            lambda its, ps, more=more: its.SGDScheduleFree(ps, lr=0.1, **DECAY, **more, foreach=False),
        )
        for more in ({}, {"warmup_steps": 7, "r": 0.5})
    },
    "adamp": Peer(
        "adamp",
        lambda ps: optim.AdamP(ps, lr=0.01, **DECAY),
        lambda its, ps: its.AdamP(ps, lr=0.01, **DECAY),
    ),
    "sgdp": Peer(
        "adamp",
        lambda ps: optim.SGDP(ps, lr=0.01, **DECAY),
        lambda its, ps: its.SGDP(ps, lr=0.01, **DECAY),
    ),
    **{
        f"muon {scale} {nesterov}": Peer(
            "torch",
            lambda ps, s=scale, n=nesterov: optim.Muon(ps, **MUON, nesterov=n, adjust_lr=s),
            lambda its, ps, s=scale, n=nesterov: its.optim.Muon(ps, **MUON, nesterov=n, adjust_lr_fn=s),
            shapes=[(5, 7), (7, 4), (4, 4)],
        )
        for scale in ("original", "match_rms_adamw", "spectral_unclamped")
        for nesterov in (True, False)
    },
    "muon of vectors": Peer(
        "torch",
        lambda ps: optim.Muon(ps, **MUON, adam_lr=0.01),
        lambda its, ps: its.optim.AdamW(ps, lr=0.01, weight_decay=0.1, betas=(0.9, 0.95), eps=1e-10),
        shapes=[(5,), (3,)],
    ),
}


@pytest.mark.parametrize(
    "peer",
    [pytest.param(p, id=name, marks=[] if p.package == "torch" else pytest.mark.extras) for name, p in PEERS.items()],
)
def test_equals_the_implementation_of_others(peer):
    theirs = pytest.importorskip(peer.package)
    ends = trained(peer.ours, peer.shapes), trained(lambda ps: peer.theirs(theirs, ps), peer.shapes)
    for x, y in zip(*ends, strict=True):
        torch.testing.assert_close(x, y, rtol=peer.rtol, atol=peer.rtol)
