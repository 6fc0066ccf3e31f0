"""Reports from stores of runs.

    python -m reports tables [NAME|FILE ...]         CSV, Markdown, LaTeX, HTML, JSON of tables, or of a sweep file
    python -m reports figures [NAME|FILE ...]        the figures of every table that has runs: SVG, PDF, PNG
    python -m reports report                         claims, leaderboard, tables, figures, coverage as one HTML page
    python -m reports explain TABLE WORD ...         the runs behind a cell and the command that makes it again
    python -m reports compare A B [--where K=V ...]  two optimizers over all tasks that they share
    python -m reports coverage                       every table and figure of the papers: its state here, or why not
    python -m reports analyse NAME ...               the papers' own analyses (analyse --help)

Common: --store FOLDER, once or more (default: runs/ and results/ together), --out build,
--scale paper|cpu|smoke (default: paper, and every scale that the stores hold).
"""

from conf import begin

begin(__name__)

import argparse
import gc
import os
import sys
from pathlib import Path

from conf.cli import Parser, folder, guarded, word
from conf.errors import UsageError, of_the_system, unknown
from papers import table as tables
from reports import grids
from reports import runs as store
from reports.analyses import command as analyses
from reports.cells import Result, fill

OURS = Path(__file__).parent.parent / "results"  # the store that comes with the suite


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code. A user's mistake is raised as UsageError."""
    given = sys.argv[1:] if argv is None else argv
    if given[:1] == ["analyse"]:  # it reads no store, and has options of its own
        return analyses.main(given[1:])
    arguments = _parser().parse_args(given)
    if arguments.command not in COMMANDS:
        raise unknown("reports", arguments.command, [*COMMANDS, "analyse"])
    if arguments.scale not in (None, *tables.SCALES):
        raise unknown("--scale", arguments.scale, tables.SCALES)
    with of_the_system():
        runs = store.read(*(arguments.store or _stores()))
        for line in runs.complaints:
            print(f"left out: {line}", file=sys.stderr)
        if runs.other_code:
            print(f"{runs.other_code} runs were made by other code than today's; `explain` names them", file=sys.stderr)
        COMMANDS[arguments.command](runs, arguments)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser("python -m reports", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("command", help=", ".join([*COMMANDS, "analyse"]))
    parser.add_argument("words", type=word, nargs="*")
    parser.add_argument("--store", type=folder, action="append")
    parser.add_argument("--where", action="append", default=[])
    parser.add_argument("--out", type=folder, default=Path("build"))
    parser.add_argument("--scale", help=", ".join(tables.SCALES))
    return parser


def _stores() -> list[Path]:
    """Return the user's store and the suite's, those that are there."""
    mine = Path(os.environ.get("STEPBENCH_STORE", "runs"))
    return [path for path in (mine, OURS) if path.is_dir()] or [mine]


def filled(runs: store.Runs, names: list[str], scale: str | None) -> list[Result]:
    """Fill the named tables, or all, at the wanted scale, or at `paper` and every scale that the store holds."""
    chosen = [grids.load(name) for name in names or tables.names()]
    resolve = store.identify(runs)
    scales = [scale] if scale else runs.scales()
    forms = {(table.name, table.form(s)): table for table in chosen for s in scales if table.has_runs or s == "paper"}
    results = [fill(table, runs, resolve, form) for (_, form), table in forms.items()]
    return [result for result in results if result.own or result.scale == scale or result.runs]


def _tables(runs: store.Runs, arguments: argparse.Namespace) -> None:
    from reports import render, supplement

    for result in filled(runs, arguments.words, arguments.scale):
        paths = render.write(result, arguments.out, supplement.beside(result))
        counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(result.count().items()))
        print(f"{result.table.name} ({result.scale}): {len(result.cells)} cells: {counts}  {paths[0]}")


def _figures(runs: store.Runs, arguments: argparse.Namespace) -> None:
    from reports import figures

    for result in filled(runs, arguments.words, arguments.scale):
        for path in figures.draw(result, arguments.out):
            print(path)


def _report(runs: store.Runs, arguments: argparse.Namespace) -> None:
    from reports import page

    print(page.write(filled(runs, arguments.words, arguments.scale), runs, arguments.out))


def _explain(runs: store.Runs, arguments: argparse.Namespace) -> None:
    from reports.explain import explain

    if len(arguments.words) < 2:
        raise UsageError("explain: name a table and a cell, e.g. explain rmsgd_1a cifar10 resnet18 sgd")
    table = grids.load(arguments.words[0])
    result = fill(table, runs, store.identify(runs), arguments.scale or "paper")
    print(explain(result, arguments.words[1:]), end="")


def _compare(runs: store.Runs, arguments: argparse.Namespace) -> None:
    from reports.compare import compare

    if len(arguments.words) != 2:
        raise UsageError("compare: name two optimizers, e.g. compare sgd rmsgd")
    (a, b), at = arguments.words, [f"scale={arguments.scale}"] if arguments.scale else []
    print(compare(runs, a, b, [*at, *arguments.where]), end="")


def _coverage(runs: store.Runs, arguments: argparse.Namespace) -> None:
    from reports.experiments import by_experiment
    from reports.published import coverage
    from reports.render import csv_of

    results = filled(runs, [], None)
    numbers = coverage(results)
    experiments = by_experiment(results, numbers)
    for line in experiments:
        states = ", ".join(
            f"{scale} {line[f'at {scale} scale']}" for scale in tables.SCALES if line[f"at {scale} scale"]
        )
        print(f"{line['paper']:8} {line['place']:24} {states or 'not here: ' + line['reason']:60} {line['commands']}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, lines in (("experiments", experiments), ("coverage", numbers)):
        path = arguments.out / f"{name}.csv"
        path.write_text(csv_of(lines), encoding="utf-8")
        print(path)


COMMANDS = {
    "tables": _tables, "figures": _figures, "report": _report, "explain": _explain, "compare": _compare,
    "coverage": _coverage,
}  # fmt: skip


if __name__ == "__main__":
    gc.disable()  # of 15 s for 10,000 runs it took 2, to look through their rows again and again, and freed 60 MB
    sys.exit(guarded(main))
