"""Your own images and nets: what is found in a folder, what enters the identity, and one line for what does not fit."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import data
from conf.compose import compose
from conf.errors import UsageError
from data import files, listing
from data.dataset import Place
from record.identity import run_id, semantic

CLASSES = ("b", "a", "10", "9")
SIDE = 12


@pytest.fixture(autouse=True)
def forget() -> None:
    listing._folder_facts.cache_clear()
    files.file_digest.cache_clear()


def picture(path: Path, seed: int, size: tuple[int, int] = (SIDE, SIDE), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = size[::-1] if mode == "L" else (*size[::-1], 3)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)).save(path)


def folder(root: Path, *parts: str, per_class: int = 6, **look: object) -> Path:
    """Write a folder of images, the same below each of `parts` (or below the root)."""
    for number, part in enumerate(parts or ("",)):
        for label, name in enumerate(CLASSES):
            for index in range(per_class):
                picture(root / part / name / f"{index}.png", 100 * number + 10 * label + index, **look)
    return root


def config(tmp_path: Path, *words: str) -> dict:
    return compose(["data=folder", f"paths.cache={tmp_path / 'cache'}", "model=resnet20", *words])


def load(config: dict):
    return data.load(config["data"], Place(Path(config["paths"]["data"]), Path(config["paths"]["cache"])))


def batches(split, key=None):
    return list(split.batches(torch.split(torch.arange(len(split)), 5), key))


def test_a_folder_with_parts_is_read_as_it_is(tmp_path):
    made = config(tmp_path, f"data.path={folder(tmp_path / 'set', 'train', 'val', 'test')}")
    assert [made["data"][key] for key in ("num_classes", "in_channels", "image_size")] == [4, 3, SIDE]
    assert made["data"]["validation"] == 0.5
    found = load(made)
    assert [len(split) for split in (found.train, found.validation, found.test)] == [24, 24, 24]
    assert listing.listed(tmp_path / "set", "labels.csv").classes == ("9", "10", "a", "b")  # numbers by value
    images = torch.cat([images for images, _ in batches(found.train)])
    assert images.mean((0, 2, 3)).abs().max() < 1e-4  # the normalisation is that of the training part
    assert (images.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-4
    first = np.asarray(Image.open(tmp_path / "set" / "train" / "10" / "0.png"), np.float32).transpose(2, 0, 1) / 255
    pixels = torch.from_numpy(first)  # the files are sorted by name
    assert torch.allclose(
        images[0], (pixels - pixels.new_tensor(mean(found))) / pixels.new_tensor(std(found)), atol=1e-4
    )


def mean(found):
    transform = found.train.transform
    return (transform.shift / (255 * transform.scale)).tolist()


def std(found):
    return (1 / (255 * found.train.transform.scale)).tolist()


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_streamed_and_held_images_give_the_same_batches(tmp_path, mode):
    path = folder(tmp_path / "set", size=(SIDE + 5, SIDE), mode=mode)
    words = (f"data.path={path}", "data.image_size=8", "data.validation=0.25", "data.augment.crop_padding=2")
    held, streamed = (config(tmp_path, *words, f"data.stream={stream}") for stream in ("false", "true"))
    assert run_id(semantic(held)) == run_id(semantic(streamed))
    assert held["data"]["in_channels"] == (1 if mode == "L" else 3)
    one, other = load(held), load(streamed)
    assert type(one.train) is not type(other.train)
    for key in (None, 7):
        for part in ("train", "validation", "test"):
            pairs = zip(batches(getattr(one, part), key), batches(getattr(other, part), key), strict=True)
            assert all(torch.equal(a, b) for left, right in pairs for a, b in zip(left, right, strict=True))
    assert sum(len(split) for split in (one.train, one.validation, one.test)) == 24


def test_classes_of_one_number_are_in_one_order(tmp_path):
    """Not in that of a set, which another process (a rank, a resumed run) has in another order."""
    names = [name for number in range(8) for name in sorted((f"{number}", f"0{number}", f"00{number}"))]
    for place in (tmp_path / "set" / part / name / "0.png" for part in ("train", "test") for name in names):
        picture(place, 1)
    assert list(listing.listed(tmp_path / "set", "labels.csv").classes) == names


def test_labels_may_come_from_a_csv(tmp_path):
    names = [f"deep/{index}.png" for index in range(6)]
    for index, name in enumerate(names):
        picture(tmp_path / "set" / name, index)
    with (tmp_path / "set" / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "label", "part"])
        rows.writerows([name, "xy"[index % 2], "test" if index > 3 else "train"] for index, name in enumerate(names))
    found = load(config(tmp_path, f"data.path={tmp_path / 'set'}"))
    assert (len(found.train), len(found.test), found.num_classes) == (4, 2, 2)
    assert [int(label) for _, labels in batches(found.train) for label in labels] == [0, 1, 0, 1]


def test_the_content_is_in_the_identity_and_the_place_is_not(tmp_path):
    folder(tmp_path / "one")
    folder(tmp_path / "other")
    ids = [run_id(semantic(config(tmp_path, f"data.path={tmp_path / name}"))) for name in ("one", "other")]
    assert ids[0] == ids[1]
    picture(tmp_path / "other" / "a" / "0.png", 999)
    forget_all()
    assert run_id(semantic(config(tmp_path, f"data.path={tmp_path / 'other'}"))) != ids[0]
    assert run_id(semantic(config(tmp_path, f"data.path={tmp_path / 'one'}", "data.fingerprint=x"))) == ids[0]


def forget_all() -> None:
    listing._folder_facts.cache_clear()


def several_sizes(root: Path) -> None:
    picture(folder(root) / "a" / "0.png", 1, (SIDE, SIDE + 1))


def no_test(root: Path) -> None:
    folder(root, "train")


def other_classes(root: Path) -> None:
    picture(folder(root, "train", "test") / "test" / "new" / "0.png", 1)


def damaged(root: Path) -> None:
    (folder(root) / "a" / "0.png").write_bytes(b"no image")


def bad_csv(root: Path) -> None:
    folder(root)
    (root / "labels.csv").write_text("name,class\na/0.png,1\n")


def twice_in_csv(root: Path) -> None:
    folder(root)
    (root / "labels.csv").write_text("file,label,part\na/0.png,1,train\na/0.png,1,test\nb/0.png,2,train\n")


def respelt_in_csv(root: Path) -> None:
    folder(root)
    (root / "labels.csv").write_text("file,label,part\na/0.png,1,train\n./a/0.png,1,test\n")


def short_row_in_csv(root: Path) -> None:
    folder(root)
    (root / "labels.csv").write_text("file,label\na/0.png\n")


def latin_csv(root: Path) -> None:
    folder(root)
    (root / "labels.csv").write_bytes("file,label\na/0.png,caf\xe9\n".encode("latin-1"))


def one_class(root: Path) -> None:
    picture(root / "a" / "0.png", 1)


def text_as_image(root: Path) -> None:
    (folder(root) / "a" / "0.png").write_text("no image")


def escaping_csv(root: Path) -> None:
    folder(root)
    (root / "labels.csv").write_text("file,label\n../secret.png,1\n")


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (several_sizes, "data.image_size: the files of data=folder do not say it"),
        (no_test, "data.path: .* has train; allowed: train/<class>/"),
        (other_classes, r"4 classes to train on, and \['new'\] only elsewhere"),
        (damaged, "unreadable image"),
        (bad_csv, "it needs `file` and `label`"),
        (twice_in_csv, "labels.csv: 'a/0.png' is listed twice"),
        (respelt_in_csv, "labels.csv: 'a/0.png' is listed twice"),
        (short_row_in_csv, "line 2: .*; allowed: a label"),
        (latin_csv, "labels.csv: line 2 is not UTF-8 text"),
        (one_class, r"1 classes to train on \(a\); allowed: 2 or more"),
        (text_as_image, "0.png: unreadable image: of no kind that Pillow knows"),
        (escaping_csv, r"line 2: \.\./secret.png is not a file below"),
        (lambda root: None, "is not a folder; allowed: train/<class>/"),
        (lambda root: root.mkdir(), "has no images"),
    ],
)
def test_a_folder_that_does_not_fit_is_one_line(tmp_path, write, words):
    write(tmp_path / "set")
    with pytest.raises(UsageError, match=words) as caught:
        config(tmp_path, f"data.path={tmp_path / 'set'}")
    assert "\n" not in str(caught.value)


def test_parts_may_be_capitals_and_a_csv_may_end_with_empty_lines(tmp_path):
    found = load(config(tmp_path, f"data.path={folder(tmp_path / 'set', 'Train', 'TEST')}"))
    assert (len(found.train), len(found.test), found.num_classes) == (24, 24, 4)
    rows = [f"{part}/a/{n}.png,{n % 2},{part}" for part in ("Train", "TEST") for n in range(4)]
    (tmp_path / "set" / "list.csv").write_text("\n".join(["file,label,part", *rows, "", ""]))
    found = load(config(tmp_path, f"data.path={tmp_path / 'set'}", "data.labels=list.csv"))
    assert (len(found.train), len(found.test), found.num_classes) == (4, 4, 2)


def test_a_folder_may_have_a_name_in_stores_and_tables(tmp_path):
    made = config(tmp_path, f"data.path={folder(tmp_path / 'set')}", "data.name=flowers")
    assert made["data"]["name"] == "flowers"


def test_what_contradicts_the_folder_is_one_line(tmp_path):
    path = f"data.path={folder(tmp_path / 'set', 'train', 'validation', 'test')}"
    with pytest.raises(ValueError, match=r"data\.num_classes: 5, but"):
        load(config(tmp_path, path, "data.num_classes=5"))
    with pytest.raises(ValueError, match="a part of its own for validation"):
        load(config(tmp_path, path, "data.validation=0.1"))
    with pytest.raises(ValueError, match=r"data\.normalise\.mean: 2 numbers, but the images have 3 channels"):
        load(config(tmp_path, path, "data.normalise.mean=[0.5, 0.5]"))
    with pytest.raises(UsageError, match=r"data\.labels: .*label\.csv not found"):
        config(tmp_path, path, "data.labels=label.csv")


MODULE = """
import numpy as np, torch
from torch import nn

def arrays(count=20, kind="bytes"):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 6, 6), dtype=np.uint8)
    if kind == "floats":
        images = [torch.from_numpy(image[None] / 100 - 1).float() for image in images]
    return [(image, index % 3) for index, image in enumerate(images)]

def parts(path, **keywords):
    rows = arrays(**keywords)
    return {"train": rows[:10], "validation": rows[10:15], "test": rows[15:]}

def text():
    return [("a", 0)] * 9

def several(**keywords):
    return (arrays(),) * 4

def named():
    return [(image, "cat") for image, _ in arrays()]

def shared(most=1):
    return [(image, [0, most, 0]) for image, _ in arrays()]

def palette():
    from PIL import Image
    return [(Image.fromarray(image).convert("P"), label) for image, label in arrays()]

def broken():
    raise RuntimeError("my file\\nis broken")

class Bad(list):
    def __getitem__(self, index):
        raise KeyError("no such row")

def bad():
    return Bad(arrays())

number = 3

class Net(nn.Linear):
    def __init__(self, num_classes, width=1):
        super().__init__(width, num_classes)
"""
FACTS = ("data.num_classes=3", "data.in_channels=1", "data.image_size=6")


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "ownset.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("ownset", None)


def own(module: Path, *words: str) -> dict:
    return compose(["data=custom", f"paths.cache={module / 'cache'}", "model=resnet20", *FACTS, *words])


def test_a_function_that_returns_torch_sets(module):
    found = load(own(module, "data.target=ownset.arrays", "data.test=0.25", "data.args={count: 40}"))
    assert (len(found.train), found.validation, len(found.test)) == (30, None, 10)
    images = torch.cat([images for images, _ in batches(found.train)])
    assert abs(float(images.mean())) < 1e-4
    parted = load(own(module, "data.target=ownset.parts", f"data.path={module / 'ownset.py'}"))
    assert [len(split) for split in (parted.train, parted.validation, parted.test)] == [10, 5, 5]
    selected = ("selection=best_validation", "data.validation=0.3333")
    again = load(own(module, "data.target=ownset.parts", f"data.path={module / 'ownset.py'}", *selected))
    assert torch.equal(again.validation.images, parted.validation.images)


def test_floats_are_taken_as_they_are(module):
    import ownset

    found = load(own(module, "data.target=ownset.parts", "data.args={kind: floats}", f"data.path={module}"))
    images, labels = batches(found.train)[0]
    expected = ownset.arrays(kind="floats")[:5]
    assert torch.equal(images, torch.stack([image for image, _ in expected]))
    assert labels.tolist() == [label for _, label in expected]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data.target=ownset.text"], r"train\[0\] is <U1"),
        (["data.target=ownset.arrays", "data.image_size=7"], "has images of 1x6x6"),
        (["data.target=ownset.arrays", "data.num_classes=2"], "label 2 is out of range"),
        (["data.target=ownset.nothing"], "cannot import"),
        (
            ["data.target=ownset.parts", "data.path=.", "data.validation=0.1"],
            r"data\.validation: 0\.1, but the set has a part",
        ),
        (["data.target=ownset.number"], "'ownset.number' is not callable"),
        (["data.target=ownset.several"], "returned a fourth: list"),
        (["data.target=ownset.Bad"], "train has no samples"),
        (["data.target=ownset.named"], "the labels of train are not numbers of one shape, e.g. 'cat'"),
        (["data.target=ownset.shared"], "train has 3 labels a sample, which is data.task=multilabel"),
        (["data.target=ownset.arrays", "data.task=binary", "data.num_classes=2"], "label 2 is out of range"),
        (["data.target=ownset.shared", "data.task=multilabel", "data.num_classes=4"], "are not 4 of 0 or 1 a sample"),
        (["data.target=ownset.shared", "data.task=multilabel", "data.args={most: 2}"], "are not 3 of 0 or 1 a sample"),
        (["data.target=ownset.palette"], r"train\[0\] has a palette, whose places are no colours"),
        (["data.target=ownset.broken"], r"the function raised RuntimeError: my file \(traceback=true"),
        (["data.target=ownset.bad"], "a sample of train raised KeyError: 'no such row'"),
        (
            ["data.target=ownset.arrays", "data.args={cuont: 3}"],
            r"data\.args: .*'cuont'; data\.target takes \(count=20",
        ),
        (["data.target=null"], "data.target: name a function, e.g. data.target=my.module.dataset"),
        (["data.target=ownset.arrays", "data.path=nowhere"], "no file or folder at nowhere"),
        (["data.target=ownset.arrays", "data.num_classes=null"], "data.num_classes: the files of data=custom"),
    ],
)
def test_a_function_that_does_not_fit_is_one_line(module, words, said):
    with pytest.raises(ValueError, match=said) as caught:
        load(own(module, *words))
    assert "\n" not in str(caught.value)


def test_the_files_of_a_function_are_in_the_identity(module):
    (module / "a.bin").write_bytes(b"1")
    words = ("data.target=ownset.arrays", f"data.path={module / 'a.bin'}")
    first = run_id(semantic(own(module, *words)))
    (module / "a.bin").write_bytes(b"2")
    files.file_digest.cache_clear()
    assert run_id(semantic(own(module, *words))) != first


@pytest.mark.extras
def test_a_saved_dataset_of_hugging_face(tmp_path):
    datasets = pytest.importorskip("datasets")
    from data import hf

    images = [Image.fromarray(np.full((8, 10, 3), index, np.uint8)) for index in range(20)]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["x", "y"])})
    rows = {"image": images, "label": [index % 2 for index in range(20)]}
    datasets.Dataset.from_dict(rows, features=features).train_test_split(0.25, seed=0).save_to_disk(tmp_path / "set")
    words = ["data=hf", f"data.path={tmp_path / 'set'}", f"paths.cache={tmp_path / 'cache'}", "model=resnet20"]
    with pytest.raises(UsageError, match=r"data\.image_size"):
        compose(words)
    made = compose([*words, "data.image_size=8"])
    assert (made["data"]["num_classes"], made["data"]["in_channels"]) == (2, 3)
    assert len(str(made["data"]["fingerprint"])) == 64
    found = load(made)
    assert (len(found.train), len(found.test)) == (15, 5)
    hf._facts.cache_clear()
    with pytest.raises(UsageError, match="image_column: 'picture' is not one of image, label"):
        compose([*words, "data.image_column=picture"])


@pytest.mark.extras
def test_two_parts_of_one_kind_are_refused(tmp_path):
    datasets = pytest.importorskip("datasets")
    from data.hf import loaded

    rows = datasets.Dataset.from_dict({"x": [1]})
    datasets.DatasetDict({"train": rows, "val": rows, "validation": rows}).save_to_disk(tmp_path / "set")
    with pytest.raises(ValueError, match=r"the parts train, val, validation; .*one each for test and validation"):
        loaded(str(tmp_path / "set"))


@pytest.mark.extras
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": ["a", "b"] * 5}, r"data\.label_column: train\[0\] is 'a'; allowed: whole numbers"),
        ({"label": [None] + [1] * 9}, r"data\.label_column: train\[0\] is None"),
        ({"image": [None] * 10}, r"data\.image_column: train\[0\] has no image"),
        ({"image": [{"bytes": b"junk", "path": None}] * 10}, r"data\.path: train\[0\]: unreadable image"),
        ({"image": [[1, 2]] * 10}, r"data\.image_column: 'image' of train has .*, not images"),
    ],
)
def test_rows_that_do_not_fit_are_one_line(tmp_path, changes, words):
    datasets = pytest.importorskip("datasets")
    rows = {"image": [Image.new("RGB", (8, 8))] * 10, "label": [0, 1] * 5} | changes
    kind = datasets.Sequence(datasets.Value("int64")) if isinstance(rows["image"][0], list) else datasets.Image()
    label = datasets.Value("string" if isinstance(rows["label"][0], str) else "int64")
    made = datasets.Dataset.from_dict(rows, features=datasets.Features({"image": kind, "label": label}))
    made.save_to_disk(tmp_path / "set")
    with pytest.raises(UsageError, match=words) as caught:
        compose(["data=hf", f"data.path={tmp_path / 'set'}", f"paths.cache={tmp_path / 'cache'}", "model=resnet20"])
    assert "\n" not in str(caught.value)
