"""An optimizer of your own through the whole suite, without a file in it: Lion, as one stage of a chain.

    python examples/own_optimizer.py [STORE]

Trains for 30 steps on digits; the run lies in STORE (default: runs) like any other.
"""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Unpack

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # not needed where the package is installed

import torch
from torch import Tensor

from optim.chain import Chain, Options
from optim.stages.base import Bucket, Numbers, Stage, Step
from optim.stages.keywords import Betas, Rate, WeightDecay
from optim.stages.lists import blend_


# --8<-- [start:stage]
class sign_momentum(Stage):
    """The update is sign(b1 m + (1 - b1) g); then m <- b2 m + (1 - b2) g."""

    name = "sign_momentum"

    def __init__(self, betas: Betas = (0.9, 0.99)) -> None:
        super().__init__(betas=betas)

    def init(self, param: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        return {"exp_avg": torch.zeros_like(param)}

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        b1, b2 = hyper["betas"]
        return {"new1": 1 - float(b1), "new2": 1 - float(b2)}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        (average,) = bucket.buffers(self, "exp_avg")
        news = bucket.scalar(self, "new1")
        mixed = [m + new * (g - m) for m, g, new in zip(average, updates, news, strict=True)]
        blend_(average, updates, bucket.scalar(self, "new2"))
        return [u.sign() + 0 * u for u in mixed]  # torch's sign of NaN is 0, which would hide a divergence


# --8<-- [end:stage]
# --8<-- [start:optimizer]
class Lion(Chain):
    """Lion (Chen et al. 2023, Algorithm 2): w <- w (1 - lr wd) - lr sign(b1 m + (1 - b1) g), m <- b2 m + (1 - b2) g."""

    def __init__(
        self,
        params: Any,
        lr: Rate = 1e-4,
        betas: Annotated[Betas, "beta_1 of the update and beta_2 of m"] = (0.9, 0.99),
        weight_decay: WeightDecay = 0.0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(params, (sign_momentum(betas),), lr=lr, weight_decay=weight_decay, **options)


# --8<-- [end:optimizer]
def main(store: str = "runs") -> int:
    words = [
        *("optimizer=custom", "optimizer.target=examples.own_optimizer.Lion", "optimizer.decay=decoupled"),
        *("optimizer.args={lr: 1e-3, weight_decay: 0.1}", "model=resnet20", "batch_size=32"),
        *("budget=steps", "budget.steps=30", f"paths.store={Path(store).resolve()}"),
    ]
    return subprocess.run([sys.executable, "train.py", *words], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
