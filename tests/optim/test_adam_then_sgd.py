"""Adam for some epochs, then SGD from a momentum of 0: torch's two one after the other, and the two loops."""

import numpy as np
import pytest
import torch
from torch.nn import Parameter

from optim import AdamThenSGD, chain
from tests.optim import reference

EPOCHS, STEPS = 2, 5  # of Adam; of an epoch
SHAPES = ((6, 3, 3, 3), (4, 7), (5,), ())
WORDS = {"lr": 0.02, "weight_decay": 0.1}


def gradients(step: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in SHAPES]


def start() -> list[Parameter]:
    return [Parameter(g) for g in gradients(0)]


def trained(params: list[Parameter], optimizer_at, epoch_end=lambda: None) -> list[Parameter]:
    for epoch in range(2 * EPOCHS):
        optimizer = optimizer_at(epoch)
        for step in range(STEPS):
            for p, g in zip(params, gradients(1 + STEPS * epoch + step), strict=True):
                p.grad = g
            optimizer.step()
        epoch_end()
    return params


def ours(**more) -> list[Parameter]:
    params = start()
    optimizer = AdamThenSGD(params, adam_epochs=EPOCHS, **WORDS, **more)
    return trained(params, lambda epoch: optimizer, optimizer.epoch_end)


@pytest.mark.parametrize("nesterov", [True, False])
def test_it_is_torchs_adam_and_then_torchs_sgd(nesterov):
    params = start()
    adam = torch.optim.Adam(params, **WORDS)
    sgd = torch.optim.SGD(params, momentum=0.9, nesterov=nesterov, **WORDS)
    theirs = trained(params, lambda epoch: adam if epoch < EPOCHS else sgd)
    for a, b in zip(ours(nesterov=nesterov), theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_it_is_the_two_loops():
    h = {"lr": 0.02, "wd": 0.1, "decay": "coupled", "betas": (0.9, 0.999), "eps": 1e-8}
    h |= {"momentum": 0.9, "dampening": 0.0, "nesterov": True}
    weights, states = [w.numpy() for w in gradients(0)], [{} for _ in SHAPES]
    for step in range(2 * EPOCHS * STEPS):
        late = step - EPOCHS * STEPS
        loop, t = (reference.adam, step + 1) if late < 0 else (reference.sgd, late + 1)
        for i, g in enumerate(gradients(1 + step)):
            weights[i] = loop(weights[i], g.numpy(), states[i], t, h)
    for a, b in zip(ours(), weights, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b, rtol=1e-10)


def test_it_goes_on_from_its_state_on_either_side_of_the_change():
    whole = ours()
    for stop in (1, 3):
        params = start()
        kept = {"optimizer": AdamThenSGD(params, adam_epochs=EPOCHS, **WORDS)}

        def optimizer_at(epoch: int, params=params, kept=kept, stop=stop):
            if epoch == stop:
                state = kept["optimizer"].state_dict()
                kept["optimizer"] = AdamThenSGD(params, adam_epochs=EPOCHS, **WORDS)
                kept["optimizer"].load_state_dict(state)
            return kept["optimizer"]

        again = trained(params, optimizer_at, lambda kept=kept: kept["optimizer"].epoch_end())
        assert all(torch.equal(a, b) for a, b in zip(whole, again, strict=True))


def test_without_ends_of_epochs_it_warns_once(monkeypatch):
    for module in (chain, __import__("optim.adam_then_sgd", fromlist=["x"])):
        monkeypatch.setattr(module, "LONGEST_EPOCH", 3)
    monkeypatch.setattr(chain, "WARNED_AFTER", (1, 3))
    params = start()
    optimizer = AdamThenSGD(params)
    for p, g in zip(params, gradients(1), strict=True):
        p.grad = g
    optimizer.step()
    optimizer.step()
    with pytest.warns(UserWarning, match=r"^AdamThenSGD: 3 steps without epoch_end\(\)[^\n]+Adam$"):
        optimizer.step()
    optimizer.step()
