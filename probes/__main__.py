"""python -m probes NAME... [--out FOLDER] [--scale cpu|paper]: the papers' analyses, as figures with their data."""

from __future__ import annotations

import argparse
import pkgutil
import sys
import time
from importlib import import_module
from pathlib import Path

from probes import analyses

HELPERS = ("draw", "loop", "runs", "toys")
NAMES = [module.name for module in pkgutil.iter_modules(analyses.__path__) if module.name not in HELPERS]


def main(arguments: list[str]) -> int:
    """Run the analyses; 0 if every printed number of a paper was met, 2 if one was not."""
    parser = argparse.ArgumentParser(prog="python -m probes", description=__doc__)
    parser.add_argument("names", nargs="+", choices=["all", *NAMES], metavar="NAME", help=f"all, {', '.join(NAMES)}")
    parser.add_argument("--out", type=Path, default=Path("build/figures"))
    parser.add_argument("--scale", choices=["cpu", "paper"], default="cpu", help="of what trains nets; cpu: minutes")
    options = parser.parse_args(arguments)
    missed = 0
    for name in NAMES if "all" in options.names else options.names:
        began = time.perf_counter()
        checks = import_module(f"{analyses.__name__}.{name}").run(options.out, options.scale)
        print(f"{name}: {time.perf_counter() - began:.0f} s, {options.out / name}.png")
        for check in checks:
            print(f"  {check}")
        missed += sum(not check.met for check in checks)
    return 2 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
