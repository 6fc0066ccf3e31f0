"""Wrong command lines and yaml files: one line on stderr each, exit code 1, nothing written."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conf import groups
from conf.check import in_interval
from conf.compose import compose
from conf.errors import Mistake

ROOT = Path(__file__).resolve().parents[2]

WRONG = {
    "optimizer=adma": "optimizer: unknown 'adma'.*nearest: adam",
    "optimzer=adam": "unknown 'optimzer'.*nearest: optimizer",
    "model=resnet81": "model: unknown 'resnet81'.*nearest: resnet18",
    "data=cifar": "data: unknown 'cifar'.*nearest: cifar10",
    "protocol=rmsgd": "protocol: unknown 'rmsgd'.*nearest: rmsgd_",
    "scale=tiny": "scale: unknown 'tiny'; allowed: cpu, paper, smoke",
    "schedule=cosin": "schedule: unknown 'cosin'.*nearest: cosine",
    "budget=epoch": "budget: unknown 'epoch'.*nearest: epochs",
    "probe=norms,spherical probe.norms.every=0": r"probe.norms.every: 0 is out of range",
    "probe=norms probe.nrms.every=1": "probe: unknown 'nrms'.*nearest: norms",
    "data=rde model=resnet18": "model=resnet18: has one output per class; data=rde is depth",
    "optimizer.groups.nodecay=x": "optimizer.groups: unknown 'nodecay'.*nearest: no_decay",
    "probe=normz": "probe: unknown 'normz'.*nearest: norms",
    "logger=wandbb": "logger: unknown 'wandbb'.*nearest: wandb",
    "optimizer.lrr=0.1": "optimizer: unknown 'lrr'.*nearest: lr",
    "+optimizer.lrr=0.1": "optimizer: unknown 'lrr'",
    "+foo=1": "unknown 'foo'",
    "foo.bar=1": "unknown 'foo'",
    "optimizer.lr=abc": "optimizer.lr: 'abc' is not a number",
    "optimizer.lr=-1": r"optimizer.lr: -1 is out of range; allowed: \[0, inf\)",
    "optimizer.lr=nan": "optimizer.lr: nan is out of range",
    "optimizer.lr=null": "optimizer.lr: None is not a number",
    "optimizer=sgd optimizer.momentum=-.9": "optimizer.momentum: -0.9 is out of range",
    "optimizer=sgd optimizer.nesterov=3": "optimizer.nesterov: 3 is not true or false",
    "optimizer.target=torch.optim.Adam": "optimizer.target: fixed by optimizer=adamw",
    "seed=-1": "seed: -1 is out of range",
    "seed=one": "seed: 'one' is not a whole number",
    "seed=1.5": "seed: 1.5 is not a whole number",
    "batch_size=0": "batch_size: 0 is out of range",
    "precision=fp16": "precision: 'fp16' is not one of fp32, tf32, bf16",
    "evaluate.every=2": "evaluate: unknown 'every'.*nearest: every_epochs",
    "evaluate=3": "evaluate",
    "budget.epochs=0": "budget.epochs: 0 is out of range",
    "budget.epochs=2.5": "budget.epochs: 2.5 is not a whole number",
    "budget.steps=10": "budget: unknown 'steps'",
    "selection=best": "selection: 'best' is not one of last, best_validation",
    "selection=best_validation": "no validation split; set data.validation",
    "accumulation=3": "accumulation: 3 does not divide batch_size=128",
    "schedule.warmup_epochs=1 schedule.warmup_fraction=.1": "both set; choose one",
    "model=resnet18_imagenet": "7x7 stem is made for ImageNet.*model.force=true",
    "model.depth=3": "model: unknown 'depth'",
    "data.augment.crop=4": "data.augment: unknown 'crop'.*nearest: crop_padding",
    "data.augment=true": "data.augment: True is not a mapping",
    "optimizer=custom": "optimizer.target: name a class",
    "tuned=rsmgd": "tuned: .*rsmgd.*nearest: rmsgd",
    "tuned=rmsgd optimizer=sing": "sing",
    "freeze=norms": "freeze: 'norms' is not one of",
    "~optimizer.lr": "a key cannot be removed",
    "seed": "command line: ",
    "optimizer.lr=[": "command line: ",
    "label_smoothing=1": "label_smoothing: 1 is out of range",
    "protocol_name=x": "unknown 'protocol_name'",
    "budget=seconds schedule.warmup_fraction=0.1": "warmup_fraction.*warmup_epochs",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_command_line_is_one_line(line: str) -> None:
    with pytest.raises(Mistake) as caught:
        compose(line.split())
    assert "\n" not in str(caught.value)
    assert re.search(WRONG[line], str(caught.value)), str(caught.value)


@pytest.mark.parametrize("line", ["optimizer=adma", "optimizer.lrr=0.1", "--frobnicate", "-m optimizer=sgd,adma"])
def test_it_ends_with_exit_code_1_before_torch(line: str, tmp_path: Path) -> None:
    poison = tmp_path / "torch"
    poison.mkdir()
    (poison / "__init__.py").write_text("raise SystemExit('torch was imported')")
    command = [sys.executable, str(ROOT / "train.py"), *line.split()]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path), "PATH": ""}
    )
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stderr.startswith("stepbench: ")
    assert [path.name for path in tmp_path.iterdir()] == ["torch"]


def test_a_reader_that_leaves_is_no_error() -> None:
    """`python train.py --help | head -1`."""
    command = [sys.executable, "train.py", "--help"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        run.stdout.close()
        assert run.stderr.read() == ""
    assert run.returncode == 0


@pytest.fixture
def other_conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A copy of conf/ to spoil."""
    folder = tmp_path / "conf"
    shutil.copytree(groups.ROOT, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    monkeypatch.setattr(groups, "ROOT", folder)
    for cached in (groups.options, groups.raw):
        cached.cache_clear()
    yield folder
    monkeypatch.undo()
    for cached in (groups.options, groups.raw):
        cached.cache_clear()


@pytest.mark.parametrize(
    ("file", "content", "line", "message"),
    [
        (
            "protocol/p.yaml",
            "# @package _global_\noptimzer: sgd\n",
            "protocol=p",
            "optimzer: unknown key.*p.yaml.*optimizer",
        ),
        ("protocol/p.yaml", "# @package _global_\nsede: 3\n", "protocol=p", "sede: unknown key.*nearest: seed"),
        ("protocol/p.yaml", "# @package _global_\nseed: x\n", "protocol=p", "seed"),
        (
            "protocol/p.yaml",
            "# @package _global_\ndata: {agument: 3}\n",
            "protocol=p",
            "data: unknown 'agument'.*augment",
        ),
        ("protocol/p.yaml", "# @package _global_\nbatch_size: 0\n", "protocol=p", "batch_size: 0 is out of range"),
        ("protocol/p.yaml", "# @package _global_\nbatch_size: [1\n", "protocol=p", "p.yaml"),
        ("scale/s.yaml", "# @package _global_\nreplace: {model: {resnet18: resnet81}}\n", "scale=s", "resnet81"),
        (
            "protocol/p.yaml",
            "# @package _global_\ndefaults:\n  - override /schedule: cosin\n",
            "protocol=p",
            "cosin",
        ),
    ],
)
def test_a_wrong_yaml_file_is_one_line(other_conf: Path, file: str, content: str, line: str, message: str) -> None:
    (other_conf / file).write_text(content)
    with pytest.raises(Mistake) as caught:
        compose([line])
    assert "\n" not in str(caught.value)
    assert re.search(message, str(caught.value)), str(caught.value)


@pytest.mark.parametrize(
    ("value", "interval", "inside"),
    [
        (0, "[0, 1)", True),
        (1, "[0, 1)", False),
        (0, "(0, inf)", False),
        (5, "(0, inf)", True),
        (float("nan"), "[0, inf)", False),
    ],
)
def test_intervals(value: float, interval: str, inside: bool) -> None:
    assert in_interval(value, interval) is inside
