"""Images with boxes around their objects: sets in COCO's format, and the scenes of RDE-R.

A batch is (images [B, C, S, S], truths [B, M, 6]): of each box the left, top, right and bottom edge in pixels of the
square that the net sees, its class, and 1 for a crowd's. Rows of -1 fill up to the batch's largest number of boxes, M.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, wraps
from pathlib import Path
from typing import Literal, ParamSpec

import torch
from PIL import Image
from pydantic import BaseModel, Field, FiniteFloat, NonNegativeFloat, PositiveInt, ValidationError
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from data.augment import Transform
from data.dataset import Dataset, Place, Split, fingerprint, uniform
from data.files import file_digest, once_each, require
from data.rde import rde
from data.streaming import VIEW_DRAWS, StreamSplit, View
from data.synthetic import source, test_size

NORMALISE = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
P = ParamSpec("P")


class Picture(BaseModel):
    """What COCO's json says of an image; `read` makes a path of its file's name."""

    id: int
    file_name: str
    width: PositiveInt
    height: PositiveInt


class Annotation(BaseModel):
    """What it says of an object; bbox: left, top, width and height in pixels."""

    id: int
    image_id: int
    category_id: int
    bbox: tuple[FiniteFloat, FiniteFloat, NonNegativeFloat, NonNegativeFloat]
    area: float = 0.0  # of the object itself, which is not looked at
    iscrowd: Literal[0, 1] = 0


class Category(BaseModel):
    """What it says of a class."""

    id: int
    name: str = ""


class Instances(BaseModel):
    """The whole of an instances_<part>.json."""

    images: list[Picture] = Field(min_length=1)
    annotations: list[Annotation] = Field(min_length=1)
    categories: list[Category]


Boxed = tuple[Picture, Tensor]  # an image and its boxes [M, 6], in its own pixels


def coco(
    place: Place,
    *,
    path: str = "coco",
    scale: Sequence[float] = [0.3, 1.0],
    ratio: Sequence[float] = [0.5, 2.0],
    normalise: Mapping[str, Sequence[float]] = NORMALISE,
    synthetic: int = 0,
) -> Dataset:
    """Load a set in the format of MS-COCO (Lin et al. 2014) from <root>/<path>; val2017 is tested on.

    Training shows a random part of an image (scale: share of its area, ratio: width / height) with the boxes whose
    middle is in it, mirrored half of the time; images without boxes are left out. Raises ValueError or
    FileNotFoundError, one line, naming the file and what in it is wrong.
    """
    root, _ = source(place, "coco", False, synthetic, partial(write_coco, path=path))
    files = [root / path / "annotations" / f"instances_{part}2017.json" for part in ("train", "val")]
    (train, known), (test, others) = (read(require("coco", file)) for file in files)
    if known != others:
        raise ValueError(f"{files[1]}: its categories are not those of {files[0].name}")
    view, transform = (
        Square(place.facts.get("image_size", 512), scale, ratio),
        Transform(normalise, **place.batch_format),
    )
    return Dataset(
        train=BoxSplit([one for one in train if len(one[1])], view, transform, place),
        validation=None,
        test=BoxSplit(test, view, transform, place),
        task="detection",
        num_classes=len(known),
        in_channels=3,
        image_size=view.size,
        fingerprint=fingerprint(*(file_digest(file).encode() for file in files)),
    )


def read(file: Path) -> tuple[list[Boxed], list[int]]:
    """Read an instances_<part>.json: the images, which lie in the folder <part>, with boxes; and the categories' ids.

    The ids rise; a class is the place of its id. Boxes are cut off at the image's border; one that has no area then is
    left out, as the field does with COCO's own two, and a line says so.
    """
    try:
        content = Instances.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    for name in ("images", "annotations", "categories"):
        once_each(Path(f"{file}: {name}"), [entry.id for entry in getattr(content, name)])
    folder = file.parent.parent / file.stem.removeprefix("instances_")
    present = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if lost := next((image for image in content.images if image.file_name not in present), None):
        raise FileNotFoundError(f"{file}: image {lost.id}: {folder / lost.file_name} not found")
    categories = sorted(category.id for category in content.categories)
    boxes = _boxes(file, content, {category: number for number, category in enumerate(categories)})
    for image in content.images:
        image.file_name = str(folder / image.file_name)
    return [*zip(content.images, boxes, strict=True)], categories


def _boxes(file: Path, content: Instances, classes: Mapping[int, int]) -> list[Tensor]:
    """Return the boxes [M, 6] of each image."""
    images = {image.id: image for image in content.images}
    boxes: dict[int, list[list[float]]] = {number: [] for number in images}
    empty = []
    for entry in content.annotations:
        if entry.image_id not in images or entry.category_id not in classes:
            what = f"image_id {entry.image_id}, category_id {entry.category_id}"
            raise ValueError(f"{file}: annotation {entry.id}: {what} are not both listed")
        image, (left, top, width, height) = images[entry.image_id], entry.bbox
        edges = [max(left, 0), max(top, 0), min(left + width, image.width), min(top + height, image.height)]
        if edges[0] < edges[2] and edges[1] < edges[3]:
            boxes[image.id].append([*edges, classes[entry.category_id], entry.iscrowd])
        else:
            empty.append(entry.id)
    if empty:
        print(f"{file}: left out, for they have no area in their images: {len(empty)} boxes, e.g. {empty[0]}")
    return [torch.tensor(some, dtype=torch.float32).view(-1, 6) for some in boxes.values()]


@dataclass(frozen=True)
class Square(View):
    """A view that in evaluation shows the whole image, and that boxes go along with."""

    def centre(self, image: Image.Image) -> Tensor:
        """Resize an image to uint8 [3, size, size]."""
        from torchvision.transforms.v2 import functional

        return self._tensor(functional.resize(image, [self.size, self.size]))

    def moved(self, image: Picture, boxes: Tensor, draws: Sequence[float] | None) -> Tensor:
        """Return an image's boxes where `random` shows them for these draws, or `centre` for None."""
        whole = 0, 0, image.height, image.width
        top, left, height, width = whole if draws is None else self.box(image.height, image.width, draws)
        edges = (boxes[:, :4] - torch.tensor([left, top, left, top])) * self.size
        edges = edges / torch.tensor([width, height, width, height])
        middle = (edges[:, :2] + edges[:, 2:]) / 2
        kept = ((middle >= 0) & (middle < self.size)).all(1)
        edges = edges.clamp(0, self.size)
        if draws is not None and self.flip and draws[-1] < 0.5:
            edges[:, [0, 2]] = self.size - edges[:, [2, 0]]
        return torch.cat((edges, boxes[:, 4:]), 1)[kept]


class BoxSplit(StreamSplit):
    """Image files, decoded as they are wanted, and their boxes."""

    def __init__(self, images: Sequence[Boxed], view: Square, transform: Transform, place: Place) -> None:
        super().__init__([one.file_name for one, _ in images], torch.arange(len(images)), view, transform, place)
        self.images, self.square = images, view

    def batches(self, order: Iterable[Tensor], key: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images and truths on the device for each tensor of positions."""
        for images, positions in super().batches(order, key):
            numbers = positions.cpu()
            draws = [None] * len(numbers) if key is None else uniform(key, numbers, VIEW_DRAWS).tolist()
            some = zip((self.images[number] for number in numbers.tolist()), draws, strict=True)
            shown = [self.square.moved(image, boxes, drawn) for (image, boxes), drawn in some]
            yield images, pad_sequence(shown, batch_first=True, padding_value=-1).to(images.device)


def boxed(reader: Callable[P, Dataset]) -> Callable[P, Dataset]:
    """Return a reader of the same scenes with a box around what is seen of each rectangle; its class is its level."""

    @wraps(reader)
    def load(*args: P.args, **kwargs: P.kwargs) -> Dataset:
        found = reader(*args, **kwargs)
        held = found.validation and SceneSplit(found.validation, found.num_classes)
        train, test = (SceneSplit(split, found.num_classes) for split in (found.train, found.test))
        return replace(found, train=train, validation=held, test=test, task="detection")

    return load


rde_boxes = boxed(
    partial(rde, rectangles=[2, 3], sides=[8, 16], min_visible=12, train=10_000, validation=1_000, test=2_000)
)


class SceneSplit:
    """Scenes of RDE-R and the boxes of their rectangles."""

    def __init__(self, scenes: Split, levels: int) -> None:
        self.scenes, self.levels = scenes, levels

    def __len__(self) -> int:
        return len(self.scenes)

    def batches(self, order: Iterable[Tensor], key: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images and truths on the device for each tensor of positions."""
        for images, planes in self.scenes.batches(order, key):
            yield images, seen(planes[:, 0], planes[:, 1] * self.levels)


def seen(numbers: Tensor, levels: Tensor) -> Tensor:
    """Return truths of what is seen of rectangles 1, 2, ...; numbers, levels: of the rectangle at a pixel [B, H, W]."""
    each = torch.arange(1, max(2, int(numbers.max()) + 1), device=numbers.device)
    shown = numbers[:, None] == each[:, None, None]
    sides = [shown.any(2).int(), shown.any(3).int()]  # by columns and by rows
    first, last = zip(*((side.argmax(2), side.shape[2] - side.flip(2).argmax(2)) for side in sides), strict=True)
    classes = (shown * levels[:, None]).amax((2, 3)).round() - 1
    truths = torch.stack((*first, *last, classes, torch.zeros_like(classes)), 2).float()
    return truths.masked_fill(~shown.any(3).any(2, keepdim=True), -1)


def write_coco(root: Path, size: int, path: str) -> None:
    """Write a synthetic set of `size` training images, scenes of RDE-R, in COCO's format."""
    place = Place(root, root, facts={"image_size": 64, "num_classes": 4})
    found = boxed(rde)(place, rectangles=[1, 4], sides=[16, 40], train=size, validation=1, test=test_size(size))
    categories = [Category(id=number, name=f"class {number}") for number in range(1, 91) if number % 9]  # 80, with gaps
    (root / path / "annotations").mkdir(parents=True)
    for part, split in (("train2017", found.train), ("val2017", found.test)):
        (root / path / part).mkdir()
        images, truths = next(iter(split.batches([torch.arange(len(split))])))
        pictures = [Picture(id=n, file_name=f"{n:012d}.jpg", width=64, height=64) for n in range(len(split))]
        for picture, pixels in zip(pictures, (255 * images).byte().permute(0, 2, 3, 1).numpy(), strict=True):
            Image.fromarray(pixels).save(root / path / part / picture.file_name, quality=95)
        annotations: list[Annotation] = []
        for image, row in (truths[..., 4] >= 0).nonzero().tolist():
            left, top, right, bottom, level, _ = truths[image, row].tolist()
            box, which = (left, top, right - left, bottom - top), categories[int(level)].id
            entry = {"id": len(annotations) + 1, "image_id": image, "category_id": which}
            annotations.append(Annotation(**entry, bbox=box, area=box[2] * box[3]))
        content = Instances(images=pictures, annotations=annotations, categories=categories)
        (root / path / "annotations" / f"instances_{part}.json").write_text(content.model_dump_json())
