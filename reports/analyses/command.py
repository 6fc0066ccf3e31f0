"""The papers' own analyses, as figures with their data.

    python -m reports analyse NAME... [--scale cpu|paper|smoke] [--data NAME] [--run FOLDER]... [--trust] [--out FOLDER]
    python -m reports analyse toy2d optimizer=sing,lamb        any optimizers on toy surfaces
    python -m reports analyse landscape --run FOLDER...        the loss around the weights of runs
    python -m reports analyse nats --run FOLDER                Q against accuracy, of all runs in a folder

Exit code 0 if every number of a paper that is checked was met, 2 if one was not.
"""

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, TypeVar

from conf.cli import Parser, folder
from conf.errors import UsageError, unknown
from conf.groups import options, raw

SCALES = ("cpu", "paper", "smoke")
SETS = [name for name in options("data") if raw("data", name)["task"] == "multiclass"]
# Each is a function (out, scale) that draws <out>/NAME.* and returns its checks, in the file of its paper or its toy.
FILES = {
    "adamp": ("detection", "growth", "norms"),
    "adamsrt": ("tracking",),
    "landscape": ("landscape",),
    "rmsgd": ("quality", "nats"),
    "rosenbrock": ("rosenbrock3d", "theorem4"),
    "sing": ("narrow", "rde_sheet"),
    "sphere": ("sphere",),
    "toys": ("toy2d",),
}
ANALYSES = {name: f"reports.analyses.{file}:{name}" for file, names in FILES.items() for name in names}
WITH_RUNS = {"rde_sheet", "landscape", "nats"}
OF_RUNS = WITH_RUNS - {"rde_sheet"}  # which draw nothing else
OPTIMIZER = "optimizer="
Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Scale:
    """How large an analysis is, and on which data.

    name: cpu (real small data, minutes on 2 cores), paper (as the papers did it) or smoke (that in two steps, on
    synthetic data). data: one of SETS, to train nets on in the place of the analysis' own. runs: folders of finished
    runs, for those of WITH_RUNS. optimizers: of conf/optimizer, for toy2d in the place of its own. trust: whether runs
    may be of data sets and nets that are anyone's code.
    """

    name: str
    data: str | None = None
    runs: tuple[Path, ...] = ()
    optimizers: tuple[str, ...] = ()
    trust: bool = False

    def of(self, choices: Mapping[str, Choice]) -> Choice:
        """Return this scale's choice; smoke has the paper's where it has none of its own."""
        return choices.get(self.name, choices["paper"])

    def dataset(self, sets: Mapping[str, str]) -> dict[str, Any]:
        """Return the configuration of the data set, its name in `sets` by scale."""
        chosen = raw("data", self.data or self.of(sets))
        return chosen | {"synthetic": 16} if self.name == "smoke" and "synthetic" in chosen else chosen

    def words(self, sets: Mapping[str, str], more: Mapping[str, list[str]]) -> list[str]:
        """Return what all of the analysis' runs of train.py have on their command line."""
        chosen = [f"data={self.data or self.of(sets)}", *self.of(more)]
        return [*chosen, "scale=smoke", "paths.store=build/smoke"] if self.name == "smoke" else chosen


@dataclass(frozen=True)
class Check:
    """A number that a paper prints (or a theorem gives) beside ours; at_least: a lower bound."""

    what: str
    paper: float
    ours: float
    tolerance: float = 0.01
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Tell whether ours is within `tolerance`, relative to the paper's, or above a lower bound."""
        return (self.at_least and self.ours >= self.paper) or abs(self.ours - self.paper) <= self.tolerance * self.paper

    def __str__(self) -> str:
        verdict = "agrees" if self.met else "DIFFERS"
        wanted = f"{'at least ' if self.at_least else ''}{self.paper:.4g}"
        return f"{self.what}: {self.ours:.6g}, expected {wanted} (within {self.tolerance:.2g}: {verdict})"


def main(arguments: list[str] | None = None) -> int:
    """Run the analyses; returns the exit code. A user's mistake is raised as UsageError."""
    parser = Parser("python -m reports analyse", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME", help=f"all, {', '.join(ANALYSES)}")
    parser.add_argument("--scale", default="cpu", help="cpu (minutes), paper (a GPU), or smoke (two steps of paper's)")
    parser.add_argument("--data", help=f"of what trains nets, in the place of the scale's: {', '.join(SETS)}")
    parser.add_argument("--run", type=folder, action="append", default=[], help="rde_sheet: draw its predictions")
    parser.add_argument("--trust", action="store_true", help="also of runs of classes that are not ours or installed")
    parser.add_argument("--out", type=folder, default=Path("build/figures"))
    given = parser.parse_args(arguments)
    words = [name for name in given.names if name.startswith(OPTIMIZER)]
    optimizers = tuple(name for word in words for name in word.removeprefix(OPTIMIZER).split(","))
    given.names = [name for name in given.names if name not in words]
    for key, word, allowed in [
        *(("analyse", name, ["all", *ANALYSES]) for name in given.names),
        *(("optimizer", name, [name for name in options("optimizer") if name != "custom"]) for name in optimizers),
        ("--scale", given.scale, SCALES),
        *([("--data", given.data, SETS)] if given.data is not None else []),
    ]:
        if word not in allowed:
            raise unknown(key, word, allowed)
    if given.run and not {"all", *WITH_RUNS} & set(given.names):
        raise UsageError(f"--run: only {', '.join(sorted(WITH_RUNS))} look at runs")
    if optimizers and given.names != ["toy2d"]:
        raise UsageError("optimizer: only toy2d takes optimizers, e.g. analyse toy2d optimizer=sing,adamw")
    scale, missed = Scale(given.scale, given.data, tuple(given.run), optimizers, given.trust), 0
    every = [name for name in ANALYSES if name not in OF_RUNS or given.run]
    for name in every if "all" in given.names else given.names:
        began = time.perf_counter()
        checks = resolve_name(ANALYSES[name])(given.out, scale)
        print(f"{name}: {time.perf_counter() - began:.0f} s, {given.out / name}.png")
        for check in checks if given.scale != "smoke" else ():  # two steps meet no number
            print(f"  {check}")
            missed += not check.met
    return 2 if missed else 0
