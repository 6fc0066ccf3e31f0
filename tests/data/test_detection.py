"""COCO's format read as pycocotools reads it, boxes that go along with their images, and what is wrong in one line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import data
from conf import groups
from data import detection
from data.dataset import Place
from tests.data.places import one_line


def load(name: str, root: Path, **more):
    kept = {key: value for key, value in groups.raw("data", name).items() if key != "ranges"}
    return data.load(kept | more, Place(root, root / "cache"))


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("coco")
    detection.write_coco(root, 6, "coco")
    return root


@pytest.fixture
def broken(written, tmp_path):
    """Return what writes the training json with one change, beside the images."""

    def change(edit) -> Path:
        folder = tmp_path / "coco"
        (folder / "annotations").mkdir(parents=True)
        for part in ("train2017", "val2017"):
            (folder / part).symlink_to(written / "coco" / part)
            name = f"annotations/instances_{part}.json"
            content = json.loads((written / "coco" / name).read_text())
            if part == "train2017":
                content = edit(content) or content
            (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
        return tmp_path

    return change


def test_a_file_is_read_as_pycocotools_reads_it(written):
    from pycocotools.coco import COCO

    file = written / "coco" / "annotations" / "instances_train2017.json"
    theirs, (ours, categories) = COCO(str(file)), detection.read(file)
    assert categories == sorted(theirs.getCatIds())
    assert len(categories) == 80
    assert max(categories) == 89  # with gaps
    for image, boxes in ours:
        entries = theirs.loadAnns(theirs.getAnnIds(image.id))
        expected = [[*e["bbox"], categories.index(e["category_id"]), e["iscrowd"]] for e in entries]
        found = torch.cat((boxes[:, :2], boxes[:, 2:4] - boxes[:, :2], boxes[:, 4:]), 1)
        assert found.tolist() == expected
        assert [e["area"] for e in entries] == (found[:, 2] * found[:, 3]).tolist()


def test_batches_have_truths_that_differ_in_number(written):
    found = load("coco", written, image_size=48)
    images, truths = next(iter(found.test.batches([torch.arange(1)])))
    assert images.shape == (1, 3, 48, 48)
    file = written / "coco" / "annotations" / "instances_val2017.json"
    np.testing.assert_allclose(truths[0, :, :4], detection.read(file)[0][0][1][:, :4] * 48 / 64, rtol=1e-6)
    (_, truths), (_, again) = (next(iter(found.train.batches([torch.arange(6)], key))) for key in (3, 3))
    assert torch.equal(truths, again)
    counts = (truths[..., 4] >= 0).sum(1)
    assert counts.min() < counts.max() == truths.shape[1]
    assert (truths[truths[..., 4] < 0] == -1).all()
    assert load("coco", written, image_size=48).fingerprint == found.fingerprint


def test_a_box_goes_where_its_pixels_go():
    view = detection.Square(size=96, scale=(0.3, 1.0), ratio=(0.5, 2.0))
    image = detection.Picture(id=1, file_name="", width=120, height=90)
    box, pixels = torch.tensor([[30.0, 20, 75, 60, 4, 0]]), np.zeros((90, 120, 3), np.uint8)
    pixels[20:60, 30:75] = 255
    compared = 0
    for draws in [None, *detection.uniform(5, torch.arange(40), detection.VIEW_DRAWS).tolist()]:
        shown = view.centre(Image.fromarray(pixels)) if draws is None else view.random(Image.fromarray(pixels), draws)
        truths = view.moved(image, box, draws)
        rows, columns = ((shown[0] > 127).any(axis).nonzero()[:, 0] for axis in (1, 0))
        for left, top, right, bottom, label, crowd in truths.tolist():
            expected = [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]
            assert [left, top, right, bottom] == pytest.approx(expected, abs=2)
            assert (label, crowd) == (4, 0)
            compared += 1
    assert 20 < compared < 41  # some parts lack the middle of the box


def test_boxes_of_scenes_are_those_of_the_painted_rectangles(tmp_path):
    found = load("rde_boxes", tmp_path, train=20, validation=3, test=3)
    plain = load("rde_small", tmp_path, train=20, validation=3, test=3, image_size=32, sides=[8, 16], num_classes=3)
    (images, truths), (same, planes) = (next(iter(one.train.batches([torch.arange(20)]))) for one in (found, plain))
    assert torch.equal(images, same)
    for rows, (numbers, depths) in zip(truths, planes, strict=True):
        for number, (left, top, right, bottom, label, crowd) in enumerate(rows.tolist(), start=1):
            y, x = (numbers == number).nonzero(as_tuple=True)
            if not len(y):
                assert (left, label) == (-1, -1)
                continue
            assert (left, top, right, bottom) == (x.min(), y.min(), x.max() + 1, y.max() + 1)
            assert (label, crowd) == (round(float(depths[y[0], x[0]] * 3)) - 1, 0)


def test_a_box_without_area_is_left_out_and_said(broken, written, capsys):
    def edit(content):
        content["annotations"][0]["bbox"] = [10.0, 5.0, 7.0, 0.0]
        content["annotations"][1]["bbox"] = [60.0, 60.0, 10.0, 10.0]  # beyond the border of 64

    root = broken(edit)
    images = detection.read(root / "coco" / "annotations" / "instances_train2017.json")[0]
    before = detection.read(written / "coco" / "annotations" / "instances_train2017.json")[0]
    counts = [sum(len(boxes) for _, boxes in listed) for listed in (before, images)]
    assert counts[1] == counts[0] - 1
    assert any((boxes[:, 2:4] == 64).all(1).any() for _, boxes in images)
    assert "no area in their images: 1 boxes, e.g. 1" in capsys.readouterr().out


def put(part: str, number: int, **values):
    return lambda content: content[part][number].update(values)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (put("images", 2, file_name="gone.jpg"), ("image 2", "train2017/gone.jpg not found")),
        (put("images", 1, id=0), ("images: 0 is listed twice",)),
        (put("annotations", 1, id=1), ("annotations: 1 is listed twice",)),
        (put("categories", 1, id=1), ("categories: 1 is listed twice",)),
        (put("annotations", 3, image_id=77), ("annotation 4", "image_id 77")),
        (put("annotations", 3, category_id=9), ("annotation 4", "category_id 9")),
        (put("annotations", 3, bbox=[1, 2, -3, 4]), ("annotations.3.bbox.2", "greater than or equal to 0")),
        (put("annotations", 3, bbox=[1, 2, 3]), ("annotations.3.bbox",)),
        (put("images", 0, width=0), ("images.0.width",)),
        (lambda content: content.pop("annotations") and None, ("annotations", "Field required")),
        (lambda content: json.dumps(content)[:300] + "\n,,", ("Invalid JSON", "line 2")),
        (lambda content: content["categories"].append({"id": 90}), ("its categories are not those of",)),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(broken, edit, words):
    root = broken(edit)
    with one_line((ValueError, FileNotFoundError), "instances_", *words):
        load("coco", root)


def test_a_missing_set_says_how_to_get_it(tmp_path):
    with one_line(FileNotFoundError, "data=coco", "instances_train2017.json", "cocodataset.org"):
        load("coco", tmp_path)
