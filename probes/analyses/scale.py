"""How large an analysis is, and on which data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from conf.groups import options, raw

SCALES = ("cpu", "paper", "smoke")
SETS = [name for name in options("data") if raw("data", name)["task"] == "multiclass"]
Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Scale:
    """cpu: real small data, minutes on 2 cores. paper: as the papers did it. smoke: that in two steps, on made-up data.

    data: a set of SETS that nets are trained on in the place of the analysis' own.
    """

    name: str
    data: str | None = None

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
