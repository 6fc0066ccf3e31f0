"""9-Class ImageNet (Bahng et al. 2020): 42 of ImageNet's classes as nine kinds of animals, told by textures.

It is tested on ImageNet's validation images, whose textures are clustered, and on ImageNet-A (Hendrycks et al. 2019).
"""

from pathlib import Path

import torch
from torch import Tensor

from data.augment import Transform
from data.dataset import Dataset, Place, fingerprint
from data.files import csv_rows, digest, once_each, require
from data.imagenet import Listing, listing, names_and_sizes
from data.memory import Recipe
from data.needed import missing
from data.streaming import StreamSplit, View
from data.synthetic import parts, source, test_size

KINDS = {
    "dog": "n02085620 n02099601 n02106550 n02106662 n02110958",
    "cat": "n02123045 n02123159 n02123394 n02123597 n02124075",
    "frog": "n01641577 n01644373 n01644900",
    "turtle": "n01664065 n01665541 n01667114 n01667778 n01669191",
    "bird": "n01819313 n01820546 n01833805 n01843383 n01847000",
    "monkey": "n02486410 n02487347 n02488291 n02488702 n02492035",
    "fish": "n02607072 n02640242 n02641379 n02643566 n02655020",
    "crab": "n01978287 n01978455 n01980166 n01981276",
    "insect": "n02174001 n02177972 n02190166 n02206856 n02219486",
}
LABELS = {wnid: label for label, wnids in enumerate(KINDS.values()) for wnid in wnids.split()}
HEADER = ["path", "category", "cluster1", "cluster2", "cluster3"]
TEST = 50 * len(LABELS)  # validation images of ImageNet
PLAIN, ADVERSARIAL = 0, 1  # roles of an image that is evaluated: ImageNet's, or ImageNet-A's
CSV = Path("imagenet9", "9class_imagenet_val.csv")


def imagenet9(place: Place, recipe: Recipe, *, verify: bool = True, synthetic: int = 0) -> Dataset:
    """Stream <root>/imagenet/{train,val}/<wnid>/ and <root>/imagenet-a/<wnid>/, of 42 classes each.

    The authors' csv has three clusters for each validation image. Targets of training are kinds [B], those of test
    images [B, 5]: a kind, a role (PLAIN, ADVERSARIAL) and the clusters, -1 for ImageNet-A's. Images are cropped
    as `data.imagenet.imagenet` does by default. There is no validation split, for other images have no clusters.
    """
    root, verify = source(place, "imagenet9", verify, synthetic, write_synthetic)
    folders = root / "imagenet" / "train", root / "imagenet" / "val", root / "imagenet-a"
    for folder in folders:
        if not folder.is_dir():
            raise missing("imagenet9", folder)
    train, plain = listing(folders[0], LABELS, 0), listing(folders[1], LABELS, TEST if verify else 0)
    hard = listing(folders[2], {wnid: kind for wnid, kind in LABELS.items() if (folders[2] / wnid).is_dir()}, 0)
    table = require("imagenet9", root / CSV)
    clusters = torch.cat((_clusters(table, plain), torch.full((len(hard), 3), -1)))
    roles = torch.tensor([PLAIN] * len(plain) + [ADVERSARIAL] * len(hard))
    test = torch.column_stack((_kinds(plain + hard), roles, clusters))
    size = place.facts.get("image_size", 224)
    view = View(size, eval_size=size)
    transform = Transform(recipe.normalise, **place.batch_format)
    files = names_and_sizes(root, train + plain + hard) + digest([table.read_text()])
    return Dataset(
        train=StreamSplit([path for path, _, _ in train], _kinds(train), view, transform, place),
        validation=None,
        test=StreamSplit([path for path, _, _ in plain + hard], test, view, transform, place),
        task="texture_debiasing",
        num_classes=len(KINDS),
        in_channels=3,
        image_size=size,
        fingerprint=fingerprint(files.encode()),
    )


def _kinds(found: Listing) -> Tensor:
    return torch.tensor([label for _, label, _ in found])


def _clusters(table: Path, plain: Listing) -> Tensor:
    """Read the three clusters [N, 3] of the listed images. Raises ValueError, one line."""
    first, *rows = csv_rows(table)
    for number, row in enumerate([first, *rows], start=1):
        if not (row == HEADER if number == 1 else _is_row(row)):
            what = ",".join(HEADER) if number == 1 else "wnid/name, a kind, three numbers from 0 to 8"
            raise ValueError(f"{table}: line {number} is not {what}: {','.join(row)}")
    once_each(table, [row[0] for row in rows])
    known = {row[0]: [int(number) for number in row[2:]] for row in rows}
    names = ["/".join(Path(path).parts[-2:]) for path, _, _ in plain]
    unknown = next((name for name in names if name not in known), None)
    if unknown:
        raise ValueError(f"{table}: has no line for {unknown}")
    return torch.tensor([known[name] for name in names])


def _is_row(row: list[str]) -> bool:
    return len(row) == len(HEADER) and row[1] in KINDS and {*row[2:]} <= {*"012345678"}


def write_synthetic(root: Path, size: int) -> None:
    """Write synthetic JPEG files of the three parts, `size` of them for training, and the clusters."""
    from PIL import Image

    (root / CSV).parent.mkdir(parents=True)
    lines, wnids = [",".join(HEADER)], [*LABELS]
    sizes = {"imagenet/train": size, "imagenet/val": test_size(size), "imagenet-a": test_size(size)}
    for part, (classes, images) in zip(sizes, parts(sizes.values(), len(wnids), 96), strict=True):
        for wnid in wnids:
            (root / part / wnid).mkdir(parents=True)
        for index, pixels in enumerate(images):
            file = f"{wnids[classes[index]]}/{index:08d}.JPEG"
            Image.fromarray(pixels).save(root / part / file, quality=90)
            if part == "imagenet/val":
                kind = [*KINDS][LABELS[wnids[classes[index]]]]
                lines.append(f"{file},{kind},{index % 3},{index % 2},0")
    (root / CSV).write_text("\n".join(lines) + "\n")
