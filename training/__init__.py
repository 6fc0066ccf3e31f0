"""What a run needs beside its data, net and optimizer: tasks, schedule, budget, state, random streams, processes."""

from collections.abc import Mapping
from pkgutil import resolve_name
from typing import Any, TypeVar

T = TypeVar("T")


def build(kind: type[T], options: Mapping[str, Any]) -> T:
    """Build a schedule or a budget from the composed options of its yaml (conf/schedule/*.yaml, conf/budget/*.yaml).

    kind: the class that it is derived from. options: `target`, a dotted path, and the target's keywords.
    """
    keywords = {key: value for key, value in options.items() if key not in ("name", "target", "version")}
    built: T = resolve_name(options["target"])(**keywords)
    return built
