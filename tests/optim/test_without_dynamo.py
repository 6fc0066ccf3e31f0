"""A run that compiles nothing does not import torch._dynamo, and steps to the same bits."""

import subprocess
import sys
from pathlib import Path

CODE = """
import sys
import torch
from optim import configure

def stepped(make):
    torch.manual_seed(0)
    net = torch.nn.Linear(4, 3)
    optimizer = make(net)
    def closure():
        optimizer.zero_grad()
        loss = (net.weight ** 2).sum() + (net.bias ** 2).sum()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    optimizer.load_state_dict(optimizer.state_dict())
    return type(optimizer), net.weight.detach().tolist()

def configured(target):
    parts = {"groups": {"no_decay": "none", "invariance": "none"}, "decay": "decoupled", "keywords": {"lr": 0.1}}
    return lambda net: configure({"target": target, **parts}, net)[0]

for name in ("SGD", "AdamW", "Adafactor", "LBFGS"):
    made, weights = stepped(configured(f"torch.optim.{name}"))
    assert issubclass(made, getattr(torch.optim, name)) and made.__name__ == name
    assert "torch._dynamo" not in sys.modules, name
    print(name, weights)
stepped(configured("optim.SING"))
assert "torch._dynamo" not in sys.modules
for name in ("SGD", "AdamW", "Adafactor", "LBFGS"):
    cls, fused = getattr(torch.optim, name), {"fused": True} if name in ("SGD", "AdamW") else {}
    print(name, stepped(lambda net: cls(net.parameters(), lr=0.1, **fused))[1])
assert "torch._dynamo" in sys.modules  # torch's own classes do import it: the day they do not, nothing here is needed
"""


def test_no_run_pays_for_a_compiler_that_it_does_not_use() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 8
    assert lines[:4] == lines[4:]
