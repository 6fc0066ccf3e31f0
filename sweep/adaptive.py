"""Tuning that learns from its trials (optuna): `python -m sweep tune TABLE --search optuna --pruner hyperband`.

A study is a cell of the table: an optimizer on a data set and a net. Every study makes the same number of trials, one
at a time, so that a trial depends on its seed and on the study's earlier trials alone. So nothing but the store is
kept: the same command asks for the same trials, finds what was made, and goes on. What the pruner ends stays there as a
stopped run. The space of an optimizer is that of `search` in the file of grids.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conf import metrics
from conf.errors import UsageError
from papers.sweepfile import axes, rounded
from record.lines import read_lines
from record.read import read_result
from sweep.plan import Planned, plan
from sweep.tune import Settings, Tuning, score, trial
from sweep.wanted import Wanted, Words

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.trial import Trial


class Study:
    """The trials of one cell. settings: what each of its command lines tries."""

    def __init__(self, cell: Words, tuning: Tuning, pruner: str, draw: int) -> None:
        """draw: the seed of the search, the same for every cell. Raises UsageError where nothing can be searched."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.cell, self.tuning = cell, tuning
        self.space = axes(tuning.space(cell))
        self.settings: dict[Words, Settings] = {}
        self.pruned = False
        (first,) = plan(Wanted("tune", (self._line({}),), False))
        sampler = optuna.samplers.TPESampler(seed=draw)
        self._study = optuna.create_study(
            study_name=" ".join(cell), direction="maximize", sampler=sampler, pruner=_pruner(pruner, first)
        )

    def ask(self) -> Planned:
        """Return the next trial's run."""
        self._trial, self._reported, self.pruned = self._study.ask(), 0, False
        point = {key: rounded(_suggested(self._trial, key, kind, limits)) for key, kind, limits in self.space}
        line = self._line(point)
        self.settings[line] = point
        (self.run,) = plan(Wanted("tune", (line,), False))
        return self.run

    def look(self, store: Path) -> bool:
        """Tell the pruner of the epochs that have ended since; returns whether it ends the trial."""
        rows, _ = read_lines(store / self.run.folder / "metrics.jsonl")
        epochs = [row for row in rows if row.get("kind") == "epoch" and self.tuning.metric in row]
        for row in epochs[self._reported :] if not self.pruned else ():
            self._reported += 1
            self._trial.report(metrics.metric(self.tuning.metric).sign * row[self.tuning.metric], row["epoch"])
            if self._trial.should_prune():
                self.pruned = True
                break
        return self.pruned

    def tell(self, store: Path) -> None:
        """Tell the study how the trial ended; one that diverged is a failed one, which is no model for others."""
        from optuna.trial import TrialState

        self.look(store)
        value = score(read_result(store / self.run.folder), self.tuning.metric)
        if self.pruned:
            self._study.tell(self._trial, state=TrialState.PRUNED)
        elif value == -float("inf"):
            self._study.tell(self._trial, state=TrialState.FAIL)
        else:
            self._study.tell(self._trial, value)

    def _line(self, point: Settings) -> Words:
        return trial(self.cell, point, self.tuning.validation, self.tuning.seeds[0])


def studies(tuning: Tuning, pruner: str, draw: int) -> list[Study]:
    """Return a study for each cell."""
    if len(tuning.seeds) > 1:
        raise UsageError("--seeds: --search optuna makes each trial with one seed; the table itself has the others")
    try:
        return [Study(cell, tuning, pruner, draw) for cell in tuning.cells]
    except ImportError as error:
        raise UsageError("--search optuna: needs optuna: pip install optuna") from error


def rounds(made: Sequence[Study], trials: int, store: Path) -> Iterator[list[Planned]]:
    """Yield the runs of each round, one of each study that has not been pruned in an earlier call of the command."""
    for _ in range(trials):
        runs = [study.ask() for study in made]
        yield [run for study, run in zip(made, runs, strict=True) if not study.look(store)]
        for study in made:
            study.tell(store)


def watcher(made: Iterable[Study], store: Path) -> Callable[[Planned], bool]:
    """Return the function that tells whether a running trial is to be ended."""
    of = {study.run: study for study in made}
    return lambda run: of[run].look(store)


def _suggested(trial: "Trial", key: str, kind: str, limits: list[Any]) -> Any:
    if kind == "choice":
        return trial.suggest_categorical(key, limits)
    return trial.suggest_float(key, limits[0], limits[1], log=kind == "log")


def _pruner(name: str, run: Planned) -> "BasePruner":
    from optuna.pruners import HyperbandPruner, NopPruner

    if name == "none":
        return NopPruner()
    if "epochs" not in run.config["budget"]:
        raise UsageError(f"--pruner {name}: counts epochs; budget={run.config['budget']['name']} has none")
    return HyperbandPruner(min_resource=1, max_resource=run.config["budget"]["epochs"], reduction_factor=3)
