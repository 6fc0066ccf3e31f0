"""python -m record export --csv | --parquet | --tensorboard | --wandb STORE      a whole store for other tools
python -m record clean STORE [--older DAYS] [--table NAME] [--dry-run]            free the disk of what no reader needs

clean removes the weights and checkpoints of finished runs, and the runs that rerun=true replaced; results stay.
"""

from conf import begin

begin(__name__)

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from conf.cli import Parser, folder, guarded, number, word
from conf.errors import UsageError, of_the_system
from record.clean import free
from record.export import export

UNITS = ("bytes", "kB", "MB", "GB", "TB")


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    if not arguments.store.is_dir():
        raise UsageError(f"STORE: no store at {arguments.store}")
    with of_the_system():
        arguments.command(arguments)
    return 0


def export_command(arguments: argparse.Namespace) -> None:
    options = {"mode": "online" if arguments.online else "offline"} if arguments.kind == "wandb" else {}
    try:
        print(*export(arguments.kind, arguments.store, arguments.out, **options), sep="\n")
    except ImportError as error:
        raise UsageError(str(error)) from error


def clean_command(arguments: argparse.Namespace) -> None:
    only = None if arguments.table is None else _folders(arguments.table, arguments.scale)
    files, size = free(arguments.store, arguments.older, only, arguments.dry_run)
    print(f"{files} file(s), {shown(size)} {'would be freed' if arguments.dry_run else 'freed'}")


def _folders(table: str, scale: str) -> set[Path]:
    from sweep.plan import plan
    from sweep.wanted import wanted

    return {run.folder for run in plan(wanted(table, scale))}


def shown(size: float) -> str:
    """Write a number of bytes in the largest unit of which there is one."""
    unit = 0
    while size >= 1000 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.3g} {UNITS[unit]}"


def _parser() -> argparse.ArgumentParser:
    parser = Parser("python -m record", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="export | clean")
    send = commands.add_parser("export", help="a whole store for other tools")
    kinds = send.add_mutually_exclusive_group(required=True)
    for kind in ("csv", "parquet", "tensorboard", "wandb"):
        kinds.add_argument(f"--{kind}", dest="kind", action="store_const", const=kind)
    send.add_argument("--out", type=folder, default=Path("build/export"), help="default: build/export")
    send.add_argument("--online", action="store_true", help="wandb: send at once; else `wandb sync` does it later")
    send.set_defaults(command=export_command)
    clean = commands.add_parser("clean", help="free the disk of what no reader needs")
    clean.add_argument("--older", type=number("[0, inf)"), default=0.0, metavar="DAYS", help="finished so long ago")
    clean.add_argument("--table", type=word, help="only the runs of a table or a sweep file")
    clean.add_argument("--scale", default="paper", help="of the table")
    clean.add_argument("--dry-run", action="store_true", help="remove nothing, say how much it would be")
    clean.set_defaults(command=clean_command)
    for command in (send, clean):
        command.add_argument("store", type=folder)
    return parser


if __name__ == "__main__":
    sys.exit(guarded(main))
