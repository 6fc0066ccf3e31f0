"""A folder that Hugging Face's `datasets` has saved (`save_to_disk`): a column of images, a column of class labels."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from data.files import digest, look_at, stamps
from data.listing import PARTS, VERSION, image_facts, kept

if TYPE_CHECKING:
    from torch import Tensor

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

    parts = {part: _Column(rows, image_column, label_column, place.facts) for part, rows in loaded(str(path)).items()}
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
    parts = {PARTS[name]: rows for name, rows in found.items() if name in PARTS}
    if "train" not in parts:
        raise ValueError(f"data.path: {path} has the parts {', '.join(found)}; allowed: {', '.join(PARTS)}")
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
        (part, look_at(content, f"data.path: {part}[{index}]"), number)
        for part, rows in sorted(parts.items())
        for index, (content, number) in enumerate(_rows(rows, image, label))
    ]
    names = getattr(parts["train"].features[label], "names", None)
    classes = len(names) if names else 1 + max(number for _, _, number in found)
    fingerprint = digest(f"{part} {look.digest} {number}" for part, look, number in found)
    return {"num_classes": classes, "fingerprint": fingerprint} | image_facts([look for _, look, _ in found])


def _rows(rows: Any, image: str, label: str) -> Iterator[tuple[bytes, int]]:
    datasets = _library()
    for key, name in (("image_column", image), ("label_column", label)):
        if name not in rows.column_names:
            raise ValueError(f"data.{key}: {name!r} is not one of {', '.join(rows.column_names)}")
    for row in rows.cast_column(image, datasets.Image(decode=False)):
        content = row[image]["bytes"] or Path(row[image]["path"]).read_bytes()
        yield content, row[label]


class _Column:
    """The samples of one part: bytes [C, side, side], and the label."""

    def __init__(self, rows: Any, image: str, label: str, facts: Mapping[str, Any]) -> None:
        from data.streaming import View

        self.rows, self.image, self.label, self.view = rows, image, label, View.square(facts)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> "tuple[Tensor, int]":
        row = self.rows[index]
        return self.view.centre(row[self.image].convert("RGB")), row[self.label]
