"""The command line of train.py, up to the point where torch is needed."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from conf import describe, grammar, groups, multirun, yamls
from conf.cli import Parser, guarded, refuse
from conf.compose import compose
from conf.errors import UsageError, unknown
from conf.multirun import Job

FLAGS = (
    *("--help", "--config-dir", "--cfg", "--package", "--resolve", "--multirun", "--run"),
    *("--hydra-help", "--info", "--shell-completion"),
)
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
FOREIGN = {  # flags of Hydra's that would choose another configuration, and what to do instead
    (
        "--config-name",
        "-cn",
    ): "there is one configuration, conf/train.yaml; experiment=NAME takes a yaml of conf/experiment",
    ("--config-path", "-cp"): "there is one, conf/ beside train.py; --config-dir adds one of yours",
    ("--experimental-rerun",): "python -m sweep rerun makes a finished run again",
}


@dataclass(frozen=True)
class Asked:
    """What a command line asks for. launcher: its words for a launcher of Hydra, for several jobs."""

    jobs: list[Job]
    several: bool = False
    launcher: list[str] = field(default_factory=list)


def begin(finished: Callable[[dict[str, Any]], bool], look: Callable[[dict[str, Any], Path], None]) -> Asked:
    """Read a command line; returns the runs that it asks for, each with its checked configuration.

    Answers --help, --cfg and the like itself, leaves if a single run is `finished`, and has the data `look`ed for. A
    mistake is one line on stderr and exit code 1, before torch is imported; so is a result that cannot be read.
    """
    try:
        flags, words = _read(sys.argv[1:])
        for name, answer in ANSWERS.items():
            if getattr(flags, name):
                raise SystemExit(guarded(partial(answer, flags, words)) or 0)
        if flags.multirun:
            jobs, launcher = multirun.split(words)
            for config, _ in jobs:
                look(config["data"], Path(config["paths"]["data"]))
            return Asked(jobs, True, launcher)
        config = compose(_for_a_run(words))
        if finished(config):
            raise SystemExit(0)
        look(config["data"], Path(config["paths"]["data"]))
        return Asked([(config, words)])
    except (ValueError, OSError) as error:  # a UsageError, a damaged result, or files that are not there
        refuse(error, show="traceback=true" in sys.argv)


def _parser() -> Parser:
    parser = Parser(prog="command line", add_help=False, allow_abbrev=False)
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("--cfg", "-c", choices=["job"])
    parser.add_argument("--package", "-p")
    parser.add_argument("--resolve", action="store_true")  # it always is
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--run", "-r", action="store_true")  # as without
    parser.add_argument("--hydra-help", action="store_true")
    parser.add_argument("--info", "-i", nargs="?", const="all", choices=INFO)
    parser.add_argument("--shell-completion", "-sc", action="store_true")
    parser.add_argument("--config-dir", "-cd")
    for names in FOREIGN:
        parser.add_argument(*names, nargs="?", const="")
    return parser


def _read(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Part a command line into flags, which may be anywhere, and overrides."""
    flags, words = _parser().parse_known_args(argv)
    for names, instead in FOREIGN.items():
        if getattr(flags, names[0].strip("-").replace("-", "_")) is not None:
            raise UsageError(f"command line: {names[0]}: {instead}")
    if flags.config_dir is not None:
        groups.add_folder(Path(flags.config_dir))
    for word in words:
        if word.startswith("-"):
            raise unknown("command line: flag", word.partition("=")[0], FLAGS)
    chosen = [f"--{name.replace('_', '-')}" for name in (*ANSWERS, "multirun", "run") if getattr(flags, name)]
    if len(chosen) > 1:
        raise UsageError(f"command line: {' and '.join(chosen)}: one at a time")
    for name in ("package", "resolve"):
        if getattr(flags, name) and not flags.cfg:
            raise UsageError(f"command line: --{name}: goes with --cfg job")
    return flags, words


def _for_a_run(words: list[str]) -> list[str]:
    """Refuse what Hydra would be told, were it to run anything."""
    for override in grammar.parse([grammar.path(word) for word in words]):
        if multirun.is_hydras(override):
            raise UsageError(f"{override.key_or_group}: is no key of a run; Hydra's launchers go with -m")
    return words


def _composed(flags: argparse.Namespace, words: list[str]) -> None:
    config = compose(_for_a_run(words))
    for key in flags.package.split(".") if flags.package else ():
        if not isinstance(config, dict) or key not in config:
            raise unknown("--package", flags.package, config if isinstance(config, dict) else ())
        config = config[key]
    print(yamls.dump(config) if isinstance(config, dict | list) else config)


def _complete(flags: argparse.Namespace, words: list[str]) -> None:
    try:
        multirun.private().hydra.shell_completion("train", words)
    except (KeyError, ValueError) as error:
        raise UsageError(
            "--shell-completion: allowed: install=SHELL, uninstall=SHELL; a shell asks query=SHELL"
        ) from error


def _hydra_help(flags: argparse.Namespace, words: list[str]) -> None:
    hydra, _, parser = multirun.private()
    hydra.hydra_help(None, parser, argparse.Namespace(overrides=[]))


ANSWERS: dict[str, Callable[[argparse.Namespace, list[str]], None]] = {
    "help": lambda flags, words: print(describe.help_text(words)),
    "cfg": _composed,
    "hydra_help": _hydra_help,
    "info": lambda flags, words: multirun.private().hydra.show_info(flags.info, "train", words),
    "shell_completion": _complete,
}
