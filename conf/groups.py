"""The group folders as data: which options exist and what each yaml says. Torch-free."""

from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

ROOT = Path(__file__).parent
GROUPS = (
    *("data", "model", "optimizer", "schedule", "budget", "probe", "logger", "paths"),
    *("protocol", "scale"),  # overlays: they write to the root
)
CHECKED = GROUPS[:8]
LISTS = ("probe", "logger")  # several options at once: probe=norms,spherical
RESERVED = ("ranges", "sources")  # read by conf, gone from the composed configuration


@lru_cache
def options(group: str) -> tuple[str, ...]:
    """Return the names of a group's options: its yaml files and, for optimizers, installed plug-ins."""
    files = {path.stem for path in (ROOT / group).glob("*.yaml")}
    return tuple(sorted(files | set(plugins() if group == "optimizer" else ())))


@lru_cache
def plugins() -> dict[str, str]:
    """Return the optimizers of installed packages: id -> dotted class (entry points `stepbench.optimizers`)."""
    return {entry.name: entry.value.replace(":", ".") for entry in entry_points(group="stepbench.optimizers")}


@lru_cache
def raw(group: str, option: str) -> dict[str, Any]:
    """Return one option's yaml as it is on disk, uninterpolated. Do not change it: it is cached."""
    content = OmegaConf.to_container(OmegaConf.load(ROOT / group / f"{option}.yaml"))
    return content if isinstance(content, dict) else {}
