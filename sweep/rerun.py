"""Make finished runs again, elsewhere, and compare bits where the platform is the same.

From a stored configuration, which is verified, back to a command line; nothing else of a store is asked.
"""

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from conf import groups
from conf.compose import compose
from conf.errors import UsageError
from conf.grammar import literal, word
from conf.trust import require_trust
from conf.yamls import leaves
from record.files import one_line
from record.identity import PLACES, run_folder, run_id, semantic, todays
from record.read import read_result, run_folders
from record.schema import Result
from sweep.backend import Child, Job, command
from sweep.plan import Config, Planned
from sweep.wanted import Words

CHOSEN = ("data", "model", "optimizer", "schedule", "budget")
ANY = dict.fromkeys(("data", "model", "optimizer"), "custom")  # the options that take a name of anyone's


@dataclass(frozen=True)
class Verdict:
    """kind: equal, alarm (same platform, other bits), other platform, another run (the code has changed), failed."""

    folder: Path
    kind: str
    detail: str

    @property
    def line(self) -> str:
        return f"{self.kind}: {self.folder.name}: {self.detail}"


def find(store: Path, run: str) -> Path:
    """Return the folder of a run, given by its folder or its id (or the beginning of it)."""
    if (Path(run) / "result.json").exists():
        return Path(run)
    found = [folder for folder in run_folders(store) if folder.name.partition("-")[2].startswith(run)]
    if len(found) != 1:
        raise UsageError(f"run: {len(found)} runs in {store} have an id that begins with {run!r}; allowed: one")
    return found[0]


def sample(store: Path, runs: Sequence[Planned], count: int, seed: int) -> list[Path]:
    """Draw `count` finished runs of a plan."""
    finished = [store / run.folder for run in runs if (store / run.folder / "result.json").exists()]
    if len(finished) < count:
        raise UsageError(f"--random: {count} asked for, {len(finished)} finished")
    return sorted(random.Random(seed).sample(finished, count))


def rerun(folder: Path, trust: bool = False, places: Words = ()) -> Verdict:
    """Make a finished run again in a store of its own, from its verified configuration, and compare.

    trust: whether code of a class may be run that is neither this suite's, torch's nor an installed entry point's.
    places: `data.path=...`, `model.weights=...`, of which a record has the content's fingerprint alone. Raises
    UsageError where it may not, for a class in the store itself, and for a place that is missing.
    """
    stored = _stored(folder)
    config = stored["config"]
    require_trust(folder, config, trust, remedy="; with --trust it does")
    for key in PLACES:
        fingerprint = config[key.partition(".")[0]].get("fingerprint")
        if fingerprint and not any(word.startswith(f"{key}=") for word in places):
            raise UsageError(f"{key}: {folder.name} has the fingerprint of its files, not their place; add {key}=...")
    if config.get("world_size", 1) > 1:
        return Verdict(folder, "failed", f"was made by {config['world_size']} processes; a rerun makes it with one")
    try:
        words = words_of(config, places)
    except UsageError as error:
        return Verdict(folder, "another run", str(error))
    fresh, said = _made(words, config, str(stored["platform"]["threads"] or 1))
    return Verdict(folder, "failed", said) if fresh is None else _compare(folder, stored, fresh)


def _stored(folder: Path) -> Result:
    for path in (folder, *folder.parents[:3]):
        if path.is_symlink():
            raise UsageError(f"{path}: a symbolic link; a run is a folder")
    try:
        stored = read_result(folder)
    except ValueError as error:
        raise UsageError(one_line(error)) from error
    if stored is None:
        raise UsageError(f"{folder}: is not finished")
    return stored


def _made(words: Words, config: Config, threads: str) -> tuple[Result | None, str]:
    """Make a run in a store that is gone afterwards; returns its result, None without one, and its last line.

    Its output goes to a file: processes that it leaves behind would keep a pipe open for ever. They are killed.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as there:
        store, log = Path(there) / "runs", Path(there) / "log.txt"
        child = Child(Job(command(words, store), log), {"OMP_NUM_THREADS": threads})
        try:
            code = child.wait()
        finally:
            child.stop(hard=True)
        lines = log.read_text(errors="replace").strip().splitlines()
        return read_result(run_folder(store, config)), one_line(lines[-1]) if lines else f"exit code {code}"


def _compare(folder: Path, stored: Result, fresh: Result) -> Verdict:
    hashes = [str(result.get("weights_sha256"))[:12] for result in (stored, fresh)]
    if hashes[0] == hashes[1]:
        return Verdict(folder, "equal", f"weights {hashes[0]}")
    kind = "alarm" if fresh["platform"] == stored["platform"] else "other platform"
    return Verdict(folder, kind, f"weights {hashes[0]} then, {hashes[1]} now")


def words_of(config: Config, places: Words = ()) -> Words:
    """Return the command line that composes to a semantic configuration, every value of it spelt out.

    places: as for `rerun`. Raises UsageError, one line, where today's yamls make another run of it, or cannot make it.
    """
    for group in (*CHOSEN, "probe"):
        if not isinstance(config.get(group, {}), dict) or (group in CHOSEN and "name" not in config.get(group, {})):
            raise UsageError(f"its {group} is {config.get(group)!r}; allowed: a mapping with a name")
    choices = {group: _option(group, config[group]) for group in CHOSEN} | {"probe": list(config.get("probe", {}))}
    values = {key: value for key, value in todays(config).items() if key != "world_size"}
    chosen = [word(group, option) for group, option in choices.items() if option]
    line = (*chosen, *(word(key, literal(value)) for key, value in leaves(values)), *places)
    made = semantic(compose(list(line))) | {key: config[key] for key in config.keys() - values.keys()}
    if run_id(made) != run_id(config):
        what = "a config, or what lies there," if places else "a config"
        raise UsageError(f"its values make {run_id(made)} today; {what} has changed")
    return line


def _option(group: str, values: Config) -> str:
    """Return the option that a group's values come from: that of their name and class, or the one that takes any."""
    name = str(values["name"])
    if name in groups.options(group) and groups.raw(group, name).get("target") == values.get("target"):
        return name
    kin = (o for o in groups.files(group) if groups.raw(group, o).get("target") == values.get("target"))
    return next((option for option in kin if groups.is_open(groups.raw(group, option))), ANY.get(group, name))
