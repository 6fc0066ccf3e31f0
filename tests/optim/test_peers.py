"""Methods equal implementations by others over 50 float64 steps, where these do the same (docs/optimizers.md says where
they do not). torch's own are always there; the rest belong to the extra `bench`.
"""

from collections.abc import Callable, Iterable

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

import optim

MATRICES = [(5, 5), (4, 4)]
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


def agree(ours, theirs, shapes=SHAPES, rtol: float = 1e-10) -> None:
    for x, y in zip(trained(ours, shapes), trained(theirs, shapes), strict=True):
        torch.testing.assert_close(x, y, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("adjust_lr", ["original", "match_rms_adamw", "spectral_unclamped"])
@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_equals_torchs_on_matrices(adjust_lr, nesterov):
    shapes = [(5, 7), (7, 4), (4, 4)]
    agree(
        lambda ps: optim.Muon(ps, lr=0.02, weight_decay=0.1, nesterov=nesterov, adjust_lr=adjust_lr),
        lambda ps: torch.optim.Muon(ps, lr=0.02, weight_decay=0.1, nesterov=nesterov, adjust_lr_fn=adjust_lr),
        shapes,
    )


def test_muon_gives_the_rest_to_torchs_adamw():
    agree(
        lambda ps: optim.Muon(ps, lr=0.02, weight_decay=0.1, adam_lr=0.01),
        lambda ps: torch.optim.AdamW(ps, lr=0.01, weight_decay=0.1, betas=(0.9, 0.95), eps=1e-10),
        [(5,), (3,)],
    )


DECAY = {"weight_decay": 0.1}
ROUNDS = {"mars": 1e-6, "prodigy": 1e-4}  # theirs adds 1e-15 to v, and sums over tensors in float32
LONG = {"precondition_frequency": 100}  # theirs computes its QR in float32
PEERS = {
    "adabelief": (
        lambda ps, _: optim.AdaBelief(ps, lr=1e-2, **DECAY),
        lambda ps, theirs: theirs.AdaBelief(ps, lr=1e-2, **DECAY, eps=1e-16, weight_decouple=True),
    ),
    "adabelief rectified": (
        lambda ps, _: optim.AdaBelief(ps, lr=1e-2, **DECAY, rectify=True),
        lambda ps, theirs: theirs.AdaBelief(ps, lr=1e-2, **DECAY, eps=1e-16, weight_decouple=True, rectify=True),
    ),
    "adabound": (
        lambda ps, _: optim.AdaBound(ps, lr=1e-3, **DECAY),
        lambda ps, theirs: theirs.AdaBound(ps, lr=1e-3, **DECAY, weight_decouple=False),
    ),
    "yogi": (
        lambda ps, _: optim.Yogi(ps, lr=1e-2, **DECAY, initial_accumulator=0.0),
        lambda ps, theirs: theirs.Yogi(ps, lr=1e-2, **DECAY, initial_accumulator=0.0, weight_decouple=False),
    ),
    "lookahead": (
        lambda ps, _: optim.LookAhead(ps, lr=1e-2, base="adam"),
        lambda ps, theirs: theirs.Lookahead(torch.optim.Adam(ps, lr=1e-2), k=5, alpha=0.8),
    ),
    "prodigy": (
        lambda ps, _: optim.Prodigy(ps, d0=1e-3, **DECAY),
        lambda ps, theirs: theirs.Prodigy(ps, d0=1e-3, **DECAY, weight_decouple=True),
    ),
    "lion": (
        lambda ps, _: optim.Lion(ps, lr=1e-2, **DECAY),
        lambda ps, theirs: theirs.Lion(ps, lr=1e-2, **DECAY, weight_decouple=True),
    ),
    "cautious lion": (
        lambda ps, _: optim.Cautious(ps, lr=1e-2, betas=(0.9, 0.99), base="lion", **DECAY),
        lambda ps, theirs: theirs.Lion(ps, lr=1e-2, **DECAY, weight_decouple=True, cautious=True),
    ),
    "adan": (
        lambda ps, _: optim.Adan(ps, lr=1e-2, **DECAY),
        lambda ps, theirs: theirs.Adan(ps, lr=1e-2, **DECAY, weight_decouple=False, max_grad_norm=0.0),
    ),
    "mars": (  # their eps is divided by the bias correction
        lambda ps, _: optim.MARS(ps, lr=1e-2, gamma=0.1, optimize_1d=True, eps=1e-30, **DECAY),
        lambda ps, theirs: theirs.MARS(ps, lr=1e-2, gamma=0.1, optimize_1d=True, eps=1e-30, **DECAY),
    ),
}


@pytest.mark.extras
@pytest.mark.parametrize("case", PEERS)
def test_equals_pytorch_optimizer(case):
    theirs = pytest.importorskip("pytorch_optimizer")
    ours, others = PEERS[case]
    agree(lambda ps: ours(ps, theirs), lambda ps: others(ps, theirs), rtol=ROUNDS.get(case, 1e-10))


@pytest.mark.extras
def test_shampoo_and_soap_equal_pytorch_optimizer_on_square_matrices():
    """Where the first gradient has no equal eigenvalues, which would leave the basis open."""
    theirs = pytest.importorskip("pytorch_optimizer")
    agree(
        lambda ps: optim.SOAP(ps, lr=0.01, weight_decay=0.0, **LONG),
        lambda ps: theirs.SOAP(ps, lr=0.01, weight_decay=0.0, **LONG),
        MATRICES,
    )
    agree(
        lambda ps: optim.SOAP(ps, lr=0.01, weight_decay=0.0, precondition_frequency=10),
        lambda ps: theirs.SOAP(ps, lr=0.01, weight_decay=0.0, precondition_frequency=10),
        MATRICES,
        rtol=1e-4,
    )
    agree(
        lambda ps: optim.Shampoo(ps, lr=0.05, eps=1e-3),
        lambda ps: theirs.Shampoo(ps, lr=0.05, matrix_eps=1e-3),
        MATRICES,
    )


@pytest.mark.extras
@pytest.mark.parametrize("more", [{}, {"warmup_steps": 7, "r": 0.5}])
def test_schedule_free_equals_its_authors(more):
    theirs = pytest.importorskip("schedulefree")
    agree(
        lambda ps: optim.ScheduleFreeAdamW(ps, lr=0.02, **DECAY, **more),
        lambda ps: theirs.AdamWScheduleFree(ps, lr=0.02, **DECAY, **more, foreach=False),
    )
    agree(
        lambda ps: optim.ScheduleFreeSGD(ps, lr=0.1, **DECAY, **more),
        lambda ps: theirs.SGDScheduleFree(ps, lr=0.1, **DECAY, **more, foreach=False),
    )


@pytest.mark.extras
def test_adamp_and_sgdp_equal_their_authors():
    theirs = pytest.importorskip("adamp")
    agree(lambda ps: optim.AdamP(ps, lr=0.01, **DECAY), lambda ps: theirs.AdamP(ps, lr=0.01, **DECAY))
    agree(lambda ps: optim.SGDP(ps, lr=0.01, **DECAY), lambda ps: theirs.SGDP(ps, lr=0.01, **DECAY))
