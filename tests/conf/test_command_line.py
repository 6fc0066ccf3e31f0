"""train.py's flags: each of Hydra's is done, or refused in one line."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import data
from conf import command_line, groups
from conf.command_line import Asked
from conf.compose import compose

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Asked]:
    def asked(*words: str) -> Asked:
        monkeypatch.setattr(sys, "argv", ["train.py", *words])
        return command_line.begin(lambda config: False, data.look)

    return asked


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--config-name my_experiment --config-dir /no/such/folder --cfg job", "--config-name: "),
        ("-cn x", "--config-name: "),
        ("seed=1 --config-dir=/x", "--config-dir: "),
        ("-cd /x", "--config-dir: "),
        ("--config-path /x", "--config-path: "),
        ("-cp", "--config-path: "),
        ("--experimental-rerun x.pickle", "python -m sweep rerun"),
        ("--package optimizer", "--package: goes with --cfg job"),
        ("-p optimizer -m", "--package: goes with --cfg job"),
        ("--resolve", "--resolve: goes with --cfg job"),
        ("--cfg job --package optimzer", "unknown 'optimzer'.*nearest: optimizer"),
        ("--cfg hydra", "invalid choice: 'hydra'.*job"),
        ("--cfg all", "invalid choice: 'all'.*job"),
        ("--cfg", "expected one argument"),
        ("--info nothing", "invalid choice: 'nothing'"),
        ("--run --multirun seed=1,2", "--multirun and --run: one at a time"),
        ("-m --cfg job seed=1,2", "--cfg and --multirun: one at a time"),
        ("--multi-run", "unknown '--multi-run'.*nearest: --multirun"),
        ("--mult seed=1,2", "unknown '--mult'.*nearest: --multirun"),
        ("-sc nothing=bash", "allowed: install=SHELL"),
        ("hydra.run.dir=/x", "hydra.run.dir: .*-m"),
        ("hydra.mode=MULTIRUN seed=1,2", "-m makes a run of each|hydra.mode"),
        ("hydra/launcher=basic", "hydra/launcher: .*-m"),
        ("seed=1,2", r"seed=1,2: -m makes a run of each; seed=\[...\] is a list, and in quotes it is one word"),
        ("optimizer=sgd,adam", "optimizer=sgd,adam: -m makes a run of each"),
        ("optimizer.betas=0.9,0.99", "optimizer.betas=0.9,0.99: -m makes a run of each"),
        ("-m optimizer.lr=interval(0,1)", "optimizer.lr=interval.* allowed: a,b,c, range"),
        ("-m hydra/launcher=joblob", "hydra/launcher: unknown 'joblob'"),
        ("-m hydra/sweeper=basic", "hydra/sweeper: not of use here; allowed with -m: hydra/launcher"),
        ("-m hydra.launcher.n_jobs=2 seed=1,2", "hydra.launcher.n_jobs"),
        ("-m hydra/launcher=basic,joblib seed=1,2", "hydra/launcher=basic,joblib: takes one value"),
        ("-m optimizer=glob(zz*)", "optimizer=glob.zz.*: has no value"),
        ("-m seed=range(0,1,0)", "seed=range.*: range.. arg 3 must not be zero"),
        ("-m optimizer=sgd,adma", "optimizer: unknown 'adma'"),
        ("-m optimizer.lr=[", "command line: "),
    ],
)
def test_what_is_not_done_is_one_line(line: str, message: str, ask: Callable[..., Asked], capsys) -> None:
    with pytest.raises(SystemExit) as left:
        ask(*line.split())
    said = capsys.readouterr().err
    assert left.value.code == 1
    assert said.count("\n") == 1
    assert re.search(message, said), said


@pytest.mark.parametrize("name", ["joblib", "submitit_slurm", "ray"])
def test_a_launcher_that_is_not_installed_names_its_package(name: str, ask, capsys, monkeypatch) -> None:
    monkeypatch.setattr("hydra._internal.config_loader_impl.ConfigLoaderImpl.get_group_options", lambda *_: ["basic"])
    with pytest.raises(SystemExit):
        ask("-m", f"hydra/launcher={name}", "seed=0,1")
    assert f"pip install hydra-{name.partition('_')[0]}-launcher" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--cfg job --resolve --package optimizer.lr", "0.001\n"),
        ("-c job -p optimizer.betas", "- 0.9\n- 0.999\n"),
        ("--help", "python train.py"),
    ],
)
def test_what_is_done_leaves_with_0(line: str, said: str, ask: Callable[..., Asked], capsys) -> None:
    with pytest.raises(SystemExit) as left:
        ask(*line.split())
    assert left.value.code == 0
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(("flag", "said"), [("--info=searchpath", "/conf"), ("--hydra-help", "--shell-completion")])
def test_hydra_answers_for_itself(flag: str, said: str) -> None:
    """In a process of its own: Hydra sets logging up."""
    done = subprocess.run([sys.executable, "train.py", flag], cwd=groups.ROOT.parent, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert said in done.stdout


def test_a_shell_may_ask_for_options(ask: Callable[..., Asked], capsys, monkeypatch) -> None:
    line = "python train.py optimizer=sing_"
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_POINT", str(len(line)))
    with pytest.raises(SystemExit):
        ask("-sc", "query=bash")
    assert "optimizer=sing_sgd" in capsys.readouterr().out.split()


def test_flags_may_stand_anywhere(ask: Callable[..., Asked]) -> None:
    asked = ask("seed=3", "--run", "optimizer=sgd")
    assert asked == Asked([(compose(["seed=3", "optimizer=sgd"]), ["seed=3", "optimizer=sgd"])])


def test_a_multirun_takes_what_a_single_run_takes(ask: Callable[..., Asked]) -> None:
    custom = ("optimizer=custom", "optimizer.target=torch.optim.RMSprop", "optimizer.args={lr: 0.1}")
    asked = ask("-m", *custom, "seed=3,4,3", "model=glob(resnet2*)")
    assert asked.several
    assert [config for config, _ in asked.jobs] == [compose([*custom, f"seed={s}", "model=resnet20"]) for s in (3, 4)]
    assert [compose(words) for _, words in asked.jobs] == [config for config, _ in asked.jobs]


@pytest.mark.parametrize("words", [["train.py"], ["-m", "sweep", "plan", "study"], ["-m", "reports", "tables"]])
def test_a_python_without_the_suites_packages_is_named_in_one_line(words: list[str]) -> None:
    # -S: no site-packages
    done = subprocess.run(
        [sys.executable, "-S", *words], cwd=ROOT, capture_output=True, text=True
    )  # -S: none are found
    assert done.returncode == 1
    assert re.fullmatch(r"stepbench: \S+ lacks hydra-core; .*make setup.*\n", done.stderr)
