"""Values that a paper tuned for a data set, a net and an optimizer: papers/tuned/<paper>.yaml, or a file like it.

    entries:
      - {optimizer: [sgd, sgdp], set: {optimizer.lr: 0.1}, from: Table 5}
      - {optimizer: sgd, data: cifar10, model: resnet20, set: {optimizer.weight_decay: 2.5e-4}, from: Table 4}
      - {optimizer: sgd, source: code, set: {optimizer.weight_decay: 1.0e-4}, from: configs/*.yaml}
      - {optimizer: adabelief, set: {optimizer.lr: 1.0e-3}, default: printed nowhere; its authors' value}

`set` may name any key of the configuration, and a group (`schedule: constant`). `from` says where the value is printed;
`default` says why there is one although no source prints it. `source` keeps an entry for source=text or source=code,
`where` for runs with those values, e.g. {optimizer.denominator: eps}. Beside `entries`, `data: [name]` holds for all
entries without one, and `also: [name]` adds another file's; `grids` and `unequal` are for `sweep tune`. Torch-free.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from conf import grammar, groups, yamls
from conf.errors import UsageError, nearest, require_known, unknown
from conf.yamls import as_list

ROOT = Path(__file__).parent.parent / "papers" / "tuned"
KEYS = ("entries", "data", "also", "grids", "unequal", "trials")  # `sweep tune` once wrote the last one
FIELDS = ("optimizer", "data", "model", "source", "where", "set", "from", "default")
SETS = ("schedule", "budget")  # groups that an entry may choose
Given = Callable[[str], Any]


@dataclass(frozen=True)
class Tuned:
    """The values of a tuned file for one run.

    values: dotted key -> value. notes: key -> why the value (or its absence) is not from the paper. printed: key ->
    where the paper or its code prints the value.
    """

    values: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    printed: dict[str, str] = field(default_factory=dict)


def lookup(
    tuned: str, data: str, model: str, optimizer: str, source: str = "default", given: Given = lambda key: None
) -> Tuned:
    """Return the values for one run, each key's from the most specific entry that fits; of equals, the last.

    An entry for the chosen source goes before one for all, then one with more in its `where`, then an exact
    data set before an exact net before `*`. given: looks up a key of the run's configuration, for `where`. A key that
    the file has for this optimizer, and not for this run, becomes a note. Raises UsageError for a paper or an optimizer
    that does not exist, and for an entry that cannot be read.
    """
    entries = read(tuned)
    mine = [entry for entry in entries if optimizer in as_list(entry["optimizer"])]
    if not mine:
        known = {name for entry in entries for name in as_list(entry["optimizer"])}
        if optimizer not in groups.options("optimizer"):
            raise unknown(f"tuned={tuned}: optimizer", optimizer, known)
        raise UsageError(
            f"tuned={tuned}: no published value for {optimizer}; there are some for {', '.join(sorted(known))}"
        )
    run = {"data": data, "model": model, "source": source}
    fitting = sorted((entry for entry in mine if _fits(entry, run, given)), key=_rank)
    best = {key: entry for entry in fitting for key in entry["set"]}
    notes = {key: entry["default"] for key, entry in best.items() if "default" in entry}
    elsewhere = {key for entry in mine if not entry.keys() & {"source", "where"} for key in entry["set"]} - best.keys()
    gap = f"{tuned} prints none for {optimizer} on {data} with {model}; the optimizer's own default"
    return Tuned(
        values={key: entry["set"][key] for key, entry in best.items()},
        notes=notes | dict.fromkeys(sorted(elsewhere), gap),
        printed={key: entry["from"] for key, entry in best.items() if "from" in entry},
    )


def file(key: str, name: str) -> Path:
    """Return the file of a paper, or that of a path; raises UsageError, beginning with `key`, where there is none."""
    path = Path(grammar.place(name)) if name.endswith((".yaml", ".yml")) else ROOT / f"{name}.yaml"
    if not path.is_file():
        papers = sorted(file.stem for file in ROOT.glob("*.yaml"))
        raise UsageError(f"{key}: no {name!r}; allowed: {', '.join(papers)}, or a .yaml file{nearest(name, papers)}")
    return path


@lru_cache
def read(tuned: str) -> tuple[dict[str, Any], ...]:
    """Return a tuned file's entries. tuned: a paper's name, or a path that ends in .yaml. Raises UsageError."""
    path = file("tuned", tuned)
    content = yamls.load(path)
    entries = content.get("entries") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise UsageError(f"tuned: {path} has no list `entries`")
    require_known(f"tuned: {path}", content, KEYS)
    everywhere = {"data": content["data"]} if "data" in content else {}
    own = [_checked(entry, path, everywhere) for entry in entries]
    also = yamls.words(f"tuned: {path}: also", content.get("also", []))
    return (*own, *(entry for name in also for entry in read(name)))


def _checked(entry: Any, path: Path, everywhere: dict[str, Any]) -> dict[str, Any]:
    """Return an entry, with what holds for all of its file."""
    place = f"tuned: {path}: entry {entry!r}"
    if not isinstance(entry, dict) or "optimizer" not in entry or not isinstance(entry.get("set"), dict):
        raise UsageError(f"{place} needs an `optimizer` and a mapping `set`")
    require_known(place, entry, FIELDS)
    if ("from" in entry) == ("default" in entry):
        raise UsageError(f"{place} needs either `from` (where it is printed) or `default` (why this value)")
    full = everywhere | entry
    for key in ("optimizer", "data", "model", "source"):
        yamls.words(f"{place}: {key}", full.get(key, "*"))
    require_known(f"{place}: source", as_list(full.get("source", [])), groups.root_ranges()["source"])
    yamls.mapping(f"{place}: where", full.get("where", {}))
    for key, value in full["set"].items():
        _check_set(f"{place}: set", key, value)
    return full


def _check_set(place: str, key: str, value: Any) -> None:
    """Refuse what would choose another entry, or another run, and what composition does not read here."""
    if key in SETS:
        groups.require(f"{place}: {key}", key, value)
    elif key in groups.GROUPS or key.partition(".")[0] in (*groups.HIDDEN, "tuned", "source"):
        allowed = f"{', '.join(SETS)}, and keys such as optimizer.lr"
        raise UsageError(f"{place}: {key}: {value!r} cannot be chosen here; allowed: {allowed}")


def _fits(entry: dict[str, Any], run: dict[str, str], given: Given) -> bool:
    chosen = all({name, "*"} & set(as_list(entry.get(key, "*"))) for key, name in run.items())
    return chosen and all(given(key) == value for key, value in entry.get("where", {}).items())


def _rank(entry: dict[str, Any]) -> tuple[int, ...]:
    exact = [entry.get(key, "*") != "*" for key in ("data", "model")]
    return ("source" in entry, len(entry.get("where", {})), *exact)
