"""The command line of `python -m sweep`: what each command may be told, and the back end that is asked for."""

import argparse
import math
import os
from collections.abc import Callable, Mapping, Sequence

from conf.cli import Parser, file, folder, listed, number, whole, word
from conf.errors import UsageError
from sweep.backend import Backend, Local, devices
from sweep.wanted import SCALES

Command = Callable[[argparse.Namespace], int]


def parse(argv: Sequence[str] | None, about: str | None, commands: Mapping[str, Command]) -> argparse.Namespace:
    """Read a command line; `command` of what it returns is that of `commands`. Raises UsageError, one line."""
    arguments, late = _parser(about, commands).parse_known_args(argv)
    if [flag for flag in late if flag.startswith("-")] or (late and "overrides" not in arguments):
        raise UsageError(f"python -m sweep: unrecognized arguments: {' '.join(late)}")
    if late:
        arguments.overrides += late  # those behind a flag, which argparse does not take
    return arguments


def _slurm(arguments: argparse.Namespace) -> Backend:
    from sweep.clusters import Slurm

    return Slurm(arguments.store.resolve() / ".sweep" / "slurm", arguments.jobs or 0, arguments.slurm)


def _ray(arguments: argparse.Namespace) -> Backend:
    from sweep.clusters import Ray

    return Ray(arguments.jobs or 0, arguments.cpus, arguments.gpus_per_run, arguments.address)


def _local(arguments: argparse.Namespace) -> Backend:
    gpus = devices() if arguments.gpus is None else [] if arguments.gpus == ["none"] else arguments.gpus
    jobs = arguments.jobs or len(gpus) * arguments.per_gpu or 1
    return Local(jobs, gpus, 60 * arguments.timeout or math.inf)


BACKENDS: dict[str, Callable[[argparse.Namespace], Backend]] = {"local": _local, "slurm": _slurm, "ray": _ray}


def _add_running(run: argparse.ArgumentParser) -> None:
    add = run.add_argument
    add("--jobs", type=whole("[1, 10000]"), help="runs at once (default: one, or those that the GPUs hold)")
    add("--gpus", type=listed, help="e.g. 0,1: the slots' CUDA_VISIBLE_DEVICES in turn (default: all); none")
    add("--per-gpu", type=whole("[1, 100]"), default=1, help="runs at once on each GPU")
    add("--backend", default="local", choices=list(BACKENDS))
    add("--slurm", action="append", default=[], metavar="KEY=VALUE", help="a parameter of submitit")
    add("--cpus", type=number("(0, inf)"), default=1, help="cores a run (ray)")
    add("--gpus-per-run", type=number("[0, inf)"), default=0, help="GPUs a run (ray)")
    add("--address", default="", help="of a ray cluster; `auto` for the one on this machine")
    add("--limit", type=whole("[0, inf)"), help="at most so many runs")
    add("--retry", choices=["failed"], help="also run again what failed before")
    add("--retries", type=whole("[0, inf)"), default=2, help="how often a run whose process died is repeated")
    add("--fail-fast", action="store_true", help="stop all at the first failure")
    add("--max-failures", type=whole("[0, inf)"), default=0, help="stop all at so many failures")
    add("--timeout", type=number("[0, inf)"), default=0, help="minutes a run may take")
    add("--detach", action="store_true", help="leave once all are submitted (slurm)")


def _add_tuning(search: argparse.ArgumentParser) -> None:
    add = search.add_argument
    add("--grids", type=word, required=True, help="a file with `grids`, or a paper of papers/tuned")
    add("--out", type=file(".yaml", ".yml"), required=True, help="the file to write, for `tuned=FILE`")
    add("--validation", type=number("(0, 1)"), default=0.1, help="share of the training images held out")
    add("--seeds", type=whole("[0, inf)"), nargs="+", default=[0])
    add("--metric", default="validation_top1")
    add("--everywhere", action="store_true", help="the winners are for every data set and net, not for the table's own")
    add("--search", default="grid", choices=["grid", "optuna"], help="who chooses points: the file, or optuna")
    add("--trials", type=whole("[1, 100000]"), help="of each optimizer, with optuna (default: `n` of its `search`)")
    add("--pruner", default="none", choices=["none", "hyperband"], help="what ends trials early, with optuna")
    add("--draw", type=whole("[0, inf)"), default=0, help="the seed of optuna's search")
    add("--only", type=listed, default=[], help="optimizers of the table, e.g. sgd,sing")


def _parser(about: str | None, commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    parser = Parser(prog="python -m sweep", description=about, formatter_class=argparse.RawTextHelpFormatter)
    subparsers = parser.add_subparsers(required=True, metavar="command")
    common = Parser(add_help=False)
    common.add_argument("--store", type=folder, default=os.environ.get("STEPBENCH_STORE", "runs"))
    table = Parser(add_help=False, parents=[common])
    table.add_argument("table", type=word, help="a name in papers/tables, or a sweep file")
    table.add_argument("overrides", nargs="*", help="put in place of the table's own, e.g. budget.epochs=1")
    table.add_argument("--scale", default="paper", choices=SCALES)

    def add(name: str, words: str, *parents: Parser) -> argparse.ArgumentParser:
        command = subparsers.add_parser(name, parents=parents, help=words, description=words)
        command.set_defaults(command=commands[name])
        return command

    plan = add("plan", "what a table needs, what is there, what the rest will cost", table)
    plan.add_argument("--list", action="store_true", help="one line a run")
    _add_running(add("run", "run what is missing", table))
    search = add("tune", "run a grid on validation images and write the winners to a file", table)
    _add_running(search)
    _add_tuning(search)
    status = add("status", "how far a table is; exit code 0 complete, 3 missing, 4 failed", table)
    status.add_argument("--watch", action="store_true")
    status.add_argument("--every", type=number("(0, 86400]"), default=5.0, help="seconds between looks")
    status.add_argument("--failed", action="store_true", help="one line a failed run")
    rerun = add("rerun", "run a finished run (folder or id), or k of a table, again; compare bits", table)
    rerun.add_argument("--random", type=whole("[0, inf)"), default=0, metavar="k")
    rerun.add_argument("--draw", type=whole("[0, inf)"), default=0, help="which k: the seed of the draw")
    rerun.add_argument("--trust", action="store_true", help="also run classes that are not ours, torch's or installed")
    merge = add("merge", "bring the finished runs of stores into one")
    words = "without host names, absolute paths and values of the environment"
    merge.add_argument("--public", action="store_true", help=words)
    merge.add_argument("sources", type=folder, nargs="+")
    merge.add_argument("destination", type=folder)
    check = add("verify", "schema, checksums, orphans of a store", common)
    check.add_argument("place", type=folder, nargs="?", metavar="store")
    return parser
