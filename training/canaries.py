"""Warnings, a line each, about what is allowed and rarely meant. `warnings.<name>=false` turns one off.

Those that need no torch are conf's (conf/fill.py); they come with the configuration.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from training.precision import autocast
from training.schedule import Horizon

Canary = Callable[[Any], Iterator[str]]


def warn(trainer: Any, canaries: dict[str, Canary]) -> None:
    """Print what the canaries that are on say, if the run shows anything."""
    on = [canary for name, canary in canaries.items() if trainer.shown and trainer.config["warnings"].get(name)]
    for line in (line for canary in on for line in canary(trainer)):
        print(f"warning: {line}", flush=True)


def _doubt(name: str) -> Canary:
    return lambda trainer: iter(
        [trainer.config["config_warnings"][name]] if name in trainer.config["config_warnings"] else []
    )


def schedule(trainer: Any) -> Iterator[str]:
    """Warn of a schedule that outlives the run."""
    late = trainer.schedule.unfinished(Horizon(trainer.steps_per_epoch, trainer.total_steps or 10**9))
    if late:
        yield late


def clipping(trainer: Any) -> Iterator[str]:
    """Warn of clipping that the optimizer cancels."""
    normalises = any(getattr(stage, "name", "") == "normalize" for stage in getattr(trainer.optimizer, "stages", ()))
    if trainer.config["clip_norm"] and normalises:
        yield "clip_norm: this optimizer divides each gradient by its norm, which cancels clipping (SING, Appendix D.1)"


def overlap(trainer: Any) -> Iterator[str]:
    """Warn of test samples that training or selection sees; generated sets have no samples to compare."""
    test = trainer.data.test
    if not hasattr(test, "identities"):
        return
    held_out = [hash(sample) for sample in test.identities()]  # the samples themselves would fill gigabytes
    for name in ("train", "validation"):
        split = getattr(trainer.data, name)
        seen = set() if split is None else {hash(sample) for sample in split.identities()}
        shared = sum(sample in seen for sample in held_out)
        if shared:
            yield f"data: {shared} of {len(test)} test samples are in the {name} split"


def gradients(trainer: Any) -> Iterator[str]:
    """Warn of trainable parameters that the loss does not reach."""
    reached: dict[str, Tensor | None] = {n: p.grad for n, p in trainer.model.named_parameters() if p.requires_grad}
    idle = [name for name, gradient in reached.items() if gradient is None]
    if idle:
        yield f"{len(idle)} trainable tensors have no gradient, among them {idle[0]}"


def compiled_before(trainer: Any) -> Iterator[str]:
    """Keep what the net says before the first step; says nothing itself."""
    trainer.said = _compiled_and_eager(trainer) if trainer.config["compile_model"] else None
    yield from ()


def compiled(trainer: Any) -> Iterator[str]:
    """Warn of a compiled evaluation that keeps old weights: its outputs must move in a step as the net's own do.

    Half of the movement may be missing, and twice what the two differed by before the step (bf16 rounds each apart).
    """
    if trainer.said is None:
        return
    before, after = trainer.said, _compiled_and_eager(trainer)
    moved = [now - then for now, then in zip(after, before, strict=True)]
    allowed = moved[1].norm() / 2 + 2 * (before[0] - before[1]).norm()
    if (moved[0] - moved[1]).norm() > allowed:
        yield "compile_model: the compiled net's evaluation does not follow the weights; compile_model=false does"


@torch.no_grad()
def _compiled_and_eager(trainer: Any) -> tuple[Tensor, Tensor]:
    """Evaluate the first batch of the test split, of the shape that evaluation compiles for in any case."""
    first = torch.arange(len(trainer.data.test)).split(trainer.config["evaluate"]["batch_size"])[:1]
    inputs, _ = next(iter(trainer.data.test.batches(first)))
    trainer.model.eval()
    with autocast(trainer.precision, trainer.device):
        outputs = trainer.forward(inputs).float(), trainer.model(inputs).float()
    trainer.model.train()
    return outputs


AT_START: dict[str, Canary] = {
    **{name: _doubt(name) for name in ("label_smoothing", "weight_decay", "decay")},
    "schedule": schedule,
    "clipping": clipping,
    "overlap": overlap,
    "compiled": compiled_before,
}
AFTER_A_STEP: dict[str, Canary] = {"gradients": gradients, "compiled": compiled}
