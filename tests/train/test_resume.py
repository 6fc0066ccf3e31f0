"""A run that was stopped anywhere ends with the bits of one that was not."""

import pytest

from conf import groups

OPTIMIZERS = [name for name in groups.options("optimizer") if name not in ("custom", *groups.plugins())]
SCHEDULES = ("cosine", "step", "multistep", "constant", "linear")


def same(one: dict, two: dict) -> None:
    assert one["rows"] == two["rows"]
    assert one["weights_sha256"] == two["weights_sha256"]
    assert one["metrics"] == two["metrics"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_resumes_exactly(make, name: str) -> None:
    """Stopped in the first epoch, at its end and in the second; schedules and precisions take turns."""
    turn = OPTIMIZERS.index(name)
    words = (
        *(f"optimizer={name}", f"schedule={SCHEDULES[turn % 5]}", "budget.epochs=2", "data.augment.crop_padding=1"),
        *("schedule.warmup_epochs=0.5", f"precision={('fp32', 'bf16')[turn % 2]}", "batch_size=360", "probe=norms"),
    )
    same(make(*words, "seed=1", stops=(2, 2, 1)), make(*words, "seed=1", "keep=all"))


@pytest.mark.parametrize(
    "words",
    [
        ("budget=steps", "budget.steps=7", "probe=gradient,norms", "probe.norms.every=2"),
        ("selection=best_validation", "data.validation=0.2", "budget.epochs=2"),
        ("accumulation=2", "clip_norm=1.0", "label_smoothing=0.1", "budget.epochs=2"),
        ("data=fashion_mnist", "data.synthetic=200", "budget.epochs=3", "channels_last=true"),
        ("freeze=norm_affine", "budget.epochs=2", "data.augment.cutout=2", "data.augment.rotation=15"),
    ],
)
def test_every_path_through_the_loop_resumes_exactly(make, words: tuple[str, ...]) -> None:
    fixed = ("optimizer=sing_lookahead", "batch_size=360", *words) if "accumulation=2" not in words else words
    same(make(*fixed, stops=(1, 2, 2)), make(*fixed))
