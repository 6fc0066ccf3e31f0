"""Whose code would a stored configuration run? A store may come from a stranger, and its targets name anything."""

import re
import sys
from collections.abc import Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from conf import groups
from conf.errors import UsageError

ROOT = Path(__file__).resolve().parent.parent
KINDS = ("data", "model", "optimizer")
_OF_TORCH = re.compile(r"torch\.optim\.\w+")  # no more: behind a further dot is whatever a module has imported


def require_trust(folder: Path, config: Mapping[str, Any], trust: bool = False, remedy: str = "") -> None:
    """Raise UsageError, one line, where a run's configuration names code that is not to be run.

    folder: of the run, four below its store. trust: whether code may be run that is neither this suite's, torch's nor
    an installed entry point's; code of the store itself never. remedy: what to say of how it would be.
    """
    for target in foreign(config):
        if lies_in(target, folder.absolute().parents[3]):
            raise UsageError(f"{folder}: {target!r} lies in the store; no code of a store is run")
        if not trust:
            raise UsageError(
                f"{folder}: would run {target!r}, which is neither this suite's, torch's nor an installed entry "
                f"point's{remedy}"
            )


def foreign(config: Mapping[str, Any]) -> list[str]:
    """Return the targets that no yaml of the group names, and that are no optimizers of torch or of an entry point."""
    named = {group: str(config[group].get("target")) for group in KINDS if group in config}
    return [target for group, target in named.items() if not _OF_TORCH.fullmatch(target) and target not in _own(group)]


def _own(group: str) -> set[str]:
    plugins = groups.plugins().values() if group == "optimizer" else ()
    return {str(groups.raw(group, option).get("target")) for option in groups.files(group)} | set(plugins)


def lies_in(target: str, store: Path) -> bool:
    """Tell whether a dotted class would be imported from a file of a store. Imports nothing."""
    package, *inner = target.split(".")[:-1] or [target]
    spec = PathFinder.find_spec(package, [str(ROOT), *sys.path])
    places = [] if spec is None else spec.submodule_search_locations or [str(spec.origin)]
    return any(Path(place, *inner).resolve().is_relative_to(store.resolve()) for place in places)
