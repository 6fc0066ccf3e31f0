"""Chains that are written by the names of their stages equal those that are made of stages."""

import re

import pytest
import torch
from torch.nn import Parameter

import optim
from optim.adamp import radial_projection
from optim.evaluations import ascent
from optim.stages import adam, centralize, heavy_ball, lookahead, normalize, yogi


def trained(optimizer_of, steps: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    params = [Parameter(torch.randn(4, 3, generator=generator)), Parameter(torch.randn(4, generator=generator))]
    optimizer = optimizer_of(params)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = sum((p.cosh() * (1 + torch.arange(p.numel()).view_as(p))).sum() for p in params)
        loss.backward()
        return loss.detach()

    for _ in range(steps):
        optimizer.step(closure)
    return torch.cat([p.detach().flatten() for p in params])


SOFTPLUS = {"adam": {"denominator": "softplus", "betas": [0.8, 0.9]}}
EQUAL = {
    "names": (
        lambda ps: optim.Chain(ps, ["centralize", "normalize", SOFTPLUS, "radial_projection"], lr=0.1),
        lambda ps: optim.Chain(
            ps, (centralize(), normalize(), adam((0.8, 0.9), denominator="softplus"), radial_projection()), lr=0.1
        ),
    ),
    "a name twice": (
        lambda ps: optim.Chain(ps, ["heavy_ball", {"heavy_ball": {"name": "second"}}], lr=0.1),
        lambda ps: optim.Chain(ps, (heavy_ball(), heavy_ball().named("second")), lr=0.1),
    ),
    "dotted": (
        lambda ps: optim.Chain(ps, [{"optim.stages.adam": {"eps": 1e-3}}], lr=0.1),
        lambda ps: optim.Chain(ps, (adam(eps=1e-3),), lr=0.1),
    ),
    "SAM over any": (
        lambda ps: optim.SAM(ps, lr=0.1, base=["adam", "radial_projection"], rho=0.2),
        lambda ps: optim.AdamP(ps, lr=0.1, wd_ratio=0.1, evaluation=ascent(0.2), decay="coupled"),
    ),
    "an evaluation": (
        lambda ps: optim.AdamP(ps, lr=0.1, evaluation={"ascent": {"rho": 0.2}}),
        lambda ps: optim.AdamP(ps, lr=0.1, evaluation=ascent(0.2)),
    ),
    "LookAhead over any": (
        lambda ps: optim.LookAhead(ps, lr=0.1, betas=(0.8, 0.9), base={"yogi": {"eps": 0.1}}, k=2),
        lambda ps: optim.Chain(ps, (yogi((0.8, 0.9), 0.1), lookahead(2, 0.8)), lr=0.1),
    ),
    "SING over any": (
        lambda ps: optim.SING(ps, lr=0.1, base={"adam": {"denominator": "eps"}}, eps=1e-4),
        lambda ps: optim.SING(ps, lr=0.1, denominator="eps", eps=1e-4),
    ),
}


@pytest.mark.parametrize("case", EQUAL)
def test_a_chain_by_names_equals_one_of_stages(case):
    by_names, of_stages = EQUAL[case]
    assert torch.equal(trained(by_names), trained(of_stages))


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (["adma"], "stages='adma' is not allowed: choose one of "),
        (
            [{"adam": {"beta": 1}}],
            "stages: adam takes no 'beta': it takes betas, eps, nesterov, denominator, debias; nearest: betas",
        ),
        ([{"centralize": {"dim": 1}}], "stages: centralize takes no 'dim': it takes none"),
        ([{"rank_rates": {"variant": "txt"}}], "variant='txt' is not allowed: choose one of text, "),
        (["sphere_adam_repo"], "stages: sphere_adam_repo needs 'betas'"),
        (["adam", "adam"], "two stages are called 'adam'"),
        ([{"adam": {"eps": 1e-3}}, "radial_projection"], "stages disagree on eps: 0.001 and 1e-08"),
        ([{"adam": {"betas": 1}}], "betas=1 is not allowed"),
        ([{"adam": {}, "yogi": {}}], "stages=\"{'adam': {}, 'yogi': {}}\" is not allowed"),
        (["nowhere.adam"], "stages: nowhere.adam: No module named 'nowhere'"),
        (["optim.stages.nothing"], "stages: optim.stages.nothing: "),
        (["torch.nn.ReLU"], "stages: torch.nn.ReLU is no stage"),
    ],
)
def test_mistakes_are_one_line(stages, message):
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}[^\n]*$"):
        optim.Chain([Parameter(torch.ones(2, 2))], stages, lr=0.1)
