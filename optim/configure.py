"""From a composed configuration (conf/optimizer/*.yaml) to an optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from optim.build import build
from optim.groups import describe, param_groups

LABELS = ("name", "target", "version", "groups", "ranges", "sources", "args", "decay")


def configure(
    options: Mapping[str, Any], model: nn.Module, *, compile: bool = False
) -> tuple[Optimizer, list[dict[str, Any]]]:
    """Build the optimizer that `options` describe for a model's trainable parameters.

    Returns it, and the resolved list of its groups, as plain data. Raises ValueError, one line, for keywords that the
    target does not take, a pattern that matches nothing, or `compile` for an optimizer that is not a Chain.
    """
    groups = param_groups(model, **options["groups"])
    keywords = {key: value for key, value in options.items() if key not in LABELS} | dict(options.get("args") or {})
    if str(options["target"]).startswith("optim."):  # others fix their convention by their class
        keywords["decay"] = options["decay"]
    if compile:
        keywords["compile"] = True
    return build(options["target"], groups, **keywords), describe(groups)
