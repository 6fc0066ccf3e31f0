"""`train.py -m`: the jobs of a command line, made one after the other or by a launcher of Hydra's.

Hydra's own multirun composes every job by itself, where `optimizer.args` cannot be extended, writes to one folder for
all users, and forgets the jobs' exit codes: only its grammar and its launchers are used. Torch-free.
"""

import json
import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hydra import version
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from conf import grammar, groups
from conf.cli import AGAIN, FAILED
from conf.compose import compose
from conf.errors import UsageError, unknown

if TYPE_CHECKING:
    from hydra._internal.callbacks import Callbacks
    from hydra._internal.hydra import Hydra

Job = tuple[dict[str, Any], list[str]]  # a run's configuration, and the command line that it was composed from
Make = Callable[[dict[str, Any], list[str]], int]
BY_SEVERITY = (0, AGAIN, 1, FAILED)
LAUNCHER, FOLDER = "hydra/launcher", "hydra.sweep.dir"
PACKAGES = {"joblib": "joblib", "ray": "ray", "submitit_local": "submitit", "submitit_slurm": "submitit"}


def split(words: list[str]) -> tuple[list[Job], list[str]]:
    """Return the jobs of a multirun, each composed: a mistake in the last shows before the first has started.

    Returns beside them the words for the launcher. Raises UsageError for what is no job, and no launcher.
    """
    hydra = private().hydra
    given = grammar.parse([grammar.path(word) for word in words], hydra.config_loader)
    about = [override for override in given if is_hydras(override)]
    for override in about:
        _check(hydra, override)
    launcher = [str(override.input_line) for override in about]
    if launcher:
        _settings(hydra, Path(), launcher)
    lines = _lines([override for override in given if not is_hydras(override)])
    return [(compose(line), line) for line in lines], launcher


def is_hydras(override: Override) -> bool:
    """Tell whether an override is meant for Hydra itself, and not for a run."""
    return override.key_or_group == "hydra" or override.key_or_group.startswith(("hydra.", "hydra/"))


def launch(jobs: Sequence[Job], launcher: list[str], make: Make, stop: object, folder: Path) -> int:
    """Make all jobs, or those until `stop` became true; returns the worst of their exit codes, 75 where it did.

    make: makes a job's run and returns its exit code; where a launcher is named, importable by others. folder: where
    launchers may write.
    """
    codes = _launched(jobs, launcher, make, folder) if launcher else []
    own = grammar.varying([words for _, words in jobs])
    for number, job in enumerate(jobs if not launcher else (), start=1):
        if not stop:
            print(f"[{number}/{len(jobs)}] {' '.join(own[number - 1])}", flush=True)
            codes.append(make(*job))
    return AGAIN if stop else max(codes, key=BY_SEVERITY.index)


class Private(NamedTuple):
    """What Hydra keeps to itself. hydra: with the groups of conf/ to look things up in."""

    hydra: "Hydra"
    callbacks: "Callbacks"
    parser: ArgumentParser


def private() -> Private:
    """Return the parts of Hydra that only its private modules have; the one place that imports from them."""
    from hydra._internal.callbacks import Callbacks
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import create_config_search_path, get_args_parser

    version.setbase("1.3")  # without it a launcher changes the working directory, as Hydra 1.1 did
    search = create_config_search_path(str(groups.ROOT))
    for folder in groups.folders()[1:]:
        search.append("--config-dir", f"file://{folder}")
    loader = ConfigLoaderImpl(search)
    return Private(Hydra("stepbench", loader), Callbacks(), get_args_parser())


def _lines(given: list[Override]) -> list[list[str]]:
    words: dict[str, list[str]] = {}  # a key that is given twice counts once, as it was given last
    for override in given:
        key = override.get_key_element()
        if not override.is_sweep_override():
            words[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            words[key] = [f"{key}={value}" for value in _values(override)]
        else:
            raise UsageError(f"{override.input_line}: no list of values; allowed: a,b,c, range(...), glob(...)")
    return [list(line) for line in dict.fromkeys(product(*words.values()))]


def _values(override: Override) -> list[str]:
    try:
        values = list(override.sweep_string_iterator())
    except ValueError as error:  # range(0,1,0)
        raise UsageError(f"{override.input_line}: {error}") from error
    if not values:
        raise UsageError(f"{override.input_line}: has no value")
    return values


def _check(hydra: "Hydra", override: Override) -> None:
    key, value = override.key_or_group, override.value()
    if override.is_sweep_override():
        raise UsageError(f"{override.input_line}: takes one value, not several")
    if key == LAUNCHER:
        options = hydra.config_loader.get_group_options(LAUNCHER)
        if str(value) in PACKAGES and value not in options:
            package = f"hydra-{PACKAGES[str(value)]}-launcher"
            raise UsageError(f"{LAUNCHER}: {value} is not installed; pip install {package}")
        if value not in options:
            raise unknown(LAUNCHER, value, options)
    elif key != FOLDER and not key.startswith("hydra.launcher."):
        raise UsageError(f"{key}: not of use here; allowed with -m: {LAUNCHER}, hydra.launcher.<its keys>, {FOLDER}")


def _settings(hydra: "Hydra", folder: Path, launcher: list[str]) -> DictConfig:
    words = [f"{FOLDER}={grammar.verbatim(str(folder))}", *launcher]
    try:
        return hydra.compose_config("launch", words, RunMode.MULTIRUN)
    except (HydraException, OmegaConfBaseException) as error:
        raise UsageError(f"{' '.join(launcher)}: {str(error).strip().splitlines()[0]}") from error


def _launched(jobs: Sequence[Job], launcher: list[str], make: Make, folder: Path) -> list[int]:
    hydra, callbacks, _ = private()
    search = os.environ.get("PYTHONPATH")  # of the processes that a launcher starts
    os.environ["PYTHONPATH"] = os.pathsep.join([str(groups.ROOT.parent), *([search] if search else [])])
    try:
        by = Plugins.instance().instantiate_launcher(
            hydra_context=HydraContext(config_loader=hydra.config_loader, callbacks=callbacks),
            task_function=partial(_job, make),
            config=_settings(hydra, folder, launcher),
        )
        lines = [[f"job={grammar.verbatim(json.dumps(words))}"] for _, words in jobs]
        return [ended.return_value for ended in by.launch(lines, initial_job_idx=0)]
    except Exception as error:  # whatever a launcher raises: a queue that is not there, a worker that died
        said = str(error).strip().partition("\n")[0]
        print(f"failed: {' '.join(launcher)}: {type(error).__name__}: {said}", file=sys.stderr)
        return [FAILED]


def _job(make: Make, config: DictConfig) -> int:
    words = json.loads(config.job)
    return make(compose(words), words)
