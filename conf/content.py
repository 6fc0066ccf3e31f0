"""What a configuration takes from the files that it names: facts of a data set, and fingerprints for the identity.

A yaml says in `found` which function looks: it gets the options and a folder for what it keeps, returns values, needs
no torch, and raises ValueError, OSError or ImportError, one line. A value that the command line gives is kept, but for
the fingerprint. `weights` is a file of weights, or a folder of the transformers library.
"""

import hashlib
from functools import lru_cache
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from conf import groups
from conf.errors import UsageError
from conf.grammar import place

Config = dict[str, Any]


def take_from_files(config: Config, data: str) -> None:
    """Put what the files say into a configuration. data: the chosen option. Raises UsageError."""
    options, known = config["data"], groups.raw("data", data)
    look = known.get("found") if options.keys() <= known.keys() else None  # a key that nobody knows is named first
    if look is not None and isinstance(options["path"], str | None):
        options["path"] = place(options["path"])
        try:
            facts = resolve_name(look)(options, Path(config["paths"]["cache"]))
        except (ValueError, OSError, ImportError) as error:
            raise UsageError(str(error)) from error
        options |= {key: fact for key, fact in facts.items() if key == "fingerprint" or options[key] is None}
    net = config["model"]
    if isinstance(net.get("weights", 0), str | None):
        net["weights"] = place(net["weights"])
        net["fingerprint"] = None if net["weights"] is None else _digest(Path(net["weights"]))


@lru_cache
def _digest(place: Path) -> str:
    """Return the SHA-256 of a file, or that of a folder's configuration, tokenizer and weights."""
    if place.is_dir():
        files = sorted(file for ending in ("json", "safetensors", "bin") for file in place.glob(f"*.{ending}"))
        return hashlib.sha256("".join(f"{file.name} {_digest(file)} " for file in files).encode()).hexdigest()
    try:
        with place.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"model.weights: {place}: {error.strerror}") from error
