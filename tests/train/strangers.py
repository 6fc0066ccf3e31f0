"""Optimizers as others write them: each keeps a convention of its own, or breaks one."""

import sys

import torch
from torch.optim import SGD, Optimizer


class NoGrad(SGD):
    """Calls its closure without enabling gradients, and steps afterwards."""

    @torch.no_grad()
    def step(self, closure=None):
        loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.sub_(group["lr"] * parameter.grad)
        return loss


class Number(SGD):
    def step(self, closure=None):
        return float(super().step(closure))


class Nothing(SGD):
    def step(self, closure=None):
        super().step(closure)


class Leaves(SGD):
    def step(self, closure=None):
        sys.exit(0)


class Idle(SGD):
    def step(self, closure=None):
        return torch.zeros(())


class Closed(SGD):
    def step(self):
        return None


class Rateless(Optimizer):
    def __init__(self, params):
        super().__init__(params, {})

    def step(self, closure=None):
        return closure()


class LeavesAtOnce(SGD):
    def __init__(self, params, lr):
        sys.exit(0)


class Averaged(SGD):
    """Trains one set of weights and is judged by their mean, as schedule-free methods; train() and eval() swap them."""

    def train(self):
        self._swap("training")

    def eval(self):
        self._swap("mean")

    @torch.no_grad()
    def _swap(self, to):
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                if state and state["shows"] != to:
                    # By differences, which round: going there and back is not the identity.
                    parameter.add_(state["mean"] - state["last"], alpha=1 if to == "mean" else -1)
                    state["shows"] = to

    @torch.no_grad()
    def step(self, closure=None):
        loss = super().step(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                assert state.setdefault("shows", "training") == "training"
                mean = state.setdefault("mean", parameter.clone())
                mean.lerp_(parameter, 0.1)
                state["last"] = parameter.clone()
        return loss
