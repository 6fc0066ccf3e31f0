"""The papers' analyses, as figures with their data.

    python -m probes NAME... [--scale cpu|paper|smoke] [--data NAME] [--out FOLDER]

Exit code 0 if every number of a paper that is checked was met, 2 if one was not.
"""

from __future__ import annotations

import argparse
import pkgutil
import time
from importlib import import_module
from pathlib import Path

from conf.arguments import folder
from conf.cli import Parser, guarded
from conf.errors import unknown
from probes import analyses
from probes.analyses.scale import SCALES, SETS, Scale

HELPERS = ("command", "draw", "loop", "runs", "scale", "toys")
NAMES = [module.name for module in pkgutil.iter_modules(analyses.__path__) if module.name not in HELPERS]


def main(arguments: list[str] | None = None) -> int:
    """Run the analyses; returns the exit code. A user's mistake is raised as UsageError."""
    options = _parser().parse_args(arguments)
    for knob, word, allowed in [
        *(("probes", name, ["all", *NAMES]) for name in options.names),
        ("--scale", options.scale, SCALES),
        ("--data", options.data, [None, *SETS]),
    ]:
        if word not in allowed:
            raise unknown(knob, word, filter(None, allowed))
    names, missed = NAMES if "all" in options.names else options.names, 0
    for name in names:
        began = time.perf_counter()
        checks = import_module(f"{analyses.__name__}.{name}").run(options.out, Scale(options.scale, options.data))
        print(f"{name}: {time.perf_counter() - began:.0f} s, {options.out / name}.png")
        for check in checks if options.scale != "smoke" else ():  # two steps meet no number
            print(f"  {check}")
            missed += not check.met
    return 2 if missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser("python -m probes", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME", help=f"all, {', '.join(NAMES)}")
    parser.add_argument("--scale", default="cpu", help="cpu (minutes), paper (a GPU), or smoke (two steps of paper's)")
    parser.add_argument("--data", help=f"of what trains nets, in the place of the scale's: {', '.join(SETS)}")
    parser.add_argument("--out", type=folder, default=Path("build/figures"))
    return parser


def command() -> int:
    return guarded(main)
