"""python -m sweep plan | run | status | merge | verify | rerun | tune

Exit codes: 0 all is there; 1 a user's mistake; 3 some runs are missing; 4 some failed, or a check found something;
75 stopped before the end: run the same command again.
"""

import argparse
import math
import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from conf.cli import Parser, file, folder, guarded, listed, number, whole, word
from conf.errors import UsageError, of_the_system
from record import Status, merge, read_store, status
from record.clean import set_aside
from record.merge import AS_IT_IS, PUBLIC
from record.supervise import code_changes
from sweep import show
from sweep.backend import Backend, Local, devices
from sweep.plan import Planned, plan
from sweep.runner import Options, Sweep
from sweep.wanted import SCALES, Wanted, Words, wanted

if TYPE_CHECKING:
    from sweep.tune import Settings, Tuning

COMPLETE, MISSING, FAILED, STOPPED = 0, 3, 4, 75


def main(argv: Sequence[str] | None = None) -> int:
    arguments, late = _parser().parse_known_args(argv)
    if [flag for flag in late if flag.startswith("-")] or (late and "overrides" not in arguments):
        raise UsageError(f"python -m sweep: unrecognized arguments: {' '.join(late)}")
    if late:
        arguments.overrides += late  # those behind a flag, which argparse does not take
    with of_the_system():
        return int(arguments.command(arguments))


def asked(arguments: argparse.Namespace) -> Wanted:
    """Read a table, with the overrides of this command line in place of its own."""
    table = wanted(arguments.table, arguments.scale)
    keys = tuple(f"{word.partition('=')[0]}=" for word in arguments.overrides)
    lines = [[word for word in words if not word.startswith(keys)] for words in table.words]
    return replace(table, words=tuple((*words, *arguments.overrides) for words in lines))


def states(store: Path, runs: Sequence[Planned]) -> dict[str, Status]:
    return {run.id: status(store / run.folder) for run in runs}


def plan_command(arguments: argparse.Namespace) -> int:
    runs = plan(asked(arguments))
    found = states(arguments.store, runs)
    rows, complaints = read_store(arguments.store)
    cost = show.Speeds(rows).cost(run for run in runs if not found[run.id].finished)
    print("\n".join([*show.plan_lines(arguments.table, runs, found, cost.line()), *show.code_lines(runs, rows)]))
    for complaint in complaints:
        print(f"skipped: {complaint}")
    if arguments.list:
        print("\n".join(f"{run.id} {found[run.id].state:8} {shlex.join(run.words)}" for run in runs))
    return COMPLETE


def run_command(arguments: argparse.Namespace) -> int:
    return execute(plan(asked(arguments)), arguments)


def execute(
    runs: Sequence[Planned], arguments: argparse.Namespace, pruned: Callable[[Planned], bool] = lambda run: False
) -> int:
    """Run what is missing of a plan on the chosen back end; returns the exit code. pruned: of what is to end early."""
    store = arguments.store
    for run in runs:
        if run.config["rerun"] and code_changes(store / run.folder):
            set_aside(store, store / run.folder)
    most = 1 if arguments.fail_fast else arguments.max_failures
    options = Options(arguments.retries, arguments.limit, arguments.retry == "failed", most, arguments.detach)
    display = show.Display(store, runs)
    sweep = Sweep(runs, store, BACKENDS[arguments.backend](arguments), options, display.report)
    print(f"{arguments.table}: {show.counts_line(sweep.progress.counts)}, {len(sweep.pending)} to run", flush=True)
    try:
        with display.open(), of_the_system():
            sweep.finish(display.show, pruned)
    except UsageError as error:
        if not sweep.tries:
            raise
        print(f"stepbench: {error}; all runs are stopped, and the same command goes on", file=sys.stderr)
        return STOPPED
    found = states(store, runs).values()
    print(show.counts_line(Counter(state.state for state in found)))
    return STOPPED if sweep.progress.stopping else _code(found)


def tune_command(arguments: argparse.Namespace) -> int:
    from sweep import tune

    given = arguments
    tuning = tune.tuning(asked(given), given.grids, given.validation, given.seeds, given.only, given.metric)
    code, runs, settings = (SEARCHES[given.search])(tuning, given)
    if code == COMPLETE:
        print(*tune.write(given.out, runs, settings, given.store, given.metric, given.everywhere), sep="\n")
    return code


Tried = tuple[int, list[Planned], "dict[Words, Settings]"]  # exit code, trials, what each tries


def _try_grid(tuning: "Tuning", arguments: argparse.Namespace) -> Tried:
    settings = tuning.trials()
    runs = plan(Wanted(arguments.table, tuple(settings), distinct=False))
    return execute(runs, arguments), runs, settings


def _try_optuna(tuning: "Tuning", arguments: argparse.Namespace) -> Tried:
    from sweep import adaptive

    store, runs = arguments.store, []
    made = adaptive.studies(tuning, arguments.pruner, arguments.draw)
    for trials in adaptive.rounds(made, arguments.trials or tuning.number(), store):
        code = execute(trials, arguments, adaptive.watcher(made, store))
        if code in (FAILED, STOPPED):
            return code, [], {}
        runs += [study.run for study in made]
    return COMPLETE, runs, {words: point for study in made for words, point in study.settings.items()}


SEARCHES: dict[str, Callable[["Tuning", argparse.Namespace], Tried]] = {"grid": _try_grid, "optuna": _try_optuna}


def status_command(arguments: argparse.Namespace) -> int:
    runs, store = plan(asked(arguments)), arguments.store
    while True:
        found = states(store, runs)
        print(f"{arguments.table}: {show.counts_line(Counter(state.state for state in found.values()))}", flush=True)
        if not arguments.watch or all(state.finished or state.state == "failed" for state in found.values()):
            break
        time.sleep(arguments.every)
    for run in runs if arguments.failed else ():
        if found[run.id].state == "failed":
            print(f"{run.id} {run.label}: {found[run.id].kind}: {found[run.id].message}  {store / run.folder}/log.txt")
    return _code(found.values())


def merge_command(arguments: argparse.Namespace) -> int:
    conflicts, left_out = merge(arguments.sources, arguments.destination, PUBLIC if arguments.public else AS_IT_IS)
    for conflict in conflicts:
        words = "REPRODUCIBILITY ALARM" if conflict.kind == "alarm" else conflict.kind
        print(f"{words}: {conflict.folder}: {conflict.detail}")
    print("\n".join([*(f"left out: {line}" for line in left_out), f"{len(read_store(arguments.destination)[0])} runs"]))
    return FAILED if any(conflict.kind == "alarm" for conflict in conflicts) else COMPLETE


def verify_command(arguments: argparse.Namespace) -> int:
    from sweep.verify import verify

    if not arguments.store.is_dir():
        raise UsageError(f"verify: no store at {arguments.store}")
    sound, lines = verify(arguments.store)
    print("\n".join([*lines, f"{sound} runs are sound, {len(lines)} complaint(s)"]))
    return FAILED if lines else COMPLETE


def rerun_command(arguments: argparse.Namespace) -> int:
    from sweep import rerun

    store, code = arguments.store, COMPLETE
    if arguments.random:
        chosen = rerun.sample(store, plan(asked(arguments)), arguments.random, arguments.draw)
    else:
        chosen = [rerun.find(store, arguments.table)]
    for run in chosen:
        verdict = rerun.rerun(run, arguments.trust)
        print(verdict.line, flush=True)
        code = code if verdict.kind in ("equal", "other platform") else FAILED
    return code


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


def _code(found: Iterable[Status]) -> int:
    unfinished = {state.state for state in found if not state.finished}
    return FAILED if "failed" in unfinished else MISSING if unfinished else COMPLETE


def _add_running(run: argparse.ArgumentParser) -> None:
    add = run.add_argument
    add(
        "--jobs",
        type=whole("[1, 10000]"),
        default=None,
        help="runs at once (default: one, or those that the GPUs hold)",
    )
    add("--gpus", type=listed, help="e.g. 0,1: the slots' CUDA_VISIBLE_DEVICES in turn (default: all); none")
    add("--per-gpu", type=whole("[1, 100]"), default=1, help="runs at once on each GPU")
    add("--backend", default="local", choices=list(BACKENDS))
    add("--slurm", action="append", default=[], metavar="KEY=VALUE", help="a parameter of submitit")
    add("--cpus", type=number("(0, inf)"), default=1, help="cores a run (ray)")
    add("--gpus-per-run", type=number("[0, inf)"), default=0, help="GPUs a run (ray)")
    add("--address", default="", help="of a ray cluster; `auto` for the one on this machine")
    add("--limit", type=whole("[0, inf)"), default=None, help="at most so many runs")
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
    add("--search", default="grid", choices=list(SEARCHES), help="how the points are chosen: the file's, or by optuna")
    add("--trials", type=whole("[1, 100000]"), help="of each optimizer, with optuna (default: `n` of its `search`)")
    add("--pruner", default="none", choices=["none", "hyperband"], help="what ends trials early, with optuna")
    add("--draw", type=whole("[0, inf)"), default=0, help="the seed of optuna's search")
    add("--only", type=listed, default=[], help="optimizers of the table, e.g. sgd,sing")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m sweep", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="command")
    common = Parser(add_help=False)
    common.add_argument("--store", type=folder, default=os.environ.get("STEPBENCH_STORE", "runs"))
    table = Parser(add_help=False, parents=[common])
    table.add_argument("table", type=word, help="a name in papers/tables, or a sweep file")
    table.add_argument("overrides", nargs="*", help="put in place of the table's own, e.g. budget.epochs=1")
    table.add_argument("--scale", default="paper", choices=SCALES)

    def add(name: str, function: object, words: str, *parents: Parser) -> argparse.ArgumentParser:
        command = commands.add_parser(name, parents=parents, help=words, description=words)
        command.set_defaults(command=function)
        return command

    look = add("plan", plan_command, "what a table needs, what is there, what the rest will cost", table)
    look.add_argument("--list", action="store_true", help="one line a run")
    _add_running(add("run", run_command, "run what is missing", table))
    search = add("tune", tune_command, "run a grid on validation images and write the winners to a file", table)
    _add_running(search)
    _add_tuning(search)
    look = add("status", status_command, "how far a table is; exit code 0 complete, 3 missing, 4 failed", table)
    look.add_argument("--watch", action="store_true")
    look.add_argument("--every", type=number("(0, 86400]"), default=5.0, help="seconds between looks")
    look.add_argument("--failed", action="store_true", help="one line a failed run")
    join = add("merge", merge_command, "bring the finished runs of stores into one")
    join.add_argument(
        "--public", action="store_true", help="without host names, absolute paths and values of the environment"
    )
    join.add_argument("sources", type=folder, nargs="+")
    join.add_argument("destination", type=folder)
    look = add("verify", verify_command, "schema, checksums, orphans of a store", common)
    look.add_argument("store", type=folder, nargs="?", default=argparse.SUPPRESS)
    words = "run a finished run (folder or id), or k of a table, again; compare bits"
    again = add("rerun", rerun_command, words, table)
    again.add_argument("--random", type=whole("[0, inf)"), default=0, metavar="k")
    again.add_argument("--draw", type=whole("[0, inf)"), default=0, help="which k: the seed of the draw")
    again.add_argument("--trust", action="store_true", help="also run classes that are not ours, torch's or installed")
    return parser


if __name__ == "__main__":
    sys.exit(guarded(main))
