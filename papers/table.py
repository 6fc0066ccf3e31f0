"""Table files: one YAML that says both which runs a table needs and how it is laid out. Torch-free.

    title: Top-1 test accuracy at the wall-clock time of 250 SGD epochs
    published: {paper: rmsgd, table: 1a}      # rows of published/results.csv; may be absent
    protocol: rmsgd_cifar_wallclock           # as on the command line of train.py
    tuned: rmsgd
    seeds: [0, 1, 2, 3, 4]
    rows: {data: [cifar10, cifar100], model: [resnet18, resnet34]}      # a product, the first key slowest
    columns:                                                            # or a list of products: their union
      - {optimizer: [sgd, adam]}
      - {optimizer: sing, optimizer.denominator: [softplus, eps], published: {setting: denominator eps}}
    exclude: [{data: cifar100, optimizer: adam}]
    metric: test_top1
    show: mean_std              # mean_std | mean_ci | tuned (a table of hyper-parameters: no runs)
    highlight: best_within_std  # best_within_std | none
    scale: paper                # paper | cpu (a table that is small itself, and has no other form at scale cpu)

Every key of a row or column is an override of train.py (`data`, `optimizer.lr`, `budget.epochs`, `protocol`, ...),
except `metric` (may be in an axis), `seeds` (of these cells), `label` (printed instead of the values), `published`
(corrects the look-up: optimizer, setting, ...) and, where show is tuned, `name` (of a hyper-parameter). A value that
is itself a list is written as a list in a list. `overrides` holds further overrides of all cells, `note` a sentence
printed with the table, `recreation` why no number in it is compared with a published one as if it were the same
experiment.
"""

from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from conf import grammar, groups, yamls
from conf.check import check_seeds
from conf.errors import UsageError, require_known
from papers.grid import ABOUT, Entry, blocks, ends, kept, keys
from papers.published import Published, find

ROOT = Path(__file__).parent / "tables"
METRICS: dict[str, dict[str, Any]] = yamls.load(Path(__file__).parent / "metrics.yaml")
CHOICES = {
    "show": ("mean_std", "mean_ci", "tuned"), "highlight": ("best_within_std", "none"), "scale": ("paper", "cpu"),
}  # fmt: skip
DEFAULTS: dict[str, Any] = {
    "title": None, "rows": None, "columns": None, "metric": None, "seeds": [0, 1, 2, 3, 4], "published": {},
    "protocol": None, "tuned": None, "overrides": {}, "exclude": [], "show": "mean_std", "highlight": "best_within_std",
    "note": "", "recreation": "", "scale": "paper",
}  # fmt: skip
OWN = ("optimizer", "budget", "name", "metric")  # words that, on the optimizer's axis, belong to it
NOT_OVERRIDES = (*ABOUT, "metric", "name")
SCALES = ("paper", "cpu", "smoke")


@dataclass(frozen=True)
class Cell:
    """One cell: its place, what makes its runs, and which number it shows.

    row, column: coordinates in order (`data`, `model`, `optimizer`, `optimizer.lr`, `metric`, ...).
    overrides: of train.py, without the seed. published: what the look-up of the published number is told.
    """

    row: Entry
    column: Entry
    overrides: tuple[str, ...]
    seeds: tuple[int, ...]
    metric: str
    row_label: str
    column_label: str
    label: str = ""  # the optimizer's own, where the table gives it one
    published: Entry = field(default_factory=dict)

    @property
    def coordinates(self) -> Entry:
        return self.row | self.column

    @property
    def task(self) -> tuple[str, ...]:
        """What the cells that compete with each other share: all but the coordinates on the optimizer's own axis."""
        own, other = (self.row, self.column) if "optimizer" in self.row else (self.column, self.row)
        if "optimizer" not in own:
            return ()
        label = self.column_label if own is self.row else self.row_label
        fixed = {key: value for key, value in own.items() if key.split(".")[0] not in OWN}
        return (label, *(str(value) for value in (other | fixed).values()), self.metric)

    def runs(self) -> list[list[str]]:
        """Return the overrides of each run, one per seed."""
        return [[*self.overrides, f"seed={seed}"] for seed in self.seeds]


@dataclass(frozen=True)
class Table:
    """A table file, checked. `name` is its file name without the ending."""

    name: str
    spec: Entry

    @property
    def title(self) -> str:
        return str(self.spec["title"])

    @property
    def has_runs(self) -> bool:
        return bool(self.spec["show"] != "tuned")

    def form(self, scale: str) -> str:
        """Return the scale that the table has where one is asked for: of a table that is small itself, `cpu`."""
        return str(self.spec["scale"]) if scale == "paper" else scale

    def cells(self, scale: str = "paper") -> list[Cell]:
        """Expand rows x columns, in order of layout.

        scale: `cpu` maps the cells onto the data, nets and seeds of the study, unless the table is small itself;
        `smoke` also cuts every axis to its first and last value and the seeds to two. Raises UsageError for an unknown
        scale and for a table without any cell.
        """
        require_known("scale", [scale], SCALES)
        small = scale == "smoke"
        pairs = list(product(self._axis("rows", small), self._axis("columns", small)))
        exclude = self.spec["exclude"]
        cells = kept(f"table {self.name}: exclude", pairs, exclude, lambda pair: pair[0] | pair[1], small)
        if not cells:
            raise UsageError(f"table {self.name}: no cell is left; see rows, columns and exclude")
        return [self._cell(row, column, scale) for row, column in cells]

    def published(self, cell: Cell) -> Published | None:
        """Return the published number of a cell, None where the source gives none.

        Raises UsageError when several published numbers fit: `published: {setting: ...}` in the axis tells them apart.
        """
        if not self.spec["published"]:
            return None
        place = cell.coordinates
        keys = {"dataset": place.get("data"), "model": place.get("model"), "optimizer": place.get("optimizer")}
        wanted = keys | {"metric": cell.metric} | self.spec["published"] | cell.published
        return find(f"table {self.name}", {key: value for key, value in wanted.items() if value is not None})

    def _axis(self, axis: str, small: bool) -> list[Entry]:
        written = yamls.as_list(self.spec[axis])
        return blocks(f"table {self.name}: {axis}", ends(written) if small else written, small)

    def _cell(self, row: Entry, column: Entry, scale: str) -> Cell:
        spec, place = self.spec, row | column
        seeds = check_seeds(f"table {self.name}", place.get("seeds", spec["seeds"]))
        root = {key: spec[key] for key in ("protocol", "tuned") if spec[key] is not None} | spec["overrides"]
        values = root | {key: value for key, value in place.items() if key not in NOT_OVERRIDES}
        words = [grammar.word(key, value) for key, value in values.items()]
        return Cell(
            row=_coordinates(row),
            column=_coordinates(column),
            overrides=(*words, *([f"scale={scale}"] if scale not in ("paper", spec["scale"]) else [])),
            seeds=self._seeds(tuple(seeds), place, scale),
            metric=str(place.get("metric", spec["metric"])),
            row_label=_label(row),
            column_label=_label(column),
            label=next((str(one["label"]) for one in (row, column) if {"optimizer", "label"} <= one.keys()), ""),
            published=_published(self.name, row) | _published(self.name, column),
        )

    def _seeds(self, own: tuple[int, ...], place: Entry, scale: str) -> tuple[int, ...]:
        """Return the seeds of a cell: at scale cpu those of the study for its data and net, or three."""
        if scale != "cpu" or scale == self.spec["scale"]:
            return own[:2] if scale == "smoke" else own
        known = {"protocol": self.spec["protocol"]} | place
        protocol, *task = (_replaced(scale, key, known.get(key)) for key in ("protocol", "data", "model"))
        return _study_seeds().get(tuple(task), own[:3]) if protocol == "study" else own


def _replaced(scale: str, group: str, option: str | None) -> str | None:
    """Return the option of a group that a scale puts in the place of another."""
    table: dict[str, str] = groups.raw("scale", scale)["replace"][group]
    return table.get(str(option), table.get("*", option))


@cache
def _study_seeds() -> dict[tuple[str | None, ...], tuple[int, ...]]:
    return {(cell.coordinates["data"], cell.coordinates["model"]): cell.seeds for cell in load("study").cells()}


def names() -> list[str]:
    """Return the names of the tables that come with the suite, in order."""
    return sorted(path.stem for path in ROOT.glob("*.yaml"))


def load(name: str | Path) -> Table:
    """Read a table by its name (papers/tables/<name>.yaml) or path.

    Raises UsageError, one line, for an unknown table, unknown or missing keys, and values that cannot be.
    """
    if str(name).endswith((".yaml", ".yml")):
        return _read(Path(name))
    require_known("table", [name], names())
    return _shipped(str(name))


@cache
def _shipped(name: str) -> Table:
    return _read(ROOT / f"{name}.yaml")


def _read(path: Path) -> Table:
    spec = yamls.load(path)
    if not isinstance(spec, dict):
        raise UsageError(f"table {path}: a table file is a mapping with a title, rows and columns")
    return Table(path.stem, _checked(path.stem, spec))


def _checked(name: str, spec: Entry) -> Entry:
    where = f"table {name}"
    require_known(where, spec, DEFAULTS)
    full = DEFAULTS | spec
    for key in ("title", "rows", "columns"):
        if not full[key]:
            raise UsageError(f"{where}: {key} is missing")
    for key, allowed in CHOICES.items():
        require_known(f"{where}: {key}", [full[key]], allowed)
    keys(f"{where}: overrides", full["overrides"])
    full["exclude"] = yamls.blocks(f"{where}: exclude", full["exclude"])
    full["published"] = _published(name, full)
    table = Table(name, full)
    cells = table.cells()
    require_known(f"{where}: metric", [cell.metric for cell in cells if table.has_runs], METRICS)
    return full


def _published(name: str, node: Entry) -> Entry:
    """Return the keys of a table, a row or a column for the published number; a table of the paper may be called 2."""
    found = yamls.mapping(f"table {name}: published", node.get("published", {}))
    return found | {key: str(value) for key, value in found.items() if key == "table"}


def _coordinates(entry: Entry) -> Entry:
    return {key: value for key, value in entry.items() if key not in ABOUT}


def _label(entry: Entry) -> str:
    if "label" in entry:
        return str(entry["label"])
    shown = {key: value for key, value in _coordinates(entry).items() if key not in ("protocol", "tuned", "source")}
    return " ".join(
        named(key, shown[key]) for key in sorted(shown, key=lambda key: key == "metric")
    )  # a metric comes last


def named(key: str, value: Any) -> str:
    """Return how a label shows a value of a coordinate."""
    if key == "optimizer":
        return groups.label(str(value))
    if key == "metric":
        return str(METRICS.get(str(value), {}).get("short", value))
    shown = value if isinstance(value, str) else grammar.text(value)
    if key.startswith("optimizer.") and isinstance(value, str):
        return f"({shown})"  # SING (softplus)
    return f"{key.rpartition('.')[2]}={shown}" if "." in key else shown
