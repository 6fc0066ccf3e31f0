"""Wrong command lines and yaml files: one line on stderr each, exit code 1, nothing written."""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conf import groups
from conf.check import in_interval
from conf.cli import guarded, one_line
from conf.compose import compose
from conf.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]

WRONG = {
    "optimizer=adamm": "optimizer: unknown 'adamm'.*nearest: adam",
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
    "target.metric=acuracy": "target.metric: unknown 'acuracy'; allowed: loss, top1, top5",
    "target.metric=tets_top1": "target.metric: unknown 'tets_top1'.*nearest: top1",
    "target.metric=test_auc": "target.metric: unknown 'test_auc'.*allowed: loss, top1, top5",
    "data=rde model=vit_s_rde target.metric=acuracy": "nearest: accuracy",
    "target.metric=validation_top1": "'validation_top1' needs a validation split",
    "target.metric=top1 evaluate.test=selected": "'top1' is of the test split; evaluate.test=selected",
    "target.metric=test_top1 evaluate.test=selected data.validation=0.1": "'test_top1' is of the test split",
    "target.metric=top1 target.value=nan": "target.value: nan is out of range",
    "device=mps": "device: 'mps' is not one of auto, cpu, cuda, cuda:N",
    "device=meta": "device: 'meta'",
    "device=xpu:0": "device: 'xpu:0'",
    "device=cuda:x": "device: 'cuda:x'",
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
    "tuned=rmsgd optimizer=sing": "tuned=rmsgd: no published value for sing; there are some for adabelief, ",
    "protocol=rmsgd_cifar data=imagenet": "protocol=rmsgd_cifar: made for data=cifar10, it does not fit data=imagenet ",
    "protocol=adamsrt data=adp": "protocol=adamsrt: made for data=cifar10, it does not fit data=adp ",
    "protocol=sing_rde data=digits": "protocol=sing_rde: made for data=rde, it does not fit data=digits .*multiclass",
    "protocol=sing_cifar100 data=mhist": "made for data=cifar100, it does not fit data=mhist .label_smoothing",
    "protocol=rmsgd_cifar data=imagenet model=resnet18_imagenet": "does not fit data=imagenet",
    "protocol=rmsgd_cifar data=cifar100 data.validation=-1": "^data.validation: -1 is out of range",
    "protocol=rmsgd_cifar data=cifar": "^data: unknown 'cifar'",
    "freeze=norms": "freeze: 'norms' is not one of",
    "~optimizer.lr": "a key cannot be removed",
    "seed": "command line: ",
    "optimizer.lr=[": "command line: ",
    "label_smoothing=1": "label_smoothing: 1 is out of range",
    "protocol_name=x": "unknown 'protocol_name'",
    "budget=seconds schedule.warmup_fraction=0.1": "warmup_fraction.*warmup_epochs",
    "optimizer.lr=1e400": r"optimizer.lr: inf is out of range",
    "optimizer.eps=''": "optimizer.eps: '' is not a number",
    "optimizer.betas=[0.9]": r"optimizer.betas: \[0.9\] is not a list of 2; allowed: each in \[0, 1\)",
    "optimizer.betas=[0.9,0.99,0.999]": "optimizer.betas: .* is not a list of 2",
    "optimizer.betas=[0.9,nan]": r"optimizer.betas\[1\]: nan is out of range",
    "optimizer.betas=[0.9,true]": r"optimizer.betas\[1\]: True is not a number",
    "optimizer.betas=0.9": "optimizer.betas: 0.9 is not a list",
    "optimizer=sgd optimizer.dampening=inf": "optimizer.dampening: inf is out of range",
    "optimizer=sing optimizer.lookahead=5": "optimizer.lookahead: 5 is not a list of 2",
    "optimizer=sing optimizer.lookahead=[5.5,0.5]": r"optimizer.lookahead\[0\]: 5.5 is out of range; allowed: whole",
    "optimizer=rmsgd optimizer.p=true": "optimizer.p: True is not a whole number",
    "optimizer=adafactor_torch optimizer.eps=[null,-1]": r"optimizer.eps\[1\]: -1 is out of range",
    "optimizer.groups.no_decay=3": "no_decay: 3 is not one of none, bias_and_norm, or a list of patterns",
    "optimizer.groups.no_decay=[]": r"no_decay: \[\] is not one of",
    "optimizer.groups.invariance={chanel:[a]}": "invariance: .* is not one of none, auto, or patterns",
    "data.normalise.mean=[nan]": r"data.normalise.mean\[0\]: nan is out of range",
    "data.normalise.mean=[0.1,0.2,0.3]": "data.normalise.mean: .* is not a list of 1",
    "data=imagenet data.scale=[1,0.5] model.force=true": "data.scale: .* does not rise",
    "schedule=multistep schedule.milestones=[]": r"milestones: \[\] is not a list",
    "schedule=multistep schedule.milestones=[2,1]": r"milestones: \[2, 1\] does not rise",
    "schedule=multistep schedule.milestones=[1.5]": r"milestones\[0\]: 1.5 is not a whole number",
    "target.value=nan target.metric=loss": "target.value: nan is out of range",
    "seed=9223372036854775808": "seed: 9223372036854775808 is out of range",
    "workers=1000000": "workers: 1000000 is out of range",
    "probe=norms probe.norms.layers=[]": r"probe.norms.layers: \[\] is not a list of 1",
    "probe=norms probe.norms.layers=[3]": r"probe.norms.layers\[0\]: 3 is not a word",
    "freeze=[]": r"freeze: \[\] is not one of",
    "freeze=[1]": r"freeze: \[1\] is not one of",
    "data.num_classes=-1": "data.num_classes: -1 is out of range",
    "data.task=regression": "data.task: 'regression' is not one of",
    "budget=wallclock_of budget.reference=foo": "budget.reference: unknown 'foo'",
    "budget=wallclock_of budget.reference=custom": "budget.reference: unknown 'custom'",
    "paths.store=''": "paths.store: '' is not a word",
    "paths.store=/dev/null": "paths.store: '/dev/null': /dev/null is not a folder",
    "paths.cache=/dev/null/below": "paths.cache: '/dev/null/below': /dev/null is not a folder",
    "model=timm model.name=resnet18 model.args={num_classes:3}": "model.args: num_classes comes from the data set",
    "data.normalise.mean.x=1": r"mean.x: a list is given whole, .* e.g. data.normalise.mean=\[0.3058\]",
    "optimizer.betas.7=1": r"optimizer.betas.7: a list is given whole, .* e.g. optimizer.betas=\[0.9, 0.999\]",
    "optimizer@mine=sgd": "optimizer@mine: a group has one place; allowed: optimizer=<option>",
    "optimizer.lr=${nothing}": "optimizer.lr: Interpolation key 'nothing' not found",
    "hydra.run.dir=x": "unknown 'hydra'",
    "device=''": "device: '' is not a word",
    **{
        f"optimizer=custom optimizer.target=torch.optim.SGD optimizer.name={name}": "optimizer.name: .* is not a name"
        for name in ("..", ".x", "''", "a/b", "1", "'\u00fc'", "'a=b'")
    },
    "data=folder data.paht=/nowhere": "data: unknown 'paht'; .*; nearest: path",  # before anybody looks for files
    "data=folder data.path=/nowhere data.tset=0.2": "data: unknown 'tset'; .*; nearest: test",
    "model=timm model.name=../x": "model.name: '../x' is not a name",
    "scale=cpu budget.epochs=ten": "budget.epochs: 'ten' is not a whole number",
    "scale=cpu schedule=multistep schedule.milestones=[a]": r"milestones\[0\]: 'a' is not a whole number",
    f"seed={'9' * 5000}": "command line: Exceeds the limit",
    "data=spans_small model=span_encoder model.weights=": "model.weights: '' is not a word",
    "tuned=": "tuned: '' is not a word",
    "optimizer.label=x": "optimizer: unknown 'label'",
    "optimizer.ranges={lr:x}": "optimizer: unknown 'ranges'",
    "data.sources=3": "data: unknown 'sources'",
    "optimizer=custom optimizer.target=3": "optimizer.target: 3 is not the dotted name of a class",
    "optimizer=custom optimizer.target=SGD": "optimizer.target: 'SGD' is not the dotted name",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_command_line_is_one_line(line: str) -> None:
    with pytest.raises(UsageError) as caught:
        compose(line.split())
    assert "\n" not in str(caught.value)
    assert re.search(WRONG[line], str(caught.value)), str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        *("optimizer=adma", "data=svhn paths.data=nowhere", "--frobnicate", "-m optimizer=sgd,adma"),
        "-m data=digits,svhn paths.data=nowhere",
        f"tuned={'a' * 300}.yaml",
    ],
)
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


@pytest.mark.parametrize(
    ("command", "package"),
    [
        (["train.py"], "hydra"),
        (["train.py"], "torch"),
        (["-m", "sweep"], "hydra"),
        (["-m", "reports"], "hydra"),
        (["-m", "record"], "annotated_types"),
    ],
)
def test_ctrl_c_while_it_imports_is_75_without_a_word(command: list[str], package: str, tmp_path: Path) -> None:
    (tmp_path / f"{package}.py").write_text("print('importing', flush=True); import time; time.sleep(60)")
    environment = {"PYTHONPATH": str(tmp_path), "PATH": "", "STEPBENCH_STORE": str(tmp_path / "runs")}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, **pipes) as run:
        assert run.stdout.readline() == "importing\n"
        run.send_signal(signal.SIGINT)
        assert run.stderr.read() == ""
    assert run.returncode == 75


def test_ctrl_c_in_a_command_is_75(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        guarded(lambda: signal.raise_signal(signal.SIGINT))
    assert ended.value.code == 75
    assert capsys.readouterr().err == ""


OWN = "target: torch.optim.SGD\nversion: 1\ndecay: coupled"
GROUPS = "{no_decay: none, invariance: none}"


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
        ("protocol/p.yaml", "# @package _global_\nbatch_size: [1\n", "protocol=p", "p.yaml: line 3 is not YAML"),
        ("protocol/p.yaml", "# @package _global_\nnote: \0\n", "protocol=p", "p.yaml: line 2 is not YAML"),
        ("protocol/p.yaml", "# @package _global_\nseed: 1\nseed: 2\n", "protocol=p", "p.yaml: line 3.*twice"),
        ("protocol/p.yaml", "# @package _global_\nseed: !mine 1\n", "protocol=p", "p.yaml: line 2.*!mine"),
        ("protocol/p.yaml", "# @package _global_\n- 1\n", "protocol=p", "p.yaml"),
        ("scale/s.yaml", "# @package _global_\nreplace: {model: {resnet18: resnet81}}\n", "scale=s", "resnet81"),
        *(
            (f"{group}/p.yaml", f"{text}\n", f"{group}=p scale=cpu" if group != "scale" else "scale=p", message)
            for group, text, message in (
                ("experiment", "optimizer: sgd", "optimizer: 'sgd' is not a mapping; `defaults: .override /optimizer"),
                ("protocol", "paths: [a]", "paths: .* is not a mapping"),
                ("protocol", "data: null", "data: None is not a mapping"),
                ("protocol", "defaults: 3", "p.yaml: defaults: 3 is not a list"),
                ("protocol", "defaults: [p]", "p.yaml: defaults: builds on itself"),
                ("protocol", "defaults: [{override /probe: [norms, rank]}]", "probe: unknown 'rank'.*nearest: ranks"),
                ("scale", "shrink: 3", "p.yaml: shrink: 3 is not a mapping"),
                ("scale", "shrink: {epochs: a}", "shrink: epochs: 'a' is not a number"),
                ("scale", "replace: {model: resnet20}", "replace: model: 'resnet20' is not a mapping"),
                ("scale", "replace: {modl: {}}", "replace: unknown 'modl'.*nearest: model"),
                ("scale", "set_if_present: {a.b: 3}", "set_if_present: unknown 'a.b'"),
                ("protocol", "sources: {txt: {}}", "sources: unknown 'txt'.*nearest: text"),
                ("protocol", "sources: {any: {dta=digits: {}}}", "sources: any: unknown 'dta'.*nearest: data"),
                ("protocol", "sources: {any: {data=digits: 3}}", "data=digits: 3 is not a mapping"),
                ("protocol", "source: [text]", "source: .'text'. is not a word"),
                ("protocol", "tuned: [sing]", "tuned: .'sing'. is not a word"),
                ("experiment", "budget: {epochs: ten}", "budget.epochs: 'ten' is not a whole number"),
                ("experiment", "data: {sources: 3}", "data: unknown 'sources'"),
            )
        ),
        (
            "protocol/p.yaml",
            "# @package _global_\ndefaults:\n  - override /schedule: cosin\n",
            "protocol=p",
            "cosin",
        ),
        ("optimizer/o.yaml", f"{OWN}\ngroups: {{no_decay: none, invariance: none}}\n", "optimizer=o", "lacks 'name'"),
        ("optimizer/o.yaml", f"name: o\n{OWN}\n", "optimizer=o", "lacks 'groups.no_decay'"),
        ("optimizer/o.yaml", f"name: p\n{OWN}\ngroups: {GROUPS}\n", "optimizer=o", "name: 'p' is not 'o'"),
        (
            "optimizer/o.yaml",
            f"name: o\n{OWN.replace('coupled', 'couplde')}\ngroups: {GROUPS}\n",
            "optimizer=o",
            "decay: 'couplde' is not one of.*nearest: coupled",
        ),
        (
            "optimizer/o.yaml",
            f"name: o\n{OWN}\ngroups: {GROUPS}\nlr: 1.0\nranges: {{lr: '0 to 1'}}\n",
            "optimizer=o",
            "o.yaml: not an interval: '0 to 1'",
        ),
        (
            "optimizer/o.yaml",
            f"name: o\n{OWN}\ngroups: {GROUPS}\nlr: 1.0\nranges: {{rl: '[0, 1]'}}\n",
            "optimizer=o",
            "o.yaml: ranges: 'rl' is none of its keys",
        ),
        (
            "optimizer/o.yaml",
            f"name: o\n{OWN}\ngroups: {GROUPS}\nlr: 1.0\nranges: {{lr: 5}}\n",
            "optimizer=o",
            "or 5 no range",
        ),
        (
            "optimizer/o.yaml",
            f"name: o\n{OWN}\ngroups: {GROUPS}\nsources: [a]\n",
            "optimizer=o",
            "sources: .'a'. is not",
        ),
        ("data/d.yaml", "name: d\n", "data=d", "d.yaml: lacks 'target'"),
        ("data/d.yaml", "- name\n", "data=d", "d.yaml"),
        ("optimizer/o.yaml", "", "optimizer=o", "o.yaml: lacks 'name'"),
    ],
)
def test_a_wrong_yaml_file_is_one_line(other_conf: Path, file: str, content: str, line: str, message: str) -> None:
    (other_conf / file).write_text(content)
    with pytest.raises(UsageError) as caught:
        compose(line.split())
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


@pytest.mark.parametrize("error", [KeyError("lr"), AssertionError("too wide"), RuntimeError("no memory"), IndexError()])
def test_whatever_a_part_of_a_run_raises_is_one_line(error: Exception) -> None:
    with (
        pytest.raises(UsageError, match=rf"^{type(error).__name__} \(traceback=true shows where\): .*"),
        one_line(unless=False),
    ):
        raise error
    with pytest.raises(type(error)), one_line(unless=True):
        raise error
