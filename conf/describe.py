"""What can be configured, described: for --help, the site's reference, and a wheel of optim/. Torch-free."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from conf import grammar, groups, stages, tuned, validate, yamls

Row = tuple[str, Any, Any, str]  # a key as on the command line, its default, what is allowed, its meaning


def root_rows() -> list[Row]:
    """Describe the root's keys."""
    known, meanings = {k: v for k, v in groups.root().items() if k not in groups.HIDDEN}, _meanings()["root"]
    return [(key, value, groups.root_ranges().get(key), meanings.get(key, "")) for key, value in yamls.leaves(known)]


def option_rows(group: str, option: str) -> list[Row]:
    """Describe an option's keys, but for those that only name it."""
    content, meanings = groups.raw(group, option), _meanings()[group]
    remarks = dict(re.findall(r"(?m)^ *(\w+):.*?\s# (.+)$", text(group, option)))
    rows = []
    for key, value in yamls.leaves({k: v for k, v in groups.values(content).items() if k not in groups.NAMING}):
        last = key.rpartition(".")[2]
        shared = next((meanings[name] for name in (f"{option}.{key}", key, last) if name in meanings), "")
        meaning = "; ".join(filter(None, (shared, remarks.get(last))))
        allowed = content.get("ranges", {}).get(key)
        if isinstance(allowed, str) and allowed in stages.KINDS:
            allowed = stages.names(allowed)
        rows.append((f"{group}.{key}", value, allowed, meaning))
    return rows


def text(group: str, option: str) -> str:
    """Return an option's yaml as it is written."""
    return groups.path(group, option).read_text(encoding="utf-8")


def summary(group: str, option: str) -> str:
    """Return the comment at the top of an option's yaml."""
    found = re.match(r"(?:# @package .*\n)?((?:#.*\n)*)", text(group, option))
    return "\n".join(line.lstrip("# ") for line in found[1].splitlines()) if found else ""


@lru_cache
def _meanings() -> dict[str, dict[str, str]]:
    return dict(yamls.load(groups.ROOT / "meanings.yaml"))


def help_text(words: Sequence[str] = ()) -> str:
    """Describe the options that `words` choose (`optimizer=sing`); without any, the groups and the root's keys."""
    given = [override for override in grammar.parse(words) if not override.is_sweep_override()]
    validate.command_line(given)
    chosen = [(o.key_or_group, yamls.as_list(o.value())) for o in given if o.key_or_group in groups.GROUPS]
    if chosen:
        return "\n\n".join(_option_help(group, str(option)) for group, options in chosen for option in options)
    lines = ["python train.py [group=option ...] [key=value ...]", "", "Groups (see conf/<group>/<option>.yaml):"]
    lines += [f"  {group:10} {', '.join(groups.options(group))}" for group in groups.GROUPS]
    lines += ["", "Keys, defaults, what is allowed and what they mean:", *_key_lines(root_rows()), ""]
    lines += ["An option's own keys: python train.py optimizer=sing --help"]
    lines += ["--cfg job prints the composed configuration; -m optimizer=sgd,adamw seed=0,1 makes several runs."]
    return "\n".join(lines)


def _option_help(group: str, option: str) -> str:
    if option not in groups.files(group):
        return f"{group}={option}\n  {groups.plugins()[option]}: its keywords are {group}.<keyword>=value"
    lines = [f"{group}={option}", *(f"  {line}" for line in summary(group, option).splitlines()), ""]
    if group in groups.CHECKED:
        return "\n".join([*lines, *_key_lines(option_rows(group, option))])
    content = {key: value for key, value in groups.raw(group, option).items() if key != "defaults"}
    return "\n".join([*lines, *(f"  {key} = {_shown(value)}" for key, value in yamls.leaves(content))])


def _key_lines(rows: Sequence[Row]) -> list[str]:
    """Write a line a key, its default and what is allowed, and its meaning below it."""
    lines = []
    for key, default, allowed, meaning in rows:
        ranged = ", ".join(map(str, allowed)) if isinstance(allowed, list) else allowed
        lines.append(f"  {key} = {_shown(default)}" + (f"  ({ranged})" if ranged else ""))
        lines.append(f"      {meaning}")
    return lines


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else grammar.text(value)


def catalog() -> dict[str, dict[str, Any]]:
    """Return what there is to know of each optimizer that has a class, by name: what a wheel holds."""
    papers = sorted(path.stem for path in tuned.ROOT.glob("*.yaml"))
    values = [{"paper": paper, **entry} for paper in papers for entry in tuned.read(paper)]
    known = {name: groups.raw("optimizer", name) for name in groups.files("optimizer")}
    return {name: _entry(name, option, values) for name, option in known.items() if not groups.is_open(option)}


def _entry(name: str, option: dict[str, Any], values: list[dict[str, Any]]) -> dict[str, Any]:
    parts = groups.parts(option)
    mine = [entry for entry in values if name in yamls.as_list(entry["optimizer"])]
    return {
        "summary": summary("optimizer", name),
        "defaults": parts.pop("keywords"),
        **parts,
        "ranges": option["ranges"],
        "tuned": [{key: value for key, value in entry.items() if key != "optimizer"} for entry in mine],
    }
