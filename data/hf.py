"""A folder that Hugging Face's `datasets` has saved (`save_to_disk`): a column of images, a column of class labels."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from data.files import digest, look_at, read_rgb, stamps
from data.listing import PARTS, VERSION, image_facts, kept

if TYPE_CHECKING:
    from data.dataset import Dataset, Place
    from data.memory import Recipe

Columns = Mapping[str, Any]


def hf(
    place: "Place",
    recipe: "Recipe",
    *,
    path: str | None = None,
    image_column: str = "image",
    label_column: str = "label",
    test: float = 0.2,
    fingerprint: str | None = None,
) -> "Dataset":
    """Read each image once, as a square of the configured size: the shorter side resized, the middle cut out.

    path: the folder. test: as for data.custom.from_torch, where there is no such part.
    Raises ValueError or ImportError, one line.
    """
    from data.custom import from_torch
    from data.streaming import View

    view, columns = View.square(place.facts), (image_column, label_column)
    parts = {
        part: [(view.centre(read_rgb(name, content)), label) for name, content, label in _rows(part, rows, *columns)]
        for part, rows in loaded(str(path)).items()
    }
    return from_torch(lambda: parts, place, recipe, test=test, fingerprint=fingerprint)


def loaded(path: str) -> Columns:
    """Return the parts of a saved data set, by their names here; one without parts is `train`."""
    datasets = _library()
    try:
        found = datasets.load_from_disk(path)
    except Exception as error:  # whatever the library raises for another folder
        raise ValueError(f"data.path: {path} is not a data set of `datasets`: {error}") from error
    if isinstance(found, datasets.Dataset):
        return {"train": found}
    known = [name for name in found if name.lower() in PARTS]
    parts = {PARTS[name.lower()]: found[name] for name in known}
    if "train" not in parts or len(parts) < len(known):
        one = "train, and one each for test and validation"
        raise ValueError(f"data.path: {path} has the parts {', '.join(found)}; allowed: {', '.join(PARTS)}: {one}")
    return parts


def _library() -> ModuleType:
    """Import `datasets`; by its name as a text, for the folder of the data sets has the same."""
    try:
        return import_module("datasets")
    except ImportError as error:
        raise ImportError("data=hf: not installed; pip install datasets") from error


def dataset_facts(options: Mapping[str, Any], cache: Path) -> dict[str, Any]:
    """Return classes, channels, size and a fingerprint of images and labels: see data.listing.folder_facts."""
    if not options["path"] or not Path(options["path"]).is_dir():
        raise ValueError(f"data.path: {options['path']!r} is not a folder; name one that save_to_disk has written")
    return dict(_facts(Path(options["path"]), options["image_column"], options["label_column"], cache))


@lru_cache
def _facts(path: Path, image: str, label: str, cache: Path) -> dict[str, Any]:
    seen = digest(stamps(sorted(file for file in path.rglob("*") if file.is_file())))
    name = f"hf-{VERSION}-{digest([seen, image, label])}"
    return kept(cache / "found" / f"{name}.json", lambda: _looked_at(loaded(str(path)), image, label))


def _looked_at(parts: Columns, image: str, label: str) -> dict[str, Any]:
    found = [
        (part, look_at(content, name), number)
        for part, rows in sorted(parts.items())
        for name, content, number in _rows(part, rows, image, label)
    ]
    names = getattr(parts["train"].features[label], "names", None)
    classes = len(names) if names else 1 + max(number for _, _, number in found)
    fingerprint = digest(f"{part} {look.digest} {number}" for part, look, number in found)
    return {"num_classes": classes, "fingerprint": fingerprint} | image_facts([look for _, look, _ in found])


def _rows(part: str, rows: Any, image: str, label: str) -> Iterator[tuple[str, bytes, int]]:
    """Yield a name for each sample, its image's file and its class. Raises ValueError, one line."""
    datasets = _library()
    for key, column in (("image_column", image), ("label_column", label)):
        if column not in rows.column_names:
            raise ValueError(f"data.{key}: {column!r} is not one of {', '.join(rows.column_names)}")
    if not isinstance(rows.features[image], datasets.Image):
        raise ValueError(f"data.image_column: {image!r} of {part} has {rows.features[image]}, not images")
    for index, row in enumerate(rows.cast_column(image, datasets.Image(decode=False))):
        file, number, name = row[image], row[label], f"{part}[{index}]"
        if file is None:
            raise ValueError(f"data.image_column: {name} has no image")
        if not isinstance(number, int) or number < 0:
            raise ValueError(f"data.label_column: {name} is {number!r}; allowed: whole numbers, 0 or more")
        yield f"data.path: {name}", file["bytes"] or Path(file["path"]).read_bytes(), number
