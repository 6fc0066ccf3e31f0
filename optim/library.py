"""The optimizers by name, as the suite's configurations have them, also where the suite is not installed."""

import fnmatch
import inspect
import json
import pkgutil
from functools import lru_cache
from pathlib import Path
from typing import Any

from .stages.base import near
from .stages.keywords import keywords

PACKAGE = __name__.rpartition(".")[0]  # `optim` in the clone, `stepbench.optim` in a wheel


@lru_cache
def catalog() -> dict[str, dict[str, Any]]:
    """Return what there is to know of each optimizer, by name. Do not change it: it is cached.

    A wheel has it as a file, made by its build; the clone reads its configurations.
    """
    compiled = Path(__file__).with_name("catalog.json")
    if compiled.is_file():
        return dict(json.loads(compiled.read_text(encoding="utf-8")))
    from conf.describe import catalog as of_the_clone

    return of_the_clone()


def option(name: str) -> dict[str, Any]:
    """Return what the catalog has of an optimizer; `AdamP`, `adamp` and `schedule-free-sgd` are names too.

    Raises ValueError, one line, for one that it does not have.
    """
    plain = {_plain(known): known for known in catalog()}
    if _plain(name) not in plain:
        raise ValueError(f"optimizer {name!r} does not exist; see list_optimizers(){near(name.lower(), [*catalog()])}")
    return catalog()[plain[_plain(name)]]


def list_optimizers(pattern: str = "*") -> list[str]:
    """Return the names that match a pattern, sorted: `list_optimizers("adam*")`."""
    return sorted(fnmatch.filter(catalog(), pattern.lower()))


def describe(name: str) -> dict[str, Any]:
    """Return what an optimizer is: summary, formula, source, decay, keywords, the papers' tuned values.

    Of the keywords: `defaults`, `ranges` and `meanings`, each by name.

    Raises ValueError, one line, for a name that does not exist.

        >>> describe("adamp")["source"]
        'Algorithm 2, Eq. 11 and 12.'
    """
    known = option(name)
    cls = resolve(known["target"])
    paragraphs = (inspect.getdoc(cls) or "").split("\n\n")
    sources = [text.partition(": ")[2].partition(" Raises ")[0] for text in paragraphs if text.startswith("References")]
    ours = known["target"].startswith("optim.")
    facts = {"formula": paragraphs[0] if ours else "", "source": sources[0] if sources else known["target"]}
    facts["meanings"] = {key: keyword.meaning for key, keyword in keywords(cls).items() if keyword.meaning}
    kept = ("summary", "decay", "defaults", "ranges", "tuned")
    return facts | {key: known[key] for key in kept}


def resolve(target: str) -> Any:
    """Return what a dotted name means; `optim` is this package, whatever it is installed as."""
    first, dot, rest = target.partition(".")
    return pkgutil.resolve_name(f"{PACKAGE}{dot}{rest}" if first == "optim" else target)


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
