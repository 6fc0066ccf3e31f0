"""Sets kept as folders of images, a folder a class: one list of classes for all parts, and images alone."""

import os
from collections.abc import Sequence
from pathlib import Path

Listing = list[tuple[str, int, int]]  # path, class, bytes
SUFFIXES = (".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp")  # torchvision's


def class_names(folders: Sequence[Path]) -> list[str]:
    """Return the sorted names of the class folders, which all parts have to share: a class's place is its label.

    Raises ValueError, one line, if the names of a part are not those of the first: each part's own places would be
    other labels.
    """
    first, *others = folders
    names = _subfolders(first)
    for other in others:
        found = _subfolders(other)
        differences = [(set(names) - set(found), "missing"), (set(found) - set(names), "too many")]
        words = [f"{len(some)} {word}, e.g. {min(some)}" for some, word in differences if some]
        if words:
            raise ValueError(f"{other}: its class folders are not those of {first}: {'; '.join(words)}")
    return names


def images(folder: Path, names: Sequence[str]) -> Listing:
    """List the image files of one part, class by class; what has no image's suffix (Thumbs.db) is left out."""
    return [
        (entry.path, label, entry.stat().st_size)
        for label, name in enumerate(names)
        for entry in sorted(os.scandir(folder / name), key=lambda entry: entry.name)
        if entry.name.lower().endswith(SUFFIXES) and not entry.name.startswith(".") and entry.is_file()
    ]


def _subfolders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
