"""python -m sweep plan | run | status | merge | verify | rerun | tune

Exit codes: 0 all is there; 1 a user's mistake; 3 some runs are missing; 4 some failed, or a check found something;
75 stopped before the end: run the same command again.
"""

from conf import begin

begin(__name__)

import argparse
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from conf.cli import guarded
from conf.errors import UsageError, of_the_system, require_known
from record.clean import set_aside
from record.identity import PLACES
from record.merge import AS_IT_IS, PUBLIC, merge
from record.read import Status, flat, read_result, read_store, status
from record.source import changed
from sweep import show
from sweep.arguments import BACKENDS, Command, parse
from sweep.plan import Planned, plan
from sweep.runner import Options, Sweep
from sweep.wanted import Wanted, Words, wanted

if TYPE_CHECKING:
    from sweep.tune import Settings, Tuning

COMPLETE, MISSING, FAILED, STOPPED = 0, 3, 4, 75


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv, __doc__, COMMANDS)
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
    for folder in (store / run.folder for run in runs if run.config["rerun"]):
        if status(folder).finished and (result := read_result(folder)) and changed(flat(result)):
            set_aside(store, folder)
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
    tune.require_tuned(given.out)
    tuning = tune.tuning(asked(given), given.grids, given.validation, given.seeds, given.only, given.metric)
    if given.everywhere:
        tune.require_one_place(tuning.cells)
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

    store = arguments.store
    runs: dict[str, Planned] = {}  # by id: a study may ask for a point twice
    made = adaptive.studies(tuning, arguments.pruner, arguments.draw)
    for trials in adaptive.rounds(made, arguments.trials or tuning.number(), store):
        code = execute(trials, arguments, adaptive.watcher(made, store))
        left = [study for study in made if not study.pruned and not status(store / study.run.folder).finished]
        if code in (FAILED, STOPPED) or left:  # the next trials depend on all of these
            return code, [], {}
        runs |= {study.run.id: study.run for study in made}
    return COMPLETE, list(runs.values()), {words: point for study in made for words, point in study.settings.items()}


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

    store = arguments.place or arguments.store
    if not store.is_dir():
        raise UsageError(f"verify: no store at {store}")
    sound, lines = verify(store)
    print("\n".join([*lines, f"{sound} runs are sound, {len(lines)} complaint(s)"]))
    return FAILED if lines else COMPLETE


def rerun_command(arguments: argparse.Namespace) -> int:
    from sweep import rerun

    store, code = arguments.store, COMPLETE
    places = tuple(word for word in arguments.overrides if word.partition("=")[0] in PLACES)
    if arguments.random:
        chosen = rerun.sample(store, plan(asked(arguments)), arguments.random, arguments.draw)
    else:
        require_known("rerun", [word.partition("=")[0] for word in arguments.overrides], PLACES)
        chosen = [rerun.find(store, arguments.table)]
    for run in chosen:
        verdict = rerun.rerun(run, arguments.trust, places)
        print(verdict.line, flush=True)
        code = code if verdict.kind in ("equal", "other platform") else FAILED
    return code


def _code(found: Iterable[Status]) -> int:
    unfinished = {state.state for state in found if not state.finished}
    return FAILED if "failed" in unfinished else MISSING if unfinished else COMPLETE


COMMANDS: dict[str, Command] = {
    "plan": plan_command,
    "run": run_command,
    "tune": tune_command,
    "status": status_command,
    "merge": merge_command,
    "verify": verify_command,
    "rerun": rerun_command,
}

if __name__ == "__main__":
    sys.exit(guarded(main))
