"""ImageNet: folders streamed by any number of workers, and prepared from tars that may be hostile."""

import hashlib
import io
import os
import tarfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from data import imagenet, imagenet_tars
from data.dataset import Dataset, uniform
from data.files import read_rgb
from data.memory import Recipe
from data.streaming import VIEW_DRAWS, View
from tests.data.places import one_line, place

NORMALISE = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
ORDER = list(torch.arange(12).split(5))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imagenet")
    imagenet.write_synthetic(folder / "root", 12)
    return folder


def _load(
    folder: Path,
    *,
    workers: int = 0,
    image_size: int = 32,
    validation: float = 0.0,
    train: int = 0,
    **options: object,
) -> Dataset:
    recipe = Recipe(normalise=NORMALISE, validation=validation, train=train)
    where = place(folder, workers=workers, facts={"image_size": image_size})
    return imagenet.imagenet(where, recipe, **{"verify": False} | options)


def _all(folder: Path, key: int | None, order: list[torch.Tensor] = ORDER, **options: object) -> torch.Tensor:
    return torch.cat([images for images, _ in _load(folder, **options).train.batches(order, key)])


def test_workers_and_batch_size_have_no_effect(written: Path) -> None:
    state = torch.get_rng_state()
    for key in (None, 7):
        alone = _all(written, key)
        assert torch.equal(_all(written, key, workers=2), alone)
        order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
        assert torch.equal(_all(written, key, list(order.split(7)), workers=1), alone[order])
    assert not torch.equal(_all(written, 8), _all(written, 7))
    assert torch.equal(torch.get_rng_state(), state)


def test_layout_and_targets(written: Path) -> None:
    loaded = _load(written)
    assert (len(loaded.train), len(loaded.test), loaded.num_classes, loaded.image_size) == (12, 3, 1000, 32)
    assert torch.cat([targets for _, targets in loaded.train.batches(ORDER, 1)]).tolist() == list(range(12))
    held = _load(written, validation=0.25)
    assert (len(held.train), len(held.validation)) == (9, 3)
    assert sorted([*held.train.targets.tolist(), *held.validation.targets.tolist()]) == list(range(12))


def test_fewer_training_images_are_the_first_of_the_drawn_order(written: Path) -> None:
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0)).tolist()
    assert _load(written, train=5).train.targets.tolist() == order[:5]
    assert _load(written, train=5, validation=0.25).train.targets.tolist() == order[:5]


def test_evaluation_is_torchvisions(written: Path) -> None:
    from torchvision.transforms import v2

    peer = v2.Compose([v2.Resize(37), v2.CenterCrop(32), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    peer = v2.Compose([peer, v2.Normalize(NORMALISE["mean"], NORMALISE["std"])])
    loaded = _load(written)
    images = torch.cat([images for images, _ in loaded.test.batches([torch.arange(3)])])
    for image, path in zip(images, loaded.test.decoder.paths, strict=True):
        torch.testing.assert_close(image, peer(read_rgb(path)), rtol=1e-5, atol=1e-5)


def test_training_is_torchvisions_for_the_same_box(written: Path) -> None:
    from torchvision.transforms.v2 import functional

    path, view = _load(written).train.decoder.paths[5], View(size=32)
    image = read_rgb(path)
    for position, draws in enumerate(uniform(1, torch.arange(8), VIEW_DRAWS).tolist()):
        expected = functional.resized_crop(image, *view.box(image.height, image.width, draws), [32, 32])
        expected = functional.horizontal_flip(expected) if draws[-1] < 0.5 else expected
        assert torch.equal(view.random(image, draws), functional.pil_to_tensor(expected)), position


@pytest.mark.parametrize("size", [(60, 80), (20, 200)])
def test_boxes_are_distributed_as_torchvisions(size: tuple[int, int]) -> None:
    """Mean and deciles of each coordinate of 4,000 boxes, ours and torchvision's, differ by no more than chance."""
    from torchvision.transforms import RandomResizedCrop

    torch.manual_seed(0)
    image, count = torch.zeros(3, *size), 4000
    theirs = torch.tensor([RandomResizedCrop.get_params(image, [0.08, 1], [3 / 4, 4 / 3]) for _ in range(count)])
    ours = torch.tensor([View().box(*size, draws) for draws in uniform(2, torch.arange(count), VIEW_DRAWS).tolist()])
    for column in range(4):
        values = torch.cat([ours[:, column], theirs[:, column]]).unique()
        steps = [torch.searchsorted(a[:, column].sort().values, values, right=True) / count for a in (ours, theirs)]
        assert (steps[0] - steps[1]).abs().max() < 2.2 * (2 / count) ** 0.5  # Kolmogorov-Smirnov, p = 1e-4


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("harm", ["vanished", "empty", "truncated", "text"])
def test_a_bad_image_is_named(tmp_path: Path, workers: int, harm: str) -> None:
    imagenet.write_synthetic(tmp_path / "root", 12)
    loaded = _load(tmp_path, workers=workers)
    path = Path(loaded.train.decoder.paths[3])
    content = path.read_bytes()
    path.unlink()
    if harm != "vanished":
        path.write_bytes({"empty": b"", "truncated": content[:300], "text": b"no image" * 99}[harm])
    with one_line(FileNotFoundError if harm == "vanished" else ValueError, path):
        list(loaded.train.batches(ORDER, 1))


def test_a_killed_worker_ends_the_run(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(View, "random", lambda *_: os._exit(9))  # workers are forked: only they run it
    with pytest.raises(RuntimeError, match=r"DataLoader worker .* exited unexpectedly"):
        list(_load(written, workers=1).train.batches(ORDER, 1))


def test_wrong_layouts(tmp_path: Path) -> None:
    with one_line(FileNotFoundError, "data=imagenet", tmp_path, "image-net.org", "prepare --tars DIR"):
        _load(tmp_path)
    imagenet.write_synthetic(tmp_path / "root", 3)
    with one_line(ValueError, "wnids of ILSVRC 2012", "data.verify=false"):
        _load(tmp_path, verify=True)
    for part in imagenet.SIZES:
        (tmp_path / f"root/imagenet/{part}/n00000999").rmdir()
    with one_line(ValueError, "999 class folders, not 1000"):
        _load(tmp_path)


def _rename(folder: Path, part: str, names: dict[str, str]) -> None:
    for old, new in names.items():
        (folder / "root/imagenet" / part / old).rename(folder / "root/imagenet" / part / new)


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_part_of_other_classes_is_refused(tmp_path: Path, part: str) -> None:
    """Numbered by itself, class 2 of folders 0 to 999 would get label 112; of one misspelt, all behind it move."""
    imagenet.write_synthetic(tmp_path / "root", 12)
    _rename(tmp_path, part, {"n00000002": "n00000002x"})
    words = {"val": ("1 missing, e.g. n00000002;", "1 too many, e.g. n00000002x"), "train": ("e.g. n00000002x;",)}
    with one_line(ValueError, tmp_path / "root/imagenet/val", tmp_path / "root/imagenet/train", *words[part]):
        _load(tmp_path)
    _rename(tmp_path, part, {"n00000002x": "n00000002"})
    assert _load(tmp_path).test.targets.tolist() == [0, 1, 2]
    _rename(tmp_path, part, {f"n{index:08d}": str(index) for index in range(1000)})
    with one_line(ValueError, "1000 missing", "1000 too many"):
        _load(tmp_path)


def test_verification_checks_the_names_of_the_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet, "SIZES", {"train": 12, "val": 3})
    imagenet.write_synthetic(tmp_path / "root", 12)
    with one_line(ValueError, "n00000000 to n00000999", "wnids of ILSVRC 2012", "data.verify=false"):
        _load(tmp_path, verify=True)
    names = [f"n{index:08d}" for index in range(1000)]
    monkeypatch.setattr(imagenet, "WNIDS", hashlib.sha256("\n".join(names).encode()).hexdigest())
    assert len(_load(tmp_path, verify=True).test) == 3


def test_the_official_names(monkeypatch: pytest.MonkeyPatch) -> None:
    package = find_spec("timm").submodule_search_locations[0]
    names = Path(package, "data/_info/imagenet_synsets.txt").read_text().split()
    assert hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest() == imagenet.WNIDS


def test_what_is_no_image_is_left_out(tmp_path: Path) -> None:
    imagenet.write_synthetic(tmp_path / "root", 12)
    before = _load(tmp_path)
    for name in ("Thumbs.db", "desktop.ini", "._train_00000003.JPEG", "notes.txt"):
        (tmp_path / "root/imagenet/train/n00000003" / name).write_bytes(b"x")
    after = _load(tmp_path)
    assert (len(after.train), after.fingerprint) == (12, before.fingerprint)


def test_a_bomb_is_named_in_a_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imagenet.write_synthetic(tmp_path / "root", 12)
    loaded = _load(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with one_line(ValueError, loaded.train.decoder.paths[0], "decompression bomb"):
        list(loaded.train.batches(ORDER, 1))


def _tar(path: Path, members: dict[str, bytes], mode: str = "w") -> None:
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _bytes_of_tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def tars(tmp_path: Path) -> Path:
    """The three tars in ImageNet's layout, with 3 classes, 2 training images each and 4 validation images."""
    folder = tmp_path / "tars"
    folder.mkdir()
    jpeg = io.BytesIO()
    Image.new("RGB", (40, 30)).save(jpeg, "JPEG")
    wnids = ["n03", "n01", "n02"]  # ILSVRC ids 1, 2, 3: not in sorted order
    synsets = np.array(
        [(1, "n03", 0), (2, "n01", 0), (3, "n02", 0), (4, "n99", 3)],
        dtype=[("ILSVRC2012_ID", object), ("WNID", object), ("num_children", object)],
    )
    meta = io.BytesIO()
    savemat(meta, {"synsets": synsets})
    truth = b"2\n3\n1\n2\n"
    _tar(
        folder / "ILSVRC2012_devkit_t12.tar.gz",
        {
            "ILSVRC2012_devkit_t12/data/meta.mat": meta.getvalue(),
            "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt": truth,
        },
        "w:gz",
    )
    _tar(folder / "ILSVRC2012_img_val.tar", {f"ILSVRC2012_val_{n:08d}.JPEG": jpeg.getvalue() for n in range(1, 5)})
    inner = {f"{w}.tar": _bytes_of_tar({f"{w}_{i}.JPEG": jpeg.getvalue() for i in range(2)}) for w in wnids}
    _tar(folder / "ILSVRC2012_img_train.tar", inner)
    return folder


def _tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


VAL = ["n01/ILSVRC2012_val_00000001.JPEG", "n01/ILSVRC2012_val_00000004.JPEG"]
VAL += ["n02/ILSVRC2012_val_00000002.JPEG", "n03/ILSVRC2012_val_00000003.JPEG"]
TRAIN = [f"n0{c}/n0{c}_{i}.JPEG" for c in (1, 2, 3) for i in (0, 1)]


def test_prepare_unpacks_and_goes_on_where_it_stopped(tars: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    for _ in range(2):
        imagenet_tars.prepare(tars, root, verify=False)
        assert _tree(root / "imagenet" / "train") == TRAIN
        assert _tree(root / "imagenet" / "val") == VAL
    os.unlink(root / "imagenet/train/n01/n01_0.JPEG")
    os.unlink(root / "imagenet/train/n01/n01_1.JPEG")
    (root / "imagenet/train/n01").rmdir()
    imagenet_tars.prepare(tars, root, verify=False)
    assert _tree(root / "imagenet" / "train") == TRAIN


@pytest.mark.parametrize("name", ["../evil.JPEG", "/tmp/evil.JPEG", "a/../../evil.JPEG", ".hidden", "..", "a\\b"])
def test_a_member_cannot_leave_its_folder(tars: Path, tmp_path: Path, name: str) -> None:
    path, root = tars / "ILSVRC2012_img_train.tar", tmp_path / "root"
    before = _tree(tmp_path)
    for members in ({"n01.tar": _bytes_of_tar({name: b"x"})}, {name: b"x"}, {"n05.tar": _bytes_of_tar({})}):
        _tar(path, members)
        with one_line(ValueError, path, "refused"):
            imagenet_tars.prepare(tars, root, verify=False)
        assert _tree(tmp_path) == before


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_a_member_that_is_no_file_is_refused(tars: Path, tmp_path: Path, kind: bytes) -> None:
    path = tars / "ILSVRC2012_img_train.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("n01.tar")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with one_line(ValueError, path, "not a plain file"):
        imagenet_tars.prepare(tars, tmp_path / "root", verify=False)


@pytest.mark.parametrize("name", imagenet_tars.TARS)
@pytest.mark.parametrize("keep", [0, 100, 0.3, 0.6])
def test_a_truncated_tar_leaves_nothing_half_written(tars: Path, tmp_path: Path, name: str, keep: float) -> None:
    path, root = tars / name, tmp_path / "root"
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size if keep < 1 else keep)])
    with one_line(ValueError, path):
        imagenet_tars.prepare(tars, root, verify=False)
    for part, whole in (("train", TRAIN), ("val", VAL)):
        found = _tree(root / "imagenet" / part)
        assert {*found} <= {*whole}
        assert not any("/." in f"/{name}" for name in found)
        assert part == "train" or not found
        assert all(found.count(f"{c}/{c}_0.JPEG") == found.count(f"{c}/{c}_1.JPEG") for c in ("n01", "n02", "n03"))


def test_checksums_of_the_tars(tars: Path, tmp_path: Path) -> None:
    with one_line(ValueError, "ILSVRC2012_devkit_t12.tar.gz", "checksum", "fa75699e90414af021442c21a62c3abf"):
        imagenet_tars.prepare(tars, tmp_path / "root")


def test_the_command(tars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["data.imagenet", "prepare", "--tars", str(tars), "--root", str(tmp_path / "root")]
    monkeypatch.setattr("sys.argv", [*command, "--no-verify"])
    imagenet_tars.main()
    assert _tree(tmp_path / "root/imagenet/train") == TRAIN
    (tars / "ILSVRC2012_img_val.tar").unlink()
    monkeypatch.setattr("sys.argv", command)
    with one_line(SystemExit, "ILSVRC2012_img_val.tar: not found"):
        imagenet_tars.main()
