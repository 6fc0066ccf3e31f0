"""All optimizers with defaults, ranges and tuned values as plain data: what a wheel of optim/ holds. Torch-free."""

from typing import Any

from conf import groups, tuned

KEPT = ("target", "decay", "groups", "ranges")


def catalog() -> dict[str, dict[str, Any]]:
    """Return what there is to know of each yaml that has a class, by name; see `_entry`."""
    files = {name: groups.raw("optimizer", name) for name in groups.files("optimizer")}
    values = _tuned()
    return {name: _entry(name, option, values) for name, option in files.items() if not groups.is_open(option)}


def _entry(name: str, option: dict[str, Any], values: list[dict[str, Any]]) -> dict[str, Any]:
    facts = (*groups.NAMING, *groups.RESERVED, *KEPT)
    return {
        "summary": groups.summary("optimizer", name),
        **{key: option[key] for key in KEPT},
        "defaults": {key: value for key, value in option.items() if key not in facts},
        "tuned": [{k: v for k, v in entry.items() if k != "optimizer"} for entry in values if name in _names(entry)],
    }


def _tuned() -> list[dict[str, Any]]:
    papers = sorted(path.stem for path in tuned.ROOT.glob("*.yaml"))
    return [{"paper": paper, **entry} for paper in papers for entry in tuned.read(paper)]


def _names(entry: dict[str, Any]) -> list[str]:
    names = entry["optimizer"]
    return names if isinstance(names, list) else [names]
