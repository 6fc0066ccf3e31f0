"""A run that compiles nothing does not import torch._dynamo, and steps to the same bits."""

import subprocess
import sys
from pathlib import Path

CODE = """
import sys
import torch
from optim import build

def stepped(cls, **keywords):
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(4, 3))
    optimizer = cls([weight], lr=0.1, **keywords)

    def closure():
        optimizer.zero_grad()
        loss = (weight ** 2).sum()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    optimizer.load_state_dict(optimizer.state_dict())
    return type(optimizer), weight

for name in ("SGD", "AdamW", "Adafactor", "LBFGS"):
    cls = getattr(torch.optim, name)
    made, light = stepped(lambda *given, **keywords: build(f"torch.optim.{name}", *given, **keywords))
    assert issubclass(made, cls) and made.__name__ == name
    assert "torch._dynamo" not in sys.modules, name
    print(name, light.detach().tolist())
_, weight = stepped(lambda *given, **keywords: build("optim.SING", *given, **keywords))
assert "torch._dynamo" not in sys.modules
for name in ("SGD", "AdamW", "Adafactor", "LBFGS"):
    fused = {"fused": True} if name in ("SGD", "AdamW") else {}
    print(name, stepped(getattr(torch.optim, name), **fused)[1].detach().tolist())
assert "torch._dynamo" in sys.modules  # torch's own classes do import it: the day they do not, nothing here is needed
"""


def test_no_run_pays_for_a_compiler_that_it_does_not_use() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 8
    assert lines[:4] == lines[4:]
