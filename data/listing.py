"""What is in a folder of images, before torch is imported: files, classes, parts, and what a configuration needs of it.

<path>/train/<class>/*, <path>/test/<class>/* (or val; validation or valid beside test)      parts by folder
<path>/<class>/*                                                                            parts drawn by fraction
<path>/labels.csv with columns file, label and perhaps part (train, validation, test)       images anywhere below
"""

import json
import os
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from data.files import Look, csv_rows, digest, file_digest, look_at, once_each, stamps

SUFFIXES = (".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp")
PARTS = {"train": "train", "test": "test", "validation": "validation", "valid": "validation", "val": "validation"}
LABELS = "labels.csv"
LAYOUT = "allowed: train/<class>/ and test/<class>/ (or val/), <class>/ alone, or labels.csv with file, label and part"
VERSION = 1  # of the facts, raised when they are found differently


class Sample(NamedTuple):
    """An image: its file below the folder, its class, and its part, empty where parts are drawn."""

    file: str
    label: str
    part: str


@dataclass(frozen=True)
class Listing:
    """A folder's images, by part and file, and the names of its classes; a label is its class's place among them."""

    samples: tuple[Sample, ...]
    classes: tuple[str, ...]

    @property
    def held_share(self) -> float:
        """The validation images' share of those and the training images; 0 where no folder has any."""
        parts = [sample.part for sample in self.samples]
        held = parts.count("validation")
        return held / (held + parts.count("train")) if held else 0.0


def listed(path: Path, labels: str) -> Listing:
    """List a folder. labels: the name of its csv, if it has one. Raises FileNotFoundError or ValueError, one line."""
    if not path.is_dir():
        raise FileNotFoundError(f"data.path: {path} is not a folder; {LAYOUT}")
    if labels != LABELS and not (path / labels).is_file():
        raise FileNotFoundError(f"data.labels: {path / labels} not found")
    if (path / labels).is_file():
        samples = _of_csv(path, path / labels)
    else:
        found = sorted(entry.name for entry in path.iterdir() if entry.is_dir() and entry.name.lower() in PARTS)
        places = {name: PARTS[name.lower()] for name in found} or {"": ""}
        samples = [sample for name, part in places.items() for sample in _of_folders(path, name, part)]
    if samples and not any(sample.part == "test" for sample in samples):  # train and val: val is what is tested on
        samples = [s._replace(part="test") if s.part == "validation" else s for s in samples]
    _require_all_parts(path, samples)
    names = {sample.label for sample in samples}
    classes = sorted(names, key=lambda name: (int(name), name) if name.isdecimal() else (10**9, name))
    return Listing(tuple(sorted(samples, key=lambda sample: (sample.part, sample.file))), tuple(classes))


def _of_folders(path: Path, name: str, part: str) -> list[Sample]:
    folders = sorted(folder for folder in (path / name).iterdir() if folder.is_dir() and folder.name[0] != ".")
    files = ((file, folder.name) for folder in folders for file in folder.rglob("*") if _is_image(file))
    return [Sample(file.relative_to(path).as_posix(), label, part) for file, label in files]


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()


def _of_csv(path: Path, table: Path) -> list[Sample]:
    header, *rows = csv_rows(table)
    if not {"file", "label"} <= {*header}:
        raise ValueError(f"{table}: its first line is {','.join(header)}; it needs `file` and `label`, may have `part`")
    samples = []
    for number, row in enumerate(rows, start=2):
        named = dict(zip(header, row, strict=False))
        sample = Sample(*(named.get(key, "") for key in Sample._fields))
        sample = sample._replace(file=Path(sample.file).as_posix())  # ./a.png is a.png
        if row and (len(row) != len(header) or sample.part.lower() not in ("", *PARTS) or not sample.label):
            raise ValueError(f"{table}: line {number}: {sample}; allowed: a label, and of parts {', '.join(PARTS)}")
        if row and (".." in Path(sample.file).parts or not (path / sample.file).is_file()):
            raise FileNotFoundError(f"{table}: line {number}: {sample.file} is not a file below {path}")
        samples += [sample._replace(part=PARTS.get(sample.part.lower(), ""))] if row else []
    once_each(table, [sample.file for sample in samples])
    return samples


def _require_all_parts(path: Path, samples: list[Sample]) -> None:
    parts = {sample.part for sample in samples}
    if not parts or ("" in parts and len(parts) > 1) or ("" not in parts and not {"train", "test"} <= parts):
        found = ", ".join(sorted(part or "no part" for part in parts)) or "no images"
        raise ValueError(f"data.path: {path} has {found}; {LAYOUT}")
    trained = {sample.label for sample in samples if sample.part in ("", "train")}
    unseen = {sample.label for sample in samples} - trained
    if unseen or len(trained) < 2:
        elsewhere = (
            f", and {sorted(unseen)} only elsewhere" if unseen else f" ({', '.join(trained)}); allowed: 2 or more"
        )
        raise ValueError(f"data.path: {path}: {len(trained)} classes to train on{elsewhere}")


def folder_facts(options: Mapping[str, Any], cache: Path) -> dict[str, Any]:
    """Return what a configuration needs of a folder of images: classes, channels, size, fingerprint of the content.

    options: `path` and `labels`. cache: where the facts are kept until a file changes. The size is None where images
    differ in it. Raises FileNotFoundError or ValueError, one line.
    """
    if not options["path"]:
        raise ValueError(f"data.path: name the folder of images; {LAYOUT}")
    return dict(_folder_facts(Path(options["path"]), str(options["labels"]), cache))


@lru_cache
def _folder_facts(path: Path, labels: str, cache: Path) -> dict[str, Any]:
    listing = listed(path, labels)
    files = [path / sample.file for sample in listing.samples]
    name = f"folder-{VERSION}-{digest([digest(stamps(files)), repr(listing)])}"
    return kept(cache / "found" / f"{name}.json", lambda: _found(listing, files))


def _found(listing: Listing, files: list[Path]) -> dict[str, Any]:
    with ThreadPoolExecutor() as pool:
        looks = list(pool.map(lambda file: look_at(file.read_bytes(), file), files))
    fingerprint = digest([repr(listing), digest(look.digest for look in looks)])
    found = {"num_classes": len(listing.classes), "validation": listing.held_share, "fingerprint": fingerprint}
    return found | image_facts(looks)


def image_facts(looks: Collection[Look]) -> dict[str, Any]:
    """Return the images' channels, and their side where all are squares of one size."""
    (width, height), *others = {look.size for look in looks}
    return {
        "in_channels": 1 if all(look.grey for look in looks) else 3,
        "image_size": width if not others and width == height else None,
    }


def kept(file: Path, find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the facts in a JSON file; they are found and written first where there are none."""
    try:
        return dict(json.loads(file.read_text()))
    except (FileNotFoundError, ValueError):  # ValueError: damaged
        facts = find()
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(facts))
        draft.replace(file)
        return facts


def file_facts(options: Mapping[str, Any], cache: Path) -> dict[str, Any]:
    """Return a fingerprint of the file at `path`, or of the files below it: None where there is no path."""
    path = Path(options["path"]) if options["path"] else None
    if path is None:
        return {"fingerprint": None}
    if not path.exists():
        raise FileNotFoundError(f"data.path: no file or folder at {path}")
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return {"fingerprint": digest(f"{file.relative_to(path)} {file_digest(file)}" for file in files)}
